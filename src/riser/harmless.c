/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Whether a controller may lose its data without harm. */
#include "base/err.h"
#include "base/uri.h"
#include "pci/pci.h"
#include <riser/blk.h>
#include <riser/util.h>
#include <string.h>

/* What the data of a model's namespace lies on. */
static int judge_backing(struct riser *r, const char *uri, bool *harmless, struct riser_err *err)
{
	struct riser_blk *b;
	int rc = riser_blk_open(r, uri, 0, &b, err);

	if (rc)
		return rc;
	*harmless &= riser_blk_is_safe_to_destroy(b);
	riser_blk_close(b);
	return 0;
}

int riser_uri_is_harmless(struct riser *r, const char *uri, bool *out, struct riser_err *err)
{
	const struct pci_access *access;
	bool harmless = false;
	struct uri u;
	int rc = uri_parse(uri, &u, err);

	if (rc)
		return rc;
	access = pci_access_find(r, u.scheme);
	if (access)
		harmless = access->harmless;
	for (unsigned i = 0; i < u.nkeys && harmless && !rc; i++)
		if (!strncmp(u.keys[i].name, "backing", strlen("backing")))
			rc = judge_backing(r, u.keys[i].value, &harmless, err);
	uri_free(&u);
	if (!rc)
		*out = harmless;
	return rc;
}
