/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * A VFS of SQLite on one block device: a filesystem of three files in fixed places, "db",
 * "db-journal" and "db-wal". It promises what a real one does, and no more: see vfs.c.
 */
#ifndef TESTS_SQLITE_VFS_H
#define TESTS_SQLITE_VFS_H

#include <riser/blk.h>
#include <sqlite3.h>

#define VFS_FILES 3

struct vfs_file {
	bool there;
	uint64_t size;
	bool dirty;    /* the head on the device says something else */
	bool loose;    /* it became shorter, and that may be forgotten */
	bool fresh;    /* behind the size on the device nothing was ever written, before now */
	uint64_t used; /* bytes from here on were never written; known across cuts */
};

struct vfs {
	sqlite3_vfs base;
	struct riser_blk_channel *c;
	struct vfs_file files[VFS_FILES];
	uint64_t random;
	int sector_size, characteristics; /* as SQLite asks for them */

	/* Called before the I/O that counts @left down to 0. */
	uint64_t left;
	void (*cut)(void *arg);
	void *arg;
};

/* Sectors that the device needs. */
uint64_t vfs_sectors(void);

/* Register it as the default, on an empty device. */
int vfs_register(struct vfs *v, struct riser_blk_channel *c);
void vfs_unregister(struct vfs *v);

/* Forget what is in memory, and read the heads of the files. Return: enum riser_blk_status. */
int vfs_mount(struct vfs *v);

#endif
