#!/usr/bin/env python3
"""mirror.py ADDRESS:PORT: an HTTP/1.1 back-end for random traffic, whose peers check content.

PUT            takes the body, in either framing; the answer says its size and CRC-32
POST           sends the body back as it comes, chunk by chunk: full duplex
GET /N         N bytes of content.py; GET /chunked/N the same in chunks
GET /cut/N     promises N bytes, sends half of them, and resets
Upgrade: echo  becomes a tunnel that sends back what comes, up to FIN

It says `listening`, and a line for each body that a peer ended early: `cut RESET|FIN`, the
request, and how much of its content had come.
"""

import os
import socket
import struct
import sys
import threading
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from content import blocks  # noqa: E402

PIECE = 1 << 16


class Cut(Exception):
    """The peer ended in the middle of a message."""


def fields_of(head):
    """The start line, and the fields by name in lower case."""
    first, *lines = head.decode("latin-1").split("\r\n")
    return first, {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


def pieces_of(file, fields):
    """The body of a message with these fields, in pieces."""
    if fields.get("transfer-encoding") == "chunked":
        while True:
            size = int(line_of(file), 16)
            if size == 0:
                break
            yield from exactly(file, size)
            if line_of(file):
                raise Cut("a chunk is longer than it says")
        while line_of(file):
            pass
        return
    yield from exactly(file, int(fields.get("content-length", 0)))


def line_of(file):
    line = file.readline()
    if not line.endswith(b"\r\n"):
        raise Cut("FIN")
    return line[:-2]


def exactly(file, size):
    while size:
        piece = file.read1(min(size, PIECE))
        if not piece:
            raise Cut("FIN")
        size -= len(piece)
        yield piece


def in_chunks(pieces):
    for piece in pieces:
        yield b"%x\r\n%b\r\n" % (len(piece), piece)
    yield b"0\r\n\r\n"


def counted(pieces, now):
    for piece in pieces:
        now["came"] += len(piece)
        yield piece


def converse(connection, now):
    """All requests of a connection; `now` tells what it is at."""
    file = connection.makefile("rb")
    while True:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = file.readline()
            if not line:
                return
            head += line
        first, fields = fields_of(head)
        now["at"], now["came"] = head, 0
        method, target, _ = first.split(" ")
        if fields.get("upgrade") == "echo":
            connection.sendall(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            while piece := file.read1(PIECE):
                connection.sendall(piece)
            connection.shutdown(socket.SHUT_WR)
            return
        if "expect" in fields:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        if method == "PUT":
            size = crc = 0
            for piece in counted(pieces_of(file, fields), now):
                size, crc = size + len(piece), zlib.crc32(piece, crc)
            said = b"%d %08x" % (size, crc)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
        elif method == "POST":
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for chunk in in_chunks(counted(pieces_of(file, fields), now)):
                connection.sendall(chunk)
        else:
            length = int(target.rsplit("/", 1)[1])
            if target.startswith("/chunked/"):
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for chunk in in_chunks(blocks(length)):
                    connection.sendall(chunk)
                continue
            # With a Date the module may pass it on without showing it.
            connection.sendall(b"HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: %d\r\n\r\n" % length)
            cut = target.startswith("/cut/")
            for piece in blocks(length // 2 if cut else length):
                connection.sendall(piece)
            if cut:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return


def serve(connection):
    now = {}
    with connection:
        try:
            converse(connection, now)
        except Cut as cut:
            print(f"cut {cut} {now}", flush=True)
        except ConnectionResetError:
            print(f"cut RESET {now}", flush=True)
        except (BrokenPipeError, TimeoutError) as error:
            print(f"left {error}", flush=True)


def main():
    host, _, port = sys.argv[1].rpartition(":")
    listener = socket.create_server((host, int(port)), backlog=4096)
    print("listening", flush=True)
    while True:
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=serve, args=[connection], daemon=True).start()


if __name__ == "__main__":
    main()
