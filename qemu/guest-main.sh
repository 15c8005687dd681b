#!/bin/bash
# The guest's first process: sets the guest up, runs /payload/command with its input and
# output on the second serial port, writes the exit code to the result disk and
# reboots, which ends QEMU. A guest that dies before leaves no exit code: the host
# counts that as failure.

set -euo pipefail
export PATH=/payload/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1

mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs -o size=90% tmpfs /dev/shm
mount -t tmpfs -o size=90% tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t debugfs debugfs /sys/kernel/debug
mount -t cgroup2 cgroup2 /sys/fs/cgroup

# An oops must end the guest at once; a warning is found in the log by the gates.
sysctl -q kernel.panic_on_oops=1 kernel.panic_on_warn=0 kernel.hung_task_timeout_secs=60 \
	kernel.hung_task_warnings=-1 kernel.printk=7
# boot.sh starts one CPU alone. A second one that runs while the kernel patches its own hottest code (the clock
# is found stable, about a second after the start) may, with QEMU's translator, meet the breakpoint
# of a patch that is over: an oops, int3 in sched_clock_cpu. Three of about a hundred guests died so early; of one the trace was kept.
for cpu in /sys/devices/system/cpu/cpu[0-9]*/online; do
	[ ! -e "$cpu" ] || echo 1 >"$cpu"
done
hostname underpass-guest
ip link set lo up
modprobe_if_module() {
	if [ -d "/lib/modules/$(uname -r)" ]; then modprobe "$1"; fi
}
# The host's end of QEMU's user network is always 10.0.2.2.
if [ -e /payload/network ]; then
	modprobe_if_module virtio_net
	ip link set eth0 up
	ip address add 10.0.2.15/24 dev eth0
	ip route add default via 10.0.2.2
fi

disk=
for b in /sys/block/vd*; do
	[ "$(cat "$b/serial")" = result ] && disk=/dev/${b##*/}
done
[ -n "$disk" ]

tty=/dev/ttyS1
cd /root
code=0
if [ -e /payload/interactive ]; then
	stty -F "$tty" sane 115200
	export TERM=${TERM:-vt100}
	# shellcheck disable=SC2094  # a terminal, not a file
	setsid -c /payload/command <"$tty" >"$tty" 2>&1 || code=$?
else
	stty -F "$tty" raw -echo 115200
	setsid /payload/command </dev/null >"$tty" 2>&1 || code=$?
fi
# stty waits until the port has sent everything.
stty -F "$tty" raw

if [ -w /sys/kernel/debug/kmemleak ]; then
	# kmemleak reports nothing younger than five seconds: this is its clock, not ours.
	sleep 6
	echo scan >/sys/kernel/debug/kmemleak
	echo scan >/sys/kernel/debug/kmemleak
	echo "kmemleak report begins" >/dev/kmsg
	cat /sys/kernel/debug/kmemleak >/dev/console
	echo "kmemleak report ends" >/dev/kmsg
fi

printf 'exit %d\n' "$code" | dd of="$disk" bs=512 count=1 conv=sync,fsync status=none
busybox reboot -f
