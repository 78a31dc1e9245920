# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2317
# A controller that riser takes from the kernel and gives back, and who reads whose data.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
queues=/riser/build/tests/vm-queues
modprobe nvme
bdf=$(bdf n0)
driver=/sys/bus/pci/devices/$bdf/driver

# In the kernel's hands it is a disk, else a controller.
kernel()
{
	RISER_TEST_URI="file:$(disk n0)?direct=1" "$queues" "$@"
}

user()
{
	RISER_TEST_URI=pci:$bdf as_user "$queues" "$@"
}

bound()
{
	prlimit --pid $$ --memlock=67108864:67108864
	riser bind "$bdf" --user 1000
	[ "$(basename "$(readlink "$driver")")" = vfio-pci ]
	[ ! -e "/sys/bus/pci/devices/$bdf/nvme" ]
}

restored()
{
	riser restore "$bdf"
	[ "$(basename "$(readlink "$driver")")" = nvme ]
	[ "$(cat "/sys/bus/pci/devices/$bdf/driver_override")" = '(null)' ]
	disk n0
}

identified()
{
	as_user riser nvme id-ctrl "pci:$bdf" | tee "$scratch/id"
	grep -Eq '^sn +: n0' "$scratch/id"
}

refused()
{
	mkfs.ext4 -q -F "$(disk n0)"
	mkdir -p "$scratch/mounted"
	mount "$(disk n0)" "$scratch/mounted"
	! riser bind "$bdf" --user 1000 2>"$scratch/why" || return 1
	umount "$scratch/mounted"
	cat "$scratch/why"
	grep -q "$scratch/mounted" "$scratch/why"
	[ "$(basename "$(readlink "$driver")")" = nvme ]
}

modprobe ext4
try 'a mounted disk is refused, and named' refused
try 'the kernel writes' kernel leave
try 'bound for a user' bound
try 'the user identifies it' identified
try 'the user reads what the kernel wrote' user find
for how in polled by_interrupt; do
	for pairs in one_queue_pair four_queue_pairs; do
		try "verified I/O, ${pairs//_/ } ${how//_/ }" user "${pairs}_$how"
	done
done
try 'given back' restored
try 'the kernel reads what the user wrote' kernel find
tap_end
