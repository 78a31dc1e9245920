/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A QEMU of our own, with a halted processor: only its devices matter.
 *
 * It leaves nothing behind, however riser ends: memory, ROM, default drives and QEMU's messages
 * are memfds, sockets come in pairs without names, and QEMU is sent SIGTERM by the kernel when
 * riser's end of a pipe closes.
 */
#ifndef PCI_ACCESS_QTEST_QEMU_H
#define PCI_ACCESS_QTEST_QEMU_H

#include "pci/access/qtest_doorbell.h"
#include <sys/types.h>

struct uri;

#define QTEST_QEMU_ADDR "04.0" /* of the device, where its text does not say */

/* The keys of the URI that qtest_qemu_start() understands. */
#define QTEST_QEMU_KEYS                                                                            \
	"device", "device2", "device3", "device4", "drive", "drive2", "drive3", "drive4",          \
		"netdev", "ram", "size", "qemu", "args"

struct qtest_qemu {
	pid_t pid; /* 0: none was started */
	int life;  /* QEMU ends when this closes */
	int log;   /* what QEMU says */
	int ram;   /* its memory */
	int link;  /* riser's end of the qtest socket; -1 once the link has it */
	struct qtest_doorbell doorbell;
	char addr[16]; /* of the device, as text */
};

#define QTEST_QEMU_NONE ((struct qtest_qemu){ .life = -1, .log = -1, .ram = -1, .link = -1 })

/* Start a QEMU. Return: 0, or a negative errno and a sentence; nothing is left then. */
int qtest_qemu_start(const struct uri *u, struct qtest_qemu *q, struct riser_err *err);

/* QEMU hung up at once: say why. Return: -EINVAL. */
int qtest_qemu_refused(struct qtest_qemu *q, struct riser_err *err);

/* End it: politely if @l still answers within some seconds. Partial-safe; @l may be NULL. */
void qtest_qemu_end(struct qtest_qemu *q, struct qtest_link *l);

#endif
