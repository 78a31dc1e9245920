#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# riser stats: what a load did, by areas and by lines.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

areas_count()
{
	truncate -s 1M disk
	gives '[64, 64, 64, 64]' '[a["reads"] for a in j["areas"]]' \
		stats --json disk --areas=4 --bs=4K --ios=256
	gives '[512, 512, 512, 512]' '[a["sectors"] for a in j["areas"]]' \
		stats --json disk --area-size=256K --ios=1
	gives '[[0, 1280, 160, 1280], [1280, 768, 96, 768]]' \
		'[[a[k] for k in ("start", "sectors", "writes", "write_sectors")] for a in j["areas"]]' \
		stats --json 'table:0 2048 linear mem:2M 0' --area-size=640K --rw=write --ios=256
}

buckets_count()
{
	gives '[[1000, 2000000], True, 0]' \
		'[j["bounds_ns"], sum(j["areas"][0]["histogram"]) == 500, j["areas"][0]["in_flight"]]' \
		stats --json mem:1M --rw=randwrite --ios=500 --iodepth=8 --histogram=1us,2ms
	"$riser" stats mem:1M --ios=10 --histogram=1.5us,1s >out
	grep -q 'mem:1M read, 4096 bytes, depth 1: 10 I/Os' out
	grep -q '<1.5us .*<1s .*more' out
	grep -q '^0+2048 ' out
	grep -q '^0 2048 linear, read: 10$' out
}

# Each I/O goes to both lines, one of which takes 2 ms.
lines_count()
{
	gives "[['delay', 20], ['zero', 20]]" '[[l["target"], l["total"]] for l in j["lines"]]' \
		stats --json $'table:0 8 delay mem:1M 0 2\n8 8 zero' --bs=8K --ios=20
	gives "[True, True]" \
		'[all(b["below_ns"] > 2000000 for b in l["latencies"]) == (l["target"] == "delay") for l in j["lines"]]' \
		stats --json $'table:0 8 delay mem:1M 0 2\n8 8 zero' --bs=8K --ios=20
}

try 'areas count' areas_count
try 'buckets count' buckets_count
try 'lines count' lines_count
refuses 2 'riser stats: --areas and --area-size exclude each other' \
	stats mem:1M --areas=2 --area-size=4K
refuses 2 'riser stats: --area-size wants a multiple of 512 bytes' stats mem:1M --area-size=100
refuses 2 'riser stats: --histogram wants up to 64 times that rise, *' \
	stats mem:1M --histogram=1ms,1us
refuses 2 'riser stats: --histogram wants up to 64 times that rise, *' stats mem:1M --histogram=1
refuses 2 'riser stats: --histogram wants up to 64 times that rise, *' stats mem:1M --histogram=
refuses 4 '*no-such*' stats no-such
refuses 2 'riser stats: --iodepth wants 1 to 4096' stats mem:1M --iodepth=0
tap_end
