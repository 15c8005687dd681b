"""Samples of what the one CPU does: perf_event_open(2) with `cpu-clock`, which under `-icount shift=0` ticks once per instruction.

Where interrupts are off the sample comes when they are on again: such code is charged to
who turns them on, `_raw_spin_unlock_irqrestore` for example.
"""

import bisect
import collections
import ctypes
import fcntl
import mmap
import os
import struct

PERF_EVENT_OPEN = 298
SOFTWARE, CPU_CLOCK = 1, 0
IP, TID = 1, 2
# Of the attributes' flags: begin disabled; tell the names of new programs.
DISABLED, COMM = 1 << 0, 1 << 9
RECORD_COMM, RECORD_SAMPLE = 3, 9
ENABLE, DISABLE = 0x2400, 0x2401
# Prime, so that it is in step with nothing.
PERIOD = 10_007
PAGE, PAGES = 4096, 16384
# Where `data_head` is in the first page.
HEAD = 1024
# In these the CPU stands still.
IDLE = ("halt", "mwait", "default_idle", "cpu_idle")


class Sampler:
    """Samples while the block lasts. Afterwards `counts`: how often at (process name, pid, address)."""

    def __init__(self):
        attributes = struct.pack("=IIQQQQQ", SOFTWARE, 128, CPU_CLOCK, PERIOD, IP | TID, 0, DISABLED | COMM).ljust(128, b"\0")
        libc = ctypes.CDLL(None, use_errno=True)
        self.event = libc.syscall(PERF_EVENT_OPEN, attributes, -1, 0, -1, 0)
        if self.event < 0:
            raise OSError(ctypes.get_errno(), "perf_event_open")
        self.ring = mmap.mmap(self.event, (PAGES + 1) * PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self.counts = collections.Counter()

    def __enter__(self):
        fcntl.ioctl(self.event, ENABLE, 0)
        return self

    def __exit__(self, *_):
        fcntl.ioctl(self.event, DISABLE, 0)
        names = running()
        end = struct.unpack_from("Q", self.ring, HEAD)[0]
        if end > PAGES * PAGE:
            raise RuntimeError("more samples than fit: a shorter workload is needed")
        at = PAGE
        while at < PAGE + end:
            kind, _, length = struct.unpack_from("IHH", self.ring, at)
            if kind == RECORD_COMM:
                pid, _ = struct.unpack_from("II", self.ring, at + 8)
                names[pid] = self.ring[at + 16:at + length].split(b"\0")[0].decode()
            elif kind == RECORD_SAMPLE:
                address, pid, _ = struct.unpack_from("QII", self.ring, at + 8)
                self.counts[pid, address] += 1
            at += length
        self.counts = collections.Counter({(names.get(pid, "?").split("/")[0], pid, address): count
                                           for (pid, address), count in self.counts.items()})


def running():
    """The names of all processes; pid 0 is the idle CPU, which serves interrupts."""
    names = {0: "idle"}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            names[int(pid)] = file.read().strip()
    return names


class Symbols:
    """Where an address is: (object, symbol), of the kernel; (file, offset in it), of a process that still runs."""

    def __init__(self):
        with open("/proc/kallsyms", encoding="ascii") as file:
            rows = [line.split() for line in file]
        self.kernel = sorted((int(row[0], 16), row[2], row[3].strip("[]") if len(row) > 3 else "kernel")
                             for row in rows if row[1] in "tTwW")
        self.maps = {}

    def of(self, pid, address):
        if address >> 63:
            at = bisect.bisect_right(self.kernel, (address, "\x7f")) - 1
            return self.kernel[at][2], self.kernel[at][1]
        if pid not in self.maps:
            self.maps[pid] = mapped(pid)
        for low, high, offset, file in self.maps[pid]:
            if low <= address < high:
                return file, hex(address - low + offset)
        return "user space", ""


def mapped(pid):
    """The executable mappings of a process; none if it has ended."""
    try:
        with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
            rows = [line.split() for line in file]
    except FileNotFoundError:
        return []
    result = []
    for row in rows:
        if "x" in row[1] and len(row) > 5:
            low, high = (int(end, 16) for end in row[0].split("-"))
            result.append((low, high, int(row[2], 16), row[5]))
    return result
