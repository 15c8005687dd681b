#!/bin/bash
# in-guest.sh stock|debug [SCRIPT...]: runs the tests of vm-tests.txt (or those named) in the
# guest and prints TAP: one point a script, and the script's own stream indented above it.
#
# Each script gets a freshly loaded module and its own process, network and mount
# namespaces: whatever it starts dies with it, and then the module must unload.
# That it does is part of its point.

set -euo pipefail
cd "$(dirname "$0")"
. ./lib.sh

kernel=$1
shift
# What the scripts are told: where the YNL client and the spec are, and that the workspace's
# integration tests shall use the module.
export YNL=/payload/ynl SPEC=/payload/ynl/specs/underpass.yaml UNDERPASS_ENGINE=kernel
export UNDERPASS_KERNEL=$kernel
module=/payload/underpass.ko

# The debug kernel can make allocations fail. A script may want that of the module's
# threads, but does not see them from its namespace: they inherit it from pid 2.
if [ -e /proc/2/make-it-fail ]; then
	for comm in /proc/2/comm $(grep -ls '^kworker' /proc/[0-9]*/comm); do
		echo 1 >"${comm%comm}make-it-fail"
	done
fi

tests=()
while read -r script stock debug long; do
	case $script in '' | '#'*) continue ;; esac
	if [ $# = 0 ]; then
		[ -z "$long" ] || continue
	else
		[[ " $* " == *" $script "* ]] || continue
	fi
	tests+=("$script $([ "$kernel" = stock ] && echo "$stock" || echo "$debug")")
done <vm-tests.txt
# Each name that was given has to be one.
[ $# = 0 ] || [ "${#tests[@]}" = $# ] || { echo "Bail out! vm-tests.txt does not name all of: $*" && exit 1; }

# Where scripts see kernel threads all the same.
mount -t proc proc /mnt

# How the module's threads are scheduled, a line each.
module_threads() {
	grep -lsx 'underpass/[0-9]*' /proc/[0-9]*/comm | while IFS=/ read -r _ _ pid _; do
		chrt --pid "$pid" | sed -n 's/.*policy: //p'
	done
}

# run_one SCRIPT SECONDS: says on stdout, indented, all the script said; returns non-zero
# with the reason in $reason.
run_one() {
	local code=0
	echo "underpass-test: begins $1" >/dev/kmsg
	insmod "$module" || { reason="insmod failed" && return 1; }
	if [ "$(module_threads)" != "$(for ((i = 0; i < $(nproc); i++)); do echo SCHED_BATCH; done)" ]; then
		reason="not one thread in SCHED_BATCH for each CPU" && return 1
	fi
	unshare --pid --fork --kill-child --mount --mount-proc --net bash -c '
		mount -t tmpfs tmpfs /run
		mount -t tmpfs tmpfs /tmp
		mount -t sysfs sysfs /sys
		mount -t debugfs debugfs /sys/kernel/debug
		ip link set lo up
		exec timeout --kill-after=5 "$2" "$1" 2>&1
	' in-guest "./$1" "$2" | sed 's/^/    /' || code=$?
	if ! wait_for 20 grep -qx 0 /sys/module/underpass/refcnt; then
		reason="exit code $code, and something still holds the module" && return 1
	fi
	rmmod underpass || { reason="exit code $code, and rmmod failed" && return 1; }
	[ -z "$(module_threads)" ] || { reason="exit code $code, and a thread of the module is left" && return 1; }
	echo "underpass-test: ends $1, exit code $code" >/dev/kmsg
	case $code in
	0) ;;
	124 | 137) reason="killed after its $2 s" && return 1 ;;
	*) reason="exit code $code" && return 1 ;;
	esac
}

echo "TAP version 14"
echo "1..${#tests[@]}"
n=0 failed=0
for t in "${tests[@]}"; do
	script=${t% *} limit=${t##* }
	n=$((n + 1)) started=$SECONDS
	echo "# Subtest: $script"
	code=0
	run_one "$script" "$limit" || code=$?
	echo "# $script took $((SECONDS - started)) of $limit s"
	if [ "$code" = 0 ]; then
		echo "ok $n - $script"
	else
		failed=1
		echo "not ok $n - $script"
		echo "# $script: $reason"
		# With the module stuck no later script could tell anything.
		[ ! -e /sys/module/underpass ] || { echo "Bail out! the module is still loaded" && exit 1; }
	fi
done
exit "$failed"
