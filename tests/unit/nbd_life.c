/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Where an NBD server listens, how it comes and how it goes. */
#include "nbd_client.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static struct bench t;
static uint8_t out[1 * MiB], in[1 * MiB];

static bool exists(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

TEST(an_unknown_publisher_suggests_the_nearest)
{
	struct riser_publish_opts opts = { .size = sizeof(opts), .port = -1 };

	SUB(bench_context(&t, "mem:64M"));
	CHECK_EQ(riser_publish(t.b, t.x, "ndb", &opts, &t.p, &t.err), -EINVAL);
	CHECK_STR(t.err.text, "unknown publisher 'ndb'; did you mean 'nbd'?");
	opts.size = 0;
	CHECK_EQ(riser_publish(t.b, t.x, "nbd", &opts, &t.p, &t.err), -EINVAL);
	CHECK_HAS(t.err.text, "size");
	bench_end(&t);
}

TEST(the_uri_says_where)
{
	char want[256];

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	snprintf(want, sizeof(want), "nbd+unix:///?socket=%s", t.path);
	CHECK_STR(riser_publish_uri(t.p), want);
	bench_end(&t);
	SUB(bench_start(&t, (struct riser_publish_opts){ .name = "a disk?&/\303\244" }));
	snprintf(want, sizeof(want), "nbd+unix:///a%%20disk%%3F%%26/%%C3%%A4?socket=%s", t.path);
	CHECK_STR(riser_publish_uri(t.p), want);
	bench_end(&t);
}

TEST(a_unix_socket_goes_with_its_server)
{
	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	CHECK(exists(t.path));
	riser_publish_stop(t.p);
	CHECK(!exists(t.path));
	/* What somebody else put there meanwhile stays. */
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	CHECK_EQ(unlink(t.path), 0);
	close(open(t.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	riser_publish_stop(t.p);
	CHECK(exists(t.path));
	/* A file is not replaced. */
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), -EEXIST);
	CHECK_HAS(t.err.text, "not a socket");
	CHECK(exists(t.path));
	unlink(t.path);
	t.p = NULL;
	bench_end(&t);
}

TEST(a_stale_socket_is_replaced_and_a_live_one_is_not)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	struct riser_publish *second;
	struct riser_publish_opts opts = { .size = sizeof(opts), .port = -1, .socket = t.path };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	SUB(bench_context(&t, "mem:64M"));
	strcpy(at.sun_path, t.path);
	CHECK_EQ(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	close(fd); /* nobody listens there */
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	CHECK_EQ(riser_publish(t.b, t.x, "nbd", &opts, &second, &t.err), -EADDRINUSE);
	CHECK_HAS(t.err.text, "a server listens on");
	fd = attach(&t);
	CHECK(fd >= 0);
	close(fd);
	bench_end(&t);
}

TEST(places_that_do_not_exist)
{
	char longest[256] = "/tmp/";

	memset(longest + 5, 'x', 200);
	SUB(bench_context(&t, "mem:64M"));
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ .socket = longest, .port = -1 }),
		 -ENAMETOOLONG);
	CHECK_HAS(t.err.text, "107");
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ .socket = "", .port = -1 }),
		 -EINVAL);
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ .socket = "/nowhere/at/all",
								.port = -1 }),
		 -ENOENT);
	CHECK_HAS(t.err.text, "/nowhere/at/all");
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ .port = 65536 }), -EINVAL);
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ .socket = t.path, .port = 80 }),
		 -EINVAL);
	CHECK(!exists(t.path));
	bench_end(&t);
}

TEST(tcp_on_a_free_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	struct riser_publish_opts opts = { .size = sizeof(opts) };
	struct nbd_greeting g;
	unsigned port;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	SUB(bench_context(&t, "mem:64M"));
	CHECK_EQ(riser_publish(t.b, t.x, "nbd", &opts, &t.p, &t.err), 0);
	CHECK_EQ(sscanf(riser_publish_uri(t.p), "nbd://127.0.0.1:%u/", &port), 1);
	CHECK(port > 0);
	at.sin_port = htons((uint16_t)port);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_EQ(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK(get(&t, fd, &g, sizeof(g)));
	CHECK_EQ(be64(g.magic), NBD_MAGIC);
	opts.port = (int)port;
	CHECK_EQ(riser_publish(t.b, t.x, "nbd", &opts, &(struct riser_publish *){ 0 }, &t.err),
		 -EADDRINUSE);
	CHECK_HAS(t.err.text, "choose another port");
	close(fd);
	bench_end(&t);
}

/* A service manager's: it is served on, and stays when the server goes. */
TEST(a_socket_that_was_passed)
{
	struct riser_publish_opts opts = { .listen_fd = 0, .port = -1 };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int passed = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;
	char want[256];

	SUB(bench_context(&t, "mem:64M"));
	opts.size = sizeof(opts);
	opts.listen_fd = passed;
	CHECK_EQ(riser_publish(t.b, t.x, "nbd", &opts, &t.p, &t.err), -EINVAL);
	CHECK_HAS(t.err.text, "listens");
	strcpy(at.sun_path, t.path);
	CHECK_EQ(bind(passed, (struct sockaddr *)&at, sizeof(at)), 0);
	CHECK_EQ(listen(passed, 10), 0);
	opts.socket = "elsewhere";
	CHECK_EQ(riser_publish(t.b, t.x, "nbd", &opts, &t.p, &t.err), -EINVAL);
	opts.socket = NULL;
	CHECK_EQ(riser_publish(t.b, t.x, "nbd", &opts, &t.p, &t.err), 0);
	snprintf(want, sizeof(want), "nbd+unix:///?socket=%s", t.path);
	CHECK_STR(riser_publish_uri(t.p), want);
	fd = attach(&t);
	CHECK_EQ(run_read(&t, fd, 0, 4096, in), 0);
	close(fd);
	bench_end(&t);
	CHECK(exists(t.path));
	CHECK(fcntl(passed, F_GETFD) >= 0);
	close(passed);
	unlink(t.path);
}

TEST(stopping_answers_what_was_asked)
{
	struct nbd_command_header h[4];
	uint8_t block[512];
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	fill(out, sizeof(out), 5);
	CHECK_EQ(run_write(&t, fd, 0, sizeof(out), out), 0);
	settle(&t);
	for (unsigned i = 0; i < 4; i++)
		h[i] = header_of((struct command){ NBD_CMD_READ, 0, 77, 0, 16384 });
	CHECK(put(&t, fd, h, sizeof(h)));
	while (stats_of(&t).requests == 1) /* until they were received */
		riser_exec_poll(t.x);
	riser_publish_stop(t.p);
	t.p = NULL;
	for (unsigned i = 0; i < 4; i++) {
		CHECK_EQ(get_answer(&t, fd, 77), 0);
		CHECK(get(&t, fd, in, 16384));
		CHECK(!memcmp(in, out, 16384));
	}
	CHECK(!get(&t, fd, block, 1));
	close(fd);
	bench_end(&t);
}

/* Its peers read nothing, or stopped in the middle of a WRITE: they do not hold it up for ever. */
TEST(stopping_with_deaf_clients)
{
	struct nbd_command_header h =
		header_of((struct command){ NBD_CMD_READ, .len = NBD_REQUEST_MAX });
	int deaf, half, fresh;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	deaf = attach(&t);
	half = attach(&t);
	fresh = dial(&t);
	CHECK(put(&t, deaf, &h, sizeof(h)));
	CHECK(put_command(&t, half, (struct command){ NBD_CMD_WRITE, .len = 1 * MiB }));
	CHECK(put(&t, half, out, 300000));
	riser_publish_stop(t.p);
	t.p = NULL;
	close(deaf);
	close(half);
	close(fresh);
	bench_end(&t);
}

/* How many descriptors this process may have from now on: as many as there are, and @more. */
static void allow_descriptors(unsigned more)
{
	struct rlimit limit;
	int next = dup(0);

	close(next);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = (rlim_t)next + more;
	setrlimit(RLIMIT_NOFILE, &limit);
}

TEST(out_of_descriptors_clients_wait)
{
	struct rlimit before;
	struct nbd_greeting g;
	int fd;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	getrlimit(RLIMIT_NOFILE, &before);
	allow_descriptors(1);
	fd = dial(&t);
	settle(&t);
	setrlimit(RLIMIT_NOFILE, &before);
	CHECK(fd >= 0);
	CHECK_EQ(stats_of(&t).connections, 0);
	while (!stats_of(&t).connections) /* it looks again by itself */
		riser_exec_wait(t.x, UINT64_MAX);
	CHECK(get(&t, fd, &g, sizeof(g)));
	close(fd);
	bench_end(&t);
}

/* Buffers are memory with a descriptor, whose size counts as a file's. */
static void allow_buffers(bool yes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = yes ? limit.rlim_max : 0;
	setrlimit(RLIMIT_FSIZE, &limit);
}

TEST(out_of_memory_is_an_answer)
{
	uint32_t write_error, read_error, small_error;
	int fd, late;

	SUB(bench_start(&t, (struct riser_publish_opts){ 0 }));
	fd = attach(&t);
	signal(SIGXFSZ, SIG_IGN);
	allow_buffers(false);
	write_error = run_write(&t, fd, 0, sizeof(out), out);
	read_error = run_read(&t, fd, 0, sizeof(in), in);
	late = attach(&t);
	small_error = run_read(&t, late, 0, 512, in);
	allow_buffers(true);
	CHECK_EQ(write_error, NBD_ENOMEM);
	CHECK_EQ(read_error, NBD_ENOMEM);
	CHECK_EQ(small_error, NBD_ENOMEM);
	fill(out, sizeof(out), 8);
	CHECK_EQ(run_write(&t, fd, 0, sizeof(out), out), 0);
	CHECK_EQ(run_read(&t, late, 0, sizeof(in), in), 0);
	CHECK(!memcmp(in, out, sizeof(out)));
	close(fd);
	close(late);
	bench_end(&t);
}

/* The clock jumps while nobody speaks, so that a missing deadline hangs. */
TEST(handshakes_take_ten_seconds_at_the_most)
{
	int silent, slow, served;
	uint64_t start;

	SUB(bench_context_with(&t, "mem:64M", RISER_VIRTUAL_TIME));
	CHECK_EQ(bench_publish(&t, (struct riser_publish_opts){ 0 }), 0);
	start = riser_now(t.r);
	silent = dial(&t);
	slow = negotiate(&t);
	served = attach(&t);
	settle(&t);
	CHECK_EQ(stats_of(&t).active, 3);
	CHECK_EQ(riser_now(t.r), start);
	while (stats_of(&t).active > 1)
		riser_exec_wait(t.x, UINT64_MAX);
	CHECK_EQ(riser_now(t.r), start + 10 * NS_PER_S);
	CHECK(get(&t, silent, in, sizeof(struct nbd_greeting)));
	CHECK(closed(&t, silent));
	CHECK(closed(&t, slow));
	CHECK_EQ(run_read(&t, served, 0, 512, in), 0);
	close(silent);
	close(slow);
	close(served);
	bench_end(&t);
}

TEST_MAIN(CASE(an_unknown_publisher_suggests_the_nearest), CASE(the_uri_says_where),
	  CASE(a_unix_socket_goes_with_its_server),
	  CASE(a_stale_socket_is_replaced_and_a_live_one_is_not), CASE(places_that_do_not_exist),
	  CASE(tcp_on_a_free_port), CASE(a_socket_that_was_passed),
	  CASE(stopping_answers_what_was_asked), CASE(stopping_with_deaf_clients),
	  CASE(out_of_descriptors_clients_wait), CASE(out_of_memory_is_an_answer),
	  CASE(handshakes_take_ten_seconds_at_the_most))
