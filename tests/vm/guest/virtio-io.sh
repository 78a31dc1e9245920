# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash disable=SC2317
# A virtio card and a virtio disk behind the IOMMU, taken from the kernel and given back: an
# unprivileged user pings and does I/O, and each side reads what the other one wrote.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
cd "$scratch"
chmod 777 .
modprobe -a virtio_net virtio_blk vfio-pci tun

# function_of DEVICE: where the virtio function with this id is
function_of()
{
	local dir

	for dir in /sys/bus/pci/devices/*; do
		[ "$(<"$dir/vendor") $(<"$dir/device")" != "0x1af4 $1" ] || { echo "${dir##*/}"; return; }
	done
	return 1
}

card=$(function_of 0x1041)
disk=$(function_of 0x1042)
node=/dev/vda
until_true test -b $node
interface=$(ls "/sys/bus/pci/devices/$card/"virtio*/net)
head -c 4M /dev/urandom >data
chmod 644 data

list_knows_them()
{
	riser list >out
	grep -q "$card .*virtio-net" out
	grep -q "$disk .*virtio-blk" out
}

up_is_in_use()
{
	ip link set "$interface" up
	riser bind "$card" 2>err && return 1
	grep -q "the network interface $interface is up" err
	ip link set "$interface" down
}

mounted_is_in_use()
{
	mkfs.ext4 -q "$node"
	mkdir -p mnt
	mount "$node" mnt
	riser bind "$disk" 2>err && return 1
	grep -q "vda is mounted on $scratch/mnt" err
	umount mnt
}

pings()
{
	riser bind "$card" --user 1000
	as_user riser net ping "pci:$card" 10.0.2.2 --count 3 >out
	cat out
	grep -q '3 received' out
}

# A TAP of the kernel's on the card: what goes out comes back.
bridged()
{
	local bridge

	riser net bridge "pci:$card" tap:riser0 >bridged 2>&1 &
	bridge=$!
	until_true ip link set riser0 up
	ip address add 10.0.2.15/24 dev riser0
	head -c 100M /dev/urandom >much
	timeout 600 python3 - much <<-'END'
		import hashlib, socket, sys, threading
		data = open(sys.argv[1], "rb").read()
		s = socket.create_connection(("10.0.2.100", 7), timeout=60)
		threading.Thread(target=s.sendall, args=(data,), daemon=True).start()
		back = bytearray()
		while len(back) < len(data):
		    piece = s.recv(1 << 16)
		    assert piece, len(back)
		    back += piece
		assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
	END
	rm much
	kill "$bridge"
	wait "$bridge" || true
}

given_back()
{
	riser restore "$card"
	until_true test -d "/sys/bus/pci/devices/$card/driver/module"
	[ "$(basename "$(readlink "/sys/bus/pci/devices/$card/driver")")" = virtio-pci ]
	riser bind "$card" --user 1000
	as_user riser net ping "pci:$card" 10.0.2.2 --count 1 | grep -q '1 received'
	riser restore "$card"
}

table="table:0 8192 linear pci:$disk 8192"

disk_for_a_user()
{
	dd if=data of=$node bs=1M oflag=direct status=none
	riser bind "$disk" --user 1000
	as_user riser info "pci:$disk" >out
	grep -q 'virtio disk v0 by virtio-pci modern, 2 queues' out
	as_user riser read "pci:$disk" --length 4M | cmp - data
	as_user riser copy data "$table" --yes-destroy-data
	as_user riser bench "pci:$disk?irq=1" --rw=randread --bs=4k --iodepth=16 --runtime=1 >out
	as_user riser bench "table:0 16384 linear pci:$disk 32768" --rw=randwrite --bs=4k \
		--iodepth=16 --runtime=1 --verify --yes-destroy-data >out
}

kernel_reads_it()
{
	riser restore "$disk"
	until_true test -b $node
	dd if=$node bs=1M count=4 skip=4 iflag=direct status=none | cmp - data
	dd if=$node bs=1M count=4 iflag=direct status=none | cmp - data
}

disk_again()
{
	riser bind "$disk" --user 1000
	as_user riser read "$table" | cmp - data
	riser restore "$disk"
	until_true test -b $node
}

try 'riser list knows them' list_knows_them
try 'an interface that is up is in use' up_is_in_use
try 'a disk that is mounted is in use' mounted_is_in_use
try 'a user without rights pings' pings
try 'a bridge from the card to a TAP: 100 MiB come back equal' bridged
try 'the card is given back, and taken again' given_back
try 'a user without rights reads and writes the disk, below a table too' disk_for_a_user
try 'the kernel reads what riser wrote' kernel_reads_it
try 'the disk is taken again' disk_again
tap_end
