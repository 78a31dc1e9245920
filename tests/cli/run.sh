#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# riser run --give-back, on a machine and a kernel of our own (machine.py): who ends how, what comes
# back, what is left behind. No root is needed. There is no controller behind the function, so that
# shutting it down in order fails, is told, and is no reason to keep the function.
# shellcheck source=SCRIPTDIR/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=SCRIPTDIR/machine.sh
. "$top/tests/cli/machine.sh"

driver_of()
{
	basename "$(readlink "$tree/sys/bus/pci/devices/$1/driver")"
}

# back BDF: it has its driver, and nothing tells any more that it was away
back()
{
	[ "$(driver_of "$1")" = "${2-nvme}" ] || { echo "$1 has $(driver_of "$1")"; return 1; }
	! find "$tree/run/riser" -type f 2>/dev/null | grep .
}

# ends STATUS ARG…: riser run ARG… does
ends()
{
	local want=$1 status=0

	shift
	"$riser" run --give-back $nvme "$@" >out 2>err || status=$?
	[ "$status" = "$want" ] || { echo "status $status, not $want"; cat err; return 1; }
}

until_true()
{
	local _

	for _ in {1..100}; do
		! "$@" 2>/dev/null || return 0
		sleep 0.1
	done
	"$@"
}

# supervise CMD…: in the background; $supervisor supervises it, $program is it
supervise()
{
	rm -f pid
	# shellcheck disable=SC2016
	env --default-signal=INT "$riser" run --give-back $nvme -- sh -c 'echo $$ >pid.new; mv pid.new pid; exec "$@"' - "$@" \
		>out 2>err &
	supervisor=$!
	until_true test -e pid
	program=$(cat pid)
}

# supervised STATUS: how the supervisor ends
supervised()
{
	local status=0

	wait $supervisor || status=$?
	[ $status = "$1" ] || { echo "status $status, not $1"; cat err; return 1; }
}

the_status_is_the_programs()
{
	fresh
	umask 0
	ends 0 -- stat -c %a "$tree/run/riser/run/$nvme"
	[ "$(cat out)" = 644 ]
	umask 022
	ends 7 -- sh -c "readlink $tree/sys/bus/pci/devices/$nvme/driver; cat $tree/run/riser/run/$nvme; exit 7"
	grep -q '/vfio-pci$' out
	grep -q ' sh$' out
	back $nvme
	grep -q "riser run: $nvme was not shut down in order: " err
	ends 0 -- true
	# shellcheck disable=SC2016
	ends 137 -- sh -c 'kill -9 $$'
	ends 127 -- no-such-program
	grep -q 'riser run: no-such-program cannot be run: No such file or directory' err
	ends 126 -- /
	back $nvme
	# Its own options are its own.
	ends 0 -- echo --user nobody -- -x
	[ "$(cat out)" = '--user nobody -- -x' ]
}

killed()
{
	fresh
	supervise sleep 1000
	kill -9 "$program"
	supervised 137
	back $nvme
}

signals_are_passed_on()
{
	local signal

	for signal in TERM INT; do
		fresh
		# shellcheck disable=SC2016
		supervise bash -c 'trap "exit 9" TERM INT; sleep 1000 & wait'
		sleep 0.3
		kill -$signal $supervisor
		supervised 9
		back $nvme
	done
}

# Told to end while the function is being taken: it comes back, and nothing is started.
ended_before_it_began()
{
	fresh
	# shellcheck disable=SC2016
	echo 'kill $PPID' >"$tree/on-load"
	ends 143 -- touch started
	[ ! -e started ]
	back $nvme
}

# The program is told to end when its supervisor is killed, and what is left is finished.
supervisor_killed()
{
	fresh
	supervise sleep 1000
	kill -9 $supervisor
	wait $supervisor || true
	until_true test ! -d "/proc/$program"
	[ "$(driver_of $nvme)" = vfio-pci ]
	"$riser" restore >out 2>err
	grep -q "^$nvme: nvme, nvme0n1" out
	back $nvme
	says 2 'riser restore: missing argument BDF…: no riser run *' restore
}

hands_off()
{
	fresh
	supervise sleep 1000
	says 4 "riser restore: $nvme is supervised by riser run, pid $supervisor (sh), *" restore $nvme
	says 4 "riser run: $nvme is supervised by riser run, pid $supervisor (sh)" \
		run --give-back $nvme -- true
	says 2 'riser restore: missing argument *' restore
	kill $supervisor
	supervised 143
	back $nvme
}

# Whoever looks for a note waits for who is about to leave one.
two_at_once()
{
	local status=0

	fresh
	mkdir -p "$tree/run/riser/run"
	exec 9<"$tree/run/riser/run"
	flock 9
	"$riser" run --give-back $nvme -- touch started 2>err 9<&- & supervisor=$!
	sleep 0.5
	echo "$$ $(cut -d ' ' -f 22 "/proc/$$/stat") sh" >"$tree/run/riser/run/$nvme"
	exec 9<&-
	wait $supervisor || status=$?
	[ $status = 4 ] || { echo "status $status"; cat err; return 1; }
	[ ! -e started ]
	grep -q "riser run: $nvme is supervised by riser run, pid $$ (sh)" err
}

# A number that another process has by now is no supervisor.
number_used_again()
{
	fresh
	says 0 '' bind $nvme
	mkdir -p "$tree/run/riser/run"
	echo "$$ 1 sh" >"$tree/run/riser/run/$nvme"
	"$riser" restore >out 2>err
	back $nvme
}

# has_open PID: as /proc would show it
has_open()
{
	mkdir -p "$tree/proc/$1/fd"
	echo stray >"$tree/proc/$1/comm"
	ln -s /dev/vfio/7 "$tree/proc/$1/fd/3"
}

# What the program leaves behind with the function open is ended, and killed if it must be. A
# watcher makes that visible in the tree, as /proc would be.
leaves_something_behind()
{
	fresh
	export -f has_open
	export tree
	# shellcheck disable=SC2016
	ends 5 --grace 2 -- bash -c '
		(trap "" TERM; while :; do sleep 0.1; done) &
		echo $! >pid
		has_open $!
		(while [ -d "/proc/$(cat pid)" ]; do sleep 0.1; done; rm -r "$tree/proc/$(cat pid)") &
		exit 5'
	grep -q "vfio/7 is open in process $(cat pid) (stray): waiting 2 seconds at the most" err
	[ ! -d "/proc/$(cat pid)" ]
	back $nvme
}

held_by_somebody_else()
{
	fresh
	sleep 1000 >/dev/null 2>&1 &
	has_open $!
	ends 4 --grace 1 -- true
	grep -q "riser run: $nvme cannot be given back: vfio/7 is open in process $! (stray); end it (kill $!), then riser restore $nvme" err
	kill -0 $!
	[ "$(driver_of $nvme)" = vfio-pci ]
	[ -e "$tree/run/riser/run/$nvme" ]
	kill $!
	rm -r "$tree/proc/$!"
	"$riser" restore >out 2>err
	back $nvme
}

several_functions()
{
	fresh
	"$riser" run --give-back $shared --give-back $sound -- \
		readlink "$tree/sys/bus/pci/devices/"{$shared,$sound}/driver >out 2>err
	[ "$(grep -c '/vfio-pci$' out)" = 2 ]
	back $shared
	back $sound snd_hda_intel
}

# What was bound already is given back to the driver that riser bind recorded.
found_bound()
{
	fresh
	says 0 '' bind $nvme
	ends 0 -- true
	back $nvme
}

nothing_came_of_it()
{
	fresh
	echo "deaf $nvme vfio-pci" >"$tree/ctl"
	says 1 "riser run: $nvme was to get vfio-pci, *; taken back: $nvme has nvme again" \
		run --give-back $nvme -- touch started
	[ ! -e started ]
	back $nvme
	fresh
	# shellcheck disable=SC2016
	ends 1 -- sh -c 'echo "deaf $1 nvme" >"$2/ctl"; sleep 0.2' - $nvme "$tree"
	grep -q "$nvme cannot be given back: .*; riser restore $nvme tries again" err
	[ -e "$tree/run/riser/run/$nvme" ]
}

try "the status is the program's" the_status_is_the_programs
try 'a program that is killed' killed
try 'signals are passed on' signals_are_passed_on
try 'a signal before it began' ended_before_it_began
try 'a supervisor that is killed' supervisor_killed
try 'what is supervised is left alone' hands_off
try 'two at once' two_at_once
try 'a number of a process that is used again' number_used_again
try 'what the program leaves behind' leaves_something_behind
try 'somebody else has it open' held_by_somebody_else
try 'several functions' several_functions
try 'a function that was bound already' found_bound
try 'what fails is told' nothing_came_of_it
refuses 2 'riser run: missing --give-back BDF: the function to give back' run -- true
refuses 2 'riser run: missing program: riser run * -- CMD *' run --give-back $nvme
refuses 2 'riser run: missing program: *' run --give-back $nvme --
refuses 2 'riser run: missing program: riser run * -- CMD *' run --give-back $nvme true
refuses 2 "riser run: there is no user 'nobody-at-all'" \
	run --give-back $nvme --user nobody-at-all -- true
refuses 4 'riser run: *0000:09:00.0*' run --give-back 0000:09:00.0 -- true
tap_end
