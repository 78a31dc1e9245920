/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* Device models for other programs. */
#include "cli/json.h"
#include "cli/net/net.h"
#include <riser/publish.h>
#include <stdio.h>

struct args {
	const char *socket, *port, *keys;
};

static int describe(struct cli *c, const struct args *a, char *model, size_t len)
{
	int n = snprintf(model, len, "virtio-net?loop=%d%s%s%s%s%s", !a->port,
			 a->port ? "&port=[" : "", a->port ? a->port : "", a->port ? "]" : "",
			 a->keys ? "&" : "", a->keys ? a->keys : "");

	if (!a->socket)
		return cli_fail(c, CLI_USAGE, "--socket says where to serve the card");
	return n < (int)len ? 0 : cli_fail(c, CLI_USAGE, "this card's description is too long");
}

static void print_stats(struct cli *c, struct riser_publish *p)
{
	struct riser_publish_stats s;
	struct json j;

	riser_publish_get_stats(p, &s);
	if (c->format != FORMAT_JSON) {
		printf("%llu clients, %llu bytes to them, %llu from them\n",
		       (unsigned long long)s.connections, (unsigned long long)s.bytes_read,
		       (unsigned long long)s.bytes_written);
		return;
	}
	json_init(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "clients", s.connections);
	json_u64(&j, "shown_out", s.errors);
	json_u64(&j, "bytes_to_clients", s.bytes_read);
	json_u64(&j, "bytes_from_clients", s.bytes_written);
	json_end(&j);
}

static void announce(struct cli *c, struct riser_publish *p)
{
	struct json j;

	if (c->format == FORMAT_JSON) {
		json_init(&j, stdout);
		json_object(&j, NULL);
		json_str(&j, "uri", riser_publish_uri(p));
		json_end(&j);
	} else {
		printf("%s\n", riser_publish_uri(p));
	}
	fflush(stdout); /* who waits for it may begin */
}

static int serve(struct cli *c, const char *model, const char *socket)
{
	struct riser_publish *p;
	struct net_stop stop;
	int rc = net_stop_begin(c, &stop);

	if (rc)
		return rc;
	rc = riser_publish_model(c->x, model, socket, &p, &c->err);
	if (rc) {
		net_stop_end(c, &stop);
		return cli_fail_err(c, rc);
	}
	announce(c, p);
	while (!stop.stopped)
		if (!riser_exec_poll(c->x))
			riser_exec_wait(c->x, UINT64_MAX);
	print_stats(c, p);
	riser_publish_stop(p);
	net_stop_end(c, &stop);
	return CLI_OK;
}

static int run_net(struct cli *c)
{
	struct args a = { 0 };
	char model[512];
	int rc = cli_parse(c, &a);

	if (!rc)
		rc = describe(c, &a, model, sizeof(model));
	if (!rc)
		rc = cli_context(c);
	return rc ? rc : serve(c, model, a.socket);
}

static const struct opt net_opts[] = {
	{ "socket", 's', OPT_IS_TEXT(struct args, socket), "PATH", "the socket to make" },
	{ "port", 'p', OPT_IS_TEXT(struct args, port), "URI",
	  "the network behind the card; without it, what is sent comes back" },
	{ "keys", 'k', OPT_IS_TEXT(struct args, keys), "KEY=VALUE&…",
	  "more of the card, as behind model:virtio-net?" },
	{ 0 },
};

static const struct cmd cmd_model_net = {
	.name = "net",
	.args = "",
	.summary = "serve a virtio network card over vhost-user",
	.example = "riser model net --socket card.sock",
	.opts = net_opts,
	.run = run_net,
};

static const struct cmd *const subs[] = { &cmd_model_net, NULL };

const struct cmd cmd_model = {
	.name = "model",
	.args = "VERB",
	.summary = "serve device models to other programs",
	.subs = subs,
};
