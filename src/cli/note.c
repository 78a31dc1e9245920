/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/note.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <riser/nvme.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOTE_DIR "/run/riser/run"

static char *path_of(char *buf, const char *bdf, const char *tail)
{
	snprintf(buf, PATH_MAX, "%.512s" NOTE_DIR "/%.32s%s", machine_root(), bdf, tail);
	return buf;
}

/*
 * When a process began, in ticks since the machine did: with that a number is never taken for
 * another process. Return: 0 where there is none.
 */
static unsigned long long began(int pid)
{
	unsigned long long ticks = 0;
	char path[64], line[1024];
	const char *behind;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	/* The name in parentheses may hold anything; field 22 is the 20th behind it (proc(5)). */
	if (fgets(line, sizeof(line), f) && (behind = strrchr(line, ')')) &&
	    sscanf(behind + 1,
		   " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		   "%llu",
		   &ticks) != 1)
		ticks = 0;
	fclose(f);
	return ticks;
}

int note_lock(void)
{
	char path[PATH_MAX];
	int fd;

	path_of(path, "", "");
	for (char *c = strchr(path + 1, '/'); c; c = strchr(c + 1, '/')) {
		*c = 0;
		mkdir(path, 0755);
		*c = '/';
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) && errno == EINTR)
		;
	return fd;
}

int note_write(const char *bdf, const char *command)
{
	char path[PATH_MAX], draft[PATH_MAX];
	int rc = 0, fd;
	FILE *f;

	unlink(path_of(draft, bdf, ".new"));
	/* Nobody else's to change, whatever the umask is: root acts on it. */
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	fprintf(f, "%d %llu %s\n", (int)getpid(), began(getpid()), command);
	if (fflush(f))
		rc = -errno;
	if (fclose(f) && !rc)
		rc = -errno;
	if (!rc && rename(draft, path_of(path, bdf, "")))
		rc = -errno;
	if (rc)
		unlink(draft);
	return rc;
}

bool note_read(const char *bdf, struct note *out)
{
	char path[PATH_MAX], line[256];
	unsigned long long when = 0;
	FILE *f = fopen(path_of(path, bdf, ""), "re");
	bool there;

	*out = (struct note){ 0 };
	if (!f)
		return false;
	there = fgets(line, sizeof(line), f) &&
		sscanf(line, "%d %llu %127[^\n]", &out->pid, &when, out->command) >= 2;
	fclose(f);
	snprintf(out->bdf, sizeof(out->bdf), "%.15s", bdf);
	out->alive = there && out->pid > 0 && when && began(out->pid) == when;
	return there;
}

void note_remove(const char *bdf)
{
	char path[PATH_MAX];

	unlink(path_of(path, bdf, ""));
}

unsigned note_list(struct note *out, unsigned max)
{
	char path[PATH_MAX];
	DIR *dir = opendir(path_of(path, "", ""));
	struct dirent *e;
	unsigned n = 0;

	while (dir && n < max && (e = readdir(dir)))
		if (strlen(e->d_name) < RISER_HOST_BDF && strchr(e->d_name, ':') &&
		    note_read(e->d_name, &out[n]))
			n++;
	if (dir)
		closedir(dir);
	return n;
}

int note_quiesce(const struct riser_host_pci *f, struct riser_err *err)
{
	struct riser_nvme *ctrl;
	struct riser *r;
	char uri[32];
	int rc;

	if (strcmp(f->kind, "nvme") || strcmp(f->driver, "vfio-pci"))
		return 0;
	/* A context of its own: nothing of the device is open any more when it is gone. */
	rc = riser_new(NULL, &r, err);
	if (rc)
		return rc;
	snprintf(uri, sizeof(uri), "pci:%s", f->bdf);
	rc = riser_nvme_open(r, uri, NULL, &ctrl, err);
	if (!rc)
		riser_nvme_close(ctrl);
	riser_free(r);
	return rc;
}
