"""Cases of peers.py: a WebSocket server and clients, joined by an Upgrade."""

import contextlib
import itertools
import socket
import struct

import websockets.sync.client
from content import BLOCK
from harness import CLIENT, DEBUG, inside
from scene import ROUTER, SECONDS, event
from websockets.exceptions import ConnectionClosed

MESSAGES = 300 if DEBUG else 2000
# Tells a connection from those of earlier cases in what the server says.
numbers = itertools.count()


@contextlib.contextmanager
def opened(path, **options):
    """A WebSocket connection through the router."""
    with inside(CLIENT):
        sock = socket.create_connection((ROUTER, 80), timeout=SECONDS)
    with websockets.sync.client.connect(
        f"ws://{ROUTER}{path}", sock=sock, open_timeout=SECONDS, close_timeout=SECONDS, max_size=None,
        ping_interval=None, proxy=None, **options
    ) as connection:
        yield connection


def echo():
    """WebSocket: texts and binaries of all frame sizes come back as they were."""
    with opened("/ws/echo", compression=None) as connection:
        for size in (0, 1, 125, 126, 65535, 65536, len(BLOCK)):
            connection.send(BLOCK[:size])
            assert connection.recv(SECONDS) == BLOCK[:size], f"{size} bytes"
        for text in ("", "plain", "\u00fcber \u4e16\u754c \U0001f600" * 1000):
            connection.send(text)
            assert connection.recv(SECONDS) == text


def compressed():
    """WebSocket: a compressed message, in fragments, comes back whole."""
    with opened("/ws/echo") as connection:
        assert connection.protocol.extensions, "not compressed"
        connection.send(f"fragment {number}, " for number in range(100))
        assert connection.recv(SECONDS) == "".join(f"fragment {number}, " for number in range(100))


def many():
    """WebSocket: thousands of messages, all on their way at once, come back in order."""
    with opened("/ws/echo", compression=None) as connection:
        for number in range(MESSAGES):
            connection.send(f"message {number}")
        for number in range(MESSAGES):
            got = connection.recv(SECONDS)
            assert got == f"message {number}", got


def pings():
    """WebSocket: pings of either side are answered by the other."""
    with opened("/ws/ping") as connection:
        assert connection.recv(SECONDS) == "pong"
        assert connection.ping(b"and you?").wait(SECONDS), "no pong"


def closed_by_client(scene):
    """WebSocket: the client closes, and the server knows why."""
    path = f"/ws/echo?{next(numbers)}"
    with opened(path) as connection:
        connection.close(4321, "enough")
    assert connection.close_code == 4321, connection.close_code
    event(scene.websocket, "closed", path=path, code=4321, reason="enough")


def closed_by_server(scene):
    """WebSocket: the server closes, and the client knows why."""
    path = f"/ws/bye?{next(numbers)}"
    with opened(path) as connection:
        try:
            connection.recv(SECONDS)
        except ConnectionClosed as end:
            assert (end.rcvd.code, end.rcvd.reason) == (4000, "bye"), end
        else:
            raise AssertionError("a message instead of the end")
    event(scene.websocket, "closed", path=path, code=4000)


def client_vanishes(scene):
    """WebSocket: a client that is reset takes its server's connection along."""
    path = f"/ws/echo?{next(numbers)}"
    with inside(CLIENT):
        sock = socket.create_connection((ROUTER, 80), timeout=SECONDS)
    with sock:
        sock.sendall(
            f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 101 ")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # 1006: no closing handshake.
    event(scene.websocket, "closed", path=path, code=1006)


CASES = [echo, compressed, many, pings, closed_by_client, closed_by_server, client_vanishes]
