/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Each file has a place of its own: a head, one sector that says whether it is there and how long
 * it is, and its data behind that.
 *
 * After a power cut a file is what a filesystem with ordered data would make of it:
 *
 * - xSync makes data and size last: the data is flushed, then the head is written with FUA. Before
 *   that each sector and the size may be old or new, in any combination.
 * - A file never shows what another file, or an earlier one of its name, had there: the head on the
 *   device gets a larger size only behind the data, or where nothing but zeroes was before. There
 *   it is written early, so that a cut may leave a long file full of zeroes.
 * - xTruncate and xDelete may be forgotten until a sync. Space that they give up is not used again
 *   before that.
 */
#include "vfs.h"
#include <stdlib.h>
#include <string.h>

#define PLACE_SECTORS 16384 /* of a file */
#define HEAD_SECTORS  8     /* the data begins behind them */
#define MAGIC         0x656c69662072736cull

/* On the device. */
struct head {
	uint64_t magic, there, size;
	uint8_t rest[RISER_SECTOR_SIZE - 24];
};
_Static_assert(sizeof(struct head) == RISER_SECTOR_SIZE, "a head");

struct handle {
	sqlite3_file base;
	struct vfs *v;
	struct vfs_file *f;
};

static const char *const names[VFS_FILES] = { "db", "db-journal", "db-wal" };

uint64_t vfs_sectors(void)
{
	return VFS_FILES * PLACE_SECTORS;
}

static uint64_t place_of(const struct vfs *v, const struct vfs_file *f)
{
	return (uint64_t)(f - v->files) * PLACE_SECTORS;
}

/* Return: enum riser_blk_status. */
static int io(struct vfs *v, enum riser_blk_op op, uint64_t sector, uint32_t count, void *buf,
	      uint32_t flags)
{
	if (v->left && --v->left == 0)
		v->cut(v->arg);
	return riser_blk_rw(v->c, op, sector, count, buf, flags);
}

static int write_head(struct vfs *v, struct vfs_file *f, uint32_t flags)
{
	struct head h = { .magic = MAGIC, .there = f->there, .size = f->size };

	return io(v, RISER_BLK_WRITE, place_of(v, f), 1, &h, flags);
}

static uint64_t round_up(uint64_t size)
{
	return (size + RISER_SECTOR_SIZE - 1) / RISER_SECTOR_SIZE * RISER_SECTOR_SIZE;
}

/* The head on the device says how it is. */
static void settled(struct vfs_file *f)
{
	f->dirty = f->loose = false;
	f->fresh = round_up(f->size) >= f->used;
}

static int make_lasting(struct vfs *v, struct vfs_file *f)
{
	int rc;

	if (f->dirty)
		rc = write_head(v, f, RISER_BLK_PREFLUSH | RISER_BLK_FUA);
	else
		rc = io(v, RISER_BLK_FLUSH, 0, 0, NULL, 0);
	if (!rc)
		settled(f);
	return rc;
}

int vfs_mount(struct vfs *v)
{
	for (unsigned i = 0; i < VFS_FILES; i++) {
		struct vfs_file *f = &v->files[i];
		struct head h;
		int rc = io(v, RISER_BLK_READ, place_of(v, f), 1, &h, 0);

		if (rc)
			return rc;
		f->there = h.magic == MAGIC && h.there;
		f->size = f->there ? h.size : 0;
		settled(f);
	}
	return RISER_BLK_OK;
}

/* The sectors that have @len bytes from @at on, as the file shows them: zeroes behind its end. */
static int read_sectors(struct vfs *v, struct vfs_file *f, uint64_t at, uint64_t len, uint8_t **out)
{
	uint64_t first = at / RISER_SECTOR_SIZE, end = (at + len - 1) / RISER_SECTOR_SIZE + 1;
	uint64_t start = first * RISER_SECTOR_SIZE, bytes = (end - first) * RISER_SECTOR_SIZE;
	uint8_t *buf = malloc(bytes);
	int rc;

	if (!buf)
		return RISER_BLK_RESOURCE;
	rc = io(v, RISER_BLK_READ, place_of(v, f) + HEAD_SECTORS + first, (uint32_t)(end - first),
		buf, 0);
	if (rc) {
		free(buf);
		return rc;
	}
	if (f->size < start + bytes) {
		uint64_t kept = f->size > start ? f->size - start : 0;

		memset(buf + kept, 0, bytes - kept);
	}
	*out = buf;
	return RISER_BLK_OK;
}

static int write_bytes(struct vfs *v, struct vfs_file *f, uint64_t at, const void *data,
		       uint64_t len)
{
	uint64_t first = at / RISER_SECTOR_SIZE, end = (at + len - 1) / RISER_SECTOR_SIZE + 1;
	uint8_t *buf = NULL;
	int rc = read_sectors(v, f, at, len, &buf);

	if (rc)
		return rc;
	if (data)
		memcpy(buf + at % RISER_SECTOR_SIZE, data, len);
	else
		memset(buf + at % RISER_SECTOR_SIZE, 0, len);
	rc = io(v, RISER_BLK_WRITE, place_of(v, f) + HEAD_SECTORS + first, (uint32_t)(end - first),
		buf, 0);
	free(buf);
	return rc;
}

static struct vfs *vfs_of(sqlite3_file *file)
{
	return ((struct handle *)file)->v;
}

static struct vfs_file *file_of(sqlite3_file *file)
{
	return ((struct handle *)file)->f;
}

/* Files. */

static int file_close(sqlite3_file *file)
{
	(void)file;
	return SQLITE_OK;
}

static int file_read(sqlite3_file *file, void *to, int len, sqlite3_int64 at)
{
	struct vfs_file *f = file_of(file);
	uint8_t *buf;

	if (read_sectors(vfs_of(file), f, (uint64_t)at, (uint64_t)len, &buf))
		return SQLITE_IOERR_READ;
	memcpy(to, buf + at % RISER_SECTOR_SIZE, (size_t)len);
	free(buf);
	return (uint64_t)at + (uint64_t)len > f->size ? SQLITE_IOERR_SHORT_READ : SQLITE_OK;
}

static int file_write(sqlite3_file *file, const void *from, int len, sqlite3_int64 offset)
{
	struct vfs *v = vfs_of(file);
	struct vfs_file *f = file_of(file);
	uint64_t at = (uint64_t)offset, end = at + (uint64_t)len, old = f->size;

	if (end > (PLACE_SECTORS - HEAD_SECTORS) * RISER_SECTOR_SIZE)
		return SQLITE_FULL;
	if (end > old && f->loose && make_lasting(v, f))
		return SQLITE_IOERR_WRITE;
	if (at > old && write_bytes(v, f, old, NULL, at - old))
		return SQLITE_IOERR_WRITE;
	if (write_bytes(v, f, at, from, (uint64_t)len))
		return SQLITE_IOERR_WRITE;
	if (end <= old)
		return SQLITE_OK;
	f->size = end;
	f->dirty = true;
	if (f->used < end)
		f->used = round_up(end);
	return f->fresh && write_head(v, f, 0) ? SQLITE_IOERR_WRITE : SQLITE_OK;
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct vfs_file *f = file_of(file);

	if ((uint64_t)size >= f->size)
		return SQLITE_OK;
	f->size = (uint64_t)size;
	f->dirty = f->loose = true;
	f->fresh = false;
	return write_head(vfs_of(file), f, 0) ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int file_sync(sqlite3_file *file, int flags)
{
	(void)flags;
	return make_lasting(vfs_of(file), file_of(file)) ? SQLITE_IOERR_FSYNC : SQLITE_OK;
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
	*size = (sqlite3_int64)file_of(file)->size;
	return SQLITE_OK;
}

/* Nobody else is there. */
static int file_lock(sqlite3_file *file, int how)
{
	(void)file;
	(void)how;
	return SQLITE_OK;
}

static int file_check_lock(sqlite3_file *file, int *out)
{
	(void)file;
	*out = 0;
	return SQLITE_OK;
}

static int file_control(sqlite3_file *file, int op, void *arg)
{
	(void)file;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *file)
{
	return vfs_of(file)->sector_size;
}

static int file_characteristics(sqlite3_file *file)
{
	return vfs_of(file)->characteristics;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1, /* without shared memory: WAL wants an exclusive lock */
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_check_lock,
	.xFileControl = file_control,
	.xSectorSize = file_sector_size,
	.xDeviceCharacteristics = file_characteristics,
};

/* The directory. */

static struct vfs_file *find(struct vfs *v, const char *name)
{
	for (unsigned i = 0; name && i < VFS_FILES; i++)
		if (!strcmp(name, names[i]))
			return &v->files[i];
	return NULL;
}

static int open_file(sqlite3_vfs *base, const char *name, sqlite3_file *file, int flags,
		     int *out_flags)
{
	struct handle *h = (struct handle *)file;
	struct vfs *v = (struct vfs *)base;
	struct vfs_file *f = find(v, name);

	h->base.pMethods = NULL;
	if (!f || (!f->there && !(flags & SQLITE_OPEN_CREATE)))
		return SQLITE_CANTOPEN;
	if (!f->there) {
		if (f->loose && make_lasting(v, f))
			return SQLITE_CANTOPEN;
		f->there = f->dirty = true;
		f->size = 0;
		if (write_head(v, f, 0))
			return SQLITE_CANTOPEN;
	}
	h->v = v;
	h->f = f;
	h->base.pMethods = &methods;
	if (out_flags)
		*out_flags = flags;
	return SQLITE_OK;
}

static int delete_file(sqlite3_vfs *base, const char *name, int sync)
{
	struct vfs *v = (struct vfs *)base;
	struct vfs_file *f = find(v, name);

	if (!f || !f->there)
		return SQLITE_IOERR_DELETE_NOENT;
	f->there = false;
	f->size = 0;
	f->dirty = f->loose = true;
	f->fresh = false;
	return (sync ? make_lasting(v, f) : write_head(v, f, 0)) ? SQLITE_IOERR_DELETE : SQLITE_OK;
}

static int access_file(sqlite3_vfs *base, const char *name, int flags, int *out)
{
	struct vfs_file *f = find((struct vfs *)base, name);

	(void)flags;
	*out = f && f->there;
	return SQLITE_OK;
}

static int full_path(sqlite3_vfs *base, const char *name, int len, char *out)
{
	(void)base;
	sqlite3_snprintf(len, out, "%s", name);
	return SQLITE_OK;
}

static int randomness(sqlite3_vfs *base, int len, char *out)
{
	struct vfs *v = (struct vfs *)base;

	for (int i = 0; i < len; i++) {
		v->random = v->random * 6364136223846793005 + 1442695040888963407;
		out[i] = (char)(v->random >> 56);
	}
	return len;
}

static int sleep_us(sqlite3_vfs *base, int us)
{
	(void)base;
	return us;
}

static int current_time(sqlite3_vfs *base, double *out)
{
	(void)base;
	*out = 2460000;
	return SQLITE_OK;
}

static int last_error(sqlite3_vfs *base, int len, char *out)
{
	(void)base;
	(void)len;
	(void)out;
	return 0;
}

int vfs_register(struct vfs *v, struct riser_blk_channel *c)
{
	v->c = c;
	v->base = (sqlite3_vfs){
		.iVersion = 1,
		.szOsFile = sizeof(struct handle),
		.mxPathname = 64,
		.zName = "riser",
		.xOpen = open_file,
		.xDelete = delete_file,
		.xAccess = access_file,
		.xFullPathname = full_path,
		.xRandomness = randomness,
		.xSleep = sleep_us,
		.xCurrentTime = current_time,
		.xGetLastError = last_error,
	};
	if (sqlite3_vfs_register(&v->base, 1))
		return -1;
	sqlite3_randomness(0, NULL); /* seeded by this VFS, anew */
	return 0;
}

void vfs_unregister(struct vfs *v)
{
	sqlite3_vfs_unregister(&v->base);
}
