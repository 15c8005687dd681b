#!/usr/bin/env python3
"""Reads cargo's JSON messages and prints where its executables go in a guest, FILE:NAME.

The workspace's programs go to bin/, its integration tests, and the programs that are tests,
to tests/bin/.
"""

import json
import sys

for line in sys.stdin:
    message = json.loads(line)
    if not message.get("executable"):
        continue
    target = message["target"]
    if target["kind"] == ["test"] or "/tests/" in message["manifest_path"]:
        print(f"{message['executable']}:tests/bin/{target['name']}")
    elif not message["profile"]["test"]:
        print(f"{message['executable']}:bin/{target['name']}")
