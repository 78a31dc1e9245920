/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "base/uri.h"
#include "../tap.h"
#include <errno.h>
#include <riser/util.h>

static struct riser_err err;

static void parsed(const char *text, const char *canonical)
{
	struct uri u;
	char *c;

	CHECK_EQ(uri_parse(text, &u, &err), 0);
	c = uri_canonical(&u, NULL);
	CHECK_STR(c, canonical);
	free(c);
	uri_free(&u);
}

static void refused(const char *text, const char *part)
{
	struct uri u;

	CHECK_EQ(uri_parse(text, &u, &err), -EINVAL);
	CHECK_HAS(err.text, part);
}

TEST(plain)
{
	SUB(parsed("model:nvme", "model:nvme"));
	SUB(parsed("disk.img", "file:disk.img"));
	SUB(parsed("/a/b?direct=1", "file:/a/b?direct=1"));
	SUB(parsed("0000:01:00.0", "pci:0000:01:00.0"));
	SUB(parsed("01:00.0?nsid=2", "pci:0000:01:00.0?nsid=2"));
	SUB(parsed("pci:0a:1F.7", "pci:0000:0a:1f.7"));
	SUB(parsed("pci:FFFF:01:00.0?iova-base=1G", "pci:ffff:01:00.0?iova-base=1G"));
	SUB(parsed("pci:nonsense", "pci:nonsense"));
	SUB(parsed("mem:1G", "mem:1G"));
}

TEST(keys)
{
	struct uri u;

	SUB(parsed("model:nvme?nsid=2&backing=x", "model:nvme?backing=x&nsid=2"));
	SUB(parsed("model:nvme?a", "model:nvme?a="));
	CHECK_EQ(uri_parse("model:nvme?backing=[file:a?b=[c&d]]&z=%26", &u, &err), 0);
	CHECK_STR(uri_get(&u, "backing"), "file:a?b=[c&d]");
	CHECK_STR(uri_get(&u, "z"), "&");
	CHECK(uri_get(&u, "y") == NULL);
	uri_free(&u);
	SUB(parsed("model:nvme?b=[file:a?d=1]", "model:nvme?b=[file:a?d=1]"));
}

TEST(errors)
{
	SUB(refused("", "empty"));
	SUB(refused("model:nvme?a=1&a=2", "twice"));
	SUB(refused("model:nvme?a=[x", "not closed"));
	SUB(refused("model:nvme?a=[x]y", "behind a closing bracket"));
	SUB(refused("model:nvme?a=%zz", "hexadecimal"));
	SUB(refused("model:nvme?=1", "without a name"));
}

TEST(unknown_key_suggests)
{
	static const char *const allowed[] = { "backing", "mode", NULL };
	struct uri u;

	CHECK_EQ(uri_parse("model:nvme?baking=x", &u, &err), 0);
	CHECK_EQ(uri_check_keys(&u, allowed, &err), -EINVAL);
	CHECK_HAS(err.text, "did you mean 'backing'?");
	uri_free(&u);
}

TEST(typed_values)
{
	uint64_t size = 7;
	bool on = false;
	struct uri u;

	CHECK_EQ(uri_parse("x:?s=64K&b&bad=1Q", &u, &err), 0);
	CHECK_EQ(uri_get_size(&u, "s", &size, &err), 0);
	CHECK_EQ(size, 65536);
	CHECK_EQ(uri_get_bool(&u, "b", &on, &err), 0);
	CHECK(on);
	CHECK_EQ(uri_get_size(&u, "none", &size, &err), 0);
	CHECK_EQ(size, 65536);
	CHECK_EQ(uri_get_size(&u, "bad", &size, &err), -EINVAL);
	CHECK_HAS(err.text, "'bad' wants a size");
	uri_free(&u);
}

TEST(public_get)
{
	char v[8];

	CHECK_EQ(riser_uri_get("model:nvme?nsid=2&serial=A%26B", "nsid", v, sizeof(v)), 0);
	CHECK_STR(v, "2");
	CHECK_EQ(riser_uri_get("model:nvme?nsid=2&serial=A%26B", "serial", v, sizeof(v)), 0);
	CHECK_STR(v, "A&B");
	CHECK_EQ(riser_uri_get("model:nvme?nsid=2", "fault", v, sizeof(v)), -ENOENT);
	CHECK_EQ(riser_uri_get("model:nvme?serial=1234567", "serial", v, sizeof(v)), 0);
	CHECK_EQ(riser_uri_get("model:nvme?serial=12345678", "serial", v, sizeof(v)), -ERANGE);
	CHECK_EQ(riser_uri_get("model:nvme?serial=[", "serial", v, sizeof(v)), -EINVAL);
}

/* A controller is as harmless as all that it lies on; what is not known is not harmless. */
TEST(harmless)
{
	struct riser *r = NULL;
	bool harmless = false;

	CHECK_EQ(riser_new(NULL, &r, NULL), 0);
	CHECK_EQ(riser_uri_is_harmless(r, "model:nvme", &harmless, NULL), 0);
	CHECK(harmless);
	CHECK_EQ(riser_uri_is_harmless(r, "model:nvme?namespaces=2&backing2=mem:1M", &harmless,
				       NULL),
		 0);
	CHECK(harmless);
	CHECK_EQ(riser_uri_is_harmless(r, "model:nvme?backing=/no/such/file", &harmless, NULL),
		 -ENOENT);
	CHECK_EQ(riser_uri_is_harmless(r, "pci:0000:01:00.0", &harmless, NULL), 0);
	CHECK(!harmless);
	harmless = true;
	CHECK_EQ(riser_uri_is_harmless(r, "unheard-of:0", &harmless, NULL), 0);
	CHECK(!harmless);
	CHECK_EQ(riser_uri_is_harmless(r, "", &harmless, NULL), -EINVAL);
	riser_free(r);
}

TEST_MAIN(CASE(plain), CASE(keys), CASE(errors), CASE(unknown_key_suggests), CASE(typed_values),
	  CASE(public_get), CASE(harmless))
