#!/usr/bin/env python3
"""Allocations that fail: in each command the n-th one, for every n until none is left; and in
the module's work items by chance.

A command that is refused for it has changed nothing, which the dumps tell; whatever becomes
of it, what it was for works at last, and its content is exact. On the stock kernel, which
cannot make allocations fail, each command runs once as it is. Two arguments: how many
connections, and how many exchanges of each, while work items starve.
"""

import contextlib
import ctypes
import errno
import glob
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, nullcontext

from failures_scenes import OPERATIONS, exchange, open_path, sending
from scene import ANSWER, DEBUG, HEAD, Path, connect, content
from starving import Nth, Starving
from ynlrouter import DEADLINE, Client, NlError, Router, YnlFamily, read_exactly, tap, wait_for

MODULE = "/payload/underpass.ko"
PAIRS, EXCHANGES = (int(n) for n in (sys.argv[1:] or ("4", "8")))
# What a lack of memory is called. ENOBUFS: by a netlink socket.
NO_MEMORY = (errno.ENOMEM, errno.ENOBUFS)


class Lost(Exception):
    """There was no memory to acknowledge the command, which was carried out."""


class Armed:
    """A netlink socket whose messages meet a failure in the kernel."""

    def __init__(self, sock, nth):
        self.sock, self.nth = sock, nth

    def send(self, payload, flags):
        with self.nth:
            return self.sock.send(payload, flags)

    def recvmsg(self, *given):
        return self.sock.recvmsg(*given)


class Failing(Client):
    """A client that can send one command so that an allocation fails."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        # What does not answer, hangs.
        limit = struct.pack("qq", int(DEADLINE), 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)

    def _recvmsg(self, flags=0):
        if not isinstance(self.sock, Armed):
            return super()._recvmsg(flags)
        try:
            return YnlFamily._recvmsg(self, flags)
        except OSError as e:
            raise (Lost() if e.errno == errno.ENOBUFS else e) from e

    def attempt(self, nth, method, values):
        """As `do`, or `dump` where `values` is None, with that failure."""
        real = self.sock
        self.sock = Armed(real, nth)
        try:
            return self.dump(method, {}) if values is None else self.do(method, values)
        finally:
            self.sock = real


class FailingRouter(Router):
    """A router whose client is one that fails. `bare`: not attached yet."""

    client = Failing

    def __init__(self, bare=False):
        if bare:
            self.ynl, self.kept = Failing(os.environ["SPEC"], schema=False), []
        else:
            super().__init__()


watch = Failing(os.environ["SPEC"], schema=False)


def state():
    """All objects of the namespace, without the counters that a vain attempt may change."""
    found = {}
    for what in ("router-get", "listener-get", "queue-get"):
        for one in watch.dump(what, {}):
            one.pop("overflows", None)
            one.pop("waiting", None)
            found[what, one["id"]] = one
    return found


def each_allocation(operation):
    """Tries `operation` with its first, second, ... allocation failing."""
    n, refusals, survived = 0, 0, 0
    while True:
        with ExitStack() as stack:
            scene = operation.scene(stack, FailingRouter)
            while True:
                n += 1
                nth = Nth(n if DEBUG else 0)
                before = state()
                try:
                    answer = scene.r.ynl.attempt(nth, operation.method, operation.values(scene))
                    break
                except Lost:
                    answer = None
                    break
                except (NlError, OSError) as e:
                    number = e.error if isinstance(e, NlError) else e.errno
                    assert number in NO_MEMORY and nth.left == 0, f"allocation {n}: {e}"
                    after = state()
                    changed = {k: (before.get(k), after.get(k)) for k in before | after if before.get(k) != after.get(k)}
                    assert not changed, f"allocation {n} refused it, but it changed {changed}"
                    refusals += 1
            operation.check(scene, answer)
        if nth.left:
            break
        survived += 1
    print(f"# {operation.title}: {n - 1} allocations, {refusals} refused it, {survived} did not", flush=True)
    assert not DEBUG or n > 1, "nothing failed"


def starving_work_items():
    """Exchanges on open connections are exact; a new connection is served, or ended and counted."""
    with Path() as p:
        pairs = [open_path(p) for _ in range(PAIRS)]
        before, refused = p.r.do("stats-get")["refused"], 0
        with Starving(15) if DEBUG else nullcontext() as starving:
            for n in range(1, EXCHANGES + 1):
                for x in pairs:
                    # The body: with its head, in one run, in several.
                    exchange(p, x, n, (100, 30000, 300000)[n % 3])
                    x.c.sendall(HEAD)
                    x.generation = p.r.event("head", x.f)["generation"]
                refused += not newcomer_is_served(p)
            assert not DEBUG or min(starving.failed()) > 0, starving.failed()
        assert p.r.do("stats-get")["refused"] - before == refused, "some were not counted"
        print(f"# {refused} of {EXCHANGES} new connections were refused", flush=True)


def newcomer_is_served(p):
    """Whether it was; else it was ended without a byte."""
    c = connect(p.address)
    port = c.getsockname()[1]
    c.sendall(HEAD)

    def head_or_end():
        p.r.events_now()
        for e in p.r.kept:
            if e["name"] == "head" and e["msg"].get("peer-port") == port:
                p.r.kept.remove(e)
                return e["msg"]
        try:
            c.setblocking(False)
            # TCP's own RST may have got lost for want of memory: this brings another.
            c.send(b"x")
            return {"end": c.recv(1)}
        except BlockingIOError:
            return None
        except (ConnectionResetError, BrokenPipeError):
            return {"end": b""}
        finally:
            c.settimeout(DEADLINE)

    found = wait_for("the newcomer is served or ended", head_or_end)
    if "end" in found:
        assert found["end"] == b"", found
        return False
    # By a command, whose task does not starve.
    p.r.do("send", id=found["id"], data=ANSWER)
    assert read_exactly(c, len(ANSWER)) == ANSWER
    p.r.do("queue-abort", id=found["id"])
    return True


def no_memory_to_send():
    """A body that has come is tried again now and then: no thread does nothing else."""
    with Path() as p:
        x = open_path(p)
        body = content(100000)
        p.r.do("route", id=x.f, generation=1, to=x.b, framing="length", length=len(body), data=HEAD)
        assert read_exactly(x.s, len(HEAD)) == HEAD
        with Starving(100) if DEBUG else nullcontext() as starving:
            sender = sending(x.c, body)
            wait_for("it is there", lambda: p.r.do("queue-get", id=x.f)["taken"] > 0)
            before, begin = cpu_of_threads(), time.monotonic()
            time.sleep(2)  # which is what is measured
            used, ms = (cpu_of_threads() - before) * 1000 // os.sysconf("SC_CLK_TCK"), int((time.monotonic() - begin) * 1000)
            assert not DEBUG or starving.failed()[1] > 0, starving.failed()
        print(f"# {used} ms of the CPU in {ms} ms", flush=True)
        assert used < ms / 4, f"the module's threads had the CPU for {used} of {ms} ms"
        assert read_exactly(x.s, len(body)) == body, "content differs"
        assert p.r.event("done", x.f)["result"] == "complete"
        sender.join()


def cpu_of_threads():
    """Ticks of the clock that the module's threads had a CPU."""
    ticks = 0
    for path in glob.glob("/mnt/[0-9]*/stat"):  # in-guest.sh: of all namespaces
        with contextlib.suppress(OSError), open(path, encoding="ascii", errors="replace") as file:
            name, _, fields = file.read().rpartition(") ")
            if "(underpass/" in name:
                user, system = fields.split()[11:13]
                ticks += int(user) + int(system)
    return ticks


def load_the_module():
    """Every n-th allocation of insmod; the module's own are the last ones, of which none is left out."""
    libc = ctypes.CDLL(None, use_errno=True)
    finit_module, none = 313, ctypes.c_char_p(b"")
    watch.close()
    wait_for("no reference is left", lambda: open("/sys/module/underpass/refcnt").read() == "0\n")
    image = os.open(MODULE, os.O_RDONLY)

    def load(n):
        subprocess.run(["rmmod", "underpass"], check=False, stderr=subprocess.DEVNULL)
        assert not os.path.exists("/sys/module/underpass")
        nth = Nth(n)
        with nth:
            code = libc.syscall(finit_module, image, none, 0)
        return nth, ctypes.get_errno() if code else 0

    many = 10**6
    if DEBUG:
        Nth.allow(pages=False)
    nth, code = load(many if DEBUG else 0)
    assert code == 0, os.strerror(code)
    total, refused = (many - nth.left if DEBUG else 0), 0
    for n in [*range(1, total - 120, max(1, total // 15)), *range(max(1, total - 120), total + 1)]:
        nth, code = load(n)
        assert code in (0, errno.ENOMEM), f"allocation {n}: {os.strerror(code)}"
        refused += code != 0
    assert load(0)[1] == 0
    print(f"# insmod: {total} allocations, {refused} of those tried refused it", flush=True)
    os.close(image)
    with Path(router=Router()) as p:
        exchange(p, open_path(p), 1, 30000)


def test_of(operation):
    return (operation.title, lambda: each_allocation(operation))


threading.excepthook = lambda args: os._exit(3)
if DEBUG:
    Nth.allow()
tap([*map(test_of, OPERATIONS),
     ("work items: every byte right", starving_work_items),
     ("work items without memory to send wait for it", no_memory_to_send),
     ("insmod", load_the_module)])
