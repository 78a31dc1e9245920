# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2317
# Stacks over NBD to the kernel's client, with a file system on them.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

# published TABLE: as /dev/nbd0, while the last of "unpublished" did not come
published()
{
	riser publish "table:$1" nbd: --socket "$scratch/socket" --yes-destroy-data >&2 &
	publisher=$!
	until_true test -S "$scratch/socket"
	nbd-client -N '' -u "$scratch/socket" /dev/nbd0 >&2
}

unpublished()
{
	nbd-client -d /dev/nbd0 >&2
	kill -TERM "$publisher"
	wait "$publisher"
}

files()
{
	mkdir "$scratch/mounted/dir"
	for i in {1..12}; do
		head -c $((i * 5000)) /dev/urandom >"$scratch/mounted/dir/$i"
	done
	(cd "$scratch/mounted" && sha256sum dir/* >sums)
}

# Made, written, unmounted, checked, and read by a kernel that has forgotten all of it
file_system()
{
	mkdir -p "$scratch/mounted"
	published "$1"
	mkfs.ext4 -q -F -E lazy_itable_init=0 /dev/nbd0
	mount /dev/nbd0 "$scratch/mounted"
	files
	umount "$scratch/mounted"
	e2fsck -fn /dev/nbd0
	unpublished
	published "$1"
	mount -r /dev/nbd0 "$scratch/mounted"
	(cd "$scratch/mounted" && sha256sum --quiet -c sums)
	umount "$scratch/mounted"
	unpublished
}

on_files()
{
	truncate -s 32M "$scratch/a" "$scratch/b"
	file_system "0 131072 striped 2 128 file:$scratch/a 0 file:$scratch/b 0"
}

on_controllers()
{
	local a b

	a=$(bdf n0) b=$(bdf n1)
	riser bind "$a" "$b"
	file_system "0 131072 striped 2 128 pci:$a 0 pci:$b 0"
	riser restore "$a" "$b"
}

# What riser wrote through its stripes, the kernel reads through its own, from the kernel's disks.
to_kernels_dm()
{
	echo "0 131072 striped 2 128 $(disk n0) 0 $(disk n1) 0" | dmsetup create stripes
	mount -r /dev/mapper/stripes "$scratch/mounted"
	(cd "$scratch/mounted" && sha256sum --quiet -c sums)
	umount "$scratch/mounted"
	dmsetup remove stripes
}

modprobe -a nbd ext4 nvme vfio-pci dm-mod
try 'ext4 on stripes over two files' on_files
try 'ext4 on stripes over two controllers' on_controllers
try "the kernel's stripes over its own disks hold the same" to_kernels_dm
tap_end
