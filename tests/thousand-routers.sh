#!/bin/bash
# thousand-routers.sh: takeover.py with 1,000 routers under load, one after the other (100 on the
# debug kernel, which is ten times as slow).

case $UNDERPASS_KERNEL in debug) routers=100 ;; *) routers=1000 ;; esac
exec "$(dirname "$0")/takeover.py" "$routers"
