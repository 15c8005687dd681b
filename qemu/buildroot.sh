#!/usr/bin/env bash
# Makes the Debian 13 build root (trixie + trixie-backports): every compiler and
# tool of this project, the source of the newest backports kernel, its headers,
# and the shipped kernel itself. Prints the folder.
#
# Inside, /etc/underpass-kernel holds the release (`uname -r`) it was made for.
# The cached root keeps its kernel; `make refresh` takes the archive's newest.

. "$(dirname "$0")/lib.sh"
need_root

MIRROR=${UNDERPASS_MIRROR:-http://deb.debian.org/debian}
PACKAGES=ca-certificates,make,gcc-14,libc6-dev,rustc,rust-src,cargo,rustfmt,rust-clippy,bindgen
PACKAGES+=,clang-19,libclang-19-dev,lld-19,llvm-19,libelf-dev,bc,flex,bison,libssl-dev,pahole
PACKAGES+=,kmod,python3,python3-yaml,python3-jsonschema,xz-utils,cpio,git,shellcheck,perl
PACKAGES+=,busybox-static,squashfs-tools,rsync,file

make_root() {
	say "build root: Debian 13 with compilers and kernel source (about 2 minutes)"
	mmdebstrap --variant=minbase --mode=root --include="$PACKAGES" \
		--aptopt='Acquire::Retries "3"' \
		--customize-hook='chroot "$1" apt-get update -q' \
		--customize-hook='
			rel=$(chroot "$1" apt-cache -t trixie-backports depends linux-headers-cloud-amd64 |
				sed -n "s/.*Depends: linux-headers-\(.*-cloud-amd64\)$/\1/p" | head -n 1)
			test -n "$rel"
			series=$(echo "$rel" | grep -oE "^[0-9]+\.[0-9]+")
			echo "$rel" > "$1/etc/underpass-kernel"
			chroot "$1" apt-get install -q -y --no-install-recommends -t trixie-backports \
				"linux-source-$series" "linux-headers-$rel"
			# linux-image pre-depends on packages a build root has no use for; these two hold
			# the kernel and its modules.
			cd "$1/tmp"
			chroot "$1" sh -c "cd /tmp && apt-get download -q linux-binary-$rel linux-modules-$rel"
			for d in *.deb; do dpkg-deb -x "$d" "$1/opt/linux"; done
			rm -f ./*.deb' \
		trixie "$1/root" "deb $MIRROR trixie main" "deb $MIRROR trixie-backports main"
	ln -sf gcc-14 "$1/root/usr/bin/gcc"
	ln -sf gcc-14 "$1/root/usr/bin/cc"
}

command -v mmdebstrap >/dev/null || "$(dirname "$0")/host-deps.sh"
dir=$(cached buildroot "$(key_of "$0" "$MIRROR")" make_root)
printf '%s/root\n' "$dir"
