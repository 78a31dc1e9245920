#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Tables: table: URIs, dm check, dm explain, dm targets.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"

a_table_is_a_device()
{
	truncate -s 0 a b
	truncate -s 1M a b
	printf '# a disk of two\n0 1024 linear a 1024\n1024 2048 striped 2 16 b 0 [a] 0\n' >table
	random data 1572864
	"$riser" write table:@table <data
	"$riser" read table:@table | cmp - data
	cmp <(tail -c +524289 a | head -c 524288) <(head -c 524288 data)
	cmp <(head -c 8192 b) <(tail -c +524289 data | head -c 8192)
	cmp <(head -c 8192 a) <(tail -c +532481 data | head -c 8192)
	gives 1572864 'j["size"]' info --json table:@table
}

an_error_has_its_place()
{
	says 1 "*line 1, column 5: unknown target 'liner': did you mean 'linear'*" \
		info 'table:0 8 liner mem:1M 0'
	says 4 '*no-such-file*' info table:@no-such-file
	says 1 '*line 1, column 13: linear: table: line 1, column 5: *' \
		info 'table:0 8 linear [table:0 8 liner] 0'
	says 4 "*no-such-file*" info 'table:0 8 linear no-such-file 0'
}

# exits CODE ARG…
exits()
{
	local want=$1 code=0

	shift
	"$riser" "$@" >out 2>&1 || code=$?
	[ "$code" = "$want" ] || { echo "riser $*: $code, not $want"; cat out; return 1; }
}

# One meaning everywhere, but for check, whose result is what it finds.
a_wrong_table_ends_alike()
{
	exits 1 info 'table:0 8 liner'
	: >nothing
	exits 1 info table:@nothing
	exits 1 read 'table:0 8 linear mem:1M'
	exits 1 publish 'table:0 8 liner' nbd:
	exits 1 dm explain '0 8 liner' 0
	exits 1 dm check '0 8 liner'
	exits 4 info 'table:0 8 linear missing 0'
	exits 4 dm explain '0 8 linear missing 0' 0
	exits 1 dm check '0 8 linear missing 0'
	says 2 '*an empty table: give a file, - for standard input, or the text' dm check ''
	exits 1 dm check 'table:'
	says 1 '{"verb": "dm explain", "error": "line 1, column 5: unknown target *", "exit_code": 1}' \
		dm explain --json '0 8 liner' 0
}

# What follows a NUL is not left out in silence, and a device without an end is not read for ever.
a_table_is_text()
{
	printf '0 8 zero\n\0008 8 zero\n' >nul
	for file in nul /dev/zero; do
		says 1 "riser info: $file is not readable text" info "table:@$file"
		says 1 "riser dm check: $file is not readable text" dm check "$file"
	done
}

what_features_are_there()
{
	check '0 8 flakey mem:1M 0 1 0 1 eror_reads' '                            ^~~~~~~~~~' \
		"unknown feature 'eror_reads': did you mean 'error_reads'?"
	check '0 8 flakey mem:1M 0 1 0 3 error_reads' '                          ^' \
		'3 feature arguments are announced, 1 follow'
	check '0 8 switch 1 8 1 mem:1M 0' '                 ^' \
		'the number of optional arguments has to be 0, not 1'
}

a_table_does_not_contain_itself()
{
	local deep=mem:1M

	printf '0 8 linear table:@one 0' >two
	printf '0 8 linear table:@two 0' >one
	says 1 '*table:@one would contain itself' info table:@one
	for _ in {1..120}; do deep="[table:0 8 linear $deep 0]"; done
	says 1 '*line 1, column 13*' info "table:0 8 linear $deep 0"
}

check_finds_nothing()
{
	says 0 '' dm check $'0 8 linear mem:1M 0\n8 8 linear mem:1M 8'
	[ "$(cat out)" = 'nothing to complain of' ]
	printf '0 8 zero' >zeroes
	says 0 '' dm check table:@zeroes
	says 0 '' dm check 'table:0 8 zero'
	says 4 '*no-such-file: *' dm check 'table:@no-such-file'
	says 0 '' dm check '0 8 delay mem:1M 0 5 mem:1M 0 20'
}

# check TABLE LINE-WITH-CARET SENTENCE
check()
{
	local rc=0

	"$riser" dm check "$1" >out 2>&1 || rc=$?
	[ $rc = 1 ] && grep -qxF -- "$2" out && grep -qF -- "$3" out || { cat out; return 1; }
}

check_finds()
{
	check $'0 8 linear mem:1M 0\n9 8 linear mem:1M 8' '  ^' 'gap in table'
	check $'0 8 linear mem:1M 0\n8 8 linear mem:1M 4' '             ^~~~~~' 'two writers'
	truncate -s 1M once
	check $'0 8 linear once 0\n8 8 linear file:./once 4' '             ^~~~~~~~~~~' 'two writers'
	check '0 8 linear mem:1M 2045' '                    ^~~~' 'too small'
	check '0 8 linear [mem:1M?block=4096] 4' '                                 ^' 'logical blocks'
	check '0 4K zero' '    ^~' "'4K' is no number of sectors"
	check '0 8 error more' '            ^~~~' 'one argument too many'
	printf '0 8 zerro' | { ! "$riser" dm check - 2>out; }
	grep -qx '      ^~~~~' out
}

# What a table, or a name, holds does nothing to a terminal, nor does a line without an end.
nothing_raw_is_shown()
{
	local esc=$'\e[31m'

	check "0 8 grün$esc" '  0 8 grün\x1b[31m' "unknown target 'grün\x1b[31m'"
	check "0 8 grün$esc" '      ^~~~~~~~~~~~' 'unknown target'
	says 1 "*unknown target '?x1b?31m'*" info "table:0 8 $esc"
	says 2 "*unknown verb '?x1b?31m'*" "$esc"
	printf '0 8 linear mem:1M %03000000d x %03000000d' 0 0 >long
	check table:@long "  …$(printf '%.59d x %.59d' 0 0)…" 'one argument too many'
	check table:@long "$(printf '%63s^' '')" 'line 1, column 3000020'
}

explains()
{
	local table='0 64 striped 2 4 mem:1M 0 mem:2M 8'

	diff - <("$riser" dm explain "$table" 6) <<-END
		6 +2 striped -> mem:2M sector 10 *
		8 +4 striped -> mem:1M sector 4 *
		12 +2 striped -> mem:2M sector 12 *
	END
	says 2 'riser dm explain: --sectors=0: an I/O has at least one sector' \
		dm explain "$table" 6 --sectors=0
	diff - <("$riser" dm explain "$table" 6 discard --sectors=30) <<-END
		6 +16 striped -> mem:1M sector 4 *
		6 +14 striped -> mem:2M sector 10 *
	END
	diff - <("$riser" dm explain "$table" 0 flush) <<-END
		striped -> mem:1M *
		striped -> mem:2M *
	END
	diff - <("$riser" dm explain '0 8 linear [table:0 16 linear mem:1M 3] 8' 1 -n 2) <<-END
		1 +2 linear -> table:0 16 linear mem:1M 3 sector 9
		    9 +2 linear -> mem:1M sector 12 *
	END
	diff - <("$riser" dm explain $'0 8 linear mem:1M 0\n8 8 delay mem:2M 0 5' 4) <<-END
		4 +4 linear -> mem:1M sector 4 *
		8 +4 delay -> decides by itself (mem:2M, …)
	END
	gives '[True, False]' '[s["known"] for s in j]' \
		dm explain $'0 8 linear mem:1M 0\n8 8 delay mem:2M 0 5' 4 --json
	says 2 '*unknown operation*' dm explain "$table" 0 frob
	says 2 '*beyond the end*' dm explain "$table" 63
}

targets_are_listed()
{
	"$riser" dm targets | grep -q '^striped '
	gives '<dev> <offset>' '[t["arguments"] for t in j if t["name"] == "linear"][0]' dm targets --json
}

try 'a table is a device' a_table_is_a_device
try 'an error has its place' an_error_has_its_place
try 'a table does not contain itself' a_table_does_not_contain_itself
try 'check finds nothing' check_finds_nothing
try 'check finds mistakes, with a caret' check_finds
try 'nothing raw is shown' nothing_raw_is_shown
try 'a wrong table ends alike' a_wrong_table_ends_alike
try 'a table is text' a_table_is_text
try 'what features there are' what_features_are_there
try 'explain tells where I/O goes' explains
try 'targets are listed' targets_are_listed
tap_end
