/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/*
 * Targets from shared objects: struct riser_plugin of riser/target.h. What a plugin says about its
 * targets is copied, so that one that was built for an older riser, with shorter ops, has NULL in
 * those that it does not know. The objects are closed when the context goes.
 */
#include "base/err.h"
#include "dm/dm.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAME_MAX_LEN 15
#define OPS_MIN      (offsetof(struct riser_target_ops, ctr) + sizeof(void *))

struct dm_plugin {
	struct list link;
	void *object;
	unsigned n;
	struct riser_target_ops ops[];
};

/* As dlerror() says it, without the file's name, which is in the sentence already. */
static int no_object(const char *path, struct riser_err *err)
{
	const char *why = dlerror();
	size_t len = strlen(path);

	if (why && !strncmp(why, path, len) && !strncmp(why + len, ": ", 2))
		why += len + 2;
	return err_set(err, -EINVAL, "%s: %s", path, why ? why : "it cannot be loaded");
}

static int open_object(const char *path, void **object, struct riser_err *err)
{
	char *file;
	int rc = 0;

	/* A path, whether or not a '/' is in it: the loader's own search is not meant. */
	if (asprintf(&file, "%s%s", strchr(path, '/') ? "" : "./", path) < 0)
		return err_set(err, -ENOMEM, "no memory for a plugin");
	if (access(file, R_OK)) {
		rc = err_set(err, -errno, "%s: %s", path, strerror(errno));
	} else {
		*object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
		if (!*object)
			rc = no_object(file, err);
	}
	free(file);
	return rc;
}

static int check_target(struct riser *r, const char *path, const struct riser_target_ops *ops,
			struct riser_err *err)
{
	size_t len;

	if (ops->abi != RISER_TARGET_ABI)
		return err_set(err, -EINVAL, "%s: a target of ABI %u, and this riser has %u", path,
			       ops->abi, RISER_TARGET_ABI);
	if (ops->size < OPS_MIN || ops->size > sizeof(*ops))
		return err_set(err, -EINVAL,
			       "%s: a target's ops have %u bytes; this riser knows %zu", path,
			       ops->size, sizeof(*ops));
	len = ops->name ? strlen(ops->name) : 0;
	if (!len || len > NAME_MAX_LEN || strpbrk(ops->name, " \t\n"))
		return err_set(err, -EINVAL, "%s: '%s': a target's name has 1 to %d characters",
			       path, len ? ops->name : "", NAME_MAX_LEN);
	if (dm_find_target(r, ops->name))
		return err_set(err, -EEXIST, "%s: there is a target '%s' already", path, ops->name);
	return 0;
}

/* What the core calls without asking. */
static int check_ops(const char *path, const struct riser_target_ops *ops, struct riser_err *err)
{
	if (ops->ctr && (ops->map || ops->shape))
		return 0;
	return err_set(err, -EINVAL, "%s: target '%s' has no %s", path, ops->name,
		       ops->ctr ? "map" : "ctr");
}

static int take(struct riser *r, const char *path, void *object, struct riser_err *err)
{
	const struct riser_plugin *p = dlsym(object, "riser_plugin");
	struct dm_plugin *plugin;
	unsigned n = 0;
	int rc = 0;

	if (!p)
		return err_set(err, -EINVAL, "%s exports no riser_plugin", path);
	if (p->abi != RISER_TARGET_ABI || p->size < sizeof(*p))
		return err_set(err, -EINVAL, "%s: a plugin of ABI %u, and this riser has %u", path,
			       p->abi, RISER_TARGET_ABI);
	while (p->targets && p->targets[n])
		n++;
	plugin = calloc(1, sizeof(*plugin) + n * sizeof(plugin->ops[0]));
	if (!plugin)
		return err_set(err, -ENOMEM, "no memory for a plugin");
	plugin->object = object;
	for (unsigned i = 0; !rc && i < n; i++) {
		rc = check_target(r, path, p->targets[i], err);
		if (!rc) {
			memcpy(&plugin->ops[i], p->targets[i], p->targets[i]->size);
			rc = check_ops(path, &plugin->ops[i], err);
		}
	}
	if (rc) {
		free(plugin);
		return rc;
	}
	plugin->n = n;
	list_add_tail(&r->dm.plugins, &plugin->link);
	return 0;
}

int riser_dm_plugin_load(struct riser *r, const char *path, struct riser_err *err)
{
	void *object = NULL;
	int rc = dm_control_begin(r, NULL, TIME_NEVER, err);

	if (rc)
		return rc;
	rc = open_object(path, &object, err);
	if (!rc) {
		rc = take(r, path, object, err);
		if (rc)
			dlclose(object);
	}
	dm_control_end(r);
	return rc;
}

void dm_free_plugins(struct riser *r)
{
	list_for_each_safe (p, &r->dm.plugins, struct dm_plugin, link) {
		list_del(&p->link);
		dlclose(p->object);
		free(p);
	}
}

const struct riser_target_ops *riser_dm_targets(struct riser *r, unsigned index)
{
	const struct riser_target_ops *const *t = r->registry->targets;

	for (; *t; t++)
		if (!index--)
			return *t;
	list_for_each (p, &r->dm.plugins, struct dm_plugin, link) {
		if (index < p->n)
			return &p->ops[index];
		index -= p->n;
	}
	return NULL;
}
