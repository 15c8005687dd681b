#!/usr/bin/env bash
# run.sh TARGET TIME: fuzzes TARGET (all: each in turn) for so many seconds (300) each. An input
# that fails is left in tests/fuzz/found/TARGET, to be committed with the repair; those that
# reached something new stay in build/fuzz/TARGET, and the next run begins with them.
#
# run.sh --smoke: a few thousand inputs for each target, the same ones every time. Ends with
# `N passed, N failed`, one a target.

. "$(dirname "$0")/../../qemu/lib.sh"
cd "$TOP"

# What tells libFuzzer where an input went, and what it was compared with (the options of
# LLVM's SanitizerCoverage that clang sets for -fsanitize=fuzzer).
coverage=-Cpasses=sancov-module
for option in level=4 inline-8bit-counters pc-table trace-compares; do
	coverage+=" -Cllvm-args=-sanitizer-coverage-$option"
done

# build VARIABLE=VALUE VARIABLE=VALUE OPTION...: builds the program, by these and cargo's OPTIONs.
build() {
	qemu/enter.sh env CXX=clang++-19 "$1" "$2" cargo build --quiet --workspace --bin underpass-fuzz \
		--features underpass-fuzz/libfuzzer "${@:3}" >&2
}

# fuzz TARGET OPTION...: libFuzzer's exit code.
fuzz() {
	local name=$1
	mkdir -p "build/fuzz/$name" "tests/fuzz/found/$name"
	qemu/enter.sh env FUZZ_TARGET="$name" "$program" -timeout=10 -rss_limit_mb=1024 \
		-dict=tests/fuzz/http.dict -artifact_prefix="tests/fuzz/found/$name/" "${@:2}" \
		"tests/fuzz/corpus/$name" "tests/fuzz/found/$name"
}

targets=()
for folder in tests/fuzz/corpus/*/; do targets+=("$(basename "$folder")"); done

if [ "${1:-}" = --smoke ]; then
	# As `cargo test` builds, so that what it built is there already; only this project's
	# own crates report their coverage.
	build RUSTC_WORKSPACE_WRAPPER="$TOP/tests/fuzz/instrument.sh" UNDERPASS_COVERAGE="$coverage"
	program=target/debug/underpass-fuzz
	runs=4000 passed=0 failed=0
	for name in "${targets[@]}"; do
		say "fuzzing $name"
		mkdir -p build
		none=$(mktemp -d -p build)
		if fuzz "$name" -seed=1 -runs="$runs" -max_len=512 -use_cmp=0 "$none"; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
		fi
		rm -r "$none"
	done
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
	exit
fi

if [ "${1:-all}" != all ]; then
	[ -d "tests/fuzz/corpus/$1" ] || die "no target $1; there are: ${targets[*]}"
	targets=("$1")
fi
time=${2:-300}
say 'building, with all crates reporting their coverage'
triple=$(qemu/enter.sh rustc -vV | sed -n 's/^host: //p')
build RUSTFLAGS="$coverage" UNDERPASS_COVERAGE= --profile fuzz --target "$triple"
program=target/$triple/fuzz/underpass-fuzz
for name in "${targets[@]}"; do
	say "fuzzing $name for $time s"
	fuzz "$name" -max_total_time="$time" -max_len=2048 -print_final_stats=1 "build/fuzz/$name"
done
