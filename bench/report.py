#!/usr/bin/env python3
"""report.py FILE [SVG]: the lines of run-guest.py as Markdown tables, on standard output, and as a plot."""

import json
import statistics
import sys

from plot import plot
from rivals import OURS, RIVALS
from tables import number, table
from workloads import WORKLOADS


class Figure:
    """What one rival cost in one workload, per unit: the median of all spans, and their spread."""

    def __init__(self, line, what):
        workload = WORKLOADS[line["workload"]]
        self.values = [span[what] / workload.units(span["requests"]) for span in line["spans"]]
        self.median = statistics.median(self.values)

    @property
    def spread(self):
        """Half of what lies between the least and the most, as part of the median."""
        return (max(self.values) - min(self.values)) / 2 / self.median


def tables(lines, kind, what, cell):
    figures = {(line["rival"], line["workload"]): Figure(line, what)
               for line in lines if line["kind"] == kind and "spans" in line}
    rivals = [name for name in RIVALS if any(r == name for r, _ in figures)]
    workloads = [name for name in WORKLOADS if any(w == name for _, w in figures)]
    heads = ["", *(f"{name}, per {WORKLOADS[name].unit}" for name in workloads)]
    rows = []
    for rival in rivals:
        cells = [cell(figures[rival, w], figures["direct", w]) if (rival, w) in figures else "-" for w in workloads]
        rows.append([RIVALS[rival][0], *cells])
    return table(heads, rows)


def counted(figure, direct):
    total, margin = figure.median / 1000, (figure.median - direct.median) / 1000
    spread = f"±{100 * figure.spread:.1f}%"
    return f"{number(total)} {spread}" if figure is direct else f"**{number(margin)}** ({number(total)} {spread})"


def timed(figure, direct):
    return f"{figure.median / direct.median:.2f} ±{100 * figure.spread:.0f}%"


def latencies(lines):
    rows = []
    for line in lines:
        if "latency" in line and line["kind"] == "count":
            rows.append([RIVALS[line["rival"]][0], *(number(line["latency"][p] / 1000) for p in ("p50", "p90", "p99"))])
    return table(["", "median", "p90", "p99"], rows)


def draw(lines):
    figures = {(line["rival"], line["workload"]): Figure(line, "busy").median / 1000
               for line in lines if line["kind"] == "count" and "spans" in line}
    workloads = [name for name in WORKLOADS if ("direct", name) in figures]
    rivals = [name for name in RIVALS if name != "direct" and any((name, w) in figures for w in workloads)]

    def cell(rival, workload):
        total = figures.get((rival, workload))
        return None if total is None else total - figures["direct", workload]

    return plot("What forwarding costs",
                [(name, f"per {WORKLOADS[name].unit}") for name in workloads],
                [(RIVALS[r][0], r in OURS, [cell(r, w) for w in workloads]) for r in rivals])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    # A latency has no spans, and may be all that was asked for.
    counted_rivals = {line["rival"] for line in lines if line["kind"] == "count" and "spans" in line}
    if len(sys.argv) > 2 and counted_rivals - {"direct"}:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            file.write(draw(lines))
    kinds = {line["kind"] for line in lines}
    if counted_rivals:
        print("\nThousand guest instructions: **margin over a direct connection** (total ± spread)\n")
        print(tables(lines, "count", "busy", counted))
    if any("latency" in line for line in lines):
        print("\nA small GET beside eight uploads, one CPU: how long it takes, in thousand instructions\n")
        print(latencies(lines))
    if "time" in kinds:
        print("\nTime by the clock on two CPUs, as a multiple of a direct connection's ± spread\n")
        print(tables(lines, "time", "elapsed", timed))


main()
