#!/usr/bin/env bash
# build-module.sh TREE FOLDER MAKE-ARGUMENT...: builds the module against the prepared kernel
# tree TREE in FOLDER, and leaves FOLDER/underpass.ko. Runs in the build root, and as it
# is on a Debian 13 machine.
#
# FOLDER gets a copy of the sources, so that builds for several kernels (and clippy's)
# do not disturb one another. What did not change is not built again.

set -euo pipefail
tree=$1
mkdir -p "$2"
folder=$(cd "$2" && pwd)
shift 2
cd "$(dirname "$0")/.."

sources() { find Kbuild rust -name Kbuild -o \( -name '*.rs' -o -name '*.[ch]' \) ! -path rust/sys/gen.rs; }

exec 9>"$folder/.lock"
flock 9
# By content, and with a time of its own: a file that was put back is older than what was made of the other.
sources | while read -r f; do
	cmp -s "$f" "$folder/$f" || cp --parents "$f" "$folder"
done
(cd "$folder" && sources) | while read -r f; do
	# A file that was removed here must be missed there.
	[ -e "$f" ] || rm "$folder/$f"
done
# Without BTF, which would need vmlinux, and be missed aloud.
make -s --no-print-directory -C "$tree" M="$folder" -j"$(nproc)" CONFIG_DEBUG_INFO_BTF_MODULES= "$@" modules >&2
