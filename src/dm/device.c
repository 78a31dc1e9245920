/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Mapped devices: slots, suspend, resume, and what is asked of them. */
#include "base/err.h"
#include "dm/stats.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLICE (20 * NS_PER_MS) /* see slice() */

/* Control of the context. */

static bool take_control(void *arg)
{
	struct riser *r = arg;
	bool taken;

	pthread_mutex_lock(&r->lock);
	taken = !r->dm.held || pthread_equal(r->dm.holder, pthread_self());
	if (taken) {
		r->dm.holder = pthread_self();
		r->dm.held++;
	}
	pthread_mutex_unlock(&r->lock);
	return taken;
}

int dm_control_begin(struct riser *r, struct riser_exec *x, uint64_t deadline,
		     struct riser_err *err)
{
	if (exec_in_callback(x) || exec_completing(r))
		return err_set(err, -EDEADLK,
			       "a mapped device cannot be changed from inside a completion");
	if (!sync_wait_until(r, x, take_control, r, deadline))
		return err_set(err, -ETIMEDOUT, "another mapped device is being changed");
	return 0;
}

void dm_control_end(struct riser *r)
{
	pthread_mutex_lock(&r->lock);
	r->dm.held--;
	pthread_mutex_unlock(&r->lock);
	clock_bump(r);
}

uint64_t dm_deadline_in(struct riser *r, uint64_t timeout_ns)
{
	uint64_t now = clock_now(r);

	return timeout_ns > TIME_NEVER - now ? TIME_NEVER : now + timeout_ns;
}

uint64_t dm_left_of(struct riser *r, uint64_t deadline)
{
	uint64_t now = clock_now(r);

	return deadline == TIME_NEVER ? TIME_NEVER : deadline > now ? deadline - now : 0;
}

int dm_new(struct riser *r, const char *name, const char *uuid, uint32_t flags,
	   struct riser_dm **out, struct riser_err *err)
{
	struct riser_dm *d;
	int rc = name ? dm_check_name("name", name, RISER_DM_NAME_MAX, err) : 0;

	if (!rc && uuid && *uuid)
		rc = dm_check_name("uuid", uuid, RISER_DM_UUID_MAX, err);
	if (!rc && flags & ~(RISER_DM_READONLY | RISER_DM_OPAQUE))
		rc = err_set(err, -EINVAL, "unknown flags %#x for a mapped device", flags);
	if (rc)
		return rc;
	d = calloc(1, sizeof(*d));
	if (!d)
		return err_set(err, -ENOMEM, "no memory for a mapped device");
	d->r = r;
	d->flags = flags;
	d->opaque = flags & RISER_DM_OPAQUE;
	list_init(&d->link);
	list_init(&d->order);
	list_init(&d->users);
	list_init(&d->skippers);
	rc = blk_new(r, &dm_ops, d, &d->b, err);
	if (rc) {
		free(d);
		return rc;
	}
	rc = dm_set_names(d, name, uuid, err);
	if (rc) {
		blk_put(d->b);
		return rc;
	}
	*out = d;
	return 0;
}

void dm_event(struct riser_dm *d)
{
	__atomic_fetch_add(&d->event_nr, 1, __ATOMIC_RELEASE);
	clock_bump(d->r);
}

int riser_dm_create(struct riser *r, const char *name, const char *uuid, uint32_t flags,
		    struct riser_dm **out, struct riser_err *err)
{
	return dm_new(r, name, uuid, flags, out, err);
}

static void set_slot(struct riser_dm *d, struct dm_table **slot, struct dm_table *t)
{
	struct dm_table *old = *slot;

	pthread_mutex_lock(&d->r->lock);
	*slot = t;
	pthread_mutex_unlock(&d->r->lock);
	if (old)
		dm_table_leave(old);
	dm_table_put(old);
}

/*
 * Nobody has it open any more, and no table names it. This may be any thread, such as an owner's
 * that frees what a table held, while another one is in control.
 */
void dm_free(struct riser_dm *d)
{
	pthread_mutex_lock(&d->r->lock);
	dm_leave_names(d);
	list_del(&d->link);
	pthread_mutex_unlock(&d->r->lock);
	dm_set_plan(d, NULL);
	set_slot(d, &d->inactive, NULL);
	set_slot(d, &d->live, NULL);
	dm_stats_put(d->stats);
	free(d);
}

/* Return: how often it is open; 0: its name is gone. */
static uint32_t forget(struct riser_dm *d)
{
	uint32_t opens;

	pthread_mutex_lock(&d->r->lock);
	opens = d->b->opens;
	if (!opens)
		dm_leave_names(d);
	pthread_mutex_unlock(&d->r->lock);
	return opens;
}

int riser_dm_remove(struct riser_dm *d, struct riser_exec *x, struct riser_err *err)
{
	uint32_t opens;
	int rc;

	if (!d)
		return 0;
	rc = dm_control_begin(d->r, x, TIME_NEVER, err);
	if (rc)
		return rc;
	/* What the tables above had before is with this owner perhaps. */
	do
		opens = forget(d);
	while (opens && x && riser_exec_poll(x) > 0);
	dm_control_end(d->r);
	if (opens)
		return err_set(err, -EBUSY, "mapped device %s is open %u times", d->name, opens);
	blk_put(d->b);
	return 0;
}

/* What a target does in its own thread, where that is one. */

static void presuspend(void *arg)
{
	const struct dm_table *t = ((struct riser_dm *)arg)->live;

	for (unsigned i = 0; t && i < t->ntargets; i++)
		if (t->targets[i]->ops->presuspend)
			t->targets[i]->ops->presuspend(t->targets[i]);
}

static void resume(void *arg)
{
	const struct dm_table *t = ((struct riser_dm *)arg)->live;

	for (unsigned i = 0; t && i < t->ntargets; i++)
		if (t->targets[i]->ops->resume)
			t->targets[i]->ops->resume(t->targets[i]);
}

/* Slots. */

int riser_dm_load(struct riser_dm *d, struct riser_exec *x, const char *text,
		  struct riser_dm_where *where, struct riser_err *err)
{
	struct dm_table *t;
	int rc = dm_control_begin(d->r, x, TIME_NEVER, err);

	if (rc)
		return rc;
	rc = dm_table_new(d, text, NULL, &t, where, err);
	if (!rc)
		set_slot(d, &d->inactive, t);
	dm_control_end(d->r);
	return rc;
}

int riser_dm_clear(struct riser_dm *d, struct riser_exec *x, struct riser_err *err)
{
	int rc = dm_control_begin(d->r, x, TIME_NEVER, err);

	if (rc)
		return rc;
	set_slot(d, &d->inactive, NULL);
	dm_control_end(d->r);
	return 0;
}

static void set_suspended(struct riser_dm *d, bool suspended)
{
	pthread_mutex_lock(&d->r->lock);
	d->suspended = suspended;
	if (suspended)
		list_add(&d->r->dm.suspended, &d->link);
	else
		list_del(&d->link);
	pthread_mutex_unlock(&d->r->lock);
}

static int suspend(struct riser_dm *d, struct riser_exec *x, uint64_t deadline,
		   struct riser_err *err)
{
	int rc = dm_make_opaque(d, x, deadline, err);

	if (!rc) {
		blk_at_home(d->b, x, presuspend, d);
		rc = blk_suspend(d->b, x, dm_left_of(d->r, deadline), err);
		if (rc)
			blk_at_home(d->b, x, resume, d);
	}
	if (rc) {
		dm_make_clear(d, x, dm_deadline_in(d->r, SLICE));
		return rc;
	}
	set_suspended(d, true);
	return 0;
}

static bool never(void *arg)
{
	(void)arg;
	return false;
}

/*
 * I/O may be parked at a device that another thread suspended, and is to resume: that thread needs
 * control. So where any is suspended, waiting is cut into slices, with a break between them.
 */
static uint64_t slice(struct riser *r, uint64_t deadline)
{
	uint64_t next = clock_now(r) + SLICE;
	bool none;

	pthread_mutex_lock(&r->lock);
	none = list_empty(&r->dm.suspended);
	pthread_mutex_unlock(&r->lock);
	return none ? deadline : min_of(deadline, next);
}

/* Return: whether there is another slice. */
static bool another_slice(struct riser *r, struct riser_exec *x, int rc, uint64_t deadline)
{
	uint64_t now = clock_now(r);

	if (rc != -ETIMEDOUT || now >= deadline)
		return false;
	sync_wait_until(r, x, never, NULL, min_of(deadline, now + NS_PER_MS));
	return clock_now(r) < deadline;
}

int riser_dm_suspend(struct riser_dm *d, struct riser_exec *x, uint64_t timeout_ns,
		     struct riser_err *err)
{
	uint64_t deadline = dm_deadline_in(d->r, timeout_ns);
	int rc;

	do {
		rc = dm_control_begin(d->r, x, deadline, err);
		if (rc)
			return rc;
		if (!d->suspended)
			rc = suspend(d, x, slice(d->r, deadline), err);
		dm_control_end(d->r);
	} while (another_slice(d->r, x, rc, deadline));
	return rc;
}

/* Would table @t, which is @sum, strand the one above? */
static int suits(const struct riser_dm *d, const struct dm_table *t, const struct riser_blk *sum,
		 const struct dm_table *up, struct riser_err *err)
{
	struct riser_blk above = { 0 };

	for (unsigned i = 0; i < up->ndevs; i++)
		if (up->devs[i]->dm == d && up->dev_ends[i] > t->sectors)
			return err_set(err, -EINVAL,
				       "'%s' would have %llu sectors, but '%s' uses %llu", d->name,
				       (unsigned long long)t->sectors, up->d->name,
				       (unsigned long long)up->dev_ends[i]);
	/* Its lines were aligned to smaller ones, and who has it open knows these. */
	dm_table_sum(up, &above);
	if (above.limits.logical_block < sum->limits.logical_block)
		return err_set(err, -EINVAL,
			       "'%s' would have logical blocks of %u bytes, but '%s' above has "
			       "blocks of %u",
			       d->name, sum->limits.logical_block, up->d->name,
			       above.limits.logical_block);
	return 0;
}

/* What the kernel does not let happen to a live table, and what would strand those above. */
static int may_replace(const struct riser_dm *d, const struct dm_table *t, struct riser_err *err)
{
	const struct riser_target_ops *old = d->live ? d->live->targets[0]->ops : NULL;
	const struct riser_target_ops *new = t->targets[0]->ops;
	struct riser_blk sum = { 0 };
	int rc = 0;

	if (old && old->flags & RISER_TARGET_IMMUTABLE && old != new &&
	    !(new->flags &RISER_TARGET_WILDCARD))
		return err_set(err, -EINVAL, "'%s': a %s target cannot be replaced by %s", d->name,
			       old->name, new->name);
	dm_table_sum(t, &sum);
	pthread_mutex_lock(&d->r->lock);
	list_for_each (u, &d->users, struct dm_use, link)
		rc = rc ? rc : suits(d, t, &sum, u->table, err);
	pthread_mutex_unlock(&d->r->lock);
	return rc;
}

/* The inactive table becomes the live one; the device is suspended. */
static int install(struct riser_dm *d, struct riser_exec *x, uint64_t deadline,
		   struct riser_err *err)
{
	struct dm_table *t = d->inactive;
	bool resized = d->live && d->live->sectors != t->sectors;
	struct dm_plan *p;
	int rc = dm_plan_new(t, &p, err);

	if (rc)
		return rc;
	rc = blk_swap(d->b, x, p, dm_left_of(d->r, deadline), err);
	if (rc) {
		dm_plan_put(p);
		return rc;
	}
	dm_set_plan(d, p);
	pthread_mutex_lock(&d->r->lock);
	d->inactive = NULL;
	pthread_mutex_unlock(&d->r->lock);
	set_slot(d, &d->live, t);
	dm_table_listen(t);
	if (resized)
		blk_notify(d->b, RISER_BLK_EVENT_RESIZED);
	return 0;
}

/* Under control. */
static int resume_once(struct riser_dm *d, struct riser_exec *x, uint64_t deadline,
		       struct riser_err *err)
{
	bool was_suspended = d->suspended;
	int rc = 0;

	if (d->inactive) {
		rc = may_replace(d, d->inactive, err);
		if (!rc && !was_suspended)
			rc = suspend(d, x, slice(d->r, deadline), err);
		if (!rc)
			rc = install(d, x, deadline, err);
	}
	/* Who was suspended before stays so where the new table cannot be had. */
	if (d->suspended && (!rc || !was_suspended)) {
		blk_at_home(d->b, x, resume, d);
		blk_resume(d->b, x, NULL);
		set_suspended(d, false);
		dm_make_clear(d, x, deadline);
	}
	return rc;
}

int riser_dm_resume(struct riser_dm *d, struct riser_exec *x, uint64_t timeout_ns,
		    struct riser_err *err)
{
	uint64_t deadline = dm_deadline_in(d->r, timeout_ns);
	int rc;

	do {
		rc = dm_control_begin(d->r, x, deadline, err);
		if (rc)
			return rc;
		rc = resume_once(d, x, deadline, err);
		dm_control_end(d->r);
	} while (another_slice(d->r, x, rc, deadline));
	return rc;
}

/* Status, messages, events. */

struct question {
	struct riser_dm *d;
	struct dm_table *table;
	enum riser_status_type type;
	struct riser_target *target;
	unsigned argc;
	char **argv;
	struct riser_text out;
	struct riser_err *err;
	int rc;
};

static void answer_status(void *arg)
{
	struct question *q = arg;

	riser_text_add(&q->out, "%s", "");
	for (unsigned i = 0; q->table && i < q->table->ntargets; i++) {
		struct riser_target *t = q->table->targets[i];

		riser_text_add(&q->out, "%llu %llu %s ", (unsigned long long)t->begin,
			       (unsigned long long)t->len, t->ops->name);
		if (t->ops->status)
			t->ops->status(t, q->type, &q->out);
		riser_text_add(&q->out, "\n");
	}
}

int riser_dm_status(struct riser_dm *d, struct riser_exec *x, enum riser_status_type type,
		    bool inactive, char **out, struct riser_err *err)
{
	struct question q = { .d = d, .type = type };
	int rc = dm_control_begin(d->r, x, TIME_NEVER, err);

	if (rc)
		return rc;
	q.table = inactive ? d->inactive : d->live;
	blk_at_home(d->b, x, answer_status, &q);
	dm_control_end(d->r);
	if (q.out.failed) {
		free(q.out.text);
		return err_set(err, -ENOMEM, "no memory for a status");
	}
	*out = q.out.text;
	return 0;
}

static int message_to_device(struct riser_dm *d, struct riser_exec *x, struct question *q)
{
	struct riser_args a = { .argc = q->argc, .argv = q->argv };

	return dm_stats_message(d, x, &a, &q->out, q->err);
}

static void answer_message(void *arg)
{
	struct question *q = arg;

	q->rc = q->target->ops->message(q->target, q->argc, q->argv, &q->out, q->err);
}

static int message(struct riser_dm *d, struct riser_exec *x, uint64_t sector, struct question *q)
{
	if (!d->live)
		return err_set(q->err, -ENOENT, "mapped device %s has no live table", d->name);
	if (!q->argc)
		return err_set(q->err, -EINVAL, "an empty message");
	if (sector >= d->live->sectors)
		return err_set(q->err, -EINVAL, "sector %llu is beyond the end",
			       (unsigned long long)sector);
	q->target = dm_table_find(d->live, sector);
	if (!q->target->ops->message)
		return err_set(q->err, -EINVAL, "a %s target takes no messages",
			       q->target->ops->name);
	blk_at_home(d->b, x, answer_message, q);
	return q->rc ? err_prefix(q->err, q->rc, "%s", q->target->ops->name) : 0;
}

int riser_dm_message(struct riser_dm *d, struct riser_exec *x, uint64_t sector, const char *text,
		     char **out, struct riser_err *err)
{
	char *copy = strdup(text), **words = malloc((strlen(text) / 2 + 2) * sizeof(char *));
	struct question q = { .d = d, .argv = words, .err = err };
	int rc = -ENOMEM;

	*out = NULL;
	if (!copy || !words) {
		err_set(err, rc, "no memory for a message");
		goto out;
	}
	q.argc = dm_words(copy, words, (unsigned)(strlen(text) / 2 + 1));
	rc = dm_control_begin(d->r, x, TIME_NEVER, err);
	if (rc)
		goto out;
	rc = q.argc && *q.argv[0] == '@' ? message_to_device(d, x, &q) : message(d, x, sector, &q);
	dm_control_end(d->r);
	if (rc || q.out.failed)
		free(q.out.text);
	else
		*out = q.out.text;
out:
	free(words);
	free(copy);
	return rc;
}

void riser_dm_get_info(struct riser_dm *d, struct riser_dm_info *i)
{
	pthread_mutex_lock(&d->r->lock);
	*i = (struct riser_dm_info){
		.live = d->live,
		.inactive = d->inactive,
		.suspended = d->suspended,
		.read_only = d->flags & RISER_DM_READONLY,
		.event_nr = load_acquire(&d->event_nr),
		.targets = d->live ? d->live->ntargets : 0,
		.extents = d->plan ? d->plan->n : 0,
		.skips = d->plan ? d->plan->nskips : 0,
		.home = d->live && d->live->home,
	};
	strcpy(i->name, d->name);
	strcpy(i->uuid, d->uuid);
	i->open_count = d->b->opens;
	pthread_mutex_unlock(&d->r->lock);
}

struct event_wait {
	struct riser_dm *d;
	uint32_t nr;
};

static bool event_came(void *arg)
{
	struct event_wait *w = arg;

	return load_acquire(&w->d->event_nr) != w->nr;
}

int riser_dm_wait(struct riser_dm *d, struct riser_exec *x, uint32_t event_nr, uint64_t timeout_ns)
{
	struct event_wait w = { d, event_nr };

	if (exec_in_callback(x))
		return -EDEADLK;
	return sync_wait_until(d->r, x, event_came, &w, dm_deadline_in(d->r, timeout_ns))
		       ? 0
		       : -ETIMEDOUT;
}
