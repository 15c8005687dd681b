#!/bin/bash
# router.sh: the router's integration tests, between real clients and back-ends, with the
# module as their engine (UNDERPASS_ENGINE, see in-guest.sh).

cd "$(dirname "$0")" || exit 1
UNDERPASS_BIN=$PWD/../bin/underpass exec bin/router
