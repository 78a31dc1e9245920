/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Interrupts as eventfds. QEMU's ivshmem-doorbell device has a register that rings other virtual
 * machines, "peers", which a server introduces over a socket, each with an eventfd. Here riser
 * plays the server and every peer: a function's MSI-X vector is aimed at the register, and its
 * data names the peer whose eventfd is to fire.
 *
 * A peer's number is used once: QEMU 7.2 frees a leaving peer's memory and uses it again when
 * that number comes back.
 */
#ifndef PCI_ACCESS_QTEST_DOORBELL_H
#define PCI_ACCESS_QTEST_DOORBELL_H

#include "pci/access/qtest_link.h"
#include <riser/riser.h>

#define QTEST_DOORBELL_DEVICE 0x1d /* its place on QEMU's bus 0 */

struct qtest_doorbell {
	bool present;
	int sock;         /* the server's end */
	uint64_t address; /* of the register */
	uint16_t next_peer;
};

/*
 * Make the pair of sockets; QEMU's end goes to @qemu_end, close-on-exec. What QEMU wants to hear
 * before its device exists waits in the socket already. Return: 0 or a negative errno.
 */
int qtest_doorbell_init(struct qtest_doorbell *d, int *qemu_end, struct riser_err *err);
void qtest_doorbell_destroy(struct qtest_doorbell *d);

/* A new peer behind an eventfd. Return: its number, or a negative errno. */
int qtest_doorbell_connect(struct qtest_doorbell *d, int fd);
/* That peer leaves; QEMU closes its copy of the eventfd. */
void qtest_doorbell_disconnect(struct qtest_doorbell *d, unsigned peer);

/* Wait until QEMU has heard all of it. Return: 0, -ENODEV or -ETIMEDOUT. */
int qtest_doorbell_sync(struct qtest_doorbell *d, struct qtest_link *l);

/* What is written to the register to ring a peer: MSI-X data. */
static inline uint32_t qtest_doorbell_data(unsigned peer)
{
	return (uint32_t)peer << 16;
}

#endif
