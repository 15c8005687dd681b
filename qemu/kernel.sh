#!/usr/bin/env bash
# kernel.sh stock|debug: prints a folder with `tree` (a prepared kernel source tree
# to build the module against), `vmlinuz` and `release`.
#
# stock  Debian's own kernel, unmodified. The tree is prepared only to make the Rust
#        metadata that Debian's headers package lacks.
# debug  the same source with everything on that finds mistakes (debug.config).

. "$(dirname "$0")/lib.sh"
need_root

flavour=${1:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$("$here/buildroot.sh")
release=$(cat "$root/etc/underpass-kernel")

# shellcheck disable=SC2016  # expanded inside the build root
make_stock() {
	say "stock kernel $release: preparing its source (about 2 minutes)"
	in_root "$root" -- "$here/prepare-tree.sh" "$release" "$1/tree"
	cp "$root/opt/linux/usr/lib/modules/$release/vmlinuz" "$1/vmlinuz"
	printf '%s\n' "$release" >"$1/release"
}

make_debug() {
	say "debug kernel: building (about 12 minutes on 2 cores)"
	in_root "$root" -- bash -euo pipefail -c '
		dir=$1 fragment=$2
		mkdir "$dir/tree"
		tar -xf /usr/src/linux-source-*.tar.xz -C "$dir/tree" --strip-components=1
		cd "$dir/tree"
		make -s LLVM=-19 tinyconfig
		./scripts/kconfig/merge_config.sh -m .config "$fragment" >"$dir/merge.log"
		make -s LLVM=-19 olddefconfig
		# What Kconfig silently drops is a test that silently does not run.
		dropped=$(grep -E "^CONFIG_[A-Z0-9_]+=[y0-9]" "$fragment" | grep -vxFf .config || :)
		[ -z "$dropped" ] || { echo "dropped by Kconfig: $dropped"; exit 1; }
		make -s LLVM=-19 LOCALVERSION=-debug -j"$(nproc)" bzImage modules >"$dir/build.log" 2>&1 ||
			{ tail -n 30 "$dir/build.log"; exit 1; }
		cp arch/x86/boot/bzImage "$dir/vmlinuz"
		make -s LLVM=-19 LOCALVERSION=-debug kernelrelease >"$dir/release"
	' debug "$1" "$here/debug.config"
}

case $flavour in
stock) cached stock "$(key_of "$root" "$release" "$here/prepare-tree.sh")" make_stock ;;
debug) cached debug "$(key_of "$root" "$release" "$here/debug.config")" make_debug ;;
*) die "usage: kernel.sh stock|debug" ;;
esac
