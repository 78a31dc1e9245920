/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Who uses a function. First its names: block devices and their partitions whose place in sysfs is
 * below the function's; an NVMe path (nvme0c1n1) stands for the head of its namespace (nvme0n1),
 * which is what gets mounted, and whose place is elsewhere. Then everybody who could hold one of
 * them, and who holds the holders: mounts, swap, holders/, processes, and last the kernel, asked by
 * an exclusive open that is given up at once. Being a disk with data on it is no use.
 */
#include "base/util.h"
#include "host/host.h"
#include "pci/sysfs_info.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAMES_MAX 256 /* as many minors as a disk of NVMe has */
#define NAME_MAX_ 40
#define DEPTH_MAX 8 /* of holders of holders */
#define SYS_BLOCK "/sys/class/block"

/**
 * struct names - of devices, as in /dev
 * @file: what lies there, by which it is known under other names, as in containers
 * @unseen: there may be more
 */
struct names {
	char name[NAMES_MAX][NAME_MAX_];
	struct {
		mode_t type;
		dev_t number;
	} file[NAMES_MAX];
	unsigned n;
	bool unseen;
};

struct look {
	struct riser_host *h;
	struct riser_host_use *out;
	unsigned max, n;
};

static void add_name(struct names *l, const char *name)
{
	for (unsigned i = 0; i < l->n; i++)
		if (!strcmp(l->name[i], name))
			return;
	if (l->n < NAMES_MAX && strlen(name) < NAME_MAX_)
		snprintf(l->name[l->n++], NAME_MAX_, "%s", name);
	else
		l->unseen = true;
}

/* The head of the namespace that a path belongs to: nvme0c1n1 gives nvme0n1. Return: is it one? */
static bool head_of(const char *name, char *head)
{
	unsigned subsystem, ctrl, ns;
	int len = 0;

	if (sscanf(name, "nvme%uc%un%u%n", &subsystem, &ctrl, &ns, &len) != 3 || name[len])
		return false;
	snprintf(head, NAME_MAX_, "nvme%un%u", subsystem, ns);
	return true;
}

/* Names in a class whose place is below a folder of this name. */
static void names_below(const struct riser_host *h, const char *class, const char *folder,
			struct names *l)
{
	char path[PATH_MAX], real[PATH_MAX], part[NAME_MAX_ + 2], head[NAME_MAX_];
	DIR *dir = opendir(host_path(h, path, "%s", class));
	struct dirent *e;

	l->unseen |= !dir && errno != ENOENT;
	snprintf(part, sizeof(part), "/%s/", folder);
	while (dir && (e = readdir(dir))) {
		host_path(h, path, "%s/%s", class, e->d_name);
		if (*e->d_name == '.' || !realpath(path, real) || !strstr(real, part))
			continue;
		add_name(l, head_of(e->d_name, head) ? head : e->d_name);
	}
	if (dir)
		closedir(dir);
}

static bool is_partition(const struct riser_host *h, const char *name)
{
	char path[128];

	snprintf(path, sizeof(path), SYS_BLOCK "/%s/partition", name);
	return host_exists(h, path);
}

static void block_names(const struct riser_host *h, const char *bdf, struct names *l)
{
	unsigned own;

	names_below(h, SYS_BLOCK, bdf, l);
	own = l->n;
	/* Partitions of heads. */
	for (unsigned i = 0; i < own; i++)
		names_below(h, SYS_BLOCK, l->name[i], l);
}

unsigned riser_host_disks(struct riser_host *h, const char *bdf, char *buf, size_t len)
{
	struct names *l = calloc(1, sizeof(*l));
	unsigned n = 0;
	size_t at = 0;

	*buf = 0;
	if (!l)
		return 0;
	names_below(h, SYS_BLOCK, bdf, l);
	for (unsigned i = 0; i < l->n; i++) {
		if (is_partition(h, l->name[i]))
			continue;
		if (at < len)
			at += (size_t)snprintf(buf + at, len - at, "%s%s", n ? " " : "",
					       l->name[i]);
		n++;
	}
	free(l);
	return n;
}

static __attribute__((format(printf, 5, 6))) void add_use(struct look *k,
							  enum riser_host_use_kind kind, int pid,
							  const char *device, const char *fmt, ...)
{
	struct riser_host_use use = { .kind = kind, .pid = pid };
	va_list ap;

	snprintf(use.device, sizeof(use.device), "%s", device);
	va_start(ap, fmt);
	vsnprintf(use.by, sizeof(use.by), fmt, ap);
	va_end(ap);
	for (unsigned i = 0; i < k->n && i < k->max; i++)
		if (k->out[i].kind == kind && k->out[i].pid == pid &&
		    !strcmp(k->out[i].device, use.device) && !strcmp(k->out[i].by, use.by))
			return;
	if (k->n < k->max)
		k->out[k->n] = use;
	k->n++;
}

/* \040 and the like, as mountinfo and swaps write blanks. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (*s == '\\' && s[1] >= '0' && s[1] <= '3' && isdigit((unsigned char)s[2]) &&
		    isdigit((unsigned char)s[3])) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/* Does a path such as /dev/mapper/x lead to the block device @name? */
static bool leads_to(const struct riser_host *h, const char *path, const char *name)
{
	char full[PATH_MAX], real[PATH_MAX];
	const char *slash;

	if (strncmp(path, "/dev/", 5))
		return false;
	slash = realpath(host_path(h, full, "%s", path), real) ? strrchr(real, '/')
							       : strrchr(path, '/');
	return !strcmp(slash + 1, name);
}

/* The mounts that a process sees; by number, and by source where a file system hides it. */
static void look_at_mounts(struct look *k, const char *file, const char *name, const char *device)
{
	char path[PATH_MAX], number[32];
	char *line = NULL;
	size_t room = 0;
	FILE *f = fopen(host_path(k->h, path, "%s", file), "re");

	host_line(k->h, number, sizeof(number), SYS_BLOCK "/%s/dev", name);
	while (f && getline(&line, &room, f) > 0) {
		char of[32], at[256], source[256] = "";
		const char *dash = strstr(line, " - ");

		/* Mount id, parent id, major:minor, root, where, …, -, type, source: proc(5). */
		if (sscanf(line, "%*s %*s %31s %*s %255s", of, at) != 2)
			continue;
		if (dash && sscanf(dash, " - %*s %255s", source) == 1)
			unescape(source);
		if (strcmp(of, number) && !leads_to(k->h, source, name))
			continue;
		unescape(at);
		add_use(k, strcmp(at, "/") ? RISER_HOST_MOUNTED : RISER_HOST_ROOT, 0, device, "%s",
			at);
	}
	free(line);
	if (f)
		fclose(f);
}

static void look_at_swaps(struct look *k, const char *name, const char *device)
{
	char path[PATH_MAX];
	char *line = NULL;
	size_t room = 0;
	FILE *f = fopen(host_path(k->h, path, "/proc/swaps"), "re");

	while (f && getline(&line, &room, f) > 0) {
		line[strcspn(line, " \t\n")] = 0;
		unescape(line);
		if (leads_to(k->h, line, name))
			add_use(k, RISER_HOST_SWAP, 0, device, "%s", "");
	}
	free(line);
	if (f)
		fclose(f);
}

static bool is_claimed(const struct riser_host *h, const char *name)
{
	char path[PATH_MAX];
	int fd;

	/* O_EXCL without O_CREAT is a question to block devices alone. */
	fd = open(host_path(h, path, "/dev/%s", name), O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		close(fd);
	return fd < 0 && errno == EBUSY;
}

static void look_at_block(struct look *k, const char *name, const char *device, unsigned depth);

static void look_at_holder(struct look *k, const char *holder, const char *device, unsigned depth)
{
	char held[sizeof(((struct riser_host_use *)0)->device)], label[HOST_LINE];

	if (host_line(k->h, label, sizeof(label), SYS_BLOCK "/%s/dm/name", holder))
		snprintf(held, sizeof(held), "%.32s (%.40s)", holder, label);
	else
		snprintf(held, sizeof(held), "%.40s", holder);
	add_use(k, RISER_HOST_HELD, 0, device, "%s", held);
	snprintf(label, sizeof(label), "%s, %s", device, held);
	if (depth < DEPTH_MAX)
		look_at_block(k, holder, label, depth + 1);
}

/* Loop devices open what they lie on as a file: no holder, and no claim. */
static void look_at_loops(struct look *k, const char *name, const char *device, unsigned depth)
{
	char path[PATH_MAX], file[HOST_LINE];
	DIR *dir = opendir(host_path(k->h, path, SYS_BLOCK));
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (!strncmp(e->d_name, "loop", 4) &&
		    host_line(k->h, file, sizeof(file), SYS_BLOCK "/%s/loop/backing_file",
			      e->d_name) &&
		    leads_to(k->h, file, name))
			look_at_holder(k, e->d_name, device, depth);
	if (dir)
		closedir(dir);
}

static void look_at_block(struct look *k, const char *name, const char *device, unsigned depth)
{
	char path[PATH_MAX];
	unsigned before = k->n;
	struct dirent *e;
	DIR *dir;

	look_at_mounts(k, "/proc/self/mountinfo", name, device);
	look_at_mounts(k, "/proc/1/mountinfo", name, device);
	look_at_swaps(k, name, device);
	dir = opendir(host_path(k->h, path, SYS_BLOCK "/%s/holders", name));
	while (dir && (e = readdir(dir)))
		if (*e->d_name != '.')
			look_at_holder(k, e->d_name, device, depth);
	if (dir)
		closedir(dir);
	look_at_loops(k, name, device, depth);
	if (k->n == before && is_claimed(k->h, name))
		add_use(k, RISER_HOST_EXCLUSIVE, 0, device, "%s", "");
}

static void find_files(const struct riser_host *h, struct names *l)
{
	char path[PATH_MAX];
	struct stat st;

	for (unsigned i = 0; i < l->n; i++) {
		if (stat(host_path(h, path, "/dev/%s", l->name[i]), &st) ||
		    !(S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)))
			continue;
		l->file[i].type = st.st_mode & S_IFMT;
		l->file[i].number = st.st_rdev;
	}
}

/* Which of the names is it that a process has open as @to? Or NULL. */
static const char *name_of(const struct names *l, int dir, const char *fd, const char *to)
{
	struct stat st;

	/* Elsewhere a look could wait for a server that is gone. */
	if (strncmp(to, "/dev/", 5))
		return NULL;
	if (fstatat(dir, fd, &st, 0))
		memset(&st, 0, sizeof(st));
	for (unsigned i = 0; i < l->n; i++)
		if (!strcmp(to + 5, l->name[i]) ||
		    (l->file[i].type && l->file[i].type == (st.st_mode & S_IFMT) &&
		     l->file[i].number == st.st_rdev))
			return l->name[i];
	return NULL;
}

/* The files that one process has open, in /dev or, as sysfs: has, the function's own. */
static void look_at_process(struct look *k, int pid, const char *config, const struct names *files)
{
	char path[PATH_MAX], to[PATH_MAX], program[HOST_LINE];
	DIR *dir = opendir(host_path(k->h, path, "/proc/%d/fd", pid));
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), e->d_name, to, sizeof(to) - 1);
		const char *what;

		to[n < 0 ? 0 : n] = 0;
		what = name_of(files, dirfd(dir), e->d_name, to);
		if (*config && !strcmp(to, config))
			what = "config space";
		if (!what)
			continue;
		host_line(k->h, program, sizeof(program), "/proc/%d/comm", pid);
		add_use(k, RISER_HOST_OPEN, pid, what, "%s", program);
	}
	if (dir)
		closedir(dir);
}

static void look_at_processes(struct look *k, const char *bdf, const struct names *files)
{
	char path[PATH_MAX], config[PATH_MAX] = "";
	struct dirent *e;
	DIR *dir;

	if (!realpath(host_path(k->h, path, HOST_PCI "/%s/config", bdf), config))
		*config = 0;
	dir = opendir(host_path(k->h, path, "/proc"));
	while (dir && (e = readdir(dir))) {
		int pid = atoi(e->d_name);

		if (pid > 0 && pid != getpid())
			look_at_process(k, pid, config, files);
	}
	if (dir)
		closedir(dir);
}

static void look_at_net(struct look *k, const char *bdf)
{
	struct names *l = calloc(1, sizeof(*l));
	char line[HOST_LINE];

	if (!l)
		return;
	names_below(k->h, "/sys/class/net", bdf, l);
	for (unsigned i = 0; i < l->n; i++)
		if (host_line(k->h, line, sizeof(line), "/sys/class/net/%s/flags", l->name[i]) &&
		    strtoul(line, NULL, 0) & IFF_UP)
			add_use(k, RISER_HOST_NET, 0, l->name[i], "%s", "");
	free(l);
}

/* Character devices that lead to the function: nvme0, ng0n1, uio0, the files of VFIO. */
static void add_files(const struct riser_host *h, const char *bdf, struct names *l)
{
	char name[NAME_MAX_], node[PCI_NAME_LEN];
	struct riser_host_pci p;

	names_below(h, "/sys/class/nvme", bdf, l);
	names_below(h, "/sys/class/nvme-generic", bdf, l);
	names_below(h, "/sys/class/uio", bdf, l);
	host_look(h, bdf, &p);
	if (p.iommu_group < 0 || strncmp(p.driver, "vfio", 4))
		return;
	snprintf(name, sizeof(name), "vfio/%d", p.iommu_group);
	add_name(l, name);
	if (!pci_sysfs_vfio_node(h->root, bdf, node))
		return;
	snprintf(name, sizeof(name), "vfio/devices/%.24s", node);
	add_name(l, name);
}

unsigned riser_host_uses(struct riser_host *h, const char *bdf, struct riser_host_use *out,
			 unsigned max)
{
	struct look k = { .h = h, .out = out, .max = max };
	struct names *l = calloc(1, sizeof(*l));

	if (!l) {
		add_use(&k, RISER_HOST_UNSEEN, 0, bdf, "%s", "");
		return k.n;
	}
	block_names(h, bdf, l);
	for (unsigned i = 0; i < l->n; i++)
		look_at_block(&k, l->name[i], l->name[i], 0);
	look_at_net(&k, bdf);
	add_files(h, bdf, l);
	find_files(h, l);
	look_at_processes(&k, bdf, l);
	if (l->unseen)
		add_use(&k, RISER_HOST_UNSEEN, 0, bdf, "%s", "");
	free(l);
	return k.n;
}

char *riser_host_use_text(const struct riser_host_use *u, char *buf, size_t len)
{
	switch (u->kind) {
	case RISER_HOST_MOUNTED:
		snprintf(buf, len, "%s is mounted on %s", u->device, u->by);
		break;
	case RISER_HOST_ROOT:
		snprintf(buf, len, "%s carries the root of this system", u->device);
		break;
	case RISER_HOST_SWAP:
		snprintf(buf, len, "the system swaps on %s", u->device);
		break;
	case RISER_HOST_HELD:
		snprintf(buf, len, "%s is held by %s", u->device, u->by);
		break;
	case RISER_HOST_EXCLUSIVE:
		snprintf(buf, len, "%s is claimed by the kernel or a program for itself alone",
			 u->device);
		break;
	case RISER_HOST_OPEN:
		snprintf(buf, len, "%s is open in process %d (%s)", u->device, u->pid, u->by);
		break;
	case RISER_HOST_NET:
		snprintf(buf, len, "the network interface %s is up", u->device);
		break;
	case RISER_HOST_UNSEEN:
		snprintf(buf, len, "not all that %s has could be looked at", u->device);
		break;
	}
	return buf;
}
