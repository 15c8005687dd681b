"""What the tests of bodies have in common: a path from a client to a server, open at both
ends, and how connections end.
"""

import hashlib
import os
import socket
import struct

from ynlrouter import DEADLINE, Router

MIB = 1 << 20
DEBUG = os.environ.get("UNDERPASS_KERNEL") == "debug"
BULK = (4 if DEBUG else 32) * MIB


def content(n, seed=1):
    """n bytes that repeat nowhere at a power of two."""
    block = hashlib.shake_128(str(seed).encode()).digest(65521)
    return (block * (n // len(block) + 1))[:n]


def connect(address):
    s = socket.create_connection(address[:2], timeout=DEADLINE)
    s.settimeout(DEADLINE)
    return s


def reset(s):
    """Closes with RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Path:
    """Client - front queue - router - back queue - server, all of it open."""

    def __init__(self, family=socket.AF_INET, router=None, **listener):
        self.r = router or Router()
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        self.server = socket.create_server((host, 0), family=family)
        self.server.settimeout(DEADLINE)
        self.listener, self.address = self.r.listen(family, **listener)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for q in self.r.dump("queue-get"):
            if q["state"] != "draining":
                self.r.do("queue-abort", id=q["id"])
        self.r.do("listener-del", id=self.listener["id"])
        self.r.close()
        self.server.close()

    def back(self):
        b = self.r.back(self.server.getsockname())
        s, _ = self.server.accept()
        s.settimeout(DEADLINE)
        return b, s

    def open(self, head, more=b""):
        """A client that sent `head` and `more`; its queue, waiting; and a back-end."""
        c = connect(self.address)
        c.sendall(head + more)
        e = self.r.event("head")
        assert e["head"] == head, f"{e['head']!r} is not {head!r}"
        return (c, e["id"], *self.back())


HEAD = b"PUT /x HTTP/1.1\r\nHost: h\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def expect_reset(s):
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        return
    raise AssertionError("a clean end, and not a reset")


def refused(number, p, name, **values):
    try:
        p.r.do(name, **values)
    except Exception as e:  # NlError
        assert number is not None and e.nl_msg.error == -number, e
        assert e.nl_msg.extack and e.nl_msg.extack.get("msg"), f"no words: {e}"
    else:
        assert number is None, f"{name} was not refused"
