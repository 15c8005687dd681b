#!/bin/bash
# rules.sh: the rules of HTTP, as docs/rules.md lists them.

# Random cuts are tried in earnest with the engine `user`; here, a few are enough.
export PROPTEST_CASES=16
# Cutting a conversation short at every byte takes thousands of connections.
if [ "${UNDERPASS_KERNEL:-}" = debug ]; then
	export UNDERPASS_CUT_EVERY=11
else
	export UNDERPASS_CUT_EVERY=4
fi
exec "$(dirname "$0")/libtest.sh" rules
