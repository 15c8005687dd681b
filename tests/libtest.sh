#!/bin/bash
# libtest.sh NAME: runs bin/NAME, cargo's integration tests of that name, with the module as
# the router's engine (UNDERPASS_ENGINE, see in-guest.sh). Says in TAP what they say.

set -euo pipefail
cd "$(dirname "$0")"
export UNDERPASS_BIN=$PWD/../bin/underpass

echo "TAP version 14"
"bin/$1" --list | awk '/: test$/ { n++ } END { print "1.." n + 0 }'
# All that is no verdict becomes a comment.
"bin/$1" --color never | awk '
	/^test .* \.\.\. ok$/ { print "ok", ++n, "-", $2; fflush(); next }
	/^test .* \.\.\. FAILED$/ { print "not ok", ++n, "-", $2; fflush(); next }
	{ print "#", $0; fflush() }
'
