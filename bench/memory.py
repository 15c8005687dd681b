"""What memory is used for, of the whole guest: sockets of the three machines, what their buffers hold, the kernel's
objects by cache, and the processes of the front end.
"""

import glob
import os
import re
import time

from stage import BACK, CLIENT, FRONT, command

# The kernel's own. `slab` tells of the first by cache, but for objects of more than two pages, which have none.
MEMINFO = ("Slab", "KernelStack", "PageTables", "Percpu", "VmallocUsed")
PAGE = os.sysconf("SC_PAGE_SIZE")


def meminfo():
    with open("/proc/meminfo", encoding="ascii") as file:
        values = dict(re.findall(r"^(\w+):\s+(\d+) kB$", file.read(), re.MULTILINE))
    return {name: int(values[name]) * 1024 for name in MEMINFO}


def slab():
    """Bytes of the objects in use, by cache."""
    with open("/proc/slabinfo", encoding="ascii") as file:
        rows = [line.split() for line in file.readlines()[2:]]
    return {row[0]: int(row[1]) * int(row[3]) for row in rows}


def sockets():
    """TCP sockets in use on each machine, and bytes that all their buffers hold."""
    result = {}
    for name in (CLIENT, FRONT, BACK):
        said = command("ip", "netns", "exec", name, "cat", "/proc/net/sockstat")
        result[name] = int(re.search(r"^TCP: inuse (\d+)", said, re.MULTILINE)[1])
        # It is one count of the whole kernel.
        result["buffers"] = int(re.search(r"^TCP: .* mem (\d+)$", said, re.MULTILINE)[1]) * PAGE
    return result


def processes():
    """Bytes of the processes on the front machine: their proportional share, as the kernel computes it."""
    pids = command("ip", "netns", "pids", FRONT).split()
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            total += int(re.search(r"^Pss:\s+(\d+) kB$", file.read(), re.MULTILINE)[1]) * 1024
    return total


def used():
    # Objects of what was closed are freed after a while. Some are kept: what files were, and what a cache has at hand.
    time.sleep(0.5)
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("2")
    for path in glob.glob("/sys/kernel/slab/*/shrink"):
        with open(path, "w", encoding="ascii") as file:
            file.write("1")
    return {"meminfo": meminfo(), "slab": slab(), "sockets": sockets(), "processes": processes()}


def since(before):
    """What was used then, and what is now; of the caches, those that have changed."""
    after = used()
    changed = [name for name, size in after["slab"].items() if size != before["slab"].get(name, 0)]
    return {what: {**values, "slab": {name: values["slab"].get(name, 0) for name in changed}}
            for what, values in (("before", before), ("after", after))}
