/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A load on a device: what bench measures, and stats counts. */
#ifndef CLI_LOAD_H
#define CLI_LOAD_H

#include "cli/dev.h"
#include "cli/hist.h"

#define LOAD_DEFAULTS                                                                              \
	{                                                                                          \
		.rw = "read", .bs = 4 * KiB, .iodepth = 1, .runtime = 3, .ios = UINT64_MAX         \
	}

struct json;
struct load_slot;

/* Zeroed at first. */
struct load {
	struct cli *c;
	struct cli_load a;
	bool verify; /* read back what was written */
	struct dev d;
	bool write, random;
	uint64_t blocks;
	uint64_t sequence, seed; /* the next block; the generator */
	uint64_t until;          /* nanoseconds */
	uint64_t started, ended; /* I/Os */
	double seconds;          /* that it took */
	struct load_slot *slots;
	uint8_t *written; /* a bit for each block, with verify */
	struct hist hist; /* latencies */
	int rc;
};

/* The rest return 0, or an exit code after saying why. */
/* Is c->common.load a load? */
int load_check(struct cli *c);
bool load_writes(const struct cli *c);
/* Open @uri for it, for which @name stands in sentences. load_close() is needed in any case. */
int load_open(struct load *l, struct cli *c, const char *uri, const char *name);
int load_run(struct load *l);
/* Does the device hold what was written? With verify. */
int load_verify(struct load *l);
void load_close(struct load *l);
/* What ran, for people, and as the first members of an object. */
void load_print(const struct load *l);
void load_json(const struct load *l, struct json *j);

#endif
