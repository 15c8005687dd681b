#!/usr/bin/env python3
"""profile_report.py GUEST COUNTS PROGRAMS: the line of profile-guest.py and what counter.c wrote, as Markdown tables. PROGRAMS: FILE:NAME
in a line each, as boot.sh got them; their symbols are looked up there.
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
TOP = 60
# In these the CPU stands still; and the script that waits for the load generator is nobody's cost.
IDLE, NOBODY = ("halt", "mwait", "default_idle", "cpu_idle"), "python3"


class Binary:
    """The functions of an executable by their offsets in its file, where the kernel has mapped them."""

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
        """Its name, and whether it begins there."""
        for begin, address, size in self.segments:
            if begin <= offset < begin + size:
                at = offset - begin + address
                found = bisect.bisect_right(self.functions, (at, "\x7f")) - 1
                if found >= 0:
                    return self.functions[found][1], self.functions[found][0] == at
        return "?", False


class Code:
    """Whose code is at which address of the guest."""

    def __init__(self, guest, programs):
        self.kernel = sorted((int(address, 16), symbol, thing) for address, symbol, thing in guest["kernel"])
        self.mapped = sorted((int(low, 16), int(high, 16), int(offset, 16), process, file)
                             for process, low, high, offset, file in guest["mappings"])
        self.programs, self.binaries = programs, {}

    def at(self, address):
        """(process or `kernel`, object, function) and whether the function begins there."""
        if address >> 63:
            found = bisect.bisect_right(self.kernel, (address, "\x7f")) - 1
            begin, symbol, thing = self.kernel[found]
            return ("kernel", thing, symbol), begin == address
        found = bisect.bisect_right(self.mapped, (address, 1 << 64)) - 1
        if found < 0 or address >= self.mapped[found][1]:
            # The load generator and others that have ended.
            return ("others", "user space", "user space"), False
        low, _, offset, process, file = self.mapped[found]
        if file not in self.programs:
            return (process, file, os.path.basename(file)), False
        if file not in self.binaries:
            self.binaries[file] = Binary(self.programs[file])
        symbol, begins = self.binaries[file].function(address - low + offset)
        return (process, file, symbol), begins


def counts(path, code):
    """Instructions, and calls, by (process, object, function)."""
    instructions, calls = collections.Counter(), collections.Counter()
    with open(path, encoding="ascii") as file:
        for line in file:
            address, each, runs = line.split()
            where, begins = code.at(int(address, 16))
            process, _, symbol = where
            if process != NOBODY and not any(word in symbol for word in IDLE):
                instructions[where] += int(each) * int(runs)
                calls[where] += int(runs) if begins else 0
    return instructions, calls


def demangled(symbols):
    """Rust's names as people write them."""
    symbols = sorted(symbols)
    said = subprocess.run([ENTER, "c++filt"], input="\n".join(symbols), capture_output=True, text=True, check=True).stdout
    return dict(zip(symbols, said.splitlines()))


def short(symbol):
    """Without hashes, which say nothing, and what would be taken for the end of a cell."""
    return re.sub(r"\[[0-9a-f]{8,}\]|::h[0-9a-f]{16}$", "", symbol)[:90].replace("|", r"\|")


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        guest = json.load(file)
    programs = {f"/payload/{name}": path for path, name in (pair.split(":") for pair in sys.argv[3].splitlines())}
    instructions, calls = counts(sys.argv[2], Code(guest, programs))
    units, unit = guest["units"], WORKLOADS[guest["workload"]].unit
    by = collections.Counter()
    for where, count in instructions.items():
        what = category(*where[1:])
        by[f"user space: {where[0]}" if what == "user space" else what] += count

    def thousands(count):
        return number(count / units / 1000)

    print(f"\n{RIVALS[guest['rival']][0]}, `{guest['workload']}`, {guest['connections']} connections: {thousands(instructions.total())} thousand "
          f"instructions per {unit}, of everything that runs in the guest.\n")
    print(table(["what", "thousand instructions"], [[what, thousands(count)] for what, count in by.most_common()]))
    print(f"\nThe {TOP} most costly functions\n")
    rust = demangled({symbol for _, _, symbol in instructions if symbol.startswith("_R")})
    rows = [[short(rust.get(where[2], where[2])), where[0], category(*where[1:]), f"{calls[where] / units:.2f}" if calls[where] else "", f"{count / units / 1000:.2f}"]
            for where, count in instructions.most_common(TOP)]
    print(table(["function", "process", "category", f"calls per {unit}", "thousand instructions"], rows))


main()
