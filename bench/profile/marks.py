"""What counter.c has to know of the guest: where counting begins and ends, and what code is at which address."""

import contextlib
import ctypes
import mmap
import os

# As in counter.c.
BEGIN, END = 0x7E0000000000, 0x7E0000000800
FIXED_NOREPLACE = 0x100000
RETURN = 0xC3


@contextlib.contextmanager
def counted():
    """What all processes do while the block lasts is counted. Once only."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    if libc.mmap(BEGIN, mmap.PAGESIZE, rights, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | FIXED_NOREPLACE, -1, 0) != BEGIN:
        raise OSError(ctypes.get_errno(), "mmap: no page for the marks")
    for mark in (BEGIN, END):
        ctypes.c_ubyte.from_address(mark).value = RETURN
    begin, end = (ctypes.CFUNCTYPE(None)(mark) for mark in (BEGIN, END))
    begin()
    yield
    end()


def kernel_symbols():
    """(address, symbol, `kernel` or the module) of all functions of the kernel."""
    with open("/proc/kallsyms", encoding="ascii") as file:
        rows = [line.split() for line in file]
    return [(row[0], row[2], row[3].strip("[]") if len(row) > 3 else "kernel") for row in rows if row[1] in "tTwW"]


def mappings():
    """(process, first address, the one behind the last, offset in the file, file) of all code of the processes that run."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm", encoding="utf-8") as comm, open(f"/proc/{pid}/maps", encoding="utf-8") as maps:
                name, rows = comm.read().strip(), [line.split() for line in maps]
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended meanwhile, as work items' threads do.
        for row in rows:
            if "x" in row[1] and len(row) > 5:
                found.append((name, *row[0].split("-"), row[2], row[5]))
    return found
