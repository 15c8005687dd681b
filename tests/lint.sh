#!/usr/bin/env bash
# lint.sh [--fix]: every static check, each as a step of steps.sh. All of it runs in the
# build root, so that one version of each tool judges. --fix formats the Rust instead.

. "$(dirname "$0")/steps.sh"
need_root
cd "$TOP"
# The checkout may be another user's.
tracked() { git -c safe.directory="$TOP" ls-files "$@"; }

mapfile -t module_files < <(tracked 'rust/*.rs' ':!rust/framing/*' ':!rust/netlink/gen.rs')
mapfile -t shell_files < <(tracked '*.sh' .ci/run)
mapfile -t python_files < <(tracked '*.py')
mapfile -t c_files < <(tracked 'rust/*.c' 'rust/*.h')

# A check of no files would pass.
for list in module_files shell_files python_files c_files; do
	declare -n files=$list
	[ "${#files[@]}" -gt 0 ] || die "lint.sh found no $list; is $TOP a git checkout?"
done

rustfmt_module() {
	"$enter" rustfmt --edition 2021 "$@" "${module_files[@]}"
}

if [ "${1:-}" = --fix ]; then
	"$enter" cargo fmt --all
	rustfmt_module --emit files
	exit
fi

# Not for a driver outside the tree: FILE_PATH_CHANGES (no MAINTAINERS of ours).
checkpatch() {
	"$enter" "$("$TOP/qemu/kernel.sh" stock)/tree/scripts/checkpatch.pl" --no-tree --strict --terse \
		--show-types --ignore FILE_PATH_CHANGES -f "${c_files[@]}"
}

python_compiles() {
	"$enter" python3 -c '
import sys
for name in sys.argv[1:]:
    compile(open(name, encoding="utf-8").read(), name, "exec")' "${python_files[@]}"
}

step 'rustfmt: workspace' "$enter" cargo fmt --all --check
step 'rustfmt: module' rustfmt_module --check
step 'clippy: workspace' "$enter" cargo clippy --quiet --workspace --all-targets -- -D warnings
step 'clippy: module' "$TOP/qemu/module.sh" stock --clippy
step 'shellcheck' "$enter" shellcheck "${shell_files[@]}"
step 'checkpatch' checkpatch
step 'python' python_compiles
steps_end
