/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/riser.h"
#include "base/err.h"
#include "base/membarrier.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define KNOWN_FLAGS (RISER_VIRTUAL_TIME | RISER_NO_MEMBARRIER | RISER_NO_IO_URING)

static int init_recursive(pthread_mutex_t *m)
{
	pthread_mutexattr_t attr;
	int rc = pthread_mutexattr_init(&attr);

	if (rc)
		return rc;
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
	rc = pthread_mutex_init(m, &attr);
	pthread_mutexattr_destroy(&attr);
	return rc;
}

int base_new(const struct riser_opts *opts, const struct registry *registry, struct riser **out,
	     struct riser_err *err)
{
	uint32_t flags = opts ? opts->flags : 0;
	struct riser *r;

	if (flags & ~KNOWN_FLAGS)
		return err_set(err, -EINVAL, "unknown context flags %#x", flags & ~KNOWN_FLAGS);
	r = calloc(1, sizeof(*r));
	if (!r)
		return err_set(err, -ENOMEM, "no memory for a context");
	r->registry = registry;
	r->flags = flags;
	r->log = opts ? opts->log : NULL;
	r->log_ctx = opts ? opts->log_ctx : NULL;
	list_init(&r->controllers);
	list_init(&r->disks);
	list_init(&r->functions);
	list_init(&r->vfio);
	list_init(&r->claims);
	list_init(&r->regions);
	list_init(&r->spaces);
	list_init(&r->execs);
	list_init(&r->wires);
	list_init(&r->dm.plugins);
	list_init(&r->dm.suspended);
	list_init(&r->dm.opening);
	r->membarrier = !(flags & RISER_NO_MEMBARRIER) && membarrier_register();
	if (clock_init(&r->clock, flags & RISER_VIRTUAL_TIME))
		goto fail;
	if (pthread_mutex_init(&r->lock, NULL))
		goto fail_clock;
	if (init_recursive(&r->open_lock))
		goto fail_lock;
	if (pthread_mutex_init(&r->claim_lock, NULL))
		goto fail_open_lock;
	*out = r;
	return 0;
fail_open_lock:
	pthread_mutex_destroy(&r->open_lock);
fail_lock:
	pthread_mutex_destroy(&r->lock);
fail_clock:
	clock_destroy(&r->clock);
fail:
	free(r);
	return err_set(err, -ENOMEM, "no memory for a context's locks");
}

void riser_free(struct riser *r)
{
	if (!r)
		return;
	if (r->registry->close)
		r->registry->close(r);
	pthread_mutex_destroy(&r->claim_lock);
	pthread_mutex_destroy(&r->open_lock);
	pthread_mutex_destroy(&r->lock);
	clock_destroy(&r->clock);
	free(r);
}

void base_log(struct riser *r, enum riser_log_level level, const char *fmt, ...)
{
	char line[RISER_ERR_TEXT];
	va_list ap;

	if (!r->log)
		return;
	va_start(ap, fmt);
	err_vformat(line, sizeof(line), fmt, ap);
	va_end(ap);
	r->log(r->log_ctx, level, line);
}
