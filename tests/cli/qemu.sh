#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The command on QEMU's NVMe controller: identify equals what QEMU was given, data equals its
# backing file.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
need qemu-system-x86_64
random data 4194304
truncate -s 4M disk
qemu='qtest:spawn?device=[nvme,serial=S4711]&drive=disk'

identifies()
{
	gives 'S4711 QEMU NVMe Ctrl' '"%s %s" % (j["sn"], j["mn"])' nvme id-ctrl "$qemu" --json
	gives 8192 'j["nsze"]' nvme id-ns "$qemu" --json
	gives True 'j["temperature"] > 0' nvme smart-log "$qemu" --json
}

data_both_ways()
{
	says 0 '' copy data "$qemu"
	cmp data disk
	"$riser" read "$qemu" | cmp - data
	says 0 '' nvme write "$qemu" -s 16 -c 7 -d data
	cmp <(tail -c +8193 disk | head -c 4096) <(head -c 4096 data)
	"$riser" nvme read "$qemu" -s 16 -c 7 | cmp - <(head -c 4096 data)
	says 0 '' nvme flush "$qemu"
}

measures_and_verifies()
{
	gives 'True 0' '"%s %d" % (j["verified"], j["retries"])' \
		bench "$qemu" --rw=randwrite --ios=200 --iodepth=8 --verify --json
}

blocks_of_4096()
{
	local on='qtest:spawn?device=[nvme,serial=S,logical_block_size=4096,physical_block_size=4096]&drive=disk'

	gives 4096 'j["logical_block"]' info "$on" --json
	cp data disk
	"$riser" read "$on" --offset 4K --length 8K | cmp - <(tail -c +4097 data | head -c 8192)
}

try "identify is QEMU's" identifies
try 'data both ways' data_both_ways
try 'bench verifies' measures_and_verifies
try 'blocks of 4096 bytes' blocks_of_4096
refuses 4 'riser nvme read: *: no namespace 9; there is 1' nvme read "$qemu" -n 9
refuses 1 'riser nvme read: read on * failed: LBA Out of Range (0x4080)' nvme read "$qemu" -s 8192
tap_end
