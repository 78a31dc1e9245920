/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * What the data path does not do, over a million reads of two scattered pages each on a device
 * that works beside us (the model on its own thread): allocate, wait for a lock, enter the kernel,
 * read a register. The functions that would are this program's own, and count what the driver's
 * thread calls; system calls are counted by the kernel's user dispatch.
 */
#include "../tap.h"
#include "nvme/ctrl.h"
#include <dlfcn.h>
#include <errno.h>
#include <linux/prctl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

#define IOS     1000000u
#define DEPTH   32
#define REGIONS 64

static __thread bool counting;
static __thread uint64_t allocations, locks, tries;
static volatile uint64_t system_calls;
static uint64_t register_reads;

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CAN_COUNT 1

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t m);
extern void *__libc_realloc(void *p, size_t n);
void *malloc(size_t n);
void *calloc(size_t n, size_t m);
void *realloc(void *p, size_t n);

void *malloc(size_t n)
{
	allocations += counting;
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t m)
{
	allocations += counting;
	return __libc_calloc(n, m);
}

void *realloc(void *p, size_t n)
{
	allocations += counting;
	return __libc_realloc(p, n);
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
	static int (*real)(pthread_mutex_t *);

	if (!real)
		real = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_lock");
	locks += counting;
	return real(m);
}

int pthread_mutex_trylock(pthread_mutex_t *m)
{
	static int (*real)(pthread_mutex_t *);

	if (!real)
		real = (int (*)(pthread_mutex_t *))dlsym(RTLD_NEXT, "pthread_mutex_trylock");
	tries += counting;
	return real(m);
}
#else
#define CAN_COUNT 0
#endif

static char dispatch; /* SYSCALL_DISPATCH_FILTER_ALLOW or _BLOCK */

static void on_syscall(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	/* Let the rest through: one is enough to fail, and returning needs a system call too. */
	dispatch = SYSCALL_DISPATCH_FILTER_ALLOW;
	system_calls++;
}

static int catch_syscalls(bool on)
{
	struct sigaction sa = { .sa_sigaction = on_syscall, .sa_flags = SA_SIGINFO };

	if (!on) {
		dispatch = SYSCALL_DISPATCH_FILTER_ALLOW;
		return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
	}
	sigaction(SIGSYS, &sa, NULL);
	dispatch = SYSCALL_DISPATCH_FILTER_ALLOW;
	if (prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &dispatch))
		return -errno;
	dispatch = SYSCALL_DISPATCH_FILTER_BLOCK;
	return 0;
}

static uint64_t (*real_read)(struct pci_dev *d, unsigned bar, size_t off, unsigned width);

static uint64_t counted_read(struct pci_dev *d, unsigned bar, size_t off, unsigned width)
{
	register_reads += counting;
	return real_read(d, bar, off, width);
}

struct slot {
	struct riser_nvme_req req;
	struct rig *rig;
};

struct rig {
	struct riser *r;
	struct riser_exec *x;
	struct riser_nvme *c;
	struct riser_nvme_ns *ns;
	struct riser_nvme_qpair *q;
	char *regions[REGIONS];
	struct slot slots[DEPTH];
	uint64_t todo, left, errors;
};

static void again(struct riser_nvme_req *req, uint32_t status, uint64_t result)
{
	struct rig *g = ((struct slot *)req)->rig;

	(void)result;
	g->errors += status != 0;
	if (!g->todo) {
		g->left--;
		return;
	}
	g->todo--;
	g->errors += riser_nvme_read(g->q, g->ns, req, g->regions[g->todo % REGIONS] + 512,
				     g->todo * 8 % 65536, 8) != 0;
}

static void run(struct rig *g, uint64_t ios)
{
	g->left = DEPTH;
	g->todo = ios;
	for (unsigned i = 0; i < DEPTH; i++) {
		g->slots[i] = (struct slot){ { .done = again }, g };
		again(&g->slots[i].req, 0, 0);
	}
	while (g->left)
		riser_nvme_qpair_poll(g->q, DEPTH);
}

/* Where the clock itself enters the kernel, the path does so once a poll, and nothing is shown. */
static bool clock_enters_kernel(void)
{
	struct timespec ts;

	if (catch_syscalls(true))
		return true;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	catch_syscalls(false);
	return system_calls != 0;
}

TEST(a_million_reads_touch_memory_only)
{
	const struct pci_access *access;
	struct pci_access counted;
	struct riser_err err = { 0 };
	struct rig g = { 0 };
	uint64_t start, most;

	if (!CAN_COUNT)
		SKIP("sanitizers allocate and lock by themselves");
	if (clock_enters_kernel())
		SKIP("no user dispatch of system calls, or a clock that needs them");
	CHECK_EQ(riser_new(NULL, &g.r, &err), 0);
	CHECK_EQ(riser_exec_new(g.r, &g.x, &err), 0);
	CHECK_EQ(riser_nvme_open(g.r, "model:nvme?mode=thread&size=64M", NULL, &g.c, &err), 0);
	CHECK_EQ(riser_nvme_ns_open(g.c, g.x, 1, &g.ns, &err), 0);
	CHECK_EQ(riser_nvme_qpair_open(g.c, g.x, NULL, &g.q, &err), 0);
	access = g.c->ctrl->pci->access;
	counted = *access;
	real_read = counted.bar_read;
	counted.bar_read = counted_read;
	g.c->ctrl->pci->access = &counted;
	for (unsigned i = 0; i < REGIONS; i++)
		CHECK_EQ(riser_mem_alloc(g.r, 16384, (void **)&g.regions[i], &err), 0);
	run(&g, 1000);
	start = riser_now(g.r);
	CHECK_EQ(catch_syscalls(true), 0);
	counting = true;
	run(&g, IOS);
	counting = false;
	CHECK_EQ(catch_syscalls(false), 0);
	most = (riser_now(g.r) - start) / (100 * NS_PER_MS) + 2;
	printf("# allocations %" PRIu64 ", locks %" PRIu64 ", system calls %" PRIu64
	       ", register reads %" PRIu64 "; looks at the controller (trylock) %" PRIu64 "\n",
	       allocations, locks, (uint64_t)system_calls, register_reads, tries);
	CHECK_EQ(g.errors, 0);
	CHECK_EQ(allocations, 0);
	CHECK_EQ(locks, 0);
	CHECK_EQ(system_calls, 0);
	CHECK_EQ(register_reads, 0);
	CHECK(tries <= most); /* ten times a second */
	g.c->ctrl->pci->access = access;
	for (unsigned i = 0; i < REGIONS; i++)
		riser_mem_free(g.r, g.regions[i]);
	riser_nvme_qpair_close(g.q);
	riser_nvme_ns_close(g.ns);
	riser_nvme_close(g.c);
	riser_exec_free(g.x);
	riser_free(g.r);
}

TEST_MAIN(CASE(a_million_reads_touch_memory_only))
