# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Virtio network cards on a kernel without an IOMMU, as root: registers in memory and in ports.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$scratch"
both=0000:00:0a.0
legacy=0000:00:0b.0

pinged()
{
	riser net ping "sysfs:$1" 10.0.2.2 --count 3 | tee ping
	grep -q '3 sent, 3 received' ping
}

# drives TRANSPORT URI
drives()
{
	riser net info "sysfs:$2" | tee info
	grep -q "virtio-pci $1" info
}

try 'there are huge pages' riser hugepages 64
try 'the cards are free' riser unbind $both $legacy
try 'registers in memory' drives modern $both
try 'it pings' pinged $both
try 'its other interface, in ports' drives legacy "$both?transport=legacy"
try 'it pings as well' pinged "$both?transport=legacy"
try 'one that has no other' drives legacy $legacy
try 'it pings too' pinged $legacy
tap_end
