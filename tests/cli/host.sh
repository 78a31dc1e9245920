#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The verbs that change drivers, on a machine and a kernel of our own (machine.py): what is
# refused, what is taken back, what is left behind. No root is needed.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/machine.sh
. "$top/tests/cli/machine.sh"

# stays BDF SENTENCE: bind and unbind refuse it so, and nothing is touched
stays()
{
	says 4 "riser bind: $2" bind "$1"
	says 4 "riser unbind: $2" unbind "$1"
	driver_is "$1" nvme
	override_is "$1" '(null)'
	nothing_left
}

bind_and_restore()
{
	fresh
	says 0 '' bind $nvme --user "$(id -u)"
	driver_is $nvme vfio-pci
	override_is $nvme vfio-pci
	[ -e "$tree/sys/module/vfio_iommu_type1" ]
	[ "$(cat "$tree/run/riser/bind/$nvme")" = nvme ]
	[ "$(stat -c %a "$tree/dev/vfio/7")" = 600 ]
	grep -qx "$nvme: vfio-pci, /dev/vfio/7: riser nvme id-ctrl pci:$nvme" out
	says 0 '' bind $nvme
	says 0 '' restore $nvme
	grep -qx "$nvme: nvme, nvme0n1" out
	driver_is $nvme nvme
	override_is $nvme ''
	nothing_left
}

# Root acts on what is written there.
written_by_root_alone()
{
	fresh
	umask 0
	says 0 '' bind $nvme --persist
	[ "$(stat -c %a "$tree/run/riser/bind/$nvme")" = 644 ]
	[ "$(stat -c %a "$tree/var/lib/riser/bind/$nvme")" = 644 ]
	[ "$(stat -c %a "$tree/etc/systemd/system/riser-bind-$nvme.service")" = 644 ]
	[ "$(stat -c %a "$tree/run/riser/bind" "$tree/run/riser" | sort -u)" = 755 ]
}

dry_run()
{
	fresh
	gives "['load', 'load', 'record', 'unused', 'write', 'expect', 'write', 'write', 'expect'] False nvme" \
		'[s["do"] for s in j["plan"]], j["run"], j["functions"][0]["driver"]' \
		bind $nvme --dry-run --json 2>&1 || true
	says 0 '' bind $nvme --dry-run
	grep -qx "  write vfio-pci to /sys/bus/pci/devices/$nvme/driver_override" out
	grep -qx 'not done (--dry-run)' out
	driver_is $nvme nvme
	nothing_left
}

group_access()
{
	fresh
	says 0 '' bind $nvme --group "$(id -g)" --user "$(id -un)"
	[ "$(stat -c %a:%g "$tree/dev/vfio/7")" = "660:$(id -g)" ]
}

unbind_and_restore()
{
	fresh
	says 0 '' unbind $nvme
	driver_is $nvme ''
	[ "$(cat "$tree/run/riser/bind/$nvme")" = nvme ]
	says 0 '' restore $nvme
	driver_is $nvme nvme
	nothing_left
	# By way of vfio-pci the first driver is remembered, not that.
	says 0 '' bind $nvme
	says 0 '' unbind $nvme
	override_is $nvme ''
	[ "$(cat "$tree/run/riser/bind/$nvme")" = nvme ]
	says 0 '' restore $nvme
	driver_is $nvme nvme
}

# Where nothing is to be done nobody has to be root for it.
nothing_to_restore()
{
	fresh
	rm "$tree/sys/bus/pci/drivers_probe"
	says 0 '' restore $nvme
	says 0 '' restore $nvme --dry-run
	[ "$(cat out)" = "  nothing is to be done
$nvme: nvme, nvme0n1" ]
	gives "[] ['nvme0n1']" '(str(j["plan"]) + " " + str(j["functions"][0]["disks"]))' \
		restore $nvme --json
}

restore_without_record()
{
	fresh
	says 0 '' bind $nvme
	rm -r "$tree/run/riser"
	says 0 '' restore $nvme
	driver_is $nvme nvme
	override_is $nvme ''
}

leftover_override()
{
	fresh
	echo vfio-pci >"$tree/sys/bus/pci/devices/$nvme/driver_override"
	"$riser" list | grep -q 'its driver_override says vfio-pci'
	says 0 '' restore $nvme
	driver_is $nvme nvme
	override_is $nvme ''
}

several_at_once()
{
	fresh
	says 4 "riser bind: $shared shares IOMMU group 9 with $sound (snd_hda_intel), which *riser bind $shared $sound*riser unbind $sound)" \
		bind $shared
	driver_is $shared nvme
	says 0 '' bind $shared $sound
	driver_is $shared vfio-pci
	driver_is $sound vfio-pci
	driver_is 0000:00:01.0 pcieport
	says 0 '' restore $shared $sound
	driver_is $shared nvme
	driver_is $sound snd_hda_intel
	# Without a driver it is in nobody's way.
	says 0 '' unbind $sound
	says 0 '' bind $shared
}

mounted()
{
	fresh
	mounts '30 22 259:9 / /home/a\040b rw - ext4 /dev/nvme0n1p1 rw'
	stays $nvme "$nvme is in use: nvme0n1p1 is mounted on /home/a b"
}

# A file system such as btrfs has a number of its own, and a path that may be a link.
mounted_by_name()
{
	fresh
	mkdir -p "$tree/dev/disk"
	touch "$tree/dev/nvme0n1p2"
	ln -s ../nvme0n1p2 "$tree/dev/disk/data"
	mounts '30 22 0:45 /sub /srv rw shared:1 - btrfs /dev/disk/data rw'
	stays $nvme "$nvme is in use: nvme0n1p2 is mounted on /srv"
}

# Mounted between the look that the plan begins with and the moment that it is taken away.
mounted_meanwhile()
{
	fresh
	# shellcheck disable=SC2016
	echo 'echo "30 22 259:9 / /late rw - ext4 /dev/nvme0n1p1 rw" >>"$RISER_HOST_ROOT/proc/self/mountinfo"' \
		>"$tree/on-load"
	says 4 "riser bind: $nvme is in use: nvme0n1p1 is mounted on /late" bind $nvme
	driver_is $nvme nvme
	override_is $nvme '(null)'
	nothing_left
}

root()
{
	fresh
	ln -s "$tree/sys/devices/virtual/block/dm-0" \
		"$tree/sys/class/block/nvme0n1p2/holders/dm-0"
	mounts '23 1 253:0 / / rw - ext4 /dev/mapper/vg-root rw'
	stays $nvme "$nvme is in use: nvme0n1p2 is held by dm-0 (vg-root), and 1 use more"
	"$riser" list | grep -q 'nvme0n1p2, dm-0 (vg-root) carries the root of this system'
}

swap()
{
	fresh
	echo '/dev/nvme0n1p1 partition 1024 0 -2' >>"$tree/proc/swaps"
	stays $nvme "$nvme is in use: the system swaps on nvme0n1p1"
}

head_mounted()
{
	fresh
	mounts '30 22 259:101 / /mnt rw - ext4 /dev/nvme1n1p1 rw'
	stays $multi "$multi is in use: nvme1n1p1 is mounted on /mnt"
}

opened()
{
	fresh
	ln -s /dev/nvme0n1 "$tree/proc/4242/fd/7"
	stays $nvme "$nvme is in use: nvme0n1 is open in process 4242 (qemu)"
}

# By another name, as in a container, which has the same number.
opened_elsewhere()
{
	fresh
	ln -s /dev/zero "$tree/dev/nvme0n1"
	ln -s /dev/full "$tree/proc/4242/fd/6"
	says 0 '' unbind $nvme
	says 0 '' restore $nvme
	ln -s /dev/./zero "$tree/proc/4242/fd/7"
	stays $nvme "$nvme is in use: nvme0n1 is open in process 4242 (qemu)"
}

# A loop device is no holder, and claims nothing.
loop()
{
	fresh
	mkdir -p "$tree/sys/class/block/loop3/loop" "$tree/sys/class/block/loop4/loop"
	echo /home/file >"$tree/sys/class/block/loop4/loop/backing_file"
	echo /dev/nvme0n1p2 >"$tree/sys/class/block/loop3/loop/backing_file"
	echo 7:3 >"$tree/sys/class/block/loop3/dev"
	mounts '30 22 7:3 / /mnt rw - ext4 /dev/loop3 rw'
	stays $nvme "$nvme is in use: nvme0n1p2 is held by loop3, and 1 use more"
	says 1 '' doctor $nvme
	grep -q 'remedy: losetup -d /dev/loop3' out
}

# Another driver of user space has it, which came by uio.
uio()
{
	fresh
	mkdir -p "$tree/sys/devices/pci0000:00/$nvme/uio/uio5" "$tree/sys/class/uio"
	ln -s "$tree/sys/devices/pci0000:00/$nvme/uio/uio5" "$tree/sys/class/uio/uio5"
	ln -s /dev/uio5 "$tree/proc/4242/fd/7"
	stays $nvme "$nvme is in use: uio5 is open in process 4242 (qemu)"
}

# What cannot be seen whole is not taken to be unused.
unseen()
{
	fresh
	python3 - "$tree/sys/class/block" <<-END
		import os, sys
		for i in range(3, 300):
		    os.symlink("nvme0n1p1", f"{sys.argv[1]}/nvme0n1p{i}")
	END
	stays $nvme "$nvme is in use: not all that $nvme has could be looked at"
}

net_up()
{
	fresh
	echo 0x1003 >"$tree/sys/class/net/eth0/flags"
	says 4 "riser bind: $net is in use: the network interface eth0 is up" bind $net
	echo 0x1002 >"$tree/sys/class/net/eth0/flags"
	says 0 '' bind $net
	says 0 '' restore $net
	driver_is $net virtio-pci
}

# The process that uses vfio-pci's file must go first: the kernel would wait for it.
restore_in_use()
{
	fresh
	says 0 '' bind $nvme
	ln -s /dev/vfio/7 "$tree/proc/4242/fd/7"
	says 4 "riser restore: $nvme is in use: vfio/7 is open in process 4242 (qemu)" restore $nvme
	driver_is $nvme vfio-pci
	rm "$tree/proc/4242/fd/7"
	says 0 '' restore $nvme
}

deaf_driver()
{
	fresh
	echo "deaf $nvme vfio-pci" >"$tree/ctl"
	says 1 "riser bind: $nvme was to get vfio-pci, and has no driver after 600 ms (see dmesg); taken back: $nvme has nvme again" \
		bind $nvme
	driver_is $nvme nvme
	override_is $nvme ''
	nothing_left
}

# The second of two fails: the first is given back too.
both_taken_back()
{
	fresh
	echo "deaf $sound vfio-pci" >"$tree/ctl"
	says 1 "riser bind: $sound was to get*; taken back: $sound has snd_hda_intel again; taken back: $shared has nvme again" \
		bind $shared $sound
	driver_is $shared nvme
	driver_is $sound snd_hda_intel
	override_is $shared ''
	nothing_left
}

# A signal does not leave half of it done.
told_to_end()
{
	fresh
	# shellcheck disable=SC2016
	echo 'kill $PPID' >"$tree/on-load"
	says 143 '' bind $nvme
	driver_is $nvme vfio-pci
	[ "$(cat "$tree/run/riser/bind/$nvme")" = nvme ]
}

# A write that fails, at each file that is written.
write_fails()
{
	fresh
	says 0 '' unbind $nvme
	ln -sf /dev/full "$tree/sys/bus/pci/devices/$nvme/driver_override"
	says 1 "riser bind: 'vfio-pci' cannot be written to /sys/bus/pci/devices/$nvme/driver_override: No space left on device; taken back: $nvme has no driver again" \
		bind $nvme
	fresh
	rm "$tree/sys/bus/pci/drivers/nvme/unbind"
	ln -s /dev/full "$tree/sys/bus/pci/drivers/nvme/unbind"
	says 1 "riser bind: '$nvme' cannot be written to */nvme/unbind: *; taken back: $nvme has nvme again" \
		bind $nvme
	nothing_left
}

# Nobody answers any more: the record stays, and restore finishes what is left.
cannot_take_back()
{
	fresh
	rm "$tree/sys/bus/pci/drivers_probe"
	ln -s /dev/full "$tree/sys/bus/pci/drivers_probe"
	says 1 "riser bind: '$nvme' cannot be written to */drivers_probe: *; $nvme could not be given back: riser restore $nvme" \
		bind $nvme
	driver_is $nvme ''
	[ "$(cat "$tree/run/riser/bind/$nvme")" = nvme ]
}

no_module()
{
	fresh
	touch "$tree/no-modules"
	says 4 "riser bind: the module vfio-pci cannot be loaded ('modprobe vfio-pci' says why)*" \
		bind $nvme
	driver_is $nvme nvme
	nothing_left
}

persist()
{
	local unit=$tree/etc/systemd/system/riser-bind-$nvme.service

	fresh
	says 0 '' bind $nvme --persist --user "$(id -un)"
	grep -qx "ExecStart=$(realpath "$riser") bind $nvme --user=$(id -un)" "$unit"
	grep -qx "ExecCondition=grep -qx PCI_ID=144D:A808 /sys/bus/pci/devices/$nvme/uevent" "$unit"
	[ -e "$tree/etc/systemd/system/multi-user.target.wants/riser-bind-$nvme.service" ]
	# After a start of the system the record of this run is gone.
	rm -r "$tree/run/riser"
	says 0 '' restore $nvme
	driver_is $nvme nvme
	nothing_left
	rm -r "$tree/run/systemd"
	says 1 'riser bind: --persist writes a service for systemd, which does not run here: *' \
		bind $nvme --persist
	driver_is $nvme nvme
}

list_knows()
{
	fresh
	gives "['0000:01:00.0', '0000:02:00.0', '0000:03:00.0', '0000:04:00.0', '0000:05:00.0']" \
		'[p["address"] for p in j["pci"]]' list --json
	gives "['nvme0n1'] ['nvme1n1']" '*(p["disks"] for p in j["pci"][:2])' list --json
	gives "nvme nvme 7 None" \
		'*(j["pci"][0][k] for k in ("kind", "driver", "iommu_group", "driver_override"))' \
		list --json
	"$riser" list >out
	if grep ' $' out; then return 1; fi
	grep -q "its group has also 0000:00:01.0 (pcieport), $sound (snd_hda_intel)" out
}

try 'bind and restore' bind_and_restore
try 'nobody else may write what is left' written_by_root_alone
try 'a plan that is only shown' dry_run
try 'a group may open it too' group_access
try 'unbind and restore' unbind_and_restore
try 'restore where nothing is to be done' nothing_to_restore
try 'restore when the record is gone' restore_without_record
try 'restore clears an override that was left' leftover_override
try 'a group is bound together or not at all' several_at_once
try 'what is mounted stays' mounted
try 'what is mounted by name stays' mounted_by_name
try 'what is mounted meanwhile stays' mounted_meanwhile
try 'what carries the root stays' root
try 'what is swapped on stays' swap
try 'a namespace of several paths stays when its head is mounted' head_mounted
try 'what a process has open stays' opened
try 'what a process has open by another name stays' opened_elsewhere
try 'what a loop device lies on stays' loop
try 'what a driver in user space has open stays' uio
try 'what cannot be seen whole stays' unseen
try 'a network interface that is up stays' net_up
try 'restore waits for no process' restore_in_use
try 'a driver that does not take it: all is taken back' deaf_driver
try 'of two functions both are taken back' both_taken_back
try 'a write that fails: all is taken back' write_fails
try 'a signal in the middle' told_to_end
try 'what cannot be taken back keeps its record' cannot_take_back
try 'a module that is missing' no_module
try 'persist, and restore ends it' persist
try 'list knows drivers, groups, disks and uses' list_knows
fresh
refuses 4 "riser bind: there is no PCI function 0000:09:00.0 (*)" bind 09:00.0
export RISER_HOST_ROOT
RISER_HOST_ROOT=/$(printf '%05000d' 0)
refuses 1 "riser list: the machine's root is longer than 255 bytes" list
refuses 1 'riser hugepages: this machine has no huge pages of 2048 KiB: *' hugepages 1
RISER_HOST_ROOT=$tree
refuses 2 "riser restore: '01:00' is no address of a PCI function, such as *" restore 01:00
refuses 2 "riser unbind: $nvme is named twice" unbind 01:00.0 pci:$nvme
refuses 2 "riser bind: there is no user 'nobodyknows'" bind $nvme --user nobodyknows
refuses 2 'riser bind: missing argument BDF… (riser bind BDF…)' bind
refuses 1 "riser bind: $lonely is behind no IOMMU, *" bind $lonely
tap_end
