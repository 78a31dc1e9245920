/* SPDX-License-Identifier: BSD-3-Clause */
/* Copyright (c) 2026 The riser authors */
/* A card on a bad day: the driver says what it did, and neither hangs nor loses anything. */
#include "virtio_card.h"

#define ROUNDS 40u

/* What came of ROUNDS packets sent one by one. */
struct outcome {
	unsigned whole, spoilt, none, refused;
};

static void play(const char *rules, bool packed, struct outcome *o)
{
	char uri[200];
	int rc;

	*o = (struct outcome){ 0 };
	snprintf(uri, sizeof(uri), "model:virtio-net?loop=1&size=64&features=%cPACKED&fault=%s",
		 packed ? '+' : '-', rules);
	SUB(card_open(uri, NULL));
	for (unsigned i = 0; i < ROUNDS; i++) {
		struct riser_pkt *pkt = bounce(make(i, 100), &rc);

		if (!pkt && rc < 0)
			CHECK_EQ(rc, -ENODEV);
		o->none += !pkt && rc >= 0;
		o->refused += !pkt && rc < 0;
		if (!pkt)
			continue;
		o->whole += is_whole(pkt, i, 100);
		o->spoilt += !is_whole(pkt, i, 100);
		riser_pkt_put(pkt);
	}
}

/* The device broke the rules: from then on nobody uses it, and all memory comes back. */
TEST(what_breaks_the_rules_is_told_in_a_sentence)
{
	static const struct {
		const char *rules, *split, *packed;
		unsigned whole[2];
	} bad[] = {
		{ "used-id,queue=rx,nth=3", "id is out of range", "id is out of range", { 2, 2 } },
		{ "used-id,queue=tx,nth=3", "id is out of range", "id is out of range", { 3, 3 } },
		{ "used-id=3,queue=tx,nth=3", "is not in flight", "is not in flight", { 3, 3 } },
		{ "used-len,queue=rx,nth=3",
		  "more than the chain has room for",
		  "more than the chain has room for",
		  { 2, 2 } },
		{ "used-twice,queue=rx,nth=3", "is not in flight", "is not in flight", { 3, 3 } },
		{ "used-twice,queue=tx,nth=3",
		  "the used index is ahead",
		  "is not in flight",
		  { 3, 3 } },
		{ "used-ahead,queue=rx,nth=3",
		  "the used index is ahead",
		  "is not in flight",
		  { 2, 3 } },
		{ "used-ahead,queue=tx,nth=3",
		  "the used index is ahead",
		  "is not in flight",
		  { 3, 3 } },
		{ "num-buffers=0,nth=3",
		  "a packet into no buffer",
		  "a packet into no buffer",
		  { 2, 2 } },
		{ "num-buffers=65535,nth=3",
		  "more buffers than it has",
		  "more buffers than it has",
		  { 2, 2 } },
	};
	struct outcome o;

	for (size_t i = 0; i < array_len(bad); i++)
		for (unsigned packed = 0; packed < 2; packed++) {
			SUB(play(bad[i].rules, packed, &o));
			CHECK_HAS(card.told, packed ? bad[i].packed : bad[i].split);
			if (o.whole != bad[i].whole[packed] || o.whole + o.refused != ROUNDS)
				FAIL("%s: %u whole, %u refused", bad[i].rules, o.whole, o.refused);
			SUB(card_close());
		}
}

/* What a packet's header says may be nonsense, and then that packet is dropped; as may be lost. */
TEST(what_costs_a_packet_costs_no_more)
{
	static const struct {
		const char *rules;
		unsigned none, spoilt;
	} bad[] = {
		{ "header,times=4", 4, 0 },
		{ "lost,queue=rx,nth=3", 1, 0 },
		{ "lost,queue=tx,nth=3", 0, 0 },
		{ "used-len=3,queue=rx,nth=3", 1, 0 },
		{ "num-buffers=2,nth=3", 1, 1 },
		{ "delay=1ms,queue=rx,every=5", 0, 0 },
		{ "delay=1ms,queue=tx,times=2", 0, 0 },
		{ "no-interrupt", 0, 0 },
	};
	struct outcome o;

	for (size_t i = 0; i < array_len(bad); i++)
		for (unsigned packed = 0; packed < 2; packed++) {
			SUB(play(bad[i].rules, packed, &o));
			CHECK_STR(card.told, "");
			CHECK_EQ(o.none, bad[i].none);
			CHECK_EQ(o.spoilt, bad[i].spoilt);
			CHECK_EQ(o.whole, ROUNDS - o.none - o.spoilt);
			SUB(card_close());
		}
}

TEST(a_device_that_wants_a_reset_gets_one)
{
	struct outcome o;

	SUB(play("needs-reset,nth=5", false, &o));
	CHECK_HAS(card.told, "the device had an error and wants to be reset");
	CHECK(o.whole > 2 && o.none && !o.refused); /* packets before it, and after it */
	CHECK_EQ(counted().function_resets, 0);
	CHECK(counted().resets >= 2);
	SUB(card_close());
}

TEST(a_card_that_is_gone_is_gone)
{
	struct outcome o;

	SUB(play("gone,nth=5", true, &o));
	CHECK_EQ(o.whole, 2);
	CHECK_EQ(o.refused, ROUNDS - 2);
	SUB(card_close());
}

TEST(a_card_that_refuses_its_own_features_does_not_open)
{
	CHECK_EQ(card_try("model:virtio-net?fault=features-refused", NULL), -ENOTSUP);
	CHECK_HAS(err.text, "the device refuses these of its own features");
	riser_free(card.r);
}

/* Nothing that it says of itself can be believed: that is no link, and no hang. */
TEST(a_configuration_that_never_settles_is_not_believed)
{
	struct riser_port_info info = { .size = sizeof(info) };

	SUB(card_open("model:virtio-net?fault=generation,after=4", NULL));
	riser_port_get_info(card.port, &info);
	CHECK(!info.link);
	model_virtio_fault_clear(card_pci());
	riser_port_get_info(card.port, &info);
	CHECK(info.link);
	SUB(card_close());
}

/* It never says that it was reset: then the whole function is, and packets go on. */
TEST(a_status_that_sticks_takes_a_function_reset)
{
	struct riser_pkt *pkt;
	int rc;

	SUB(card_open("model:virtio-net?loop=1&fault=status-stuck", NULL));
	CHECK_EQ(riser_port_reset(card.port, &err), 0);
	CHECK_HAS(card.told, "the device does not reset; the whole function is reset");
	CHECK_EQ(counted().function_resets, 1);
	bounce(NULL, &rc); /* the owner takes his new queues */
	pkt = bounce(make(1, 100), &rc);
	CHECK(pkt && is_whole(pkt, 1, 100));
	riser_pkt_put(pkt);
	SUB(card_close());
}

TEST(a_command_without_an_answer_is_given_up)
{
	static const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

	SUB(card_open("model:virtio-net?loop=1&fault=lost,queue=ctrl", NULL));
	CHECK_EQ(riser_port_set_mac(card.port, mac, &err), -ETIMEDOUT);
	CHECK_EQ(riser_port_set_mac(card.port, mac, &err), -ETIMEDOUT);
	CHECK_HAS(err.text, "silent until it is reset");
	CHECK_EQ(riser_port_reset(card.port, &err), 0);
	CHECK_EQ(riser_port_set_mac(card.port, mac, &err), 0);
	SUB(card_close());
}

TEST(errors_of_grammar_name_their_place)
{
	static const struct {
		const char *rules, *said;
	} bad[] = {
		{ "used-idd", "rule 1, column 1: an unknown rule; did you mean 'used-id'?" },
		{ "lost;lost=3", "rule 2, column 6: a rule that has no value" },
		{ "lost,queue=cx", "column 6: 'queue' wants rx, tx, ctrl or a number" },
		{ "status-stuck,queue=rx", "column 14: a condition that this rule does not have" },
		{ "num-buffers", "a rule that wants a value" },
		{ "num-buffers=many", "a rule that wants a number" },
		{ "delay=soon", "'delay' wants a time" },
		{ "lost,nth=0", "a condition that wants a number" },
	};
	char uri[120];

	for (size_t i = 0; i < array_len(bad); i++) {
		snprintf(uri, sizeof(uri), "model:virtio-net?fault=%s", bad[i].rules);
		CHECK_EQ(card_try(uri, NULL), -EINVAL);
		CHECK_HAS(err.text, bad[i].said);
		riser_free(card.r);
	}
}

TEST_MAIN(CASE(what_breaks_the_rules_is_told_in_a_sentence),
	  CASE(what_costs_a_packet_costs_no_more), CASE(a_device_that_wants_a_reset_gets_one),
	  CASE(a_card_that_is_gone_is_gone),
	  CASE(a_card_that_refuses_its_own_features_does_not_open),
	  CASE(a_configuration_that_never_settles_is_not_believed),
	  CASE(a_status_that_sticks_takes_a_function_reset),
	  CASE(a_command_without_an_answer_is_given_up), CASE(errors_of_grammar_name_their_place))
