# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# For tests of the command, each called with its path. Source it first of all.
# shellcheck source=SCRIPTDIR/../tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../tap.sh"
riser=$(realpath "$1")
cd "$scratch"

# says CODE SENTENCE ARG…: riser ARG… ends with CODE, and stderr is that one line, where a * in
# SENTENCE stands for anything. Without SENTENCE ('') stderr is empty.
says()
{
	local want=$1 sentence=$2 code=0

	shift 2
	"$riser" "$@" >out 2>err || code=$?
	if [ "$code" != "$want" ]; then
		echo "riser $*: exit code $code, not $want:"
		cat err
		return 1
	fi
	[ -n "$sentence" ] || { [ ! -s err ] || { cat err; return 1; }; return 0; }
	if [ "$(wc -l <err)" != 1 ]; then
		echo "riser $*: not one line:"
		cat err
		return 1
	fi
	# shellcheck disable=SC2053
	[[ $(cat err) == $sentence ]] || { echo "riser $*: $(cat err)"; return 1; }
}

# refuses CODE SENTENCE ARG…: as a case of its own, named by what was asked
refuses()
{
	try "riser ${*:3} ends with $1" says "$@"
}

# value PYTHON ARG…: what an expression over the JSON "j" of riser ARG… gives
value()
{
	local expression=$1

	shift
	"$riser" "$@" | python3 -c "import json, sys; j = json.load(sys.stdin); print($expression)"
}

# gives WANT PYTHON ARG…
gives()
{
	local want=$1 got

	shift
	got=$(value "$@") || return 1
	[ "$got" = "$want" ] || { echo "$1 of riser ${*:2}: $got, not $want"; return 1; }
}

# random FILE BYTES
random()
{
	head -c "$2" /dev/urandom >"$1"
}
