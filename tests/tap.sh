# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# TAP for tests written in bash; source it first.
#
#	try 'what it is called' command arg…	one case: passes when the command does
#	skip 'name' why; ok 'name'; not_ok 'name' [why]
#	need TOOL…				first of all: without a tool the whole program skips
#	have TOOL 'name' && try 'name' …	without the tool one case skips
#						(where RISER_REQUIRE_TOOLS is set, both fail)
#	tap_end					the plan; its status is the program's
#
# $top is the source tree, $scratch a directory that vanishes with the program.
set -euo pipefail
export LC_ALL=C
# shellcheck disable=SC2034
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tap_number=0 tap_failed=0

ok()
{
	echo "ok $((++tap_number)) - $1"
}

not_ok()
{
	[ -z "${2-}" ] || echo "# ${2//$'\n'/$'\n'# }"
	echo "not ok $((++tap_number)) - $1"
	tap_failed=1
}

skip()
{
	echo "ok $((++tap_number)) - $1 # SKIP $2"
}

try()
{
	local name=$1 said status

	shift
	set +e # an "if" here would keep -e from working inside the command, were it a function
	said=$(set -e; "$@" 2>&1)
	status=$?
	set -e
	if ((status == 0)); then
		ok "$name"
	else
		not_ok "$name" "$said"
	fi
}

# The case NAME wants TOOL.
have()
{
	command -v "$1" >/dev/null && return
	if [ -n "${RISER_REQUIRE_TOOLS-}" ]; then
		not_ok "$2" "missing: $1 (tools/install check)"
	else
		skip "$2" "$1 is not installed"
	fi
	return 1
}

need()
{
	local tool

	for tool; do
		have "$tool" "with $tool" || tap_end
	done
}

tap_end()
{
	echo "1..$tap_number"
	exit "$tap_failed"
}
