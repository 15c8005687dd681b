#!/usr/bin/env python3
"""profile-guest.py RIVAL WORKLOAD [CONNECTIONS]: the part of the guest. Prints one line of JSON: what a unit costs, and how many samples of
it fell where.
"""

import collections
import dataclasses
import json
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import stage  # noqa: E402
from rivals import RIVALS  # noqa: E402
from sampler import IDLE, Sampler, Symbols  # noqa: E402
from workloads import WORKLOADS  # noqa: E402

# Spans of `make bench` that are looked at: so many that setting up the connections is nothing beside them.
SPANS = 16


def main():
    rival, name, *connections = sys.argv[1:]
    workload = WORKLOADS[name]
    if connections:
        workload = dataclasses.replace(workload, connections=int(connections[0]))
    requests = max(workload.requests * SPANS, 4 * workload.connections)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1 << 18, 1 << 18))
    stage.build()
    stage.settle()
    with RIVALS[rival][1]() as address:
        stage.load(address, do="check", requests=max(workload.connections, 2), **workload.arguments())
        # The samples have a cost, too: their shares are of what it costs without.
        line = stage.load(address, do="measure", spans=1, requests=requests, **workload.arguments())[0]
        with Sampler() as sampler:
            stage.load(address, do="time", spans=1, requests=requests, **workload.arguments())
        symbols = Symbols()
        found = collections.Counter()
        for (task, pid, where), count in sampler.counts.items():
            thing, symbol = symbols.of(pid, where)
            if task != "idle" or not any(word in symbol for word in IDLE):
                found[task, thing, symbol] += count
    print(json.dumps({"rival": rival, "workload": name, "connections": workload.connections, "cost": json.loads(line)["busy"] / workload.units(requests),
                      "samples": [[*where, count] for where, count in found.items()]}))


main()
