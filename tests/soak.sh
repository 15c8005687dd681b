#!/usr/bin/env bash
# soak.sh stock|debug SECONDS SEED [FILE]: soak.py in a guest with that kernel. Shows its report, and keeps it
# in FILE if that is named. Fails if the guest, its kernel's log or the report is not clean.

. "$(dirname "$0")/../qemu/lib.sh"
need_root
kernel=$1 seconds=$2 seed=$3 file=${4:-}
[ "$seconds" -gt 0 ] || die "for how long? make soak HOURS=n, or MINUTES=n"

mkdir -p "$TOP/build/log"
exec 8>"$TOP/build/log/.soak.lock"
flock -n 8 || die "another soak writes to build/log: wait for its end, or use another checkout"
# No report would mean that nobody looked for leaks.
[ "$kernel" = debug ] && must=("kmemleak report ends") || must=()
report=$TOP/build/log/soak.md
console=$TOP/build/log/soak-console.log
say "soak: $seconds s of random traffic on the $kernel kernel, seed $seed"
code=0
# Beside the traffic, time to boot, to warm up and to become quiet.
"$TOP/qemu/boot.sh" "$kernel" --project --memory 3072 --time $((seconds + 900)) --console "$console" -- \
	bash -c 'set -e
		export UNDERPASS_KERNEL=$1 YNL=/payload/ynl SPEC=/payload/ynl/specs/underpass.yaml
		insmod /payload/underpass.ko
		code=0
		/payload/tests/soak.py "$2" "$3" || code=$?
		# Nothing may hold it any more.
		rmmod underpass
		exit $code' soak "$kernel" "$seconds" "$seed" | tee "$report" || code=$?
# What the kernel said until it was gone.
python3 -c '
import sys
sys.path.insert(0, sys.argv[1])
from gates import gate_log
found = gate_log(open(sys.argv[2], encoding="utf-8", errors="replace").read(), sys.argv[3:])
print(*found, sep="\n", end="")
sys.exit(1 if found else 0)' "$TOP/tests" "$console" "${must[@]}" >&2 || die "the kernel complained: $console"
[ "$code" = 0 ] || die "the soak was not clean (exit code $code)"
[ -z "$file" ] || cp "$report" "$file"
