# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# For the tests in here; source it first.
#
#	disk SERIAL		the kernel's node of the disk with this serial number, once it has it
#	bdf SERIAL		where its controller is
#	as_user COMMAND…	as somebody without rights
#	until_true COMMAND…	try again for some time
#	host COMMAND {…}	QEMU's monitor is told
# shellcheck source=SCRIPTDIR/../../tap.sh
. "$(dirname "${BASH_SOURCE[0]}")/../../tap.sh"
chmod 755 "$scratch"

until_true()
{
	local _

	for _ in {1..300}; do
		! "$@" >/dev/null 2>&1 || return 0
		sleep 0.1
	done
	"$@"
}

# The folder in /sys of the kernel's controller with serial number $1
controller()
{
	local dir

	for dir in /sys/class/nvme/nvme*; do
		[ "$(tr -d ' ' 2>/dev/null <"$dir/serial")" != "$1" ] || { echo "$dir"; return; }
	done
	echo "no controller has the serial number $1" >&2
	return 1
}

has_disk()
{
	local dir

	dir=$(controller "$1") && [ -b "/dev/${dir##*/}n1" ]
}

disk()
{
	local dir

	until_true has_disk "$1" && dir=$(controller "$1") && echo "/dev/${dir##*/}n1"
}

bdf()
{
	local dir

	until_true controller "$1" >&2 && dir=$(controller "$1") && cat "$dir/address"
}

as_user()
{
	setpriv --reuid=1000 --regid=1000 --clear-groups env HOME=/tmp "$@"
}

host()
{
	echo "!$*" >/dev/ttyS1
}
