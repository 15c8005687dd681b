#!/usr/bin/env python3
"""backend.py ADDRESS:PORT [options]: an HTTP/1.1 back-end that knows what it got.

PUT and POST   take the body; the answer says its size and digest. Nothing else is
               kept of it, unless --keep
GET /content/N N bytes that are the same everywhere (content.py)
GET            what was PUT there (with --keep); 421 for anything else: ask another

A request whose Content-Length is above --decline-above is declined by 421 before its
body. Every step is a line of JSON on stdout. It knows no chunked coding, and is
strict about nothing: it must be fast, and right about what it says.
"""

import argparse
import json
import os
import socket
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from content import DIGESTS, blocks  # noqa: E402

CHUNK = 1 << 20


class Gone(Exception):
    """The peer left in the middle of a message."""


class Backend:
    """What all connections share."""

    def __init__(self, args):
        self.args = args
        self.stored = {}
        self.printing = threading.Lock()

    def say(self, what, **values):
        with self.printing:
            print(json.dumps({"backend": self.args.address, "what": what, **values}), flush=True)

    def serve(self, listener):
        self.say("listening")
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.converse, args=[connection], daemon=True).start()

    def converse(self, connection):
        with connection:
            try:
                pending = b""
                while pending is not None:
                    pending = self.exchange(connection, pending)
            except (Gone, ConnectionError) as error:
                self.say("broken", error=str(error))

    def exchange(self, connection, pending):
        """One request. Returns what came after it, or None at the connection's end."""
        head, pending = read_head(connection, pending)
        if head is None:
            return None
        method, target, length, expects = parse(head)
        self.say("asked", method=method, target=target, length=length)
        limit = self.args.decline_above
        if limit is not None and length > limit:
            self.say("declined", method=method, target=target, length=length)
            answer(connection, "421 Misdirected Request", b"", "Connection: close\r\n")
            return None
        if method in ("PUT", "POST"):
            if expects:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            return self.take(connection, pending, method, target, length)
        self.give(connection, method, target)
        return pending

    def take(self, connection, pending, method, target, length):
        digest = DIGESTS[self.args.digest]()
        kept = os.memfd_create("body") if self.args.keep else None
        buffer = bytearray(CHUNK)
        view = memoryview(buffer)
        left = length
        surplus = pending[length:]
        view_now = memoryview(pending)[:length]
        while left:
            if not view_now:
                got = connection.recv_into(view, min(CHUNK, left))
                if not got:
                    raise Gone(f"{method} {target}: {length - left} of {length} body bytes")
                view_now = view[:got]
            digest.update(view_now)
            if kept is not None:
                write_all(kept, view_now)
            left -= len(view_now)
            view_now = view[:0]
        result = {"bytes": length, self.args.digest: digest.hexdigest()}
        if kept is not None:
            self.stored[target] = (kept, length)
        self.say("stored", method=method, target=target, **result)
        answer(connection, "201 Created", json.dumps(result).encode())
        return surplus

    def give(self, connection, method, target):
        if target.startswith("/content/"):
            length = int(target.removeprefix("/content/"))
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
            for piece in blocks(length):
                connection.sendall(piece)
        elif target in self.stored:
            kept, length = self.stored[target]
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode())
            offset = 0
            while offset < length:
                offset += os.sendfile(connection.fileno(), kept, offset, length - offset)
        else:
            self.say("declined", method=method, target=target, length=0)
            answer(connection, "421 Misdirected Request", b"")
            return
        self.say("sent", method=method, target=target, bytes=length)


def read_head(connection, pending):
    """The next head and what came after it; None instead of a head at the end."""
    while b"\r\n\r\n" not in pending:
        data = connection.recv(65536)
        if not data:
            if pending:
                raise Gone("in a head")
            return None, b""
        pending += data
    head, _, rest = pending.partition(b"\r\n\r\n")
    return head.decode("latin-1"), rest


def parse(head):
    """Method, target, Content-Length (0 if absent), and whether it expects 100."""
    first, *fields = head.split("\r\n")
    method, target, _ = first.split(" ")
    length, expects = 0, False
    for field in fields:
        name, _, value = field.partition(":")
        if name.lower() == "content-length":
            length = int(value)
        elif name.lower() == "expect":
            expects = value.strip().lower() == "100-continue"
    return method, target, length, expects


def answer(connection, status, body, fields=""):
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{fields}\r\n"
    connection.sendall(head.encode() + body)


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("address", help="ADDRESS:PORT, an IPv6 address in brackets")
    options.add_argument("--decline-above", type=int, metavar="BYTES", help="421 for longer bodies")
    options.add_argument("--digest", choices=sorted(DIGESTS), default="sha256")
    options.add_argument("--keep", action="store_true", help="keep bodies in memory, for GET")
    args = options.parse_args()
    host, _, port = args.address.rpartition(":")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    listener = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=1024)
    Backend(args).serve(listener)


if __name__ == "__main__":
    main()
