# shellcheck shell=bash
# Shared by the commands of this folder; sourced, never run. `payload` builds what their guests need: its
# options for boot.sh are then in `adds`, and the programs among them in `programs`. What guests say is kept in `out`.

. "$(dirname "${BASH_SOURCE[0]}")/../qemu/lib.sh"
# Used by those who source this.
# shellcheck disable=SC2034
qemu=$TOP/qemu out=$TOP/build/bench programs='' adds=()

payload() {
	local program bpf=$out/sockmap.bpf.o
	mkdir -p "$out"
	say "building"
	adds=(--add "$("$qemu/module.sh" stock):underpass.ko" --add "$TOP/tests:tests" --add "$TOP/bench:bench")
	programs=$("$qemu/enter.sh" cargo build --release -p underpass -p underpass-bench --bins \
		--message-format=json --quiet | "$qemu/executables.py" programs)
	"$qemu/enter.sh" clang-19 -O2 -g -target bpf -I/usr/include/x86_64-linux-gnu -Wall -Werror \
		-c "$TOP/bench/sockmap.bpf.c" -o "$bpf"
	adds+=(--add "$bpf:sockmap.bpf.o")
	while read -r program; do adds+=(--add "$program"); done <<<"$programs"
}
