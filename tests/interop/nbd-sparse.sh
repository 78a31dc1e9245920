#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbd-sparse.sh RISER: holes that stay holes from one end to the other, by other people's clients,
# and several connections at a time.
# shellcheck disable=SC2016 # $uri is the command's, under --run
# shellcheck source=SCRIPTDIR/../tap.sh
. "$(dirname "$0")/../tap.sh"
riser=$(realpath "$1")
cd "$scratch"

# 64 MiB: 1 MiB of data at 0, at 20 MiB and at the end; 64 KiB at 40 MiB
truncate -s 64M sparse
for at in 0 20 63; do
	dd if=/dev/urandom of=sparse bs=1M seek=$at count=1 conv=notrunc status=none
done
dd if=/dev/urandom of=sparse bs=64k seek=640 count=1 conv=notrunc status=none
sync sparse

# blocks FILE: bytes that it takes on the disk
blocks()
{
	echo $(($(stat -c %b "$1") * 512))
}

# Where the file system of the test keeps no holes, there is nothing to see.
holes=$(($(blocks sparse) < 8 << 20))

served()
{
	local device=$1 command=$2

	shift 2
	timeout 120 "$riser" publish "$device" nbd: "$@" --run "set -e; $command"
}

map_tells_holes()
{
	served sparse 'nbdinfo --map "$uri" >map' --readonly
	python3 - <<'PY'
runs = [line.split()[:3] for line in open("map")]
M = 1 << 20
want = [(0, M, 0), (M, 19 * M, 3), (20 * M, M, 0), (21 * M, 19 * M, 3), (40 * M, 1 << 16, 0),
        (40 * M + (1 << 16), 23 * M - (1 << 16), 3), (63 * M, M, 0)]
assert [tuple(map(int, r)) for r in runs] == want, runs
PY
}

qemu_maps_the_same()
{
	served sparse 'qemu-img map -f raw --output=json "$uri" >map' --readonly
	python3 - <<'PY'
import json
runs = [(r["start"], r["length"], r["data"]) for r in json.load(open("map"))]
M = 1 << 20
assert [r for r in runs if r[2]] == [(0, M, True), (20 * M, M, True), (40 * M, 1 << 16, True),
                                     (63 * M, M, True)], runs
assert sum(r[1] for r in runs) == 64 * M, runs
PY
}

copy_is_as_sparse()
{
	rm -f back
	truncate -s 64M back
	served sparse 'nbdcopy "$uri" back' --readonly
	cmp sparse back
	[ "$(blocks back)" -le $((4 << 20)) ] || { echo "$(blocks back) bytes"; return 1; }
}

# Into a device: the holes arrive as zeroes that were never written.
copy_in_is_as_sparse()
{
	rm -f in
	served 'file:in?create=64M' 'nbdcopy --destination-is-zero sparse "$uri"'
	cmp sparse in
	[ "$(blocks in)" -le $((4 << 20)) ] || { echo "$(blocks in) bytes"; return 1; }
}

# Over old data that has to go, too.
copy_in_makes_holes()
{
	head -c $((64 << 20)) /dev/urandom >full
	served full 'nbdcopy sparse "$uri"; nbdinfo --map --totals "$uri" >totals'
	cmp sparse full
	[ "$(blocks full)" -le $((5 << 20)) ] || { echo "$(blocks full) bytes"; return 1; }
	grep -q 'hole,zero' totals
}

qemu_converts_sparsely()
{
	rm -f back back.qcow2
	served sparse 'qemu-img convert -f raw -O raw "$uri" back
		qemu-img convert -f raw -O qcow2 "$uri" back.qcow2
		qemu-img compare -f raw -F qcow2 "$uri" back.qcow2
		qemu-img compare -f raw -F raw "$uri" sparse' --readonly
	cmp sparse back
	[ "$(blocks back)" -le $((4 << 20)) ] && [ "$(blocks back.qcow2)" -le $((5 << 20)) ]
}

memory_knows_too()
{
	served mem:64M 'nbdcopy sparse "$uri"; nbdinfo --map "$uri" >map; nbdcopy "$uri" back.mem'
	cmp sparse back.mem
	[ "$(grep -c hole map)" = 3 ]
}

four_jobs()
{
	served "$1" 'fio --output=fio.log --ioengine=nbd --uri="$uri" --size=8M --numjobs=4 --thread \
		--offset_increment=16M --name=v --iodepth=32 --rw=randwrite --bsrange=4k-64k \
		--verify=crc32c --verify_fatal=1 --do_verify=1 --group_reporting'
	grep -q 'err= 0' fio.log && ! grep -q 'err= *[1-9]' fio.log
}

many_connections()
{
	rm -f back
	truncate -s 64M back
	served sparse 'nbdcopy --connections=16 --requests=16 "$uri" back' --readonly
	cmp sparse back
}

# case_with NAME TOOL FUNCTION ARG…: sparse_with wants a file system with holes, too
case_with()
{
	local name=$1 tool=$2

	shift 2
	have "$tool" "$name" && try "$name" "$@" || true
}

sparse_with()
{
	if ((holes)); then
		case_with "$@"
	else
		skip "$1" 'the file system keeps no holes'
	fi
}

sparse_with 'nbdinfo --map tells the holes' nbdinfo map_tells_holes
sparse_with 'qemu-img map tells the same' qemu-img qemu_maps_the_same
sparse_with 'nbdcopy leaves holes out' nbdcopy copy_is_as_sparse
sparse_with 'nbdcopy in writes no holes' nbdcopy copy_in_is_as_sparse
sparse_with 'nbdcopy in makes holes of old data' nbdcopy copy_in_makes_holes
sparse_with 'qemu-img converts sparsely' qemu-img qemu_converts_sparsely
case_with 'holes of memory' nbdcopy memory_knows_too
case_with 'fio, four jobs on one device' fio four_jobs mem:64M
case_with 'fio, four jobs on one file' fio four_jobs full
case_with 'nbdcopy, sixteen connections' nbdcopy many_connections
tap_end
