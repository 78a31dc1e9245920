/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * switch: each region of a fixed size is on one of several paths; a message says on which.
 *
 * The regions' path numbers are packed, a power of two of bits each, so that a million regions over
 * 16 paths take half a megabyte. Maps run in many threads while a message changes them: words are
 * read and written whole, by one writer, since messages come one at a time. An I/O that is mapped
 * at that moment goes by the old number or by the new one; nothing else hangs on it.
 */
#include "base/barrier.h"
#include "base/util.h"
#include <errno.h>
#include <riser/target.h>
#include <stdlib.h>
#include <strings.h>

#define WORD_BITS 64
#define WORDS_MAX (1u << 27) /* a gigabyte */

struct switching {
	uint32_t region; /* sectors */
	uint64_t nregions;
	unsigned bits, per_word; /* of a path number */
	uint64_t *words;
	unsigned npaths;
	struct riser_target_leg paths[];
};

static unsigned get_path(const struct switching *s, uint64_t region)
{
	unsigned shift = (unsigned)(region % s->per_word) * s->bits;

	return (unsigned)(load_relaxed(&s->words[region / s->per_word]) >> shift &
			  ((1ull << s->bits) - 1));
}

static void set_path(struct switching *s, uint64_t region, unsigned path)
{
	uint64_t *word = &s->words[region / s->per_word];
	unsigned shift = (unsigned)(region % s->per_word) * s->bits;
	uint64_t mask = ((1ull << s->bits) - 1) << shift;

	store_relaxed(word, (load_relaxed(word) & ~mask) | (uint64_t)path << shift);
}

/* At first the regions are dealt out in turn. */
static int regions_new(struct riser_target *t, struct switching *s)
{
	s->nregions = (t->len - 1) / s->region + 1;
	for (s->bits = 1; 1u << s->bits < s->npaths; s->bits *= 2)
		;
	s->per_word = WORD_BITS / s->bits;
	if (s->nregions / s->per_word < WORDS_MAX)
		s->words = calloc(s->nregions / s->per_word + 1, sizeof(*s->words));
	if (!s->words)
		return -ENOMEM;
	for (uint64_t i = 0; s->npaths > 1 && i < s->nregions; i++)
		set_path(s, i, (unsigned)(i % s->npaths));
	return 0;
}

static int add_path(struct riser_target *t, struct switching *s, struct riser_args *a,
		    struct riser_err *err)
{
	struct riser_target_leg *path = &s->paths[s->npaths];
	struct riser_blk_info info;
	int rc = riser_args_range(a, t, t->len, &path->dev, &path->start, err);

	if (rc)
		return rc;
	s->npaths++;
	riser_target_dev_info(t, path->dev, &info);
	if ((uint64_t)s->region * RISER_SECTOR_SIZE % info.logical_block)
		return riser_err_set(err, -EINVAL,
				     "regions of %u sectors are not aligned to blocks of %u bytes",
				     s->region, info.logical_block);
	return 0;
}

static int switch_ctr(struct riser_target *t, struct riser_args *a, struct riser_err *err)
{
	uint64_t npaths, region, optional;
	struct switching *s;
	int rc = riser_args_u64(a, "the number of paths", 1, UINT16_MAX, &npaths, err);

	if (!rc)
		rc = riser_args_u64(a, "the region size in sectors", 1, UINT32_MAX, &region, err);
	if (!rc)
		rc = riser_args_u64(a, "the number of optional arguments", 0, 0, &optional, err);
	if (rc)
		return rc;
	s = calloc(1, sizeof(*s) + npaths * sizeof(s->paths[0]));
	if (!s)
		return riser_err_set(err, -ENOMEM, "no memory");
	t->priv = s;
	s->region = (uint32_t)region;
	while (!rc && s->npaths < npaths)
		rc = add_path(t, s, a, err);
	if (rc)
		return rc;
	if (regions_new(t, s))
		return riser_err_set(err, -ENOMEM, "no memory for %llu regions",
				     (unsigned long long)s->nregions);
	t->max_io = s->region;
	t->num_flush = (uint16_t)npaths;
	t->num_discard = t->num_zeroes = 1;
	return 0;
}

static void switch_dtr(struct riser_target *t)
{
	struct switching *s = t->priv;

	if (s)
		free(s->words);
	free(s);
}

static enum riser_target_verdict switch_map(struct riser_target *t, struct riser_blk_io *io)
{
	const struct switching *s = t->priv;
	const struct riser_target_leg *path;

	if (io->op == RISER_BLK_FLUSH) /* one for each path */
		return riser_target_remap(t, io, s->paths[riser_target_copy(io)].dev, 0);
	path = &s->paths[get_path(s, io->sector / s->region)];
	return riser_target_remap(t, io, path->dev, path->start + io->sector);
}

/* Digits without a prefix. Return: behind them, or NULL where there are none or too many. */
static const char *hex(const char *s, uint64_t *out)
{
	unsigned n = 0;

	for (*out = 0; n <= 16; s++, n++) {
		unsigned c = (unsigned char)*s, lower = c | 32;

		if (c >= '0' && c <= '9')
			*out = *out << 4 | (c - '0');
		else if (lower >= 'a' && lower <= 'f')
			*out = *out << 4 | (lower - 'a' + 10);
		else
			return n ? s : NULL;
	}
	return NULL;
}

/* "Rn,m": the last n mappings again, in the next m regions. */
static int repeat(struct switching *s, const char *word, uint64_t *at, struct riser_err *err)
{
	uint64_t cycle, count;
	const char *p = hex(word + 1, &cycle);

	p = p && *p == ',' ? hex(p + 1, &count) : NULL;
	if (!p || *p || !cycle || !count)
		return riser_err_set(err, -EINVAL, "'%s' is no R<n>,<m> in hexadecimal", word);
	if (cycle - 1 > *at)
		return riser_err_set(err, -EINVAL, "'%s': there are not so many regions before",
				     word);
	if (count >= s->nregions - *at)
		return riser_err_set(err, -EINVAL, "'%s' is more than the %llx regions", word,
				     (unsigned long long)s->nregions);
	while (count--) {
		++*at;
		set_path(s, *at, get_path(s, *at - cycle));
	}
	return 0;
}

/* "[index]:path" */
static int set(struct switching *s, const char *word, uint64_t *at, struct riser_err *err)
{
	const char *p = word;
	uint64_t region = *at + 1, path;

	if (*p != ':')
		p = hex(p, &region);
	p = p && *p == ':' ? hex(p + 1, &path) : NULL;
	if (!p || *p)
		return riser_err_set(err, -EINVAL, "'%s' is no [<index>]:<path> in hexadecimal",
				     word);
	if (region >= s->nregions)
		return riser_err_set(err, -EINVAL, "'%s': there are %llx regions", word,
				     (unsigned long long)s->nregions);
	if (path >= s->npaths)
		return riser_err_set(err, -EINVAL, "'%s': there are %x paths", word, s->npaths);
	*at = region;
	set_path(s, region, (unsigned)path);
	return 0;
}

/* Words before the one that is wrong have been done, as in the kernel. */
static int switch_message(struct riser_target *t, unsigned argc, char **argv,
			  struct riser_text *out, struct riser_err *err)
{
	struct switching *s = t->priv;
	uint64_t at = 0;
	int rc = 0;

	(void)out;
	if (strcasecmp(argv[0], "set_region_mappings"))
		return riser_err_set(err, -EINVAL,
				     "unknown message '%s': there is set_region_mappings", argv[0]);
	for (unsigned i = 1; !rc && i < argc; i++)
		rc = argv[i][0] == 'R' ? repeat(s, argv[i], &at, err) : set(s, argv[i], &at, err);
	return rc;
}

static void switch_status(struct riser_target *t, enum riser_status_type type,
			  struct riser_text *out)
{
	const struct switching *s = t->priv;

	if (type == RISER_STATUS_INFO)
		return;
	riser_text_add(out, "%u %u 0", s->npaths, s->region);
	for (unsigned i = 0; i < s->npaths; i++)
		riser_text_add(out, " %s %llu", riser_target_dev_uri(t, s->paths[i].dev),
			       (unsigned long long)s->paths[i].start);
}

const struct riser_target_ops target_switch = {
	.abi = RISER_TARGET_ABI,
	.size = sizeof(target_switch),
	.name = "switch",
	.version = { 1, 1, 0 },
	.flags = RISER_TARGET_PARALLEL | RISER_TARGET_CUT_ALL,
	.syntax = "<n> <region> 0 [<dev> <offset>]+",
	.summary = "regions on one of several paths each",
	.ctr = switch_ctr,
	.dtr = switch_dtr,
	.map = switch_map,
	.status = switch_status,
	.message = switch_message,
};
