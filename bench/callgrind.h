/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#ifndef BENCH_CALLGRIND_H
#define BENCH_CALLGRIND_H

#include <stdint.h>

/*
 * CALLGRIND_DRIVER is summed by function from the self costs of a callgrind profile, so that code
 * inlined from headers counts where it was inlined. Left out: what is not in libriser.so (the
 * caller's loop, libc), and the device model, whose functions are all named model_*.
 */
enum callgrind_what {
	CALLGRIND_DRIVER,
	CALLGRIND_NO_MODEL, /* the whole process, but for functions named model_* */
	CALLGRIND_ALL,      /* the whole process */
};

/**
 * callgrind_per_io - instructions executed for one I/O
 * @self: path of this program, which takes "--run NAME --ios N"
 * @name: of the loop to count
 * @short_run: I/Os of the one run
 * @long_run: I/Os of the other; the difference leaves set-up out
 * @what: whose instructions
 *
 * Return: instructions per I/O, or a negative number after a sentence on stderr.
 */
double callgrind_per_io(const char *self, const char *name, uint64_t short_run, uint64_t long_run,
			enum callgrind_what what);

#endif
