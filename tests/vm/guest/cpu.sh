# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2317
# What a random read of 4 KiB costs the guest's processors: fio on io_uring and the kernel's driver
# against riser bench, in turns, on one disk. Prints figures, and asserts only that there are some:
# on a machine with something else to do they say little.
#
# A processor's time is what /proc/stat does not call idle, in a window while the program runs; how
# many reads that was for, the program's own rate tells. RISER_VM_ROUNDS is how often, 3 unless told.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
exec 4>&1 # past "try", which keeps what a case says
modprobe -a nvme vfio-pci
bdf=$(bdf n0)

# How long all processors were idle, and how long they were there, in seconds
idle()
{
	awk -v hz="$(getconf CLK_TCK)" -v n="$(nproc)" '
		FILENAME == "/proc/uptime" { up = $1 * n }
		$1 == "cpu" { idle = ($5 + $6) / hz }
		END { print idle, up }' /proc/stat /proc/uptime
}

# cost COMMAND…: of one I/O in microseconds; COMMAND runs for $runtime seconds and prints its rate
cost()
{
	local before after rate pid

	"$@" >"$scratch/rate" &
	pid=$!
	sleep 4
	before=$(idle)
	sleep 4
	after=$(idle)
	wait "$pid"
	rate=$(cat "$scratch/rate")
	echo "$before $after $rate" | awk '{ print ($4 - $2 - ($3 - $1)) * 1e6 / (($4 - $2) / n * $5) }' \
		n="$(nproc)"
}

kernel()
{
	fio --name=x --filename="$(disk n0)" --readonly --ioengine=io_uring --direct=1 \
		--rw=randread --bs=4k --iodepth="$depth" --time_based --runtime="$runtime" \
		--output-format=json | python3 -c 'import json, sys
print(json.load(sys.stdin)["jobs"][0]["read"]["iops"])'
}

with_riser()
{
	riser bench "$1" --rw=randread --bs=4K --iodepth="$depth" --runtime="$runtime" --json |
		python3 -c 'import json, sys
print(json.load(sys.stdin)["iops"])'
}

# The middle one of the figures in the file
median()
{
	sort -n "$1" | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'
}

figure()
{
	local peer value

	value=$(median "$scratch/$1") peer=$(median "$scratch/kernel")
	awk -v name="CPU per 4 KiB read, queue depth $depth, $1" -v value="$value" -v peer="$peer" \
		'BEGIN { printf "{\"name\": \"%s\", \"value\": %.1f, \"unit\": \"us\", \"peer\": %.1f, " \
			"\"ratio\": %.2f}\n", name, value, peer, value / peer }'
}

compare()
{
	local round

	depth=$1 runtime=10
	rm -f "$scratch"/{kernel,adaptive,polled}
	for ((round = 0; round < ${RISER_VM_ROUNDS-3}; round++)); do
		cost kernel >>"$scratch/kernel"
		riser bind "$bdf" >&2
		cost with_riser "pci:$bdf?irq=1" >>"$scratch/adaptive"
		cost with_riser "pci:$bdf" >>"$scratch/polled"
		riser restore "$bdf" >&2
	done
	{ figure adaptive; figure polled; } >&4
}

try 'figures at queue depth 32' compare 32
try 'figures at queue depth 1' compare 1
tap_end
