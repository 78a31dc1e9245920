/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "pci/access/qtest_link.h"
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_S 30

/*
 * QEMU blocks while nobody takes its answers, and then takes no commands: never owe as much as
 * the socket buffers hold (some 270 short messages).
 */
#define OWED_MAX       64

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA    0xcfc

void qtest_link_init(struct qtest_link *l, int fd)
{
	struct timeval tv = { .tv_sec = ANSWER_TIMEOUT_S };

	memset(l, 0, sizeof(*l));
	pthread_mutex_init(&l->lock, NULL);
	l->fd = fd;
	l->open = true;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
}

void qtest_link_destroy(struct qtest_link *l)
{
	if (!l->open)
		return;
	close(l->fd);
	pthread_mutex_destroy(&l->lock);
	memset(l, 0, sizeof(*l));
}

static void send_text(struct qtest_link *l, const char *text, size_t len)
{
	while (len && !l->gone) {
		ssize_t n = send(l->fd, text, len, MSG_NOSIGNAL);

		if (n > 0) {
			text += n;
			len -= (size_t)n;
		} else if (n == 0 || errno != EINTR) {
			l->gone = true;
		}
	}
}

/* Receive something more. Return: false when there is nothing (without @wait) or QEMU is gone. */
static bool receive(struct qtest_link *l, bool wait)
{
	ssize_t n;

	/* A line longer than the buffer is nothing that QEMU says. */
	if (l->have == sizeof(l->in))
		l->gone = true;
	if (l->gone)
		return false;
	do {
		n = recv(l->fd, l->in + l->have, sizeof(l->in) - l->have, wait ? 0 : MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n > 0)
		l->have += (size_t)n;
	else if (n == 0 || wait || errno != EAGAIN)
		l->gone = true;
	return n > 0;
}

/* Take one answer, leaving out "IRQ raise 3" and the like. Return: false as receive() does. */
static bool answer(struct qtest_link *l, bool wait, uint64_t *val)
{
	for (;;) {
		char *end = memchr(l->in, '\n', l->have);
		bool is_answer;

		if (!end) {
			if (!receive(l, wait))
				return false;
			continue;
		}
		*end = 0;
		is_answer = strncmp(l->in, "IRQ ", 4) != 0;
		*val = strncmp(l->in, "OK ", 3) ? UINT64_MAX : strtoull(l->in + 3, NULL, 0);
		l->have -= (size_t)(end + 1 - l->in);
		memmove(l->in, end + 1, l->have);
		if (is_answer)
			return true;
	}
}

/* Collect answers until at most @most are owed. */
static void settle(struct qtest_link *l, unsigned most)
{
	uint64_t val;

	while (l->owed > most && answer(l, true, &val))
		l->owed--;
}

/* Send @commands commands, whose answers nobody waits for. */
static void post(struct qtest_link *l, const char *text, int len, unsigned commands)
{
	send_text(l, text, (size_t)len);
	l->owed += commands;
	settle(l, OWED_MAX);
}

/* Send a command and wait for what it answers; all-ones when QEMU is gone. */
static uint64_t ask(struct qtest_link *l, const char *text, int len)
{
	uint64_t val;

	send_text(l, text, (size_t)len);
	settle(l, 0);
	return answer(l, true, &val) ? val : UINT64_MAX;
}

static char width_letter(unsigned width)
{
	static const char letters[] = { [1] = 'b', [2] = 'w', [4] = 'l', [8] = 'q' };

	return letters[width];
}

static uint64_t low_bytes(uint64_t val, unsigned width)
{
	return val & UINT64_MAX >> (64 - 8 * width);
}

uint64_t qtest_link_read(struct qtest_link *l, uint64_t addr, unsigned width)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "read%c 0x%" PRIx64 "\n", width_letter(width), addr);
	uint64_t val;

	pthread_mutex_lock(&l->lock);
	val = ask(l, text, len);
	pthread_mutex_unlock(&l->lock);
	return low_bytes(val, width);
}

void qtest_link_write(struct qtest_link *l, uint64_t addr, unsigned width, uint64_t val)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "write%c 0x%" PRIx64 " 0x%" PRIx64 "\n",
			   width_letter(width), addr, low_bytes(val, width));

	pthread_mutex_lock(&l->lock);
	post(l, text, len, 1);
	pthread_mutex_unlock(&l->lock);
}

uint32_t qtest_link_in(struct qtest_link *l, unsigned port, unsigned width)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "in%c 0x%x\n", width_letter(width), port);
	uint64_t val;

	pthread_mutex_lock(&l->lock);
	val = ask(l, text, len);
	pthread_mutex_unlock(&l->lock);
	return (uint32_t)low_bytes(val, width);
}

void qtest_link_out(struct qtest_link *l, unsigned port, unsigned width, uint32_t val)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "out%c 0x%x 0x%x\n", width_letter(width), port,
			   (uint32_t)low_bytes(val, width));

	pthread_mutex_lock(&l->lock);
	post(l, text, len, 1);
	pthread_mutex_unlock(&l->lock);
}

static int select_register(char *text, size_t size, unsigned bdf, unsigned off)
{
	return snprintf(text, size, "outl 0x%x 0x%x\n", CONFIG_ADDRESS,
			1u << 31 | bdf << 8 | (off & 0xfc));
}

uint32_t qtest_link_cfg_read(struct qtest_link *l, unsigned bdf, unsigned off, unsigned len)
{
	char text[64];
	int n = select_register(text, sizeof(text), bdf, off);
	uint32_t val;

	pthread_mutex_lock(&l->lock);
	post(l, text, n, 1);
	n = snprintf(text, sizeof(text), "in%c 0x%x\n", width_letter(len), CONFIG_DATA + (off & 3));
	val = (uint32_t)ask(l, text, n);
	pthread_mutex_unlock(&l->lock);
	return val;
}

void qtest_link_cfg_write(struct qtest_link *l, unsigned bdf, unsigned off, unsigned len,
			  uint32_t val)
{
	char text[96];
	int n = select_register(text, sizeof(text), bdf, off);

	n += snprintf(text + n, sizeof(text) - (size_t)n, "out%c 0x%x 0x%x\n", width_letter(len),
		      CONFIG_DATA + (off & 3), val);
	pthread_mutex_lock(&l->lock);
	post(l, text, n, 2);
	pthread_mutex_unlock(&l->lock);
}

int qtest_link_drain(struct qtest_link *l)
{
	uint64_t val;
	int n = 0;

	pthread_mutex_lock(&l->lock);
	/* Asked for even where nothing is owed: this is how removal is noticed. */
	while (answer(l, false, &val)) {
		n++;
		if (l->owed)
			l->owed--;
	}
	if (l->gone)
		n = -ENODEV;
	pthread_mutex_unlock(&l->lock);
	return n;
}

bool qtest_link_gone(struct qtest_link *l)
{
	bool gone;

	pthread_mutex_lock(&l->lock);
	gone = l->gone;
	pthread_mutex_unlock(&l->lock);
	return gone;
}

bool qtest_link_wait_end(struct qtest_link *l, int timeout_ms)
{
	struct pollfd pfd = { .fd = l->fd };

	return poll(&pfd, 1, timeout_ms) > 0;
}
