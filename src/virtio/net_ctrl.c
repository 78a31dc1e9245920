/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * The control virtqueue (§5.1.6.5): one command at a time, waited for. What it set is remembered,
 * and said again after each reset of the device.
 */
#include "base/err.h"
#include "base/exec.h"
#include "base/riser.h"
#include "virtio/net.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEADLINE  (5 * NS_PER_S)
#define MEMORY    (64 * KiB)
#define CTRL_SIZE 16

/* Where things lie in the memory for commands. */
#define AT_ACK  0
#define AT_HEAD 2
#define AT_DATA 64
#define NO_ACK  0x5a /* neither of the two that there are */

struct saved {
	struct list link;
	uint8_t class_code, command;
	uint16_t key;
	size_t len;
	uint8_t data[];
};

int virtio_net_ctrl_open(struct virtio_net *n, struct riser_err *err)
{
	bool many = virtio_net_has(n, RISER_VIRTIO_NET_F_MQ) ||
		    virtio_net_has(n, RISER_VIRTIO_NET_F_RSS);
	int rc = 0;

	n->ctrl_silent = false;
	if (!virtio_net_has(n, RISER_VIRTIO_NET_F_CTRL_VQ))
		return 0;
	if (!n->ctrl_mem.va)
		rc = dma_alloc(n->d->dma, MEMORY, 64, &n->ctrl_mem, err);
	return rc ? rc : virtq_new(n->d, many ? 2 * n->max_pairs : 2, CTRL_SIZE, -1, &n->ctrl, err);
}

/* The device is in reset. */
void virtio_net_ctrl_close(struct virtio_net *n)
{
	virtq_free(n->ctrl);
	n->ctrl = NULL;
}

void virtio_net_ctrl_forget(struct virtio_net *n)
{
	list_for_each_safe (s, &n->saved, struct saved, link)
		free(s);
	list_init(&n->saved);
	if (n->ctrl_mem.va)
		dma_free(n->d->dma, &n->ctrl_mem);
}

/* Return: 0: it was used; or a negative errno. */
static int await(struct virtio_net *n)
{
	struct virtio_dev *d = n->d;
	uint64_t deadline = clock_now(d->r) + DEADLINE, next;
	struct sync_wait w;
	uint32_t len;
	int rc = 1, did;

	sync_wait_begin_here(&w, d->r);
	while (rc > 0) {
		sync_wait_look(&w);
		next = TIME_NEVER;
		did = d->t->pump ? d->t->pump(d, &next) : 0;
		if (virtq_take(n->ctrl, &len))
			rc = len ? 0 : -EPROTO;
		else if (did < 0 || load_relaxed(&d->broken))
			rc = -ENODEV;
		else if (clock_now(d->r) >= deadline)
			rc = -ETIMEDOUT;
		else if (!did)
			sync_wait_idle(&w, min_of(next, deadline));
	}
	sync_wait_end(&w);
	return rc;
}

static int command(struct virtio_net *n, uint8_t class_code, uint8_t code, const void *data,
		   size_t len, struct riser_err *err)
{
	const char *name = n->d->name;
	uint8_t *mem = n->ctrl_mem.va;
	uint64_t iova = n->ctrl_mem.iova;
	struct riser_virtio_net_ctrl head = { class_code, code };
	struct virtq_sg sg[3] = { { iova + AT_HEAD, sizeof(head) } };
	unsigned nout = 1;
	int rc;

	if (!n->ctrl || n->ctrl_silent)
		return err_set(err, n->ctrl ? -ETIMEDOUT : -EOPNOTSUPP, "%s: %s", name,
			       n->ctrl ? "its control queue is silent until it is reset"
				       : "it has no control queue");
	if (len > MEMORY - AT_DATA)
		return err_set(err, -EMSGSIZE, "%s: a command of %zu bytes", name, len);
	mem[AT_ACK] = NO_ACK;
	memcpy(mem + AT_HEAD, &head, sizeof(head));
	if (len) {
		memcpy(mem + AT_DATA, data, len);
		sg[nout++] = (struct virtq_sg){ iova + AT_DATA, (uint32_t)len };
	}
	sg[nout] = (struct virtq_sg){ iova + AT_ACK, 1 };
	rc = virtq_add(n->ctrl, sg, nout, 1, mem);
	if (rc)
		return err_set(err, rc, "%s: its control queue is full", name);
	virtq_kick(n->ctrl);
	clock_bump(n->d->r);
	rc = await(n);
	if (rc) {
		n->ctrl_silent = true;
		return err_set(err, rc, "%s: no answer to control command %u.%u: %s", name,
			       class_code, code, strerror(-rc));
	}
	switch (mem[AT_ACK]) {
	case RISER_VIRTIO_NET_OK:
		return 0;
	case RISER_VIRTIO_NET_ERR:
		return err_set(err, -EIO, "%s: the device refused control command %u.%u", name,
			       class_code, code);
	default:
		return err_set(err, -EPROTO, "%s: the answer to control command %u.%u is %#x", name,
			       class_code, code, mem[AT_ACK]);
	}
}

static struct saved *find(struct virtio_net *n, uint8_t class_code, uint8_t code, uint16_t key)
{
	list_for_each (s, &n->saved, struct saved, link)
		if (s->class_code == class_code && s->command == code && s->key == key)
			return s;
	return NULL;
}

static void forget(struct saved *s)
{
	if (s)
		list_del(&s->link);
	free(s);
}

int virtio_net_command(struct virtio_net *n, const struct virtio_net_command *c,
		       struct riser_err *err)
{
	struct saved *s = NULL;
	int rc = 0;

	if (c->keep) {
		s = malloc(sizeof(*s) + c->len);
		if (!s)
			return err_set(err, -ENOMEM, "no memory for a command");
		*s = (struct saved){ .class_code = c->class_code,
				     .command = c->command,
				     .key = c->key,
				     .len = c->len };
		memcpy(s->data, c->data, c->len);
		list_init(&s->link);
	}
	pthread_mutex_lock(&n->lock);
	if (!virtio_net_has(n, c->feature))
		rc = err_set(err, -EOPNOTSUPP, "%s: the device has not %s", n->d->name, c->name);
	if (!rc)
		rc = command(n, c->class_code, c->command, c->data, c->len, err);
	if (!rc && s) {
		forget(find(n, s->class_code, s->command, s->key));
		list_add_tail(&n->saved, &s->link);
		s = NULL;
	}
	if (!rc && c->undoes)
		forget(find(n, c->class_code, *c->undoes, c->key));
	pthread_mutex_unlock(&n->lock);
	free(s);
	return rc;
}

void virtio_net_ctrl_replay(struct virtio_net *n)
{
	struct riser_err err;

	list_for_each (s, &n->saved, struct saved, link)
		if (command(n, s->class_code, s->command, s->data, s->len, &err))
			base_log(n->d->r, RISER_LOG_WARN, "%s", err.text);
}
