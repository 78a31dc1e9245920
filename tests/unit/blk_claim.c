/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Who may write to what at a time: in a context, and among processes. */
#include "../tap.h"
#include "base/riser.h"
#include "blk/source.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

static struct riser *r;
static struct riser_err err;
static char path[] = "/tmp/riser-claim-XXXXXX", again[64];

static void up(void)
{
	int fd;

	CHECK_EQ(riser_new(NULL, &r, &err), 0);
	strcpy(path, "/tmp/riser-claim-XXXXXX");
	fd = mkstemp(path);
	CHECK(fd >= 0);
	CHECK_EQ(ftruncate(fd, 65536), 0);
	close(fd);
	snprintf(again, sizeof(again), "%s-again", path);
}

static void down(void)
{
	CHECK(list_empty(&r->claims));
	riser_free(r);
	unlink(path);
	unlink(again);
}

static int opens(const char *uri, uint32_t flags, const void *holder, struct riser_blk **out)
{
	err.text[0] = 0;
	return blk_open_held(r, uri, flags, holder, out, &err);
}

TEST(one_user_writes_and_any_number_read)
{
	struct riser_blk *writer, *reader, *second;
	char uri[96];

	SUB(up());
	snprintf(uri, sizeof(uri), "file:%s", path);
	CHECK_EQ(riser_blk_open(r, uri, 0, &reader, &err), 0);
	CHECK_EQ(riser_blk_open(r, uri, RISER_BLK_RDWR, &writer, &err), 0);
	CHECK_EQ(riser_blk_open(r, path, RISER_BLK_RDWR, &second, &err), -EBUSY);
	CHECK_HAS(err.text, path);
	CHECK_HAS(err.text, "is open for writing already, by somebody in this process");
	CHECK_HAS(err.text, uri);
	CHECK_EQ(riser_blk_open(r, path, 0, &second, &err), 0);
	riser_blk_close(second);
	/* Opened for writing, but never to be written to. */
	snprintf(uri, sizeof(uri), "file:%s?readonly=1", path);
	CHECK_EQ(riser_blk_open(r, uri, RISER_BLK_RDWR, &second, &err), 0);
	riser_blk_close(second);
	riser_blk_close(writer);
	CHECK_EQ(riser_blk_open(r, path, RISER_BLK_RDWR, &writer, &err), 0);
	riser_blk_close(writer);
	riser_blk_close(reader);
	down();
}

TEST(a_file_is_the_same_by_another_name)
{
	struct riser_blk *b, *second;

	SUB(up());
	for (unsigned hard = 0; hard < 2; hard++) {
		CHECK_EQ(hard ? link(path, again) : symlink(path, again), 0);
		CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &b), 0);
		CHECK_EQ(opens(again, RISER_BLK_RDWR, NULL, &second), -EBUSY);
		riser_blk_close(b);
		unlink(again);
	}
	/* Another file under the same name is another. */
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &b), 0);
	CHECK_EQ(rename(path, again), 0);
	CHECK_EQ(close(open(path, O_CREAT | O_RDWR, 0600)) | truncate(path, 4096), 0);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &second), 0);
	riser_blk_close(second);
	riser_blk_close(b);
	down();
}

TEST(one_holder_shares_with_itself_alone)
{
	struct riser_blk *b[3], *user;
	static const char mapper, other;

	SUB(up());
	CHECK_EQ(opens(path, RISER_BLK_RDWR, &mapper, &b[0]), 0);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, &mapper, &b[1]), 0);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, &other, &b[2]), -EBUSY);
	CHECK_HAS(err.text, "by a mapped device");
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &user), -EBUSY);
	riser_blk_close(b[0]);
	/* The second keeps the claim, in other contexts too. */
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &user), -EBUSY);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, &mapper, &b[0]), 0);
	riser_blk_close(b[1]);
	riser_blk_close(b[0]);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &user), 0);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, &mapper, &b[0]), -EBUSY);
	CHECK_HAS(err.text, "by somebody");
	riser_blk_close(user);
	down();
}

/* The lock goes with the last sharer, not with the one that took it. */
TEST(another_context_is_as_another_process)
{
	static const char mapper;
	struct riser_blk *b[2], *theirs;
	struct riser *r2;

	SUB(up());
	CHECK_EQ(riser_new(NULL, &r2, &err), 0);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, &mapper, &b[0]), 0);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, &mapper, &b[1]), 0);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(riser_blk_open(r2, path, RISER_BLK_RDWR, &theirs, &err), -EBUSY);
		CHECK_HAS(err.text, "is held by another riser process");
		CHECK_EQ(riser_blk_open(r2, path, 0, &theirs, &err), 0);
		riser_blk_close(theirs);
		riser_blk_close(b[i]);
	}
	CHECK_EQ(riser_blk_open(r2, path, RISER_BLK_RDWR, &theirs, &err), 0);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &b[0]), -EBUSY);
	riser_blk_close(theirs);
	riser_free(r2);
	down();
}

/* Whose lock belongs to the process is named. */
TEST(a_process_that_holds_the_lock_is_named)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 300, .l_len = 1 };
	struct riser_blk *b;
	int up_pipe[2], down_pipe[2];
	char text[32], c;
	pid_t pid;

	SUB(up());
	CHECK_EQ(pipe(up_pipe) | pipe(down_pipe), 0);
	pid = fork();
	if (!pid) {
		int fd = open(path, O_RDWR);

		c = fcntl(fd, F_SETLK, &l) ? 'n' : 'y';
		_exit(write(up_pipe[1], &c, 1) != 1 || read(down_pipe[0], &c, 1) != 1);
	}
	CHECK_EQ(read(up_pipe[0], &c, 1), 1);
	CHECK_EQ(c, 'y');
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &b), -EBUSY);
	snprintf(text, sizeof(text), "held by pid %d", (int)pid);
	CHECK_HAS(err.text, text);
	CHECK_EQ(opens(path, 0, NULL, &b), 0);
	riser_blk_close(b);
	CHECK_EQ(write(down_pipe[1], "x", 1), 1);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &b), 0);
	riser_blk_close(b);
	for (unsigned i = 0; i < 2; i++) {
		close(up_pipe[i]);
		close(down_pipe[i]);
	}
	down();
}

TEST(a_namespace_is_claimed_and_not_its_controller)
{
	static const char one[] = "model:nvme?namespaces=2&size=8M&nsid=1",
			  same[] = "model:nvme?size=8M&nsid=1&namespaces=2",
			  two[] = "model:nvme?namespaces=2&size=8M&nsid=2";
	struct riser_blk *b[2], *no;

	SUB(up());
	CHECK_EQ(opens(one, RISER_BLK_RDWR, NULL, &b[0]), 0);
	CHECK_EQ(opens(two, RISER_BLK_RDWR, NULL, &b[1]), 0);
	CHECK_EQ(opens(same, RISER_BLK_RDWR, NULL, &no), -EBUSY);
	CHECK_HAS(err.text, one);
	CHECK_EQ(opens(same, 0, NULL, &no), 0);
	riser_blk_close(no);
	riser_blk_close(b[0]);
	CHECK_EQ(opens(same, RISER_BLK_RDWR, NULL, &b[0]), 0);
	riser_blk_close(b[0]);
	riser_blk_close(b[1]);
	down();
}

/* What a model writes to is as claimed as what its user would write to. */
TEST(a_backing_is_claimed)
{
	struct riser_blk *b, *file;
	char uri[96];

	SUB(up());
	snprintf(uri, sizeof(uri), "model:nvme?backing=%s", path);
	CHECK_EQ(opens(uri, 0, NULL, &b), 0);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &file), -EBUSY);
	riser_blk_close(b);
	CHECK_EQ(opens(path, RISER_BLK_RDWR, NULL, &file), 0);
	CHECK_EQ(opens(uri, RISER_BLK_RDWR, NULL, &b), -EBUSY);
	CHECK_HAS(err.text, "backing of namespace 1");
	riser_blk_close(file);
	down();
}

/* Memory is made anew by whoever opens it. */
TEST(what_nobody_else_can_open_is_not_claimed)
{
	struct riser_blk *b[2];

	SUB(up());
	CHECK_EQ(opens("mem:1M", RISER_BLK_RDWR, NULL, &b[0]), 0);
	CHECK_EQ(opens("mem:1M", RISER_BLK_RDWR, NULL, &b[1]), 0);
	CHECK(list_empty(&r->claims));
	riser_blk_close(b[0]);
	riser_blk_close(b[1]);
	down();
}

TEST_MAIN(CASE(one_user_writes_and_any_number_read), CASE(a_file_is_the_same_by_another_name),
	  CASE(one_holder_shares_with_itself_alone), CASE(another_context_is_as_another_process),
	  CASE(a_process_that_holds_the_lock_is_named),
	  CASE(a_namespace_is_claimed_and_not_its_controller), CASE(a_backing_is_claimed),
	  CASE(what_nobody_else_can_open_is_not_claimed))
