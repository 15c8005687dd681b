#!/usr/bin/env python3
"""profile-guest.py RIVAL WORKLOAD [CONNECTIONS]: the part of the guest. Prints one line of JSON: how many units were counted, and
what code was at which address.
"""

import dataclasses
import json
import os
import resource
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import stage  # noqa: E402
from marks import counted, kernel_symbols, mappings  # noqa: E402
from rivals import RIVALS  # noqa: E402
from workloads import WORKLOADS  # noqa: E402

# Spans of `make bench` that are counted: so many that setting up the connections is nothing beside them.
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
        with counted():
            stage.load(address, do="time", spans=1, requests=requests, **workload.arguments())
        said = {"rival": rival, "workload": name, "connections": workload.connections, "units": workload.units(requests),
                "mappings": mappings(), "kernel": kernel_symbols()}
    print(json.dumps(said))


main()
