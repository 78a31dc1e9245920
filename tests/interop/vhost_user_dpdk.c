/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Frames to dpdk-testpmd over vhost-user, which sends each back where it came from. */
#include "../tap.h"
#include "base/riser.h"
#include "base/uri.h"
#include "child.h"
#include "virtio/virtq.h"
#include <fcntl.h>
#include <riser/net.h>
#include <sys/stat.h>

#define TESTPMD "dpdk-testpmd"
#define QUEUE   256u
#define SLOT    2048u
#define BATCH   32u
#define FRAMES  4000u

struct pmd {
	char dir[64], sock[96];
	pid_t pid;
	int feed; /* it ends when its input does */
};

static bool pmd_start(struct pmd *b)
{
	char vdev[160];
	int in[2], null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	snprintf(vdev, sizeof(vdev), "net_vhost0,iface=%s,queues=1,client=0", b->sock);
	unlink(b->sock);
	if (pipe2(in, O_CLOEXEC) || null < 0)
		return false;
	b->pid = child_start_with(
		(const char *const[]){ TESTPMD, "--lcores", "0@0,1@1", "--no-huge", "-m", "128",
				       "--no-shconf", "--no-pci", "--no-telemetry", "--vdev", vdev,
				       "--", "--nb-cores=1", "--auto-start", "--forward-mode=io",
				       "--no-mlockall", "--total-num-mbufs=4096", NULL },
		in[0], null);
	b->feed = in[1];
	close(in[0]);
	close(null);
	for (int i = 0; i < 6000 && !child_listens(b->sock); i++)
		usleep(10000);
	return child_listens(b->sock);
}

static void pmd_kill(struct pmd *b)
{
	child_end(&b->pid);
	close(b->feed);
}

static bool pmd_make(struct pmd *b)
{
	memset(b, 0, sizeof(*b));
	strcpy(b->dir, "/tmp/riser-pmd-XXXXXX");
	if (!mkdtemp(b->dir))
		return false;
	snprintf(b->sock, sizeof(b->sock), "%s/sock", b->dir);
	return pmd_start(b);
}

static void pmd_end(struct pmd *b)
{
	pmd_kill(b);
	unlink(b->sock);
	rmdir(b->dir);
}

#define NEED_PMD()                                                                                 \
	do {                                                                                       \
		if (!child_is_there(TESTPMD))                                                      \
			MISSING(TESTPMD " (Debian package dpdk-dev)");                             \
	} while (0)

/* A card driven by its queues alone: buffers i receive, buffers BATCH + i transmit. */
struct card {
	struct riser *r;
	struct virtio_dev *d;
	struct virtq *rx, *tx;
	struct dma_mem mem;
	struct riser_err err;
	unsigned sent, back;
};

static uint8_t *slot(const struct card *c, unsigned i)
{
	return (uint8_t *)c->mem.va + i * SLOT;
}

static void post(struct card *c, unsigned i)
{
	struct virtq_sg sg = { c->mem.iova + i * SLOT, SLOT };

	virtq_add(c->rx, &sg, 0, 1, slot(c, i));
}

static void transmit(struct card *c, unsigned i)
{
	uint8_t *p = slot(c, BATCH + i);
	uint32_t len = 60 + c->sent * 7 % 1400;
	struct virtq_sg sg = { c->mem.iova + (BATCH + i) * SLOT, 12 + len };

	memset(p, 0, 12);
	for (uint32_t b = 0; b < len; b++)
		p[12 + b] = (uint8_t)(c->sent + b);
	if (!virtq_add(c->tx, &sg, 1, 0, p))
		c->sent++;
}

static bool came_back(struct card *c, const uint8_t *p, uint32_t len)
{
	bool good = len == 12 + 60 + c->back * 7 % 1400;

	for (uint32_t b = 0; good && b < len - 12; b++)
		good = p[12 + b] == (uint8_t)(c->back + b);
	c->back++;
	return good;
}

static int card_open(struct card *c, const struct pmd *b, uint64_t features)
{
	char uri[128];
	struct riser_opts opts = { .size = sizeof(opts) };
	struct uri u;
	int rc;

	memset(c, 0, sizeof(*c));
	snprintf(uri, sizeof(uri), "vhost-user:%s", b->sock);
	rc = riser_new(&opts, &c->r, &c->err);
	if (!rc)
		rc = uri_parse(uri, &u, &c->err);
	if (rc)
		return rc;
	rc = virtio_open(c->r, &u, RISER_VIRTIO_ID_NET, &c->d, &c->err);
	uri_free(&u);
	if (!rc)
		rc = virtio_negotiate(c->d, virtio_net_features, features, features, &c->err);
	if (!rc)
		rc = virtq_new(c->d, 0, QUEUE, -1, &c->rx, &c->err);
	if (!rc)
		rc = virtq_new(c->d, 1, QUEUE, -1, &c->tx, &c->err);
	if (!rc)
		rc = dma_alloc(c->d->dma, 2 * BATCH * SLOT, 4096, &c->mem, &c->err);
	if (!rc)
		rc = virtio_start(c->d, &c->err);
	if (rc)
		printf("# %s\n", c->err.text);
	return rc;
}

static void card_close(struct card *c)
{
	virtio_reset(c->d, NULL);
	virtq_free(c->rx);
	virtq_free(c->tx);
	dma_free(c->d->dma, &c->mem);
	virtio_close(c->d);
	riser_free(c->r);
}

/* Never more frames under way than there are buffers for, so that none has to be dropped. */
static bool run(struct card *c)
{
	unsigned idle = 0, free_to = BATCH;
	uint32_t len;
	uint8_t *p;

	for (unsigned i = 0; i < BATCH; i++)
		post(c, i);
	while (c->back < FRAMES && idle < 20000) {
		unsigned before = c->back;

		while (virtq_take(c->tx, &len))
			free_to++; /* in order, since it copies them in order */
		while (c->sent < FRAMES && c->sent < free_to && c->sent - c->back < BATCH)
			transmit(c, c->sent % BATCH);
		virtq_kick(c->tx);
		while ((p = virtq_take(c->rx, &len))) {
			if (!came_back(c, p, len))
				return false;
			post(c, (unsigned)(p - slot(c, 0)) / SLOT);
		}
		virtq_kick(c->rx);
		idle = c->back != before ? 0 : idle + 1;
		if (idle)
			usleep(100);
	}
	return c->back == FRAMES && !c->d->broken;
}

#define F(name) VIRTIO_BIT(RISER_VIRTIO_##name)

TEST(layouts)
{
	static const uint64_t features[] = {
		F(F_VERSION_1),
		F(F_VERSION_1) | F(NET_F_MRG_RXBUF) | F(F_EVENT_IDX),
		F(F_VERSION_1) | F(F_IN_ORDER) | F(F_INDIRECT_DESC),
	};
	struct card c;
	struct pmd b;

	NEED_PMD();
	CHECK(pmd_make(&b));
	for (size_t i = 0; i < array_len(features); i++) {
		CHECK_EQ(card_open(&c, &b, features[i]), 0);
		CHECK(run(&c));
		CHECK_EQ(c.back, FRAMES);
		card_close(&c);
	}
	pmd_end(&b);
}

TEST_MAIN(CASE(layouts))
