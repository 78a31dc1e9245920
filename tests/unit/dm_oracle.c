/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Random I/O on random stacks of mapped devices, against arrays. See oracle/: a script is made from
 * a seed, played beside a model that reads the tables sector by sector, and made small where it
 * fails.
 *
 *	RISER_TEST_SEED=N	from this seed on; that one alone without RISER_ORACLE_OPS
 *	RISER_ORACLE_OPS=N	seeds until there were so many operations
 */
#include "oracle/shrink.h"

#define OPS_DEFAULT 1000000

static bool kinds[S_KINDS];

/* What the child that plays tells. */
struct progress {
	uint64_t seed, ios;
};

static void kinds_up(void)
{
	CHECK_EQ(registry_up(), 0);
	for (unsigned i = 0; i < S_KINDS; i++)
		kinds[i] = has_target(kind_names[i]);
}

/* In a process of its own: @p says how far it came. */
static void play_seeds(struct progress *p, uint64_t most)
{
	static struct script s;

	for (;; p->seed++) {
		alarm(60);
		script_make(&s, p->seed, kinds);
		if (!play(&s, false, &p->ios))
			exit(1);
		if (p->ios >= most)
			exit(0);
	}
}

static void report(uint64_t seed)
{
	static struct script s;

	script_make(&s, seed, kinds);
	if (!fails(&s, false, true)) {
		printf("# RISER_TEST_SEED=%" PRIu64 ": fails only behind others\n", seed);
		return;
	}
	shrink(&s, false);
	printf("# RISER_TEST_SEED=%" PRIu64 ", made small:\n", seed);
	script_print(&s);
	fails(&s, false, true);
}

TEST(random_stacks_agree_with_the_tables_text)
{
	const char *seed = getenv("RISER_TEST_SEED"), *ops = getenv("RISER_ORACLE_OPS");
	uint64_t most = ops ? strtoull(ops, NULL, 0) : seed ? 1 : OPS_DEFAULT;
	struct progress *p =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;
	pid_t pid;

	SUB(kinds_up());
	p->seed = seed ? strtoull(seed, NULL, 0) : 1;
	alarm(0);
	fflush(stdout);
	pid = fork();
	if (!pid)
		play_seeds(p, most);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	printf("# %" PRIu64 " operations, seeds up to %" PRIu64 "\n", p->ios, p->seed);
	if (status) {
		report(p->seed);
		FAIL("status %#x at seed %" PRIu64, status, p->seed);
	}
	munmap(p, 4096);
}

/* Leaves that discard a sector too few are found, and little is left of the script. */
TEST(a_planted_bug_is_made_small)
{
	static struct script s;
	unsigned ios = 0;
	uint64_t seed = 0;

	SUB(kinds_up());
	do
		script_make(&s, ++seed, kinds);
	while (!fails(&s, true, false));
	CHECK(seed < 20);
	shrink(&s, true);
	CHECK(fails(&s, true, false));
	CHECK(!fails(&s, false, false));
	script_print(&s);
	CHECK(s.ndevs <= 2);
	for (unsigned i = 0; i < s.nops; i++)
		ios += s.ops[i].act == A_IO;
	CHECK(s.nops <= 3 && ios >= 2);
	CHECK_EQ(s.tables[s.first[0]].lines[0].kind, S_LINEAR);
}

TEST_MAIN(CASE(random_stacks_agree_with_the_tables_text), CASE(a_planted_bug_is_made_small))
