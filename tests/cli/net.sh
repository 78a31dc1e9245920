#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Network ports: info, bridge, capture, send, bench, and what goes wrong.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

frame=ffffffffffff020000000001080600010203

# A pcapng file as somebody else would read it: its packets, a line each.
cat >read.py <<'END'
import struct, sys

data, at, order, interfaces = open(sys.argv[1], "rb").read(), 0, "<", []
while at < len(data):
    kind, size = struct.unpack_from(order + "II", data, at)
    if kind == 0x0A0D0D0A:
        order = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">"
        size = struct.unpack_from(order + "I", data, at + 4)[0]
        interfaces = []
    assert size % 4 == 0 and struct.unpack_from(order + "I", data, at + size - 4)[0] == size
    body = data[at + 8 : at + size - 4]
    if kind == 1:
        link, _, snap = struct.unpack_from(order + "HHI", body)
        assert link == 1
        interfaces.append(snap)
    elif kind == 6:
        interface, high, low, caught, length = struct.unpack_from(order + "IIIII", body)
        assert interface < len(interfaces) and caught == length
        options, comment = body[20 + (caught + 3) // 4 * 4 :], ""
        while options:
            code, n = struct.unpack_from(order + "HH", options)
            if code == 1:
                comment = options[4 : 4 + n].decode()
            options = options[4 + (n + 3) // 4 * 4 :]
        print((high << 32 | low) > 0, body[20 : 20 + caught].hex(), comment)
    at += size
END

# The same, written in the other byte order, with microseconds, and by a simple packet block.
cat >write.py <<'END'
import struct, sys

def block(kind, body):
    size = len(body) + 12
    return struct.pack(">II", kind, size) + body + struct.pack(">I", size)

def pad(b):
    return b + bytes(-len(b) % 4)

def option(code, b):
    return struct.pack(">HH", code, len(b)) + pad(b)

frame = bytes.fromhex(sys.argv[2])
comment = b"virtio flags=1 gso_type=0 hdr_len=0 gso_size=0 csum_start=14 csum_offset=2"
enhanced = struct.pack(">IIIII", 0, 0, 1000, len(frame), len(frame)) + pad(frame)
with open(sys.argv[1], "wb") as f:
    f.write(block(0x0A0D0D0A, struct.pack(">IHHq", 0x1A2B3C4D, 1, 0, -1)))
    f.write(block(1, struct.pack(">HHI", 1, 0, 0)))
    f.write(block(6, enhanced))
    f.write(block(5, bytes(12)))
    f.write(block(6, enhanced + option(1, b"of mine") + option(1, comment) + option(0, b"")))
    f.write(block(3, struct.pack(">I", len(frame)) + pad(frame)))
END

a_frame_is_captured()
{
	"$riser" net send pcap:a.pcapng "$frame" --count 3 >/dev/null
	python3 read.py a.pcapng >got
	[ "$(cat got)" = "$(for _ in 1 2 3; do echo "True $frame "; done)" ] || { cat got; return 1; }
}

a_file_goes_through()
{
	gives 3 'j["packets"]' net send --json pcap:b.pcapng a.pcapng
	cmp <(python3 read.py a.pcapng) <(python3 read.py b.pcapng)
	gives 2 'j["packets"]' net capture --json 'pcap:?in=a.pcapng' c.pcapng --count 2
	[ "$(python3 read.py c.pcapng | wc -l)" = 2 ]
	"$riser" net bridge 'pcap:?in=a.pcapng' pcap:d.pcapng >/dev/null
	cmp <(python3 read.py a.pcapng) <(python3 read.py d.pcapng)
}

the_other_byte_order_is_read()
{
	python3 write.py e.pcapng "$frame"
	"$riser" net bridge 'pcap:?in=e.pcapng' pcap:f.pcapng >/dev/null
	python3 read.py f.pcapng >got
	[ "$(cut -d' ' -f2 got)" = "$(for _ in 1 2 3; do echo "$frame"; done)" ]
	[ "$(cut -d' ' -f3- got | sed -n 2p)" = \
		'virtio flags=1 gso_type=0 hdr_len=0 gso_size=0 csum_start=14 csum_offset=2' ]
	"$riser" net send pcap:g.pcapng e.pcapng >/dev/null
}

tshark_reads_it()
{
	[ "$(tshark -r a.pcapng -T fields -e eth.type 2>/dev/null | sort -u)" = 0x0806 ]
}

wire_carries_a_load()
{
	local mode

	for mode in tx rx loopback; do
		gives True 'j["value"] > 0 and j["unit"] == "Mpps"' net bench --json wire:a \
			--peer wire:a --mode $mode --runtime 1
	done
}

a_bridge_ends_when_told()
{
	gives 2 'len(j)' net bridge --json wire:a wire:b --timeout 1
	"$riser" net bridge wire:a wire:b >out &
	sleep 0.5
	kill -INT $!
	wait $!
	grep -q '^wire:b$' out
}

datagrams_answer()
{
	# Two ends of one process: a host here, an echo of the test's own there.
	python3 - <<-'END' &
		import os, socket
		s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
		s.bind("there")
		s.settimeout(20)
		for _ in range(4):
		    f = bytearray(s.recv(2048))
		    if f[12:14] == b"\x08\x06":  # ARP: who has 10.0.0.2?
		        f[20:22] = b"\0\2"
		        f[32:38], f[22:28] = f[22:28], b"\2\0\0\0\0\x22"
		        f[38:42], f[28:32] = f[28:32], f[38:42]
		    else:  # an echo request becomes its answer
		        f[26:30], f[30:34] = f[30:34], f[26:30]
		        f[34] = 0
		        sum = int.from_bytes(f[36:38], "big") + 0x800
		        f[36:38] = (sum % 65535 or 65535).to_bytes(2, "big")
		    f[0:6], f[6:12] = f[6:12], b"\2\0\0\0\0\x22"
		    s.sendto(f, "here")
	END
	for _ in {1..50}; do [ -S there ] && break; sleep 0.1; done
	gives 3 'j["received"]' net ping --json 'dgram:here?remote=there' 10.0.0.2 -a 10.0.0.1 -c 3 \
		-i 1
	wait $!
}

try 'a frame is captured as it was sent' a_frame_is_captured
try 'a file goes through ports unchanged' a_file_goes_through
try 'a file of the other byte order is read' the_other_byte_order_is_read
if command -v tshark >/dev/null; then
	try 'tshark reads what was captured' tshark_reads_it
else
	skip 'tshark reads what was captured' 'tshark is not installed'
fi
try 'a wire carries a load' wire_carries_a_load
try 'a bridge ends when it is told to' a_bridge_ends_when_told
try 'a host is pinged over datagrams' datagrams_answer
try 'info is JSON' gives 1500 'j["mtu"]' net info --json wire:a
refuses 2 "riser net info: unknown scheme 'wyre'; did you mean 'wire:'?" net info wyre:a
refuses 2 "riser net send: 'xyz' is no file and no frame in hex" net send pcap:x xyz
refuses 2 "riser net send: 5 bytes: an Ethernet header has 14" net send pcap:x 0102030405
refuses 2 "riser net ping: '10.0.2' is no IPv4 address" net ping wire:a 10.0.2
refuses 2 "riser net ping: '10.0.0.1/33' is no IPv4 address*" net ping wire:a 10.0.0.2 -a 10.0.0.1/33
refuses 2 'riser net explain: wire:a: no virtio device, nothing was negotiated' net explain wire:a
card='model:virtio-net?loop=1'
# shellcheck disable=SC2016
try 'a card without a feature' sh -c '"$0" net explain "$1&without=MRG_RXBUF,EVENT_IDX" |
	grep -Ec "^ *(15  MRG_RXBUF|29  EVENT_IDX) +yes +no +no: not wanted" | grep -qx 2' "$riser" "$card"
refuses 2 '*without=NO_SUCH: no feature of that name*' net info "$card&without=NO_SUCH"
refuses 4 'riser net ping: wire:a: no link' net ping wire:a 10.0.0.2 --timeout 0
refuses 4 '*no-such*' net capture 'pcap:?in=no-such' x.pcapng
refuses 1 '*read.py is no pcapng file' net send pcap:x read.py
refuses 2 '*--size=2000: the MTU is 1500' net bench wire:a --size 2000
head -c -5 a.pcapng >cut.pcapng
refuses 1 '*in=cut.pcapng*broken*' net bridge 'pcap:?in=cut.pcapng' pcap:x.pcapng
tap_end
