#!/bin/bash
# engine.sh: the engine `kernel` keeps what the engine `user` keeps, by the same tests. huge.sh has the
# rest of them.

ulimit -n 8192
exec "$(dirname "$0")/libtest.sh" engine --skip huge::
