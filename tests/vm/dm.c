/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The kernel's device mapper against riser's: random tables are given to both, over the same disks,
 * and what one writes the other reads. Same bytes, same errors, same INFO and TABLE lines.
 *
 *	dm DISK…	block devices of DISK_SECTORS at least, which are overwritten; runs as root
 *
 * RISER_TEST_SEEDS is how many tables of each kind, RISER_TEST_SEED the first seed.
 */
#include "../tap.h"
#include "kernel_dm.h"
#include <linux/fs.h>
#include <riser/dm.h>
#include <sys/stat.h>

#define DISKS_MAX    4
#define DISK_SECTORS 32768u
#define LINES_MAX    6
#define IO_SECTORS   64u
#define IO_BYTES     ((size_t)IO_SECTORS * 512)
#define ROUNDS       24 /* I/Os of a table */
#define TIMEOUT      10000000000ull

enum kind { LINEAR, STRIPED, ZERO, ERROR, DELAY, FLAKEY, UNSTRIPED, SWITCH, KINDS };
static const char *const kinds[] = { "linear", "striped", "zero",      "error",
				     "delay",  "flakey",  "unstriped", "switch" };

/* A disk, or the device beneath the one that is tested: by the names of both sides. */
struct disk {
	char kernel[32];
	char riser[160];
	uint32_t sectors;
	uint32_t used; /* so far: no sector is mapped twice, or the order of writes would show */
};

/* A mapped device, twice. */
struct pair {
	const char *name;
	struct riser_dm *dm;
	struct riser_blk *b;
	struct riser_blk_channel *c;
	int fd;
	uint32_t sectors;
	char table[2][8192]; /* KERNEL and RISER */
};

enum { KERNEL, RISER };

static struct disk disks[DISKS_MAX + 1]; /* and the lower device */
static unsigned disks_n, sources; /* how many there are, and how many of them tables may use */
static bool flakey_fails_reads;
static struct kdm kdm;
static struct riser *r;
static struct riser_exec *x;
static void *buf[2];
static uint64_t random_state;
static unsigned seed;

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005 + 1442695040888963407;
	return (uint32_t)(random_state >> 33) % below;
}

/* Tables. */

static void add(struct pair *p, int side, const char *text)
{
	size_t used = strlen(p->table[side]);

	snprintf(p->table[side] + used, sizeof(p->table[side]) - used, "%s", text);
}

static void both(struct pair *p, const char *text)
{
	add(p, KERNEL, text);
	add(p, RISER, text);
}

/* " DEVICE OFFSET", with @len sectors of it taken; false where none has so many left. */
static bool add_disk(struct pair *p, uint32_t len)
{
	uint32_t gap = draw(20);
	unsigned first = draw(sources);

	for (unsigned i = 0; i < sources; i++) {
		struct disk *d = &disks[(first + i) % sources];
		char offset[32];

		if (d->sectors - d->used < gap + len)
			continue;
		add(p, KERNEL, " ");
		add(p, KERNEL, d->kernel);
		add(p, RISER, " ");
		add(p, RISER, d->riser);
		snprintf(offset, sizeof(offset), " %u", d->used + gap);
		both(p, offset);
		d->used += gap + len;
		return true;
	}
	return false;
}

/* The last of them came with Linux 6.5, without a new version; so did the name of what "" means. */
static const char *feature(void)
{
	static const char *const features[] = { " 1 drop_writes",
						" 5 corrupt_bio_byte 32 r 1 0",
						" 5 corrupt_bio_byte 224 w 0 32",
						" 1 error_writes",
						"",
						" 1 error_reads",
						" 2 random_read_corrupt 1000" };

	return features[draw(flakey_fails_reads ? 7 : 4)];
}

/* The line's arguments behind its kind; @unit is what its length is a multiple of. */
static bool add_arguments(struct pair *p, enum kind kind, uint32_t len, uint32_t unit, uint32_t n)
{
	char text[64] = "";
	bool ok = true;

	switch (kind) {
	case LINEAR:
		return add_disk(p, len);
	case STRIPED:
		snprintf(text, sizeof(text), " %u %u", n, unit);
		both(p, text);
		for (uint32_t i = 0; i < n; i++)
			ok &= add_disk(p, len / n);
		return ok;
	case DELAY:
		for (uint32_t i = 0; i < n % 3 + 1; i++) {
			ok &= add_disk(p, len);
			both(p, draw(2) ? " 1" : " 0");
		}
		return ok;
	case FLAKEY:
		ok = add_disk(p, len);
		both(p, " 3600 0");
		both(p, feature());
		return ok;
	case UNSTRIPED:
		snprintf(text, sizeof(text), " %u %u %u", n, unit, draw(n));
		both(p, text);
		return add_disk(p, len * n);
	case SWITCH:
		snprintf(text, sizeof(text), " %u %u 0", n, unit);
		both(p, text);
		for (uint32_t i = 0; i < n; i++)
			ok &= add_disk(p, len);
		return ok;
	default:
		return true;
	}
}

/* A line more, of the kind or (KINDS) of any. False: no room on the disks. */
static bool add_line(struct pair *p, enum kind kind)
{
	static const uint32_t units[] = { 1, 7, 8, 16, 24, 64 };
	uint32_t unit = units[draw(6)], n = 1 + draw(4);
	uint32_t len = unit * (1 + draw(400 / unit));
	char text[64];

	if (kind == KINDS) {
		do
			kind = draw(KINDS);
		while (!kdm_version(&kdm, kinds[kind]));
	}
	if (kind == STRIPED)
		len *= n;
	snprintf(text, sizeof(text), "%u %u %s", p->sectors, len, kinds[kind]);
	both(p, text);
	if (!add_arguments(p, kind, len, unit, n))
		return false;
	both(p, "\n");
	p->sectors += len;
	return true;
}

/* The device in the kernel and in riser. */

static void riser_close(struct pair *p)
{
	struct riser_err err = { 0 };

	riser_blk_channel_close(p->c);
	riser_blk_close(p->b);
	if (p->dm && riser_dm_remove(p->dm, x, &err))
		printf("# %s: %s\n", p->name, err.text);
}

static bool riser_make(struct pair *p)
{
	struct riser_err err = { 0 };
	char uri[64];

	snprintf(uri, sizeof(uri), "dm:%s", p->name);
	if (!riser_dm_create(r, p->name, NULL, 0, &p->dm, &err) &&
	    !riser_dm_load(p->dm, x, p->table[RISER], NULL, &err) &&
	    !riser_dm_resume(p->dm, x, TIMEOUT, &err) &&
	    !riser_blk_open(r, uri, RISER_BLK_RDWR, &p->b, &err) &&
	    !riser_blk_channel_open(p->b, x, 0, &p->c, &err))
		return true;
	printf("# riser: %s\n", err.text);
	return false;
}

static bool kernel_make(struct pair *p)
{
	char path[64];
	dev_t number = 0;
	int rc = kdm_create(&kdm, p->name, p->table[KERNEL], &number);

	if (!rc) {
		snprintf(path, sizeof(path), "/dev/dm-%u", minor(number));
		p->fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
		rc = p->fd < 0 ? -errno : 0;
	}
	if (rc)
		printf("# kernel: %s\n", strerror(-rc));
	return !rc;
}

static void pair_free(struct pair *p)
{
	riser_close(p);
	if (p->fd >= 0)
		close(p->fd);
	kdm_remove(&kdm, p->name);
}

/* @p with its table in both; what is wrong has been said. */
static bool pair_make(struct pair *p, const char *name, enum kind kind)
{
	uint32_t lines = 1 + draw(LINES_MAX);

	*p = (struct pair){ .name = name, .fd = -1 };
	for (unsigned i = 0; i < sources; i++)
		disks[i].used = 0;
	for (uint32_t i = 0; i < lines; i++) {
		struct pair before = *p;

		if (!add_line(p, kind))
			*p = before;
	}
	return kernel_make(p) && riser_make(p);
}

/* I/O on either side. */

static bool kernel_io(struct pair *p, enum riser_blk_op op, uint32_t sector, uint32_t count)
{
	uint64_t range[2] = { (uint64_t)sector * 512, (uint64_t)count * 512 };
	ssize_t len = (ssize_t)range[1];

	if (op == RISER_BLK_READ)
		return pread(p->fd, buf[KERNEL], (size_t)len, (off_t)range[0]) == len;
	if (op == RISER_BLK_WRITE)
		return pwrite(p->fd, buf[KERNEL], (size_t)len, (off_t)range[0]) == len;
	return !ioctl(p->fd, BLKZEROOUT, range);
}

static bool riser_io(struct pair *p, enum riser_blk_op op, uint32_t sector, uint32_t count)
{
	return riser_blk_rw(p->c, op, sector, count,
			    op == RISER_BLK_WRITE_ZEROES ? NULL : buf[RISER], 0) == RISER_BLK_OK;
}

/* Both read the same there, or both cannot; @worked says which. */
static bool same(struct pair *p, uint32_t sector, uint32_t count, bool *worked)
{
	bool here, there;

	memset(buf[KERNEL], 0x11, IO_BYTES);
	memset(buf[RISER], 0xee, IO_BYTES);
	there = kernel_io(p, RISER_BLK_READ, sector, count);
	here = riser_io(p, RISER_BLK_READ, sector, count);
	*worked = here;
	if (here != there)
		printf("# %u sectors from %u on: the kernel %s, riser %s\n", count, sector,
		       there ? "reads them" : "fails", here ? "reads them" : "fails");
	else if (here && memcmp(buf[KERNEL], buf[RISER], (size_t)count * 512))
		printf("# %u sectors from %u on differ\n", count, sector);
	else
		return true;
	return false;
}

/* One of them changes something; then both read it. */
static bool change(struct pair *p)
{
	uint32_t count = 1 + draw(p->sectors < IO_SECTORS ? p->sectors : IO_SECTORS);
	uint32_t sector = draw(p->sectors - count + 1);
	enum riser_blk_op op = draw(4) ? RISER_BLK_WRITE : RISER_BLK_WRITE_ZEROES;
	int side = (int)draw(2);
	bool wrote, read;

	for (size_t i = 0; i < (size_t)count * 512; i += 4) {
		uint32_t word = draw(UINT32_MAX);

		memcpy((char *)buf[side] + i, &word, 4);
	}
	wrote = side == KERNEL ? kernel_io(p, op, sector, count) : riser_io(p, op, sector, count);
	if (!same(p, sector, count, &read))
		return false;
	if (wrote != read)
		printf("# %s of %u sectors from %u on by %s %s\n",
		       op == RISER_BLK_WRITE ? "writing" : "zeroing", count, sector,
		       side == KERNEL ? "the kernel" : "riser", wrote ? "works" : "fails");
	return wrote == read;
}

static bool same_everywhere(struct pair *p)
{
	bool worked;

	for (uint32_t at = 0; at < p->sectors; at += IO_SECTORS) {
		uint32_t left = p->sectors - at;

		if (!same(p, at, left < IO_SECTORS ? left : IO_SECTORS, &worked))
			return false;
	}
	return true;
}

/* Status. */

/* @text of riser's with the kernel's names in it. */
static void rename_disks(const char *text, char *out, size_t len)
{
	size_t used = 0;

	while (*text && used + 1 < len) {
		const struct disk *d = disks;

		while (d < disks + disks_n + 1 &&
		       (!*d->riser || strncmp(text, d->riser, strlen(d->riser)) ||
			text[strlen(d->riser)] != ' '))
			d++;
		if (d < disks + disks_n + 1) {
			used += (size_t)snprintf(out + used, len - used, "%s", d->kernel);
			text += strlen(d->riser);
		} else {
			out[used++] = *text++;
		}
	}
	out[used < len ? used : len - 1] = '\0';
}

/* The kernel ends some lines with a blank. */
static void trim_lines(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		while (*in == '\n' && out > text && out[-1] == ' ')
			out--;
		*out++ = *in;
	}
	*out = '\0';
}

static bool same_status(struct pair *p, enum riser_status_type type)
{
	static char theirs[KDM_TEXT], ours[KDM_TEXT];
	struct riser_err err = { 0 };
	char *text = NULL;
	int rc = kdm_status(&kdm, p->name, type == RISER_STATUS_TABLE, theirs, sizeof(theirs));

	if (rc || riser_dm_status(p->dm, x, type, false, &text, &err)) {
		printf("# no status: %s\n", rc ? strerror(-rc) : err.text);
		return false;
	}
	rename_disks(text, ours, sizeof(ours));
	free(text);
	trim_lines(ours);
	trim_lines(theirs);
	if (!strcmp(ours, theirs))
		return true;
	printf("# the kernel's %s:\n# %s\n# riser's:\n# %s\n",
	       type == RISER_STATUS_TABLE ? "TABLE" : "INFO", theirs, ours);
	return false;
}

/* A random message to each switch. */
static bool switches_told(struct pair *p)
{
	char *copy = strdup(p->table[RISER]), *next = copy;
	bool ok = copy;

	while (ok && next && *next) {
		unsigned start, len, n, region;
		struct riser_err err = { 0 };
		char text[128], *answer = NULL;

		if (sscanf(strsep(&next, "\n"), "%u %u switch %u %u", &start, &len, &n, &region) !=
		    4)
			continue;
		snprintf(text, sizeof(text), "set_region_mappings %x:%x%s", draw(len / region),
			 draw(n), len / region > 8 ? " 1:0 :0 R2,3" : "");
		ok = !kdm_message(&kdm, p->name, start, text) &&
		     !riser_dm_message(p->dm, x, start, text, &answer, &err);
		if (!ok)
			printf("# %s: %s\n", text, *err.text ? err.text : "the kernel fails");
		free(answer);
	}
	free(copy);
	return ok;
}

static bool agree(struct pair *p)
{
	bool ok = same_status(p, RISER_STATUS_TABLE) && same_status(p, RISER_STATUS_INFO);

	for (int i = 0; ok && i < ROUNDS; i++)
		ok = (i != ROUNDS / 2 || switches_told(p)) && change(p);
	return ok && same_everywhere(p) && same_status(p, RISER_STATUS_TABLE) &&
	       same_status(p, RISER_STATUS_INFO);
}

/* Over the disks, or over a device on them. */
static bool one_table(enum kind kind, bool stacked)
{
	struct disk *lower_disk = &disks[disks_n];
	struct pair lower = { .fd = -1 }, upper = { .fd = -1 };
	bool ok = true;

	random_state = seed;
	draw(1);
	sources = disks_n;
	if (stacked) {
		struct stat st;

		ok = pair_make(&lower, "lower", LINEAR) && !fstat(lower.fd, &st);
		if (ok) {
			snprintf(lower_disk->kernel, sizeof(lower_disk->kernel), "%u:%u",
				 major(st.st_rdev), minor(st.st_rdev));
			strcpy(lower_disk->riser, "dm:lower");
			lower_disk->sectors = lower.sectors;
		}
		disks[0] = *lower_disk; /* tables name nothing else */
		sources = 1;
	}
	ok = ok && pair_make(&upper, "upper", kind) && agree(&upper);
	if (!ok)
		printf("# seed %u\n# %s\n", seed, upper.table[KERNEL]);
	if (upper.name)
		pair_free(&upper);
	if (lower.name)
		pair_free(&lower);
	return ok;
}

static unsigned number(const char *name, unsigned otherwise)
{
	const char *text = getenv(name);

	return text ? (unsigned)strtoul(text, NULL, 0) : otherwise;
}

static void tables(enum kind kind, bool stacked)
{
	unsigned first = number("RISER_TEST_SEED", 1), n = number("RISER_TEST_SEEDS", 8);
	struct disk disk0 = disks[0];

	if (kind != KINDS && !kdm_version(&kdm, kinds[kind]))
		SKIP("this kernel has no such target");
	for (seed = first; seed < first + n; seed++) {
		bool ok = one_table(kind, stacked);

		disks[0] = disk0;
		*disks[disks_n].riser = '\0';
		CHECK(ok);
	}
}

#define TABLES(name, kind, stacked)                                                                \
	TEST(name)                                                                                 \
	{                                                                                          \
		tables(kind, stacked);                                                             \
	}

TABLES(linear, LINEAR, false)
TABLES(striped, STRIPED, false)
TABLES(zero, ZERO, false)
TABLES(error, ERROR, false)
TABLES(delay, DELAY, false)
TABLES(flakey_without_downs, FLAKEY, false)
TABLES(unstriped, UNSTRIPED, false)
TABLES(switch_with_messages, SWITCH, false)
TABLES(all_in_one_table, KINDS, false)
TABLES(on_a_mapped_device, KINDS, true)

static bool find_disk(const char *path)
{
	struct disk *d = &disks[disks_n++];
	struct stat st;

	if (stat(path, &st) || !S_ISBLK(st.st_mode))
		return false;
	snprintf(d->kernel, sizeof(d->kernel), "%u:%u", major(st.st_rdev), minor(st.st_rdev));
	snprintf(d->riser, sizeof(d->riser), "file:%s?direct=1", path);
	d->sectors = DISK_SECTORS;
	return true;
}

static bool has_error_reads(void)
{
	char table[64];
	dev_t number;

	snprintf(table, sizeof(table), "0 8 flakey %s 0 1 0 1 error_reads", disks[0].kernel);
	return !kdm_create(&kdm, "probe", table, &number) && !kdm_remove(&kdm, "probe");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		CASE(linear),
		CASE(striped),
		CASE(zero),
		CASE(error),
		CASE(delay),
		CASE(flakey_without_downs),
		CASE(unstriped),
		CASE(switch_with_messages),
		CASE(all_in_one_table),
		CASE(on_a_mapped_device),
	};
	struct riser_err err = { 0 };

	for (int i = 1; i < argc && i <= DISKS_MAX; i++) {
		if (!find_disk(argv[i])) {
			printf("Bail out! %s is no block device\n", argv[i]);
			return 1;
		}
	}
	buf[KERNEL] = aligned_alloc(4096, IO_BYTES);
	buf[RISER] = aligned_alloc(4096, IO_BYTES);
	if (!disks_n || kdm_open(&kdm) || !buf[KERNEL] || !buf[RISER] ||
	    riser_new(NULL, &r, &err) || riser_exec_new(r, &x, &err)) {
		printf("Bail out! no disks, no kernel's device mapper, or %s\n", err.text);
		return 1;
	}
	flakey_fails_reads = has_error_reads();
	argc = tap_run(cases, sizeof(cases) / sizeof(cases[0]), 1, argv);
	riser_exec_free(x);
	riser_free(r);
	free(buf[KERNEL]);
	free(buf[RISER]);
	return argc;
}
