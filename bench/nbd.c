/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What serving a block over NBD costs the server, beside other people's servers.
 *
 *	nbd			a table
 *	nbd --json		one JSON object a line; --only cpu|iops|calls|copy: that figure
 *alone nbd --run NAME --ios N	one load alone, on riser, N I/Os a round
 *
 * Every server exports nothing (null) over a unix socket of its own, for the whole run. One and the
 * same client, below, keeps a number of 4 KiB commands in flight on one of them at a time, a second
 * or so, and the servers take turns, several times around: what else the machine does hits them
 * alike. What is printed is the median of the rounds. CPU is that of all of the server's threads,
 * by the scheduler's own account in nanoseconds, not the client's.
 *
 * The client is cheap, so that it is not what is measured: fixed-size answers, everything that came
 * in one recv, as many new commands as answers were there in one send.
 *
 * System calls are counted by a library that is preloaded into the server (calls.c), in a run of
 * its own: strace would slow the server down, let commands pile up, and flatter it.
 */
#include "spec/nbd.h"
#include "base/util.h"
#include "bench.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS   5
#define BLOCK    4096
#define DEVICE   (1ull << 30)
#define COPIES   8 /* nbdcopy reads that many GiB */
#define QD_MAX   128
#define ANSWER   (sizeof(struct nbd_simple_reply) + BLOCK)
#define COMMAND  (sizeof(struct nbd_command_header) + BLOCK)
#define NSERVERS 3

struct load {
	const char *name;
	enum nbd_command type;
	unsigned depth;
	uint64_t ios; /* of a round */
};

static const struct load loads[] = {
	{ "nbd.read4k.qd1", NBD_CMD_READ, 1, 40000 },
	{ "nbd.read4k.qd32", NBD_CMD_READ, 32, 200000 },
	{ "nbd.write4k.qd1", NBD_CMD_WRITE, 1, 40000 },
	{ "nbd.write4k.qd32", NBD_CMD_WRITE, 32, 200000 },
};
#define NLOADS (sizeof(loads) / sizeof(loads[0]))

struct server {
	const char *name;
	const char *program; /* NULL: riser, found beside this benchmark */
	const char *args[8]; /* SOCKET stands for the socket's path */
	pid_t pid;
	int fd;
	char path[64];
};

static struct server servers[NSERVERS] = {
	{ "riser", NULL, { "publish", "null:1G", "nbd:", "--socket", "SOCKET" } },
	{ "qemu-storage-daemon",
	  "qemu-storage-daemon",
	  { "--blockdev", "driver=null-co,node-name=d,size=1073741824,read-zeroes=off",
	    "--nbd-server", "addr.type=unix,addr.path=SOCKET", "--export",
	    "type=nbd,id=e,node-name=d,name=,writable=on" } },
	{ "nbdkit", "nbdkit", { "-f", "-U", "SOCKET", "null", "size=1G" } },
};

struct sample {
	double cpu, iops;
};

static char riser_path[4200], calls_path[4200], scratch[] = "/tmp/riser-bench-XXXXXX";

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Nanoseconds that all of a process's threads ran; those that ended are not in it. */
static uint64_t cpu_ns(pid_t pid)
{
	char path[64];
	uint64_t sum = 0;
	struct dirent *e;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		die(path);
	while ((e = readdir(d))) {
		char name[400];
		unsigned long long ns;
		FILE *f;

		snprintf(name, sizeof(name), "%s/%s/schedstat", path, e->d_name);
		f = e->d_name[0] == '.' ? NULL : fopen(name, "re");
		if (f && fscanf(f, "%llu", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

static void read_all(int fd, void *to, size_t len)
{
	uint8_t *at = to;

	while (len) {
		ssize_t n = recv(fd, at, len, 0);

		if (n <= 0)
			die("the server hung up");
		at += n;
		len -= (size_t)n;
	}
}

static void write_all(int fd, const void *from, size_t len)
{
	const uint8_t *at = from;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			die("the server hung up");
		at += n;
		len -= (size_t)n;
	}
}

/* Simple replies: no option but the one that has no answer besides the export. */
static void handshake(int fd)
{
	struct {
		riser_be32 flags;
		struct nbd_option o;
	} __attribute__((packed)) hello = {
		.flags = to_be32(NBD_FLAG_FIXED_NEWSTYLE | NBD_FLAG_NO_ZEROES),
		.o = { to_be64(NBD_OPTION_MAGIC), to_be32(NBD_OPT_EXPORT_NAME), to_be32(0) },
	};
	struct nbd_export_reply export;
	struct nbd_greeting g;

	read_all(fd, &g, sizeof(g));
	write_all(fd, &hello, sizeof(hello));
	read_all(fd, &export, sizeof(export));
}

static int dial(const char *path)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(at.sun_path, path);
	for (unsigned i = 0; i < 1000; i++) {
		if (!connect(fd, (struct sockaddr *)&at, sizeof(at))) {
			handshake(fd);
			return fd;
		}
		usleep(10000);
	}
	die(path);
}

static void become(const struct server *s, bool counted)
{
	const char *argv[12] = { s->program ? s->program : riser_path };
	static char text[200];
	unsigned n = 1;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (const char *const *a = s->args; *a; a++) {
		const char *at = strstr(*a, "SOCKET");

		argv[n++] = at ? text : *a;
		if (at)
			snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - *a), *a, s->path,
				 at + 6);
	}
	if (counted)
		setenv("LD_PRELOAD", calls_path, 1);
	close(1);
	open("/dev/null", O_WRONLY);
	execvp(argv[0], (char **)(uintptr_t)argv);
	_exit(127);
}

/* Return: false where the program is not installed. */
static bool start(struct server *s, bool counted)
{
	static unsigned number;
	int status;

	snprintf(s->path, sizeof(s->path), "%s/%u", scratch, number++);
	s->pid = fork();
	if (s->pid < 0)
		die("fork");
	if (!s->pid)
		become(s, counted);
	usleep(200000);
	if (waitpid(s->pid, &status, WNOHANG) == s->pid) {
		fprintf(stderr, "bench: no %s\n", s->name);
		s->pid = 0;
		return false;
	}
	s->fd = dial(s->path);
	return true;
}

static void stop(struct server *s)
{
	if (!s->pid)
		return;
	close(s->fd);
	kill(s->pid, SIGTERM);
	waitpid(s->pid, NULL, 0);
	unlink(s->path);
	s->pid = 0;
}

/* @n more commands, in one send. */
static void ask(int fd, const struct load *l, unsigned n)
{
	static uint8_t out[QD_MAX * COMMAND];
	size_t len = sizeof(struct nbd_command_header) + (l->type == NBD_CMD_WRITE ? BLOCK : 0);
	static uint64_t cookie;

	for (unsigned i = 0; i < n; i++, cookie++) {
		struct nbd_command_header h = {
			.magic = to_be32(NBD_REQUEST_MAGIC),
			.type = to_be16((uint16_t)l->type),
			.cookie = to_be64(cookie),
			.offset = to_be64(cookie * 7919 % (DEVICE / BLOCK) * BLOCK),
			.len = to_be32(BLOCK),
		};

		memcpy(out + i * len, &h, sizeof(h));
	}
	write_all(fd, out, n * len);
}

static void run(int fd, const struct load *l)
{
	static uint8_t in[QD_MAX * ANSWER];
	size_t len = l->type == NBD_CMD_READ ? ANSWER : sizeof(struct nbd_simple_reply);
	uint64_t asked = l->depth, answered = 0;
	size_t have = 0;

	ask(fd, l, l->depth);
	while (answered < l->ios) {
		ssize_t n = recv(fd, in + have, sizeof(in) - have, 0);
		unsigned whole, more;

		if (n <= 0)
			die("the server hung up");
		have += (size_t)n;
		whole = (unsigned)(have / len);
		for (unsigned i = 0; i < whole; i++) {
			struct nbd_simple_reply r;

			memcpy(&r, in + i * len, sizeof(r));
			if (be32(r.magic) != NBD_SIMPLE_REPLY_MAGIC || be32(r.error)) {
				errno = EPROTO;
				die("a wrong answer");
			}
		}
		have -= whole * len;
		memmove(in, in + whole * len, have);
		answered += whole;
		more = (unsigned)(l->ios - asked < whole ? l->ios - asked : whole);
		asked += more;
		if (more)
			ask(fd, l, more);
	}
}

static struct sample measure(const struct server *s, const struct load *l)
{
	uint64_t cpu, start_ns;
	struct sample sample;

	cpu = cpu_ns(s->pid);
	start_ns = now_ns();
	run(s->fd, l);
	start_ns = now_ns() - start_ns;
	usleep(1000); /* what the server does behind its last answer counts too */
	cpu = cpu_ns(s->pid) - cpu;
	sample.cpu = (double)cpu / 1e3 / (double)l->ios;
	sample.iops = (double)l->ios * 1e9 / (double)start_ns;
	return sample;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, unsigned n)
{
	qsort(v, n, sizeof(*v), by_value);
	return v[n / 2];
}

static bool wants(const struct bench *b, const char *what)
{
	return !b->only || !strcmp(b->only, what);
}

static void print_peers(const struct bench *b, const char *name, const char *what,
			const double *values, const char *unit)
{
	bench_print(b, name, what, values[0], unit);
	for (unsigned i = 1; i < NSERVERS; i++)
		if (servers[i].pid)
			bench_print_peer(b, name, what, values[0], unit, servers[i].name,
					 values[i]);
}

static void compare(const struct bench *b, const struct load *l)
{
	double cpu[NSERVERS][ROUNDS], iops[NSERVERS][ROUNDS], mid[NSERVERS];

	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < NSERVERS; i++) {
			struct sample s = { 0 };

			if (servers[i].pid)
				s = measure(&servers[i], l);
			cpu[i][round] = s.cpu;
			iops[i][round] = s.iops;
		}
	for (unsigned i = 0; i < NSERVERS; i++)
		mid[i] = median(cpu[i], ROUNDS);
	if (wants(b, "cpu"))
		print_peers(b, l->name, "cpu", mid, "us of server CPU per I/O");
	for (unsigned i = 0; i < NSERVERS; i++)
		mid[i] = median(iops[i], ROUNDS);
	if (wants(b, "iops"))
		print_peers(b, l->name, "iops", mid, "I/Os per second");
}

/* In a shared page: the count so far. */
static volatile uint64_t *share_count(void)
{
	char path[64];
	void *page;
	int fd;

	snprintf(path, sizeof(path), "%s/calls", scratch);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, BLOCK))
		die(path);
	page = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		die(path);
	close(fd);
	setenv("RISER_BENCH_CALLS", path, 1);
	return page;
}

static void count_calls(const struct bench *b)
{
	volatile uint64_t *count = share_count();
	char path[64];

	for (unsigned i = 0; i < NLOADS; i++) {
		struct server s = servers[0];
		double per_io[ROUNDS];

		s.pid = 0;
		if (!start(&s, true))
			exit(1);
		for (unsigned round = 0; round < ROUNDS; round++) {
			uint64_t before = *count;

			run(s.fd, &loads[i]);
			per_io[round] = (double)(*count - before) / (double)loads[i].ios;
		}
		stop(&s);
		bench_print(b, loads[i].name, "calls", median(per_io, ROUNDS),
			    "system calls per I/O");
	}
	snprintf(path, sizeof(path), "%s/calls", scratch);
	unlink(path);
}

/* GB/s that nbdcopy reads from @s and throws away. */
static double copy_rate(const struct server *s)
{
	char command[400];
	uint64_t t = now_ns();

	snprintf(command, sizeof(command),
		 "nbdcopy --no-extents 'nbd+unix:///?socket=%s' null:", s->path);
	for (unsigned i = 0; i < COPIES; i++)
		if (system(command))
			return 0;
	return (double)DEVICE * COPIES / (double)(now_ns() - t);
}

static void copy(const struct bench *b)
{
	double rate[NSERVERS][ROUNDS], mid[NSERVERS];

	if (system("command -v nbdcopy >/dev/null")) {
		fprintf(stderr, "bench: no nbdcopy\n");
		return;
	}
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < NSERVERS; i++)
			rate[i][round] = servers[i].pid ? copy_rate(&servers[i]) : 0;
	for (unsigned i = 0; i < NSERVERS; i++)
		mid[i] = median(rate[i], ROUNDS);
	print_peers(b, "nbd.copy", "rate", mid, "GB/s by nbdcopy");
}

/* .../bench/nbd → .../src/cli/riser and .../bench/libcalls.so */
static void find_programs(const char *self)
{
	const char *slash = strrchr(self, '/');
	int dir = slash ? (int)(slash - self) : 0;

	snprintf(riser_path, sizeof(riser_path), "%.*s/../src/cli/riser", dir, self);
	snprintf(calls_path, sizeof(calls_path), "%.*s/libcalls.so", dir, self);
	if (access(riser_path, X_OK))
		die(riser_path);
}

static void run_alone(const char *name, uint64_t ios)
{
	for (unsigned i = 0; i < NLOADS; i++) {
		struct load l = loads[i];

		if (strcmp(l.name, name))
			continue;
		l.ios = ios;
		if (!start(&servers[0], false))
			exit(1);
		run(servers[0].fd, &l);
		stop(&servers[0]);
		return;
	}
	errno = ENOENT;
	die(name);
}

int main(int argc, char **argv)
{
	struct bench bench = { .ios = 100000 };

	if (!bench_parse(&bench, argc, argv))
		return 2;
	find_programs(bench.self);
	if (!mkdtemp(scratch))
		die(scratch);
	if (bench.run) {
		run_alone(bench.run, bench.ios);
	} else {
		if (wants(&bench, "cpu") || wants(&bench, "iops") || wants(&bench, "copy"))
			for (unsigned i = 0; i < NSERVERS; i++)
				if (!start(&servers[i], false) && !i)
					return 1;
		for (unsigned i = 0; i < NLOADS; i++)
			if (wants(&bench, "cpu") || wants(&bench, "iops"))
				compare(&bench, &loads[i]);
		if (wants(&bench, "copy"))
			copy(&bench);
		for (unsigned i = 0; i < NSERVERS; i++)
			stop(&servers[i]);
		if (wants(&bench, "calls"))
			count_calls(&bench);
	}
	rmdir(scratch);
	return 0;
}
