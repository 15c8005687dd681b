#!/usr/bin/env python3
"""TLS in the kernel (kTLS): a socket that has it is refused, and one that gets it after its adoption
harms nothing.

Keys that are set after adoption make the kernel keep pointers to the module's callbacks, so that it
stays loaded for ever (rust/sys/hook.rs, pin_module): not here, since scripts after this one unload it.
"""

import errno
import socket
import struct

from failures_scenes import exchange, open_path
from scene import Path, refused
from ynlrouter import read_exactly, tap, wait_for

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
    """A back-end's socket gets it, before a body moves; the bodies are exact, and nothing is kept."""
    with Path() as p:
        x = open_path(p)
        with socket.create_connection(p.server.getsockname()) as near:
            x.s, _ = p.server.accept()
            x.b = p.r.do("queue-add", fd=near.fileno(), side="back")["id"]
            near.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
            for seed in (1, 2):
                exchange(p, x, seed, 300000)
                x.c.sendall(b"GET / HTTP/1.1\r\n\r\n")
                x.generation = p.r.event("head", x.f)["generation"]
            p.r.do("queue-abort", id=x.b)
    wait_for("no reference is left", lambda: open("/sys/module/underpass/refcnt").read() == "0\n")


tap([("a socket with TLS is refused", tls_is_refused),
     ("TLS without keys, after adoption: bodies are exact", tls_after_adoption)])
