#!/usr/bin/env bash
# vm.sh stock|debug [SCRIPT...]: runs the guest tests (of vm-tests.txt all but the long ones, or those named) on
# that kernel and judges the run by the gates of gates.py. Ends with `N passed, N failed`.
# The guest's output and console stay in build/log/.

. "$(dirname "$0")/../qemu/lib.sh"
need_root
kernel=${1:-}
case $kernel in
stock) column=2 must=() ;;
# No report would mean that nobody looked for leaks.
debug) column=3 must=(--must "kmemleak report ends") ;;
*) die "usage: vm.sh stock|debug [SCRIPT...] (not '$kernel')" ;;
esac
shift

log=$TOP/build/log
mkdir -p "$log"
exec 8>"$log/.$kernel.lock"
flock -n 8 || die "another run with the $kernel kernel writes to $log: wait for its end, or use another checkout"
# All scripts' limits together, and the boot.
seconds=$(awk -v c="$column" -v named=" $* " '
	/^(#|$)/ || ($4 == "long" && !index(named, " " $1 " ")) { next }
	{ sum += $c } END { print sum + 180 }' "$TOP/tests/vm-tests.txt")
code=0
"$TOP/qemu/boot.sh" "$kernel" --project --memory 3072 --time "$seconds" --console "$log/$kernel-console.log" \
	-- /payload/tests/in-guest.sh "$kernel" "$@" | tee "$log/$kernel-tap.log" || code=$?
[ "$code" != 125 ] || code=
"$TOP/tests/gates.py" --exit "$code" --output "$log/$kernel-tap.log" --console "$log/$kernel-console.log" \
	--allowed-skips "$TOP/tests/allowed-skips.txt" "${must[@]}"
