"""A client's side of random traffic with mirror.py: each exchange checks all content, both ways."""

import socket
import struct
import threading
import zlib

from content import blocks
from harness import CLIENT, inside
from mirror import Cut, exactly, fields_of, in_chunks, pieces_of


class Wrong(Exception):
    """What came is not what was to come: a byte too much, too few, or another one."""


class Refused(ConnectionResetError):
    """The router could not do it, and said so: an answer of 5xx."""


def crc_of(pieces):
    """Size and CRC-32 of all pieces."""
    size = crc = 0
    for piece in pieces:
        size, crc = size + len(piece), zlib.crc32(piece, crc)
    return size, crc


def check(what, got, expected):
    if got != expected:
        raise Wrong(f"{what}: {got}, and not {expected}")


def told_of_reset(sender, errors):
    """Raises a reset that the sender took: the kernel tells one of two threads, and the other sees an end.

    A reset behind a FIN is another error, EPIPE (`tcp_reset`).
    """
    sender.join()
    for error in errors:
        if isinstance(error, ConnectionResetError):
            raise error


class Talk:
    """One connection to the router. Sizes are in bytes."""

    def __init__(self, address, seconds, receive_buffer=None):
        with inside(CLIENT):
            self.socket = socket.socket()
            if receive_buffer:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.socket.settimeout(seconds)
            # A reset that the network loses is not sent again: who only listens has to ask.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
            self.socket.connect(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def ask(self, method, target, *lines):
        self.socket.sendall("\r\n".join([f"{method} {target} HTTP/1.1", "Host: a", *lines, "", ""]).encode())

    def head(self, interim=()):
        """Status and fields of the next final response, or of an interim one named here."""
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.file.readline()
                if not line:
                    raise ConnectionResetError("the connection ended before the response")
                head += line
            first, fields = fields_of(head)
            status = int(first.split(" ")[1])
            if status >= 200 or status in interim:
                return status, fields

    def answered(self, what, expected):
        """The fields of the next response, which has this status."""
        status, fields = self.head((expected,))
        if status >= 500:
            raise Refused(f"{what}: {status} {fields.get('proxy-status')}")
        check(what, status, expected)
        return fields

    def send_all(self, pieces, end=False):
        """In a thread, so that both directions are in use at once; what went wrong is returned."""
        errors = []

        def run():
            try:
                for piece in pieces:
                    self.socket.sendall(piece)
                if end:
                    self.socket.shutdown(socket.SHUT_WR)
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        return thread, errors

    def upload(self, size, chunked=False):
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
        self.ask("PUT", "/", framing)
        pieces = in_chunks(blocks(size)) if chunked else blocks(size)
        sender, errors = self.send_all(pieces)
        said = b"".join(pieces_of(self.file, self.answered("upload", 200)))
        sender.join()
        check("upload", (said, errors), (b"%d %08x" % crc_of(blocks(size)), []))

    def download(self, size, chunked=False):
        self.ask("GET", f"/{'chunked/' if chunked else ''}{size}")
        got = crc_of(pieces_of(self.file, self.answered("download", 200)))
        check("download", got, crc_of(blocks(size)))

    def duplex(self, size):
        """A body that comes back while it still goes out."""
        self.ask("POST", "/", f"Content-Length: {size}")
        sender, errors = self.send_all(blocks(size))
        try:
            got = crc_of(pieces_of(self.file, self.answered("duplex", 200)))
        except Cut:
            told_of_reset(sender, errors)
            raise
        sender.join()
        check("duplex", (got, errors), (crc_of(blocks(size)), []))

    def tunnel(self, size):
        """The connection is used up by it."""
        self.ask("GET", "/", "Connection: upgrade", "Upgrade: echo")
        self.answered("upgrade", 101)
        sender, errors = self.send_all(blocks(size), end=True)
        got = crc_of(iter(lambda: self.file.read1(1 << 16), b""))
        if got != crc_of(blocks(size)):
            told_of_reset(sender, errors)
        sender.join()
        check("tunnel", (got, errors), (crc_of(blocks(size)), []))

    def broken_download(self, size):
        """The back-end resets in mid-body: a whole message must not come."""
        self.ask("GET", f"/cut/{size}")
        try:
            fields = self.answered("a cut response", 200)
            got = crc_of(exactly(self.file, int(fields["content-length"])))
        except ConnectionResetError:
            return
        raise Wrong(f"a cut response came whole: {got}")

    def abandoned_upload(self, size):
        """The client resets when half of the body is out, which the back-end wanted."""
        self.ask("PUT", "/", f"Content-Length: {size}", "Expect: 100-continue")
        self.answered("an upload", 100)
        for piece in blocks(size // 2):
            self.socket.sendall(piece)
        self.reset()
