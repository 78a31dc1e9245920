# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Virtio network cards on VFIO: driven, and given back to the kernel's driver.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$scratch"
card=0000:00:0a.0
other=0000:00:0b.0
modprobe virtio_net

# The kernel's driver has the card with this address.
kernel_has()
{
	grep -qx "$1" /sys/class/net/*/address
}

bound()
{
	until_true kernel_has 52:54:00:00:00:0a
	riser bind $card --user 65534
	! kernel_has 52:54:00:00:00:0a
}

pinged()
{
	prlimit --memlock=268435456:268435456 setpriv --reuid=65534 --regid=65534 --clear-groups \
		riser net ping "pci:$card$1" 10.0.2.2 --count 3 | tee ping
	grep -q '3 sent, 3 received' ping
}

# What the device would take for physical addresses are the IOMMU's.
refused()
{
	local code=0

	riser net info "pci:$other$1" 2>err || code=$?
	cat err
	((code == 1))
	grep -q "without ACCESS_PLATFORM the device's addresses would go past the IOMMU" err
}

given_back()
{
	local dir

	riser restore $card
	until_true kernel_has 52:54:00:00:00:0a
	dir=$(dirname "$(grep -lx 52:54:00:00:00:0a /sys/class/net/*/address)")
	ip link set "${dir##*/}" up
	until_true grep -qx 1 "$dir/carrier"
	ip link set "${dir##*/}" down # riser bind takes none that is in use
}

try 'a card is taken from the kernel' bound
try 'it pings, by nobody' pinged ''
try 'it pings again, as it was left' pinged ''
try 'one that goes past the IOMMU is taken' riser bind $other
try 'and is not driven' refused ''
try 'nor through its legacy interface, in ports' refused '?transport=legacy'
try 'the kernel drives the card again' given_back
try 'it is taken once more' bound
try 'and pings' pinged ''
tap_end
