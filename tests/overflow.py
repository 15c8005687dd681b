#!/usr/bin/env python3
"""overflow.py: a router that was away while more came than its netlink socket holds.

Until it has read all of that the kernel drops also the answers to what it says meanwhile. Nothing may be lost
for it: each client is served, no connection is forgotten.
"""

import os
import selectors
import signal
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from harness import CLIENT, FRONT, Mirror, Router, command, inside, make_namespaces, stats, tap, wait_for  # noqa: E402

# Within the credit of a router, and more heads of that size than 16 MiB of kernel memory hold.
CLIENTS = 1_020
HEAD = b"GET /10 HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 9_000 + b"\r\n\r\n"
# So many at once take long on a slow machine: only that nothing moves at all for PATIENCE seconds is wrong.
LONG_MS = 3_600_000
PATIENCE = 120
CONFIG = f"""
engine = "kernel"
[[listener]]
address = "10.1.0.2:80"
[pool.all]
backends = ["10.2.0.2:80"]
[[route]]
pool = "all"
[limits]
asking-ms = {LONG_MS}
ask-ms = {LONG_MS}
connect-ms = {LONG_MS}
response-ms = {LONG_MS}
"""

make_namespaces()
backend = Mirror("10.2.0.2:80")
for pid in (backend.process.pid, os.getpid()):
    command("prlimit", f"--pid={pid}", "--nofile=65536:65536")
router = Router(CONFIG, ["10.1.0.2:80"], FRONT)


def descriptors():
    return len(os.listdir(f"/proc/{router.process.pid}/fd"))


def answers(clients):
    """Reads the answers of all of them."""
    got = {client: b"" for client in clients}
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            assert ready, f"{len(selector.get_map())} of {len(clients)} were not answered"
            for key, _ in ready:
                client = key.fileobj
                got[client] += client.recv(4096)
                head, _, body = got[client].partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 "), got[client]
                if len(body) == 10:
                    selector.unregister(client)


def crowd():
    """All that came while the router stood still is served, though the kernel had to drop messages to it"""
    before = descriptors()
    os.kill(router.process.pid, signal.SIGSTOP)
    with inside(CLIENT):
        clients = [socket.create_connection(("10.1.0.2", 80)) for _ in range(CLIENTS)]
    for client in clients:
        client.sendall(HEAD)
    wait_for("the kernel drops messages", lambda: stats(FRONT)["overflows"] > 0, 120)
    os.kill(router.process.pid, signal.SIGCONT)
    answers(clients)
    assert any("messages were lost" in line for line in router.err), router.err
    for client in clients:
        client.close()
    wait_for("no client is left", lambda: stats(FRONT)["queues"] <= 64, 120)
    wait_for("no descriptor is left", lambda: descriptors() <= before + 64, 120)


def stops():
    """The router ends when asked to"""
    assert router.stop() == 0, router.err


tap([crowd, stops])
