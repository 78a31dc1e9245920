/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Text to table: "<start> <len> <target> <args>" a line, in sectors. Lines follow each other
 * without a gap; empty lines and those that begin with '#' are skipped. Words end at white space
 * outside of brackets, so that a device may be written as [nbd+unix:///a b].
 *
 * The rules, and the errno of each mistake, are the kernel's (drivers/md/dm-table.c); whoever is to
 * blame is told by struct riser_dm_where.
 */
#include "base/err.h"
#include "base/parse.h"
#include "dm/stats.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 65536
#define LEN_MAX   (UINT64_MAX >> RISER_SECTOR_SHIFT)

struct dm_parser {
	const char *text; /* the whole */
	char *line, **words;
	unsigned nwords, size, number;
	size_t at; /* of the line in the text */
	struct riser_dm_where *where;
	struct riser_err *err;
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

unsigned dm_words(char *s, char **words, unsigned max)
{
	unsigned n = 0, depth;

	for (;;) {
		while (is_space(*s))
			s++;
		if (!*s || n == max)
			return n;
		words[n++] = s;
		for (depth = 0; *s && (depth || !is_space(*s)); s++) {
			if (*s == '[')
				depth++;
			else if (*s == ']' && depth)
				depth--;
		}
		if (*s)
			*s++ = 0;
	}
}

static struct riser_dm_where where_of(const struct dm_parser *p, unsigned word)
{
	struct riser_dm_where where = { .line = p->number, .column = 1 };
	const char *w;

	if (!p->nwords)
		return where;
	w = p->words[min_of(word, p->nwords - 1)];
	where.column = (unsigned)(w - p->line) + 1;
	where.len = (unsigned)strlen(w);
	if (word >= p->nwords) { /* what is missing is missing behind the last */
		where.column += where.len + 1;
		where.len = 1;
	}
	return where;
}

/* The word to blame. */
static void blame(const struct dm_parser *p, unsigned word)
{
	if (p->where)
		*p->where = where_of(p, word);
}

/* Devices may be written in brackets. */
static char *unbracket(char *w)
{
	size_t len = strlen(w);

	if (len < 2 || w[0] != '[' || w[len - 1] != ']')
		return w;
	w[len - 1] = 0;
	return w + 1;
}

static int grow(void **array, unsigned n, size_t item)
{
	void *more;

	if (n && (n & (n - 1)))
		return 0;
	more = realloc(*array, (n ? 2 * (size_t)n : 1) * item);
	if (!more)
		return -ENOMEM;
	*array = more;
	return 0;
}

static struct dm_table *table_of(const struct riser_target *t)
{
	return t->core;
}

/* The range is needed. @word: of the arguments, that names the device. */
static int need(struct dm_table *t, unsigned dev, uint64_t start, uint64_t len, unsigned word)
{
	const struct dm_dev *v = t->devs[dev];
	struct dm_notes *n = t->notes;

	t->dev_ends[dev] = max_of(t->dev_ends[dev], start + len);
	if (!n)
		return 0;
	if (grow((void **)&n->ranges, n->nranges, sizeof(*n->ranges)))
		return -ENOMEM;
	n->ranges[n->nranges++] =
		(struct dm_range){ .target = t->ntargets - 1,
				   .dev = dev,
				   .identity = v->b->identity ? v->b->identity : dm_dev_uri(v),
				   .start = start,
				   .len = len,
				   .where = where_of(t->parser, 3 + word) };
	return 0;
}

/* Is @d below @from, in a live or an inactive table? Nobody is asked twice in a walk. */
static bool leads_to(struct riser_dm *from, const struct riser_dm *d, uint64_t walk)
{
	const struct dm_table *slots[] = { from->live, from->inactive };

	if (from == d)
		return true;
	if (from->walk == walk)
		return false;
	from->walk = walk;
	for (unsigned s = 0; s < array_len(slots); s++)
		for (unsigned i = 0; slots[s] && i < slots[s]->ndevs; i++)
			if (slots[s]->devs[i]->dm && leads_to(slots[s]->devs[i]->dm, d, walk))
				return true;
	return false;
}

/* Would @d be below itself? */
static bool reaches(struct riser_dm *from, const struct riser_dm *d)
{
	return leads_to(from, d, ++d->r->dm.walks);
}

static int table_dev(struct dm_table *t, const char *uri, unsigned *out, struct riser_err *err)
{
	bool rdwr = !(t->d->flags & RISER_DM_READONLY);
	struct dm_dev *v;
	int rc;

	/* A table names the same few devices, the last one most often. */
	for (unsigned i = t->ndevs; i-- > 0;) {
		if (strcmp(dm_dev_uri(t->devs[i]), uri))
			continue;
		*out = i;
		return 0;
	}
	if (grow((void **)&t->devs, t->ndevs, sizeof(struct dm_dev *)) ||
	    grow((void **)&t->dev_ends, t->ndevs, sizeof(*t->dev_ends)))
		return err_set(err, -ENOMEM, "no memory for a table's devices");
	rc = dm_dev_get(t->d->r, uri, rdwr, &v, err);
	if (rc)
		return rc;
	if (rdwr && v->b->read_only)
		rc = err_set(err, -EACCES, "%s is read-only", uri);
	else if (v->dm && reaches(v->dm, t->d))
		rc = err_set(err, -ELOOP, "'%s' would contain itself", t->d->name);
	if (rc) {
		dm_dev_put(t->d->r, v);
		return rc;
	}
	t->dev_ends[t->ndevs] = 0;
	*out = t->ndevs;
	t->devs[t->ndevs++] = v;
	return 0;
}

int riser_args_dev(struct riser_args *a, struct riser_target *t, unsigned *dev,
		   struct riser_err *err)
{
	const char *word = riser_args_word(a, "a device", err);
	struct dm_table *table = table_of(t);
	int rc = word ? table_dev(table, word, dev, err) : -EINVAL;

	if (!rc && table->firsts[table->ntargets - 1] == NO_DEV)
		table->firsts[table->ntargets - 1] = *dev;
	return rc;
}

int riser_args_range(struct riser_args *a, struct riser_target *t, uint64_t len, unsigned *dev,
		     uint64_t *start, struct riser_err *err)
{
	struct dm_table *table = table_of(t);
	const struct riser_blk *b;
	uint32_t block;
	int rc = riser_args_dev(a, t, dev, err);

	if (!rc)
		rc = riser_args_u64(a, "a first sector", 0, LEN_MAX, start, err);
	if (rc)
		return rc;
	b = table->devs[*dev]->b;
	block = b->limits.logical_block >> RISER_SECTOR_SHIFT;
	if (*start >= b->sectors || len > b->sectors - *start)
		return err_set(err, -EINVAL,
			       "%s is too small: it has %llu sectors, and %llu from sector %llu on "
			       "are wanted",
			       dm_dev_uri(table->devs[*dev]), (unsigned long long)b->sectors,
			       (unsigned long long)len, (unsigned long long)*start);
	if (*start % block || len % block)
		return err_set(err, -EINVAL,
			       "%s has logical blocks of %u bytes: sector %llu and length %llu "
			       "have to be multiples of %u",
			       dm_dev_uri(table->devs[*dev]), b->limits.logical_block,
			       (unsigned long long)*start, (unsigned long long)len, block);
	rc = need(table, *dev, *start, len, a->at - 2);
	return rc ? err_set(err, rc, "no memory for a table") : 0;
}

const struct riser_target_ops *dm_find_target(struct riser *r, const char *name)
{
	const struct riser_target_ops *ops;

	for (unsigned i = 0; (ops = riser_dm_targets(r, i)); i++)
		if (!strcmp(ops->name, name))
			return ops;
	return NULL;
}

static int unknown_target(struct riser *r, const char *name, struct riser_err *err)
{
	const char *names[64], *near;
	unsigned n = 0;

	while (n < array_len(names) - 1 && riser_dm_targets(r, n)) {
		names[n] = riser_dm_targets(r, n)->name;
		n++;
	}
	names[n] = NULL;
	near = parse_nearest(name, names);
	if (near)
		return err_set(err, -EINVAL, "unknown target '%s': did you mean '%s'?", name, near);
	return err_set(err, -EINVAL, "unknown target '%s': 'riser dm targets' lists what there is",
		       name);
}

/* The numbers and the name. */
static int head(struct dm_parser *p, struct dm_table *t, struct riser_target *n)
{
	if (p->nwords < 3) {
		blame(p, p->nwords);
		return err_set(p->err, -EINVAL, "a line is '<start> <len> <target> <args>'");
	}
	if (parse_u64(p->words[0], &n->begin)) {
		blame(p, 0);
		return err_set(p->err, -EINVAL, "'%s' is no number of sectors", p->words[0]);
	}
	if (n->begin != t->sectors) {
		blame(p, 0);
		return err_set(p->err, -EINVAL,
			       n->begin > t->sectors ? "gap in table: sector %llu is expected"
						     : "lines overlap: sector %llu is expected",
			       (unsigned long long)t->sectors);
	}
	if (parse_u64(p->words[1], &n->len)) {
		blame(p, 1);
		return err_set(p->err, -EINVAL, "'%s' is no number of sectors", p->words[1]);
	}
	if (!n->len || n->len > LEN_MAX - n->begin) {
		blame(p, 1);
		return err_set(p->err, -EINVAL,
			       n->len ? "'%s' is no length in sectors that fits a device"
				      : "'%s': a length of 0 sectors",
			       p->words[1]);
	}
	n->ops = dm_find_target(t->d->r, p->words[2]);
	if (!n->ops) {
		blame(p, 2);
		return unknown_target(t->d->r, p->words[2], p->err);
	}
	return 0;
}

/* One line: an instance. */
static int line(struct dm_parser *p, struct dm_table *t)
{
	struct riser_args args;
	struct riser_target *n;
	int rc;

	if (grow((void **)&t->targets, t->ntargets, sizeof(struct riser_target *)) ||
	    grow((void **)&t->firsts, t->ntargets, sizeof(*t->firsts)))
		return err_set(p->err, -ENOMEM, "no memory for a table");
	n = calloc(1, sizeof(*n));
	if (!n)
		return err_set(p->err, -ENOMEM, "no memory for a table");
	n->r = t->d->r;
	n->core = t;
	rc = head(p, t, n);
	if (rc) {
		free(n);
		return rc;
	}
	t->firsts[t->ntargets] = NO_DEV;
	t->targets[t->ntargets++] = n;
	if (t->notes) {
		if (grow((void **)&t->notes->targets, t->notes->ntargets,
			 sizeof(*t->notes->targets)))
			return err_set(p->err, -ENOMEM, "no memory for a table");
		t->notes->targets[t->notes->ntargets++] = where_of(p, 2);
	}
	if (n->ops->flags & RISER_TARGET_SINGLETON && t->ntargets > 1) {
		blame(p, 2);
		return err_set(p->err, -EINVAL, "%s has to be alone in its table", n->ops->name);
	}
	if (t->targets[0]->ops->flags & RISER_TARGET_SINGLETON && t->ntargets > 1) {
		blame(p, 2);
		return err_set(p->err, -EINVAL, "%s has to be alone in its table",
			       t->targets[0]->ops->name);
	}
	args = (struct riser_args){ .argc = p->nwords - 3, .argv = p->words + 3 };
	for (unsigned i = 0; i < args.argc; i++)
		args.argv[i] = unbracket(args.argv[i]);
	rc = n->ops->ctr(n, &args, p->err);
	if (!rc)
		rc = riser_args_end(&args, p->err);
	if (rc) {
		blame(p, 3 + (args.at ? args.at - 1 : 0));
		return err_prefix(p->err, rc, "%s", n->ops->name);
	}
	t->home |= n->home || !(n->ops->flags & RISER_TARGET_PARALLEL);
	t->sectors += n->len;
	return 0;
}

static int words_of(struct dm_parser *p, const char *from, size_t len)
{
	unsigned most = (unsigned)min_of(len / 2 + 2, (size_t)WORDS_MAX);
	void *more;

	more = realloc(p->line, len + 1);
	if (!more)
		return err_set(p->err, -ENOMEM, "no memory for a table");
	p->line = more;
	if (most > p->size) {
		more = realloc(p->words, most * sizeof(char *));
		if (!more)
			return err_set(p->err, -ENOMEM, "no memory for a table");
		p->words = more;
		p->size = most;
	}
	memcpy(p->line, from, len);
	p->line[len] = 0;
	p->nwords = dm_words(p->line, p->words, p->size);
	return 0;
}

static int parse(struct dm_parser *p, struct dm_table *t)
{
	const char *s = p->text, *end = s + strlen(s), *stop;

	for (; s < end; s = stop + (stop < end)) {
		int rc;

		stop = memchr(s, '\n', (size_t)(end - s));
		stop = stop ? stop : end;
		rc = words_of(p, s, (size_t)(stop - s));

		p->number++;
		if (!rc && p->nwords && p->words[0][0] != '#')
			rc = line(p, t);
		if (rc)
			return rc;
	}
	if (t->ntargets)
		return 0;
	p->nwords = 0;
	p->number = max_of(p->number, 1u);
	blame(p, 0);
	return err_set(p->err, -EINVAL, "the table is empty: a line is '<start> <len> <target> …'");
}

void dm_table_sum(const struct dm_table *t, struct riser_blk *b)
{
	struct riser_blk_info i;

	b->limits.logical_block = b->limits.physical_block = RISER_SECTOR_SIZE;
	b->limits.buf_align = 1;
	for (unsigned n = 0; n < t->ndevs; n++)
		blk_stack_limits(b, t->devs[n]->b);
	/* What the targets know better. */
	if (!t->ndevs)
		b->discard = b->write_zeroes = b->fua = b->compare = b->harmless = true;
	for (unsigned n = 0; n < t->ntargets; n++) {
		struct riser_target *g = t->targets[n];

		b->discard &= g->num_discard > 0;
		if (g->ops->limits) {
			riser_blk_get_info(b, &i);
			g->ops->limits(g, &i);
			b->limits.max_sectors = i.max_sectors == UINT32_MAX ? 0 : i.max_sectors;
			b->limits.logical_block = i.logical_block;
			b->limits.physical_block = i.physical_block;
			b->write_cache = i.write_cache;
			b->fua = i.fua;
			b->discard = i.discard;
			b->write_zeroes = i.write_zeroes;
			b->compare = i.compare;
		}
	}
	b->read_only |= t->d->flags & RISER_DM_READONLY;
}

/* Enter the table in the lists of the mapped devices below. */
static int enter(struct dm_table *t, struct riser_err *err)
{
	t->uses = calloc(t->ndevs ? t->ndevs : 1, sizeof(*t->uses));
	if (!t->uses)
		return err_set(err, -ENOMEM, "no memory for a table");
	pthread_mutex_lock(&t->d->r->lock);
	for (unsigned i = 0; i < t->ndevs; i++) {
		struct riser_dm *below = t->devs[i]->dm;
		struct dm_use *u = &t->uses[t->nuses++];

		list_init(&u->link);
		u->table = t;
		u->b = t->devs[i]->b;
		if (!below)
			continue;
		list_add_tail(&below->users, &u->link);
	}
	pthread_mutex_unlock(&t->d->r->lock);
	return 0;
}

/* Each line, device and chunk starts and ends at a multiple of the largest logical block. */
static int check_blocks(struct dm_parser *p, const struct dm_table *t)
{
	struct riser_blk sum = { 0 };
	uint32_t block;

	dm_table_sum(t, &sum);
	block = sum.limits.logical_block >> RISER_SECTOR_SHIFT;
	for (unsigned i = 0; i < t->ntargets; i++) {
		const struct riser_target *n = t->targets[i];
		struct riser_target_shape s = { 0 };

		if (n->ops->shape)
			n->ops->shape(n, &s);
		if (s.kind == RISER_TARGET_STRIPED && s.chunk % block)
			return err_set(p->err, -EINVAL,
				       "the %s at sector %llu has chunks of %u sectors, which are "
				       "no multiple of logical blocks of %u bytes",
				       n->ops->name, (unsigned long long)n->begin, s.chunk,
				       sum.limits.logical_block);
		if (!(n->begin % block) && !(n->len % block))
			continue;
		return err_set(p->err, -EINVAL,
			       "the %s at sector %llu, %llu long, is not aligned to logical blocks "
			       "of %u bytes",
			       n->ops->name, (unsigned long long)n->begin,
			       (unsigned long long)n->len, sum.limits.logical_block);
	}
	return 0;
}

int dm_table_new(struct riser_dm *d, const char *text, struct dm_notes *notes,
		 struct dm_table **out, struct riser_dm_where *where, struct riser_err *err)
{
	struct dm_parser p = { .text = text, .where = where, .err = err };
	struct dm_table *t = calloc(1, sizeof(*t));
	int rc;

	if (where)
		*where = (struct riser_dm_where){ 0 };
	if (!t)
		return err_set(err, -ENOMEM, "no memory for a table");
	t->d = d;
	t->refs = 1;
	t->parser = &p;
	t->notes = notes;
	rc = parse(&p, t);
	if (!rc)
		rc = check_blocks(&p, t);
	if (!rc)
		rc = enter(t, err);
	t->parser = NULL;
	t->notes = NULL;
	free(p.words);
	free(p.line);
	if (rc) {
		dm_table_leave(t);
		dm_table_put(t);
		return rc;
	}
	*out = t;
	return 0;
}

unsigned dm_table_line(const struct dm_table *t, uint64_t sector)
{
	unsigned low = 0, n = t->ntargets;

	while (n > 1) {
		unsigned half = n / 2;

		low += t->targets[low + half]->begin <= sector ? half : 0;
		n -= half;
	}
	return low;
}

struct riser_target *dm_table_find(const struct dm_table *t, uint64_t sector)
{
	return t->targets[dm_table_line(t, sector)];
}

/* The size of a mapped device is its table's; that it cannot be used passes on upwards. */
static void below_changed(struct listener *l, unsigned event)
{
	struct riser_dm *d = container_of(l, struct dm_use, listener)->table->d;

	dm_event(d);
	if (event != RISER_BLK_EVENT_RESIZED)
		blk_notify(d->b, (enum riser_blk_event)event);
}

void dm_table_listen(struct dm_table *t)
{
	for (unsigned i = 0; i < t->nuses; i++) {
		t->uses[i].listener.fn = below_changed;
		t->uses[i].listens = true;
		blk_listen(t->uses[i].b, &t->uses[i].listener);
	}
}

void dm_table_leave(struct dm_table *t)
{
	pthread_mutex_lock(&t->d->r->lock);
	for (unsigned i = 0; i < t->nuses; i++)
		list_del(&t->uses[i].link);
	pthread_mutex_unlock(&t->d->r->lock);
	for (unsigned i = 0; i < t->nuses; i++)
		if (t->uses[i].listens)
			blk_unlisten(t->uses[i].b, &t->uses[i].listener);
	t->nuses = 0;
}

void dm_table_put(struct dm_table *t)
{
	if (!t || __atomic_fetch_sub(&t->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	for (unsigned i = t->ntargets; i-- > 0;) {
		struct riser_target *n = t->targets[i];

		if (n->ops->dtr)
			n->ops->dtr(n);
		else
			free(n->priv);
		free(n);
	}
	for (unsigned i = 0; i < t->ndevs; i++)
		dm_dev_put(t->d->r, t->devs[i]);
	dm_lines_free(t);
	free(t->targets);
	free(t->firsts);
	free(t->devs);
	free(t->dev_ends);
	free(t->uses);
	free(t);
}
