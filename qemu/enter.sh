#!/usr/bin/env bash
# enter.sh COMMAND...: runs COMMAND in the Debian 13 build root, with this checkout at its
# own path as working folder, and cargo's downloads in the cache.

. "$(dirname "$0")/lib.sh"
need_root
root=$("$(dirname "$0")/buildroot.sh")
mkdir -p "$CACHE/cargo"
export CARGO_HOME=$CACHE/cargo HOME=/root LC_ALL=C.UTF-8
# The host's own toolchain must not shine through.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unset RUSTUP_HOME RUSTUP_TOOLCHAIN RUSTC RUSTFLAGS CARGO_TARGET_DIR
in_root "$root" -- "$@"
