#!/usr/bin/env python3
"""TLS in the kernel (kTLS): a socket that has it is refused, and an adopted one cannot get it."""

import errno
import socket
import struct

from failures_scenes import exchange, open_path
from scene import Path, refused
from ynlrouter import read_exactly, tap

TCP_ULP, SOL_TLS, TLS_TX, TLS_RX = 31, 282, 1, 2
# struct tls12_crypto_info_aes_gcm_128: version, cipher, iv, key, salt, record number.
KEYS = struct.pack("=HH", 0x0303, 51) + bytes(8) + bytes(16) + bytes(4) + bytes(8)


def tls_is_refused():
    with Path() as p:
        for keys in ((), (TLS_TX,), (TLS_RX,), (TLS_TX, TLS_RX)):
            with socket.create_connection(p.server.getsockname()) as near:
                far, _ = p.server.accept()
                near.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
                for key in keys:
                    near.setsockopt(SOL_TLS, key, KEYS)
                for side in ("front", "back"):
                    refused(errno.EOPNOTSUPP, p, "queue-add", fd=near.fileno(), side=side)
                if not keys:
                    # It was not touched.
                    near.sendall(b"still mine")
                    assert read_exactly(far, 10) == b"still mine"
                far.close()
        exchange(p, open_path(p), 1, 30000)


def tls_after_adoption():
    """Nothing else gets on an adopted socket, front or back or listening; bodies are exact."""
    with Path() as p:
        x = open_path(p)
        with socket.create_connection(p.server.getsockname()) as near, socket.create_server(("127.0.0.1", 0)) as s:
            x.s, _ = p.server.accept()
            x.b = p.r.do("queue-add", fd=near.fileno(), side="back")["id"]
            listener = p.r.do("listener-add", fd=s.fileno())["id"]
            for seed in (1, 2):
                for one in (near, s):
                    try:
                        one.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
                    except FileExistsError:
                        pass
                    else:
                        raise AssertionError("TLS is on an adopted socket")
                exchange(p, x, seed, 300000)
                x.c.sendall(b"GET / HTTP/1.1\r\n\r\n")
                x.generation = p.r.event("head", x.f)["generation"]
            p.r.do("queue-abort", id=x.b)
            p.r.do("listener-del", id=listener)


def tls_after_release():
    """A listening socket that was let go is as it was: it can be adopted again, and what it
    gives its owner can have TLS."""
    with Path() as p, socket.create_server(("127.0.0.1", 0)) as s:
        for _ in range(3):
            one = p.r.do("listener-add", fd=s.fileno())["id"]
            refused(errno.EBUSY, p, "listener-add", fd=s.fileno())
            p.r.do("listener-del", id=one)
        with socket.create_connection(s.getsockname()), s.accept()[0] as mine:
            mine.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")


tap([("a socket with TLS is refused", tls_is_refused),
     ("TLS after adoption is refused, and bodies are exact", tls_after_adoption),
     ("TLS after a listener was let go", tls_after_release)])
