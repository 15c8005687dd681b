#!/usr/bin/env python3
"""growth_report.py FILE PREFIX: the lines of growth-guest.py as Markdown tables, on standard output, and as the
plots PREFIX.svg and PREFIX-memory.svg.
"""

import collections
import json
import statistics
import sys

from curves import curves
from plot import plot
from rivals import OURS, RIVALS
from tables import number, table

# What a socket is made of, and what makes it a file that is waited for: caches of the kernel.
SOCKETS = ("TCP", "TCPv6", "sock_inode_cache", "lsm_inode_cache")
FILES = ("filp", "dentry", "eventpoll_epi", "eventpoll_pwq", "ep_head")
MEMORY = ("sockets", "their files", "other kernel", "process")


def points(lines, curve):
    """Of each rival, by place on the curve: thousand instructions per request."""
    result = collections.defaultdict(dict)
    for line in lines:
        if line["curve"] == curve:
            costs = [span["busy"] / span["requests"] / 1000 for span in line["spans"]]
            result[line["rival"]][line["at"]] = statistics.median(costs)
    return result


def per_second(lines):
    """The same per second, of what is done beside a few requests."""
    result = collections.defaultdict(dict)
    for line in lines:
        if line["curve"] == "rest":
            result[line["rival"]][line["at"]] = statistics.median(span["busy"] / span["elapsed"] * 1e6 for span in line["spans"])
    return result


def margins(found):
    """The same, less the direct connection's at that place."""
    return {rival: [(at, cost - found["direct"][at]) for at, cost in of.items()]
            for rival, of in found.items() if rival != "direct"}


def growing(found, unit):
    places = sorted(found["direct"])
    rows = [[RIVALS["direct"][0], *(number(found["direct"][at]) for at in places)]]
    for rival, of in margins(found).items():
        cells = dict(of)
        rows.append([RIVALS[rival][0], *(f"**{number(cells[at])}**" if at in cells else "-" for at in places)])
    return table(["", *(f"{at:,} {unit}" for at in places)], rows)


def grown(line):
    """What the whole guest has more than before, for each of `count`."""
    before, after, count = line["before"], line["after"], line["count"]

    def caches(names):
        return sum(after["slab"].get(name, 0) - before["slab"].get(name, 0) for name in names) / count

    def difference(kind):
        return {name: (after[kind][name] - before[kind][name]) / count for name in after[kind]}

    sockets, files, ends = caches(SOCKETS), caches(FILES), difference("sockets")
    return {"sockets": sockets, "their files": files,
            "other kernel": sum(difference("meminfo").values()) - sockets - files,
            "process": (after["processes"] - before["processes"]) / count,
            "ends": ends["client"] + ends["back"], "front": ends["front"],
            "buffers": after["sockets"]["buffers"] / count}


def memory(lines, of):
    """Of each rival, for each of `count`, bytes at the front end: what client and back-end have for each socket
    is taken off, as the direct connection tells it.
    """
    found = collections.defaultdict(list)
    for line in lines:
        if line["curve"] == "memory" and line["of"] == of:
            found[line["rival"]].append(grown(line))
    medians = {rival: {what: statistics.median(each[what] for each in all_of) for what in all_of[0]}
               for rival, all_of in found.items()}
    direct = medians.get("direct")
    for rival, each in medians.items():
        if rival != "direct":
            for what in MEMORY[:3]:
                each[what] -= direct[what] / direct["ends"] * each["ends"]
    return {rival: each for rival, each in medians.items() if rival != "direct"}


def memory_table(found):
    heads = ["", "sockets", *(f"{what}, bytes" for what in ("sockets", *MEMORY[1:])), "buffers of all machines"]
    rows = [[RIVALS[rival][0], f"{each['front']:.2f}", *(f"{each[what]:,.0f}" for what in MEMORY), f"{each['buffers']:,.0f}"]
            for rival, each in found.items()]
    return table(heads, rows)


def draw_memory(idle, transfer):
    columns = [(what, f"per {of}") for of in ("idle connection", "transfer") for what in MEMORY]

    def cells(rival):
        return [found[rival][what] if rival in found and found[rival][what] >= 1 else None
                for found in (idle, transfer) for what in MEMORY]

    return plot("What memory a front end needs", columns, [(RIVALS[rival][0], rival in OURS, cells(rival)) for rival in idle],
                "bytes at the front end")


def speeds(lines, workload):
    """Of each rival: requests per second by number of CPUs, of the best span."""
    result = collections.defaultdict(dict)
    for line in lines:
        if line["curve"] == "cpus" and line["workload"] == workload:
            result[line["rival"]][line["at"]] = max(span["requests"] / span["elapsed"] * 1e9 for span in line["spans"])
    return result


def speed_table(found):
    rows = [[RIVALS[rival][0], *(f"{of[cpus]:,.0f}" if cpus in of else "-" for cpus in (1, 2)),
             f"**{of[2] / of[1]:.2f}**" if len(of) == 2 else "-"] for rival, of in found.items()]
    return table(["", "1 CPU, per second", "2 CPUs, per second", "ratio"], rows)


def scaling(found):
    return {rival: [(cpus, of[cpus] / of[1]) for cpus in sorted(of)] for rival, of in found.items() if 1 in of}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    panels = []
    for curve, title, of, unit in (("uploads", "Uploads of 1 MiB at once", "MiB", "at once"),
                                   ("idle", "Small GETs beside idle connections", "request", "idle")):
        found = points(lines, curve)
        if found:
            print(f"\n{title}: thousand guest instructions per {of}, those of the direct connection, "
                  "and the others' **margin** over it\n")
            print(growing(found, unit))
        if len(found) > 1:
            panels.append(((title, unit, f"thousand instructions per {of}, margin"), margins(found)))
    rest = per_second(lines)
    if rest:
        print("\nA machine at rest, but for a small GET every 50 ms: thousand instructions per second, those of the direct connection, "
              "and the others' **margin** over it\n")
        print(growing(rest, "idle"))
    idle, transfer = memory(lines, "idle"), memory(lines, "transfer")
    for found, what in ((idle, "idle client connection"), (transfer, "upload under way")):
        if found:
            print(f"\nMemory at the front end for each {what}\n")
            print(memory_table(found))
    if idle and transfer:
        write(f"{sys.argv[2]}-memory.svg", draw_memory(idle, transfer))
    for workload, title in (("get", "Small GETs, 64 connections"), ("put1m", "Uploads of 1 MiB, 8 at once")):
        found = speeds(lines, workload)
        if found:
            print(f"\n{title}: by the clock, on one CPU and on two\n")
            print(speed_table(found))
            panels.append(((title, "CPUs", "speed by the clock, as a multiple of one CPU's"), scaling(found)))
    if panels:
        write(f"{sys.argv[2]}.svg", curves("How it grows", panels, OURS))


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


main()
