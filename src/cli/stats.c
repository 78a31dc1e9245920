/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Statistics of a load, as the device mapper counts them: by areas of the device, and by the lines
 * of its table. What is no table is made one of a single linear line.
 */
#include "cli/json.h"
#include "cli/load.h"
#include <inttypes.h>
#include <riser/dm.h>
#include <riser/util.h>
#include <stdlib.h>
#include <string.h>

#define BOUNDS_MAX 64

struct args {
	uint64_t areas, area_size;
	const char *histogram;
};

struct stats {
	struct cli *c;
	struct args a;
	struct load load;
	struct riser_dm *dm;
	unsigned nbounds;
	uint64_t bounds[BOUNDS_MAX]; /* nanoseconds */
};

/* "1.5ms" and the like. Return: false when it is none. */
static bool parse_time(const char *text, size_t len, uint64_t *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = { { "ns", 1 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 } };
	char *end;
	double n = strtod(text, &end);

	for (size_t i = 0; i < array_len(units); i++)
		if ((size_t)(text + len - end) == strlen(units[i].unit) &&
		    !strncmp(end, units[i].unit, strlen(units[i].unit)) && n * units[i].ns >= 1 &&
		    n * units[i].ns < 1e18) {
			*ns = (uint64_t)(n * units[i].ns + 0.5);
			return true;
		}
	return false;
}

static int parse_bounds(struct stats *s)
{
	const char *at = s->a.histogram;
	uint64_t last = 0;

	while (at) {
		size_t len = strcspn(at, ",");
		uint64_t *ns = &s->bounds[s->nbounds];

		if (s->nbounds == BOUNDS_MAX || !parse_time(at, len, ns) || *ns <= last)
			return cli_fail(s->c, CLI_USAGE,
					"--histogram wants up to %d times that rise, such as "
					"100us,1ms,10ms, not '%s'",
					BOUNDS_MAX, s->a.histogram);
		last = *ns;
		s->nbounds++;
		at = at[len] ? at + len + 1 : NULL;
	}
	return 0;
}

static int check_args(struct stats *s)
{
	if (s->a.areas && s->a.area_size)
		return cli_fail(s->c, CLI_USAGE, "--areas and --area-size exclude each other");
	if (s->a.area_size % RISER_SECTOR_SIZE)
		return cli_fail(s->c, CLI_USAGE, "--area-size wants a multiple of 512 bytes");
	return parse_bounds(s);
}

/* The load's device, as a mapped device. */
static int open_mapped(struct stats *s, const char *uri)
{
	unsigned flags = load_writes(s->c) ? DEV_WRITE : 0;
	struct dev probe;
	uint64_t sectors;
	char *table;
	int rc;

	if (!strncmp(uri, "table:", strlen("table:"))) {
		rc = load_open(&s->load, s->c, uri, uri);
	} else {
		rc = dev_open(s->c, &probe, uri, flags, 1);
		sectors = probe.info.sectors;
		dev_close(&probe);
		if (rc)
			return rc;
		if (asprintf(&table, "table:0 %" PRIu64 " linear [%s] 0", sectors, uri) < 0)
			return cli_fail(s->c, CLI_FAILED, "no memory");
		rc = load_open(&s->load, s->c, table, uri);
		free(table);
	}
	if (!rc)
		s->dm = riser_dm_of(s->load.d.b);
	return rc;
}

static int say(struct stats *s, const char *message, char **answer)
{
	int rc = riser_dm_message(s->dm, s->c->x, 0, message, answer, &s->c->err);

	return rc ? cli_fail_err(s->c, rc) : 0;
}

/* Count from here on. */
static int begin(struct stats *s)
{
	char message[128 + BOUNDS_MAX * 21], *answer;
	int n, rc;

	if (s->a.area_size)
		n = snprintf(message, sizeof(message), "@stats_create - %" PRIu64,
			     s->a.area_size >> RISER_SECTOR_SHIFT);
	else
		n = snprintf(message, sizeof(message), "@stats_create - /%" PRIu64,
			     s->a.areas ? s->a.areas : 1);
	n += sprintf(message + n, " %d precise_timestamps", s->nbounds ? 2 : 1);
	for (unsigned i = 0; i < s->nbounds; i++)
		n += sprintf(message + n, "%s%" PRIu64, i ? "," : " histogram:", s->bounds[i]);
	rc = say(s, message, &answer);
	if (rc)
		return rc;
	free(answer);
	return say(s, "@histogram on", &answer);
}

/* A row of @stats_print. */
struct row {
	uint64_t start, sectors;
	uint64_t counters[13];
	uint64_t buckets[BOUNDS_MAX + 1];
};
enum {
	READS = 0,
	READ_SECTORS = 2,
	READ_NS,
	WRITES,
	WRITE_SECTORS = 6,
	WRITE_NS,
	BUSY = 9,
	QUEUED
};

/* Return: the next row, or NULL where it was the last. */
static const char *next_row(const struct stats *s, const char *at, struct row *r)
{
	char *end;

	if (!at || !*at)
		return NULL;
	*r = (struct row){ .start = strtoull(at, &end, 10) };
	r->sectors = strtoull(end + 1, &end, 10);
	for (unsigned i = 0; i < array_len(r->counters); i++)
		r->counters[i] = strtoull(end, &end, 10);
	for (unsigned i = 0; s->nbounds && i <= s->nbounds; i++)
		r->buckets[i] = strtoull(end + 1, &end, 10);
	return end + 1;
}

/* A line of @histogram print: one kind of I/O of one line of the table. */
struct line {
	uint64_t start, sectors, total;
	char target[16], kind[16];
	const char *buckets; /* " BELOW:COUNT" each; BELOW "-": no limit */
};

static const char *next_line(const char *at, struct line *l)
{
	int n = 0;

	if (!at || sscanf(at, "%" SCNu64 " %" SCNu64 " %15s %15s %" SCNu64 "%n", &l->start,
			  &l->sectors, l->target, l->kind, &l->total, &n) != 5)
		return NULL;
	l->buckets = at + n;
	at = strchr(l->buckets, '\n');
	return at ? at + 1 : NULL;
}

/* Return: what follows; NULL behind the last. *@below 0: no limit. */
static const char *next_bucket(const char *at, uint64_t *below, uint64_t *count)
{
	char *end;

	if (*at != ' ')
		return NULL;
	*below = at[1] == '-' ? 0 : strtoull(at + 1, NULL, 10);
	*count = strtoull(strchr(at, ':') + 1, &end, 10);
	return end;
}

static void print_time(uint64_t ns, char *out, size_t len)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double n = (double)ns;
	unsigned unit = 0;

	while (n >= 1000 && unit + 1 < array_len(units)) {
		n /= 1000;
		unit++;
	}
	snprintf(out, len, "%.4g%s", n, units[unit]);
}

static double mean_us(uint64_t ns, uint64_t ios)
{
	return ios ? (double)ns / (double)ios / 1e3 : 0;
}

static void print_rows(const struct stats *s, const char *rows)
{
	struct row r;
	char text[48];

	printf("%-24s %10s %10s %10s %10s %7s", "sectors", "reads", "mean us", "writes", "mean us",
	       "depth");
	for (unsigned i = 0; i < s->nbounds; i++) {
		text[0] = '<';
		print_time(s->bounds[i], text + 1, sizeof(text) - 1);
		printf(" %9s", text);
	}
	printf("%s\n", s->nbounds ? "      more" : "");
	while ((rows = next_row(s, rows, &r))) {
		const uint64_t *c = r.counters;

		snprintf(text, sizeof(text), "%" PRIu64 "+%" PRIu64, r.start, r.sectors);
		printf("%-24s %10" PRIu64 " %10.1f %10" PRIu64 " %10.1f %7.2f", text, c[READS],
		       mean_us(c[READ_NS], c[READS]), c[WRITES], mean_us(c[WRITE_NS], c[WRITES]),
		       c[BUSY] ? (double)c[QUEUED] / (double)c[BUSY] : 0);
		for (unsigned i = 0; s->nbounds && i <= s->nbounds; i++)
			printf(" %9" PRIu64, r.buckets[i]);
		printf("\n");
	}
}

/* Where a bucket begins that ends below a power of two; the first is all below 1024. */
static uint64_t at_least(uint64_t below)
{
	return !below ? UINT64_C(1) << 40 : below == 1024 ? 0 : below / 2;
}

static void print_lines(const char *lines)
{
	struct line l;

	while ((lines = next_line(lines, &l))) {
		uint64_t below, count, most = 0;
		const char *at;

		for (at = l.buckets; (at = next_bucket(at, &below, &count));)
			most = count > most ? count : most;
		printf("%" PRIu64 " %" PRIu64 " %s, %s: %" PRIu64 "\n", l.start, l.sectors,
		       l.target, l.kind, l.total);
		for (at = l.buckets; (at = next_bucket(at, &below, &count));)
			hist_print_row(at_least(below), count, most);
	}
}

static void json_rows(const struct stats *s, struct json *j, const char *rows)
{
	static const char *const names[] = {
		"reads",         "reads_merged",  "read_sectors", "read_ns",   "writes",
		"writes_merged", "write_sectors", "write_ns",     "in_flight", "busy_ns",
		"queued_ns",     "reading_ns",    "writing_ns",
	};
	struct row r;

	json_array(j, "areas");
	while ((rows = next_row(s, rows, &r))) {
		json_object(j, NULL);
		json_u64(j, "start", r.start);
		json_u64(j, "sectors", r.sectors);
		for (unsigned i = 0; i < array_len(names); i++)
			json_u64(j, names[i], r.counters[i]);
		if (s->nbounds) {
			json_array(j, "histogram");
			for (unsigned i = 0; i <= s->nbounds; i++)
				json_u64(j, NULL, r.buckets[i]);
			json_end(j);
		}
		json_end(j);
	}
	json_end(j);
}

static void json_lines(struct json *j, const char *lines)
{
	struct line l;

	json_array(j, "lines");
	while ((lines = next_line(lines, &l))) {
		uint64_t below, count;

		json_object(j, NULL);
		json_u64(j, "start", l.start);
		json_u64(j, "sectors", l.sectors);
		json_str(j, "target", l.target);
		json_str(j, "kind", l.kind);
		json_u64(j, "total", l.total);
		json_array(j, "latencies");
		for (const char *at = l.buckets; (at = next_bucket(at, &below, &count));) {
			json_object(j, NULL);
			if (below)
				json_u64(j, "below_ns", below);
			else
				json_str(j, "below_ns", NULL);
			json_u64(j, "ios", count);
			json_end(j);
		}
		json_end(j);
		json_end(j);
	}
	json_end(j);
}

static void print_json(const struct stats *s, const char *rows, const char *lines)
{
	struct json j;

	json_init(&j, stdout);
	json_object(&j, NULL);
	load_json(&s->load, &j);
	if (s->nbounds) {
		json_array(&j, "bounds_ns");
		for (unsigned i = 0; i < s->nbounds; i++)
			json_u64(&j, NULL, s->bounds[i]);
		json_end(&j);
	}
	json_rows(s, &j, rows);
	json_lines(&j, lines);
	json_end(&j);
}

static int report(struct stats *s)
{
	char *rows = NULL, *lines = NULL;
	int rc = say(s, "@stats_print 0", &rows);

	if (!rc)
		rc = say(s, "@histogram print", &lines);
	if (!rc && s->c->format == FORMAT_JSON) {
		print_json(s, rows, lines);
	} else if (!rc) {
		load_print(&s->load);
		print_rows(s, rows);
		print_lines(lines);
	}
	free(rows);
	free(lines);
	return rc;
}

static int run(struct cli *c)
{
	struct stats *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return cli_fail(c, CLI_FAILED, "no memory");
	s->c = c;
	c->common.load = (struct cli_load)LOAD_DEFAULTS;
	rc = cli_parse(c, &s->a);
	if (!rc)
		rc = load_check(c);
	if (!rc)
		rc = check_args(s);
	if (!rc)
		rc = open_mapped(s, c->arg[0]);
	if (!rc)
		rc = begin(s);
	if (!rc)
		rc = load_run(&s->load);
	if (!rc)
		rc = report(s);
	load_close(&s->load);
	free(s);
	return rc;
}

static const struct opt opts[] = {
	{ "areas", 0, OPT_IS_NUM(struct args, areas), "N",
	  "count in so many parts of the device; default 1" },
	{ "area-size", 0, OPT_IS_BYTES(struct args, area_size), "SIZE",
	  "count in parts of this size" },
	{ "histogram", 0, OPT_IS_TEXT(struct args, histogram), "TIMES",
	  "and by latency, such as 100us,1ms,10ms" },
	{ 0 },
};

const struct cmd cmd_stats = {
	.name = "stats",
	.args = "URI",
	.summary = "count a load: by areas of the device, and by lines of its table",
	.example = "riser stats mem:1G --rw=randread --areas=4 --histogram=1us,10us,100us",
	.opts = opts,
	.flags = CMD_LOAD | CMD_DESTROYS,
	.run = run,
};
