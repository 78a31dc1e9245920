/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Opening, sharing and shutting down a controller. */
#include "nvme/ctrl.h"
#include "base/err.h"
#include "base/parse.h"
#include "base/riser.h"
#include "base/uri.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT_MS 30000
#define DEFAULT_RETRIES    4
#define DEFAULT_RESETS     2
#define SHUTDOWN_LEAST     (5 * NS_PER_S)  /* where the controller names no latency */
#define SHUTDOWN_MOST      (60 * NS_PER_S) /* whatever it names; Linux has the same */
#define DOORBELLS          (2 * 256)       /* queues 0…255 */

/* The namespace is chosen behind the controller: nsid=1 and nsid=2 share it. */
static const char *const not_ours[] = { PCI_DRIVER_KEYS, NULL };

static struct nvme_ctrl *find(struct riser *r, const char *name)
{
	list_for_each (c, &r->controllers, struct nvme_ctrl, link)
		if (!strcmp(c->pci->name, name) && !load_relaxed(&c->dead))
			return c;
	return NULL;
}

static void destroy(struct nvme_ctrl *c)
{
	if (c->pci) {
		nvme_admin_destroy(c);
		pci_close(c->pci);
	}
	for (unsigned v = 0; v < NVME_VECTORS; v++)
		if (c->vectors[v] >= 0)
			close(c->vectors[v]);
	pthread_mutex_destroy(&c->lock);
	free(c->id);
	free(c);
}

static int read_registers(struct nvme_ctrl *c, struct riser_err *err)
{
	int class = pci_class(c->pci);
	unsigned min;

	if (class != PCI_CLASS_NVME)
		return err_set(err, class < 0 ? class : -ENODEV,
			       "%s: class code %#08x is not an NVMe controller's (0x010802)",
			       c->pci->name, class);
	c->cap = pci_read64(c->pci, 0, RISER_NVME_REG_CAP);
	c->vs = nvme_reg32(c, RISER_NVME_REG_VS);
	if (c->cap == UINT64_MAX)
		return err_set(err, -ENODEV, "%s: registers read all-ones: the function is gone",
			       c->pci->name);
	min = 12 + RISER_NVME_CAP_MPSMIN(c->cap);
	if (min > c->pci->dma.page_shift)
		return err_set(err, -ENOTSUP,
			       "%s: the controller's smallest page (%u KiB) is larger than the "
			       "IOMMU's (%u KiB)",
			       c->pci->name, 1u << (min - 10), 1u << (c->pci->dma.page_shift - 10));
	c->mps_shift = min;
	c->db_shift = 2 + RISER_NVME_CAP_DSTRD(c->cap);
	c->ready_timeout = max_of(RISER_NVME_CAP_TO(c->cap), 1u) * 500 * NS_PER_MS;
	return 0;
}

static void wait_round(struct nvme_ctrl *c, struct sync_wait *w, int did, uint64_t next)
{
	uint64_t pump_next;

	if (did || nvme_pump(c, &pump_next))
		w->idle = 0;
	else
		sync_wait_idle(w, min_of(next, pump_next));
}

/* Step the recovery until it is over. Return: 0, or the reason of its failure. */
static int wait_live(struct nvme_ctrl *c, struct riser_exec *x, uint32_t gen, struct riser_err *err)
{
	struct sync_wait w;
	int rc = 1;

	sync_wait_begin(&w, c->r, x);
	while (rc > 0) {
		uint64_t next;
		int did;

		sync_wait_look(&w);
		pthread_mutex_lock(&c->lock);
		did = nvme_serve_locked(c, clock_now(c->r));
		next = nvme_next(c);
		if (c->dead) {
			if (err)
				*err = c->recover.why;
			rc = -ENODEV;
		} else if (c->recover.state == RECOVER_LIVE && (int32_t)(c->live - gen) >= 0) {
			rc = 0;
		}
		nvme_unlock(c, x);
		if (rc > 0)
			wait_round(c, &w, did, next);
	}
	sync_wait_end(&w);
	return rc;
}

static int bring_up(struct nvme_ctrl *c, struct riser_err *err)
{
	unsigned vectors = min_of(pci_irq_vectors(c->pci), (unsigned)NVME_VECTORS);
	uint32_t gen;
	int rc;

	c->db = pci_map(c->pci, 0, RISER_NVME_REG_DBS, (size_t)DOORBELLS << c->db_shift);
	while (vectors > 1 && (rc = pci_irq_set(c->pci, c->vectors, vectors)))
		vectors = rc == -ENOSPC ? min_of(vectors - 1, pci_irq_vectors(c->pci)) : 0;
	c->nvectors = vectors > 1 ? vectors : 0;
	pthread_mutex_lock(&c->lock);
	nvme_recover_start(c, "opening");
	gen = c->gen;
	pthread_mutex_unlock(&c->lock);
	return wait_live(c, NULL, gen, err);
}

static uint64_t or_default(uint32_t value, uint64_t normal)
{
	return value ? value : normal;
}

/* The deadline of an I/O command: the options' word, else the URI's, else the usual one. */
static int io_timeout(const struct uri *u, uint32_t given, uint64_t *out, struct riser_err *err)
{
	const char *text = uri_get(u, "timeout");
	uint64_t ms = DEFAULT_TIMEOUT_MS;

	if (text && (parse_u64(text, &ms) || !ms || ms > UINT32_MAX))
		return err_set(err, -EINVAL, "timeout= wants milliseconds, not '%s'", text);
	*out = or_default(given, ms) * NS_PER_MS;
	return 0;
}

static int create(struct riser *r, const struct uri *u, const struct riser_nvme_opts *opts,
		  struct nvme_ctrl **out, struct riser_err *err)
{
	static const struct riser_nvme_opts defaults;
	const struct riser_nvme_opts *o = opts ? opts : &defaults;
	struct nvme_ctrl *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return err_set(err, -ENOMEM, "no memory for a controller");
	c->r = r;
	for (unsigned v = 0; v < NVME_VECTORS; v++)
		c->vectors[v] = -1;
	c->admin_timeout = or_default(o->admin_timeout_ms, DEFAULT_TIMEOUT_MS) * NS_PER_MS;
	c->max_retries = (unsigned)or_default(o->max_retries, DEFAULT_RETRIES);
	c->max_resets = (unsigned)or_default(o->max_resets, DEFAULT_RESETS);
	pthread_mutex_init(&c->lock, NULL);
	list_init(&c->shared);
	list_init(&c->watchers);
	c->id = calloc(1, sizeof(*c->id));
	rc = c->id ? io_timeout(u, o->io_timeout_ms, &c->io_timeout, err)
		   : err_set(err, -ENOMEM, "no memory");
	if (!rc)
		rc = pci_open(r, u, &c->pci, err);
	if (!rc)
		rc = read_registers(c, err);
	if (!rc)
		rc = nvme_admin_init(c, err);
	if (!rc)
		rc = bring_up(c, err);
	if (rc) {
		destroy(c);
		return rc;
	}
	c->refs = 1;
	list_add(&r->controllers, &c->link);
	*out = c;
	return 0;
}

int riser_nvme_open(struct riser *r, const char *uri, const struct riser_nvme_opts *opts,
		    struct riser_nvme **out, struct riser_err *err)
{
	struct riser_nvme *h;
	char *name = NULL;
	struct uri u;
	int rc;

	if (exec_completing(r))
		return err_set(err, -EDEADLK,
			       "%s cannot be opened inside a completion: it waits for the "
			       "controller",
			       uri);
	h = calloc(1, sizeof(*h));
	if (!h)
		return err_set(err, -ENOMEM, "no memory for a controller");
	rc = uri_parse(uri, &u, err);
	if (rc)
		goto out;
	name = uri_canonical(&u, not_ours);
	if (!name) {
		rc = err_set(err, -ENOMEM, "no memory for a name");
		goto out_uri;
	}
	h->flags = opts ? opts->flags : 0;
	if (opts && opts->admin_allow)
		memcpy(h->admin_allow, opts->admin_allow, sizeof(h->admin_allow));
	if (opts && opts->io_allow)
		memcpy(h->io_allow, opts->io_allow, sizeof(h->io_allow));
	pthread_mutex_lock(&r->open_lock);
	h->ctrl = find(r, name);
	if (h->ctrl)
		__atomic_fetch_add(&h->ctrl->refs, 1, __ATOMIC_RELAXED);
	else
		rc = create(r, &u, opts, &h->ctrl, err);
	pthread_mutex_unlock(&r->open_lock);
	free(name);
out_uri:
	uri_free(&u);
out:
	if (rc)
		free(h);
	else
		*out = h;
	return rc;
}

int nvme_share(const struct riser_nvme *h, struct riser_nvme **out, struct riser_err *err)
{
	struct riser_nvme *n = calloc(1, sizeof(*n));

	if (!n)
		return err_set(err, -ENOMEM, "no memory for a controller");
	n->ctrl = h->ctrl;
	__atomic_fetch_add(&n->ctrl->refs, 1, __ATOMIC_RELAXED);
	*out = n;
	return 0;
}

/* Wait for bits of CSTS, or for the function's end. Return: whether they came in time. */
static bool wait_csts(struct nvme_ctrl *c, uint32_t mask, uint32_t want, uint64_t timeout)
{
	uint64_t deadline = clock_now(c->r) + timeout;
	struct sync_wait w;
	bool came = false;

	sync_wait_begin_here(&w, c->r);
	for (;;) {
		uint32_t csts;

		sync_wait_look(&w);
		csts = nvme_reg32(c, RISER_NVME_REG_CSTS);
		came = csts != UINT32_MAX && (csts & mask) == want;
		if (came || csts == UINT32_MAX || clock_now(c->r) >= deadline)
			break;
		wait_round(c, &w, 0, deadline);
	}
	sync_wait_end(&w);
	return came;
}

/*
 * Normal shutdown (§3.6), then disable, so that the next user finds it quiet. The queues' memory is
 * freed behind this: in the middle of a recovery too, the device may not write to it any more.
 */
static void shut_down(struct nvme_ctrl *c)
{
	uint64_t named = le32(c->id->rtd3e) * NS_PER_US;
	uint64_t latency = min_of(max_of(named, SHUTDOWN_LEAST), SHUTDOWN_MOST);
	bool live = c->recover.state == RECOVER_LIVE;
	uint32_t cc;

	if (c->dead)
		return;
	cc = nvme_reg32(c, RISER_NVME_REG_CC) & ~RISER_NVME_CC_SHN_MASK;
	if (live)
		pci_write32(c->pci, 0, RISER_NVME_REG_CC, cc | RISER_NVME_CC_SHN_NORMAL);
	if (live &&
	    !wait_csts(c, RISER_NVME_CSTS_SHST_MASK, RISER_NVME_CSTS_SHST_COMPLETE, latency))
		base_log(c->r, RISER_LOG_WARN, "%s: no end of shutdown (CSTS.SHST) in time",
			 c->pci->name);
	pci_write32(c->pci, 0, RISER_NVME_REG_CC, cc & ~RISER_NVME_CC_EN);
	if (wait_csts(c, RISER_NVME_CSTS_RDY, 0, c->ready_timeout))
		return;
	base_log(c->r, RISER_LOG_WARN, "%s: still ready (CSTS.RDY) after being disabled",
		 c->pci->name);
	nvme_master_off(c);
}

/* Give a reference back unless it is the last one. */
static bool put_one_of_many(struct nvme_ctrl *c)
{
	unsigned refs = load_relaxed(&c->refs);

	while (refs > 1)
		if (__atomic_compare_exchange_n(&c->refs, &refs, refs - 1, true, __ATOMIC_RELEASE,
						__ATOMIC_RELAXED))
			return true;
	return false;
}

void riser_nvme_close(struct riser_nvme *h)
{
	struct nvme_ctrl *c;
	struct riser *r;

	if (!h)
		return;
	c = h->ctrl;
	free(h);
	if (put_one_of_many(c))
		return;
	r = c->r;
	pthread_mutex_lock(&r->open_lock);
	/* Another opener may have come before us. */
	if (__atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL) == 1) {
		list_del(&c->link);
		shut_down(c);
		destroy(c);
	}
	pthread_mutex_unlock(&r->open_lock);
}

int riser_nvme_reset(struct riser_nvme *h, struct riser_exec *x, struct riser_err *err)
{
	struct nvme_ctrl *c = h->ctrl;
	uint32_t gen;

	if (exec_in_callback(x) || exec_completing(c->r))
		return err_set(err, -EDEADLK, "a controller cannot be reset inside a completion");
	pthread_mutex_lock(&c->lock);
	if (c->recover.state == RECOVER_LIVE)
		nvme_recover_start(c, "asked to");
	gen = c->gen;
	pthread_mutex_unlock(&c->lock);
	return wait_live(c, x, gen, err);
}

void riser_nvme_set_aer_handler(struct riser_nvme *h, void (*fn)(void *ctx, uint32_t event),
				void *ctx)
{
	struct nvme_ctrl *c = h->ctrl;

	pthread_mutex_lock(&c->lock);
	c->aer_ctx = ctx;
	store_relaxed(&c->aer_fn, fn);
	pthread_mutex_unlock(&c->lock);
}

void nvme_watch(struct nvme_ctrl *c, struct listener *l)
{
	pthread_mutex_lock(&c->lock);
	listener_add(&c->watchers, l);
	store_relaxed(&c->nwatchers, c->nwatchers + 1);
	pthread_mutex_unlock(&c->lock);
}

void nvme_unwatch(struct nvme_ctrl *c, struct listener *l)
{
	listener_remove(l, c->r, &c->lock);
	pthread_mutex_lock(&c->lock);
	store_relaxed(&c->nwatchers, c->nwatchers - 1);
	pthread_mutex_unlock(&c->lock);
}

const struct riser_nvme_id_ctrl *riser_nvme_id(struct riser_nvme *h)
{
	return h->ctrl->id;
}

void riser_nvme_get_info(struct riser_nvme *h, struct riser_nvme_info *info)
{
	struct nvme_ctrl *c = h->ctrl;
	unsigned qpairs = 0;

	pthread_mutex_lock(&c->lock);
	for (unsigned i = 0; i < array_len(c->qids); i++)
		qpairs += (unsigned)__builtin_popcountll(c->qids[i]);
	*info = (struct riser_nvme_info){
		.cap = c->cap,
		.vs = c->vs,
		.page_size = 1u << c->mps_shift,
		.max_transfer = c->max_transfer,
		.max_qpairs = c->granted,
		.qpairs = qpairs,
		.queue_entries = RISER_NVME_CAP_MQES(c->cap) + 1,
		.vectors = c->nvectors,
		.volatile_write_cache = c->id->vwc & 1,
		.generation = c->gen - 1,
		.aborts = c->aborts,
		.retries = load_relaxed(&c->retries),
		.timeouts = c->timeouts,
		.stray = load_relaxed(&c->stray),
		.aers = c->aers,
		.gone = c->dead,
		.uri = c->pci->name,
	};
	pthread_mutex_unlock(&c->lock);
}

int riser_nvme_buf_alloc(struct riser_nvme *h, size_t len, void **out, struct riser_err *err)
{
	struct riser_dma_space *dma = &h->ctrl->pci->dma;
	struct dma_mem m;
	int rc;

	if (!dma->own)
		return riser_mem_alloc(h->ctrl->r, len, out, err);
	rc = dma_alloc(dma, max_of(len, (size_t)1), 4096, &m, err);
	if (!rc)
		*out = m.va;
	return rc;
}

void riser_nvme_buf_free(struct riser_nvme *h, void *buf, size_t len)
{
	struct riser_dma_space *dma = &h->ctrl->pci->dma;
	struct dma_mem m = { .va = buf, .len = max_of(len, (size_t)1) };

	if (!buf)
		return;
	if (dma->own)
		dma_free(dma, &m);
	else
		riser_mem_free(h->ctrl->r, buf);
}
