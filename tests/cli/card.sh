#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# A card served to other processes.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

serve()
{
	"$riser" model net --socket card.sock "$@" >said &
	server=$!
	for _ in $(seq 500); do
		[ ! -s said ] || return 0
		sleep 0.02
	done
	return 1
}

end()
{
	kill -TERM $server
	wait $server
}

one_card()
{
	serve --json --keys 'mac=02:00:00:00:00:09&mtu=1400&speed=2500'
	"$riser" net info vhost-user:card.sock --json >info
	grep -q '"mac": *"02:00:00:00:00:09"' info
	grep -q '"mtu": *1400' info
	grep -q '"speed_mbit": *2500' info
	"$riser" net info vhost-user:card.sock | grep 'link *up'
	end
	grep -q '"uri": *"vhost-user:card.sock"' said
	grep -q '"clients": *2' said
	[ ! -e card.sock ]
}

refusals()
{
	says 2 '*--socket says where*' model net
	says 2 "*did you mean 'pairs'*" model net --socket card.sock --keys pears=2
	serve
	says 4 '*a server listens on*' model net --socket card.sock
	end
}

try 'a card is what its keys say' one_card
try 'what it refuses' refusals
tap_end
