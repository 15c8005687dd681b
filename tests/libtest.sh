#!/bin/bash
# libtest.sh NAME [OPTION...]: runs bin/NAME, cargo's integration tests of that name, with the module
# as the router's engine (UNDERPASS_ENGINE, see in-guest.sh). Says in TAP what they say. The options are
# libtest's own, and choose tests.

set -euo pipefail
cd "$(dirname "$0")"
export UNDERPASS_BIN=$PWD/../bin/underpass

echo "TAP version 14"
bin=bin/$1
shift
"$bin" --list "$@" | awk '/: test$/ { n++ } END { print "1.." n + 0 }'
# All that is no verdict becomes a comment. Not by awk: mawk reads its pipe in blocks, so that
# of a run that is cut short nothing would be seen.
"$bin" --color never "$@" | {
	n=0
	while IFS= read -r line; do
		[[ $line =~ ^test\ (.*)\ \.\.\.\ (ok|FAILED)$ ]] || { echo "# $line" && continue; }
		n=$((n + 1))
		[ "${BASH_REMATCH[2]}" = ok ] && verdict=ok || verdict='not ok'
		echo "$verdict $n - ${BASH_REMATCH[1]}"
	done
}
