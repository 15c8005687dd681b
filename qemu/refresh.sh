#!/usr/bin/env bash
# Throws the cached build root and guest root away: the next command makes them from the
# archive as it is then, with its newest kernel. Trees of the kernel before go too.

. "$(dirname "$0")/lib.sh"
need_root
for d in "$CACHE"/{buildroot,guest,stock,debug}-*; do
	[ ! -e "$d" ] || rm -rf --one-file-system "$d"
done
