/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
#include "cli/net/lane.h"
#include <string.h>

struct lanes {
	struct lane *lane;
	unsigned n;
};

/* Return: whether all that is held went. */
static bool lane_send(struct lane *l)
{
	int sent = l->nheld && !l->to_gone ? riser_port_tx(l->to->q, l->held, l->nheld) : 0;

	l->to_gone |= sent < 0;
	if (sent <= 0)
		return !l->nheld;
	l->moved += (unsigned)sent;
	l->nheld -= (unsigned)sent;
	memmove(l->held, l->held + sent, l->nheld * sizeof(*l->held));
	return !l->nheld;
}

unsigned lane_run(struct lane *l)
{
	uint64_t before = l->moved;

	while (lane_send(l) && !l->from_gone && l->moved < l->limit) {
		uint64_t left = l->limit - l->moved;
		int got = riser_port_rx(l->from->q, l->held,
					left < NET_BURST ? (unsigned)left : NET_BURST);

		l->from_gone = got < 0;
		if (got <= 0)
			break;
		l->nheld = (unsigned)got;
	}
	return (unsigned)(l->moved - before);
}

void lane_drop(struct lane *l)
{
	while (l->nheld)
		riser_pkt_put(l->held[--l->nheld]);
}

static void on_ready(void *ctx)
{
	struct lanes *s = ctx;

	for (unsigned i = 0; i < s->n; i++)
		lane_run(&s->lane[i]);
}

static bool is_over(const struct lanes *s)
{
	bool limits = true;

	for (unsigned i = 0; i < s->n; i++) {
		const struct lane *l = &s->lane[i];

		if (l->to_gone || (l->from_gone && !l->nheld))
			return true;
		limits = limits && l->moved >= l->limit;
	}
	return limits;
}

/* A capture file that ended has done what it can, unless it was broken. */
static int judge(struct cli *c, const struct net_port *n)
{
	struct riser_port_stats st = { .size = sizeof(st) };

	if (strncmp(n->uri, "pcap:", 5))
		return cli_fail(c, CLI_MISSING, "%s: the device is gone", n->uri);
	riser_port_get_stats(n->p, &st);
	return st.rx_errors ? cli_fail(c, CLI_FAILED,
				       "%s: packets that are broken, cut short or too long", n->uri)
			    : 0;
}

static int judge_all(struct cli *c, const struct lanes *s)
{
	int rc = 0;

	for (unsigned i = 0; i < s->n && !rc; i++) {
		const struct lane *l = &s->lane[i];

		if (l->to_gone && strncmp(l->to->uri, "pcap:", 5))
			rc = judge(c, l->to);
		else if (l->to_gone)
			rc = cli_fail(c, CLI_FAILED, "%s cannot be written", l->to->uri);
		else if (l->from_gone)
			rc = judge(c, l->from);
	}
	return rc;
}

int lanes_run(struct cli *c, struct lane *lanes, unsigned n, uint64_t timeout)
{
	uint64_t until = timeout ? riser_now(c->r) + timeout * NS_PER_S : UINT64_MAX;
	struct lanes s = { lanes, n };
	struct net_stop stop;
	int rc = net_stop_begin(c, &stop);

	if (rc)
		return rc;
	for (unsigned i = 0; i < n; i++) {
		riser_port_watch(lanes[i].from->q, on_ready, &s);
		riser_port_watch(lanes[i].to->q, on_ready, &s);
	}
	while (!stop.stopped && !is_over(&s) && riser_now(c->r) < until)
		riser_exec_wait(c->x, until == UINT64_MAX ? until : until - riser_now(c->r));
	for (unsigned i = 0; i < n; i++) {
		riser_port_watch(lanes[i].from->q, NULL, NULL);
		riser_port_watch(lanes[i].to->q, NULL, NULL);
	}
	rc = judge_all(c, &s);
	net_stop_end(c, &stop);
	return rc;
}
