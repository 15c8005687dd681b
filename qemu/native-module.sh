#!/usr/bin/env bash
# native-module.sh [RELEASE]: builds the module for a kernel of this machine (the running
# one, or RELEASE), a Debian 13 with the backports kernel, and leaves build/RELEASE/underpass.ko,
# and a copy at the top of the checkout. Needs no root. The prepared kernel tree is cached.

if [ "$(id -u)" != 0 ] && [ -z "${UNDERPASS_CACHE:-}" ]; then
	export UNDERPASS_CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/underpass
fi
. "$(dirname "$0")/lib.sh"

# Debian's compilers, which the packages below bring, and not those of rustup: the module has to be
# made by the one that made the kernel.
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin
unset RUSTUP_HOME RUSTUP_TOOLCHAIN RUSTC RUSTFLAGS

here=$(cd "$(dirname "$0")" && pwd)
release=${1:-$(uname -r)}
series=$(grep -oE '^[0-9]+\.[0-9]+' <<<"$release") ||
	die "'$release' is not the release of a kernel, such as 7.3.4+deb13-cloud-amd64"
# Debian 13's own is 6.12, whose packages could all be installed, for nothing.
[ "${series%%.*}" -ge 7 ] ||
	die "the module is for Debian's backports kernel (7.3), not for $release; install that and boot it, or name it by KREL=RELEASE:
    sudo apt-get install -t trixie-backports linux-image-cloud-amd64   # with trixie-backports among the sources"

packages=(make gcc-14 rustc rust-src bindgen libelf-dev libssl-dev bc flex bison pahole kmod
	python3 xz-utils "linux-source-$series" "linux-headers-$release")
missing=()
for p in "${packages[@]}"; do
	dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$p")
done
[ "${#missing[@]}" = 0 ] ||
	die "packages are missing; install them by
    sudo apt-get install ${missing[*]}   # with trixie-backports among the sources"

version() { dpkg-query -W -f='${Version}' "$1"; }
[ "$(version "linux-source-$series")" = "$(version "linux-headers-$release")" ] ||
	die "linux-source-$series is version $(version "linux-source-$series"), but linux-headers-$release is" \
		"$(version "linux-headers-$release"); the module needs the source of its own kernel: upgrade, and boot the newest kernel"

make_tree() {
	say "preparing the source of $release (2 to 5 minutes, once)"
	"$here/prepare-tree.sh" "$release" "$1/tree"
}
folder=$(cached "tree-$release" "$(key_of "$here/prepare-tree.sh" "$(version "linux-headers-$release")" \
	"$(rustc --version)")" make_tree)
# Those of another rustc, say, are of no use any more. A key has twelve digits; a longer name is another release's.
for other in "$CACHE/tree-$release"-????????????; do
	[ "$other" = "$folder" ] || uncached "$other"
done
"$here/build-module.sh" "$folder/tree" "$TOP/build/$release" CC=gcc-14 LOCALVERSION= KERNELRELEASE="$release"
cp "$TOP/build/$release/underpass.ko" "$TOP/underpass.ko"
say "underpass.ko is built for $release"
