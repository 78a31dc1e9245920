# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2317
# The guest itself: what all the other tests rest on.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

iommu_groups()
{
	local device

	for device in "$(bdf n0)" "$(bdf n1)"; do
		ls -d "/sys/bus/pci/devices/$device/iommu_group"
	done
}

kernels_disk()
{
	local node

	node=$(disk n0)
	head -c 4096 /dev/urandom >"$scratch/block"
	dd if="$scratch/block" of="$node" oflag=direct bs=4096 status=none
	dd if="$node" iflag=direct bs=4096 count=1 status=none | cmp - "$scratch/block"
}

vfio_modules()
{
	modprobe vfio-pci && [ -e /dev/vfio/vfio ]
}

nobody_runs_riser()
{
	as_user riser version
}

modprobe nvme
try 'riser runs' riser version
try 'riser runs as anybody' nobody_runs_riser
try 'functions have IOMMU groups' iommu_groups
try "the kernel's driver has the disk" kernels_disk
try 'VFIO is there' vfio_modules
tap_end
