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
	run=$line
	case $line in
	sudo*) continue ;; # it would change this machine; host.sh has one to change
	*nbdinfo*) have nbdinfo "$line" || continue ;;
	*qtest:*) have qemu-system-x86_64 "$line" || continue ;;
	'riser model '*) run="timeout --preserve-status 1 $line" ;; # it serves until ^C
	esac
	try "$line" works "$run"
done

# The pages of targets: each block of their EXAMPLES, ended by a 0.
blocks()
{
	awk '
	/^# / { on = /EXAMPLES/ }
	on && /^```/ { inside = !inside; if (!inside) printf "%c", 0; next }
	on && inside { print }
	on && /^\t/ { sub(/^\t/, ""); gsub(/\\\\/, "\\"); printf "%s\n%c", $0, 0 }' "$1"
}

passes()
{
	riser dm check - <<<"$1"
}

truncate -s 4G disk.img a.img b.img nvme.img
for page in "$top"/man/riser-target-*.scd; do
	name=${page##*riser-target-} name=${name%%.*} n=0
	while IFS= read -r -d '' block; do
		case $block in
		[0-9]*) try "$name's table $((++n)) is one" passes "$block" ;;
		riser*) try "${block%$'\n'}" works "$block" ;;
		esac
	done < <(blocks "$page")
	[ "$n" -gt 0 ] || [ "$name" = switch ] || not_ok "$name has a table for an example"
done
tap_end
