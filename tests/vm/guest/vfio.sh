# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# pci: on VFIO, which this kernel gives and nobody here wrote.
# shellcheck source=SCRIPTDIR/../../tap.sh
. "$(dirname "$0")/../../tap.sh"
bdf=0000:00:04.0
other=0000:00:05.0
nvme=/riser/build/tests/test-nvme
cases=/riser/build/tests/test-vm-vfio
exec 4>&1 # where lines for QEMU's monitor go

# bind BDF: hand it to vfio-pci, whoever has it
bind()
{
	local sys=/sys/bus/pci/devices/$1

	modprobe vfio-pci
	echo vfio-pci >"$sys/driver_override"
	[ ! -e "$sys/driver" ] || echo "$1" >"$sys/driver/unbind"
	echo "$1" >/sys/bus/pci/drivers_probe
	[ "$(basename "$(readlink "$sys/driver")")" = vfio-pci ]
}

node_of()
{
	echo "/dev/vfio/$(basename "$(readlink "/sys/bus/pci/devices/$1/iommu_group")")"
}

as_nobody()
{
	prlimit --memlock=67108864:67108864 \
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
}

driver_test()
{
	RISER_TEST_URI=pci:$bdf "$@" "$nvme"
}

try 'vfio-pci takes the function' bind $bdf
# After riser bind --user, as it were.
as_owner()
{
	chown 65534 "$(node_of $bdf)"
	driver_test as_nobody
}

refused()
{
	local said status=0

	chown 0 "$(node_of $bdf)"
	said=$(as_nobody riser nvme id-ctrl pci:$bdf 2>&1) || status=$?
	echo "$said"
	((status == 3))
	[[ $said == *"/dev/vfio/"*" is root:root's with mode 0600, and nobody may not open it: as root, riser bind $bdf --user nobody" ]]
}

locked_out()
{
	local said status=0

	chown 65534 "$(node_of $bdf)"
	said=$(prlimit --memlock=65536:65536 setpriv --reuid=65534 --regid=65534 --clear-groups \
		riser nvme id-ctrl pci:$bdf 2>&1) || status=$?
	echo "$said"
	((status == 1))
	[[ $said =~ "write the line 'nobody - memlock "([0-9]+)"' into /etc/security/limits.d/riser.conf" ]]
	# Followed literally, it works.
	prlimit --memlock=$((BASH_REMATCH[1] * 1024)) \
		setpriv --reuid=65534 --regid=65534 --clear-groups riser nvme id-ctrl pci:$bdf >"$scratch/id"
	grep -q QEMU "$scratch/id"
}

# A second process finds the group taken, and is told by whom.
taken()
{
	local said status=0 holder

	riser bench pci:$bdf --rw=randread --iodepth=1 --runtime=60 >"$scratch/bench" 2>&1 &
	holder=$!
	for _ in {1..100}; do
		[ -z "$(find /proc/$holder/fd -lname "$(node_of $bdf)")" ] || break
		sleep 0.1
	done
	said=$(riser nvme id-ctrl pci:$bdf 2>&1) || status=$?
	kill -TERM $holder
	wait $holder || true
	echo "$said"
	((status == 4))
	[[ $said == *" is held by riser, pid $holder"* ]]
}

not_bound()
{
	local said status=0

	said=$(riser nvme id-ctrl pci:00:05.0 2>&1) || status=$?
	echo "$said"
	((status == 4))
	[[ $said == *"0000:00:05.0 is bound to "*", not to vfio-pci: as root, riser bind 0000:00:05.0" ]]
}

# one CASE…: of tests/vm/vfio.c, as the owner of the nodes
one()
{
	chown 65534 "$(node_of $bdf)"
	RISER_TEST_URI=pci:$bdf as_nobody "$cases" "$@"
}

# The small reader, with its own spelling, and the URI's.
reader()
{
	chown 65534 "$(node_of $bdf)"
	head -c 8192 /dev/urandom >"$scratch/data"
	as_nobody riser write pci:$bdf --yes-destroy-data <"$scratch/data"
	mkdir -m 777 "$scratch/out"
	chmod 711 "$scratch"
	as_nobody riser nvme identify --pci $bdf | grep n0
	as_nobody riser nvme read --pci ${bdf#0000:} --nsid 1 --lba 8 --blocks 8 \
		--out "$scratch/out/blocks" --iova-base 0x200000000
	tail -c 4096 "$scratch/data" | cmp - "$scratch/out/blocks"
	as_nobody riser read ${bdf#0000:} --length 8192 | cmp - "$scratch/data"
}

# two BDF BDF: in one process
two()
{
	bind "$1"
	bind "$2"
	chown 65534 "$(node_of "$1")" "$(node_of "$2")"
	RISER_TEST_URI=pci:$1 RISER_TEST_URI2=pci:$2 as_nobody "$cases" \
		two_controllers_reach_the_same_memory
}

# Half of a group is nobody's to give.
half()
{
	local said status=0

	modprobe nvme
	bind 0000:00:06.0
	said=$(riser nvme id-ctrl pci:0000:00:06.0 2>&1) || status=$?
	echo "$said"
	((status == 4))
	[[ $said == *": 0000:00:06.0 (vfio-pci) 0000:00:06.1 (nvme): as root, riser bind them all" ]]
}

# What riser cannot stop, because it was bypassed, the IOMMU does, and the kernel says so.
fault()
{
	dmesg -C
	one an_unmapped_buffer_is_not_written | tee "$scratch/said"
	iova=$(sed -n 's/# IOVA 0x//p' "$scratch/said")
	dmesg | grep -E "DMAR:.*fault addr 0x$iova"
}

# The kernel resets a function whenever it is opened or closed, which takes its time: say so while
# it goes on. RISER_VM_CYCLES=1000 is for a machine with nothing else to do.
flat()
{
	export RISER_VM_CYCLES=${RISER_VM_CYCLES-100}

	one open_and_close_for_ever | sed -u 's/^/# /' | tee /proc/self/fd/4
}

# removed CASE BDF ID: pulled out of its slot while the case is under way
removed()
{
	local pid status=0

	bind "$2"
	chown 65534 "$(node_of "$2")"
	RISER_TEST_URI=pci:$2 as_nobody "$cases" "$1" >"$scratch/removed" 2>&1 &
	pid=$!
	for _ in {1..300}; do
		! grep -q '# remove it' "$scratch/removed" || break
		sleep 0.1
	done
	sleep 1
	echo "!device_del {\"id\": \"$3\"}" >&4
	wait $pid || status=$?
	cat "$scratch/removed"
	for _ in {1..900}; do
		[ -e "/sys/bus/pci/devices/$2" ] || break
		sleep 0.1
	done
	[ ! -e "/sys/bus/pci/devices/$2" ] && ((status == 0))
}

try 'who is not bound is told' not_bound
try "the driver's tests as root" driver_test env
try 'who may not open the node is told' refused
try 'who may not lock memory is told' locked_out
try "the driver's tests as the node's owner" as_owner
try 'the small reader, and the command' reader
try 'a second process is told who has it' taken
try 'two controllers in one process' two $bdf $other
try 'half of a group is refused, with who has the other half' half
try 'two controllers of one group' two 0000:00:06.0 0000:00:06.1
try 'the IOMMU catches an unmapped buffer' fault
try 'a function reset is survived, interrupts too' one a_function_reset_is_survived
try 'removal under load, polled' removed removed_while_polled 0000:01:00.0 n2-nvme
try 'removal under load, with interrupts' removed removed_while_interrupts_are_awaited 0000:02:00.0 n3-nvme
try 'removal of an idle one that sleeps' removed removed_while_idle 0000:03:00.0 n4-nvme
try 'opening and closing leaves nothing' flat
tap_end
