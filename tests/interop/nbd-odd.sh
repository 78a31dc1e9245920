#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# nbd-odd.sh RISER: libnbd by script, with the distribution's Python, which is the one that has it.
# shellcheck source=SCRIPTDIR/../tap.sh
. "$(dirname "$0")/../tap.sh"
if ! /usr/bin/python3 -c 'import nbd' 2>/dev/null; then
	need python3-libnbd
fi
scratch=$scratch timeout 250 /usr/bin/python3 "$top/tests/interop/nbd-odd.py" "$(realpath "$1")"
