# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2317
# riser run --give-back: however the program ends, the kernel has its disk again, and what was on it.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
modprobe nvme
n0=$(bdf n0)
half=$((128 * 2048))
lower="table:0 $half linear pci:$n0 0"
upper="table:0 $half linear pci:$n0 $half"
rounds=${RISER_VM_KILLS-20}

driver()
{
	basename "$(readlink "/sys/bus/pci/devices/$n0/driver")"
}

# The kernel's view of the first 4 MiB, from the device itself.
lower_sum()
{
	dd if="$(disk n0)" bs=1M count=4 iflag=direct status=none | md5sum
}

# back: the kernel has it, nothing is left, and the data is as it was
back()
{
	[ "$(driver)" = nvme ] || { echo "$n0 has $(driver)"; return 1; }
	[ "$(cat "/sys/bus/pci/devices/$n0/driver_override")" = '(null)' ] ||
		[ -z "$(cat "/sys/bus/pci/devices/$n0/driver_override")" ]
	! find /run/riser -type f | grep . || return 1
	[ "$(lower_sum)" = "$sum" ] || { echo 'the data is not what it was'; return 1; }
}

# ends STATUS ARG…: riser run --give-back BDF ARG… ends so
ends()
{
	local want=$1 status=0

	shift
	riser run --give-back "$n0" "$@" || status=$?
	[ "$status" = "$want" ] || { echo "status $status, not $want"; return 1; }
}

by_itself()
{
	ends 0 -- riser nvme id-ctrl "pci:$n0"
	back
}

with_a_status()
{
	ends 7 -- sh -c "riser read '$lower' --length 1M >/dev/null && exit 7"
	back
}

not_at_all()
{
	ends 127 -- no-such-program
	back
}

# He can do I/O, and nothing but that.
as_another_user()
{
	# shellcheck disable=SC2016
	ends 0 --user nobody -- sh -c '[ "$(id -un)" = nobody ] && riser nvme identify --pci '"$n0"
	back
}

# writer: in the background; $supervisor supervises it, its own pid is in $scratch/pid, and it has
# written for some time when this returns
writer()
{
	local _

	rm -f "$scratch/pid"
	# shellcheck disable=SC2016
	riser run --give-back "$n0" -- sh -c '
		if [ ! -e "$1/data" ]; then
			head -c 1M /dev/urandom >"$1/data"
			riser write "$2" <"$1/data" --yes-destroy-data || exit 1
		fi
		echo $$ >"$1/pid"
		exec riser bench "$3" --rw=randwrite --iodepth=32 --runtime=300 --yes-destroy-data' \
		- "$scratch" "$upper" "table:0 $((half - 2048)) linear pci:$n0 $((half + 2048))" \
		>"$scratch/writer" 2>&1 &
	supervisor=$!
	until_true test -s "$scratch/pid" || { cat "$scratch/writer"; return 1; }
	until_true grep -qs '^bench\|^riser' "/proc/$(cat "$scratch/pid")/comm"
	sleep "0.$((RANDOM % 9 + 1))"
	[ "$(driver)" = vfio-pci ]
}

# What the first program had made durable is there, by the kernel.
durable()
{
	dd if="$(disk n0)" bs=1M skip=128 count=1 iflag=direct status=none | cmp - "$scratch/data"
}

killed()
{
	local i status

	for ((i = 0; i < rounds; i++)); do
		writer
		kill -9 "$(cat "$scratch/pid")"
		status=0
		wait $supervisor || status=$?
		[ $status = 137 ] || { cat "$scratch/writer"; echo "round $i: status $status"; return 1; }
		back
		durable
		echo "# $((i + 1)) of $rounds" >&3 # who runs this waits only so long without a word
	done
}

signals_are_passed_on()
{
	local status=0

	writer
	kill -TERM $supervisor
	wait $supervisor || status=$?
	[ $status = 143 ] || { cat "$scratch/writer"; echo "status $status"; return 1; }
	back
	durable
}

# Within 64 MiB: the kernel kills what wants more. What is left of the program has the device open.
out_of_memory()
{
	local group=/sys/fs/cgroup

	mkdir -p $group
	mount -t cgroup2 none $group
	echo +memory >$group/cgroup.subtree_control
	mkdir $group/small
	echo 64M >$group/small/memory.max
	# shellcheck disable=SC2016
	ends 137 -- sh -c '
		echo $$ >"$1/cgroup.procs"
		riser bench "$2" --rw=randread --runtime=300 >/dev/null &
		sleep 1
		tail /dev/zero' - $group/small "$upper"
	dmesg | grep -q 'Memory cgroup out of memory: Killed process [0-9]* (tail)'
	back
}

supervisor_killed()
{
	local status=0

	writer
	kill -9 $supervisor
	wait $supervisor || true
	[ "$(driver)" = vfio-pci ]
	until_true test ! -e "/proc/$(cat "$scratch/pid")"
	riser restore
	back
	durable
}

supervised()
{
	local status=0 said

	writer
	said=$(riser restore "$n0" 2>&1) || status=$?
	echo "$said"
	[ $status = 4 ] && [[ $said == *"supervised by riser run, pid $supervisor (sh)"* ]]
	kill -TERM $supervisor
	wait $supervisor || true
	back
}

# Somebody else has it open: he is named, and nothing is done to him.
held_by_others()
{
	local status=0 said holder

	riser bind "$n0" >/dev/null
	sleep 1000 <>"/dev/vfio/$(basename "$(readlink "/sys/bus/pci/devices/$n0/iommu_group")")" &
	holder=$!
	said=$(riser run --give-back "$n0" --grace 2 -- true 2>&1) || status=$?
	echo "$said"
	[ $status = 4 ] && [[ $said == *"is open in process $holder (sleep); end it"* ]]
	kill $holder
	wait $holder || true
	riser restore "$n0"
	back
}

# With a user's own controller: the driver's tests, which write nothing, and a report.
hardware()
{
	ends 0 -- env RISER_TEST_PCI="$n0" RISER_TEST_REPORT="$scratch/report" \
		/riser/source/tests/hardware/run /riser/build/tests/test-nvme "$(command -v riser)"
	grep -q '^IOMMU group: [0-9]' "$scratch/report"
	grep -qx 'status 0' "$scratch/report"
	back
}

head -c 4M /dev/urandom | dd of="$(disk n0)" bs=1M iflag=fullblock oflag=direct status=none
sum=$(lower_sum)
try 'a program that ends' by_itself
try 'a program that fails' with_a_status
try 'a program that is not there' not_at_all
try "as another user" as_another_user
try 'signals are passed on' signals_are_passed_on
try "kill -9 with I/O in flight, $rounds times" killed
try 'out of memory' out_of_memory
try 'kill -9 of the supervisor' supervisor_killed
try 'while the supervisor lives' supervised
try 'somebody else has it open' held_by_others
try "the suite for a user's controller" hardware
tap_end
