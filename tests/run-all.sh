#!/usr/bin/env bash
# Everything there is to test, in the order of what fails fastest. Ends with the line
# `N passed, N failed`: lint steps, unit and property tests, TAP points and gates. With LONG set also
# what takes too long for each change: bodies of over 4 GiB, a thousand routers one after the other, the module
# loaded a thousand times, ten thousand slow clients, and a soak of ten minutes.

. "$(dirname "$0")/steps.sh"
need_root
cd "$TOP"

# Sums cargo's own result lines, one a test program.
cargo_tests() {
	local out code=0
	out=$("$enter" cargo test --workspace --no-fail-fast 2>&1) || code=$?
	printf '%s\n' "$out"
	awk '/^test result: / { p += $4; f += $6 } END { printf "%d passed, %d failed\n", p, f }' <<<"$out"
	return "$code"
}

say "preparing build root, kernels and guest root (cached in $CACHE)"
qemu/host-deps.sh
qemu/kernel.sh stock >/dev/null
qemu/kernel.sh debug >/dev/null
qemu/guest-root.sh >/dev/null

step 'gates of the guest tests' tests/gates_test.py
step 'lint' tests/lint.sh
step 'generated files' netlink-proto/check-generated.sh
step 'cargo test' cargo_tests
step 'fuzzing, a little' tests/fuzz/run.sh --smoke
step 'guest: stock kernel' tests/vm.sh stock
step 'guest: debug kernel' tests/vm.sh debug
if [ -n "${LONG:-}" ]; then
	step 'long: huge bodies on the host' "$enter" cargo test --package underpass --test engine -- --ignored
	step 'long: huge bodies, a thousand routers, a thousand loads, ten thousand slow clients' tests/vm.sh stock huge.sh thousand-routers.sh thousand-loads.sh ten-thousand.sh
	step 'long: soak' tests/soak.sh stock 600 1
fi
steps_end
