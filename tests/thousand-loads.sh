#!/bin/bash
# thousand-loads.sh: lifetime.py, whose module goes and comes 1,000 times under load (100 on the
# debug kernel, which is ten times as slow).

case $UNDERPASS_KERNEL in debug) rounds=100 ;; *) rounds=1000 ;; esac
exec "$(dirname "$0")/lifetime.py" "$rounds"
