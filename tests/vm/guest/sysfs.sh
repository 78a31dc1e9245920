# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# sysfs: on a kernel without an IOMMU, as root, after riser hugepages and riser unbind.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$scratch"
modprobe nvme
node=$(disk n0)
at=$(bdf n0)

fails()
{
	local code=0

	riser "${@:3}" >out 2>err || code=$?
	# shellcheck disable=SC2053
	[ "$code" = "$1" ] && [[ $(cat err) == $2 ]] || { echo "$code: $(cat out err)"; return 1; }
}

doctor_knows()
{
	riser doctor >doctor && return 1
	grep -q '^red *iommu *no IOMMU groups' doctor
	grep -A1 '^red *iommu' doctor | grep -q 'riser hugepages 64, riser unbind'
	fails 1 "riser bind: $at is behind no IOMMU, *" bind "$at"
}

driver_refused()
{
	fails 4 "riser nvme id-ctrl: $at has the driver nvme: sudo riser unbind $at takes it" \
		nvme id-ctrl "sysfs:$at"
}

no_pages()
{
	riser unbind "$at" >/dev/null
	fails 1 "riser nvme id-ctrl: sysfs: 0 huge pages of 2 MiB are free, *: sudo riser hugepages 32" \
		nvme id-ctrl "sysfs:$at"
}

pages()
{
	riser hugepages 64 >out
	grep -q '^64 huge pages of 2048 KiB, 64 free; hugetlbfs on ' out
	grep -q 'HugePages_Total: *64' /proc/meminfo
}

identify()
{
	riser nvme id-ctrl "sysfs:$at" >out 2>err
	grep -q '^sn *: n0' out
	grep -q 'the device can write to any memory' err
}

no_root()
{
	local code=0

	as_user riser nvme id-ctrl "sysfs:$at" >out 2>err || code=$?
	[ "$code" = 3 ] || { cat err; return 1; }
}

verified()
{
	local qd

	for qd in 1 32; do
		riser bench "sysfs:$at" --rw=randwrite --iodepth=$qd --ios=2000 --runtime=60 \
			--verify --yes-destroy-data >out 2>err || { cat out err; return 1; }
	done
}

# The driver's own tests but for the one that wants interrupts.
driver_tests()
{
	RISER_TEST_URI=sysfs:$at /riser/build/tests/test-nvme identify write_and_read_back \
		reads_agree many_in_flight other_commands raw_commands_leave_no_trace \
		guarded_opening_refuses_changes a_list_can_be_all_that_is_allowed \
		bad_arguments_never_reach_the_device features_and_logs reset_and_go_on \
		controllers_are_shared >tap || { cat tap; return 1; }
}

both_sides()
{
	head -c 8M /dev/urandom >a
	riser write "sysfs:$at" --yes-destroy-data <a 2>err
	riser read "sysfs:$at" --length 8M 2>err | cmp - a
	riser restore "$at" >out
	grep -qx "$at: nvme, ${node#/dev/}" out
	until_true test -b "$node"
	cmp -n 8388608 "$node" a
	head -c 8M /dev/urandom >a
	dd if=a of="$node" bs=1M oflag=direct status=none
	riser unbind "$at" >/dev/null
	riser read "sysfs:$at" --length 8M 2>err | cmp - a
}

one_process()
{
	riser bench "sysfs:$at" --runtime=60 >/dev/null 2>&1 &
	sleep 3
	fails 4 "riser nvme id-ctrl: $at is in use by process $! (riser)" nvme id-ctrl "sysfs:$at"
	fails 4 "riser restore: $at is in use: config space is open in process $! (riser)" \
		restore "$at"
	kill -9 $!
	wait $! || true
	riser nvme id-ctrl "sysfs:$at" >/dev/null 2>&1
}

given_back()
{
	riser restore "$at" >/dev/null
	until_true test -b "$node"
	grep -q 'HugePages_Free: *64' /proc/meminfo
	riser hugepages 0 >/dev/null
	grep -q 'HugePages_Total: *0' /proc/meminfo
}

try 'doctor names the IOMMU and the other way' doctor_knows
try 'a driver has it' driver_refused
try 'no huge pages' no_pages
try 'riser hugepages' pages
try 'identify, with a warning' identify
try 'who is not root is told so' no_root
try 'verified I/O' verified
try 'the tests of the driver' driver_tests
try 'the data is the same on both sides' both_sides
try 'one process at a time' one_process
try 'all is given back' given_back
tap_end
