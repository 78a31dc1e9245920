#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The command starts small: few system calls, little memory. Time is for the benchmarks.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

system_calls()
{
	local n

	strace -f -o trace "$riser" nvme id-ctrl model:nvme >/dev/null
	n=$(grep -c '(' trace)
	[ "$n" -le 250 ] || { echo "$n system calls"; return 1; }
}

resident()
{
	local kib

	kib=$(python3 -c 'import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' "$riser" nvme id-ctrl model:nvme)
	[ "$kib" -le 16384 ] || { echo "$kib KiB"; return 1; }
}

no_files_but_libraries()
{
	! grep -E 'open(at)?\(.*(locale|gconv)' trace
}

name='at most 250 system calls'
if have strace "$name"; then
	try "$name" system_calls
	try 'no locale is loaded' no_files_but_libraries
fi
try 'at most 16 MiB resident' resident
tap_end
