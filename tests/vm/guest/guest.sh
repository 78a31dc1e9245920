# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# The guest itself: what all the other tests rest on.
# shellcheck source=SCRIPTDIR/../../tap.sh
. "$(dirname "$0")/../../tap.sh"

iommu_groups()
{
	local bdf

	for bdf in 0000:00:04.0 0000:00:05.0; do
		[ -e "/sys/bus/pci/devices/$bdf/iommu_group" ] || { echo "no group for $bdf"; return 1; }
	done
}

kernels_disk()
{
	modprobe nvme
	grep -q n0 /sys/class/nvme/nvme0/serial
	head -c 4096 /dev/urandom >"$scratch/block"
	dd if="$scratch/block" of=/dev/nvme0n1 oflag=direct bs=4096 status=none
	dd if=/dev/nvme0n1 iflag=direct bs=4096 count=1 status=none | cmp - "$scratch/block"
}

vfio_modules()
{
	modprobe vfio-pci && [ -e /dev/vfio/vfio ]
}

try 'riser runs' riser version
try 'functions have IOMMU groups' iommu_groups
try "the kernel's driver has the disk" kernels_disk
try 'VFIO is there' vfio_modules
tap_end
