# shellcheck shell=bash
# For test scripts in shell; sourced, never run. TAP with the plan first, and waiting
# that is bounded and looks at a condition.

tap_planned=0 tap_done=0 tap_failed=0

# plan N: how many points will come. Call it first, and `finish` last.
plan() {
	tap_planned=$1
	echo "1..$1"
}

# check TITLE COMMAND...: one point, ok if COMMAND succeeds. Its output is shown if not.
check() {
	local title=$1 said
	shift
	tap_done=$((tap_done + 1))
	if said=$("$@" 2>&1); then
		echo "ok $tap_done - $title"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_done - $title"
		printf '%s\n' "command: $*" "$said" | sed 's/^/# /'
	fi
}

# refused TEXT COMMAND...: succeeds if COMMAND fails and says TEXT.
refused() {
	local text=$1 said
	shift
	if said=$("$@" 2>&1); then
		echo "succeeded, but should have been refused with '$text': $said"
		return 1
	fi
	[[ $said == *"$text"* ]] || {
		echo "refused without '$text': $said"
		return 1
	}
}

finish() {
	[ "$tap_done" = "$tap_planned" ] || echo "# $tap_done of $tap_planned planned points"
	[ "$tap_failed" = 0 ] && [ "$tap_done" = "$tap_planned" ]
	exit
}

# wait_for SECONDS COMMAND...: returns as soon as COMMAND succeeds; fails when time is up.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@"; do
		[ "$SECONDS" -lt "$deadline" ] || return 1
		sleep 0.1 # between two looks at the condition
	done
}
