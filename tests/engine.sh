#!/bin/bash
# engine.sh: the engine `kernel` keeps what the engine `user` keeps, by the same tests.

exec "$(dirname "$0")/libtest.sh" engine
