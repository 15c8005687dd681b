#!/bin/sh
# instrument.sh RUSTC ARGUMENT...: cargo's compiler while run.sh --smoke builds; see there.
# shellcheck disable=SC2086 # Several options.
exec "$@" $UNDERPASS_COVERAGE
