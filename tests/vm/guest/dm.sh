# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# The kernel's device mapper against riser's; see tests/vm/dm.c.
set -e
modprobe brd rd_nr=3 rd_size=16384
modprobe -a dm-mod dm-delay dm-flakey dm-switch
modprobe dm-unstripe || true
exec /riser/build/tests/vm-dm /dev/ram0 /dev/ram1 /dev/ram2
