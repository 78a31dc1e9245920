# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# riser bind, unbind, restore and doctor on this kernel's own drivers: what is refused, an
# unprivileged user on what was bound, the data on both sides, remedies followed as they stand.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$scratch"
chmod 777 .
modprobe nvme
node=$(disk n0)
at=$(bdf n0)
block=${node#/dev/}

# says CODE SENTENCE ARG…: riser ARG… ends so, and tells in one line where a * is anything
says()
{
	local code=0

	riser "${@:3}" >out 2>err || code=$?
	# shellcheck disable=SC2053
	[ "$code" = "$1" ] && [[ $(cat err) == $2 ]] || { echo "$code: $(cat out err)"; return 1; }
}

driver_is()
{
	local got

	got=$(basename "$(readlink "/sys/bus/pci/devices/$at/driver")" || true)
	[ "$got" = "$1" ] || { echo "$at has '$got', not '$1'"; return 1; }
}

stays()
{
	says 4 "riser bind: $at is in use: $1" bind "$at"
	driver_is nvme
}

mounted()
{
	mkfs.ext4 -q "$node"
	mkdir -p mnt
	mount "$node" mnt
	stays "$block is mounted on $scratch/mnt"
	riser doctor "$at" >doctor || true
	grep -A1 "^red *use" doctor | sed -n 's/ *remedy: //p' >remedy
	bash -e remedy
	riser bind "$at" --dry-run >/dev/null
}

# Nobody here sees that mount; the kernel does.
mounted_elsewhere()
{
	unshare -m --propagation private bash -c "mount $node mnt; echo >up; exec sleep 20" &
	until_true test -e up
	rm up
	stays "$block is claimed by the kernel or a program for itself alone"
	kill $!
	wait $! || true
	until_true riser bind "$at" --dry-run
}

swapped()
{
	mkswap "$node" >/dev/null
	swapon "$node"
	stays "the system swaps on $block"
	swapoff "$node"
}

held()
{
	dmsetup create held --table "0 2048 linear $node 0"
	stays "$block is held by dm-* (held)*"
	dmsetup remove held
}

opened()
{
	sleep 60 <"$node" &
	stays "$block is open in process $! (sleep)"
	kill $!
	wait $! || true
}

no_root()
{
	local code=0

	as_user riser bind "$at" >out 2>err || code=$?
	[ "$code" = 3 ]
	grep -q 'only root may change drivers: run this with sudo' err
	as_user riser bind "$at" --dry-run >/dev/null
}

# What the kernel wrote, an unprivileged user reads by riser, and the reverse.
for_a_user()
{
	head -c 1M /dev/urandom >a
	head -c 1M /dev/urandom >b
	dd if=a of="$node" bs=1M oflag=direct status=none
	says 0 '' bind "$at" --user 1000
	driver_is vfio-pci
	[ "$(cat "/run/riser/bind/$at")" = nvme ]
	chmod 644 b
	as_user riser nvme id-ctrl "pci:$at" >/dev/null
	as_user riser read "pci:$at" --length 1M | cmp - a
	as_user riser write "pci:$at" --offset 1M --yes-destroy-data <b
	says 0 '' restore "$at"
	grep -qx "$at: nvme, $block" out
	driver_is nvme
	cmp -n 1048576 "$node" a
	dd if="$node" bs=1M skip=1 count=1 iflag=direct status=none | cmp - b
}

in_use()
{
	says 0 '' bind "$at"
	riser bench "pci:$at" --runtime=60 >/dev/null &
	sleep 3
	says 4 "riser restore: $at is in use: * is open in process $! (riser)*" restore "$at"
	kill -9 $!
	wait $! || true
	says 0 '' restore "$at"
	driver_is nvme
}

no_record()
{
	says 0 '' unbind "$at"
	driver_is ''
	rm -r /run/riser
	says 0 '' restore "$at"
	driver_is nvme
	until_true test -b "$node"
}

many_times()
{
	local _

	for _ in {1..10}; do
		riser bind "$at" >/dev/null
		riser restore "$at" >out
		grep -qx "$at: nvme, $block" out
	done
}

override_left()
{
	echo vfio-pci >"/sys/bus/pci/devices/$at/driver_override"
	riser doctor >doctor && return 1
	grep -A1 '^red *override' doctor | sed -n 's/ *remedy: //p' >remedy
	[ "$(cat remedy)" = "riser restore $at" ]
	bash -e remedy >/dev/null
	riser doctor "$at" >/dev/null
}

module_missing()
{
	modprobe vfio_iommu_type1
	rmmod vfio_iommu_type1
	riser doctor >doctor && return 1
	grep -A1 '^red *vfio *module vfio_iommu_type1' doctor | sed -n 's/ *remedy: //p' >remedy
	bash -e -c "$(sed 's/(.*//' remedy)"
	riser doctor "$at"
}

no_permission()
{
	says 0 '' bind "$at"
	riser doctor "$at" --user nobody >doctor && return 1
	grep -A1 '^red *file' doctor | sed -n 's/ *remedy: sudo //p' | sed 's/;.*//' >remedy
	bash -e remedy >/dev/null
	riser doctor "$at" --user nobody >/dev/null
	says 0 '' restore "$at"
}

# Two functions of one group go together or not at all.
shared_group()
{
	local one two

	one=$(bdf n5)
	two=$(bdf n6)
	says 4 "riser bind: $one shares IOMMU group * with $two (nvme)*riser bind $one $two)*" \
		bind "$one"
	riser doctor "$one" >doctor && return 1
	grep -A1 '^red *group' doctor | sed -n 's/ *remedy: //p' | sed 's/;.*//' >remedy
	[ "$(cat remedy)" = "riser bind $one $two" ]
	bash -e remedy >/dev/null
	riser nvme id-ctrl "pci:$one" >/dev/null
	says 0 '' restore "$one" "$two"
	disk n5 >/dev/null
	disk n6 >/dev/null
}

# A shell that may lock little, and what sudo in the remedy would do to it.
memlock_low()
{
	prlimit --memlock=65536:65536 setpriv --reuid=1000 --regid=1000 --clear-groups \
		bash -c 'riser doctor >doctor.user; echo $? >code; echo $$ >pid; sleep 60' &
	until_true test -s pid
	[ "$(cat code)" = 1 ]
	grep -A1 '^red *memlock *only 64 KiB' doctor.user | grep -q 'sudo prlimit --pid \$\$'
	prlimit --pid "$(cat pid)" --memlock=unlimited
	grep -q '^Max locked memory *unlimited' "/proc/$(cat pid)/limits"
	kill "$(cat pid)"
	wait $! || true
}

try 'a mounted disk stays, and the remedy works' mounted
try 'a disk that is mounted in another namespace stays' mounted_elsewhere
try 'a disk that is swapped on stays' swapped
try 'a disk that is held stays' held
try 'a disk that is open stays' opened
try 'who is not root is told so' no_root
try 'bound for a user, and back' for_a_user
try 'restore waits for no process' in_use
try 'restore without a record' no_record
try 'ten times there and back' many_times
try 'doctor: an override was left' override_left
try 'doctor: a module is missing' module_missing
try 'doctor: no permission' no_permission
try 'doctor: too little memory may be locked' memlock_low
if controller n5 >/dev/null 2>&1; then
	try 'doctor: a shared group' shared_group
fi
tap_end
