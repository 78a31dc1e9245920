#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbd.sh RISER URI: what others wrote as clients of the NBD publisher, on a device of 64 MiB.
# shellcheck disable=SC2016 # $uri is the command's, under --run
# shellcheck source=SCRIPTDIR/../tap.sh
. "$(dirname "$0")/../tap.sh"
riser=$(realpath "$1")
device=$2
[[ $device != qtest:* ]] || need qemu-system-x86_64
size=$((64 << 20))
cd "$scratch"
head -c $size /dev/urandom >data

# served COMMAND [OPTION…]: with the device published as $uri
served()
{
	local command=$1

	shift
	timeout 120 "$riser" publish "$device" nbd: "$@" --run "set -e; $command"
}

# refused COMMAND [OPTION…]: it fails
refused()
{
	! served "$@" || { echo "not refused: $1"; return 1; }
}

# same FILE: its SHA-256 is that of the data
same()
{
	[ "$(sha256sum <"$1")" = "$(sha256sum <data)" ]
}

nbdinfo_sees()
{
	served 'nbdinfo --json "$uri" >info; nbdinfo --list "$uri" >list' --name disk
	python3 - "$size" <<'PY'
import json, sys
e = json.load(open("info"))["exports"][0]
assert e["export-name"] == "disk", e
assert e["export-size"] == int(sys.argv[1]), e
for flag in ("can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero", "can_df",
             "can_cache", "can_fast_zero"):
    assert e[flag] is True, flag
assert e["contexts"] == ["base:allocation"], e
for flag in "is_read_only", "is_rotational":
    assert e[flag] is False, flag
assert e["block_size_minimum"] in (512, 4096), e
assert e["block_size_maximum"] == 32 << 20, e
PY
	grep -q 'export="disk"' list
}

# copied OPTION…: nbdcopy in and out again
copied()
{
	rm -f back
	served "nbdcopy $* data \"\$uri\"; nbdcopy $* \"\$uri\" back"
	same back
}

copied_over_tcp()
{
	rm -f back
	served 'nbdcopy data "$uri"; nbdcopy "$uri" back; echo "$uri" >where' --port 0
	same back
	grep -qxE 'nbd://127\.0\.0\.1:[0-9]+/' where
}

qemu_converts()
{
	rm -f back*
	served 'qemu-img convert -n -f raw -O raw data "$uri"
		qemu-img compare -f raw -F raw data "$uri"
		qemu-img convert -f raw -O raw "$uri" back
		qemu-img convert -f raw -O qcow2 "$uri" back.qcow2
		qemu-img compare -f qcow2 -F raw back.qcow2 "$uri"'
	same back
}

# Zeroes with and without a hole, discard, FUA, flush; a read checks each with its pattern.
qemu_io_writes()
{
	served 'qemu-io -f raw -t writeback "$uri" \
		-c "write -P 0x5a 0 1M" -c "write -z 64k 64k" -c "write -z -u 128k 64k" \
		-c "write -f -P 0x11 192k 4k" -c "discard 256k 64k" -c "flush" \
		-c "read -P 0x5a 0 64k" -c "read -P 0 64k 128k" -c "read -P 0x11 192k 4k" \
		-c "read -P 0x5a 320k 704k" -c "aio_write -P 0x77 8M 8M" -c "aio_flush" \
		-c "read -P 0x77 8M 8M" >io'
	! grep -iE 'fail|error|mismatch' io || return 1
}

fio_verifies()
{
	served 'fio --output=fio.log --name=v --ioengine=nbd --uri="$uri" --size=16M --iodepth=32 \
		--rw=randwrite --bsrange=4k-128k --verify=crc32c --verify_fatal=1 --do_verify=1'
	grep -q 'err= 0' fio.log
}

fio_mixes()
{
	served 'fio --output=fio.log --ioengine=nbd --uri="$uri" --size=8M --iodepth=16 --bs=4k \
		--verify=crc32c --verify_fatal=1 --group_reporting --fsync=64 \
		--name=a --rw=randrw --name=b --offset=16M --rw=write \
		--name=c --offset=32M --rw=randtrimwrite --verify=0'
	grep -q 'err= 0' fio.log && ! grep -q 'err= *[1-9]' fio.log
}

read_only_refuses()
{
	served 'nbdinfo --is readonly "$uri"; nbdcopy "$uri" back' --readonly
	refused 'nbdcopy data "$uri"' --readonly
	refused 'qemu-io -f raw -c "write 0 512" "$uri"' --readonly
}

other_names_are_unknown()
{
	served 'nbdinfo "nbd+unix:///disk?socket=$socket" >/dev/null' --name disk
	refused 'nbdinfo "nbd+unix:///dusk?socket=$socket"' --name disk
}

# NAME TOOL FUNCTION ARG…
case_with()
{
	local name=$1 tool=$2

	shift 2
	have "$tool" "$name" && try "$name" "$@" || true
}

case_with 'nbdinfo sees the export' nbdinfo nbdinfo_sees
case_with 'nbdcopy both ways' nbdcopy copied
case_with 'nbdcopy, eight connections' nbdcopy copied --connections=8
case_with 'nbdcopy, requests of 32 MiB' nbdcopy copied --request-size=33554432 --requests=4
case_with 'nbdcopy, one small request at a time' nbdcopy copied --synchronous --request-size=65536
case_with 'nbdcopy over TCP' nbdcopy copied_over_tcp
case_with 'qemu-img converts and compares' qemu-img qemu_converts
case_with 'qemu-io zeroes, discards, flushes' qemu-io qemu_io_writes
case_with 'fio writes and verifies' fio fio_verifies
case_with 'fio reads, writes and trims in three jobs' fio fio_mixes
case_with 'read-only' nbdcopy read_only_refuses
case_with 'names of exports' nbdinfo other_names_are_unknown
tap_end
