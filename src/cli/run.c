/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Run a program that drives a PCI function, and give the function back to the kernel afterwards,
 * whatever way the program ends.
 *
 * The supervisor is another process than the program and stays root. It keeps away from the device
 * while the program lives, adopts what the program leaves behind (PR_SET_CHILD_SUBREAPER), and asks
 * the kernel to spare it when memory runs out. Before the program starts, the record of the former
 * driver and a note of who supervises are in /run/riser: if the supervisor itself is killed, the
 * program is told to end (PR_SET_PDEATHSIG), and riser restore finishes the work from there.
 *
 * Afterwards, in this order: nobody may have the function open; the controller is brought up once
 * and shut down, so that what it had in its cache is durable; the function is reset and gets its
 * former driver, and its block devices have to come back.
 */
#include "cli/note.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <riser/util.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_GRACE_S 10
#define LOOK_NS         100000000 /* between looks for who has a function open */
#define USES_MAX        8
#define EXEC_FAILED     127
#define SPARED          "-1000" /* for oom_score_adj */

static const int passed_on[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

struct args {
	struct opt_texts bdf;
	const char *user;
	uint32_t grace;
};

/**
 * struct function - what is to be given back
 * @was: as it stood before
 * @disks: the kernel had block devices there
 */
struct function {
	struct riser_host_pci was;
	bool disks;
};

struct supervisor {
	struct cli *c;
	struct args a;
	const struct passwd *user; /* whom the program runs as; NULL for root */
	struct riser_host *h;
	struct function f[OPT_TEXTS_MAX];
	unsigned n;
	sigset_t signals, before; /* what is waited for; the mask that the program gets */
	bool terminal;            /* the program has the terminal in its foreground */
	char oom[16];             /* our oom_score_adj before */
	pid_t child;
	int status; /* of the child, from waitpid() */
	bool ended, hurry;
};

static void say(const struct supervisor *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say(const struct supervisor *s, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "riser %s: ", s->c->verb);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
}

/* ---- before ---- */

static int find_user(struct supervisor *s)
{
	uint64_t uid;

	if (!s->a.user)
		return 0;
	s->user = getpwnam(s->a.user);
	if (!s->user && !riser_parse_u64(s->a.user, &uid) && uid < UINT32_MAX)
		s->user = getpwuid((uid_t)uid);
	return s->user ? 0 : cli_fail(s->c, CLI_USAGE, "there is no user '%s'", s->a.user);
}

/* Does another supervisor have it? */
static int check_alone(struct supervisor *s, const char *bdf)
{
	struct note there;

	if (!note_read(bdf, &there) || !there.alive)
		return 0;
	return cli_fail(s->c, CLI_MISSING, "%s is supervised by riser run, pid %d (%s)", bdf,
			there.pid, there.command);
}

static int look(struct supervisor *s)
{
	for (s->n = 0; s->n < s->a.bdf.n; s->n++) {
		struct function *f = &s->f[s->n];
		char disks[64];
		int rc = riser_host_pci_get(s->h, s->a.bdf.text[s->n], &f->was, &s->c->err);

		if (rc)
			return cli_fail_err(s->c, rc);
		rc = check_alone(s, f->was.bdf);
		if (rc)
			return rc;
		f->disks = riser_host_disks(s->h, f->was.bdf, disks, sizeof(disks));
	}
	return 0;
}

static int no_note(struct supervisor *s, int rc)
{
	return riser_err_set(&s->c->err, rc, "no note can be left in /run/riser: %s%s",
			     strerror(-rc), rc == -EACCES ? " (run this with sudo)" : "");
}

/* Hand the functions to vfio-pci, with a note of it first. */
static int take(struct supervisor *s)
{
	struct riser_host_bind o = { .size = sizeof(o), .set_owner = true, .gid = UINT32_MAX };
	const char *bdf[OPT_TEXTS_MAX];
	struct riser_host_plan *p;
	int rc;

	o.uid = s->user ? s->user->pw_uid : 0;
	for (unsigned i = 0; i < s->n; i++)
		bdf[i] = s->f[i].was.bdf;
	rc = riser_host_plan_bind(s->h, bdf, s->n, &o, &p, &s->c->err);
	if (rc)
		return cli_fail_err(s->c, rc);
	for (unsigned i = 0; !rc && i < s->n; i++)
		rc = note_write(bdf[i], s->c->command[0]);
	if (rc)
		no_note(s, rc);
	else
		rc = riser_host_plan_run(p, &s->c->err);
	riser_host_plan_free(p);
	if (!rc)
		return 0;
	for (unsigned i = 0; i < s->n; i++)
		note_remove(bdf[i]);
	return cli_fail_err(s->c, rc);
}

static void take_signals(struct supervisor *s)
{
	sigemptyset(&s->signals);
	sigaddset(&s->signals, SIGCHLD);
	for (size_t i = 0; i < array_len(passed_on); i++) {
		struct sigaction now;

		/* What is ignored, as SIGHUP under nohup, stays so, for the program too. */
		if (!sigaction(passed_on[i], NULL, &now) && now.sa_handler != SIG_IGN)
			sigaddset(&s->signals, passed_on[i]);
	}
	sigprocmask(SIG_BLOCK, &s->signals, &s->before);
}

/* As one act, or two of us would take one function, and the note of one would be lost. */
static int look_and_take(struct supervisor *s)
{
	int lock = note_lock(), rc;

	if (lock < 0)
		return cli_fail_err(s->c, no_note(s, lock));
	rc = look(s);
	if (!rc) {
		/* From here on nothing ends us but what is done. */
		take_signals(s);
		rc = take(s);
	}
	close(lock);
	return rc;
}

/* ---- the program ---- */

/* Was it to end before it began? Return: the exit code of who is ended by a signal, or 0. */
static int asked_to_end(const struct supervisor *s)
{
	struct timespec now = { 0 };
	int sig;

	while ((sig = sigtimedwait(&s->signals, NULL, &now)) > 0)
		if (sig != SIGCHLD) /* modprobe's */
			return 128 + sig;
	return 0;
}

static void write_oom(const char *value)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, value, strlen(value)) < 0)
		value = NULL; /* only root may, and it is no more than a precaution */
	if (fd >= 0)
		close(fd);
}

static void be_spared(struct supervisor *s)
{
	int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, s->oom, sizeof(s->oom) - 1);

	s->oom[n < 0 ? 0 : n] = 0;
	if (fd >= 0)
		close(fd);
	write_oom(SPARED);
}

/* Give the terminal to a process group; who is in the background may do so only unheard. */
static void give_terminal(pid_t group)
{
	sigset_t ttou, before;

	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	sigprocmask(SIG_BLOCK, &ttou, &before);
	tcsetpgrp(STDIN_FILENO, group);
	sigprocmask(SIG_SETMASK, &before, NULL);
}

/* Become the user, who may then lock what VFIO wants locked. */
static bool drop(const struct passwd *pw)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	if (!pw)
		return true;
	setrlimit(RLIMIT_MEMLOCK, &all);
	if (initgroups(pw->pw_name, pw->pw_gid) || setgid(pw->pw_gid) || setuid(pw->pw_uid))
		return false;
	setenv("HOME", pw->pw_dir, 1);
	setenv("USER", pw->pw_name, 1);
	setenv("LOGNAME", pw->pw_name, 1);
	return true;
}

static _Noreturn void become_program(const struct supervisor *s, pid_t supervisor)
{
	setpgid(0, 0);
	if (s->terminal)
		give_terminal(getpid());
	write_oom(s->oom);
	if (!drop(s->user)) {
		say(s, "cannot become %s: %s", s->user->pw_name, strerror(errno));
		_exit(EXEC_FAILED);
	}
	/* Last, as a change of user forgets it; and it may have come too late. */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != supervisor)
		_exit(EXEC_FAILED);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &s->before, NULL);
	execvp(s->c->command[0], s->c->command);
	say(s, "%s cannot be run: %s", s->c->command[0], strerror(errno));
	_exit(errno == ENOENT ? EXEC_FAILED : EXEC_FAILED - 1);
}

static int start(struct supervisor *s)
{
	pid_t self = getpid();

	be_spared(s);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	s->terminal = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp();
	fflush(stdout);
	s->child = fork();
	if (s->child < 0)
		return cli_fail(s->c, CLI_FAILED, "no process for %s: %s", s->c->command[0],
				strerror(errno));
	if (!s->child)
		become_program(s, self);
	/* Here too, so that it is done before anybody may want to signal the group. */
	setpgid(s->child, s->child);
	return 0;
}

/* As a shell does: who stopped the program wants the terminal, until he continues us. */
static void stop_with_it(struct supervisor *s)
{
	if (s->terminal)
		give_terminal(getpgrp());
	raise(SIGSTOP);
	if (s->terminal)
		give_terminal(s->child);
	kill(-s->child, SIGCONT);
}

static void reap(struct supervisor *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0) {
		if (pid != s->child)
			continue;
		if (WIFSTOPPED(status)) {
			stop_with_it(s);
			continue;
		}
		s->status = status;
		s->ended = true;
	}
}

static void wait_for_program(struct supervisor *s)
{
	while (!s->ended) {
		int sig = sigwaitinfo(&s->signals, NULL);

		if (sig == SIGCHLD)
			reap(s);
		else if (sig > 0)
			kill(-s->child, sig);
	}
	if (s->terminal)
		give_terminal(getpgrp());
}

/* ---- afterwards ---- */

/* Is a process below us? */
static bool is_ours(pid_t pid)
{
	while (pid > 1 && pid != getpid()) {
		char path[64], line[512];
		const char *behind;
		FILE *f;
		int parent = 0;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		f = fopen(path, "re");
		if (!f)
			return false;
		if (fgets(line, sizeof(line), f) && (behind = strrchr(line, ')')) &&
		    sscanf(behind + 1, " %*c %d", &parent) != 1)
			parent = 0;
		fclose(f);
		pid = parent;
	}
	return pid == getpid();
}

/* Who has the function open yet. What the program left is told to end. Return: how many. */
static unsigned holders(const struct supervisor *s, const char *bdf, int sig,
			struct riser_host_use *first)
{
	struct riser_host_use use[USES_MAX];
	unsigned n = riser_host_uses(s->h, bdf, use, USES_MAX), open = 0;

	for (unsigned i = 0; i < n && i < USES_MAX; i++) {
		if (use[i].kind != RISER_HOST_OPEN)
			continue;
		if (!open++)
			*first = use[i];
		if (sig && is_ours(use[i].pid))
			kill(use[i].pid, sig);
	}
	return open;
}

/*
 * Wait until nobody has the function open. What the program left behind is told to end, and killed
 * when half of the time is over, or at a signal; with others' processes there is only patience.
 */
static int wait_for_holders(struct supervisor *s, const char *bdf)
{
	struct timespec look = { .tv_nsec = LOOK_NS };
	unsigned looks = s->a.grace * (1000000000 / LOOK_NS), i;
	struct riser_host_use first;
	char text[256];
	int sig;

	for (i = 0; holders(s, bdf,
			    !i                           ? SIGTERM
			    : s->hurry || i >= looks / 2 ? SIGKILL
							 : 0,
			    &first);
	     i++) {
		if (i >= looks)
			return cli_fail(s->c, CLI_MISSING,
					"%s cannot be given back: %s; end it (kill %d), then riser "
					"restore %s",
					bdf, riser_host_use_text(&first, text, sizeof(text)),
					first.pid, bdf);
		if (!i)
			say(s, "%s: waiting %u seconds at the most",
			    riser_host_use_text(&first, text, sizeof(text)), s->a.grace);
		sig = sigtimedwait(&s->signals, NULL, &look);
		s->hurry |= sig > 0 && sig != SIGCHLD;
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
	}
	return 0;
}

/* The driver and the disks that it had. */
static int verify(struct supervisor *s, const struct function *f)
{
	const char *was = strncmp(f->was.driver, "vfio", 4) ? f->was.driver : "";
	struct riser_host_pci now;
	char disks[64];
	int rc = riser_host_pci_get(s->h, f->was.bdf, &now, &s->c->err);

	if (rc)
		return cli_fail_err(s->c, rc);
	if (*was && strcmp(was, now.driver))
		return cli_fail(s->c, CLI_FAILED, "%s has %s and not %s, which it had (see dmesg)",
				now.bdf, *now.driver ? now.driver : "no driver", was);
	if (f->disks && !riser_host_disks(s->h, now.bdf, disks, sizeof(disks)))
		return cli_fail(
			s->c, CLI_FAILED,
			"%s has %s again, but its block device did not come back (see dmesg)",
			now.bdf, now.driver);
	return 0;
}

/* A controller that cannot be brought up is not kept for that: the reset ends it too. */
static void quiesce(struct supervisor *s, const char *bdf)
{
	struct riser_host_pci now;

	if (!riser_host_pci_get(s->h, bdf, &now, NULL) && note_quiesce(&now, &s->c->err))
		say(s, "%s was not shut down in order: %s", bdf, s->c->err.text);
}

static int restore(struct supervisor *s, const struct function *f)
{
	const char *bdf = f->was.bdf;
	int rc = riser_host_restore(s->h, bdf, &s->c->err);

	if (rc)
		return cli_fail(s->c, cli_exit_of(rc),
				"%s cannot be given back: %s; riser restore %s tries again", bdf,
				s->c->err.text, bdf);
	rc = verify(s, f);
	if (!rc)
		note_remove(bdf);
	return rc;
}

/*
 * All of them step by step: with a driver of the kernel's in a group none of its functions can be
 * opened any more. What fails for one is no reason to keep another.
 */
static int give_back(struct supervisor *s)
{
	int held[OPT_TEXTS_MAX], rc = 0;

	for (unsigned i = 0; i < s->n; i++)
		held[i] = wait_for_holders(s, s->f[i].was.bdf);
	for (unsigned i = 0; i < s->n; i++)
		if (!held[i])
			quiesce(s, s->f[i].was.bdf);
	for (unsigned i = 0; i < s->n; i++) {
		if (!held[i])
			held[i] = restore(s, &s->f[i]);
		rc = rc ? rc : held[i];
	}
	return rc;
}

static int supervise(struct supervisor *s)
{
	int rc = find_user(s), back;

	if (!rc)
		rc = machine_open(s->c, &s->h);
	if (!rc)
		rc = look_and_take(s);
	if (rc)
		return rc;
	rc = asked_to_end(s);
	if (!rc)
		rc = start(s);
	if (!rc)
		wait_for_program(s);
	back = give_back(s);
	if (rc || back)
		return rc ? rc : back;
	return WIFEXITED(s->status) ? WEXITSTATUS(s->status) : 128 + WTERMSIG(s->status);
}

static int run(struct cli *c)
{
	struct supervisor s = { .c = c, .a.grace = DEFAULT_GRACE_S };
	int rc = cli_parse(c, &s.a);

	if (!rc && !s.a.bdf.n)
		rc = cli_fail(c, CLI_USAGE, "missing --give-back BDF: the function to give back");
	if (!rc && s.a.grace > 86400)
		rc = cli_fail(c, CLI_USAGE, "--grace wants a day at the most");
	if (!rc)
		rc = supervise(&s);
	riser_host_free(s.h);
	return rc;
}

static const struct opt opts[] = {
	{ "give-back", 0, OPT_IS_TEXTS(struct args, bdf), "BDF",
	  "hand this PCI function to the program, and back to the kernel afterwards" },
	{ "user", 'u', OPT_IS_TEXT(struct args, user), "USER",
	  "whom the program runs as, and who may open the function; default root" },
	{ "grace", 0, OPT_IS_NUM32(struct args, grace), "SECONDS",
	  "how long others may have it open afterwards; default 10" },
	{ 0 },
};

const struct cmd cmd_run = {
	.name = "run",
	.args = "",
	.summary = "run a program on a PCI function, and give that back to the kernel afterwards",
	.example = "sudo riser run --give-back 0000:01:00.0 -- riser bench pci:0000:01:00.0",
	.opts = opts,
	.flags = CMD_COMMAND,
	.run = run,
};
