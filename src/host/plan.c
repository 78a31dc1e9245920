/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "host/plan.h"
#include "base/err.h"
#include "base/util.h"
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *const kinds[] = {
	[STEP_LOAD] = "load",     [STEP_WRITE] = "write",   [STEP_EXPECT] = "expect",
	[STEP_RECORD] = "record", [STEP_RESET] = "reset",   [STEP_OWN] = "own",
	[STEP_CREATE] = "create", [STEP_REMOVE] = "remove", [STEP_LINK] = "link",
	[STEP_WAIT] = "wait",     [STEP_UNUSED] = "unused",
};

int plan_new(struct riser_host *h, const char *const *bdf, unsigned n, struct riser_host_plan **out,
	     struct riser_err *err)
{
	struct riser_host_plan *p = calloc(1, sizeof(*p));
	int rc = 0;

	if (p)
		p->was = calloc(n + 1, sizeof(*p->was));
	if (!p || !p->was) {
		riser_host_plan_free(p);
		return err_set(err, -ENOMEM, "no memory for a plan");
	}
	p->h = h;
	p->uid = p->gid = UINT32_MAX;
	while (!rc && p->n < n) {
		rc = riser_host_pci_get(h, bdf[p->n], &p->was[p->n], err);
		for (unsigned i = 0; !rc && i < p->n; i++)
			if (!strcmp(p->was[i].bdf, p->was[p->n].bdf))
				rc = err_set(err, -EINVAL, "%s is named twice", p->was[i].bdf);
		p->n++;
	}
	if (rc)
		riser_host_plan_free(p);
	else
		*out = p;
	return rc;
}

void riser_host_plan_free(struct riser_host_plan *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->nsteps; i++) {
		free((void *)(uintptr_t)p->steps[i].pub.path);
		free((void *)(uintptr_t)p->steps[i].pub.value);
	}
	free(p->steps);
	free(p->was);
	free(p);
}

struct step *plan_add(struct riser_host_plan *p, enum step_kind kind, unsigned dev,
		      const char *value, const char *fmt, ...)
{
	struct step *steps = realloc(p->steps, (p->nsteps + 1) * sizeof(*steps)), *s;
	char path[PATH_MAX];
	va_list ap;

	if (!steps) {
		p->lost = true;
		return NULL;
	}
	p->steps = steps;
	s = &steps[p->nsteps++];
	va_start(ap, fmt);
	vsnprintf(path, sizeof(path), fmt, ap);
	va_end(ap);
	*s = (struct step){ .kind = kind, .dev = dev };
	s->pub.what = kinds[kind];
	s->pub.path = strdup(path);
	s->pub.value = strdup(value);
	if (!s->pub.path || !s->pub.value)
		p->lost = true;
	return s;
}

const struct riser_host_step *riser_host_plan_step(struct riser_host_plan *p, unsigned index)
{
	return index < p->nsteps ? &p->steps[index].pub : NULL;
}

/* Is a module of this name there, loaded or built in? Drivers are asked for as such. */
static bool has_module(const struct riser_host *h, const char *module)
{
	char path[128];

	snprintf(path, sizeof(path), HOST_DRIVERS "/%.80s", module);
	if (host_exists(h, path))
		return true;
	snprintf(path, sizeof(path), "/sys/module/%.80s", module);
	for (char *c = path; *c; c++)
		*c = *c == '-' ? '_' : *c;
	return strcmp(module, HOST_VFIO) && host_exists(h, path);
}

static int run_load(const struct riser_host *h, const struct step *s, struct riser_err *err)
{
	static const char *const programs[] = { "modprobe", "/sbin/modprobe" };
	char module[HOST_LINE], quiet[] = "-q", program[] = "modprobe";
	char *argv[] = { program, quiet, module, NULL };
	int status = 0, rc = ENOENT;
	uint32_t waited = 0;
	pid_t pid;

	snprintf(module, sizeof(module), "%s", s->pub.path);
	if (has_module(h, module))
		return 0;
	for (size_t i = 0; rc && i < array_len(programs); i++)
		rc = posix_spawnp(&pid, programs[i], NULL, NULL, argv, environ);
	if (rc)
		return err_set(err, -rc, "the module %s is wanted, and modprobe cannot be run: %s",
			       module, strerror(rc));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	/* A description of a device, by which modprobe finds a module, tells nothing of its name.
	 */
	if (strchr(module, ':'))
		return status ? -ENOENT : 0;
	while (!status && !has_module(h, module))
		if (!host_wait(h, &waited))
			status = 1;
	if (status)
		return err_set(err, -ENOENT,
			       "the module %s cannot be loaded ('modprobe %s' says why): this "
			       "kernel may have come without it, as kernels for clouds do",
			       module, module);
	return 0;
}

static int run_expect(const struct riser_host *h, const char *bdf, const struct step *s,
		      struct riser_err *err)
{
	bool any = !strcmp(s->pub.value, PLAN_ANY);
	struct riser_host_pci now;
	uint32_t waited = 0;

	do {
		host_look(h, bdf, &now);
		if (any ? *now.driver && strcmp(now.driver, HOST_VFIO)
			: !strcmp(now.driver, s->pub.value))
			return 0;
	} while (host_wait(h, &waited));
	if (!*s->pub.value)
		return err_set(err, -ETIMEDOUT, "%s did not let go of %s within %u ms", now.driver,
			       bdf, h->timeout_ms);
	return err_set(err, -ETIMEDOUT, "%s was to get %s, and has %s after %u ms (see dmesg)", bdf,
		       s->pub.value, *now.driver ? now.driver : "no driver", h->timeout_ms);
}

static void make_folders(char *path)
{
	for (char *c = strchr(path + 1, '/'); c; c = strchr(c + 1, '/')) {
		*c = 0;
		mkdir(path, 0755);
		*c = '/';
	}
}

/* Whole or not at all, and nobody else's to change, whatever the umask is: root acts on it. */
static int write_file(const char *path, const char *text)
{
	char draft[PATH_MAX + 8];
	int rc = 0, fd;
	FILE *f;

	snprintf(draft, sizeof(draft), "%s.new", path);
	unlink(draft);
	fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	f = fd < 0 ? NULL : fdopen(fd, "w");
	if (!f) {
		rc = -errno;
		if (fd >= 0)
			close(fd);
		return rc;
	}
	if (fputs(text, f) < 0 || fflush(f) || fsync(fileno(f)))
		rc = -errno;
	if (fclose(f) && !rc)
		rc = -errno;
	if (!rc && rename(draft, path))
		rc = -errno;
	if (rc)
		unlink(draft);
	return rc;
}

static int run_create(const struct riser_host *h, struct step *s)
{
	char path[PATH_MAX];

	host_path(h, path, "%s", s->pub.path);
	s->made = access(path, F_OK);
	make_folders(path);
	if (s->kind == STEP_LINK)
		return symlink(s->pub.value, path) && errno != EEXIST ? -errno : 0;
	return write_file(path, s->pub.value);
}

static int run_remove(const struct riser_host *h, const char *file)
{
	char path[PATH_MAX];

	return unlink(host_path(h, path, "%s", file)) && errno != ENOENT ? -errno : 0;
}

static int run_own(const struct riser_host_plan *p, const struct step *s)
{
	mode_t mode = p->gid == UINT32_MAX ? 0600 : 0660;
	uint32_t waited = 0;
	char path[PATH_MAX];
	struct stat st;

	host_path(p->h, path, "%s", s->pub.path);
	while (access(path, F_OK))
		if (!host_wait(p->h, &waited))
			return -ENOENT;
	if (chown(path, p->uid, p->gid) || chmod(path, mode) || stat(path, &st))
		return -errno;
	if ((p->uid != UINT32_MAX && st.st_uid != p->uid) || (st.st_mode & 0777) != mode)
		return -EPERM;
	return 0;
}

static void run_wait(struct riser_host *h, const char *bdf)
{
	uint32_t waited = 0;
	char disks[64];

	/* A controller may have no namespace at all. */
	while (!riser_host_disks(h, bdf, disks, sizeof(disks)) && host_wait(h, &waited))
		;
}

static int run_step(struct riser_host_plan *p, struct step *s, struct riser_err *err)
{
	const char *bdf = p->was[s->dev].bdf;
	int rc = 0;

	switch (s->kind) {
	case STEP_LOAD:
		return run_load(p->h, s, err);
	case STEP_UNUSED:
		return plan_check_unused(p->h, bdf, err);
	case STEP_EXPECT:
		return run_expect(p->h, bdf, s, err);
	case STEP_WRITE:
	case STEP_RESET:
		rc = host_write(p->h, s->pub.path, s->pub.value);
		break;
	case STEP_RECORD:
	case STEP_CREATE:
	case STEP_LINK:
		rc = run_create(p->h, s);
		break;
	case STEP_REMOVE:
		rc = run_remove(p->h, s->pub.path);
		break;
	case STEP_OWN:
		rc = run_own(p, s);
		break;
	case STEP_WAIT:
		run_wait(p->h, bdf);
		break;
	}
	if (!rc)
		return 0;
	if (s->kind == STEP_WRITE)
		return err_set(err, rc, "'%s' cannot be written to %s: %s", s->pub.value,
			       s->pub.path, strerror(-rc));
	return err_set(err, rc, "%s cannot be made as planned: %s", s->pub.path, strerror(-rc));
}

static int run_all(struct riser_host_plan *p, unsigned *done, struct riser_err *err)
{
	int rc = 0;

	for (*done = 0; *done < p->nsteps; ++*done) {
		struct step *s = &p->steps[*done];

		rc = run_step(p, s, err);
		if (rc && !s->optional)
			return rc;
	}
	return 0;
}

/* The functions that the first steps touched, the last first. */
static void take_back(struct riser_host_plan *p, unsigned done, struct riser_err *err)
{
	char text[RISER_ERR_TEXT] = "";
	bool all = true;
	size_t len = 0;

	for (unsigned dev = p->n; dev-- > 0;) {
		const struct riser_host_pci *was = &p->was[dev];
		const char *name = was->bdf;
		struct riser_host_plan *back;
		bool touched = false;
		unsigned ran;

		for (unsigned i = 0; i <= done && i < p->nsteps; i++)
			touched |= p->steps[i].dev == dev && p->steps[i].kind == STEP_WRITE;
		if (!touched || len >= sizeof(text))
			continue;
		if (plan_new(p->h, &name, 1, &back, NULL))
			return;
		plan_add_return(back, 0, was->driver, was->driver_override);
		if (run_all(back, &ran, NULL)) {
			all = false;
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"; %s could not be given back: riser restore %s",
						name, name);
		} else {
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						"; taken back: %s has %s again", name,
						*was->driver ? was->driver : "no driver");
		}
		riser_host_plan_free(back);
	}
	/* What remains to be done wants its record. */
	for (unsigned i = 0; i < done && all; i++)
		if (p->steps[i].made)
			run_remove(p->h, p->steps[i].pub.path);
	if (err) {
		size_t n = strlen(err->text);

		snprintf(err->text + n, sizeof(err->text) - n, "%s", text);
	}
}

/* Before anything is touched. */
static int may_run(const struct riser_host *h, struct riser_err *err)
{
	char path[PATH_MAX];

	if (!faccessat(AT_FDCWD, host_path(h, path, HOST_PROBE), W_OK, AT_EACCESS))
		return 0;
	if (errno == EACCES || errno == EPERM)
		return err_set(err, -EACCES, "only root may change drivers: run this with sudo");
	return err_set(err, -errno, "%s cannot be written: %s%s", HOST_PROBE, strerror(errno),
		       errno == EROFS ? " (a container may not change drivers)" : "");
}

int riser_host_plan_run(struct riser_host_plan *p, struct riser_err *err)
{
	unsigned done;
	int rc;

	if (p->lost)
		return err_set(err, -ENOMEM, "no memory for a plan");
	rc = p->nsteps ? may_run(p->h, err) : 0;
	if (rc)
		return rc;
	rc = run_all(p, &done, err);
	if (rc && p->takes_back)
		take_back(p, done, err);
	return rc;
}
