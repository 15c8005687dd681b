#!/usr/bin/env python3
"""Reads cargo's JSON messages and prints `FILE:tests/bin/NAME` for each integration test."""

import json
import sys

for line in sys.stdin:
    message = json.loads(line)
    if message.get("executable") and message["target"]["kind"] == ["test"]:
        print(f"{message['executable']}:tests/bin/{message['target']['name']}")
