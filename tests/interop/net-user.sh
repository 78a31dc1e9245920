#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# riser net on QEMU's card with its user network, which leases addresses and answers pings.
# shellcheck source=SCRIPTDIR/../cli/lib.sh
. "$(dirname "$0")/../cli/lib.sh"
need qemu-system-x86_64
card='qtest:spawn?device=virtio-net-pci&netdev=user'

leases_and_pings()
{
	"$riser" net ping "$card" 10.0.2.2 --count 3 --interval 10 >out
	grep -q '^leased 10.0.2.15 from 10.0.2.2, gateway 10.0.2.2$' out
	grep -q '^3 sent, 3 received, ' out
}

nobody_answers()
{
	says 1 '' net ping "$card" 10.0.2.99 --count 1 --interval 10 --timeout 1 --address 10.0.2.15
	grep -q '^1 sent, 0 received$' out
}

try 'an address is leased, and three pings are answered' leases_and_pings
try 'a ping that nobody answers fails' nobody_answers
try 'explain tells what was agreed' gives True \
	'[r["accepted"] for r in j if r["name"] == "VERSION_1"] == [True]' net explain --json "$card"
try 'frames go out' gives 7 'j["packets"]' net send --json "$card" \
	ffffffffffff020000000001080600010203 --count 7
tap_end
