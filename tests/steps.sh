# shellcheck shell=bash
# For scripts that are a row of checks; sourced, never run. A step says when it begins and
# how it ended, keeps its output in build/log/, and shows it only on failure.

. "$(dirname "${BASH_SOURCE[0]}")/../qemu/lib.sh"

enter=$TOP/qemu/enter.sh
export enter
log_folder=$TOP/build/log
mkdir -p "$log_folder"
passed=0 failed=0

# step TITLE COMMAND...: counts one, or, where the command's last line is `N passed, N failed`,
# what that line says.
step() {
	local title=$1 log code=0 counts began=$SECONDS
	log=$log_folder/$(tr -cs 'a-z0-9\n' '-' <<<"$title").log
	shift
	say "$title"
	# In a subshell with errexit, which an `if` or `||` here would turn off inside.
	set +e
	(
		set -e
		"$@"
	) >"$log" 2>&1
	code=$?
	set -e
	counts=$(tail -n 1 "$log" | sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p')
	counts=${counts:-$([ "$code" = 0 ] && echo '1 0' || echo '0 1')}
	# A command that counts no failure, and fails, failed at something else.
	if [ "$code" != 0 ] && [ "${counts#* }" = 0 ]; then counts="${counts% *} 1"; fi
	passed=$((passed + ${counts% *})) failed=$((failed + ${counts#* }))
	if [ "$code" != 0 ]; then
		say "$title FAILED (exit code $code); $log:"
		tail -n 60 "$log" >&2
	fi
	say "$title: ${counts% *} passed, ${counts#* } failed, $((SECONDS - began)) s"
}

steps_end() {
	echo "$passed passed, $failed failed"
	[ "$failed" = 0 ]
}
