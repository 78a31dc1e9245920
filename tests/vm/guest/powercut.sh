# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# The kernel's ext4 through power cuts, other seeds in each boot; see tests/vm/powercut.c.
set -e
: "${RISER_TEST_SEEDS=67}"
case $vm_boot in
bookworm) : "${RISER_TEST_SEED=1}" ;;
bookworm-backports) : "${RISER_TEST_SEED=101}" ;;
*) : "${RISER_TEST_SEED=201}" ;;
esac
export RISER_TEST_SEED RISER_TEST_SEEDS
modprobe -a nbd ext4
exec /riser/build/tests/vm-powercut /dev/nbd0 /tmp/mounted
