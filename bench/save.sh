#!/usr/bin/env bash
# save.sh WHAT COMMAND: keeps what COMMAND left in build/bench/ as today's results, in bench/results/: the tables, with commit
# and command; the plots; and all figures. WHAT is `forwarding`, `growth` or `profile-NAME`.

. "$(dirname "$0")/../qemu/lib.sh"
[ $# = 2 ] || die "usage: save.sh forwarding|growth|profile-NAME COMMAND (the one that gave the results)"

day=$(date --utc +%F)
case $1 in
forwarding) from=latest to=$day title="What forwarding cost on $day" ;;
growth) from=growth to=$day-growth title="How cost, memory and speed grew on $day" ;;
profile-*) from=profile to=$day-$1 title="Where the instructions went on $day" ;;
*) die "save.sh does not know what '$1' is" ;;
esac
out=$TOP/build/bench
results=$TOP/bench/results
release=$(cat "$("$TOP/qemu/kernel.sh" stock)/release")
version=$(qemu-system-x86_64 --version | sed -n '1s/^QEMU emulator version \([^ ]*\).*/QEMU \1/p')
# A figure of uncommitted code would be nobody's.
commit=$(git -c safe.directory="$TOP" -C "$TOP" describe --always --dirty --exclude='*')
case $commit in *-dirty) die "commit first: results name the commit that they were measured at ($commit)" ;; esac
mkdir -p "$results"
{
	echo "# $title"
	echo
	echo "Commit $commit, kernel $release, $version. By \`$2\`."
	echo "[How it is measured](../README.md)."
	for plot in "$out/$from"*.svg; do
		[ -e "$plot" ] || continue
		kept=$to${plot#"$out/$from"}
		cp "$plot" "$results/$kept"
		printf '\n![%s](%s)\n' "$title" "$kept"
	done
	cat "$out/$from.md"
} >"$results/$to.md"
# A profile's counts by address are of use with its own programs alone.
[ ! -e "$out/$from.jsonl" ] || cp "$out/$from.jsonl" "$results/$to.jsonl"
say "saved as bench/results/$to.md"
