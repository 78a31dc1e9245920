/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The kernel's ext4 through power cuts: it lies on an NBD export of riser's, whose write cache
 *loses its power while files are written. Afterwards the file system has to be clean once its
 *journal was replayed, and what fsync() said is there has to be there.
 *
 *	ext4 ── /dev/nbd0 ── NBD ── disk: fault ── cut: powercut ── memory
 *
 *	powercut NBD-DEVICE DIR	runs as root, has the device connected, mounts in DIR
 *
 * A child serves; the cut falls behind a number of requests that the seed draws, from whatever
 * they do. On a drive that swallows flushes the same has to find damage: else this test would not
 * see any. RISER_TEST_SEEDS is how many cuts, RISER_TEST_SEED the first.
 */
#include "../tap.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <riser/dm.h>
#include <riser/publish.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define FILES    12
#define FILE_MAX 40000u
#define OPS      40 /* of a seed */
#define REQUESTS 90 /* the cut comes behind at most so many */
#define TIMEOUT  10000000000ull
#define SIZE_MIB "32"
#define SECTORS  "65536"

/* What the player wants of the server, which answers each with whether there is power. */
enum { CUT_AFTER, CUT_NOW, RESTORE, SWALLOW, KEEP, ASK };
struct order {
	int what;
	unsigned requests;
	unsigned seed;
};

/* The server. */

struct server {
	struct riser *r;
	struct riser_exec *x;
	struct riser_dm *cut, *disk;
	struct riser_blk *b;
	struct riser_publish *p;
	struct riser_watch watch;
	uint64_t cut_at; /* requests; 0: never */
	unsigned seed;
	bool off;
};

__attribute__((noreturn)) static void die(const char *what)
{
	fprintf(stderr, "powercut: %s\n", what);
	_exit(1);
}

static void say(struct riser_dm *d, struct server *s, const char *text)
{
	struct riser_err err;
	char *answer = NULL;

	if (riser_dm_message(d, s->x, 0, text, &answer, &err))
		die(err.text);
	free(answer);
}

static uint64_t requests(struct server *s)
{
	struct riser_publish_stats stats;

	riser_publish_get_stats(s->p, &stats);
	return stats.requests;
}

static void cut(struct server *s)
{
	char text[32];

	if (!s->off) {
		snprintf(text, sizeof(text), "cut %u", s->seed);
		say(s->cut, s, text);
	}
	s->off = true;
	s->cut_at = 0;
}

static void obey(struct server *s, int fd)
{
	struct order o;

	if (read(fd, &o, sizeof(o)) != sizeof(o))
		_exit(0);
	s->seed = o.seed;
	if (o.what == CUT_AFTER)
		s->cut_at = requests(s) + o.requests;
	else if (o.what == CUT_NOW)
		cut(s);
	else if (o.what == RESTORE) {
		say(s->cut, s, "restore");
		s->off = false;
	} else if (o.what != ASK)
		say(s->disk, s, o.what == SWALLOW ? "add drop,op=flush+fua" : "clear");
	if (write(fd, s->off ? "\0" : "\1", 1) != 1)
		_exit(1);
}

static struct riser_dm *mapped(struct server *s, const char *name, const char *table)
{
	struct riser_dm *d;
	struct riser_err err;

	if (riser_dm_create(s->r, name, NULL, 0, &d, &err) ||
	    riser_dm_load(d, s->x, table, NULL, &err) || riser_dm_resume(d, s->x, TIMEOUT, &err))
		die(err.text);
	return d;
}

static void serve(const char *path, int fd)
{
	struct riser_publish_opts opts = { .size = sizeof(opts), .socket = path };
	struct server s = { .watch = { .fd = fd } };
	struct riser_err err;

	if (riser_new(NULL, &s.r, &err) || riser_exec_new(s.r, &s.x, &err))
		die(err.text);
	s.cut = mapped(&s, "cut", "0 " SECTORS " powercut mem:" SIZE_MIB "M 0 4M 1 torn=4096");
	s.disk = mapped(&s, "disk", "0 " SECTORS " fault dm:cut 0");
	if (riser_blk_open(s.r, "dm:disk", RISER_BLK_RDWR, &s.b, &err) ||
	    riser_publish(s.b, s.x, "nbd", &opts, &s.p, &err))
		die(err.text);
	if (riser_exec_watch(s.x, &s.watch, RISER_WATCH_IN) || write(fd, "", 1) != 1)
		die("nobody listens");
	for (;;) {
		char next;

		if (!riser_exec_poll(s.x))
			riser_exec_wait(s.x, UINT64_MAX);
		if (s.cut_at && requests(&s) >= s.cut_at)
			cut(&s);
		if (recv(fd, &next, 1, MSG_PEEK | MSG_DONTWAIT) >= 0)
			obey(&s, fd);
	}
}

/* The player: files, and what is known of each. */

struct content {
	bool there;
	uint32_t version; /* which stream of bytes */
	uint32_t size;    /* how much of it */
};

struct file {
	struct content now;  /* on the disk for certain, unless something is under way */
	struct content next; /* what it is to become */
	enum { SURE, EITHER, GROWING, ANY } state;
};

static const char *device, *dir;
static int server_fd;
static struct file files[FILES];
static uint32_t version;
static uint64_t random_state;
static unsigned seed;
static unsigned char stream[FILE_MAX], got[FILE_MAX];

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(random_state >> 33) % below;
}

/* Return: whether there is power now. */
static bool order(int what, unsigned n)
{
	struct order o = { .what = what, .requests = n, .seed = seed };
	char answer;

	if (write(server_fd, &o, sizeof(o)) != sizeof(o) || read(server_fd, &answer, 1) != 1)
		die("the server is gone");
	return answer;
}

static void fill(uint32_t of)
{
	uint64_t s = of * 0x9e3779b97f4a7c15ull;

	for (uint32_t i = 0; i < FILE_MAX; i++) {
		s = s * 6364136223846793005 + 1442695040888963407;
		stream[i] = (unsigned char)(s >> 56);
	}
}

static const char *path_of(int i, const char *suffix)
{
	static char path[2][256];
	static int turn;

	turn ^= 1;
	snprintf(path[turn], sizeof(path[turn]), "%s/%d%s", dir, i, suffix);
	return path[turn];
}

static bool sync_dir(void)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && !fsync(fd);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Bytes @from to @to of @of in the file, and fsync(). */
static bool write_file(const char *path, int flags, uint32_t of, uint32_t from, uint32_t to)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0644);
	bool ok;

	if (fd < 0)
		return false;
	fill(of);
	ok = pwrite(fd, stream + from, to - from, from) == (ssize_t)(to - from) && !fsync(fd);
	close(fd);
	return ok;
}

/*
 * One thing that programs do to files, up to where fsync() promises it. False: the power is off.
 * Then fsync() has promised nothing, whatever it says: on Linux 6.1 it says yes without writing
 * where an error below, as a directory entry's old inode was let go, made the file system
 * read-only.
 */
static bool play(int i)
{
	struct file *f = &files[i];
	bool ok;

	f->next = (struct content){ true, ++version, 1 + draw(FILE_MAX) };
	if (!f->now.there) {
		f->state = ANY; /* made in place: nothing is promised before the end */
		ok = write_file(path_of(i, ""), O_CREAT | O_TRUNC, version, 0, f->next.size) &&
		     sync_dir();
	} else if (!draw(4)) {
		f->next.there = false;
		f->state = EITHER;
		ok = !unlink(path_of(i, "")) && sync_dir();
	} else if (draw(2) && f->now.size < FILE_MAX) {
		f->next = f->now;
		f->next.size += 1 + draw(FILE_MAX - f->now.size);
		f->state = GROWING;
		ok = write_file(path_of(i, ""), 0, f->now.version, f->now.size, f->next.size);
	} else {
		f->state = EITHER; /* beside it, and then into its place */
		ok = write_file(path_of(i, ".new"), O_CREAT | O_TRUNC, version, 0, f->next.size) &&
		     !rename(path_of(i, ".new"), path_of(i, "")) && sync_dir();
	}
	ok = ok && order(ASK, 0);
	if (ok) {
		f->now = f->next;
		f->state = SURE;
	}
	return ok;
}

/* What is never synced: it has to do no harm. */
static void litter(void)
{
	int fd = open(path_of((int)draw(4), ".litter"), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	if (fd < 0)
		return;
	if (ftruncate(fd, 0) || pwrite(fd, stream, draw(FILE_MAX), draw(FILE_MAX)) < 0)
		errno = 0; /* the power is off: play() finds that out */
	close(fd);
}

/* Does the file hold what is expected, at least (@more: or longer)? */
static bool holds(int i, const struct content *want, bool more)
{
	int fd = open(path_of(i, ""), O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return !want->there && errno == ENOENT;
	n = read(fd, got, sizeof(got));
	close(fd);
	if (!want->there || n < (ssize_t)want->size || (!more && n != (ssize_t)want->size))
		return false;
	fill(want->version);
	return !memcmp(got, stream, want->size);
}

static bool intact(int i)
{
	const struct file *f = &files[i];

	if (f->state == ANY)
		return true;
	return holds(i, &f->now, f->state == GROWING) ||
	       (f->state == EITHER && holds(i, &f->next, false));
}

/* What is there instead of what has to be. */
static void describe(int i, char *said, size_t len)
{
	static const char *const states[] = { "sure", "either", "growing", "any" };
	const struct file *f = &files[i];
	int fd = open(path_of(i, ""), O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof(got));
	uint32_t same = 0;

	if (fd >= 0)
		close(fd);
	fill(f->now.version);
	while ((ssize_t)same < n && same < f->now.size && got[same] == stream[same])
		same++;
	snprintf(said, len,
		 "file %d (%s) is not what fsync() promised: %zd bytes (-1: none), not %d; "
		 "the first %u are right; to become %d",
		 i, states[f->state], n, f->now.there ? (int)f->now.size : -1, same,
		 f->next.there ? (int)f->next.size : -1);
}

/* Each file is as it has to be; those that something was under way with begin anew. */
static bool verify(char *said, size_t len)
{
	for (int i = 0; i < FILES; i++) {
		if (!intact(i)) {
			describe(i, said, len);
			return false;
		}
		if (files[i].state != SURE) {
			unlink(path_of(i, ""));
			files[i] = (struct file){ .now.there = false };
		}
	}
	return true;
}

/* "BEFORE DEVICE AFTER" in a shell */
static bool run(const char *before, const char *after)
{
	char command[512];

	snprintf(command, sizeof(command), "%s %s %s", before, device, after);
	return !system(command);
}

/* mount(2) replays the journal. */
static bool mounted(void)
{
	return !mount(device, dir, "ext4", MS_NOATIME, "errors=remount-ro");
}

static void unmounted(void)
{
	for (int i = 0; i < 100 && umount2(dir, 0) && errno == EBUSY; i++)
		usleep(10000);
}

static bool make_file_system(void)
{
	memset(files, 0, sizeof(files));
	return run("mkfs.ext4 -q -F -b 4096 -J size=4 -N 128 -E lazy_itable_init=0", "");
}

/* The kernel's buffers of the device, which an open device keeps, are from before the cut. */
static void forget_buffers(void)
{
	int fd = open(device, O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		ioctl(fd, BLKFLSBUF, 0);
		close(fd);
	}
}

/* Write until the power goes, and look. Return: whether all is well; @said is what is not. */
static bool one_cut(char *said, size_t len)
{
	bool ok;

	snprintf(said, len, "it cannot be mounted");
	if (!mounted())
		return false;
	random_state = seed;
	draw(1);
	order(CUT_AFTER, 1 + draw(REQUESTS));
	for (int i = 0; i < OPS && play((int)draw(FILES)); i++)
		if (!draw(4))
			litter();
	order(CUT_NOW, 0);
	unmounted();
	order(RESTORE, 0);
	forget_buffers();
	if (!mounted())
		return false;
	ok = verify(said, len);
	unmounted();
	if (ok && !run("e2fsck -fn", ">&2")) {
		snprintf(said, len, "e2fsck finds errors after the journal was replayed");
		return false;
	}
	return ok;
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

static unsigned damaged(unsigned n, bool stop)
{
	unsigned first = number("RISER_TEST_SEED", 1), bad = 0;
	char said[256];

	make_file_system();
	for (seed = first; seed < first + n && !(stop && bad); seed++) {
		alarm(TAP_ALARM_S);
		if (seed % 8 == 0)
			printf("# seed %u\n", seed); /* a sign of life */
		if (one_cut(said, sizeof(said)))
			continue;
		bad++;
		printf("# seed %u: %s\n", seed, said);
		make_file_system();
	}
	return bad;
}

TEST(ext4_survives)
{
	unsigned n = number("RISER_TEST_SEEDS", 67);

	CHECK_EQ(damaged(n, false), 0);
	printf("# %u cuts\n", n);
}

TEST(damage_shows_without_flushes)
{
	CHECK(order(SWALLOW, 0));
	CHECK_EQ(damaged(60, true), 1);
	CHECK(order(KEEP, 0));
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = { CASE(ext4_survives),
						 CASE(damage_shows_without_flushes) };
	char path[256], ready;
	int ends[2];

	if (argc < 3 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends))
		return 2;
	device = argv[1];
	dir = argv[2];
	snprintf(path, sizeof(path), "%s.socket", dir);
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[0]);
		serve(path, ends[1]);
	}
	close(ends[1]);
	server_fd = ends[0];
	if (read(server_fd, &ready, 1) != 1 || mkdir(dir, 0755))
		return 1;
	snprintf(path, sizeof(path), "nbd-client -N '' -u %s.socket", dir);
	if (!run(path, ">&2")) {
		printf("Bail out! nbd-client fails\n");
		return 1;
	}
	argc = tap_run(cases, 2, 1, argv);
	run("nbd-client -d", ">&2");
	return argc;
}
