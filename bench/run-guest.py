#!/usr/bin/env python3
"""run-guest.py count|time RIVALS WORKLOADS: the whole benchmark of one guest. `count` on one CPU
that counts instructions, `time` on several that do not. Prints a line of JSON for each
rival and workload; everything else goes to standard error.

The content is checked first, in runs of their own. A rival that fails is told of, the others
go on, and the exit code is 1.
"""

import json
import sys
import traceback

import stage
from rivals import RIVALS
from workloads import WORKLOADS

# New connections for each round: what happens to be so on one connection is seen as spread.
ROUNDS, SPANS = 2, 3
# Microseconds between two requests whose latency is measured: without, the uploads would stand still.
PAUSE = 2000


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


def latency(address, workload):
    """How long requests took beside uploads: some percentiles, in nanoseconds of the guest's clock."""
    with stage.load_beside(address, work="put", size=64 << 20, connections=workload.beside, requests=1 << 20):
        lines = stage.load(address, do="latency", pause=PAUSE, warm_up=100, requests=workload.requests, **workload.arguments())
    took = json.loads(lines[0])["latency"]
    return {name: took[int(len(took) * part)] for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))}


def run_all(name, kind, workloads):
    """All workloads with one rival."""
    _, run = RIVALS[name]
    with run() as address:
        for workload_name in workloads:
            workload = WORKLOADS[workload_name]
            if workload.beside and kind != "count":
                continue
            print(f"{kind}: {name}: {workload_name}", file=sys.stderr, flush=True)
            line = {"kind": kind, "rival": name, "workload": workload_name}
            if workload.beside:
                line["latency"] = latency(address, workload)
            else:
                check(address, workload)
                line["spans"] = measure({"count": "measure", "time": "time"}[kind], address, workload)
            print(json.dumps(line), flush=True)


def main():
    kind, rivals, workloads = sys.argv[1], sys.argv[2].split(), sys.argv[3].split()
    stage.build()
    stage.settle()
    failed = False
    for name in rivals:
        try:
            run_all(name, kind, workloads)
        except Exception:  # whatever it is: the other rivals' figures do not depend on it
            failed = True
            print(f"{kind}: {name} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
    sys.exit(1 if failed else 0)


main()
