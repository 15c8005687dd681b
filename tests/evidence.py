#!/usr/bin/env python3
"""Evidence that bodies stay in the kernel: what the router's process reads and writes while
a large body passes under it. Client, front end and back-end are three network
namespaces; contents are checked at the far end. That the meter sees a body which does
pass through the process is tried first, with the engine that moves bodies so.
"""

import http.client
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from content import DIGESTS, blocks, digest  # noqa: E402
from harness import BACK, CLIENT, DEBUG, FRONT, Backend, Router, inside, make_namespaces, stats, tap  # noqa: E402

BYTES = (16 if DEBUG else 1024) << 20
# What a router may touch for one exchange, however long the body.
LIMIT = 64 << 10
SECONDS = 300

CONFIG = """
engine = "ENGINE"
[[listener]]
address = "10.1.0.2:80"
[[listener]]
address = "[fd01::2]:80"
[pool.all]
backends = ["10.2.0.2:80", "[fd02::2]:80"]
[[route]]
pool = "all"
# In a guest without KVM, whose router is under strace, the default of a second may be too little.
[limits]
connect-ms = 60000
ask-ms = 60000
asking-ms = 60000
"""

make_namespaces()
# Of the whole content: the same for every transfer, so computed once.
expected = digest("crc32", blocks(BYTES))
router = None
backends = [Backend(a, "--digest", "crc32", namespace=BACK) for a in ("10.2.0.2:80", "[fd02::2]:80")]


def start(engine):
    """A router with that engine."""
    return Router(CONFIG.replace("ENGINE", engine), ["10.1.0.2:80", "[fd01::2]:80"], FRONT, metered=True)


class Measured:
    """The block of one exchange: what the router's process and the module counted meanwhile."""

    def __enter__(self):
        self.touched, self.before = router.touched(), stats(FRONT)
        return self

    def __exit__(self, *_):
        self.touched = router.touched() - self.touched
        after = stats(FRONT)
        self.moved = {name: after[name] - self.before[name] for name in ("front-to-back", "back-to-front")}
        print(f"# router touched {self.touched} bytes, the module moved {self.moved}")


def connect(address):
    """A client's connection, made in its namespace."""
    connection = http.client.HTTPConnection(address, 80, timeout=SECONDS)
    with inside(CLIENT):
        connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def upload(address, target, length=BYTES):
    """Uploads and checks the answer; returns what was measured meanwhile."""
    connection = connect(address)
    with Measured() as measured:
        connection.request("PUT", target, body=blocks(length), headers={"Content-Length": str(length)})
        response = connection.getresponse()
        answer = response.read()
        line = router.exchange(target=target, method="PUT")
    assert response.status == 201, (response.status, answer)
    assert json.loads(answer) == {"bytes": length, "crc32": expected if length == BYTES else digest("crc32", blocks(length))}, answer
    assert line["up"] == str(length), line
    return measured


def stayed_in_the_kernel(measured, direction):
    assert measured.moved[direction] == BYTES, measured.moved
    assert measured.touched < LIMIT, measured.touched


def download(address):
    """Downloads and checks the content; returns what was measured meanwhile."""
    target = f"/content/{BYTES}"
    connection = connect(address)
    with Measured() as measured:
        connection.request("GET", target)
        response = connection.getresponse()
        assert response.status == 200, response.status
        crc, length, buffer = DIGESTS["crc32"](), 0, bytearray(1 << 20)
        while got := response.readinto(buffer):
            crc.update(memoryview(buffer)[:got])
            length += got
        line = router.exchange(target=target, client="%s:%d" % client_name(connection))
    assert (length, crc.hexdigest()) == (BYTES, expected), (length, crc.hexdigest(), expected)
    assert line["down"] == str(BYTES), line
    return measured


def client_name(connection):
    """The connection's own end, as the access log writes it."""
    address, port = connection.sock.getsockname()[:2]
    return (f"[{address}]" if ":" in address else address), port


def meter_sees_bodies():
    """The meter sees a body that the router's process does read and write."""
    global router
    router = start("user")
    length = 4 << 20
    measured = upload("10.1.0.2", "/meter", length)
    assert measured.touched >= 2 * length, measured.touched
    assert router.stop() == 0, router.err
    router = start("kernel")


def upload_over_ipv4():
    """An upload passes under the router, over IPv4."""
    stayed_in_the_kernel(upload("10.1.0.2", "/v4"), "front-to-back")


def download_over_ipv4():
    """A download passes under the router, over IPv4."""
    stayed_in_the_kernel(download("10.1.0.2"), "back-to-front")


def upload_over_ipv6():
    """An upload passes under the router, over IPv6."""
    stayed_in_the_kernel(upload("fd01::2", "/v6"), "front-to-back")


def download_over_ipv6():
    """A download passes under the router, over IPv6."""
    stayed_in_the_kernel(download("fd01::2"), "back-to-front")


def router_stops():
    """The router ends when asked to, without an error."""
    assert router.stop() == 0, router.err


tap([meter_sees_bodies, upload_over_ipv4, download_over_ipv4, upload_over_ipv6, download_over_ipv6, router_stops])
