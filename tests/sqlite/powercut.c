/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * SQLite through power cuts: random transactions, a cut anywhere in them (or in the recovery from
 * the one before), and then the database has to be whole: every transaction whose COMMIT returned
 * is there, the one that was under way is there or not, and none is half there.
 *
 *	SQLite ── VFS ── disk: fault ── cut: powercut ── memory
 *
 * On a drive that swallows flushes ("disk" drops them) the same seeds have to find damage: else
 * this test would not see any.
 *
 * RISER_TEST_SEEDS is how many seeds, 200 unless told, RISER_TEST_SEED the first of them.
 */
#include "../tap.h"
#include "vfs.h"
#include <errno.h>
#include <riser/dm.h>

#define KEYS      64
#define ROUNDS    4 /* cuts of a seed */
#define TIMEOUT   1000000000ull
#define LONG_BLOB 6000
#define CUT_FAR   400
#define CUT_NEAR  25
#define SAID      600

enum { DELETE, TRUNCATE, PERSIST, WAL };
static const char *const modes[] = { "DELETE", "TRUNCATE", "PERSIST", "WAL" };

/* What the table has to say: of each key the value, from which its blob follows; 0: no row. */
struct model {
	uint32_t n; /* of the last transaction */
	uint32_t values[KEYS];
};

struct run {
	unsigned seed;
	uint64_t random;
	struct riser *r;
	struct riser_exec *x;
	struct riser_dm *cut, *disk;
	struct riser_blk *b;
	struct riser_blk_channel *c;
	struct vfs vfs;
	sqlite3 *db;
	int mode;
	unsigned page_size;
	bool made;         /* the first transaction was tried */
	bool off;          /* the power */
	struct model done; /* COMMIT returned */
	struct model next; /* under way */
	char said[SAID];   /* what is wrong, or "" */
};

static uint32_t draw(struct run *t, uint32_t below)
{
	t->random = t->random * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(t->random >> 33) % below;
}

static void wrong(struct run *t, const char *what, const char *detail)
{
	if (!*t->said)
		snprintf(t->said, sizeof(t->said), "%s: %s", what, detail);
}

/* The power. */

static void say(struct run *t, const char *message)
{
	struct riser_err err;
	char *answer;

	if (riser_dm_message(t->cut, t->x, 0, message, &answer, &err))
		wrong(t, message, err.text);
	else
		free(answer);
}

static void cut_power(void *arg)
{
	struct run *t = arg;
	char message[32];

	snprintf(message, sizeof(message), "cut %u", draw(t, 1u << 31));
	say(t, message);
	t->off = true;
	t->vfs.left = 0;
}

/* The stack. */

static int mapped(struct run *t, const char *name, const char *table, struct riser_dm **d,
		  struct riser_err *err)
{
	int rc = riser_dm_create(t->r, name, NULL, 0, d, err);

	if (!rc)
		rc = riser_dm_load(*d, t->x, table, NULL, err);
	return rc ? rc : riser_dm_resume(*d, t->x, TIMEOUT, err);
}

static int stack_up(struct run *t, bool flushes, struct riser_err *err)
{
	static const unsigned torn[] = { 512, 4096, 0 };
	struct riser_opts opts = { .size = sizeof(opts), .flags = RISER_VIRTUAL_TIME };
	unsigned long long sectors = vfs_sectors();
	char table[128];
	int rc = riser_new(&opts, &t->r, err);

	if (!rc)
		rc = riser_exec_new(t->r, &t->x, err);
	snprintf(table, sizeof(table), "0 %llu powercut mem:%lluK 0 %uK 1 torn=%u", sectors,
		 sectors / 2, 64u << draw(t, 5), torn[draw(t, 3)]);
	if (!rc)
		rc = mapped(t, "cut", table, &t->cut, err);
	snprintf(table, sizeof(table), "0 %llu fault dm:cut 0 %s", sectors,
		 flushes ? "" : "1 drop,op=flush+fua");
	if (!rc)
		rc = mapped(t, "disk", table, &t->disk, err);
	if (!rc)
		rc = riser_blk_open(t->r, "dm:disk", RISER_BLK_RDWR, &t->b, err);
	return rc ? rc : riser_blk_channel_open(t->b, t->x, 0, &t->c, err);
}

static void stack_down(struct run *t)
{
	riser_blk_channel_close(t->c);
	riser_blk_close(t->b);
	riser_dm_remove(t->disk, t->x, NULL);
	riser_dm_remove(t->cut, t->x, NULL);
	riser_exec_free(t->x);
	riser_free(t->r);
}

/* The database. */

static unsigned blob_len(uint32_t value)
{
	uint32_t h = value * 2654435761u;

	return h % 16 ? h % 700 : LONG_BLOB;
}

static void blob_fill(uint32_t value, uint8_t *blob)
{
	for (unsigned i = 0; i < blob_len(value); i++)
		blob[i] = (uint8_t)(value >> i % 3 * 8 ^ i);
}

/* Return: SQLITE_OK, or what went wrong, which is no news once the power is off. */
static int run_sql(struct run *t, const char *sql)
{
	int rc = sqlite3_exec(t->db, sql, NULL, NULL, NULL);

	if (rc && !t->off)
		wrong(t, sql, sqlite3_errmsg(t->db));
	return rc;
}

static int open_db(struct run *t)
{
	char sql[256];
	int rc = sqlite3_open_v2("db", &t->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL);

	if (rc && !t->off)
		wrong(t, "open", sqlite3_errstr(rc));
	if (rc)
		return rc;
	snprintf(sql, sizeof(sql),
		 "PRAGMA locking_mode=%s; PRAGMA page_size=%u; PRAGMA cache_size=10;"
		 "PRAGMA temp_store=MEMORY; PRAGMA journal_mode=%s; PRAGMA synchronous=EXTRA;"
		 "PRAGMA wal_autocheckpoint=%u",
		 t->mode == WAL ? "EXCLUSIVE" : "NORMAL", t->page_size, modes[t->mode],
		 5 + draw(t, 30));
	return run_sql(t, sql);
}

static void close_db(struct run *t)
{
	if (sqlite3_close(t->db))
		wrong(t, "close", sqlite3_errmsg(t->db));
	t->db = NULL;
}

static int put_row(struct run *t, uint32_t key, uint32_t value)
{
	uint8_t blob[LONG_BLOB];
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(t->db, "REPLACE INTO t VALUES(?,?,?)", -1, &s, NULL);

	if (!rc) {
		blob_fill(value, blob);
		sqlite3_bind_int(s, 1, (int)key);
		sqlite3_bind_int(s, 2, (int)value);
		sqlite3_bind_blob(s, 3, blob, (int)blob_len(value), SQLITE_STATIC);
		sqlite3_step(s);
		rc = sqlite3_finalize(s);
	}
	if (rc && !t->off)
		wrong(t, "replace", sqlite3_errmsg(t->db));
	return rc;
}

static int change(struct run *t)
{
	uint32_t key = draw(t, KEYS), value = t->next.n << 8 | draw(t, 256);
	char sql[64];

	if (draw(t, 10) < 7) {
		t->next.values[key] = value;
		return put_row(t, key, value);
	}
	t->next.values[key] = 0;
	snprintf(sql, sizeof(sql), "DELETE FROM t WHERE k=%u", key);
	return run_sql(t, sql);
}

/* One transaction. Return: SQLITE_OK when it ended well, whichever way. */
static int transaction(struct run *t)
{
	bool back = t->made && draw(t, 8) == 0;
	unsigned changes = 1 + draw(t, 1 + draw(t, 40));
	char sql[64];
	int rc;

	t->next = t->done;
	t->next.n++;
	rc = run_sql(t, "BEGIN");
	if (!rc && !t->done.n)
		rc = run_sql(t, "CREATE TABLE t(k INTEGER PRIMARY KEY, v INTEGER, b BLOB);"
				"CREATE INDEX i ON t(v); CREATE TABLE mark(n INTEGER);"
				"INSERT INTO mark VALUES(0)");
	while (!rc && changes--)
		rc = change(t);
	snprintf(sql, sizeof(sql), "UPDATE mark SET n=%u", t->next.n);
	if (!rc)
		rc = run_sql(t, sql);
	if (!rc && back && t->done.n) {
		t->next = t->done;
		return run_sql(t, "ROLLBACK");
	}
	t->made = true;
	if (!rc)
		rc = run_sql(t, "COMMIT");
	if (!rc)
		t->done = t->next;
	return rc;
}

/* Is it whole? */

/* The first column of the first row, as text. Return: false where there is none. */
static bool one_text(struct run *t, const char *sql, char *out, size_t len)
{
	sqlite3_stmt *s;
	bool got = false;

	if (!sqlite3_prepare_v2(t->db, sql, -1, &s, NULL) && sqlite3_step(s) == SQLITE_ROW) {
		snprintf(out, len, "%s", (const char *)sqlite3_column_text(s, 0));
		got = true;
	}
	sqlite3_finalize(s);
	if (!got && !t->off)
		wrong(t, sql, sqlite3_errmsg(t->db));
	return got;
}

static bool row_is(sqlite3_stmt *s, uint32_t value)
{
	uint8_t blob[LONG_BLOB];

	blob_fill(value, blob);
	return value && (uint32_t)sqlite3_column_int(s, 1) == value &&
	       (unsigned)sqlite3_column_bytes(s, 2) == blob_len(value) &&
	       !memcmp(sqlite3_column_blob(s, 2) ? sqlite3_column_blob(s, 2) : "", blob,
		       blob_len(value));
}

static void check_rows(struct run *t, const struct model *m)
{
	unsigned rows = 0, wanted = 0;
	char detail[64];
	sqlite3_stmt *s;
	int rc = sqlite3_prepare_v2(t->db, "SELECT k,v,b FROM t", -1, &s, NULL);

	while (!rc && (rc = sqlite3_step(s)) == SQLITE_ROW) {
		uint32_t key = (uint32_t)sqlite3_column_int(s, 0);

		rc = SQLITE_OK;
		rows++;
		if ((key < KEYS && row_is(s, m->values[key])) || t->off)
			continue;
		snprintf(detail, sizeof(detail), "row %u is not that of transaction %u", key, m->n);
		wrong(t, "rows", detail);
	}
	sqlite3_finalize(s);
	for (unsigned i = 0; i < KEYS; i++)
		wanted += m->values[i] != 0;
	snprintf(detail, sizeof(detail), "%u instead of %u", rows, wanted);
	if (!t->off && (rc != SQLITE_DONE || rows != wanted))
		wrong(t, "rows", rc == SQLITE_DONE ? detail : sqlite3_errmsg(t->db));
}

/* Compare the database with what it may be; the power may go meanwhile. */
static void verify(struct run *t)
{
	const struct model none = { 0 };
	char text[200], n[16];

	if (one_text(t, "PRAGMA integrity_check", text, sizeof(text)) && !t->off &&
	    strcmp(text, "ok"))
		wrong(t, "integrity_check", text);
	if (t->off || *t->said)
		return;
	if (!one_text(t, "SELECT count(*) FROM sqlite_master", n, sizeof(n)))
		return;
	if (atoi(n) == 0) { /* the very first transaction is not there */
		if (t->done.n)
			wrong(t, "lost", "all of it");
		t->next = t->done = none;
		return;
	}
	if (!one_text(t, "SELECT n FROM mark", n, sizeof(n)))
		return;
	if ((uint32_t)atoi(n) == t->next.n) {
		check_rows(t, &t->next);
		if (!t->off)
			t->done = t->next;
	} else if ((uint32_t)atoi(n) == t->done.n) {
		check_rows(t, &t->done);
	} else {
		snprintf(text, sizeof(text), "transaction %s is the last one, %u was committed", n,
			 t->done.n);
		wrong(t, "lost", text);
	}
	if (!t->off)
		t->next = t->done;
}

/* From power on to the next cut; without one where @last. */
static void one_round(struct run *t, bool last)
{
	unsigned transactions = 3 + draw(t, 12);

	t->vfs.left = last ? 0 : 1 + draw(t, draw(t, 4) ? CUT_FAR : CUT_NEAR);
	if (vfs_mount(&t->vfs) && !t->off)
		wrong(t, "mount", "I/O error");
	if (!t->off && !*t->said && !open_db(t))
		verify(t);
	while (!t->off && !*t->said && transactions--)
		if (transaction(t))
			break;
	if (!t->off && !last)
		cut_power(t); /* between two transactions, the cache as they left it */
	close_db(t);
	t->vfs.left = 0;
	if (t->off)
		say(t, "restore");
	t->off = false;
}

/* Return: whether the database was whole after each cut; else t->said says what was wrong. */
static bool one_seed(struct run *t, unsigned seed, bool flushes)
{
	static const unsigned page_sizes[] = { 512, 1024, 4096 };
	struct riser_err err;

	*t = (struct run){ .seed = seed, .random = seed * 0x9e3779b97f4a7c15 + 1 };
	draw(t, 2);
	t->mode = (int)(seed % 4);
	t->page_size = page_sizes[draw(t, 3)];
	if (stack_up(t, flushes, &err)) {
		wrong(t, "stack", err.text);
		stack_down(t);
		return false;
	}
	t->vfs.random = seed;
	t->vfs.sector_size = draw(t, 2) ? 512 : 4096;
	t->vfs.characteristics = draw(t, 2) ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
	t->vfs.cut = cut_power;
	t->vfs.arg = t;
	if (vfs_register(&t->vfs, t->c))
		wrong(t, "register", "no memory");
	for (unsigned round = 0; round <= ROUNDS && !*t->said; round++)
		one_round(t, round == ROUNDS);
	vfs_unregister(&t->vfs);
	stack_down(t);
	return !*t->said;
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

static struct run run;

TEST(committed_is_committed)
{
	unsigned first = number("RISER_TEST_SEED", 0), seeds = number("RISER_TEST_SEEDS", 200);
	unsigned transactions = 0;

	for (unsigned seed = first; seed != first + seeds; seed++) {
		if (!one_seed(&run, seed, true)) {
			printf("# replay: RISER_TEST_SEED=%u RISER_TEST_SEEDS=1 %s "
			       "committed_is_committed\n",
			       seed, program_invocation_name);
			FAIL("seed %u, journal_mode=%s: %s", seed, modes[run.mode], run.said);
		}
		transactions += run.done.n;
	}
	printf("# %u seeds, %u transactions\n", seeds, transactions);
	CHECK(transactions > seeds);
}

TEST(a_drive_that_swallows_flushes_is_found_out)
{
	unsigned first = number("RISER_TEST_SEED", 0), seeds = number("RISER_TEST_SEEDS", 200);
	unsigned found[4] = { 0 }, corrupt = 0, lost = 0;

	if (seeds < 40)
		SKIP("few seeds prove nothing here");
	for (unsigned seed = first; seed != first + seeds; seed++) {
		if (one_seed(&run, seed, false))
			continue;
		found[run.mode]++;
		lost += !strncmp(run.said, "lost", 4);
		corrupt += strncmp(run.said, "lost", 4) != 0;
	}
	printf("# %u seeds: commits lost in %u, corruption in %u\n", seeds, lost, corrupt);
	for (unsigned i = 0; i < 4; i++) {
		printf("# %s: %u\n", modes[i], found[i]);
		CHECK(found[i] > seeds / 4 / 4);
	}
	CHECK(lost && corrupt);
}

TEST_MAIN(CASE(committed_is_committed), CASE(a_drive_that_swallows_flushes_is_found_out))
