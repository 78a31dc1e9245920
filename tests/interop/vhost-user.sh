#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# vhost-user.sh RISER: disks that qemu-storage-daemon offers over vhost-user, as block devices; below a
# table, published to others; and a daemon that is killed under load, and comes back.
# shellcheck disable=SC2016 # $uri is the command's, under --run
# shellcheck source=SCRIPTDIR/../tap.sh
. "$(dirname "$0")/../tap.sh"
need qemu-storage-daemon nbdcopy nbdinfo
riser=$(realpath "$1")
cd "$scratch"
head -c $((32 << 20)) /dev/urandom >data

# serve NAME [OPTIONS]: NAME.img at NAME.sock, of 32 MiB where it is new
serve()
{
	[ -f "$1.img" ] || truncate -s 32M "$1.img"
	rm -f "$1.sock"
	qemu-storage-daemon --blockdev "file,filename=$1.img,node-name=d,discard=unmap" --export \
		"vhost-user-blk,id=e,node-name=d,addr.type=unix,addr.path=$1.sock,${2-writable=on}" \
		>"$1.log" 2>&1 &
	echo $! >"$1.pid" # a case runs in a shell of its own
	for ((i = 0; i < 1000; i++)); do
		# It listens, which that there is a file does not tell.
		[ ! -S "$1.sock" ] || ! grep -q " 00010000 .* $1.sock\$" /proc/net/unix || return 0
		sleep 0.02
	done
	cat "$1.log"
	return 1
}

# killed NAME: and it is gone, with its lock on the image
killed()
{
	local pid

	pid=$(<"$1.pid")
	kill -KILL "$pid" 2>/dev/null || true
	wait "$pid" 2>/dev/null || true
	while [ -e "/proc/$pid/fd" ] && ! grep -q '^State:.Z' "/proc/$pid/status"; do
		sleep 0.02
	done
}

ends()
{
	for name in a b ro; do
		[ ! -f "$name.pid" ] || killed "$name"
	done
	rm -rf "$scratch"
}
trap ends EXIT

info_tells()
{
	"$riser" info vhost-user:a.sock >info
	grep -q 'virtio disk .*by vhost-user, 2 queues' info
	grep -q 'size  *33554432 bytes' info
	grep -q 'write cache  *volatile' info
	grep -q 'can also do  *trim zero' info
	grep -q 'wants --yes-destroy-data' info
}

guarded()
{
	! "$riser" zero vhost-user:a.sock --length 4K >said 2>&1
	grep -q -e --yes-destroy-data said
}

# copied [KEYS]: all of it, in and out
copied()
{
	rm -f back
	timeout 100 "$riser" copy data "vhost-user:a.sock${1-}" --yes-destroy-data
	cmp data a.img
	timeout 100 "$riser" verify "vhost-user:a.sock${1-}" data
	timeout 100 "$riser" zero "vhost-user:a.sock${1-}" --offset 1M --length 1M --yes-destroy-data
	cmp -n $((1 << 20)) a.img /dev/zero -i "$((1 << 20)):0"
	cmp -n $((1 << 20)) a.img data
}

# What is read is compared with what was written.
loaded()
{
	timeout 100 "$riser" bench "vhost-user:a.sock${1-}" --rw=randwrite --bs=4k --iodepth=32 \
		--runtime 1 --verify --yes-destroy-data >said
}

read_only()
{
	! "$riser" zero vhost-user:ro.sock --length 4K --yes-destroy-data >said 2>&1
	grep -q read-only said
	timeout 100 "$riser" verify vhost-user:ro.sock ro.img
}

striped='0 131072 striped 2 128 vhost-user:a.sock 0 vhost-user:b.sock 0'

published()
{
	cat data data >twice
	timeout 200 "$riser" publish "table:$striped" nbd: --verbose --yes-destroy-data --run \
		'set -e; nbdinfo --size "$uri" >size; nbdcopy --flush twice "$uri"; nbdcopy "$uri" back'
	[ "$(cat size)" = $((64 << 20)) ]
	cmp twice back
	# Every other 64 KiB is on the other disk.
	cmp -n 65536 a.img twice
	cmp -n 65536 -i 0:65536 b.img twice
	cmp -n 65536 -i 65536:131072 a.img twice
}

# again NAME TIMES [OPTIONS]: the daemon is killed, and comes back after a while
again()
{
	for ((n = 0; n < $2; n++)); do
		sleep 0.7
		killed "$1"
		sleep 0.3
		serve "$1" "${@:3}"
	done
}

serve a writable=on,num-queues=2
serve b
cp data ro.img
serve ro writable=off
try 'info tells what the disk is' info_tells
try 'it may hold data that somebody needs' guarded
try 'what is written is in the file, and is read back' copied
try 'the same, with interrupts' copied '?irq=1'
try 'a load, verified' loaded
try 'the same, with interrupts' loaded '?irq=1'
try 'a read-only export is read-only' read_only
try 'a striped table on two of them, over NBD' published
for keys in '' '?irq=1'; do
	timeout 200 "$riser" bench "vhost-user:a.sock$keys" --rw=randwrite --bs=4k --iodepth=32 \
		--runtime 4 --verify --verbose --yes-destroy-data >said 2>&1 &
	load=$!
	again a 2 writable=on,num-queues=2
	if wait $load; then
		ok "the daemon killed under load${keys:+ with interrupts}: no error, no wrong data"
	else
		not_ok "the daemon killed under load${keys:+ with interrupts}" "$(<said)"
	fi
done

rm -f back
timeout 200 "$riser" publish "table:$striped" nbd: --verbose --yes-destroy-data --run \
	'set -e; for i in 1 2 3; do nbdcopy --flush twice "$uri"; sleep 0.5; done; nbdcopy "$uri" back' \
	>said 2>&1 &
load=$!
again b 2
if wait $load && cmp twice back; then
	ok 'killed below a table below NBD'
else
	not_ok 'killed below a table below NBD' "$(<said)"
fi
tap_end
