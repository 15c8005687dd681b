#!/usr/bin/env bash
# profile.sh RIVAL WORKLOAD [CONNECTIONS]: where the instructions of a workload go, by task, category and symbol. How:
# bench/README.md. CONNECTIONS is of the workload by default.
# With SAVE=NAME in the environment it is kept as bench/results/DATE-profile-NAME.md.

. "$(dirname "$0")/../payload.sh"
need_root
case $# in 2 | 3) ;; *) die "usage: profile.sh RIVAL WORKLOAD [CONNECTIONS] (as in bench/rivals.py and bench/workloads.py)" ;; esac

payload
say "profile: $*"
"$qemu/boot.sh" stock --icount "0,sleep=off" --memory 4096 --time 1800 --console "$out/profile-console.log" "${adds[@]}" \
	-- env NO_COLOR=1 python3 -u /payload/bench/profile/profile-guest.py "$@" >"$out/profile.json"
"$TOP/bench/profile/profile_report.py" "$out/profile.json" "$programs" >"$out/profile.md"
cat "$out/profile.md"

[ -z "${SAVE:-}" ] || "$TOP/bench/save.sh" "profile-$SAVE" "make profile RIVAL=$1 WORKLOAD=$2${3:+ CONNECTIONS=$3}"
