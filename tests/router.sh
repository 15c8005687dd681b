#!/bin/bash
# router.sh: the router between real clients and back-ends.

exec "$(dirname "$0")/libtest.sh" router
