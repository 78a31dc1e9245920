#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Verbs of an NVMe controller, on the model.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
random data 4096

# The same field in text, JSON and the raw structure.
identifies_in_three_ways()
{
	"$riser" nvme id-ctrl 'model:nvme?serial=S123&mdts=5' >text
	grep -qxE 'sn +: S123' text
	grep -qxE 'mdts +: 5' text
	gives 'S123 5' '"%s %d" % (j["sn"], j["mdts"])' \
		nvme id-ctrl 'model:nvme?serial=S123&mdts=5' -o json
	"$riser" nvme id-ctrl 'model:nvme?serial=S123&mdts=5' -o binary >raw
	[ "$(wc -c <raw)" = 4096 ]
	[ "$(dd if=raw bs=1 skip=4 count=4 2>/dev/null)" = S123 ]
	[ "$(od -An -tu1 -j77 -N1 raw | tr -d ' ')" = 5 ]
	"$riser" nvme id-ctrl 'model:nvme?serial=S123&mdts=5' -b | cmp - raw
}

identifies_namespaces()
{
	gives '[1, 2, 3]' '[n["nsid"] for n in j["nsid_list"]]' \
		nvme list-ns 'model:nvme?namespaces=3' --json
	[ "$("$riser" nvme list-ns 'model:nvme?namespaces=2' -n 1)" = '[   0]:0x2' ]
	gives '4096 True' '"%d %s" % (j["nsze"], j["lbafs"][1]["in_use"])' \
		nvme id-ns 'model:nvme?size=16M&block=4096' --json
	gives 2 'j["nsid"]' nvme id-ns 'model:nvme?namespaces=2&nsid=2' --json
}

reads_logs()
{
	gives 300 'j["temperature"]' nvme smart-log model:nvme --json
	"$riser" nvme smart-log model:nvme -o binary >smart
	"$riser" nvme get-log model:nvme --log-id=2 --log-len=512 -b | cmp - smart
	"$riser" nvme get-log model:nvme --log-id=2 --log-len=256 --lpo=256 -b |
		cmp - <(tail -c 256 smart)
	gives 5 'len(j["errors"])' nvme error-log model:nvme -e 5 --json
	gives 0.1.0 'j["frs1"]' nvme fw-log model:nvme --json
	gives True '"128" in j["admin_cmd_set"] and "2" in j["io_cmd_set"]' \
		nvme effects-log model:nvme --json
}

features()
{
	"$riser" nvme get-feature model:nvme --feature-id=7 |
		grep -qx 'get-feature:0x07 (Number of Queues), Current value:0x003f003f'
	gives 17 'j["value"]' nvme set-feature model:nvme -f 4 -v 17 --json
	says 2 'riser nvme get-feature: missing or wrong --feature-id: 1 to 0xff' \
		nvme get-feature model:nvme
	says 2 'riser nvme set-feature: missing or wrong --value: 32 bits' \
		nvme set-feature model:nvme -f 4
}

# What the verbs do to the file that the model's namespace lies on.
commands_do_what_they_say()
{
	local on='model:nvme?backing=disk'

	random disk 4194304
	cp disk before
	says 0 '' nvme write "$on" -s 8 -c 7 -z 4096 -d data
	cmp <(tail -c +4097 disk | head -c 4096) data
	cmp -n 4096 disk before
	cmp <(tail -c +8193 disk) <(tail -c +8193 before)
	"$riser" nvme read "$on" -s 8 -c 7 -z 100 | cmp - <(head -c 100 data)
	says 0 '' nvme read "$on" -s 8 -c 7 -d out.bin -f -l
	cmp out.bin data
	says 0 '' nvme compare "$on" -s 8 -c 7 -d data
	says 5 'riser nvme compare: compare on * failed: Compare Failure (0x4285)' \
		nvme compare "$on" -s 9 -c 7 -d data
	says 0 '' nvme flush "$on"
	says 0 '' nvme write-zeroes "$on" -s 8 -c 3 --deac
	cmp <(tail -c +4097 disk | head -c 2048) <(head -c 2048 /dev/zero)
	cmp <(tail -c +6145 disk | head -c 2048) <(tail -c +2049 data)
	says 0 '' nvme dsm "$on" --ad --slbs=0,4096 --blocks=8,64
	cmp <(head -c 4096 disk) <(head -c 4096 /dev/zero)
	says 0 '' nvme format "$on" -n 1 --block-size=4096 --reset
	says 0 '' nvme reset "$on"
}

# Erased, and with the blocks that it had.
format_keeps_the_format()
{
	random disk 1048576
	gives 1 'j["lbaf"]' nvme format 'model:nvme?backing=disk&block=4096' --json
	cmp -n 1048576 disk /dev/zero
	gives 0 'j["lbaf"]' nvme format 'model:nvme?backing=disk&block=512' --json
	gives 1 'j["lbaf"]' nvme format 'model:nvme?namespaces=2&block2=4096' -n 2 --json
}

passes_commands_through()
{
	"$riser" nvme id-ctrl model:nvme -b >raw
	"$riser" nvme admin-passthru model:nvme -o 6 -l 4096 -r --cdw10=1 -b | cmp - raw
	"$riser" nvme admin-passthru model:nvme -o 6 -l 4096 --cdw10=1 -i got >/dev/null
	cmp got raw
	"$riser" nvme io-passthru model:nvme -o 1 -n 1 -l 512 -w --cdw12=0 -i data |
		grep -qx 'IO command 0x01 succeeded, result: 0x00000000'
	"$riser" nvme io-passthru no:such -o 2 --cdw10=0x10 --dry-run | grep -qx 'cdw10        : 00000010'
	"$riser" nvme io-passthru 'model:nvme?fault=lost,opcode=read' --timeout 300 \
		-o 2 -n 1 -l 512 --verbose >/dev/null 2>log
	grep -q 'not answered in time' log
	says 1 'riser nvme admin-passthru: admin command on model:nvme failed: Invalid *' \
		nvme admin-passthru model:nvme -o 0xc4
	says 2 'riser nvme io-passthru: missing or wrong --opcode: 0 to 0xff' \
		nvme io-passthru model:nvme
	says 2 'riser nvme io-passthru: opcode 0x2 does not transfer data that way: *' \
		nvme io-passthru model:nvme -o 2 -w -l 512
}

try 'id-ctrl in text, JSON and binary' identifies_in_three_ways
try 'id-ns and list-ns' identifies_namespaces
try 'logs' reads_logs
try 'features' features
try 'each I/O verb does what it says' commands_do_what_they_say
try 'format keeps the format' format_keeps_the_format
try 'passthru' passes_commands_through

refuses 2 "riser nvme: unknown verb 'id-ctlr'; did you mean 'id-ctrl'?" nvme id-ctlr model:nvme
refuses 2 'riser nvme: missing verb (riser nvme --help lists them)' nvme
refuses 2 "riser nvme id-ctrl: 'modle:' is no way *; did you mean 'model:'?" nvme id-ctrl modle:nvme
refuses 2 "riser nvme id-ctrl: 'mem:' is no way *" nvme id-ctrl mem:1G
refuses 2 'riser nvme id-ctrl: --output-format wants one of normal, json, binary, not *' \
	nvme id-ctrl model:nvme -o xml
refuses 4 'riser nvme read: model:nvme: no namespace 9; there is 1' nvme read model:nvme -n 9
refuses 4 'riser nvme read: *: 2 namespaces (1, 2): choose one with nsid=' \
	nvme read 'model:nvme?namespaces=2'
refuses 4 'riser nvme id-ns: *' nvme id-ns model:nvme -n 9
refuses 1 'riser nvme read: 1024 blocks are 524288 bytes, more than the 131072 bytes * (MDTS)' \
	nvme read 'model:nvme?mdts=5' -c 1023
refuses 1 'riser nvme read: read on model:nvme failed: LBA Out of Range (0x4080)' \
	nvme read model:nvme -s 0x200000
refuses 2 'riser nvme read: --block-count wants 0 to 65535: it is zero-based' \
	nvme read model:nvme -c 65536
refuses 2 'riser nvme write: --data-size 4096 is more than the 1 blocks hold (512 bytes)' \
	nvme write model:nvme -z 4096 -d data
refuses 1 'riser nvme write: data ends after 4096 of 8192 bytes' \
	nvme write model:nvme -c 15 -d data
refuses 4 'riser nvme write: missing cannot be read: No such file or directory' \
	nvme write model:nvme -d missing
refuses 2 'riser nvme dsm: --blocks and --slbs * want lists of equally many numbers, 1 to 256' \
	nvme dsm model:nvme --slbs=1,2 --blocks=1
refuses 2 'riser nvme format: --lbaf and --block-size exclude each other' \
	nvme format model:nvme -l 1 -b 512
refuses 2 'riser nvme format: * has several namespaces, each with a format to keep: *' \
	nvme format 'model:nvme?namespaces=2'
refuses 1 'riser nvme format: model:nvme has no format with blocks of 1024 bytes' \
	nvme format model:nvme -b 1K
refuses 4 'riser nvme id-ctrl: *: not ready (CSTS.RDY) within CAP.TO of being enabled' \
	nvme id-ctrl 'model:nvme?to=1&fault=stuck-rdy,times=99'
refuses 4 'riser nvme id-ctrl: *: the function is gone' \
	nvme id-ctrl 'model:nvme?fault=gone,opcode=identify'
refuses 1 'riser nvme read: read on * failed: Unrecovered Read Error (0x281)' \
	nvme read 'model:nvme?fault=status=0x281,opcode=read'
tap_end
