#!/usr/bin/env python3
"""profile_report.py FILE PROGRAMS: the line of profile-guest.py as Markdown tables. PROGRAMS: FILE:NAME in a line each, as boot.sh
got them; their symbols are looked up there.
"""

import bisect
import collections
import json
import os
import re
import struct
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, ".."))
from categories import category  # noqa: E402
from rivals import RIVALS  # noqa: E402
from tables import number, table  # noqa: E402
from workloads import WORKLOADS  # noqa: E402

ENTER = os.path.join(HERE, "..", "..", "qemu", "enter.sh")
TOP = 45
# What stands for less than this, in instructions per unit, is of no interest.
LEAST = 50


class Binary:
    """The functions of an executable by their offsets in its file, where the samples are."""

    def __init__(self, path):
        said = subprocess.run([ENTER, "nm", "-C", "-n", "--defined-only", path], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in said.splitlines()]
        self.functions = [(int(row[0], 16), row[2]) for row in rows if row[1] in "tTwW"]
        with open(path, "rb") as file:
            head = file.read(64)
            table_at, size, count = struct.unpack_from("<Q", head, 32)[0], *struct.unpack_from("<HH", head, 54)
            file.seek(table_at)
            programs = [file.read(size) for _ in range(count)]
        # Type 1 are those that are loaded: offset, address, size in the file.
        self.segments = [(*struct.unpack_from("<QQ", program, 8), struct.unpack_from("<Q", program, 32)[0])
                         for program in programs if struct.unpack_from("<I", program)[0] == 1]

    def function(self, offset):
        for begin, address, size in self.segments:
            if begin <= offset < begin + size:
                at = bisect.bisect_right(self.functions, (offset - begin + address, "\x7f")) - 1
                return self.functions[at][1] if at >= 0 else "?"
        return "?"


def demangled(symbols):
    """Rust's names as people write them."""
    said = subprocess.run([ENTER, "c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True).stdout
    return dict(zip(symbols, said.splitlines()))


def short(symbol):
    """Without hashes and the paths of traits, which say little."""
    return re.sub(r"\[[0-9a-f]{8,}\]|::h[0-9a-f]{16}$", "", symbol)


def named(samples, programs):
    """The samples by (task, object, function)."""
    binaries = {}
    rust = demangled(sorted({symbol for _, _, symbol, _ in samples if symbol.startswith("_R")}))
    result = collections.Counter()
    for task, thing, symbol, count in samples:
        if thing in programs:
            if thing not in binaries:
                binaries[thing] = Binary(programs[thing])
            symbol = binaries[thing].function(int(symbol, 16))
        elif "/" in thing:
            symbol = os.path.basename(thing)
        result[task, thing, short(rust.get(symbol, symbol)) or thing] += count
    return result


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        line = json.load(file)
    programs = {f"/payload/{name}": path for path, name in (pair.split(":") for pair in sys.argv[2].splitlines())}
    samples = named(line["samples"], programs)
    scale = line["cost"] / samples.total()
    unit = WORKLOADS[line["workload"]].unit
    by = collections.Counter()
    tasks, categories = collections.Counter(), collections.Counter()
    for (task, thing, symbol), count in samples.items():
        what = category(thing, symbol)
        by[task, what] += count
        tasks[task] += count
        categories[what] += count

    def cell(count):
        return number(count * scale / 1000) if count * scale >= LEAST else ""

    print(f"\n{RIVALS[line['rival']][0]}, `{line['workload']}`, {line['connections']} connections: {number(line['cost'] / 1000)} thousand instructions per {unit}, "
          f"of everything that runs in the guest; {samples.total():,} samples.\n")
    shown = [task for task, count in tasks.most_common() if count * scale >= 10 * LEAST]
    rows = [["all", *(cell(tasks[task]) for task in shown), cell(samples.total())]]
    rows += [[what, *(cell(by[task, what]) for task in shown), cell(categories[what])] for what, _ in categories.most_common()]
    print(table(["thousand instructions in", *shown, "all"], rows))
    print(f"\nThe {TOP} most costly functions\n")
    rows = [[symbol[:90].replace("|", r"\|"), task, category(thing, symbol), cell(count)]
            for (task, thing, symbol), count in samples.most_common(TOP)]
    print(table(["function", "task", "category", "thousand instructions"], rows))


main()
