#!/usr/bin/env bash
# save.sh COMMAND: keeps what the last `make bench` left in build/bench/ as today's results, in
# bench/results/: the table, with commit and command; the plot; and all figures.

. "$(dirname "$0")/../qemu/lib.sh"
[ $# = 1 ] || die "usage: save.sh COMMAND (the one that gave the results)"

out=$TOP/build/bench
day=$(date --utc +%F)
to=$TOP/bench/results/$day
release=$(cat "$("$TOP/qemu/kernel.sh" stock)/release")
version=$(qemu-system-x86_64 --version | sed -n '1s/^QEMU emulator version \([^ ]*\).*/QEMU \1/p')
mkdir -p "$TOP/bench/results"
{
	echo "# What forwarding cost on $day"
	echo
	echo "Commit $(git -C "$TOP" rev-parse --short HEAD), kernel $release, $version. By \`$1\`."
	echo "[How it is measured](../README.md)."
	echo
	echo "![Margins over a direct connection]($day.svg)"
	cat "$out/latest.md"
} >"$to.md"
cp "$out/latest.jsonl" "$to.jsonl"
cp "$out/latest.svg" "$to.svg"
say "saved as bench/results/$day.md"
