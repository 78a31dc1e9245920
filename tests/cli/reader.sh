#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nvme identify and nvme read as a small reader has them, and the files that they make.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
random disk 4194304
on='model:nvme?backing=disk&mdts=5' # 128 KiB a command

# no_litter: a verb that failed left nothing hidden behind
no_litter()
{
	! compgen -G '.*.[!.]*' || return 1
}

identifies()
{
	"$riser" nvme identify 'model:nvme?serial=S7&namespaces=2&size=16M&block2=4096' >text
	grep -qxE 'serial +: S7' text
	grep -qxE 'namespace 1 +: 32768 blocks of 512 bytes, 16 MiB' text
	grep -qxE 'namespace 2 +: 4096 blocks of 4096 bytes, 16 MiB' text
	gives '[2]' '[n["nsid"] for n in j["namespaces"]]' \
		nvme identify 'model:nvme?namespaces=2' --nsid 2 --json
	gives '[1, 2, 3]' '[n["nsid"] for n in j["namespaces"]]' \
		nvme identify 'model:nvme?namespaces=3' --json
	gives 2 'j["namespaces"][0]["nsid"]' nvme identify 'model:nvme?namespaces=2&nsid=2' --json
}

# Across as many commands as it takes, and not one byte beside.
reads_any_number()
{
	local lba blocks

	for lba in 0 1 17; do
		for blocks in 1 255 256 257 1000; do
			says 0 '' nvme read "$on" --nsid 1 --lba $lba --blocks $blocks --out part
			cmp part <(tail -c +$((lba * 512 + 1)) disk | head -c $((blocks * 512))) ||
				return 1
		done
	done
	says 0 '' nvme read "$on" --blocks 8192 --out part
	cmp part disk
	"$riser" nvme read "$on" --lba 8191 --blocks 1 --out - | cmp - <(tail -c 512 disk)
	"$riser" nvme read "$on" --blocks 300 -z 153000 | cmp - <(head -c 153000 disk)
	[ "$("$riser" nvme read "$on" --lba 8 --blocks 2 --out part)" = \
		'part: 1024 bytes of namespace 1, from block 8' ]
	gives '1000 512000' '"%d %d" % (j["blocks"], j["bytes"])' \
		nvme read "$on" --blocks 1000 --out part --json
}

# The third command fails.
never_half_a_file()
{
	local bad="$on&fault=status=0x281,opcode=read,nth=3"

	rm -f part
	says 1 'riser nvme read: read of blocks 512 to 767 (262144 bytes before them are dropped) on * failed: Unrecovered Read Error (0x281)' \
		nvme read "$bad" --blocks 1024 --out part
	[ ! -e part ]
	echo old >part
	says 1 '*' nvme read "$bad" --blocks 1024 --out part
	[ "$(cat part)" = old ]
	no_litter
	says 1 'riser nvme read: read of blocks 512 to 767 (262144 bytes before them are out) on * failed: *' \
		nvme read "$bad" --blocks 1024 --out -
	cmp out <(head -c 262144 disk)
}

# Killed in the middle: the controller never answers the third command.
killed()
{
	rm -f part
	"$riser" nvme read "$on&fault=lost,opcode=read,nth=3" --blocks 1024 --out part &
	sleep 1
	kill -9 $!
	wait $! || true
	[ ! -e part ]
	no_litter
}

replaces_files()
{
	echo old >part
	chmod 640 part
	ln -sf part link
	says 0 '' nvme read "$on" --blocks 8 --out link
	[ -L link ]
	cmp part <(head -c 4096 disk)
	[ "$(stat -c %a part)" = 640 ]
	mkdir -p dir
	(umask 027; says 0 '' nvme read "$on" --blocks 8 --out dir/new)
	[ "$(stat -c %a dir/new)" = 640 ]
	[ "$(ls -A dir)" = new ]
	says 0 '' nvme read "$on" --blocks 8 --out /dev/null
	[ -c /dev/null ]
	mkfifo -m 600 pipe
	cmp pipe <(head -c 4096 disk) &
	says 0 '' nvme read "$on" --blocks 8 --out pipe
	wait $!
	[ -p pipe ]
	no_litter
}

# A limit of 2 MiB stands for a full disk.
no_room()
(
	mkdir -p small
	trap '' XFSZ
	ulimit -f 2048
	says 1 'riser nvme read: small/part cannot be written: File too large' \
		nvme read "$on" --blocks 8192 --out small/part
	[ -z "$(ls -A small)" ]
)

try 'identify' identifies
try 'reads any number of blocks' reads_any_number
try 'never half a file' never_half_a_file
try 'nor when it is killed' killed
try 'files that are there, links, pipes' replaces_files
try 'a disk without room' no_room

refuses 1 'riser nvme read: 9 blocks from block 8184 reach beyond the end of namespace 1 (8192 blocks)' \
	nvme read "$on" --lba 8184 --blocks 9 --out never
refuses 1 'riser nvme read: 2 blocks from block 18446744073709551615 reach *' \
	nvme read "$on" --lba 0xffffffffffffffff --blocks 2 --out never
refuses 2 'riser nvme read: --blocks wants 1 at the least' nvme read "$on" --blocks 0 --out never
refuses 2 'riser nvme read: --blocks and --block-count exclude each other' \
	nvme read "$on" --blocks 8 -c 7 --out never
refuses 4 'riser nvme read: no/such cannot be written: No such file or directory' \
	nvme read "$on" --blocks 8 --out no/such
refuses 1 'riser nvme read: . cannot be written: Is a directory' nvme read "$on" --blocks 8 --out .
ln -s nowhere dangling
refuses 4 'riser nvme read: dangling is a link that leads nowhere' nvme read "$on" --out dangling
try 'nothing was made' test ! -e never

refuses 2 'riser nvme identify: missing argument URI, or --pci BDF (riser nvme identify URI)' \
	nvme identify
for wrong in 01:00 01:00.8 0000:01:20.0 01:00.0x /dev/nvme0 -1:00.0 ''; do
	refuses 2 "riser nvme identify: --pci wants the address of a PCI function, *, not '$wrong'" \
		nvme identify --pci="$wrong"
done
refuses 2 'riser nvme read: --pci 01:00.0 and model:nvme: one of them' \
	nvme read model:nvme --pci 01:00.0 --out never
refuses 2 'riser nvme read: --iova-base goes with --pci; *' \
	nvme read model:nvme --iova-base 0x1000 --out never
tap_end
