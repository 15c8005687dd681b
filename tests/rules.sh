#!/bin/bash
# rules.sh: the rules of HTTP, as docs/rules.md lists them.

# Random cuts are tried in earnest with the engine `user`; here, a few are enough.
export PROPTEST_CASES=16
exec "$(dirname "$0")/libtest.sh" rules
