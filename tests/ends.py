#!/usr/bin/env python3
"""ends.py: client and back-end end in every order, by FIN, by RST, and by one after the other, in each
state of an exchange.

Where one side alone ends, the other finds what STATES says: never a message that looks whole and is not.
After each conversation its request has one line in the access log, no queue is left, and the next
one is served.
"""

import itertools
import os
import socket

from harness import DEADLINE, Router, wait_for
from scene import reset
from ynlrouter import Client, read_exactly, tap

FRONT, BACK = ("127.0.0.1", 8080), ("127.0.0.1", 9001)
CONFIG = """
engine = "kernel"
[[listener]]
address = "127.0.0.1:8080"
[pool.all]
backends = ["127.0.0.1:9001"]
[[route]]
pool = "all"
mode = "optimistic"
upgrade = ["echo"]
[limits]
connect-ms = 60000
asking-ms = 60000
idle-connections = 0
"""
BODY, ANSWER = bytes(500), bytes(range(250)) * 2
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PUT = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"

# What a side may do, in this order: FIN, RST.
WAYS = ("", ".", "!", ".!")
# What the other side finds when one does that alone, in the order of WAYS.
RESET, ERROR, FIN, LIVES = "reset", "an error response", "FIN", "nothing"
CUT = {".": {RESET}, "!": {RESET}, ".!": {RESET}}
TOLD = {".": {ERROR}, "!": {ERROR}, ".!": {ERROR}}
HALF_CLOSED = {".": {LIVES}, "!": {RESET}, ".!": {RESET}}
PASSED_ON = {".": {FIN}, "!": {RESET}, ".!": {FIN, RESET}}
# State: request, response, half of the bodies, what the client's ends do and what the back-end's do.
STATES = {
    "a request's body": (PUT, b"", BODY, b"", CUT, TOLD),
    "a response's body": (GET, OK, b"", ANSWER, HALF_CLOSED, CUT),
    "both bodies": (PUT, OK, BODY, ANSWER, CUT, CUT),
    "a tunnel": (UPGRADE, SWITCH, BODY, ANSWER, PASSED_ON, PASSED_ON),
}


def orders():
    """Client's way, back-end's way, and each order of their steps: "C." is the client's FIN, "B!" the back-end's RST."""
    for client, backend in itertools.product(WAYS, WAYS):
        for who in sorted(set(itertools.permutations("C" * len(client) + "B" * len(backend)))):
            left = {"C": list(client), "B": list(backend)}
            yield client, backend, [side + left[side].pop(0) for side in who]


def read_head(s):
    """A head, byte by byte, so that nothing of the body is read."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(s, 1)


def found(s):
    """What a side finds when the other one has ended."""
    got = b""
    try:
        while part := s.recv(65536):
            got += part
    except ConnectionResetError:
        assert not got, got
        return RESET
    if got.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")):
        return ERROR
    assert not got, got
    return FIN


def converse(request, response, more, back_more):
    """A client and a back-end in the middle of it; all that was sent has arrived."""
    client = socket.create_connection(FRONT, DEADLINE)
    client.sendall(request)
    backend, _ = server.accept()
    backend.settimeout(DEADLINE)
    read_head(backend)
    if response:
        backend.sendall(response + back_more)
        read_head(client)
        assert read_exactly(client, len(back_more)) == back_more
    client.sendall(more)
    assert read_exactly(backend, len(more)) == more
    return {"C": client, "B": backend}


def ended(state, client, backend, order):
    """One conversation that ends in this order."""
    request, response, more, back_more, by_client, by_backend = STATES[state]
    lines = len(router.out)
    sides = converse(request, response, more, back_more)
    for side, step in order:
        try:
            if step == ".":
                sides[side].shutdown(socket.SHUT_WR)
            else:
                reset(sides.pop(side))
        except OSError:
            # The other one's end was passed on before.
            assert client and backend, "it was reset for no reason"
    if not backend and client:
        sees(sides["B"], by_client[client], lambda: sides["C"])
    elif not client and backend:
        sees(sides["C"], by_backend[backend], lambda: sides["B"])
    for s in sides.values():
        reset(s)
    wait_for("no queue is left", lambda: not module.dump("queue-get", {}))
    wait_for("its line in the access log", lambda: len(router.out) > lines)
    assert len(router.out) == lines + 1, router.out[lines:]


def sees(other, expected, one):
    if expected == {LIVES}:
        # A client that says that it has no more requests still gets its response.
        other.sendall(ANSWER)
        assert read_exactly(one(), len(ANSWER)) == ANSWER
    else:
        saw = found(other)
        assert saw in expected, f"saw {saw}, not {expected}"


def every_order(state):
    wrong, count = [], 0
    for client, backend, order in orders():
        count += 1
        try:
            ended(state, client, backend, order)
        except Exception as error:  # whatever it is, the point failed
            wrong.append(f"{' '.join(order)}: {error!r}")
    print(f"# {state}: {count} orders", flush=True)
    assert not wrong, "\n".join(wrong)


def stops():
    assert router.stop() == 0, router.err


server = socket.create_server(BACK)
server.settimeout(DEADLINE)
module = Client(os.environ["SPEC"], schema=False)
router = Router(CONFIG, ["%s:%d" % FRONT])
tap([*((f"FIN and RST in every order, in {state}", lambda state=state: every_order(state)) for state in STATES),
     ("the router ends when asked to", stops)])
