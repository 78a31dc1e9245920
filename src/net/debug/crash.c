/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * From a signal to a debugger and on to the end.
 *
 * The thread that crashed runs the handler, and all of the conversation in it, with every signal
 * blocked: should the stub itself crash, the kernel ends the process with that signal. Nothing here
 * may wait for another thread, but for a bounded time:
 *
 *  1. A second thread that crashes meanwhile halts like one that was told to.
 *  2. The debug port is taken from whoever is sending on it (a log line), who is given 100 ms.
 *  3. The others are halted, if that was asked for: each is sent a signal, whose handler notes the
 *     thread's registers and sleeps. The list of threads is read again until it brings nothing new.
 *     One that blocks the signal, or is in the kernel for long, runs on; the debugger sees that.
 *  4. The debugger is answered, or nobody comes.
 *  5. The actions of the signals become what they were before, and the handler returns: the
 *     instruction that faulted faults again, and the signal goes where it would have gone. A signal
 *     that was sent is sent again. So the core that is dumped shows the crash, not this.
 *
 * A signal's handler finds what it is about in one place: this is the only variable of the library
 * that belongs to the process. Signal actions do, too.
 */
#include "base/barrier.h"
#include "base/err.h"
#include "net/debug/debug.h"
#include "net/debug/gdb.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK     (64 * KiB)
#define ENTER_MS  100  /* for who is inside of the debug port */
#define HALT_MS   100  /* for threads to come to their handler */
#define ROUNDS    4    /* over the list of threads */
#define LINGER_MS 1000 /* for a debugger that did not hear the last answer */
#define IDLE_NS   200000

static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };

/* A thread that stands in its handler. */
struct halted {
	pid_t tid; /* atomic; 0: not filled yet */
	const void *context;
};

struct riser_gdb {
	struct riser_debug *d;
	struct riser_gdb_opts o;
	pid_t pid;
	uint32_t crashed;  /* atomic: a thread serves the debugger */
	uint32_t released; /* atomic, a futex: the halted threads go on */
	uint32_t nhalted;  /* atomic: slots that were taken */
	struct halted halted[GDB_THREADS - 1];
	struct sigaction before[array_len(signals)], halt_before;
	void *stack;
	struct gdb gdb;
	char in[RISER_DEBUG_PAYLOAD], out[RISER_DEBUG_PAYLOAD];
};

static struct riser_gdb *installed; /* atomic */

static void sleep_ns(long ns)
{
	nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

/* --- Threads --- */

static void halt_here(struct riser_gdb *g, const void *context)
{
	uint32_t i = __atomic_fetch_add(&g->nhalted, 1, __ATOMIC_RELAXED);

	if (i < array_len(g->halted)) {
		g->halted[i].context = context;
		/* Pairs with all_halted(): the context is there. */
		store_release(&g->halted[i].tid, gettid());
	}
	while (!load_acquire(&g->released))
		syscall(SYS_futex, &g->released, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void on_halt(int sig, siginfo_t *info, void *context)
{
	struct riser_gdb *g = load_acquire(&installed);
	int *error = &errno, before = *error;

	/* Somebody else's signal, by the same number: nothing is known of it. */
	if (g && load_acquire(&g->crashed) && info->si_code == SI_TKILL && info->si_pid == g->pid)
		halt_here(g, context);
	*error = before;
}

static bool is_halted(const struct riser_gdb *g, pid_t tid)
{
	for (size_t i = 0; i < array_len(g->halted); i++)
		if (load_acquire(&g->halted[i].tid) == tid)
			return true;
	return false;
}

/* What getdents64(2) fills in. */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t len;
	uint8_t type;
	char name[];
};

static pid_t number(const char *name)
{
	pid_t n = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		n = n * 10 + (*name - '0');
	return *name ? 0 : n;
}

/* Tell every thread that does not stand yet. Return: how many those are. */
static unsigned halt_round(struct riser_gdb *g, int dir)
{
	_Alignas(struct entry) char buf[1024];
	unsigned running = 0;
	long n;

	lseek(dir, 0, SEEK_SET);
	while ((n = syscall(SYS_getdents64, dir, buf, sizeof(buf))) > 0)
		for (long at = 0; at < n; at += ((struct entry *)(buf + at))->len) {
			pid_t tid = number(((struct entry *)(buf + at))->name);

			if (!tid || tid == gettid() || is_halted(g, tid))
				continue;
			running++;
			syscall(SYS_tgkill, g->pid, tid, g->o.halt_signal);
		}
	return running;
}

static void halt_others(struct riser_gdb *g)
{
	int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0)
		return;
	for (unsigned i = 0; i < ROUNDS && halt_round(g, dir); i++)
		for (unsigned ms = 0; ms < HALT_MS / ROUNDS; ms++)
			sleep_ns(NS_PER_MS);
	close(dir);
}

static void list_threads(struct riser_gdb *g, const void *context)
{
	g->gdb.threads[0] = (struct gdb_thread){ gettid(), context };
	g->gdb.nthreads = 1;
	for (size_t i = 0; i < array_len(g->halted); i++) {
		/* Pairs with halt_here(). */
		pid_t tid = load_acquire(&g->halted[i].tid);

		if (tid)
			g->gdb.threads[g->gdb.nthreads++] =
				(struct gdb_thread){ tid, g->halted[i].context };
	}
}

/* --- The conversation --- */

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

/* Return: when it is over unless something comes. */
static uint64_t serve_one(struct riser_gdb *g, struct riser_debug_peer *last, size_t len,
			  const struct riser_debug_peer *from, uint64_t until)
{
	size_t n;

	if (!gdb_is_packet(g->in, len)) {
		if (memcmp(last, from, sizeof(*last)))
			return until; /* of nobody who asked anything */
	} else if (memcmp(last, from, sizeof(*last))) {
		gdb_reset(&g->gdb);
		*last = *from;
	}
	n = gdb_input(&g->gdb, g->in, len, g->out);
	if (n)
		debug_send(g->d, from, g->out, n);
	return g->gdb.state == GDB_LEAVES ? now() + LINGER_MS * NS_PER_MS : UINT64_MAX;
}

static void serve(struct riser_gdb *g)
{
	uint64_t until = g->o.wait_s ? now() + g->o.wait_s * NS_PER_S : UINT64_MAX;
	struct riser_debug_peer from, last;

	memset(&from, 0, sizeof(from));
	memset(&last, 0, sizeof(last));
	while (now() < until && !(g->gdb.state == GDB_LEAVES && !g->gdb.unacked)) {
		int n = debug_recv(g->d, &from, g->in, sizeof(g->in));

		if (n >= 0)
			until = serve_one(g, &last, (size_t)n, &from, until);
		else if (n == -EAGAIN)
			sleep_ns(IDLE_NS);
		else
			return; /* the device is gone */
	}
}

/* --- Signals --- */

static bool passes_on(const struct riser_gdb *g)
{
	for (size_t i = 0; i < array_len(signals); i++)
		if (g->before[i].sa_handler != SIG_DFL && g->before[i].sa_handler != SIG_IGN)
			return true;
	return false;
}

static void put_back(struct riser_gdb *g)
{
	for (size_t i = 0; i < array_len(signals); i++) {
		/* What was ignored would be lost, or come again for ever. */
		if (g->before[i].sa_handler == SIG_IGN)
			g->before[i].sa_handler = SIG_DFL;
		sigaction(signals[i], &g->before[i], NULL);
	}
}

/* What ends a process ends this one still, and its own handlers wait. */
static void let_end(void)
{
	static const int ends[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	struct sigaction a;
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < array_len(ends); i++)
		if (!sigaction(ends[i], NULL, &a) && a.sa_handler == SIG_DFL)
			sigaddset(&set, ends[i]);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void session(struct riser_gdb *g, int sig, const void *context)
{
	let_end();
	for (unsigned ms = 0; !debug_enter(g->d) && ms < ENTER_MS; ms++)
		sleep_ns(NS_PER_MS);
	if (g->o.halt_signal)
		halt_others(g);
	list_threads(g, context);
	g->gdb.signal = sig;
	gdb_reset(&g->gdb);
	if (g->o.crashed)
		g->o.crashed(g->o.ctx, sig);
	serve(g);
	debug_leave(g->d);
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
	struct riser_gdb *g = load_acquire(&installed);
	int *error = &errno, before = *error;

	if (!g || getpid() != g->pid) {
		signal(sig, SIG_DFL); /* a child: it dies as it would have */
	} else if (__atomic_exchange_n(&g->crashed, 1, __ATOMIC_ACQ_REL)) {
		halt_here(g, context);
	} else {
		session(g, sig, context);
		put_back(g);
		/* Where nothing is left to handle it, the others have nothing to do but harm. */
		if (passes_on(g)) {
			store_release(&g->released, 1);
			syscall(SYS_futex, &g->released, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL,
				0);
		}
	}
	/* Sent, not caused: it will not come again by itself. */
	if (info->si_code <= 0)
		syscall(SYS_tgkill, getpid(), gettid(), sig);
	*error = before;
}

/* --- Setting up --- */

static size_t read_file(const char *path, void *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size);

	if (fd >= 0)
		close(fd);
	return n > 0 ? (size_t)n : 0;
}

static int check_opts(const struct riser_gdb_opts *o, struct riser_err *err)
{
	if (o->flags & ~RISER_GDB_WRITE)
		return err_set(err, -EINVAL, "unknown flags %#x of a debugger's stub", o->flags);
	if (o->halt_signal < 0 || o->halt_signal > SIGRTMAX)
		return err_set(err, -EINVAL, "%d is no signal that threads could be halted with",
			       o->halt_signal);
	for (size_t i = 0; i < array_len(signals); i++)
		if (o->halt_signal == signals[i])
			return err_set(err, -EINVAL,
				       "threads cannot be halted with signal %d: it is a crash",
				       o->halt_signal);
	return 0;
}

static int give_stack(struct riser_gdb *g, struct riser_err *err)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	stack_t s = { 0 };

	if (!sigaltstack(NULL, &s) && !(s.ss_flags & SS_DISABLE))
		return 0; /* it has one */
	/* The lowest page stays out of reach. */
	g->stack = mmap(NULL, STACK + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (g->stack == MAP_FAILED) {
		g->stack = NULL;
		return err_set(err, -ENOMEM, "no memory for a signal stack");
	}
	s = (stack_t){ .ss_sp = (char *)g->stack + page, .ss_size = STACK };
	if (mprotect(s.ss_sp, STACK, PROT_READ | PROT_WRITE) || sigaltstack(&s, NULL))
		return err_set(err, -errno, "no signal stack: %s", strerror(errno));
	return 0;
}

static void take_back_stack(struct riser_gdb *g)
{
	if (!g->stack)
		return;
	sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
	munmap(g->stack, STACK + (size_t)sysconf(_SC_PAGESIZE));
}

static void catch_signals(struct riser_gdb *g)
{
	struct sigaction a = { .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };

	sigfillset(&a.sa_mask);
	a.sa_sigaction = on_halt;
	if (g->o.halt_signal)
		sigaction(g->o.halt_signal, &a, &g->halt_before);
	a.sa_sigaction = on_crash;
	for (size_t i = 0; i < array_len(signals); i++)
		sigaction(signals[i], &a, &g->before[i]);
}

int riser_gdb_install(struct riser_debug *d, const struct riser_gdb_opts *opts,
		      struct riser_gdb **out, struct riser_err *err)
{
	struct riser_gdb *g = calloc(1, sizeof(*g)), *none = NULL;
	int rc;

	if (!g)
		return err_set(err, -ENOMEM, "no memory for a debugger's stub");
	if (opts)
		memcpy(&g->o, opts, min_of(opts->size, sizeof(g->o)));
	g->d = d;
	g->pid = getpid();
	g->gdb.memory = gdb_memory_self;
	g->gdb.writable = g->o.flags & RISER_GDB_WRITE;
	g->gdb.packet = d->payload - 8; /* room for acknowledgements */
	g->gdb.auxv_len = read_file("/proc/self/auxv", g->gdb.auxv, sizeof(g->gdb.auxv));
	if (readlink("/proc/self/exe", g->gdb.exec, sizeof(g->gdb.exec) - 1) < 0)
		g->gdb.exec[0] = 0;
	rc = check_opts(&g->o, err);
	if (!rc)
		rc = give_stack(g, err);
	if (!rc && !__atomic_compare_exchange_n(&installed, &none, g, false, __ATOMIC_ACQ_REL,
						__ATOMIC_RELAXED))
		rc = err_set(err, -EBUSY, "a debugger's stub is installed already");
	if (rc) {
		take_back_stack(g);
		free(g);
		return rc;
	}
	catch_signals(g);
	*out = g;
	return 0;
}

void riser_gdb_remove(struct riser_gdb *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < array_len(signals); i++)
		sigaction(signals[i], &g->before[i], NULL);
	if (g->o.halt_signal)
		sigaction(g->o.halt_signal, &g->halt_before, NULL);
	store_release(&installed, NULL);
	take_back_stack(g);
	free(g);
}
