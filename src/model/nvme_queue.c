/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "model/nvme.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK     32 /* commands that the pool grows by */
#define CID_WORDS (65536 / 64)

int model_pool_init(struct model_nvme *m)
{
	list_init(&m->pool);
	list_init(&m->chunks);
	m->max_iov = (unsigned)((MODEL_PAGE << m->cfg.mdts) / MODEL_PAGE) + 2;
	m->sqs = calloc(m->cfg.queues + 1, sizeof(*m->sqs));
	m->cqs = calloc(m->cfg.queues + 1, sizeof(*m->cqs));
	m->live = calloc(m->cfg.queues + 1, sizeof(struct model_sq *));
	if (!m->sqs || !m->cqs || !m->live)
		return -ENOMEM;
	for (unsigned i = 0; i <= m->cfg.queues; i++) {
		list_init(&m->sqs[i].held);
		list_init(&m->cqs[i].waiting);
	}
	return 0;
}

void model_pool_free(struct model_nvme *m)
{
	if (m->chunks.next)
		list_for_each_safe (chunk, &m->chunks, struct model_chunk, link)
			free(chunk);
	free(m->sqs);
	free(m->cqs);
	free(m->live);
}

static bool model_pool_grow(struct model_nvme *m)
{
	struct model_chunk *chunk =
		calloc(1, sizeof(*chunk) + CHUNK * (sizeof(struct model_cmd) +
						    m->max_iov * sizeof(struct iovec)));
	struct iovec *iov;

	if (!chunk)
		return false;
	list_add(&m->chunks, &chunk->link);
	iov = (struct iovec *)&chunk->cmds[CHUNK];
	for (unsigned i = 0; i < CHUNK; i++) {
		struct model_cmd *cmd = &chunk->cmds[i];

		cmd->iov = iov + (size_t)i * m->max_iov;
		list_init(&cmd->timer);
		list_add(&m->pool, &cmd->link);
	}
	return true;
}

struct model_cmd *model_cmd_get(struct model_nvme *m)
{
	struct model_cmd *cmd;

	if (unlikely(list_empty(&m->pool)) && !model_pool_grow(m))
		return NULL;
	cmd = list_first(&m->pool, struct model_cmd, link);
	list_del(&cmd->link);
	cmd->state = MODEL_CMD_RUNNING;
	cmd->resume = NULL;
	cmd->dw0 = 0;
	cmd->niov = 0;
	return cmd;
}

void model_cmd_put(struct model_nvme *m, struct model_cmd *cmd)
{
	if (unlikely(cmd->buf)) {
		free(cmd->buf);
		cmd->buf = NULL;
	}
	cmd->state = MODEL_CMD_FREE;
	list_add(&m->pool, &cmd->link);
}

static unsigned model_cid(const struct model_cmd *cmd)
{
	return le16(cmd->sqe.cid);
}

void model_cmd_hold(struct model_cmd *cmd, enum model_cmd_state state)
{
	struct model_sq *sq = cmd->sq;

	cmd->state = state;
	if (cmd->held || !sq)
		return;
	cmd->held = true;
	list_add_tail(&sq->held, &cmd->link);
	sq->nheld++;
	sq->cids[model_cid(cmd) / 64] |= 1ull << model_cid(cmd) % 64;
}

/* The reverse, and the end of a Delete that waited for it. */
static void model_cmd_release(struct model_nvme *m, struct model_cmd *cmd)
{
	struct model_sq *sq = cmd->sq;
	struct model_cmd *deleter;

	list_del(&cmd->link);
	cmd->held = false;
	sq->nheld--;
	sq->cids[model_cid(cmd) / 64] &= ~(1ull << model_cid(cmd) % 64);
	deleter = sq->deleter;
	if (!deleter || sq->nheld)
		return;
	model_queue_close_sq(m, model_sq_id(m, sq));
	model_cmd_finish(m, deleter, 0);
}

static void model_cmd_drop(struct model_nvme *m, struct model_cmd *cmd)
{
	list_del(&cmd->timer);
	if (cmd->held)
		model_cmd_release(m, cmd);
	model_cmd_put(m, cmd);
}

/* Look at a doorbell. Return: true when it has a new value, which is below @size. */
static bool model_doorbell_look(struct model_nvme *m, unsigned word, uint32_t old, uint32_t size,
				uint32_t *out)
{
	/* Pairs with the driver's release: what it wrote before is visible now. */
	uint32_t val = load_acquire(&m->doorbells[word]), seen = to_le32(val).raw;

	if (likely(seen == old))
		return false;
	m->counters.doorbells++;
	if (likely(seen < size)) {
		*out = seen;
		return true;
	}
	/* Put the last good value back, so that writing the bad one again is seen again. */
	__atomic_compare_exchange_n(&m->doorbells[word], &val, to_le32(old).raw, false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	model_event_raise(m, RISER_NVME_AER_ERROR, RISER_NVME_AER_ERROR_INVALID_DB_VALUE,
			  RISER_NVME_LOG_ERROR);
	return false;
}

static void model_cq_look(struct model_nvme *m, struct model_cq *cq)
{
	unsigned word = (unsigned)(cq - m->cqs) * 2 + 1;
	uint32_t head, used = (cq->tail + cq->size - cq->head) % cq->size;

	if (!model_doorbell_look(m, word, cq->head, cq->size, &head))
		return;
	/* A head beyond the tail frees entries that were never posted. */
	if ((head + cq->size - cq->head) % cq->size > used) {
		store_relaxed(&m->doorbells[word], to_le32(cq->head).raw);
		model_event_raise(m, RISER_NVME_AER_ERROR, RISER_NVME_AER_ERROR_INVALID_DB_VALUE,
				  RISER_NVME_LOG_ERROR);
		return;
	}
	cq->head = head;
}

static uint32_t model_wrap(uint32_t i, uint32_t size)
{
	return i + 1 == size ? 0 : i + 1;
}

static bool model_cq_room(const struct model_cq *cq)
{
	return model_wrap(cq->tail, cq->size) != cq->head;
}

static void model_cq_post(struct model_nvme *m, const struct model_cmd *cmd, uint32_t status)
{
	const struct model_sq *sq = cmd->sq;
	struct model_cq *cq = sq->cq;
	uint64_t at = cq->base + cq->tail * sizeof(struct riser_nvme_cqe);
	struct riser_nvme_cqe *cqe = model_iommu_at(m->iommu, at);
	uint32_t last = model_cid(cmd) | (status << 1 | cq->phase) << 16;

	if (unlikely(!cqe)) {
		model_iommu_refuse(m->iommu, at);
		model_nvme_fatal(m);
		return;
	}
	cqe->dw0 = to_le32(cmd->dw0);
	cqe->dw1 = to_le32(0);
	cqe->sqhd = to_le16((uint16_t)sq->head);
	cqe->sqid = to_le16((uint16_t)model_sq_id(m, sq));
	/* Pairs with the driver's acquire of this dword: data and the rest of the entry first. */
	store_release((uint32_t *)(void *)&cqe->cid, to_le32(last).raw);
	cq->tail = model_wrap(cq->tail, cq->size);
	cq->phase ^= cq->tail == 0;
	cq->notify = true;
	m->budget--;
	m->activity++;
	m->counters.completions++;
}

void model_cmd_finish(struct model_nvme *m, struct model_cmd *cmd, uint32_t status)
{
	struct model_cq *cq;

	if (unlikely(!cmd->sq)) {
		model_cmd_put(m, cmd);
		return;
	}
	if (unlikely(!m->running)) {
		model_cmd_hold(cmd, MODEL_CMD_LOST);
		return;
	}
	if (unlikely(status))
		model_error_log(m, cmd, status);
	cq = cmd->sq->cq;
	if (likely(m->budget && list_empty(&cq->waiting) && model_cq_room(cq))) {
		model_cq_post(m, cmd, status);
		if (cmd->held)
			model_cmd_release(m, cmd);
		model_cmd_put(m, cmd);
		return;
	}
	cmd->status = status;
	model_cmd_hold(cmd, MODEL_CMD_WAITING);
	list_add_tail(&cq->waiting, &cmd->timer);
}

static void model_cq_drain(struct model_nvme *m, struct model_cq *cq)
{
	while (unlikely(!list_empty(&cq->waiting)) && m->budget && model_cq_room(cq)) {
		struct model_cmd *cmd = list_first(&cq->waiting, struct model_cmd, timer);

		model_cq_post(m, cmd, cmd->status);
		model_cmd_drop(m, cmd);
	}
}

uint32_t model_cmd_back(struct model_nvme *m, struct model_cmd *cmd)
{
	model_cmd_hold(cmd, MODEL_CMD_BACKED);
	m->nbacked++;
	return MODEL_PENDING;
}

void model_cmd_backed(struct model_nvme *m, struct model_cmd *cmd, uint32_t status)
{
	cmd->status = status;
	list_add_tail(&m->ended, &cmd->timer);
}

void model_cmd_resume(struct model_nvme *m, struct model_cmd *cmd)
{
	uint32_t status = cmd->status;

	m->nbacked--;
	m->activity++;
	cmd->state = MODEL_CMD_RUNNING;
	if (cmd->resume && m->running && cmd->sq)
		status = cmd->resume(m, cmd, status);
	if (status != MODEL_PENDING)
		model_cmd_finish(m, cmd, status);
}

void model_cmd_delay(struct model_nvme *m, struct model_cmd *cmd, uint64_t due, uint32_t status)
{
	struct list *at = m->delayed.prev;

	cmd->due = due;
	cmd->status = status;
	model_cmd_hold(cmd, MODEL_CMD_DELAYED);
	while (at != &m->delayed && list_entry(at, struct model_cmd, timer)->due > due)
		at = at->prev;
	list_add(at, &cmd->timer);
}

void model_cmd_start(struct model_nvme *m, struct model_cmd *cmd)
{
	uint32_t status;

	cmd->state = MODEL_CMD_RUNNING;
	status = cmd->sq == m->sqs ? model_admin(m, cmd) : model_io(m, cmd);
	if (status != MODEL_PENDING)
		model_cmd_finish(m, cmd, status);
}

bool model_cmd_abort(struct model_nvme *m, struct model_cmd *cmd, uint32_t status)
{
	if (cmd->state != MODEL_CMD_DELAYED && cmd->state != MODEL_CMD_LOST)
		return false;
	list_del(&cmd->timer);
	model_cmd_finish(m, cmd, status);
	return true;
}

void model_queue_open_cq(struct model_nvme *m, unsigned qid, uint64_t base, uint32_t size,
			 unsigned vector, bool ien)
{
	struct model_cq *cq = &m->cqs[qid];

	cq->live = true;
	cq->base = base;
	cq->size = size;
	cq->head = cq->tail = 0;
	cq->phase = true;
	cq->ien = ien;
	cq->vector = (uint16_t)vector;
	cq->nsqs = 0;
	cq->notify = false;
	store_relaxed(&m->doorbells[qid * 2 + 1], 0);
}

int model_queue_open_sq(struct model_nvme *m, unsigned qid, uint64_t base, uint32_t size,
			unsigned cqid)
{
	struct model_sq *sq = &m->sqs[qid];

	sq->cids = calloc(CID_WORDS, sizeof(*sq->cids));
	if (!sq->cids)
		return -ENOMEM;
	sq->live = true;
	sq->base = base;
	sq->size = size;
	sq->head = sq->tail = 0;
	sq->cq = &m->cqs[cqid];
	sq->cq->nsqs++;
	sq->deleter = NULL;
	store_relaxed(&m->doorbells[qid * 2], 0);
	m->live[m->nlive++] = sq;
	return 0;
}

void model_queue_close_sq(struct model_nvme *m, unsigned qid)
{
	struct model_sq *sq = &m->sqs[qid];

	free(sq->cids);
	sq->cids = NULL;
	sq->live = false;
	sq->deleter = NULL;
	sq->cq->nsqs--;
	store_relaxed(&m->doorbells[qid * 2], 0);
	for (unsigned i = 0; i < m->nlive; i++)
		if (m->live[i] == sq)
			m->live[i--] = m->live[--m->nlive];
}

void model_queue_close_cq(struct model_nvme *m, unsigned qid)
{
	m->cqs[qid].live = false;
	store_relaxed(&m->doorbells[qid * 2 + 1], 0);
}

/*
 * Stop a queue: nothing more is fetched, what waits for nothing but time or room ends. Commands
 * that did not get an entry never get one: the Delete's own entry says so (§3.3.1.3).
 */
bool model_queue_stop_sq(struct model_nvme *m, struct model_sq *sq)
{
	list_for_each_safe (cmd, &sq->held, struct model_cmd, link) {
		model_cmd_abort(m, cmd, RISER_NVME_ST_ABORT_SQ_DELETED);
		if (cmd->state == MODEL_CMD_WAITING)
			model_cmd_drop(m, cmd);
	}
	return sq->nheld == 0;
}

void model_queue_close_all(struct model_nvme *m)
{
	for (unsigned qid = 0; qid <= m->cfg.queues; qid++) {
		struct model_sq *sq = &m->sqs[qid];

		if (!sq->live)
			continue;
		sq->deleter = NULL;
		list_for_each_safe (cmd, &sq->held, struct model_cmd, link) {
			if (cmd->state != MODEL_CMD_BACKED) {
				model_cmd_drop(m, cmd);
				continue;
			}
			/* It finds nobody to tell when the backing gives it back. */
			model_cmd_release(m, cmd);
			cmd->sq = NULL;
		}
		model_queue_close_sq(m, qid);
	}
	for (unsigned qid = 0; qid <= m->cfg.queues; qid++)
		if (m->cqs[qid].live)
			model_queue_close_cq(m, qid);
}

/* Return: false when there is no memory for it, or the queue is no memory: nothing was fetched. */
static bool model_sq_fetch(struct model_nvme *m, struct model_sq *sq)
{
	uint64_t at = sq->base + sq->head * sizeof(struct riser_nvme_sqe);
	const struct riser_nvme_sqe *sqe = model_iommu_at(m->iommu, at);
	struct model_cmd *cmd;
	unsigned cid;

	if (unlikely(!sqe)) {
		model_iommu_refuse(m->iommu, at);
		model_nvme_fatal(m);
		return false;
	}
	cmd = model_cmd_get(m);
	if (unlikely(!cmd))
		return false;
	cmd->sqe = *sqe;
	cmd->sq = sq;
	sq->head = model_wrap(sq->head, sq->size);
	m->activity++;
	if (sq == m->sqs)
		m->counters.admin[cmd->sqe.opcode]++;
	else
		m->counters.io[cmd->sqe.opcode]++;
	cid = model_cid(cmd);
	if (unlikely(sq->nheld && sq->cids[cid / 64] & 1ull << cid % 64))
		model_cmd_finish(m, cmd, MODEL_DNR(RISER_NVME_ST_CID_CONFLICT));
	else if (unlikely(m->slow))
		model_fault_start(m, cmd);
	else
		model_cmd_start(m, cmd);
	return true;
}

static void model_sq_run(struct model_nvme *m, struct model_sq *sq)
{
	model_cq_look(m, sq->cq);
	model_cq_drain(m, sq->cq);
	model_doorbell_look(m, (unsigned)(sq - m->sqs) * 2, sq->tail, sq->size, &sq->tail);
	while (sq->head != sq->tail && !sq->deleter) {
		if (!m->budget || !list_empty(&sq->cq->waiting) || !model_cq_room(sq->cq))
			break;
		if (!model_sq_fetch(m, sq) || !m->running || !sq->live)
			break;
	}
}

/* Doorbells of queues that are not there: a late write is an event and nothing else. */
static void model_doorbells_stray(struct model_nvme *m)
{
	for (unsigned word = 0; word < (m->cfg.queues + 1) * 2; word++) {
		bool live = word & 1 ? m->cqs[word / 2].live : m->sqs[word / 2].live;

		if (live || !load_relaxed(&m->doorbells[word]))
			continue;
		store_relaxed(&m->doorbells[word], 0);
		m->counters.doorbells++;
		m->activity++;
		model_event_raise(m, RISER_NVME_AER_ERROR, RISER_NVME_AER_ERROR_INVALID_DB,
				  RISER_NVME_LOG_ERROR);
	}
}

void model_queue_run(struct model_nvme *m)
{
	/* The admin queue first (it may make and delete the others), then round robin. */
	model_sq_run(m, m->live[0]);
	for (unsigned n = 1; n < m->nlive && m->running; n++)
		model_sq_run(m, m->live[1 + (m->turn + n) % (m->nlive - 1)]);
	m->turn++;
	if (!m->activity && m->running)
		model_doorbells_stray(m);
}

void model_queue_notify(struct model_nvme *m)
{
	for (unsigned i = 0; i < m->nlive; i++) {
		struct model_cq *cq = m->live[i]->cq;

		if (!cq->notify)
			continue;
		cq->notify = false;
		if (!cq->ien)
			continue;
		m->counters.interrupts++;
		m->front->irq(m->front, cq->vector);
	}
}
