#!/bin/bash
# huge.sh: bodies around 2^32 bytes, moved by the module to the last of them; and a million chunks.

exec "$(dirname "$0")/libtest.sh" engine --include-ignored huge::
