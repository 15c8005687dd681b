#!/usr/bin/env bash
# profile.sh RIVAL WORKLOAD [CONNECTIONS]: where the instructions of a workload go, by category and symbol. How:
# bench/README.md. CONNECTIONS is of the workload by default.
# With SAVE=NAME in the environment it is kept as bench/results/DATE-profile-NAME.md, with SAVE=1 without a name.

. "$(dirname "$0")/../payload.sh"
. "$(dirname "$0")/../save.sh"
need_root
case $# in 2 | 3) ;; *) die "usage: profile.sh RIVAL WORKLOAD [CONNECTIONS] (as in bench/rivals.py and bench/workloads.py)" ;; esac

save_begins profile
payload
say "profile: $*"
# Newer QEMUs know no plugin of version 1.
api=$(qemu-system-x86_64 --version | sed -n 's/^QEMU emulator version \([0-9]*\).*/\1/p')
[ "$api" -ge 9 ] && api=2 || api=1
"$qemu/enter.sh" gcc -O2 -Wall -Wextra -Wno-unused-parameter -Werror -shared -fPIC -fvisibility=hidden -DAPI="$api" \
	-o "$out/counter.so" "$TOP/bench/profile/counter.c"
# Those of an earlier run must not be taken for this one's.
rm -f "$out/counts"
"$qemu/boot.sh" stock --icount "0,sleep=off" --plugin "$out/counter.so,out=$out/counts" --memory 4096 --time 1800 --console "$out/profile-console.log" "${adds[@]}" \
	-- env NO_COLOR=1 python3 -u /payload/bench/profile/profile-guest.py "$@" >"$out/profile.json"
"$TOP/bench/profile/profile_report.py" "$out/profile.json" "$out/counts" "$programs" >"$out/profile.md"
cat "$out/profile.md"

save "make profile RIVAL=$1 WORKLOAD=$2${3:+ CONNECTIONS=$3}"
