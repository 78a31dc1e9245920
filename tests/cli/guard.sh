#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# --yes-destroy-data: what may hold somebody's data is not written without it. The device is a loop
# device on a file of our own.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
need losetup
random image 1048576
cp image before
loop=$(losetup --find --show image 2>/dev/null) || loop=
if [ -z "$loop" ]; then
	skip 'a loop device is judged' 'no loop device to be had here'
	tap_end
fi
trap 'losetup -d "$loop"; rm -rf "$scratch"' EXIT
wants="$loop may hold data that somebody wants: give --yes-destroy-data to overwrite it"

untouched()
{
	sync
	cmp image before
}

with_the_flag()
{
	says 0 '' zero "$loop" --length 4K --yes-destroy-data
	sync
	cmp <(head -c 4096 image) <(head -c 4096 /dev/zero)
}

try 'reading needs no flag' says 0 '' read "$loop" --length 4K
try 'info tells' gives True 'j["needs_yes_destroy_data"]' info "$loop" --json
for verb in write zero trim 'copy before' 'bench --rw=write --ios=1' 'stats --rw=write --ios=1'; do
	# shellcheck disable=SC2086
	refuses 2 "riser ${verb%% *}: $wants" $verb "$loop"
done
refuses 2 "riser publish: $wants, or --readonly" publish "$loop" nbd: --run true
refuses 0 '' publish "$loop" nbd: --readonly --run true
refuses 0 '' bench "$loop" --rw=read --ios=1 --json
# A model is judged by what it lies on.
model="model:nvme?backing=$loop"
refuses 2 "riser zero: $model may hold data that somebody wants: *" zero "$model"
for verb in write write-zeroes 'format -l 0' 'set-feature -f 4 -v 1' 'dsm --slbs=0 --blocks=1 -d'; do
	# shellcheck disable=SC2086
	refuses 2 "riser nvme ${verb%% *}: $model may hold data that somebody wants: *" \
		nvme $verb "$model"
done
refuses 2 'riser nvme io-passthru: I/O command may change *: give --yes-destroy-data' \
	nvme io-passthru "$model" -o 8 -n 1
refuses 0 '' nvme io-passthru "$model" -o 0 -n 1
try 'nothing was written' untouched
try 'with the flag it is written' with_the_flag
losetup -d "$loop"
loop=$(losetup --find --show --read-only image)
refuses 3 "riser zero: $loop is read-only" zero "$loop" --yes-destroy-data
tap_end
