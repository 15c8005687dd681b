#!/usr/bin/env python3
"""names.py rivals|workloads: prints the names of all there are."""

import sys

from rivals import RIVALS
from workloads import WORKLOADS

print(" ".join({"rivals": RIVALS, "workloads": WORKLOADS}[sys.argv[1]]))
