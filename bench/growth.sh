#!/usr/bin/env bash
# growth.sh: how cost, memory and speed grow with connections and CPUs, beside rivals; tables and a plot. What is
# measured and how: bench/README.md. By environment:
#
#   RIVALS="direct kernel"     these alone (`direct` is always there)
#   KINDS="count time"         curves of instructions and memory on one CPU, and speed by the clock on one and two
#   SAVE=1                     tables, plot and figures are kept in bench/results/; SAVE=NAME: with that in their name
#
# The lines of all guests stay in build/bench/.

. "$(dirname "$0")/payload.sh"
. "$(dirname "$0")/save.sh"
need_root

kinds=${KINDS:-count time}
rivals=${RIVALS:-kernel splice nginx-unbuffered haproxy-splice}
[[ " $rivals " == *" direct "* ]] || rivals="direct $rivals"
save_begins growth
payload

lines=$out/growth.jsonl
: >"$lines"
rm -f "$out"/growth*.svg
failed=0
guest() { # KIND BOOT-OPTION...
	local kind=$1
	shift
	say "$kind ${*}: $rivals"
	# What the others gave shall be shown all the same.
	"$qemu/boot.sh" stock "$@" --time 7200 --console "$out/growth-console.log" "${adds[@]}" \
		-- env NO_COLOR=1 python3 -u /payload/bench/growth-guest.py "$kind" "$rivals" |
		while IFS= read -r line; do
			case $line in
			'{'*) printf '%s\n' "$line" >>"$lines" ;;
			*) say "$line" ;;
			esac
		done || failed=1
}
for kind in $kinds; do
	case $kind in
	count) guest count --icount "0,sleep=off" --memory 8192 ;;
	time) for cpus in 1 2; do guest time --cpus "$cpus" --memory 4096; done ;;
	*) die "KINDS is some of: count time (not '$kind')" ;;
	esac
done
[ -s "$lines" ] || die "no guest gave any figure (see above)"
"$TOP/bench/growth_report.py" "$lines" "$out/growth" | tee "$out/growth.md"
[ "$failed" = 0 ] || die "not everything ran; the figures above are of what did"

save "make bench-growth RIVALS=\"$rivals\" KINDS=\"$kinds\""
