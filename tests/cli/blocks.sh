#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Verbs over block devices: files, memory, null.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

fresh()
{
	random data 3000320 # no multiple of a chunk, but of a block
	truncate -s 0 disk
	truncate -s 4M disk
}

writes_and_reads()
{
	fresh
	"$riser" write disk <data
	cmp -n 3000320 data disk
	"$riser" read disk --length 3000320 | cmp - data
	"$riser" read disk | cmp - disk
}

writes_at_an_offset()
{
	fresh
	"$riser" write disk --offset 64K <data
	"$riser" read disk --offset 64K --length 3000320 | cmp - data
	"$riser" read disk --length 64K | cmp - <(head -c 64K /dev/zero)
	cmp -n 3000320 <(tail -c +65537 disk) data
}

# Data that trickles in and stops in the middle of a block-sized piece.
writes_from_a_slow_pipe()
{
	fresh
	{ head -c 700 data; sleep 0.2; dd bs=1 skip=700 count=1348 if=data; sleep 0.1
		tail -c +2049 data; } 2>/dev/null | "$riser" write disk
	cmp -n 3000320 data disk
}

zeroes_a_range()
{
	fresh
	"$riser" write disk <data
	"$riser" zero disk --offset 1M --length 512K
	"$riser" read disk --offset 1M --length 512K | cmp - <(head -c 512K /dev/zero)
	cmp -n 1048576 data disk
	cmp -n 1000000 <(tail -c +1572865 data) <(tail -c +1572865 disk)
}

copies()
{
	fresh
	"$riser" write disk <data
	truncate -s 5M other
	"$riser" copy disk other
	cmp -n 4194304 disk other
	truncate -s 4M other
	"$riser" verify disk other | grep -qx 'equal: 4194304 bytes'
}

finds_the_first_difference()
{
	fresh
	"$riser" write disk <data
	cp disk other
	printf '\377' | dd of=other bs=1 seek=2999999 conv=notrunc 2>/dev/null
	printf '\376' | dd of=disk bs=1 seek=2999999 conv=notrunc 2>/dev/null
	printf '\377' | dd of=other bs=1 seek=3900000 conv=notrunc 2>/dev/null
	says 5 'riser verify: disk and other differ, first at byte 2999999' verify disk other
	truncate -s 8M other
	cp disk longer
	truncate -s 8M longer
	says 5 'riser verify: disk and longer differ in size (4194304 and 8388608 bytes), *' \
		verify disk longer
}

progress_is_told()
{
	fresh
	"$riser" copy disk mem:4M --progress=9 9>steps
	[ "$(tail -1 steps)" = 100/100 ]
	if grep -vxE '[0-9]+/100' steps; then return 1; fi
	[ "$(sort -n steps | uniq | wc -l)" = "$(wc -l <steps)" ]
}

# With --json a verb tells bytes; nothing else is on stdout.
json_tells_bytes()
{
	fresh
	gives 4194304 'j["bytes"]' copy disk mem:4M --json
	gives 524288 'j["bytes"]' zero mem:1M --length 512K --json
	gives 1572864 'j["bytes"]' zero mem:1.5M --offset 0.0K --json
	gives 4194304 'j["bytes"]' verify disk disk --json
	gives True 'j["equal"]' verify disk disk --json
	gives 0 'j["bytes"]' flush disk --json
	gives 4194304 'j["size"]' info disk --json
	gives False 'j["needs_yes_destroy_data"]' info disk --json
	[ "$("$riser" write disk --json <data | python3 -c 'import json, sys
print(json.load(sys.stdin)["bytes"])')" = 3000320 ]
}

bench_counts()
{
	gives 5000 'j["ios"]' bench mem:8M --rw=randwrite --ios=5000 --iodepth=8 --verify --json
	gives True 'j["verified"]' bench mem:8M --rw=write --bs=64K --ios=300 --verify --json
	gives True 'j["latency_ns"]["min"] <= j["latency_ns"]["p50"] <= j["latency_ns"]["p99"] <=
		j["latency_ns"]["p99.9"] <= j["latency_ns"]["max"]' \
		bench null:1T --rw=randread --ios=20000 --iodepth=32 --json
	gives 3 'j["ios"]' bench null:1T --ios=3 --iodepth=8 --json
	"$riser" bench null:1T --ios=1000 --histogram | grep -q '#####'
	says 5 'riser bench: null:1M does not hold what was written, first at byte *' \
		bench null:1M --rw=write --ios=10 --verify
}

# A name that JSON must escape, in UTF-8 and not.
strange_names()
{
	local name=$'q"uo\\te\n\xc3\xa9-\xff.img'

	truncate -s 4K "$name"
	gives "$(printf 'q"uo\\te\n\303\251-\303\277.img' | base64)" \
		'__import__("base64").b64encode(j["uri"].encode()).decode()' info "$name" --json
}

try 'what is written is what is read' writes_and_reads
try 'an offset is kept' writes_at_an_offset
try 'a slow pipe is written whole' writes_from_a_slow_pipe
try 'zero clears its range and no more' zeroes_a_range
try 'copy copies, verify agrees' copies
try 'verify finds the first difference' finds_the_first_difference
try 'trim and flush succeed' says 0 '' trim mem:1M --length 64K
try 'flush succeeds' says 0 '' flush mem:1M
try 'progress is told' progress_is_told
try 'JSON tells bytes' json_tells_bytes
try 'JSON escapes names' strange_names
try 'bench counts, verifies and finds lies' bench_counts
tap_end
