#!/usr/bin/env bash
# Throws the cached build root and guest root away: the next command makes them from the
# archive as it is then, with its newest kernel. Trees of the kernel before go too.
#
# What does not come of the archive's state stays: cargo's downloads, and the trees of `make module`, which
# removes old ones itself. A guest that runs has its files open; what is being compiled fails, and works when tried again.

. "$(dirname "$0")/lib.sh"
need_root
# The build root last: who makes one of the others works in it.
uncached "$CACHE"/{guest,stock,debug,buildroot}-*
