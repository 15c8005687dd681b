#!/usr/bin/env bash
# check-generated.sh: fails if a generated file is not what underpass.yaml makes of it.

. "$(dirname "$0")/../qemu/lib.sh"

tree=$("$TOP/qemu/kernel.sh" stock)/tree
# Inside the checkout, because the build root sees no other /tmp.
mkdir -p "$TOP/target"
fresh=$(mktemp -d "$TOP/target/generated.XXXXXX")
trap 'rm -rf "$fresh"' EXIT

"$TOP/qemu/enter.sh" netlink-proto/gen.py "$tree" "$fresh"
stale=0
for file in rust/netlink/gen.rs netlink-proto/src/gen.rs netlink-proto/underpass.h; do
	diff -u "$TOP/$file" "$fresh/$file" || stale=1
done
[ "$stale" = 0 ] || die "generated files differ from netlink-proto/underpass.yaml: run 'make generate', and commit what it changes"
