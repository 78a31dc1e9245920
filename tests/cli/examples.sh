#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Every example that the command shows works as it stands.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
mkdir bin
ln -s "$riser" bin/riser
PATH=$PWD/bin:$PATH
truncate -s 4M disk.img

# A reader such as head may stop early, which is no failure: what counts is that riser has nothing
# to say on stderr but what becomes of a model's data.
works()
{
	(set +e +o pipefail; eval "$1") 2>err
	if grep -v 'its data vanishes with this process' err; then return 1; fi
}

mapfile -t lines < <({ riser | sed -n 's/^  riser /riser /p'
	riser help --completion | sed 's/ .*//; s/\./ /' | while read -r verb; do
		# shellcheck disable=SC2086
		riser $verb --help | sed -n 's/^example: //p'
	done; } | sort -u)
for line in "${lines[@]}"; do
	case $line in
	*nbdinfo*) have nbdinfo "$line" || continue ;;
	esac
	try "$line" works "$line"
done
tap_end
