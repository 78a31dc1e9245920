#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# hardware.sh RISER TEST-NVME: the suite for a user's controller, on a model that lies on a file.
nvme_test=$(realpath "$2")
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
random disk 16777216
cp disk before

# suite [VAR=VALUE…]: its status; its output is in "said", its report in "report"
suite()
{
	env -u NVME_ADDR -u RISER_TEST_PCI RISER_TEST_REPORT=report "$@" "$top/tests/hardware/run" "$nvme_test" \
		"$riser" >said 2>&1
}

tells_how()
{
	suite
	grep -qx 'ok 1 - RISER_TEST_PCI=.* # SKIP .*' said
	[ ! -e report ]
}

reads_only()
{
	suite RISER_TEST_PCI='model:nvme?backing=disk'
	cmp disk before
	grep -qx "ok 14 - the report to send back is $PWD/report" said
	grep -qx '1\.\.14' said
	grep -q '^ok 2 - write_and_read_back # SKIP' said
	grep -q '^ok 4 - many_in_flight$' said
	grep -qx 'its first MiB is not empty.*' report
	for section in riser machine doctor identify id-ctrl smart-log tests; do
		grep -qx "== $section" report || { echo "no $section"; return 1; }
	done
}

a_protected_namespace_stays_so()
{
	suite RISER_TEST_PCI='model:nvme?backing=[file:disk?readonly=1]' RISER_TEST_DESTROY=yes || true
	cmp disk before
	grep -q 'hint: it is write protected' report
}

destroys()
{
	suite NVME_ADDR='model:nvme?backing=disk' RISER_TEST_DESTROY=yes
	! cmp -s disk before || return 1
	grep -q 'hint: RISER_TEST_DESTROY=yes overwrites that' report
	! grep -q 'SKIP' said || return 1
}

fails()
{
	if suite RISER_TEST_PCI='model:nvme?fault=status=0x281,opcode=read,nth=700'; then return 1; fi
	grep -q '^not ok' said
	grep -q 'status 1' report
	if suite RISER_TEST_PCI=0000:ff:1f.7; then return 1; fi
	grep -q '^not ok 1 - there is no PCI function 0000:ff:1f.7' said
}

try 'without a controller it tells how' tells_how
try 'nothing is written, and there is a report' reads_only
try 'what is write protected is not written either' a_protected_namespace_stays_so
try 'with RISER_TEST_DESTROY=yes it is' destroys
try 'a failure is one' fails
tap_end
