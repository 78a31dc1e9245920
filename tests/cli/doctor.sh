#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# riser doctor on machines made wrong on purpose: the finding, and its remedy followed as it stands.
# And riser hugepages.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/machine.sh
. "$top/tests/cli/machine.sh"

ln -s "$riser" bin/riser
printf '#!/bin/sh\nexec "$@"\n' >bin/sudo
printf '#!/bin/sh\nsed -i "\\, $1 ,d" "%s/proc/self/mountinfo"\n' "$tree" >bin/umount
chmod +x bin/sudo bin/umount

# A machine with nothing wrong: two controllers and their groups, modules loaded.
ready_machine()
{
	fresh
	for module in vfio vfio_pci vfio_iommu_type1; do
		mkdir -p "$tree/sys/module/$module"
	done
}

# finds LEVEL NAME TEXT ARG…: doctor ARG… has that line, where a * stands for anything; its remedy
# is left in the file "remedy"
finds()
{
	local code=0

	"$riser" doctor --json "${@:4}" >found || code=$?
	python3 - "$1" "$2" "$3" "$code" <<-'END'
		import fnmatch, json, sys
		level, name, text, code = sys.argv[1:]
		with open("found") as f:
		    checks = json.load(f)["checks"]
		red = any(c["level"] == "red" for c in checks)
		assert int(code) == red, f"exit code {code}, and red is {red}"
		hits = [c for c in checks if c["name"] == name and c["level"] == level
		        and fnmatch.fnmatchcase(c["text"], text)]
		assert hits, [c for c in checks if c["name"] == name]
		with open("remedy", "w") as f:
		    f.write(hits[0].get("remedy", ""))
	END
}

# cured ARG…: nothing is red any more
cured()
{
	local code=0

	"$riser" doctor "$@" >out || code=$?
	[ "$code" = 0 ] || { grep -A1 '^red' out; return 1; }
}

remedy_is()
{
	# shellcheck disable=SC2053
	[[ $(cat remedy) == $1 ]] || { echo "remedy: $(cat remedy)"; return 1; }
}

nothing_wrong()
{
	ready_machine
	cured
	grep -qx 'Ready, for real devices too.' out
	cured $nvme
	finds ok devices "$nvme nvme 144d:a808, driver nvme, IOMMU group 7, nvme0n1"
	echo 1 >"$tree/sys/bus/pci/devices/$nvme/numa_node"
	finds ok devices "$nvme nvme 144d:a808, driver nvme, IOMMU group 7, NUMA node 1, nvme0n1"
}

# The groups go, and their links.
without_iommu()
{
	ready_machine
	mv "$tree/sys/kernel/iommu_groups" "$tree/sys/kernel/off"
	rm "$tree"/sys/devices/pci*/*/iommu_group
	echo "$1" >"$tree/proc/cpuinfo"
	echo "$2" >"$tree/proc/cmdline"
	mkdir -p "$tree/sys/firmware/acpi/tables"
}

no_iommu()
{
	local red='no IOMMU groups: devices cannot be handed out safely'

	without_iommu 'vendor_id : GenuineIntel' 'ro quiet'
	finds red iommu "$red"
	remedy_is "switch VT-d on in the firmware's set-up, and add intel_iommu=on in *"
	touch "$tree/sys/firmware/acpi/tables/DMAR"
	finds red iommu "$red"
	remedy_is 'add intel_iommu=on in GRUB_CMDLINE_LINUX of /etc/default/grub, then update-grub*'
	echo 'ro amd_iommu=off quiet' >"$tree/proc/cmdline"
	finds red iommu "$red"
	remedy_is 'take amd_iommu=off away in *'
	without_iommu 'vendor_id : AuthenticAMD' quiet
	finds red iommu "$red"
	remedy_is "switch AMD-Vi, also called IOMMU or SVM, on in the firmware's set-up"
	without_iommu 'flags : sse hypervisor' quiet
	finds red iommu "$red"
	remedy_is 'give the virtual machine an IOMMU (QEMU: *'
	finds note hugepages 'none reserved; sysfs: wants them'
	mv "$tree/sys/kernel/off" "$tree/sys/kernel/iommu_groups"
	cured
}

no_controller()
{
	without_iommu 'vendor_id : GenuineIntel' quiet
	rm "$tree"/sys/bus/pci/devices/0000:0[1235]:00.0
	finds note iommu 'no IOMMU groups*'
	finds red iommu 'no IOMMU groups*' $net
}

no_module()
{
	ready_machine
	rmdir "$tree/sys/module/vfio_iommu_type1"
	finds red vfio 'module vfio_iommu_type1 is not loaded'
	remedy_is 'modprobe vfio_iommu_type1 *'
	modprobe vfio_iommu_type1
	sleep 0.2
	cured
	rmdir "$tree/sys/module/vfio_pci"
	mkdir -p "$tree/lib/modules/$(uname -r)"
	echo 'kernel/drivers/vfio/vfio.ko.xz:' >"$tree/lib/modules/$(uname -r)/modules.dep"
	finds red vfio 'module vfio-pci is not loaded'
	remedy_is 'boot a kernel that comes with it: *'
}

shared_group()
{
	ready_machine
	finds note group "$shared shares IOMMU group 9 with $sound (snd_hda_intel), *"
	finds red group "$shared shares IOMMU group 9 with *" $shared
	remedy_is "riser bind $shared $sound; or take them away: riser unbind $sound"
	bash -e -c "$(sed 's/;.*//' remedy)" >/dev/null
	cured $shared
}

disk_mounted()
{
	ready_machine
	mounts '30 22 259:9 / /home rw - ext4 /dev/nvme0n1p1 rw'
	finds note use "$nvme: nvme0n1p1 is mounted on /home"
	finds red use "$nvme: nvme0n1p1 is mounted on /home" $nvme
	remedy_is "umount '/home'"
	bash -e remedy
	cured $nvme
}

override_left()
{
	ready_machine
	echo vfio-pci >"$tree/sys/bus/pci/devices/$nvme/driver_override"
	finds red override "$nvme: driver_override says vfio-pci, and nvme has it"
	bash -e remedy >/dev/null
	cured
	"$riser" unbind $nvme >/dev/null
	finds note override "$nvme has no driver"
	bash -e remedy >/dev/null
	driver_is $nvme nvme
}

file_of_root()
{
	local somebody=nobody

	ready_machine
	"$riser" bind $nvme >/dev/null
	chmod 600 "$tree/dev/vfio/7"
	[ "$(id -u)" = 0 ] || chmod 000 "$tree/dev/vfio/7"
	finds red file "$somebody may not open /dev/vfio/7" --user $somebody
	remedy_is "sudo riser bind $nvme --user $somebody; for good: *"
	[ "$(id -u)" = 0 ] || return 0
	bash -e -c "$(sed 's/;.*//' remedy)" >/dev/null
	cured --user $somebody
	finds ok file "$somebody may open /dev/vfio/7" --user $somebody
}

in_use()
{
	ready_machine
	"$riser" bind $nvme >/dev/null
	ln -s /dev/vfio/7 "$tree/proc/4242/fd/7"
	finds note use "$nvme: vfio/7 is open in process 4242 (qemu)" $nvme
}

# As somebody whom limits bind; where root's folders are closed to others nobody can try.
memlock_low()
{
	local code=0

	ready_machine
	chmod 755 "$scratch"
	cat >drop.py <<-'END'
		import os, resource, sys
		resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
		if os.getuid() == 0:
		    os.setgid(65534)
		    os.setuid(65534)
		if not os.access(sys.argv[1], os.X_OK):
		    sys.exit(77)
		os.execv(sys.argv[1], sys.argv[1:])
	END
	python3 drop.py "$riser" doctor --json >found || code=$?
	[ "$code" != 77 ] || return 0
	[ "$code" = 1 ]
	python3 - <<-'END'
		import json
		with open("found") as f:
		    line, = [c for c in json.load(f)["checks"] if c["name"] == "memlock"]
		assert line["level"] == "red" and line["text"].startswith("only 64 KiB"), line
		assert "memlock unlimited' >/etc/security/limits.d/riser.conf" in line["remedy"], line
	END
}

# What binds who asks says nothing of another, and nothing binds root.
memlock_of_others()
{
	ready_machine
	ulimit -Sl 64
	finds note memlock '64 KiB for who asks; for nobody it shows when nobody asks' --user nobody
	finds ok memlock '64 KiB, which does not bind root' --user root
}

# reserved N FREE
reserved()
{
	local folder=$tree/sys/kernel/mm/hugepages/hugepages-2048kB

	mkdir -p "$folder"
	echo "$1" >"$folder/nr_hugepages"
	echo "$2" >"$folder/free_hugepages"
}

hugepages_noted()
{
	ready_machine
	reserved 64 64
	finds note hugepages '64 of 2 MiB, all free: 128 MiB that nobody uses'
	remedy_is 'riser hugepages 0'
	reserved 64 0
	finds note hugepages '64 of 2 MiB, none free'
	remedy_is 'riser hugepages 128'
	reserved 64 10
	finds ok hugepages '64 of 2 MiB, 10 free'
}

hugepages()
{
	ready_machine
	reserved 0 0
	mounts '40 22 0:50 / /dev/hugepages rw - hugetlbfs hugetlbfs rw,pagesize=2M'
	mkdir -p "$tree/dev/hugepages"
	gives '64 64 2097152 /dev/hugepages' \
		'*(j[k] for k in ("wanted", "reserved", "page_size", "mounted"))' \
		hugepages 64 --json --user "$(id -un)"
	says 0 '' hugepages 0
	grep -qx '0 huge pages of 2048 KiB, 0 free' out
	# What the kernel gives is what counts.
	ln -sf /dev/null "$tree/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
	says 1 'riser hugepages: 0 of 64 pages could be had: memory is short or in pieces; *' \
		hugepages 64
	echo 'MemAvailable:     131071 kB' >"$tree/proc/meminfo"
	says 1 'riser hugepages: there is memory for 63 huge pages of 2048 KiB more, and 64 are wanted' \
		hugepages 64
	says 1 'riser hugepages: this machine has no huge pages of 1048576 KiB: *' \
		hugepages 4 --size 1G
}

try 'nothing is wrong' nothing_wrong
try 'no IOMMU' no_iommu
try 'no IOMMU, and nobody who wants one' no_controller
try 'a module is missing' no_module
try 'a group is shared' shared_group
try 'a disk is mounted' disk_mounted
try 'an override was left' override_left
try "VFIO's file is another's" file_of_root
try 'who uses it' in_use
try 'too little memory may be locked' memlock_low
try 'how much memory another may lock is not known' memlock_of_others
try 'huge pages, short or left over' hugepages_noted
try 'huge pages are reserved' hugepages
fresh
refuses 2 "riser doctor: there is no user 'nobodyknows'" doctor --user nobodyknows
refuses 4 'riser doctor: there is no PCI function 0000:09:00.0 (*)' doctor 09:00.0
refuses 2 "riser hugepages: 'many' is no number of pages" hugepages many
tap_end
