#!/usr/bin/env bash
# prepare-tree.sh RELEASE FOLDER: unpacks Debian's kernel source into FOLDER and prepares
# it to build Rust modules for the shipped kernel RELEASE. Runs in the build root, and
# as it is on a Debian 13 machine (the Makefile does that for `make module`).
#
# The headers package alone is not enough: it has no rust/*.rmeta. Built from the
# same source with the same configuration and compiler, all symbol names agree.

set -euo pipefail
release=$1 dir=$2
series=$(grep -oE '^[0-9]+\.[0-9]+' <<<"$release")
headers=/usr/src/linux-headers-$release
source=/usr/src/linux-source-$series.tar.xz

for f in "$headers/.config" "$headers/Module.symvers" "$source"; do
	[ -e "$f" ] || {
		echo "error: $f is missing; install linux-headers-$release and linux-source-$series" \
			"from trixie-backports" >&2
		exit 1
	}
done
wanted=$(sed -n 's/^CONFIG_CC_VERSION_TEXT="\(.*\)"/\1/p' "$headers/.config")
have=$(gcc-14 --version | head -n 1)
[ "${wanted#*) }" = "${have#*) }" ] ||
	echo "warning: the kernel was built with '$wanted', here is '$have'" >&2

mkdir -p "$dir"
tar -xf "$source" -C "$dir" --strip-components=1
cp "$headers/.config" "$headers/Module.symvers" "$dir/"
cd "$dir"
make -s CC=gcc-14 LOCALVERSION= KERNELRELEASE="$release" olddefconfig
make -s CC=gcc-14 LOCALVERSION= KERNELRELEASE="$release" -j"$(nproc)" modules_prepare
[ -e rust/libkernel.rmeta ] || {
	echo "error: the kernel's configuration has no CONFIG_RUST, or rustc, rust-src or bindgen do" \
		"not fit (run 'make rustavailable' in $dir)" >&2
	exit 1
}
