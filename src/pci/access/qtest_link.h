/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * QEMU's qtest protocol: a command a line ("writel 0xe0000014 0x460001"), a line for an answer
 * ("OK", "OK 0x4"). Reads wait for their answer. Writes are posted: they only count what QEMU
 * owes, and whoever comes next collects it.
 *
 * Any thread may call; a QEMU that died, or answers nothing for half a minute, is gone for good:
 * reads then give all-ones and writes vanish, as with a PCI function that was pulled.
 */
#ifndef PCI_ACCESS_QTEST_LINK_H
#define PCI_ACCESS_QTEST_LINK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct qtest_link {
	pthread_mutex_t lock; /* everything below; innermost */
	int fd;
	bool open;
	bool gone;
	unsigned owed; /* answers to posted writes */
	size_t have;   /* bytes in @in, the last line perhaps incomplete */
	char in[1024];
};

/* @fd is a connected stream socket, the link's from here on. */
void qtest_link_init(struct qtest_link *l, int fd);
/* Partial-safe: a zeroed structure is left alone. */
void qtest_link_destroy(struct qtest_link *l);

/* Guest-physical memory, registers mostly; @width is 1, 2, 4 or 8. */
uint64_t qtest_link_read(struct qtest_link *l, uint64_t addr, unsigned width);
void qtest_link_write(struct qtest_link *l, uint64_t addr, unsigned width, uint64_t val);

/* Ports; @width is 1, 2 or 4. */
uint32_t qtest_link_in(struct qtest_link *l, unsigned port, unsigned width);
void qtest_link_out(struct qtest_link *l, unsigned port, unsigned width, uint32_t val);

/* Configuration space through ports 0xcf8 and 0xcfc; @len is 1, 2 or 4. */
uint32_t qtest_link_cfg_read(struct qtest_link *l, unsigned bdf, unsigned off, unsigned len);
void qtest_link_cfg_write(struct qtest_link *l, unsigned bdf, unsigned off, unsigned len,
			  uint32_t val);

/* Take the answers that are there. Return: how many, or -ENODEV when QEMU is gone. */
int qtest_link_drain(struct qtest_link *l);
bool qtest_link_gone(struct qtest_link *l);

/* Wait until QEMU closed its end. Return: false when @timeout_ms passed first. */
bool qtest_link_wait_end(struct qtest_link *l, int timeout_ms);

#endif
