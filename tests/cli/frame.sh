#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The frame of the command: verbs, options, help, exit codes, output that cannot be written.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
mapfile -t verbs < <("$riser" help --completion | sed 's/ .*//; s/\./ /')

five_examples()
{
	[ "$("$riser" | grep -c '^  riser ')" = 5 ]
}

examples_parse()
{
	local verb

	while read -r _ verb _; do
		printf '%s\n' "${verbs[@]}" | grep -qx "$verb" || { echo "no verb $verb"; return 1; }
	done < <("$riser" | grep '^  riser ')
}

every_verb_has_help()
{
	local verb

	for verb in "${verbs[@]}"; do
		# shellcheck disable=SC2086
		"$riser" $verb --help >a
		# shellcheck disable=SC2086
		"$riser" help $verb >b
		cmp a b
		grep -q "^usage: riser $verb" a || { echo "$verb: $(head -1 a)"; return 1; }
	done
}

every_verb_takes_json()
{
	local verb without

	without=$("$riser" help --completion | grep -e -- | grep -v -e --json || true)
	[ -z "$without" ] || { echo "no --json: $without"; return 1; }
	for verb in version list doctor; do
		"$riser" "$verb" --json | python3 -m json.tool >/dev/null
	done
}

# fails CODE VERB SENTENCE ARG…: with one line of JSON on stderr, and nothing on stdout
fails()
{
	local code=0

	"$riser" "${@:4}" >out 2>err || code=$?
	[ "$code" = "$1" ] && [ ! -s out ] && [ "$(wc -l <err)" = 1 ]
	python3 - "$@" <<-'END'
		import json, sys
		with open("err") as f:
		    assert json.load(f) == {"verb": sys.argv[2], "error": sys.argv[3],
		                            "exit_code": int(sys.argv[1])}
	END
}

fails_in_json()
{
	fails 4 info 'cannot open no"such: No such file or directory' info 'no"such' --json
	fails 2 read 'missing argument URI (riser read URI)' read --json
	fails 2 '' "unknown verb 'raed'; did you mean 'read'?" raed --json
	fails 2 nvme "unknown verb 'list' (riser nvme --help lists them)" nvme list --json
	fails 4 'nvme id-ns' \
		'identify namespace on model:nvme failed: Invalid Namespace or Format (0x400b)' \
		nvme id-ns model:nvme -n 9 -o json
	says 4 "riser publish: cannot open --json: *" publish -- --json nbd:
}

quiet_pipe()
{
	local code=0

	(set +e; "$riser" "$@" 2>err; echo $? >code) | head -c 1 >/dev/null
	code=$(cat code)
	[ "$code" = 1 ] || { echo "exit code $code"; return 1; }
	[ ! -s err ] || { cat err; return 1; }
}

# at_terminal ARG…: riser ARG… with a terminal for standard output, what it says on stderr in err
at_terminal()
{
	python3 - "$riser" "$@" >seen 2>err <<-'END'
		import os, pty, subprocess, sys
		ours, theirs = pty.openpty()
		riser = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=theirs)
		os.close(theirs)
		seen = b""
		try:
		    while chunk := os.read(ours, 65536):
		        seen += chunk
		except OSError:
		    pass
		os.write(1, seen)
		sys.exit(riser.wait())
	END
}

spares_terminals()
{
	local code=0 sentence="standard output is a terminal: add '> FILE' or '| xxd', or give"

	at_terminal read mem:1M --length 512 || code=$?
	[ "$code" = 2 ] && [ ! -s seen ]
	grep -qxF "riser read: $sentence --force" err
	at_terminal read mem:1M --length 512 --force
	[ "$(wc -c <seen)" = 512 ]
	code=0
	at_terminal nvme read model:nvme || code=$?
	[ "$code" = 2 ] && grep -qxF "riser nvme read: $sentence --data FILE" err
	at_terminal nvme read model:nvme --data out
	[ "$(wc -c <out)" = 512 ]
}

doctor_changes_nothing_and_remedies()
{
	gives True 'all(c["level"] != "red" or c["remedy"] for c in j["checks"])' doctor --json
	gives True '{"kernel", "io_uring", "membarrier", "memlock", "iommu", "vfio", "hugepages"} <=
		{c["name"] for c in j["checks"]}' doctor --json
}

try 'bare riser prints five examples' five_examples
try 'the examples name verbs' examples_parse
try 'every verb has help' every_verb_has_help
try 'every verb takes --json' every_verb_takes_json
try 'version says what the library is' gives True 'j["version"].count(".") == 2' version --json
try 'failures are told in JSON too' fails_in_json
try 'a terminal is spared' spares_terminals
try 'doctor remedies each red line' doctor_changes_nothing_and_remedies
try 'list knows the schemes' gives True \
	'{"file", "mem", "null"} <= set(j["schemes"]["block"])' list --json

refuses 2 "riser: unknown verb 'raed'; did you mean 'read'?" raed
refuses 2 "riser: unknown verb 'xyzzyxyzzy' (riser --help lists them)" xyzzyxyzzy
refuses 2 "riser nvme: unknown verb 'list' (riser nvme --help lists them)" nvme list
refuses 2 "riser: unknown option '--nope' *" --nope
refuses 2 'riser read: missing argument URI (riser read URI)' read
refuses 2 'riser copy: missing argument DST (riser copy SRC DST)' copy mem:1M
refuses 2 "riser read: unexpected argument 'more'" read mem:1M more
refuses 2 "riser read: unknown option '--ofset'; did you mean '--offset'?" read mem:1M --ofset 1
refuses 2 "riser read: unknown option '-q' *" read mem:1M -q
refuses 2 'riser read: --offset wants a value: SIZE' read mem:1M --offset
refuses 2 "riser read: --offset wants a size such as 4096, 64K or 1G, not '1X'" read mem:1M --offset 1X
refuses 2 "riser read: --offset: 99999999999999999999 is too large" read mem:1M --offset 99999999999999999999
refuses 2 "riser bench: --iodepth: 4294967296 is too large" bench mem:1M --iodepth 4294967296
refuses 2 "riser bench: --rw wants one of read, write, randread, randwrite, not 'sideways'" \
	bench mem:1M --rw=sideways
refuses 2 'riser version: --json takes no value' version --json=1
refuses 0 '' read --length=512 --offset 0x200 -- mem:1M
refuses 0 '' help whatever --help

try 'a reader that goes away is no sentence' quiet_pipe read null:64M
try 'help into a closed pipe is no sentence' quiet_pipe read mem:64M
if [ -e /dev/full ]; then
	full() { local code=0; "$riser" help >/dev/full 2>err || code=$?
		[ "$code" = 1 ] && grep -q '^riser help: standard output cannot be written: ' err; }
	try 'a full disk is a sentence' full
fi
tap_end
