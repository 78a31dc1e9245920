/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Hand a device on to other programs, in the foreground, until SIGINT, SIGTERM or SIGHUP, or until
 * the command of --run ends. Signals arrive through a descriptor, so that the executor waits for
 * clients, device, child and user alike.
 */
#include "cli/dev.h"
#include "cli/json.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <riser/publish.h>
#include <riser/util.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define NBD_PORT     10809
#define FIRST_PASSED 3 /* descriptor, of those that a service manager passes */

struct args {
	const char *socket;
	const char *host;
	uint32_t port;
	const char *name;
	bool readonly, foreground;
	const char *run;
	int listen_fd; /* passed by a service manager, or 0 */
};

struct publication {
	struct cli *c;
	struct args a;
	struct dev d;
	struct riser_publish *p;
	char dir[32];               /* made for the socket of --run, or "" */
	char socket[64];            /* in @dir */
	sigset_t before;            /* the signal mask that a child gets */
	struct riser_watch signals; /* a signalfd; -1: none yet */
	bool watched;
	pid_t child;
	bool group; /* @child leads a process group of its own */
	int status; /* of the child, from waitpid() */
	bool stop, child_ended;
};

/* "nbd:" → "nbd". Return: 0, or an exit code for what is no publisher. */
static int kind_of(struct cli *c, const char *arg, char *kind, size_t len)
{
	const char *names[16], *name, *near;
	size_t n = strcspn(arg, ":");
	unsigned k = 0;

	snprintf(kind, len, "%.*s", (int)n, arg);
	while (k + 1 < array_len(names) && (name = riser_schemes(c->r, RISER_URI_PUBLISH, k)))
		names[k++] = name;
	names[k] = NULL;
	for (unsigned i = 0; i < k; i++)
		if (!strcmp(names[i], kind) && arg[n] == ':' && !arg[n + 1])
			return 0;
	if (arg[n] && arg[n + 1])
		return cli_fail(c, CLI_USAGE, "'%s': nothing may follow the colon", arg);
	near = riser_nearest(kind, names);
	return cli_fail(c, CLI_USAGE, "unknown publisher '%s'%s%s%s", arg,
			near ? "; did you mean '" : "", near ? near : "", near ? ":'?" : "");
}

static int check_args(struct cli *c, const struct args *a)
{
	if (a->socket && a->port != UINT32_MAX)
		return cli_fail(c, CLI_USAGE, "--socket and --port exclude each other");
	if (a->port != UINT32_MAX && a->port > UINT16_MAX)
		return cli_fail(c, CLI_USAGE, "--port wants 0 to 65535");
	return 0;
}

/*
 * Has a service manager made the socket, as sd_listen_fds(3) says? Then that is where clients come
 * in, and children must not think that it is for them.
 */
static int take_passed(struct cli *c, struct args *a)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

	if (!pid || !fds || strtol(pid, NULL, 10) != getpid())
		return 0;
	if (strcmp(fds, "1"))
		return cli_fail(c, CLI_USAGE, "the service manager passes %s sockets, not one",
				fds);
	if (a->socket || a->host || a->port != UINT32_MAX)
		return cli_fail(c, CLI_USAGE,
				"the service manager passes a socket: leave --socket, "
				"--port and --host to it");
	a->listen_fd = FIRST_PASSED;
	fcntl(a->listen_fd, F_SETFD, FD_CLOEXEC);
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	return 0;
}

/* With --run and no place named, a socket in a new directory that only this user enters. */
static int private_socket(struct publication *p)
{
	strcpy(p->dir, "/tmp/riser-XXXXXX");
	if (!mkdtemp(p->dir)) {
		int err = errno;

		*p->dir = 0;
		return cli_fail(p->c, CLI_FAILED, "no directory for a socket in /tmp: %s",
				strerror(err));
	}
	snprintf(p->socket, sizeof(p->socket), "%s/socket", p->dir);
	p->a.socket = p->socket;
	return 0;
}

static int take_signals(struct publication *p)
{
	struct sigaction hup;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	/* A terminal that is closed; but not under nohup, which a signalfd would not know of. */
	if (!sigaction(SIGHUP, NULL, &hup) && hup.sa_handler != SIG_IGN)
		sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, &p->before);
	p->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (p->signals.fd < 0)
		return cli_fail(p->c, CLI_FAILED, "no descriptor for signals: %s", strerror(errno));
	return 0;
}

static void see_signals(struct riser_watch *w, uint32_t events)
{
	struct publication *p =
		(struct publication *)((char *)w - offsetof(struct publication, signals));
	struct signalfd_siginfo si;

	(void)events;
	while (read(w->fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo != SIGCHLD)
			p->stop = true;
		else if (p->child && waitpid(p->child, &p->status, WNOHANG) == p->child)
			p->child_ended = p->stop = true;
	}
}

static int watch_signals(struct publication *p)
{
	int rc = riser_exec_watch(p->c->x, &p->signals, RISER_WATCH_IN);

	p->watched = !rc;
	return rc ? cli_fail(p->c, CLI_FAILED, "cannot wait for signals: %s", strerror(-rc)) : 0;
}

static void serve(struct publication *p)
{
	while (!p->stop)
		riser_exec_wait(p->c->x, UINT64_MAX);
}

static void become_command(const struct publication *p)
{
	if (p->group)
		setpgid(0, 0);
	sigprocmask(SIG_SETMASK, &p->before, NULL);
	signal(SIGPIPE, SIG_DFL);
	setenv("uri", riser_publish_uri(p->p), 1);
	setenv("socket", p->a.socket ? p->a.socket : "", 1);
	execl("/bin/sh", "sh", "-c", p->a.run, (char *)NULL);
	_exit(127);
}

static int start_command(struct publication *p)
{
	fflush(stdout);
	/* At a terminal a group of its own would be one in the background, which may not read. */
	p->group = !isatty(STDIN_FILENO);
	p->child = fork();
	if (p->child < 0) {
		p->child = 0;
		return cli_fail(p->c, CLI_FAILED, "no process for --run: %s", strerror(errno));
	}
	if (!p->child)
		become_command(p);
	/* Here too, so that it is done before anybody may want to signal the group. */
	if (p->group)
		setpgid(p->child, p->child);
	return 0;
}

/*
 * The user stopped us while the command runs: it goes first, with all that it started, so that it
 * sees a working device.
 */
static void end_command(struct publication *p)
{
	if (!p->child || p->child_ended)
		return;
	kill(p->group ? -p->child : p->child, SIGTERM);
	p->stop = false;
	serve(p);
}

static void announce(struct publication *p)
{
	struct json j;

	if (p->c->format != FORMAT_JSON) {
		printf("%s\n", riser_publish_uri(p->p));
	} else {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_str(&j, "uri", riser_publish_uri(p->p));
		json_str(&j, "device", p->d.uri);
		json_u64(&j, "size", p->d.bytes);
		json_bool(&j, "read_only", p->a.readonly);
		json_end(&j);
	}
	fflush(stdout);
}

static int exit_of_command(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int start(struct publication *p, const char *kind)
{
	struct riser_publish_opts o = {
		.size = sizeof(o),
		.socket = p->a.socket,
		.host = p->a.host,
		.port = p->a.socket || p->a.listen_fd ? -1
			: p->a.port != UINT32_MAX     ? (int)p->a.port
						      : NBD_PORT,
		.name = p->a.name,
		.read_only = p->a.readonly,
		.listen_fd = p->a.listen_fd,
	};
	int rc = riser_publish(p->d.b, p->c->x, kind, &o, &p->p, &p->c->err);

	return rc ? cli_fail_err(p->c, rc) : 0;
}

static int publish(struct publication *p)
{
	char kind[16];
	int rc = check_args(p->c, &p->a);

	if (!rc)
		rc = take_passed(p->c, &p->a);
	if (!rc)
		rc = cli_context(p->c);
	if (!rc)
		rc = kind_of(p->c, p->c->arg[1], kind, sizeof(kind));
	/* Before a device starts a thread, which would take the signals otherwise. */
	if (!rc)
		rc = take_signals(p);
	if (!rc)
		rc = dev_open(p->c, &p->d, p->c->arg[0],
			      p->a.readonly ? 0 : DEV_WRITE | DEV_OR_READ, 0);
	if (!rc && p->a.run && !p->a.socket && p->a.port == UINT32_MAX && !p->a.listen_fd)
		rc = private_socket(p);
	if (!rc)
		rc = start(p, kind);
	if (!rc && p->a.run)
		rc = start_command(p);
	else if (!rc)
		announce(p);
	if (!rc)
		rc = watch_signals(p);
	if (rc)
		return rc;
	serve(p);
	end_command(p);
	return p->child ? exit_of_command(p->status) : CLI_OK;
}

static int run(struct cli *c)
{
	struct publication p = { .c = c, .a.port = UINT32_MAX, .signals = { -1, see_signals } };
	int rc = cli_parse(c, &p.a);

	if (!rc)
		rc = publish(&p);
	riser_publish_stop(p.p);
	dev_close(&p.d);
	if (p.watched)
		riser_exec_unwatch(c->x, &p.signals);
	if (p.signals.fd >= 0)
		close(p.signals.fd);
	if (*p.dir) {
		unlink(p.socket);
		rmdir(p.dir);
	}
	return rc;
}

static const struct opt opts[] = {
	{ "socket", 'U', OPT_IS_TEXT(struct args, socket), "PATH", "listen on a unix socket" },
	{ "port", 'p', OPT_IS_NUM32(struct args, port), "N",
	  "listen on a TCP port; default 10809, 0 takes a free one" },
	{ "host", 0, OPT_IS_TEXT(struct args, host), "ADDRESS",
	  "of the TCP port; default 127.0.0.1" },
	{ "name", 'e', OPT_IS_TEXT(struct args, name), "NAME", "of the export; default empty" },
	{ "readonly", 'r', OPT_IS_BOOL(struct args, readonly), NULL, "refuse writes" },
	{ "run", 0, OPT_IS_TEXT(struct args, run), "CMD",
	  "run a shell command with $uri and $socket, stop when it ends, exit as it did" },
	{ "foreground", 'f', OPT_IS_BOOL(struct args, foreground), NULL,
	  "stay in the foreground; there is nothing else yet" },
	{ 0 },
};

const struct cmd cmd_publish = {
	.name = "publish",
	.args = "URI PUBLISHER:",
	.summary = "hand a device on to other programs",
	.example = "riser publish model:nvme nbd: --run 'nbdinfo \"$uri\"'",
	.opts = opts,
	.flags = CMD_DESTROYS,
	.run = run,
};
