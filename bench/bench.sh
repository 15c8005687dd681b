#!/usr/bin/env bash
# bench.sh: measures Underpass and its rivals in guests, and prints a table. What is measured
# and how: bench/README.md. By environment:
#
#   RIVALS="direct kernel"     these alone (`direct` is always there: it is what others are
#   WORKLOADS="put64m get"     compared with); all of rivals.py and workloads.py by default
#   KINDS="count time"         instructions counted on one CPU, and time by the clock on two;
#                              if a choice was made above, by default `count` alone
#   BIG_TCP=1                  all links with large packets: what an administrator may set
#   SAVE=1                     table, plot and figures are kept in bench/results/; SAVE=NAME: with that in their name
#
# The lines of all guests stay in build/bench/.

. "$(dirname "$0")/payload.sh"
. "$(dirname "$0")/save.sh"
need_root
all() { "$TOP/bench/names.py" "$1"; }

if [ -n "${RIVALS:-}${WORKLOADS:-}" ]; then kinds=${KINDS:-count}; else kinds=${KINDS:-count time}; fi
rivals=${RIVALS:-$(all rivals)}
workloads=${WORKLOADS:-$(all workloads)}
[[ " $rivals " == *" direct "* ]] || rivals="direct $rivals"

save_begins forwarding
payload

lines=$out/latest.jsonl
: >"$lines"
rm -f "$out/latest.svg"
failed=0
for kind in $kinds; do
	say "$kind: $rivals, each with: $workloads"
	case $kind in
	count) boot=(--icount "0,sleep=off") ;;
	time) boot=() ;;
	*) die "KINDS is some of: count time (not '$kind')" ;;
	esac
	# What the others gave shall be shown all the same.
	"$qemu/boot.sh" stock "${boot[@]}" --memory 2048 --time 7200 --console "$out/$kind-console.log" "${adds[@]}" \
		-- env NO_COLOR=1 BIG_TCP="${BIG_TCP:-}" python3 -u /payload/bench/run-guest.py "$kind" "$rivals" "$workloads" |
		while IFS= read -r line; do
			case $line in
			'{'*) printf '%s\n' "$line" >>"$lines" ;;
			*) say "$line" ;;
			esac
		done || failed=1
done
[ -s "$lines" ] || die "no guest gave any figure (see above)"
"$TOP/bench/report.py" "$lines" "$out/latest.svg" | tee "$out/latest.md"
[ "$failed" = 0 ] || die "not everything ran; the figures above are of what did"

save "make bench ${BIG_TCP:+BIG_TCP=1 }RIVALS=\"$rivals\" WORKLOADS=\"$workloads\" KINDS=\"$kinds\""
