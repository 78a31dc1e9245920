/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* The vhost-user transport against a backend that does as it is told, but for one message. */
#include "../interop/vhost_user.h"
#include "vhost_user_fake.h"
#include <dirent.h>
#include <sys/mman.h>

#define BIT(f)   (1ull << (f))
#define FEATURES (BIT(RISER_VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL) | BIT(26) | BIT(33))
#define PLAIN    (BIT(VHOST_USER_PROTOCOL_MQ) | BIT(VHOST_USER_PROTOCOL_CONFIG))
#define RICH                                                                                       \
	(PLAIN | BIT(VHOST_USER_PROTOCOL_REPLY_ACK) | BIT(VHOST_USER_PROTOCOL_BACKEND_REQ) |       \
	 BIT(VHOST_USER_PROTOCOL_CONFIGURE_MEM_SLOTS) | BIT(VHOST_USER_PROTOCOL_STATUS))

static struct fake *fake_of(struct fake *f, uint64_t protocol)
{
	*f = (struct fake){ .features = FEATURES,
			    .protocol = protocol,
			    .queues = 4,
			    .slots = 32,
			    .config = { 1, 2, 3, 4, 5, 6, 7, 8 } };
	return f;
}

static int open_fake(struct hand *h, const struct fake *f, unsigned id, uint32_t flags)
{
	char uri[192];

	snprintf(uri, sizeof(uri), "vhost-user:%s?mac=02:00:00:00:00:07", f->path);
	return hand_open(h, uri, id, flags);
}

static unsigned count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* All that a driver does. Return: the first error. */
static int story(struct hand *h, const struct fake *f)
{
	uint8_t config[8];
	uint64_t next;
	void *mem;
	int rc = open_fake(h, f, RISER_VIRTIO_ID_BLK, 0);

	if (!rc)
		rc = hand_agree(h, BIT(RISER_VIRTIO_F_VERSION_1));
	if (!rc)
		rc = h->d->t->config_read(h->d, 0, config, sizeof(config));
	if (!rc)
		rc = hand_queue(h, 0, -1);
	if (!rc)
		rc = hand_start(h);
	if (!rc)
		rc = riser_mem_alloc(h->r, 1 << 16, &mem, &h->err);
	if (!rc)
		rc = min_of(h->d->t->pump(h->d, &next), 0);
	if (!rc)
		riser_mem_free(h->r, mem);
	return rc;
}

static const uint32_t plain_story[] = {
	VHOST_USER_GET_FEATURES,          VHOST_USER_SET_OWNER,
	VHOST_USER_GET_PROTOCOL_FEATURES, VHOST_USER_SET_PROTOCOL_FEATURES,
	VHOST_USER_GET_QUEUE_NUM,         VHOST_USER_SET_FEATURES,
	VHOST_USER_GET_FEATURES,          VHOST_USER_GET_CONFIG,
	VHOST_USER_SET_MEM_TABLE,         VHOST_USER_GET_FEATURES,
	VHOST_USER_SET_VRING_CALL,        VHOST_USER_GET_FEATURES,
	VHOST_USER_SET_VRING_NUM,         VHOST_USER_GET_FEATURES,
	VHOST_USER_SET_VRING_BASE,        VHOST_USER_GET_FEATURES,
	VHOST_USER_SET_VRING_ADDR,        VHOST_USER_GET_FEATURES,
	VHOST_USER_SET_VRING_KICK,        VHOST_USER_GET_FEATURES,
	VHOST_USER_SET_VRING_ENABLE,      VHOST_USER_GET_FEATURES,
};

/* In the order that backends accept, with an answer after each of a kind that has none. */
TEST(order)
{
	struct vhost_user_msg m;
	struct fake f;
	struct hand h;

	CHECK(fake_start(fake_of(&f, PLAIN)));
	CHECK_EQ(story(&h, &f), 0);
	CHECK(f.count > array_len(plain_story));
	for (unsigned i = 0; i < array_len(plain_story); i++)
		CHECK_EQ(f.log[i], plain_story[i]);
	m = fake_last(&f, VHOST_USER_SET_FEATURES);
	CHECK_EQ(m.u64, BIT(RISER_VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL));
	m = fake_last(&f, VHOST_USER_SET_PROTOCOL_FEATURES);
	CHECK_EQ(m.u64, PLAIN);
	m = fake_last(&f, VHOST_USER_SET_VRING_ADDR);
	CHECK_EQ(m.addr.desc, h.mem.iova);
	CHECK_EQ(m.addr.avail, h.mem.iova + HAND_DRIVER_OFF);
	CHECK_EQ(m.addr.used, h.mem.iova + HAND_DEVICE_OFF);
	m = fake_last(&f, VHOST_USER_SET_VRING_NUM);
	CHECK_EQ(m.state.num, HAND_SIZE);
	m = fake_last(&f, VHOST_USER_SET_MEM_TABLE);
	CHECK_EQ(m.memory.nregions, 1);
	CHECK(m.memory.regions[0].user <= h.mem.iova);
	CHECK(m.memory.regions[0].user + m.memory.regions[0].size >= h.mem.iova + HAND_BYTES);
	CHECK_EQ(m.memory.regions[0].user, m.memory.regions[0].guest);
	hand_close(&h);
	CHECK_EQ(fake_last(&f, VHOST_USER_GET_VRING_BASE).request, VHOST_USER_GET_VRING_BASE);
	fake_stop(&f);
}

/* Each way to be wrong, at each message: an error or a device that is away, and nothing is left. */
static void be_odd(uint64_t protocol, unsigned messages)
{
	unsigned before, errors = 0;
	struct fake f;
	struct hand h;

	for (unsigned odd = FAKE_HONEST + 1; odd < FAKE_ODDS; odd++) {
		for (unsigned at = 0; at < messages; at++) {
			before = count_fds();
			fake_of(&f, protocol);
			f.odd = odd;
			f.at = at;
			CHECK(fake_start(&f));
			errors += story(&h, &f) != 0;
			hand_close(&h);
			fake_stop(&f);
			CHECK_EQ(count_fds(), before);
		}
	}
	/* At least whatever is wrong in the first answers is noticed. */
	CHECK(errors > 2 * FAKE_ODDS);
}

TEST(odd_plain)
{
	be_odd(PLAIN, 30);
}

TEST(odd_rich)
{
	be_odd(RICH, 24);
}

static void expect_refusal(enum fake_odd odd, const char *part)
{
	struct fake f;
	struct hand h;

	fake_of(&f, PLAIN);
	f.odd = odd;
	CHECK(fake_start(&f));
	CHECK_EQ(open_fake(&h, &f, RISER_VIRTIO_ID_BLK, 0), -ENODEV);
	CHECK_HAS(h.err.text, part);
	hand_close(&h);
	fake_stop(&f);
}

TEST(sentences)
{
	SUB(expect_refusal(FAKE_DIES, "is gone"));
	SUB(expect_refusal(FAKE_OTHER, "it answered request 2 where 1 was asked"));
	SUB(expect_refusal(FAKE_NO_FLAG, "it answered request"));
	SUB(expect_refusal(FAKE_VERSION, "speaks another version"));
	SUB(expect_refusal(FAKE_LONG, "too long"));
	SUB(expect_refusal(FAKE_SHORT, "has 4 bytes, not 8"));
	SUB(expect_refusal(FAKE_CUT, "is gone"));
	SUB(expect_refusal(FAKE_DESCRIPTOR, "descriptor that nobody asked for"));
	SUB(expect_refusal(FAKE_DESCRIPTORS, "too many descriptors"));
}

TEST(nobody)
{
	struct hand h;

	CHECK_EQ(hand_open(&h, "vhost-user:/nonexistent/sock", RISER_VIRTIO_ID_NET, 0), -ENOENT);
	CHECK_HAS(h.err.text, "nobody serves vhost-user at /nonexistent/sock");
	hand_close(&h);
}

/* A network backend without a configuration of its own gets ours. */
TEST(net)
{
	struct riser_virtio_net_config config;
	struct fake f;
	struct hand h;
	uint64_t offered;

	fake_of(&f, BIT(VHOST_USER_PROTOCOL_MQ));
	f.features |= BIT(RISER_VIRTIO_NET_F_CTRL_VQ) | BIT(RISER_VIRTIO_NET_F_MRG_RXBUF);
	CHECK(fake_start(&f));
	CHECK_EQ(open_fake(&h, &f, RISER_VIRTIO_ID_NET, 0), 0);
	CHECK_EQ(h.d->t->features_get(h.d, &offered), 0);
	offered &= ~h.d->withheld;
	CHECK(offered & BIT(RISER_VIRTIO_NET_F_MRG_RXBUF));
	CHECK(offered & BIT(RISER_VIRTIO_NET_F_MAC));
	CHECK(offered & BIT(RISER_VIRTIO_NET_F_STATUS));
	CHECK(offered & BIT(RISER_VIRTIO_F_RING_RESET));
	CHECK(!(offered & BIT(RISER_VIRTIO_NET_F_CTRL_VQ)));
	CHECK(!(offered & BIT(RISER_VIRTIO_F_ACCESS_PLATFORM)));
	CHECK(!(offered & BIT(VHOST_USER_F_LOG_ALL)));
	CHECK_EQ(hand_agree(&h, ~0ull), 0);
	CHECK_EQ(fake_last(&f, VHOST_USER_SET_FEATURES).u64,
		 BIT(RISER_VIRTIO_F_VERSION_1) | BIT(RISER_VIRTIO_NET_F_MRG_RXBUF) |
			 BIT(VHOST_USER_F_PROTOCOL));
	CHECK_EQ(h.d->t->config_read(h.d, 0, &config, sizeof(config)), 0);
	CHECK_EQ(config.mac[5], 7);
	CHECK_EQ(le16(config.status), RISER_VIRTIO_NET_S_LINK_UP);
	CHECK_EQ(h.d->t->queue_max(h.d, 7), 1024); /* its 4 are pairs */
	CHECK_EQ(h.d->t->queue_max(h.d, 8), 0);
	hand_close(&h);
	fake_stop(&f);
}

TEST(mac)
{
	struct hand h;
	struct fake f;
	char uri[192];

	CHECK(fake_start(fake_of(&f, PLAIN)));
	snprintf(uri, sizeof(uri), "vhost-user:%s?mac=02:00:00:00:00", f.path);
	CHECK_EQ(hand_open(&h, uri, RISER_VIRTIO_ID_NET, 0), -EINVAL);
	CHECK_HAS(h.err.text, "is no address");
	hand_close(&h);
	fake_stop(&f);
}

/* What was given away cannot be shortened, by whoever has it. */
TEST(sealed)
{
	struct fake f;
	struct hand h;
	uint8_t byte;

	CHECK(fake_start(fake_of(&f, RICH)));
	CHECK_EQ(story(&h, &f), 0);
	CHECK(f.nfds > 0);
	CHECK_EQ(ftruncate(f.fds[0], 0), -1);
	CHECK_EQ(errno, EPERM);
	byte = *(volatile uint8_t *)h.mem.va;
	CHECK_EQ(byte, 0);
	hand_close(&h);
	fake_stop(&f);
}

static int register_memfd(struct hand *h, unsigned seals, void **va)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

	if (ftruncate(fd, 1 << 16) || fcntl(fd, F_ADD_SEALS, seals))
		return -errno;
	*va = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	rc = riser_mem_register(h->r, *va, 1 << 16, fd, 0, &h->err);
	return rc ? rc : fd;
}

static void unregister(struct hand *h, void *va, int fd)
{
	riser_mem_unregister(h->r, va);
	munmap(va, 1 << 16);
	if (fd >= 0)
		close(fd);
}

/* Memory that is not riser's is shared where its owner sealed it; otherwise it is bounced. */
TEST(foreign)
{
	void *open_va, *sealed_va, *anon;
	int open_fd, sealed_fd;
	struct fake f;
	struct hand h;

	CHECK(fake_start(fake_of(&f, RICH)));
	CHECK_EQ(story(&h, &f), 0);
	open_fd = register_memfd(&h, 0, &open_va);
	sealed_fd = register_memfd(&h, F_SEAL_SHRINK, &sealed_va);
	CHECK(open_fd >= 0 && sealed_fd >= 0);
	anon = mmap(NULL, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK_EQ(riser_mem_register(h.r, anon, 1 << 16, -1, 0, &h.err), 0);
	CHECK_EQ(dma_translate(h.d->dma, open_va), DMA_NONE);
	CHECK_EQ(dma_translate(h.d->dma, anon), DMA_NONE);
	CHECK_EQ(dma_translate(h.d->dma, sealed_va), (uint64_t)(uintptr_t)sealed_va);
	unregister(&h, sealed_va, sealed_fd);
	CHECK_EQ(fake_last(&f, VHOST_USER_REM_MEM_REG).mem_reg.region.user,
		 (uint64_t)(uintptr_t)sealed_va);
	unregister(&h, open_va, open_fd);
	unregister(&h, anon, -1);
	hand_close(&h);
	fake_stop(&f);
}

/* More regions than slots: the rest is bounced, but queues always find room. */
static void fill_slots(uint64_t protocol, unsigned slots, unsigned mapped)
{
	void *mem[40];
	unsigned n = 0;
	struct fake f;
	struct hand h;

	fake_of(&f, protocol);
	f.slots = slots;
	CHECK(fake_start(&f));
	CHECK_EQ(open_fake(&h, &f, RISER_VIRTIO_ID_BLK, 0), 0);
	CHECK_EQ(hand_agree(&h, BIT(RISER_VIRTIO_F_VERSION_1)), 0);
	for (unsigned i = 0; i < array_len(mem); i++) {
		CHECK_EQ(riser_mem_alloc(h.r, 4096, &mem[i], &h.err), 0);
		n += dma_translate(h.d->dma, mem[i]) != DMA_NONE;
	}
	CHECK_EQ(n, mapped);
	CHECK_EQ(hand_queue(&h, 0, -1), 0);
	for (unsigned i = 0; i < array_len(mem); i++)
		riser_mem_free(h.r, mem[i]);
	hand_close(&h);
	fake_stop(&f);
}

TEST(slots)
{
	SUB(fill_slots(PLAIN, 0, VHOST_USER_FDS_MAX - 1));
	SUB(fill_slots(RICH, 12, 11));
	SUB(fill_slots(RICH, 1000, VHOST_USER_SLOTS_MAX - 1));
}

/* Allocations are zeroed, aligned, apart, and come back. */
TEST(arena)
{
	struct dma_mem m[64], big;
	struct fake f;
	struct hand h;

	CHECK(fake_start(fake_of(&f, RICH)));
	CHECK_EQ(open_fake(&h, &f, RISER_VIRTIO_ID_BLK, 0), 0);
	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < array_len(m); i++) {
			size_t align = (size_t)4096 << i % 8;

			CHECK_EQ(dma_alloc(h.d->dma, 4096 * (1 + i % 5), align, &m[i], &h.err), 0);
			CHECK_EQ(m[i].iova & (align - 1), 0);
			for (size_t b = 0; b < m[i].len; b++)
				CHECK_EQ(((uint8_t *)m[i].va)[b], 0);
			memset(m[i].va, (int)i + 1, m[i].len);
		}
		CHECK_EQ(dma_alloc(h.d->dma, 20 << 20, 4096, &big, &h.err), 0);
		memset(big.va, 0xff, big.len);
		for (unsigned i = 0; i < array_len(m); i++) {
			CHECK_EQ(((uint8_t *)m[i].va)[m[i].len - 1], i + 1);
			dma_free(h.d->dma, &m[i]);
		}
		dma_free(h.d->dma, &big);
	}
	hand_close(&h);
	fake_stop(&f);
}

static void pump_until(struct hand *h, uint32_t epoch)
{
	for (unsigned i = 0; i < 5000 && h->d->epoch != epoch; i++)
		hand_pump(h);
}

/* It goes and comes back: everything is told again, queues as their owners start them. */
TEST(back)
{
	struct vhost_user_msg m;
	struct pollfd irq = { .fd = event_new(), .events = POLLIN };
	struct fake f;
	struct hand h;

	CHECK(fake_start(fake_of(&f, RICH)));
	CHECK_EQ(story(&h, &f), 0);
	CHECK_EQ(h.d->t->irq_config(h.d, irq.fd), 0);
	for (uint32_t round = 1; round < 4; round++) {
		fake_hang_up(&f);
		pump_until(&h, round);
		CHECK_EQ(h.d->epoch, round);
		CHECK(hand_stale(&h));
		CHECK(event_ack(irq.fd));
		m = fake_last(&f, VHOST_USER_SET_FEATURES);
		CHECK_EQ(m.u64, BIT(RISER_VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL));
		m = fake_last(&f, VHOST_USER_SET_STATUS);
		CHECK_EQ(m.u64, 0xf);
		memset(&f.last[VHOST_USER_SET_VRING_ENABLE], 0, sizeof(f.last[0]));
		CHECK_EQ(hand_queue(&h, 0, -1), 0);
		CHECK(!hand_stale(&h));
		m = fake_last(&f, VHOST_USER_SET_VRING_ENABLE);
		CHECK_EQ(m.state.num, 1);
	}
	CHECK_EQ(f.connections, 4);
	hand_close(&h);
	close(irq.fd);
	fake_stop(&f);
}

/* Another one is there, which cannot do what was agreed. */
TEST(lesser)
{
	struct fake f;
	struct hand h;

	CHECK(fake_start(fake_of(&f, RICH)));
	CHECK_EQ(story(&h, &f), 0);
	f.features &= ~BIT(RISER_VIRTIO_F_VERSION_1);
	fake_hang_up(&f);
	while (f.connections < 4)
		hand_pump(&h);
	CHECK_EQ(h.d->epoch, 0);
	CHECK_HAS(vhost_user_of(h.d)->why.text, "has not all of the features");
	f.features |= BIT(RISER_VIRTIO_F_VERSION_1);
	pump_until(&h, 1);
	CHECK_EQ(h.d->epoch, 1);
	hand_close(&h);
	fake_stop(&f);
}

/* Attempts become rarer, down to one in five seconds; meanwhile nothing else suffers. */
TEST(backoff)
{
	uint64_t next, now, step, last = 0;
	struct fake f;
	struct hand h;
	void *mem;

	CHECK(fake_start(fake_of(&f, PLAIN)));
	CHECK_EQ(open_fake(&h, &f, RISER_VIRTIO_ID_BLK, RISER_VIRTUAL_TIME), 0);
	CHECK_EQ(hand_agree(&h, BIT(RISER_VIRTIO_F_VERSION_1)), 0);
	CHECK_EQ(hand_queue(&h, 0, -1), 0);
	CHECK_EQ(hand_start(&h), 0);
	fake_stop(&f);
	while (h.d->t->pump(h.d, &next) == 0)
		;
	for (unsigned i = 0; i < 12; i++) {
		now = clock_now(h.r);
		CHECK(next > now);
		step = next - now;
		CHECK_EQ(step, i < 9 ? 10 * NS_PER_MS << i : 5 * NS_PER_S);
		CHECK(step >= last);
		last = step;
		CHECK_EQ(riser_mem_alloc(h.r, 4096, &mem, &h.err), 0);
		riser_mem_free(h.r, mem);
		h.r->clock.now = next;
		CHECK_EQ(h.d->t->pump(h.d, &next), 0);
	}
	CHECK_EQ(h.d->t->status_set(h.d, 0), 0);
	CHECK_EQ(h.d->epoch, 0);
	hand_close(&h);
}

/* The backend speaks by itself. */
TEST(changed)
{
	struct vhost_user_msg m = { .request = VHOST_USER_BACKEND_CONFIG_CHANGE,
				    .flags = VHOST_USER_NEED_REPLY };
	struct pollfd p = { .events = POLLIN };
	struct vhost_user_rx rx = { 0 };
	int irq = event_new();
	struct fake f;
	struct hand h;

	CHECK(fake_start(fake_of(&f, RICH)));
	CHECK_EQ(story(&h, &f), 0);
	CHECK_EQ(h.d->t->irq_config(h.d, irq), 0);
	CHECK(!event_ack(irq));
	p.fd = f.requests;
	for (unsigned known = 1; known < 2; known--) {
		m.request = known ? VHOST_USER_BACKEND_CONFIG_CHANGE : 99;
		CHECK_EQ(vhost_user_send(p.fd, &m, NULL, 0), 0);
		while (!poll(&p, 1, 0))
			hand_pump(&h);
		CHECK_EQ(vhost_user_recv(p.fd, &rx), 1);
		CHECK_EQ(rx.msg.u64, !known);
		CHECK_EQ(event_ack(irq), known);
		vhost_user_rx_done(&rx);
	}
	/* It breaks the rules there: that door is closed, the device goes on. */
	CHECK_EQ(write(p.fd, "\377\377\377\377\377\377\377\377\377\377\377\377", 12), 12);
	while (!(poll(&p, 1, 0) && p.revents & POLLHUP))
		hand_pump(&h);
	CHECK_EQ(h.d->epoch, 0);
	CHECK_EQ(h.d->t->config_read(h.d, 0, &m, 8), 0);
	hand_close(&h);
	close(irq);
	fake_stop(&f);
}

TEST_MAIN(CASE(order), CASE(odd_plain), CASE(odd_rich), CASE(sentences), CASE(nobody), CASE(net),
	  CASE(mac), CASE(sealed), CASE(foreign), CASE(slots), CASE(arena), CASE(back),
	  CASE(lesser), CASE(backoff), CASE(changed))
