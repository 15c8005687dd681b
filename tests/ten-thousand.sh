#!/bin/bash
# ten-thousand.sh: crowd.py with 10,000 slow clients (2,000 on the debug kernel, which is ten times as slow).

case $UNDERPASS_KERNEL in debug) clients=2000 ;; *) clients=10000 ;; esac
exec "$(dirname "$0")/crowd.py" "$clients"
