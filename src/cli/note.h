/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Notes of what is under way: /run/riser/run/BDF names the supervisor (riser run) that is to give a
 * function back. Who finds one of a supervisor that is no more finishes its work.
 */
#ifndef CLI_NOTE_H
#define CLI_NOTE_H

#include "cli/machine.h"

#define NOTE_FUNCTIONS 16

/**
 * struct note - what a supervisor wrote down
 * @bdf: of which function
 * @pid: the supervisor
 * @alive: it runs still
 * @command: what it supervises
 */
struct note {
	char bdf[RISER_HOST_BDF];
	int pid;
	bool alive;
	char command[128];
};

/*
 * Look for others' notes and write one's own as one act: another supervisor waits here until the
 * descriptor is closed. Makes the folder. Return: the descriptor or a negative errno.
 */
int note_lock(void);
/* With the lock held. Return: 0 or a negative errno. */
int note_write(const char *bdf, const char *command);
/* Return: there is one. */
bool note_read(const char *bdf, struct note *out);
void note_remove(const char *bdf);
/* All there are, up to @max. Return: how many were filled. */
unsigned note_list(struct note *out, unsigned max);

/*
 * Let an NVMe controller that vfio-pci has finish what it does: end its queues, write its cache
 * out, shut it down (CC.SHN, CC.EN). Return: 0 or a negative errno, with a sentence in @err.
 */
int note_quiesce(const struct riser_host_pci *f, struct riser_err *err);

#endif
