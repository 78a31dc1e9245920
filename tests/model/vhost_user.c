/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A card's model behind a socket: the driver on it, and clients that do not keep to the rules. */
#include "spec/vhost_user.h"
#include "../tap.h"
#include "base/barrier.h"
#include "base/event.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <riser/net.h>
#include <riser/publish.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define FRAMES 64u

struct server {
	char dir[64], path[96], uri[128];
	struct riser *r;
	struct riser_exec *x;
	struct riser_publish *p;
	struct riser_publish_stats stats; /* when it ended */
	pthread_t thread;
	uint32_t ends; /* atomic */
	char said[1024];
};

static void on_log(void *ctx, enum riser_log_level level, const char *line)
{
	struct server *s = ctx;
	size_t at = strlen(s->said);

	(void)level;
	snprintf(s->said + at, sizeof(s->said) - at, "%s\n", line);
}

static void *serve(void *arg)
{
	struct server *s = arg;

	while (!load_acquire(&s->ends))
		if (!riser_exec_poll(s->x))
			riser_exec_wait(s->x, 2 * NS_PER_MS);
	return NULL;
}

static bool server_start(struct server *s, const char *model)
{
	struct riser_opts opts = { .size = sizeof(opts), .log = on_log, .log_ctx = s };
	struct riser_err err;

	if (!*s->dir) {
		strcpy(s->dir, "/tmp/riser-vum-XXXXXX");
		if (!mkdtemp(s->dir))
			return false;
		snprintf(s->path, sizeof(s->path), "%s/sock", s->dir);
		snprintf(s->uri, sizeof(s->uri), "vhost-user:%s", s->path);
	}
	s->ends = 0;
	if (riser_new(&opts, &s->r, &err) || riser_exec_new(s->r, &s->x, &err) ||
	    riser_publish_model(s->x, model, s->path, &s->p, &err)) {
		printf("# %s\n", err.text);
		return false;
	}
	return !pthread_create(&s->thread, NULL, serve, s);
}

static void server_stop(struct server *s)
{
	store_release(&s->ends, 1u);
	pthread_join(s->thread, NULL);
	riser_publish_get_stats(s->p, &s->stats);
	riser_publish_stop(s->p);
	riser_exec_free(s->x);
	riser_free(s->r);
}

static void server_end(struct server *s)
{
	server_stop(s);
	rmdir(s->dir);
}

/* A client: the driver, as a port. */
struct client {
	struct riser *r;
	struct riser_exec *x;
	struct riser_port *port;
	struct riser_pool *pool;
	struct riser_port_queue *q;
	struct riser_err err;
};

static int client_open(struct client *c, const char *uri)
{
	struct riser_opts opts = { .size = sizeof(opts) };
	int rc;

	memset(c, 0, sizeof(*c));
	rc = riser_new(&opts, &c->r, &c->err);
	if (!rc)
		rc = riser_exec_new(c->r, &c->x, &c->err);
	if (!rc)
		rc = riser_port_open(c->r, uri, NULL, &c->port, &c->err);
	if (!rc)
		rc = riser_pool_new(c->r, c->port, 1024, 2048, &c->pool, &c->err);
	if (!rc)
		rc = riser_port_queue_open(c->port, 0, c->x, c->pool, &c->q, &c->err);
	if (rc)
		printf("# %s\n", c->err.text);
	return rc;
}

static void client_close(struct client *c)
{
	riser_port_queue_close(c->q);
	riser_pool_free(c->pool);
	riser_port_close(c->port);
	riser_exec_free(c->x);
	riser_free(c->r);
}

static struct riser_pkt *frame(struct client *c, unsigned n)
{
	struct riser_pkt *pkt = riser_pkt_get(c->pool);

	if (!pkt)
		return NULL;
	pkt->len = pkt->total = 60 + n * 17 % 1400;
	for (uint32_t i = 0; i < pkt->len; i++)
		pkt->data[i] = (uint8_t)(n + i);
	memset(pkt->data, 0xff, 6); /* to everybody */
	return pkt;
}

static bool is_frame(const struct riser_pkt *pkt, unsigned n)
{
	if (pkt->next || pkt->len != 60 + n * 17 % 1400)
		return false;
	for (uint32_t i = 6; i < pkt->len; i++)
		if (pkt->data[i] != (uint8_t)(n + i))
			return false;
	return true;
}

/* Send frames @from…, and see them come back in order. Return: how many did. */
static unsigned loop(struct client *c, unsigned n)
{
	unsigned sent = 0, back = 0, rounds = 0;

	while (back < n && rounds < 20000) {
		struct riser_pkt *pkt = sent < n && sent - back < FRAMES ? frame(c, sent) : NULL;
		int got;

		if (pkt && riser_port_tx(c->q, &pkt, 1) == 1)
			sent++;
		else if (pkt)
			riser_pkt_put(pkt);
		got = riser_port_rx(c->q, &pkt, 1);
		if (got == 1) {
			if (!is_frame(pkt, back))
				return back;
			riser_pkt_put(pkt);
			back++;
		} else if (sent == n || sent - back == FRAMES) {
			riser_exec_poll(c->x);
			usleep(100);
			rounds++;
		}
	}
	return back;
}

static void through(const char *model)
{
	struct server s = { 0 };
	struct client c;

	CHECK(server_start(&s, model));
	CHECK_EQ(client_open(&c, s.uri), 0);
	CHECK_EQ(loop(&c, 2000), 2000);
	client_close(&c);
	/* The next one finds it as new. */
	CHECK_EQ(client_open(&c, s.uri), 0);
	CHECK_EQ(loop(&c, 100), 100);
	client_close(&c);
	server_end(&s);
	CHECK_EQ(s.stats.connections, 2);
	CHECK_EQ(s.stats.errors, 0);
	CHECK_STR(s.said, "");
}

TEST(split)
{
	through("virtio-net?loop=1");
}

TEST(packed)
{
	through("virtio-net?loop=1&features=+PACKED");
}

static int dial(const struct server *s)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s", s->path);
	if (connect(fd, (struct sockaddr *)&at, sizeof(at))) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Has the server closed its end? */
static bool is_shown_out(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	while (poll(&p, 1, 10000) == 1) {
		ssize_t n = recv(fd, &byte, 1, 0);

		if (n <= 0)
			return true;
	}
	return false;
}

TEST(second)
{
	struct server s = { 0 };
	struct client c;
	int fd;

	CHECK(server_start(&s, "virtio-net?loop=1"));
	CHECK_EQ(client_open(&c, s.uri), 0);
	fd = dial(&s);
	CHECK(fd >= 0);
	CHECK(is_shown_out(fd));
	close(fd);
	CHECK_EQ(loop(&c, 100), 100); /* the first one does not notice */
	client_close(&c);
	server_end(&s);
	CHECK_HAS(s.said, "has a client already");
	CHECK_EQ(s.stats.connections, 1);
}

/* A client that is killed under load leaves nothing behind that the next one meets. */
TEST(killed)
{
	struct server s = { 0 };
	struct client c;

	CHECK(server_start(&s, "virtio-net?loop=1"));
	for (unsigned round = 0; round < 4; round++) {
		pid_t pid = fork();

		if (!pid) {
			if (client_open(&c, s.uri))
				_exit(1);
			for (;;)
				loop(&c, 1u << 20);
		}
		usleep(60000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		CHECK_EQ(client_open(&c, s.uri), 0);
		CHECK_EQ(loop(&c, 200), 200);
		client_close(&c);
	}
	server_end(&s);
}

/* The other way round: the server goes, another comes, and the client goes on by itself. */
TEST(restarted)
{
	struct server s = { 0 };
	struct client c;

	CHECK(server_start(&s, "virtio-net?loop=1"));
	CHECK_EQ(client_open(&c, s.uri), 0);
	for (unsigned round = 0; round < 4; round++) {
		struct riser_pkt *pkt;
		unsigned got = 0;

		CHECK_EQ(loop(&c, 100), 100);
		server_stop(&s);
		for (unsigned i = 0; i < 8; i++) {
			pkt = frame(&c, i);
			if (riser_port_tx(c.q, &pkt, 1) != 1)
				riser_pkt_put(pkt);
		}
		for (unsigned i = 0; i < 50; i++) {
			CHECK_EQ(riser_port_rx(c.q, &pkt, 1), 0);
			usleep(1000);
		}
		CHECK(server_start(&s, "virtio-net?loop=1"));
		/* What was under way is lost, and what follows is not. */
		for (unsigned i = 0; !got && i < 5000; i++) {
			pkt = frame(&c, 7);
			if (riser_port_tx(c.q, &pkt, 1) != 1)
				riser_pkt_put(pkt);
			usleep(1000);
			got = (unsigned)riser_port_rx(c.q, &pkt, 1);
			if (got)
				riser_pkt_put(pkt);
		}
		CHECK_EQ(got, 1);
		for (unsigned idle = 0; idle < 20; idle++) {
			usleep(1000);
			while (riser_port_rx(c.q, &pkt, 1) == 1) {
				riser_pkt_put(pkt);
				idle = 0;
			}
		}
	}
	client_close(&c);
	server_end(&s);
}

/* Messages by hand. */

static int tell(int fd, uint32_t request, const void *payload, uint32_t size, const int *fds,
		unsigned n)
{
	struct vhost_user_msg m = { .request = request, .size = size };

	memcpy((char *)&m + VHOST_USER_HEADER, payload, size);
	return vhost_user_send(fd, &m, fds, n);
}

/* Send one message on a new connection. Return: whether that was the end of it. */
static bool ends(struct server *s, uint32_t request, const void *payload, uint32_t size,
		 const int *fds, unsigned n)
{
	struct vhost_user_msg ask = { .request = VHOST_USER_GET_FEATURES };
	struct vhost_user_rx rx = { 0 };
	struct pollfd p = { .events = POLLIN };
	int rc = 0;

	p.fd = dial(s);
	if (p.fd < 0 || tell(p.fd, request, payload, size, fds, n))
		return false;
	/* Still there, it answers this. */
	(void)vhost_user_send(p.fd, &ask, NULL, 0);
	while (!rc && poll(&p, 1, 10000) == 1)
		rc = vhost_user_recv(p.fd, &rx);
	vhost_user_rx_done(&rx);
	close(p.fd);
	return rc < 0;
}

static int memfd(size_t size, unsigned seals)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return ftruncate(fd, (off_t)size) || fcntl(fd, F_ADD_SEALS, seals) ? -1 : fd;
}

static bool region_ends(struct server *s, int fd, uint64_t guest, uint64_t size, uint64_t offset)
{
	struct vhost_user_mem_reg reg = {
		.region = { .guest = guest, .size = size, .user = guest, .offset = offset }
	};

	return ends(s, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), &fd, 1);
}

TEST(memory)
{
	struct server s = { 0 };
	int sealed = memfd(1 << 16, F_SEAL_SHRINK), open_fd = memfd(1 << 16, 0);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	CHECK(sealed >= 0 && open_fd >= 0 && null >= 0);
	CHECK(server_start(&s, "virtio-net?loop=1"));
	CHECK(!region_ends(&s, sealed, 1 << 20, 1 << 16, 0));
	CHECK(!region_ends(&s, sealed, 1 << 20, 1 << 15, 1 << 15));
	CHECK(region_ends(&s, open_fd, 1 << 20, 1 << 16, 0));
	CHECK(region_ends(&s, null, 1 << 20, 1 << 16, 0));
	CHECK(region_ends(&s, sealed, 1 << 20, (1 << 16) + 1, 0));
	CHECK(region_ends(&s, sealed, 1 << 20, 1 << 16, 1));
	CHECK(region_ends(&s, sealed, 1 << 20, 0, 0));
	CHECK(region_ends(&s, sealed, UINT64_MAX - 100, 1 << 16, 0));
	CHECK(region_ends(&s, sealed, 1 << 20, 1 << 16, UINT64_MAX - 100));
	close(sealed);
	close(open_fd);
	close(null);
	server_end(&s);
	CHECK_HAS(s.said, "it could shorten under our feet");
	CHECK_HAS(s.said, "ends before its region does");
	CHECK_HAS(s.said, "or the end of all");
}

TEST(events)
{
	struct server s = { 0 };
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), event = event_new(), pipes[2];
	uint64_t index = 0, none = VHOST_USER_VRING_NO_FD, beyond = 77;

	CHECK(!pipe(pipes));
	CHECK(server_start(&s, "virtio-net?loop=1"));
	for (uint32_t r = VHOST_USER_SET_VRING_KICK; r <= VHOST_USER_SET_VRING_ERR; r++) {
		CHECK(!ends(&s, r, &index, 8, &event, 1));
		CHECK(!ends(&s, r, &none, 8, NULL, 0));
		CHECK(ends(&s, r, &index, 8, NULL, 0));
		CHECK(ends(&s, r, &none, 8, &event, 1));
		CHECK(ends(&s, r, &beyond, 8, &event, 1));
		CHECK(ends(&s, r, &index, 8, &null, 1));
		CHECK(ends(&s, r, &index, 8, pipes, 1));
		CHECK(ends(&s, r, &index, 8, pipes, 2));
		CHECK(ends(&s, r, &index, 4, &event, 1));
	}
	close(null);
	close(event);
	close(pipes[0]);
	close(pipes[1]);
	server_end(&s);
	CHECK_HAS(s.said, "is no eventfd");
}

TEST(sizes)
{
	static const uint32_t harmless[] = {
		VHOST_USER_SET_OWNER,     VHOST_USER_RESET_OWNER,
		VHOST_USER_GET_FEATURES,  VHOST_USER_GET_PROTOCOL_FEATURES,
		VHOST_USER_GET_QUEUE_NUM, VHOST_USER_GET_MAX_MEM_SLOTS
	};
	struct server s = { 0 };
	uint8_t zeroes[300] = { 0 };
	uint64_t bits = 1ull << 62;

	CHECK(server_start(&s, "virtio-net?loop=1"));
	for (uint32_t r = 0; r < 45; r++) {
		bool known = false;

		for (size_t i = 0; i < array_len(harmless); i++)
			known |= harmless[i] == r;
		CHECK_EQ(ends(&s, r, zeroes, 0, NULL, 0), !known);
		CHECK(ends(&s, r, zeroes, 3, NULL, 0));
	}
	CHECK(ends(&s, VHOST_USER_SET_FEATURES, &bits, 8, NULL, 0));
	CHECK(ends(&s, VHOST_USER_SET_PROTOCOL_FEATURES, &bits, 8, NULL, 0));
	server_end(&s);
}

TEST_MAIN(CASE(split), CASE(packed), CASE(second), CASE(killed), CASE(restarted), CASE(memory),
	  CASE(events), CASE(sizes))
