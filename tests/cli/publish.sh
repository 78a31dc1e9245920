#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# publish: --run, signals, sockets, what it refuses.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
random disk 1048576

# started FILE: wait until a server wrote where it is
started()
{
	for _ in $(seq 100); do
		[ ! -s "$1" ] || return 0
		sleep 0.1
	done
	echo "not started"
	return 1
}

command_sees_socket_and_uri()
{
	# shellcheck disable=SC2016
	"$riser" publish disk nbd: --run 'test -S "$socket" && echo "$uri $socket"' >said
	read -r uri socket <said
	[ "$uri" = "nbd+unix:///?socket=$socket" ]
	[ ! -e "$socket" ] && [ ! -e "${socket%/*}" ]
}

command_decides_the_exit_code()
{
	says 0 '' publish disk nbd: --run true
	says 7 '' publish disk nbd: --run 'exit 7'
	says 137 '' publish disk nbd: --run 'kill -9 $$'
	# shellcheck disable=SC2016
	says 3 '' publish disk nbd: --socket s --run 'test "$socket" = s && exit 3'
	[ ! -e s ]
}

# stops SIGNAL URI: the server ends with 0, and its socket is gone
stops()
{
	local pid code=0

	rm -f where
	env --default-signal=HUP "$riser" publish "$2" nbd: --socket s --readonly >where &
	pid=$!
	started where
	[ "$(cat where)" = 'nbd+unix:///?socket=s' ]
	says 4 'riser publish: a server listens on s already: *' publish disk nbd: --socket s
	kill -"$1" "$pid"
	wait "$pid" || code=$?
	[ "$code" = 0 ] && [ ! -e s ]
}

ends_the_command_first()
{
	local pid code=0

	rm -f where
	cat >waits <<-'END'
		sleep 60 >/dev/null 2>&1 &
		trap 'kill $!; test -S "$socket" && exit 9' TERM
		echo up >where
		wait
	END
	"$riser" publish disk nbd: --run '. ./waits' &
	pid=$!
	started where
	kill "$pid"
	wait "$pid" || code=$?
	[ "$code" = 9 ] || { echo "exit code $code"; return 1; }
}

# What the command started in turn ends with it.
ends_what_the_command_started()
{
	local pid code=0

	rm -f where
	"$riser" publish disk nbd: --run 'sleep 60 & sleep 60 | (echo "$!" >where; cat)' </dev/null &
	pid=$!
	started where
	kill "$pid"
	wait "$pid" || code=$?
	[ "$code" = 143 ] || { echo "exit code $code"; return 1; }
	for _ in $(seq 100); do
		[ -e "/proc/$(cat where)" ] || return 0
		sleep 0.1
	done
	echo 'still there'
	kill "$(cat where)"
	return 1
}

# What one process writes to, another does not; any number read it.
writes_alone()
{
	local pid code=0

	rm -f where
	"$riser" publish disk nbd: --socket s >where &
	pid=$!
	started where
	says 4 'riser write: disk is held by another riser process, *' write disk </dev/null
	says 4 'riser publish: backing of namespace 1: disk is held by another riser process, *' \
		publish 'model:nvme?backing=disk' nbd: --run true
	says 0 '' read disk --length 4K
	says 0 '' publish disk nbd: --readonly --run true
	kill "$pid"
	wait "$pid"
	says 0 '' publish disk nbd: --run true
}

reads_with_others()
{
	local pid

	rm -f where
	"$riser" publish disk nbd: --socket s --readonly >where &
	pid=$!
	started where
	says 0 '' publish disk nbd: --readonly --run "'$riser' publish disk nbd: --run true"
	kill "$pid"
	wait "$pid"
}

replaces_a_stale_socket()
{
	python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("stale")'
	says 0 '' publish disk nbd: --socket stale --run true
}

free_port()
{
	local pid

	rm -f where
	"$riser" publish disk nbd: --port 0 --json --readonly >where &
	pid=$!
	started where
	kill "$pid"
	wait "$pid"
	python3 -c 'import json, re
j = json.load(open("where"))
assert re.fullmatch(r"nbd://127\.0\.0\.1:[1-9][0-9]*/", j["uri"]), j
assert j["size"] == 1048576 and j["read_only"] is True'
}

data_goes_both_ways()
{
	random new 1048576
	# shellcheck disable=SC2016
	"$riser" publish disk nbd: --run 'nbdcopy "$uri" got && nbdcopy new "$uri"'
	cmp disk new
	! cmp -s got new
}

clients_see_read_only()
{
	# shellcheck disable=SC2016
	"$riser" publish disk nbd: --readonly --run 'nbdinfo --is read-only "$uri"'
	# shellcheck disable=SC2016
	! "$riser" publish disk nbd: --run 'nbdinfo --is read-only "$uri"'
}

# passed N ARG…: riser publish as a service manager that passes N sockets starts it
passed()
{
	# shellcheck disable=SC2016
	sh -c 'n=$1; shift; LISTEN_PID=$$ LISTEN_FDS=$n exec "$@"' sh "$1" "$riser" publish "${@:2}" 2>err
}

sockets_that_are_passed()
{
	local code=0

	passed 2 disk nbd: || code=$?
	[ $code = 2 ] && grep -q 'passes 2 sockets, not one' err
	code=0
	passed 1 disk nbd: --socket s || code=$?
	[ $code = 2 ] && grep -q 'leave --socket' err
	code=0
	passed 1 disk nbd: 3<disk || code=$?
	[ $code != 0 ] && grep -q 'no stream socket that listens' err
	# For somebody else, it is not looked at.
	# shellcheck disable=SC2016
	LISTEN_PID=1 LISTEN_FDS=7 "$riser" publish disk nbd: --run 'test -S "$socket"'
}

try 'sockets of a service manager' sockets_that_are_passed
try 'the command finds uri and socket' command_sees_socket_and_uri
try "the command's exit code is ours" command_decides_the_exit_code
try 'SIGINT stops cleanly' stops INT disk
try 'SIGTERM stops cleanly' stops TERM disk
try 'SIGHUP stops cleanly' stops HUP disk
try 'SIGTERM stops what has a thread' stops TERM 'model:nvme?mode=thread'
try 'a signal ends the command while it is still served' ends_the_command_first
try 'a signal ends what the command started' ends_what_the_command_started
try 'what is written to is held' writes_alone
try 'a file is published read-only beside others' reads_with_others
try 'a stale socket is replaced' replaces_a_stale_socket
try 'a free port is told' free_port
name='nbdcopy both ways'
have nbdcopy "$name" && try "$name" data_goes_both_ways
name='nbdinfo sees read-only'
have nbdinfo "$name" && try "$name" clients_see_read_only

refuses 2 "riser publish: unknown publisher 'ndb:'; did you mean 'nbd:'?" publish disk ndb:
refuses 2 "riser publish: unknown publisher 'nbd'; did you mean 'nbd:'?" publish disk nbd
refuses 2 "riser publish: 'nbd:x': nothing may follow the colon" publish disk nbd:x
refuses 2 'riser publish: --socket and --port exclude each other' \
	publish disk nbd: --socket s --port 1
refuses 2 'riser publish: --port wants 0 to 65535' publish disk nbd: --port 65536
refuses 4 'riser publish: *' publish disk nbd: --socket no/such/folder/s
refuses 4 'riser publish: cannot open missing: No such file or directory' publish missing nbd:
tap_end
