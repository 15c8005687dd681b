#!/usr/bin/env python3
"""growth-guest.py count|time RIVALS: how cost, memory and speed grow; the part of one guest. `count` on one CPU
that counts instructions gives the curves `uploads`, `idle`, `rest`, `memory`; `time` gives `cpus` for as many as
there are. Prints a line of JSON for each rival and point; everything else goes to standard error.

A rival that fails is told of, the others go on, and the exit code is 1.
"""

import contextlib
import json
import os
import resource
import sys
import traceback

import memory
import stage
from rivals import RIVALS
from workloads import MIB, WORKLOADS

FLOWS = (1, 4, 16, 64, 256, 1000)
IDLE = (1, 10, 100, 1000, 10000)
# So many at once are looked at for what one costs in memory.
TRANSFERS = 1000
SPANS = 2
# Microseconds between requests of a client that leaves the machine nearly alone.
REST = 50_000
# Spans by the clock, of which the shortest counts: what else the host does makes others longer.
CLOCK_SPANS = 7


def say(curve, rival, **values):
    print(json.dumps({"curve": curve, "rival": rival, **values}), flush=True)
    print(f"{curve}: {rival}: {values.get('at', '')}", file=sys.stderr, flush=True)


def measure(address, **values):
    return [json.loads(line) for line in stage.load(address, do="measure", spans=SPANS, **values)]


def uploads(rival, address):
    """Bodies of 1 MiB, over more and more connections at once."""
    for flows in FLOWS:
        work = {"work": "put", "size": MIB, "connections": flows}
        stage.load(address, do="check", requests=flows, **work)
        say("uploads", rival, at=flows, spans=measure(address, warm_up=flows, requests=max(2 * flows, 64), **work))


def idle(rival, address):
    """The small GET of `make bench` beside more and more clients that have made one request and stay."""
    get = WORKLOADS["get"]
    values = {"warm_up": get.connections, "requests": get.requests, **get.arguments()}
    # So that what exists once exists.
    stage.load(address, do="check", requests=get.connections, **get.arguments())
    before = memory.used()
    with contextlib.ExitStack() as held:
        count = 0
        for at in IDLE:
            held.enter_context(stage.load_beside(address, do="hold", work="get", size=100, connections=at - count))
            count = at
            say("idle", rival, at=at, spans=measure(address, **values))
            say("rest", rival, at=at, spans=measure(address, pause=REST, warm_up=1, requests=8, work="get", size=100, connections=1))
        say("memory", rival, of="idle", count=count, **memory.since(before))


def transfers(rival, address):
    """Memory while uploads go on."""
    before = memory.used()
    with stage.load_beside(address, work="put", size=64 * MIB, connections=TRANSFERS, requests=1 << 20):
        for _ in range(3):
            say("memory", rival, of="transfer", count=TRANSFERS, **memory.since(before))


def cpus(rival, address):
    for name in ("get", "put1m"):
        workload = WORKLOADS[name]
        stage.load(address, do="check", requests=workload.connections, **workload.arguments())
        lines = stage.load(address, do="time", warm_up=workload.requests, requests=workload.requests * 2, spans=CLOCK_SPANS,
                           **workload.arguments())
        say("cpus", rival, at=os.cpu_count(), workload=name, spans=[json.loads(line) for line in lines])


CURVES = {"count": (idle, uploads, transfers), "time": (cpus,)}


def main():
    kind, rivals = sys.argv[1], sys.argv[2].split()
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 18, 1 << 18))
    stage.build()
    stage.many_ports()
    stage.settle()
    failed = False
    for name in rivals:
        try:
            for curve in CURVES[kind]:
                # Started anew for each, so that none finds what another left.
                with RIVALS[name][1]() as address:
                    curve(name, address)
        except Exception:  # whatever it is: the other rivals' figures do not depend on it
            failed = True
            print(f"{kind}: {name} failed:\n{traceback.format_exc()}", file=sys.stderr, flush=True)
    sys.exit(1 if failed else 0)


main()
