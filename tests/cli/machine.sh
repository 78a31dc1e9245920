# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# For tests of the verbs that look at the machine or change its drivers: a machine of our own, see
# machine.py. Source it behind lib.sh. No root is needed.
# shellcheck disable=SC2034
need python3
tree=$scratch/tree
export RISER_HOST_ROOT=$tree RISER_HOST_TIMEOUT_MS=600
nvme=0000:01:00.0 multi=0000:02:00.0 shared=0000:03:00.0 sound=0000:03:00.1 net=0000:04:00.0
lonely=0000:05:00.0

# Cases are subshells: the kernel's pid goes by a file.
end_kernel()
{
	[ ! -e "$scratch/kernel" ] || kill "$(cat "$scratch/kernel")" 2>/dev/null || true
	rm -f "$scratch/kernel"
}
trap 'end_kernel; rm -rf "$scratch"' EXIT

# A machine as it comes up.
fresh()
{
	local word

	end_kernel
	rm -rf "$tree" ready
	mkdir "$tree"
	mkfifo ready
	python3 "$top/tests/cli/machine.py" "$tree" >ready 2>kernel.log </dev/null &
	echo $! >kernel
	read -r word <ready
	[ "$word" = ready ]
}

# What the kernel would do when asked for a module.
mkdir bin
cat >bin/modprobe <<-END
	#!/bin/sh
	[ "\$1" != -q ] || shift
	[ ! -e "$tree/no-modules" ] || exit 1
	[ ! -e "$tree/on-load" ] || . "$tree/on-load"
	echo "load \$1" >"$tree/ctl"
END
chmod +x bin/modprobe
PATH=$PWD/bin:$PATH

# driver_is BDF DRIVER: '' for none
driver_is()
{
	local got

	got=$(basename "$(readlink "$tree/sys/bus/pci/devices/$1/driver")" || true)
	[ "$got" = "$2" ] || { echo "$1 has '$got', not '$2'"; return 1; }
}

override_is()
{
	local got

	got=$(cat "$tree/sys/bus/pci/devices/$1/driver_override")
	[ "$got" = "$2" ] || { echo "the override of $1 is '$got'"; return 1; }
}

# nothing_left: no record, no service
nothing_left()
{
	! find "$tree/run/riser" "$tree/var" "$tree/etc" ! -type d 2>/dev/null | grep .
}

mounts()
{
	echo "$1" >>"$tree/proc/self/mountinfo"
}
