#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The bash completion against the command's own tables.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/../../completion/riser.bash
. "$top/completion/riser.bash"

# It works inside a completion only.
compopt()
{
	:
}

# completes LINE WANT…: the proposals for the end of LINE are exactly WANT
completes()
{
	COMP_LINE=$1 COMP_POINT=${#1}
	COMP_WORDS=("$riser")
	COMPREPLY=()
	_riser
	shift
	[ "$(printf '%s\n' "${COMPREPLY[@]}" | sort)" = "$(printf '%s\n' "$@" | sort)" ] ||
		{ echo "proposed: ${COMPREPLY[*]}"; return 1; }
}

# Each verb's options are proposed, from the line that the command prints.
every_option()
{
	local verb words

	while read -r verb words; do
		[[ $words == *--* ]] || continue
		# shellcheck disable=SC2086
		completes "riser ${verb/./ } -" $words || return 1
	done < <("$riser" help --completion)
}

mapfile -t verbs < <("$riser" help --completion | sed 's/ .*//' | grep -v '\.')
try 'verbs' completes 'riser ' "${verbs[@]}"
try 'verbs that begin so' completes 'riser ver' verify version
try 'every option of every verb' every_option
try 'options that begin so' completes 'riser read mem:1M --le' --length=
touch image.img
try 'schemes and files' completes 'riser info m' mem: model:
try 'publishers behind the URI' completes 'riser publish mem:1M ' nbd:
try 'verbs behind help' completes 'riser help ver' verify version
try 'verbs below a verb behind help' completes 'riser help nvme id-' id-ctrl id-ns
try 'a file' completes 'riser info im' image.img
try 'no proposal inside a URI' completes 'riser info mem:' ''
tap_end
