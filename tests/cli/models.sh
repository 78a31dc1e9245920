#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The verbs of block devices, through the NVMe driver on the model.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
random data 4194304
note='riser write: model:nvme has no backing=FILE: its data vanishes with this process'

copies_both_ways()
{
	truncate -s 4M disk
	says 0 '' copy data 'model:nvme?backing=disk'
	cmp data disk
	says 0 '' copy 'model:nvme?backing=disk' mem:4M
	"$riser" read 'model:nvme?backing=disk' --offset 512 --length 1M |
		cmp - <(tail -c +513 data | head -c 1M)
	"$riser" write 'model:nvme?backing=disk' --offset 3M < <(head -c 1M data)
	cmp <(tail -c 1M disk) <(head -c 1M data)
	says 5 'riser verify: data and model:nvme?backing=disk differ, first at byte *' \
		verify data 'model:nvme?backing=disk'
}

zeroes_stay_holes()
{
	truncate -s 64M sparse
	dd if=data of=sparse bs=1M seek=17 count=1 conv=notrunc 2>/dev/null
	head -c 1M data >full
	truncate -s 64M full
	says 0 '' copy sparse 'model:nvme?backing=full'
	cmp sparse full
	[ "$(du -k full | cut -f1)" -le 4096 ] || { du -k full; return 1; }
}

blocks_of_4096()
{
	gives 4096 'j["logical_block"]' info 'model:nvme?block=4096' --json
	says 1 'riser read: length 512 is not a multiple of the 4096-byte blocks of *' \
		read 'model:nvme?block=4096' --length 512
	truncate -s 4M disk
	says 1 'riser copy: the size of mem:4608 (4608 bytes) is not a multiple of the 4096-byte *' \
		copy mem:4608 'model:nvme?block=4096'
}

info_shows_the_controller()
{
	gives True 'j["controller"]["queue_pairs"] == 1 and j["controller"]["retries"] == 0' \
		info model:nvme --json
	gives True 'j["vanishes"]' info model:nvme --json
	gives False 'j["vanishes"]' info 'model:nvme?backing=data' --json
	"$riser" info model:nvme | grep -q 'vanishes with this process'
	gives 2 'j["size"] // 2**20' info 'model:nvme?namespaces=2&size=1M&size2=2M&nsid=2' --json
}

# Reads of any length, more than one command carries, cost no bounce.
nothing_bounces()
{
	gives 0 'j["bounces"]' bench model:nvme --bs=1M --ios=50 --iodepth=4 --json
	gives 'True 0' '"%s %d" % (j["verified"], j["bounces"])' \
		bench 'model:nvme?size=8M' --rw=randwrite --ios=3000 --iodepth=16 --verify --json
	gives 2000 'j["ios"]' bench 'model:nvme?mode=thread' --rw=randread --ios=2000 --iodepth=8 --json
}

try 'copies both ways' copies_both_ways
try 'zeroes stay holes' zeroes_stay_holes
try 'blocks of 4096 bytes' blocks_of_4096
try 'info shows the controller' info_shows_the_controller
try 'nothing bounces' nothing_bounces
# A person who waits is told for what; whoever reads JSON is not.
tells_of_long_waits()
{
	says 0 'riser read: waiting for model:nvme* to answer an I/O command, next step in * s' \
		read 'model:nvme?size=1M&timeout=3500&fault=lost,opcode=read,nth=2'
	says 0 'riser nvme smart-log: waiting for model:nvme* to answer an admin command, next step in 2? s' \
		nvme smart-log 'model:nvme?fault=delay=2500ms,opcode=get-log'
	says 0 'riser nvme list-ns: waiting for model:nvme* to get ready, next step in * s' \
		nvme list-ns 'model:nvme?rdy-delay=2500&to=20'
	says 0 '' nvme list-ns 'model:nvme?rdy-delay=2500&to=20' --json
}

try 'long waits are told' tells_of_long_waits
try 'zero' says 0 '' zero model:nvme
try 'trim' says 0 '' trim model:nvme
try 'flush' says 0 '' flush model:nvme
vanishing() { says 0 "$note" write model:nvme < <(head -c 512 data); }
try 'write says that the data vanishes' vanishing
refuses 1 'riser read: read of * at byte 2097152 failed: MEDIUM (0x281, Unrecovered Read Error)' \
	read 'model:nvme?size=4M&fault=status=0x281,opcode=read,lba=4096'
refuses 4 'riser read: read of * failed: OFFLINE (the device is gone)' \
	read 'model:nvme?fault=gone,opcode=read,nth=5' --length 16M
refuses 4 'riser info: *: no namespace 7; there is 1' info 'model:nvme?nsid=7'
refuses 4 'riser info: *: 2 namespaces (1, 2): choose one with nsid=' info 'model:nvme?namespaces=2'
refuses 4 'riser info: *cannot open missing: No such file or directory' \
	info 'model:nvme?backing=missing'
refuses 2 "riser info: model: unknown key 'faullt'; did you mean 'fault'?" \
	info 'model:nvme?faullt=lost'
refuses 4 'riser info: qtest: nobody answers at *' info 'qtest:no.sock?addr=04.0&ram=data'
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("closed.sock")'
refuses 4 'riser info: qtest: nobody answers at *' info 'qtest:closed.sock?addr=04.0&ram=data'
tap_end
