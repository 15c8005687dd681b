#!/usr/bin/env python3
"""executables.py programs|tests: reads cargo's JSON messages and prints where its executables
go in a guest, FILE:NAME.

programs  of a release build: to bin/, and those that are tests themselves to tests/bin/
tests     integration tests, to tests/bin/. cargo builds the programs once more beside
          them, for debugging: those are left out, lest they take the others' place.
"""

import json
import sys

wanted = {"programs": ["bin"], "tests": ["test"]}[sys.argv[1]]
for line in sys.stdin:
    message = json.loads(line)
    target = message.get("target")
    if message.get("executable") and target["kind"] == wanted:
        is_test = wanted == ["test"] or "/tests/" in message["manifest_path"]
        print(f"{message['executable']}:{'tests/' if is_test else ''}bin/{target['name']}")
