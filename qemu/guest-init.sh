#!/bin/busybox sh
# shellcheck shell=dash
# The initramfs's only program: mounts the guest root under a writable layer in memory
# and the payload at /payload, then hands over to the payload's `guest-main.sh`.
# Whatever fails here panics the kernel (init exits), which the host sees.

set -eu
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

if [ "$(uname -r)" = "$(cat /modules/release)" ]; then
	while read -r m; do insmod "/modules/$m.ko"; done </modules/order
fi

# Disks are found by the serial the host gave them, not by the order of probing.
disk() {
	for b in /sys/block/vd*; do
		if [ "$(cat "$b/serial")" = "$1" ]; then
			echo "/dev/${b##*/}"
			return
		fi
	done
	echo "guest-init: no disk with serial '$1'" >&2
	return 1
}

root=$(disk root)
payload=$(disk payload)
mount -t squashfs -o ro "$root" /lower
mount -t tmpfs -o size=90% upper /upper
mkdir /upper/data /upper/work
mount -t overlay -o lowerdir=/lower,upperdir=/upper/data,workdir=/upper/work overlay /new
mount -t squashfs -o ro "$payload" /new/payload
mount -o move /proc /new/proc
mount -o move /sys /new/sys
mount -o move /dev /new/dev
exec switch_root /new /payload/guest-main.sh
