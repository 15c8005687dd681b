#!/usr/bin/env bash
# Makes what every guest boots into, whichever its kernel: `root.squashfs` (a small
# Debian 13 with the tools the tests call, and the stock kernel's modules) and
# `initramfs.cpio` (finds and mounts it). Prints the folder.

. "$(dirname "$0")/lib.sh"
need_root

here=$(cd "$(dirname "$0")" && pwd)
build_root=$("$here/buildroot.sh")
release=$(cat "$build_root/etc/underpass-kernel")

MIRROR=${UNDERPASS_MIRROR:-http://deb.debian.org/debian}
PACKAGES=python3,python3-yaml,python3-jsonschema,iproute2,curl,kmod,procps,util-linux
PACKAGES+=,nginx-light,ethtool,strace,openssl,busybox-static
# The real back-ends and clients of tests/peers.py. Of Apache the program and its modules
# alone: the test brings the configuration.
PACKAGES+=,apache2-bin,git,python3-uvicorn,python3-httptools,python3-websockets
PACKAGES+=,python3-aiohttp,python3-requests,wrk
# Runs the unit of packaging/, in tests/installed.sh.
PACKAGES+=,systemd
# Rivals of bench/.
PACKAGES+=,haproxy,nftables

# What the stock kernel needs to reach its root, in load order; the debug kernel has
# it built in.
BOOT_MODULES=(drivers/block/virtio_blk fs/squashfs/squashfs fs/overlayfs/overlay)

make_guest() {
	say "guest root: a small Debian 13 (about 1 minute)"
	mmdebstrap --variant=minbase --mode=root --include="$PACKAGES" \
		--aptopt='Acquire::Retries "3"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--customize-hook='mkdir -p "$1/payload"' \
		--customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*' \
		trixie "$1/root" "deb $MIRROR trixie main"
	mkdir -p "$1/root/usr/lib/modules"
	cp -r "$build_root/opt/linux/usr/lib/modules/$release" "$1/root/usr/lib/modules/"
	rm -f "$1/root/usr/lib/modules/$release/vmlinuz"
	depmod_in_root "$1/root"
	make_initramfs "$1"
	in_root "$build_root" -- mksquashfs "$1/root" "$1/root.squashfs" -comp zstd -quiet -no-progress
	rm -rf "$1/root"
}

depmod_in_root() { chroot "$1" depmod "$release"; }

make_initramfs() {
	local tree="$1/initramfs" m
	mkdir -p "$tree"/{bin,proc,sys,dev,new,lower,upper,modules}
	cp "$build_root/usr/bin/busybox" "$tree/bin/busybox"
	install -m 755 "$here/guest-init.sh" "$tree/init"
	printf '%s\n' "$release" >"$tree/modules/release"
	for m in "${BOOT_MODULES[@]}"; do
		xz -dc "$1/root/usr/lib/modules/$release/kernel/$m.ko.xz" >"$tree/modules/${m##*/}.ko"
	done
	printf '%s\n' "${BOOT_MODULES[@]##*/}" >"$tree/modules/order"
	# Not compressed: a few MB, and every kernel configuration can unpack it.
	(cd "$tree" && find . | IN_ROOT_CWD=$tree in_root "$build_root" -- cpio -o -H newc --quiet) >"$1/initramfs.cpio"
	rm -rf "$tree"
}

dir=$(cached guest "$(key_of "$0" "$here/guest-init.sh" "$MIRROR" "$build_root")" make_guest)
printf '%s\n' "$dir"
