#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbdkit.sh [PLUGIN]: nbdkit with riser's plugin, if it was built, on the model of a controller and
# on a file: clients, TLS, filters, errors.
# shellcheck disable=SC2016 # $uri and $unixsocket are the command's, under --run
# shellcheck source=SCRIPTDIR/../tap.sh
. "$(dirname "$0")/../tap.sh"
PATH=/usr/bin:$PATH # nbdsh begins with "env python3" and wants the distribution's
need nbdkit nbdcopy nbdinfo nbdsh psktool
if (($# == 0)); then
	what='nbdkit-plugin-dev was not there when this was built'
	[ -z "${RISER_REQUIRE_TOOLS-}" ] && skip 'with the plugin' "$what" ||
		not_ok 'with the plugin' "$what"
	tap_end
fi
plugin=$(realpath "$1")
cd "$scratch"
size=$((64 << 20))
nvme='model:nvme?backing=nvme.img&block=4096'
truncate -s $size disk.img nvme.img
head -c $size /dev/urandom >data
# Sanitizers want to be the first library of a program, and the program is not ours. The plugin is
# loaded with them, so that it stays, and their reports can name it.
preload=$(ldd "$plugin" | awk '/lib[at]san/ { print $3 }')
[ -z "$preload" ] || preload+=" $plugin"

# kit OPTION…: nbdkit; what it says goes to the file "said"
kit()
{
	local code=0

	LD_PRELOAD=$preload timeout 120 nbdkit "$@" 2>said || code=$?
	# nbdkit itself leaks a little; what counts is what has a line with riser in it.
	if grep -qE 'Sanitizer:|runtime error:' said && grep -qE '(#[0-9]+ .*|error:.*)riser' said; then
		cat said >>complaints
	fi
	return $code
}

# Its status is the command's, whatever a sanitizer found at its end.
nothing_to_complain()
{
	[ ! -s complaints ] || { cat complaints; return 1; }
}

# served COMMAND DEVICE [OPTION|PARAMETER…]: with the device at $uri
served()
{
	kit -U - "$plugin" "${@:2}" --run "unset LD_PRELOAD; set -e; $1" || { cat said; return 1; }
}

# refused …: as served, but it fails
refused()
{
	! served "$@" >refused 2>&1 || { echo "not refused: $1"; return 1; }
}

# same FILE FILE: by their SHA-256
same()
{
	[ "$(sha256sum <"$1")" = "$(sha256sum <"$2")" ]
}

# sees MINIMUM DEVICE: what nbdinfo is told
sees()
{
	served 'nbdinfo --json "$uri" >info' "$2"
	python3 - "$1" $size <<'PY'
import json, sys
e = json.load(open("info"))["exports"][0]
assert e["export-size"] == int(sys.argv[2]), e
assert e["block_size_minimum"] == int(sys.argv[1]), e
assert e["block_size_preferred"] == 4096, e
assert e["block_size_maximum"] == 32 << 20, e
assert e["description"], e
for flag in "can_flush", "can_fua", "can_multi_conn", "can_trim", "can_zero", "can_fast_zero":
    assert e[flag] is True, flag
for flag in "is_read_only", "is_rotational":
    assert e[flag] is False, flag
PY
}

# copied DEVICE BACKING OPTION…: nbdcopy in and out again
copied()
{
	rm -f back
	served "nbdcopy ${*:3} data \"\$uri\"; nbdcopy ${*:3} \"\$uri\" back" "$1"
	same data back && same data "$2"
}

# More requests at a time than the device is given.
copied_by_many_threads()
{
	rm -f back
	served 'nbdcopy --connections=8 --requests=64 --request-size=65536 "$uri" back' "$nvme" -t 40
	same nvme.img back
}

# Without -f nbdkit goes into the background, and to /.
served_from_the_background()
{
	local ok=0

	kit -P pid -U "$scratch/sock" "$plugin" disk.img || { cat said; return 1; }
	nbdcopy "nbd+unix:///?socket=$scratch/sock" back && same disk.img back || ok=1
	kill "$(cat pid)"
	while [ -e "/proc/$(cat pid)" ]; do sleep 0.05; done
	return $ok
}

# TLS with a shared key, which a client without it, or without TLS, does not get past.
tls()
{
	local uri='nbds+unix://alice@/?socket=$unixsocket'

	rm -f back
	served "nbdinfo --json \"$uri&tls-psk-file=keys\" | tr -d '[:space:]' >info
		nbdcopy data \"$uri&tls-psk-file=keys\"; nbdcopy \"$uri&tls-psk-file=keys\" back" \
		"$nvme" --tls=require --tls-psk="$scratch/keys"
	same data back
	grep -q '"TLS":true' info
	refused 'nbdinfo "nbd+unix:///?socket=$unixsocket"' "$nvme" --tls=require \
		--tls-psk="$scratch/keys"
	refused "nbdinfo \"$uri&tls-psk-file=others\"" "$nvme" --tls=require \
		--tls-psk="$scratch/keys"
}

logged()
{
	served 'nbdsh -u "$uri" -c "h.pwrite(bytes(4096), 8192, nbd.CMD_FLAG_FUA)"' \
		disk.img --filter=log logfile=log
	grep -q 'Write .*offset=0x2000 count=0x1000 fua=1' log && grep -q 'Write .*return=0' log
}

failing()
{
	error_of disk.img 'pread(4096, 0)' EIO --filter=error error-pread=EIO error-pread-rate=100%
}

# One partition of 1 MiB, 1 MiB from the start.
partitioned()
{
	truncate -s 4M parts.img
	printf '\0\0\0\0\x83\0\0\0\0\x08\0\0\0\x08\0\0' | dd of=parts.img bs=1 seek=446 conv=notrunc
	printf '\x55\xaa' | dd of=parts.img bs=1 seek=510 conv=notrunc
	head -c 1M data >part
	served 'nbdcopy part "$uri"' parts.img --filter=partition partition=1
	cmp -n $((1 << 20)) -i $((1 << 20)):0 parts.img part
}

# 1 MiB of data, 2 MiB of hole, 1 MiB of data: told as such, and copied as such.
sparse()
{
	rm -f holes copy
	truncate -s 4M holes
	head -c 1M data | dd of=holes bs=1M conv=notrunc
	head -c 1M data | dd of=holes bs=1M seek=3 conv=notrunc
	served 'nbdinfo --map "$uri" >map; nbdcopy --request-size=65536 "$uri" copy' holes
	[ "$(awk '{ print $1, $2, $3 }' map)" = $'0 1048576 0\n1048576 2097152 3\n3145728 1048576 0' ]
	same holes copy
	(($(du -k copy | cut -f1) <= 2048 + 64))
	served 'nbdinfo --map --totals "$uri" >map' "$nvme"
}

# Each with its own bytes behind it: data, zeroes with and without a hole, trim, FUA on all of them.
odd_commands()
{
	cat >script <<'PY'
n = 65536
f = nbd.CMD_FLAG_FUA
h.pwrite(b"\x5a" * (8 * n), 0)
h.zero(n, 1 * n)
h.zero(n, 2 * n, nbd.CMD_FLAG_NO_HOLE | f)
h.trim(n, 3 * n, f)
h.pwrite(b"\x11" * n, 4 * n, f)
h.zero(n, 5 * n, nbd.CMD_FLAG_FAST_ZERO)
h.flush()
for block, byte in (0, b"\x5a"), (1, b"\0"), (2, b"\0"), (4, b"\x11"), (5, b"\0"), (6, b"\x5a"):
    assert h.pread(n, block * n) == byte * n, block
PY
	served 'nbdsh -u "$uri" -c "$(cat script)"' "$1"
}

# error_of DEVICE CALL ERRNO [OPTION|PARAMETER…]: what a client is told
error_of()
{
	cat >script <<PY
import errno
h.set_strict_mode(0)
try:
    h.$2
except nbd.Error as e:
    assert e.errnum == errno.$3, e
else:
    raise SystemExit("no error")
PY
	served 'nbdsh -u "$uri" -c "$(cat script)"' "$1" "${@:4}"
}

says() # SENTENCE DEVICE [PARAMETER…]: nbdkit does not start, and says so
{
	! kit -U - "$plugin" "${@:2}" --run true || return 1
	grep -qF "$1" said || { cat said; return 1; }
}

# A sentence of the device, and the address.
a_bad_sector()
{
	error_of "model:nvme?size=4M&fault=status=0x281,opcode=read,lba=4096" \
		'pread(4096, 2097152)' EIO
	grep -qF 'read of 4096 bytes at byte 2097152 failed: MEDIUM (0x281, Unrecovered Read Error)' \
		said
}

# The driver aborts the command and sends it again; nobody but the log notices.
a_lost_command()
{
	served 'nbdcopy "$uri" - >/dev/null' \
		'model:nvme?size=4M&timeout=200&fault=lost,opcode=read,nth=5'
	grep -q 'nbdkit: .*error: .*' said
}

read_only()
{
	error_of disk.img 'pwrite(bytes(4096), 0)' EPERM -r
	error_of disk.img 'pwrite(bytes(4096), 0)' EPERM readonly=true
	chmod a-w disk.img
	served 'nbdinfo --is readonly "$uri"; nbdcopy "$uri" back' 'disk.img' readonly=true
	chmod u+w disk.img
	same disk.img back
}

psktool -u alice -p keys >/dev/null
psktool -u alice -p others >/dev/null
try 'nbdinfo sees a file' sees 512 disk.img
try 'nbdinfo sees a controller' sees 4096 "$nvme"
try 'nbdcopy both ways, a file' copied disk.img disk.img
try 'nbdcopy both ways, a controller' copied "$nvme" nvme.img
try 'nbdcopy both ways, a model on its thread' copied "$nvme&mode=thread" nvme.img
try 'nbdcopy, one small request at a time' copied "$nvme" nvme.img --synchronous \
	--request-size=65536
try 'nbdcopy, eight connections of forty threads' copied_by_many_threads
try 'from the background, by a relative path' served_from_the_background
try 'the log filter' logged
try 'the error filter' failing
try 'the partition filter' partitioned
try 'holes are told' sparse
try 'zeroes, trims, FUA on a file' odd_commands disk.img
try 'zeroes, trims, FUA on a controller' odd_commands "$nvme"
try 'a bad sector has its sentence and is EIO' a_bad_sector
try 'a lost command is sent again' a_lost_command
try 'half a sector is refused' error_of disk.img 'pread(100, 0)' EINVAL
try 'half a block is refused' error_of "$nvme" 'pread(512, 512)' EINVAL
try 'read-only' read_only
try 'no such scheme' says "unknown scheme 'nosuch'" nosuch:x
try 'no device' says 'no device: give a URI' readonly=true
try 'no such parameter' says "unknown parameter 'nosuch'" disk.img nosuch=1
# The plain build alone: libasan, preloaded, comes to life inside a constructor of libp11-kit, upsets
# a lock of the C library there, and nbdkit hangs at its exit if that was used: by GnuTLS, by strerror.
if [ -z "$preload" ]; then
	try 'TLS with a shared key' tls
	try 'no such file' says 'cannot open missing.img: No such file or directory' missing.img
fi
try 'no sanitizer complains' nothing_to_complain
tap_end
