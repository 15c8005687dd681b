#!/usr/bin/env python3
"""run-guest.py count|time RIVALS WORKLOADS: the whole benchmark of one guest. `count` on one CPU
that counts instructions, `time` on several that do not. Prints a line of JSON for each
rival and workload; everything else goes to standard error.

The content is checked first, in runs of their own.
"""

import json
import sys

import stage
from rivals import RIVALS
from workloads import WORKLOADS

# New connections for each round: what happens to be so on one connection is seen as spread.
ROUNDS, SPANS = 2, 3


def check(address, workload):
    """All bytes are compared, at both ends; a difference ends everything."""
    requests = max(workload.connections, 2)
    stage.load(address, do="check", warm_up=0, requests=requests, **workload.arguments())


def measure(what, address, workload):
    """The costs of all spans."""
    lines = []
    for _ in range(ROUNDS):
        warm_up = max(workload.connections, workload.requests // 2)
        lines += stage.load(address, do=what, warm_up=warm_up, spans=SPANS, requests=workload.requests,
                            **workload.arguments())
    return [json.loads(line) for line in lines]


def main():
    kind, rivals, workloads = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
    what = {"count": "measure", "time": "time"}[kind]
    stage.build()
    stage.settle()
    for name in rivals:
        _, run = RIVALS[name]
        with run() as address:
            for workload_name in workloads:
                workload = WORKLOADS[workload_name]
                print(f"{kind}: {name}: {workload_name}", file=sys.stderr, flush=True)
                check(address, workload)
                spans = measure(what, address, workload)
                print(json.dumps({"kind": kind, "rival": name, "workload": workload_name, "spans": spans}), flush=True)


main()
