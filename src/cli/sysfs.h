/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Reading what the kernel tells about the machine, below machine_root(), and writing to it. */
#ifndef CLI_SYSFS_H
#define CLI_SYSFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first line of a small file, without newline. Return: false when it can't be read. */
bool sysfs_line(char *buf, size_t len, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A number there, decimal or 0x…. */
bool sysfs_number(uint64_t *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool sysfs_exists(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Has a text file a line with these words in it? */
bool sysfs_has(const char *path, const char *words);
/* Write a value. Return: 0 or a negative errno. */
int sysfs_write(const char *path, const char *value);

#endif
