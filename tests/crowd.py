#!/usr/bin/env python3
"""crowd.py [CLIENTS]: thousands of slow clients, and one that behaves and is served exactly meanwhile.

A third sends a head byte by byte, a third a body, a third asks for a long response and does not
read it. The listener's limits hold: no more at once than `connections`, no head after
`head-ms`, no body below its least rate. Then as many that ask ahead of what they read. Then what runs out
when connections to back-ends do: ports, and descriptors.
"""

import os
import selectors
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from harness import BACK, CLIENT, DEBUG, FRONT, Mirror, Router, command, inside, make_namespaces, stats, tap, wait_for, ynl  # noqa: E402
from mirror import pieces_of  # noqa: E402
from traffic import Talk  # noqa: E402

CLIENTS = int(sys.argv[1]) if len(sys.argv) > 1 else 300 if DEBUG else 1000
# Fewer than come, so that some have to wait until others were shown the door.
PLACES = CLIENTS * 6 // 10
# In which as many come as there are places.
WINDOW = max(30 if DEBUG else 8, CLIENTS // 100)
SECONDS = max(240, CLIENTS // 8)
AHEAD = 300 if DEBUG else 1100
SLOW, FAST = ("10.1.0.2", 80), ("10.1.0.2", 81)
LONG = 1 << 20
CONFIG = f"""
engine = "kernel"
[[listener]]
address = "10.1.0.2:80"
connections = {PLACES}
[[listener]]
address = "10.1.0.2:81"
head-ms = {SECONDS * 1000}
[pool.all]
backends = ["10.2.0.2:80"]
[[route]]
pool = "all"
mode = "optimistic"
[[route]]
host = "patient"
pool = "all"
mode = "optimistic"
[route.limits]
response-stall-bytes = 0
stall-ms = {SECONDS * 1000}
[limits]
response-stall-bytes = 100000
idle-connections = 0
head-ms = {WINDOW * 1000}
stall-ms = {WINDOW * 1000}
stall-bytes = 10000
# All come in the same second.
connect-ms = {SECONDS * 250}
asking-ms = {SECONDS * 500}
response-ms = {SECONDS * 1000}
"""

make_namespaces()
backend = Mirror("10.2.0.2:80")
# The back-end holds a descriptor for each, and so do we.
for pid in (backend.process.pid, os.getpid()):
    command("prlimit", f"--pid={pid}", "--nofile=65536:65536")
router = Router(CONFIG, ["10.1.0.2:80", "10.1.0.2:81"], FRONT)


class Slow:
    """A client that takes its time, and what it was told."""

    HEAD = b"GET /slow HTTP/1.1\r\nHost: a\r\nX: "
    BODY = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
    READ = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % LONG
    AHEAD = READ.replace(b"Host: a", b"Host: patient") * 2

    def __init__(self, kind, first, address=SLOW):
        self.kind, self.first, self.got, self.ended = kind, first, b"", False
        self.socket = socket.socket()
        # Room for a part of a response only.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.setblocking(False)
        self.socket.connect_ex(address)

    def ask(self):
        """Sends what it has to say first."""
        try:
            self.first = self.first[self.socket.send(self.first) :] if self.first else b""
        except BlockingIOError:
            pass

    def begun(self):
        """Whether there is something to read, which stays there."""
        try:
            return not self.first and bool(self.socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return False

    def move(self):
        """Sends a byte; reads, if it is one who does."""
        try:
            self.socket.send(self.first or b"x")
            self.first = b""
        except BlockingIOError:
            return
        except OSError:
            self.ended = self.kind == "read" or self.ended
        if self.kind == "read":
            return
        try:
            data = self.socket.recv(4096)
            self.got += data
            self.ended = self.ended or not data
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True


def crowd():
    """Slow heads, slow bodies, slow readers; who behaves is served, and the slow ones are shown the door"""
    with inside(CLIENT):
        slow = [
            Slow(kind, first)
            for _ in range(CLIENTS // 3)
            for kind, first in (("head", Slow.HEAD), ("body", Slow.BODY), ("read", Slow.READ))
        ]
    # Before any of them says a word: a slow machine serves the first no faster than others come.
    wait_for("all places are taken", lambda: open_now() == PLACES)
    done, served, seen, errors = threading.Event(), [], [], []

    def behave():
        try:
            while not done.is_set() or len(served) < 3:
                with Talk(FAST, SECONDS) as talk:
                    talk.upload(20_000)
                    talk.download(20_000)
                    talk.upload(5_000, chunked=True)
                served.append(time.monotonic())
        except Exception as error:  # whatever it is, the point failed
            errors.append(repr(error))

    def count():
        try:
            while not done.is_set():
                seen.append(open_now())
        except Exception as error:  # as above
            errors.append(repr(error))

    aside = [threading.Thread(target=behave), threading.Thread(target=count)]
    for thread in aside:
        thread.start()
    rounds = 0
    end = time.monotonic() + SECONDS
    left = slow
    while left:
        assert time.monotonic() < end, f"{len(left)} of {len(slow)} are still there: {[it.kind for it in left[:9]]}"
        for it in left:
            it.move()
        left = [it for it in left if not it.ended]
        rounds += 1
        # How slow they are.
        done.wait(0.5)
    done.set()
    for thread in aside:
        thread.join()
    assert not errors, errors
    most = max(seen)
    assert most <= PLACES, (most, PLACES)
    print(f"# {len(slow)} slow clients, {PLACES} at once, {rounds} bytes each; meanwhile {len(served)} good conversations")
    # Where all is slow, a byte may also come too late to count as one.
    for kind, reasons in (("head", [b"head-late"]), ("body", [b"request-slow", b"request-stalled"])):
        told = [it.got for it in slow if it.kind == kind]
        wrong = [got for got in told if not (got.startswith(b"HTTP/1.1 408 ") and any(it in got for it in reasons))]
        assert not wrong, (kind, len(wrong), len(told), wrong[0])
        by_first = sum(reasons[0] in got for got in told)
        assert by_first > len(told) // 2, (kind, by_first, len(told))
    wait_for("the log names slow readers", lambda: cut_readers() == CLIENTS // 3, SECONDS)
    for it in slow:
        it.socket.close()
    wait_for("no queue is left", lambda: stats(FRONT)["queues"] == 0, SECONDS)


def cut_readers():
    reasons = ("reason=client-slow ", "reason=client-stalled ")
    return sum(any(reason in line for reason in reasons) for line in list(router.out))


def open_now():
    """Connections of the listener for slow ones, as the module counts them. It takes a while each time."""
    return next(it["open"] for it in ynl(FRONT, "--dump", "listener-get") if it["port"] == SLOW[1])


def ahead():
    """Clients that ask again before they read an answer hold nobody up"""
    with inside(CLIENT):
        greedy = [Slow("read", Slow.AHEAD, FAST) for _ in range(AHEAD)]
    left = list(greedy)

    def all_begun():
        for it in left:
            it.ask()
        left[:] = [it for it in left if not it.begun()]
        return not left

    wait_for("each has a part of an answer", all_begun, SECONDS)
    with Talk(FAST, SECONDS) as talk:
        talk.upload(20_000)
        talk.download(20_000)
    for it in greedy:
        it.socket.close()
    wait_for("no queue is left", lambda: stats(FRONT)["queues"] == 0, SECONDS)


def ports():
    """Ports that run out are 503, and the next request gets one again"""
    # Four that no connection had before: the crowd's are in TIME-WAIT for a minute.
    command("ip", "netns", "exec", FRONT, "sysctl", "-q", "net.ipv4.ip_local_port_range=20000 20003")
    holders = [Talk(FAST, SECONDS, receive_buffer=4096) for _ in range(4)]
    for talk in holders:
        talk.ask("GET", f"/{LONG * 64}")
        status, _ = talk.head()
        assert status == 200, status
    with Talk(FAST, SECONDS) as talk:
        for _ in range(3):
            talk.ask("GET", "/10")
            status, fields = talk.head()
            assert status == 503 and "all-full" in fields["proxy-status"], (status, fields)
            b"".join(pieces_of(talk.file, fields))
        for holder in holders:
            holder.reset()
        wait_for("the ports are free", lambda: stats(FRONT)["queues"] == 1, SECONDS)
        talk.download(1000)


def stops():
    """The router ends when asked to"""
    assert router.stop() == 0, router.err


tap([crowd, ahead, ports, stops])
