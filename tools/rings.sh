# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# What ./check and ./soak share: building into build-check/, running rings of tests, counting
# cases. Source it from the top of the tree.
[ -z "${CI-}" ] || export RISER_REQUIRE_TOOLS=1
export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=1:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-halt_on_error=1:print_stacktrace=1}

out=build-check
mkdir -p $out
passed=0 failed=0 skipped=0

# report RING SECONDS PASSED FAILED SKIPPED
report()
{
	local counts="$3 passed"

	passed=$((passed + $3)) failed=$((failed + $4)) skipped=$((skipped + $5))
	[ "$4" = 0 ] || counts+=", $4 failed"
	[ "$5" = 0 ] || counts+=", $5 skipped"
	printf '%-24s %4d s   %s\n' "$1" "$2" "$counts"
}

# step RING COMMAND…: one case, which is that the command succeeds
step()
{
	local ring=$1 start=$SECONDS log=$out/${1// /-}.log

	shift
	if "$@" >"$log" 2>&1; then
		report "$ring" $((SECONDS - start)) 1 0 0
	else
		report "$ring" $((SECONDS - start)) 0 1 0
		grep -E -A12 'error:|ERROR|FAILED' "$log" | head -n 60 || tail -n 30 "$log"
		return 1
	fi
}

# wants RING TOOL: skip the ring without the tool
wants()
{
	command -v "$2" >/dev/null && return
	echo "$1: $2 is not installed"
	if [ -n "${RISER_REQUIRE_TOOLS-}" ]; then
		report "$1" 0 0 1 0
	else
		report "$1" 0 0 0 1
	fi
	return 1
}

# configure DIR OPTION…: a build folder; a new one where it was made elsewhere or otherwise
configure()
{
	local dir=$out/$1

	shift
	[ "$(cat "$dir/options" 2>/dev/null)" = "$PWD $*" ] && return
	rm -rf "$dir"
	meson setup "$dir" "$@" && echo "$PWD $*" >"$dir/options"
}

# build DIR OPTION…
build()
{
	configure "$@" && ninja -C "$out/$1"
}

# rings DIR: the rings that its tests belong to; "threaded" and "slow" only mark some of them, and
# "hardware" is a user's
rings()
{
	meson introspect --tests "$out/$1" | python3 -c '
import json, sys
suites = [s.split(":")[-1] for test in json.load(sys.stdin) for s in test["suite"]]
known = ["tree", "unit", "model", "cli", "interop"]
print(*[s for s in known if s in suites],
      *sorted(set(suites) - set(known) - {"threaded", "slow", "riser", "hardware"}))'
}

# tests RING DIR SUITE
tests()
{
	local start=$SECONDS counts log=$out/$2/meson-logs/$3

	rm -f "$log.json"
	meson test -C "$out/$2" --suite "$3" --logbase "$3" >"$log.log" 2>&1 || true
	[ -f "$log.json" ] || grep -E -A12 'error:|ERROR|FAILED' "$log.log" | head -n 60 || true
	counts=$(tools/count-tests "$log.json")
	# shellcheck disable=SC2086
	report "$1" $((SECONDS - start)) $counts
}

# mutants [OPTION…]: all of them, or as tests/mutants/run is told
mutants()
{
	local start=$SECONDS counts

	counts=$(tests/mutants/run --counts "$@" || true)
	# shellcheck disable=SC2086
	report mutants $((SECONDS - start)) $counts
}

# fuzz [OPTION…]: the targets, as tests/fuzz/run is told, and what their corpora cover
fuzz()
{
	local start=$SECONDS log=$out/fuzz.log

	tests/fuzz/run "$@" >"$log" 2>&1 || true
	report fuzz $((SECONDS - start)) "$(grep -c '^ok [^#]*$' "$log")" \
		"$(grep -c '^not ok' "$log")" "$(grep -c '^ok .*# SKIP' "$log")"
	grep -E '^# [a-z_]+: [0-9.]+ %' "$log" || true
}

# vm: guests that run the release build; what each boot said that is not "ok"
vm()
{
	local start=$SECONDS counts log=$out/vm.log

	if [ -z "${CI-}" ] && ! tools/install vm; then
		report vm 0 0 0 1
		return
	fi
	{ tools/install vm && tests/vm/run --build "$out/release"; } >"$log" 2>&1 || true
	counts=$(sed -nE '$s/^([0-9]+) passed, ([0-9]+) failed(, ([0-9]+) skipped)?$/\1 \2 \4/p' "$log")
	if [ -n "$counts" ]; then
		grep -vE '^(ok|#) ' "$log" | head -n -1
	else
		tail -n 20 "$log"
	fi
	# shellcheck disable=SC2086
	set -- ${counts:-0 1}
	report 'vm, all boots' $((SECONDS - start)) "$1" "$2" "${3:-0}"
}

# The two builds that both commands test.
build_asan()
{
	build asan -Db_sanitize=address,undefined -Db_lundef=false -Ddebug_checks=true
}

# Nothing is built here until tests ask for it: the threaded ones, and what they need.
configure_tsan()
{
	configure tsan -Db_sanitize=thread -Db_lundef=false -Dbuildtype=debug -Doptimization=1
}

packages()
{
	tools/install build check && return
	if [ -n "${CI-}" ] || ! tools/install build >/dev/null 2>&1; then
		failed=1
		finish
	fi
	echo "what is missing is skipped"
}

# The last line, and the status.
finish()
{
	local counts="$passed passed, $failed failed"

	((skipped == 0)) || counts+=", $skipped skipped"
	echo "all rings: $SECONDS s"
	echo "$counts"
	exit $((failed > 0))
}
