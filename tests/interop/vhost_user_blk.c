/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The vhost-user transport against the disk that qemu-storage-daemon exports. */
#include "child.h"
#include "vhost_user.h"
#include <fcntl.h>
#include <sys/stat.h>

#define QSD       "qemu-storage-daemon"
#define DISK_SIZE (4u << 20)
#define SLOT_SIZE 4096u /* a request of a test: header, status, then this much data */
#define DEPTH     16u

struct disk {
	char dir[64], file[96], sock[96];
	pid_t pid;
};

struct request {
	struct riser_virtio_blk_req head;
	uint8_t status;
	uint8_t data[] __attribute__((aligned(512)));
};

static bool disk_make(struct disk *disk)
{
	int fd;

	strcpy(disk->dir, "/tmp/riser-vub-XXXXXX");
	if (!mkdtemp(disk->dir))
		return false;
	snprintf(disk->file, sizeof(disk->file), "%s/disk", disk->dir);
	snprintf(disk->sock, sizeof(disk->sock), "%s/sock", disk->dir);
	fd = open(disk->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, DISK_SIZE))
		return false;
	close(fd);
	return true;
}

static bool disk_serve(struct disk *disk)
{
	char blockdev[160], export[256];

	snprintf(blockdev, sizeof(blockdev), "driver=file,node-name=f,filename=%s", disk->file);
	snprintf(export, sizeof(export),
		 "type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path=%s,writable=on,"
		 "num-queues=2",
		 disk->sock);
	unlink(disk->sock);
	disk->pid = child_start(
		(const char *const[]){ QSD, "--blockdev", blockdev, "--export", export, NULL });
	for (int i = 0; i < 3000 && !child_listens(disk->sock); i++)
		usleep(10000);
	return disk->pid > 0 && child_listens(disk->sock);
}

static void disk_end(struct disk *disk)
{
	child_end(&disk->pid);
	unlink(disk->sock);
	unlink(disk->file);
	rmdir(disk->dir);
}

#define NEED_QSD()                                                                                 \
	do {                                                                                       \
		if (!child_is_there(QSD))                                                          \
			MISSING(QSD " (Debian package qemu-system-common)");                       \
	} while (0)

/* Open, agree, and start queue 0. */
static int begin(struct hand *h, const struct disk *disk, int event_fd)
{
	char uri[128];
	int rc;

	snprintf(uri, sizeof(uri), "vhost-user:%s", disk->sock);
	rc = hand_open(h, uri, RISER_VIRTIO_ID_BLK, 0);
	if (!rc)
		rc = hand_agree(h, VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1) |
					   VIRTIO_BIT(RISER_VIRTIO_BLK_F_FLUSH));
	if (!rc)
		rc = hand_queue(h, 0, event_fd);
	if (!rc)
		rc = hand_start(h);
	if (rc)
		printf("# %s\n", h->err.text);
	return rc;
}

static struct request *request_at(void *mem, unsigned i)
{
	return (struct request *)((char *)mem + i * (SLOT_SIZE + 512));
}

/* Sector 8 * @slot, one page, by the three descriptors of slot @i. */
static void submit(struct hand *h, void *mem, unsigned i, uint32_t type, uint64_t slot)
{
	struct request *q = request_at(mem, i);
	uint64_t at = (uint64_t)(uintptr_t)q;

	q->head = (struct riser_virtio_blk_req){ .type = to_le32(type),
						 .sector = to_le64(slot * SLOT_SIZE / 512) };
	q->status = 0xff;
	hand_put(h, 3 * i, at, sizeof(q->head), RISER_VIRTQ_DESC_F_NEXT);
	hand_put(h, 3 * i + 1, at + offsetof(struct request, data), SLOT_SIZE,
		 RISER_VIRTQ_DESC_F_NEXT |
			 (type == RISER_VIRTIO_BLK_T_IN ? RISER_VIRTQ_DESC_F_WRITE : 0));
	hand_put(h, 3 * i + 2, at + offsetof(struct request, status), 1, RISER_VIRTQ_DESC_F_WRITE);
	hand_offer(h, 3 * i);
}

static int wait_one(struct hand *h)
{
	int head;

	while ((head = hand_take(h)) < 0 && !hand_stale(h))
		hand_pump(h);
	return head;
}

TEST(config)
{
	struct disk disk = { 0 };
	struct hand h;
	riser_le64 capacity = { 0 };
	riser_le16 queues = { 0 };
	int rc;

	NEED_QSD();
	CHECK(disk_make(&disk) && disk_serve(&disk));
	rc = begin(&h, &disk, -1);
	CHECK_EQ(rc, 0);
	CHECK_EQ(h.d->t->config_read(h.d, 0, &capacity, 8), 0);
	CHECK_EQ(le64(capacity), DISK_SIZE / 512);
	CHECK_EQ(h.d->t->config_read(h.d, offsetof(struct riser_virtio_blk_config, num_queues),
				     &queues, 2),
		 0);
	CHECK_EQ(le16(queues), 2);
	CHECK_EQ(h.d->t->config_read(h.d, 250, &capacity, 8), -ERANGE);
	CHECK(h.d->t->queue_max(h.d, 1) >= HAND_SIZE);
	CHECK_EQ(h.d->t->queue_max(h.d, 2), 0);
	hand_close(&h);
	disk_end(&disk);
}

TEST(data)
{
	struct disk disk = { 0 };
	char page[SLOT_SIZE];
	struct hand h;
	void *mem;
	int fd;

	NEED_QSD();
	CHECK(disk_make(&disk) && disk_serve(&disk));
	CHECK_EQ(begin(&h, &disk, -1), 0);
	/* Registered when the backend has its memory already: it is told of what comes. */
	CHECK_EQ(riser_mem_alloc(h.r, 1 << 20, &mem, &h.err), 0);
	CHECK_EQ(dma_translate(h.d->dma, mem), (uint64_t)(uintptr_t)mem);
	memset(request_at(mem, 0)->data, 0x5a, SLOT_SIZE);
	submit(&h, mem, 0, RISER_VIRTIO_BLK_T_OUT, 7);
	CHECK_EQ(wait_one(&h), 0);
	CHECK_EQ(request_at(mem, 0)->status, RISER_VIRTIO_BLK_S_OK);
	submit(&h, mem, 1, RISER_VIRTIO_BLK_T_IN, 7);
	CHECK_EQ(wait_one(&h), 3);
	CHECK_EQ(request_at(mem, 1)->status, RISER_VIRTIO_BLK_S_OK);
	CHECK(!memcmp(request_at(mem, 1)->data, request_at(mem, 0)->data, SLOT_SIZE));
	fd = open(disk.file, O_RDONLY | O_CLOEXEC);
	CHECK_EQ(pread(fd, page, sizeof(page), 7 * SLOT_SIZE), SLOT_SIZE);
	close(fd);
	CHECK(!memcmp(page, request_at(mem, 0)->data, SLOT_SIZE));
	riser_mem_free(h.r, mem);
	CHECK_EQ(dma_translate(h.d->dma, mem), DMA_NONE);
	hand_close(&h);
	disk_end(&disk);
}

/* A sleeper is woken by the queue's event. */
TEST(event)
{
	struct disk disk = { 0 };
	struct dma_mem mem;
	struct pollfd p = { .fd = event_new(), .events = POLLIN };
	struct hand h;

	NEED_QSD();
	CHECK(disk_make(&disk) && disk_serve(&disk));
	CHECK_EQ(begin(&h, &disk, p.fd), 0);
	CHECK_EQ(dma_alloc(h.d->dma, 1 << 16, 4096, &mem, &h.err), 0);
	submit(&h, mem.va, 0, RISER_VIRTIO_BLK_T_IN, 0);
	CHECK_EQ(poll(&p, 1, -1), 1);
	CHECK(event_ack(p.fd));
	CHECK_EQ(wait_one(&h), 0);
	dma_free(h.d->dma, &mem);
	hand_close(&h);
	close(p.fd);
	disk_end(&disk);
}

/* After a reset the same connection is agreed upon again, and its queues start from nothing. */
TEST(again)
{
	struct disk disk = { 0 };
	struct dma_mem mem;
	struct hand h;

	NEED_QSD();
	CHECK(disk_make(&disk) && disk_serve(&disk));
	CHECK_EQ(begin(&h, &disk, -1), 0);
	CHECK_EQ(dma_alloc(h.d->dma, 1 << 17, 4096, &mem, &h.err), 0);
	for (unsigned round = 0; round < 5; round++) {
		for (unsigned i = 0; i < DEPTH; i++)
			submit(&h, mem.va, i, RISER_VIRTIO_BLK_T_IN, i);
		for (unsigned i = 0; i < DEPTH; i++)
			CHECK(wait_one(&h) >= 0);
		CHECK_EQ(hand_agree(&h, VIRTIO_BIT(RISER_VIRTIO_F_VERSION_1)), 0);
		CHECK_EQ(h.d->t->status_get(h.d), 0xb);
		CHECK_EQ(hand_queue(&h, 0, -1), 0);
		CHECK_EQ(hand_start(&h), 0);
	}
	CHECK_EQ(h.d->epoch, 0);
	dma_free(h.d->dma, &mem);
	hand_close(&h);
	disk_end(&disk);
}

#define SLOTS     (DISK_SIZE / SLOT_SIZE)
#define ROUNDS    4
#define PER_ROUND 400

/* What a slot holds after its @n-th write. */
static void fill(void *page, unsigned slot, unsigned n)
{
	uint32_t *w = page;

	for (unsigned i = 0; i < SLOT_SIZE / 4; i++)
		w[i] = slot << 16 ^ n << 8 ^ i;
}

struct load {
	struct hand *h;
	char *mem;
	unsigned slot[DEPTH]; /* that request i writes */
	bool busy[DEPTH];
	unsigned writes[SLOTS], done, repeated;
};

static void write_next(struct load *l, unsigned i)
{
	/* No two in flight to one slot. */
	unsigned slot = (unsigned)rand() % (SLOTS / DEPTH) * DEPTH + i;

	l->slot[i] = slot;
	l->busy[i] = true;
	fill(request_at(l->mem, i)->data, slot, ++l->writes[slot]);
	submit(l->h, l->mem, i, RISER_VIRTIO_BLK_T_OUT, slot);
}

/* Return: how many ended well, or -1. */
static int reap(struct load *l)
{
	int head, n = 0;

	for (; (head = hand_take(l->h)) >= 0; n++) {
		unsigned i = (unsigned)head / 3;

		if (i >= DEPTH || !l->busy[i] || request_at(l->mem, i)->status)
			return -1;
		l->busy[i] = false;
		l->done++;
	}
	return n;
}

/* What was used counts, what was not is made available to the new one. */
static bool take_up(struct load *l)
{
	if (reap(l) < 0 || hand_queue(l->h, 0, -1))
		return false;
	for (unsigned i = 0; i < DEPTH; i++) {
		if (!l->busy[i])
			continue;
		submit(l->h, l->mem, i, RISER_VIRTIO_BLK_T_OUT, l->slot[i]);
		l->repeated++;
	}
	return true;
}

static bool run_load(struct load *l, unsigned until, bool more)
{
	for (;;) {
		bool any = false;

		for (unsigned i = 0; i < DEPTH; i++) {
			if (!l->busy[i] && l->done < until && more)
				write_next(l, i);
			any |= l->busy[i];
		}
		if (l->done >= until || !any)
			return true;
		hand_pump(l->h);
		if (hand_stale(l->h) ? !take_up(l) : reap(l) < 0)
			return false;
	}
}

/* Killed while it writes, and started again, nothing is lost. */
TEST(killed)
{
	static struct load l;
	struct disk disk = { 0 };
	struct dma_mem mem;
	struct hand h;

	NEED_QSD();
	srand(1);
	CHECK(disk_make(&disk) && disk_serve(&disk));
	CHECK_EQ(begin(&h, &disk, -1), 0);
	CHECK_EQ(dma_alloc(h.d->dma, 1 << 17, 4096, &mem, &h.err), 0);
	l = (struct load){ .h = &h, .mem = mem.va };
	for (unsigned round = 1; round <= ROUNDS; round++) {
		CHECK(run_load(&l, l.done + PER_ROUND, true));
		child_end(&disk.pid);
		for (unsigned i = 0; i < DEPTH; i++)
			if (!l.busy[i])
				write_next(&l, i); /* into the void */
		for (unsigned i = 0; i < 20; i++)
			hand_pump(&h);
		CHECK(disk_serve(&disk));
		CHECK(run_load(&l, l.done + DEPTH, true));
		CHECK_EQ(h.d->epoch, round);
	}
	CHECK(l.repeated >= ROUNDS);
	CHECK(run_load(&l, UINT32_MAX, false));
	for (unsigned slot = 0; slot < SLOTS; slot++) {
		char want[SLOT_SIZE] = { 0 };

		submit(&h, mem.va, 0, RISER_VIRTIO_BLK_T_IN, slot);
		CHECK_EQ(wait_one(&h), 0);
		if (l.writes[slot])
			fill(want, slot, l.writes[slot]);
		CHECK(!memcmp(request_at(mem.va, 0)->data, want, SLOT_SIZE));
	}
	dma_free(h.d->dma, &mem);
	hand_close(&h);
	disk_end(&disk);
}

TEST_MAIN(CASE(config), CASE(data), CASE(event), CASE(again), CASE(killed))
