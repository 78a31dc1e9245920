#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Bad input, with its sentences and exit codes.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
truncate -s 1M disk
truncate -s 2M larger

# from TEXT says-arguments…: with TEXT on standard input
from()
{
	local text=$1

	shift
	says "$@" < <(printf '%s' "$text")
}

refuses 2 "riser info: unknown scheme 'modle'; did you mean 'model:'?" info modle:nvme
refuses 2 "riser info: unknown scheme 'gopher'; there is: *mem:*model:*" info gopher:disk
refuses 4 'riser info: there is no PCI function ffff:ff:1f.7: *riser list* shows them' info ffff:ff:1f.7
refuses 2 "riser info: pci: '1f.7' is no address of a PCI function, such as *" info pci:1f.7
refuses 2 "riser nvme id-ctrl: 'file:' is no way to a PCI function; there is:* model:*" \
	nvme id-ctrl /dev/nvme0
refuses 2 "riser info: an empty URI: *" info ''
refuses 2 "riser info: mem: *" info mem:lots
refuses 2 "riser info: file: unknown key 'drect'; did you mean 'direct'?" info 'file:disk?drect=1'
refuses 2 'riser info: file: wants a path, as in file:disk.img' info file:
refuses 4 'riser info: cannot open missing: No such file or directory' info missing
refuses 4 'riser copy: cannot open missing: No such file or directory' copy disk missing
refuses 4 'riser info: cannot open disk/below: Not a directory' info disk/below

refuses 1 'riser read: length 100 is not a multiple of the 512-byte blocks of disk' \
	read disk --length 100
refuses 1 'riser read: offset 7 is not a multiple of the 512-byte blocks of disk' \
	read disk --offset 7
refuses 1 'riser read: offset 2097152 is beyond the end of disk (1048576 bytes)' \
	read disk --offset 2M
refuses 1 'riser read: 1048576 bytes from offset 512 reach beyond the end of disk (1048576 bytes)' \
	read disk --offset 512 --length 1M
refuses 1 'riser zero: 2097152 bytes from offset 0 reach beyond the end of disk (1048576 bytes)' \
	zero disk --length 2M
refuses 1 'riser copy: larger (2097152 bytes) does not fit on disk (1048576 bytes)' \
	copy larger disk
try 'riser write of half a block ends with 1' from 'half a block' 1 \
	'riser write: the input is 12 bytes long, not a multiple of the 512-byte blocks of disk' \
	write disk
try 'riser write beyond the end ends with 1' from "$(printf '%1024s' '')" 1 \
	'riser write: the input reaches beyond the end of disk (1048576 bytes)' \
	write disk --offset 1048064
refuses 1 'riser bench: --bs 1536 is not a multiple of the 4096-byte blocks of *' \
	bench 'mem:1M?block=4096' --bs 1536
refuses 1 'riser bench: disk is smaller than --bs' bench disk --bs 2M
refuses 2 'riser bench: --verify reads back what was written: *' bench disk --verify
refuses 2 'riser bench: --bs wants a multiple of 512 bytes, at most 64M' bench disk --bs 1
refuses 2 'riser bench: --runtime=0 never ends: it wants --ios' bench disk --runtime 0
refuses 2 'riser bench: --iodepth wants 1 to 4096' bench disk --iodepth 0

for verb in zero trim write 'copy larger'; do
	# shellcheck disable=SC2086
	refuses 3 "riser ${verb%% *}: file:larger?readonly=1 is read-only" \
		$verb 'file:larger?readonly=1'
done
refuses 3 'riser publish: file:disk?readonly=1 is read-only' publish 'file:disk?readonly=1' nbd:
locked='model:nvme?backing=[file:disk?readonly=1]'
refuses 3 "riser zero: * is read-only" zero "$locked"
refuses 3 'riser nvme write-zeroes: * failed: Namespace is Write Protected (0x4020)' \
	nvme write-zeroes "$locked"
: >empty
refuses 2 'riser info: empty is empty: *' info empty
refuses 2 'riser info: /dev/null is neither a regular file nor a block device' info /dev/null
if [ "$(id -u)" != 0 ]; then
	chmod 444 disk
	refuses 3 'riser zero: cannot open disk: Permission denied' zero disk
	chmod 644 disk
fi
tap_end
