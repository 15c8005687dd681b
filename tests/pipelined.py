#!/usr/bin/env python3
"""What a client sends ahead: more requests than its buffers hold, before it reads one answer.

Driven by the stock YNL client; no router of ours. None may be lost, and none may stand for ever because
of what TCP keeps for those before it.
"""

import socket
import threading

from scene import DEBUG, MIB, connect, content
from ynlrouter import DEADLINE, Router, read_exactly, tap, wait_for

BYTES = 2 * MIB if DEBUG else 4 * MIB


def head(number, size):
    """The request of this number, of `size` bytes."""
    begin = b"GET /%d HTTP/1.1\r\nHost: h\r\nX: " % number
    return begin + b"x" * (size - len(begin) - 4) + b"\r\n\r\n"


def answer(number, size):
    begin = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX: %d\r\n\r\n" % (size, number)
    return begin + content(size, number)


class Asks:
    """A client that sends `heads` as fast as they are taken."""

    def __init__(self, address, heads):
        self.socket = connect(address)
        # So they do not grow, or much would have to be sent to fill them.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 200_000)
        self.sent = 0
        self.thread = threading.Thread(target=self.send, args=(heads,), daemon=True)
        self.thread.start()

    def send(self, heads):
        for one in heads:
            self.socket.sendall(one)
            self.sent += 1

    def wait_until_full(self):
        """Until all is sent, or nothing more is taken."""
        before = [-1, -2]

        def stands():
            before.append(self.sent)
            return not self.thread.is_alive() or len(set(before[-20:])) == 1

        wait_for("the buffers are full", stands)

    def close(self):
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive(), f"not more than {self.sent} were taken"
        self.socket.close()


def answer_next(r, number, wanted, data):
    e = r.event("head")
    assert e["head"] == wanted, f"head {number}: {e['head'][:20]!r}"
    assert e["generation"] == number
    if data:
        # Before what makes room for the next head.
        r.do("send", id=e["id"], data=data)
    r.do("forward", id=e["id"], generation=number, framing="none")
    return e["id"]


def many(sizes):
    """All of them come, one after the other, though the last bytes of each buffer are a part of the next one."""
    r = Router({"grace": 0})
    _, address = r.listen(head_limit=65_000)
    for size in sizes:
        heads = [head(number, size) for number in range(1, BYTES // size)]
        asks = Asks(address, heads)
        asks.wait_until_full()
        assert asks.thread.is_alive(), "all of it fitted"
        for number, wanted in enumerate(heads, 1):
            queue = answer_next(r, number, wanted, None)
        asks.close()
        wait_for("its end", lambda q=queue: r.event("closed", q))
        r.do("queue-del", id=queue)
    r.close()


def unread():
    """Answers that a client does not read keep its next requests waiting, and each finds room."""
    r = Router({"grace": 0})
    _, address = r.listen()
    # Together more than all buffers between may grow to.
    size = 30_000
    heads = [head(number, size) for number in range(1, 6 * MIB // size)]
    asks = Asks(address, heads)
    asks.wait_until_full()
    reads = threading.Event()
    errors = []

    def reading():
        try:
            assert reads.wait(DEADLINE)
            for number in range(1, len(heads) + 1):
                wanted = answer(number, size)
                assert read_exactly(asks.socket, len(wanted)) == wanted, f"answer {number}"
        except Exception as e:  # whatever it is, the point failed
            errors.append(e)

    reader = threading.Thread(target=reading, daemon=True)
    def unsent(queue):
        return r.do("queue-get", id=queue).get("unsent")

    reader.start()
    waited = 0
    for number, wanted in enumerate(heads, 1):
        queue = answer_next(r, number, wanted, answer(number, size))
        if reads.is_set() or number == len(heads) or not unsent(queue):
            continue
        # Nothing is sent meanwhile.
        waited += 1
        wait_for("the next one", lambda q=queue: r.do("queue-get", id=q)["state"] == "ready")
        if "head" in r.events_now():
            assert not unsent(queue), "told though an answer waits"
        elif unsent(queue):
            reads.set()
    assert reads.is_set(), f"no request waited, but {waited} answers"
    reader.join()
    assert not errors, errors
    asks.close()
    r.close()


def ended():
    """A router that lets a client go whose next request it was not told of: the answers that it gave arrive."""
    r = Router({"grace": 0})
    _, address = r.listen()
    c = connect(address)
    c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 50_000)
    number = 0
    while not number or not r.do("queue-get", id=queue).get("unsent"):
        number += 1
        c.sendall(head(number, 1_000))
        queue = answer_next(r, number, head(number, 1_000), answer(number, 60_000))
    c.sendall(head(number + 1, 1_000))
    wait_for("the next one", lambda: r.do("queue-get", id=queue)["state"] == "ready")
    assert "head" not in r.events_now()
    r.do("queue-del", id=queue)
    for one in range(1, number + 1):
        wanted = answer(one, 60_000)
        assert read_exactly(c, len(wanted)) == wanted, f"answer {one} of {number}"
    assert c.recv(1) == b""
    c.close()
    r.close()


def low_water():
    """Nobody waits for more than there is, whatever the socket's owner asked for."""
    r = Router({"grace": 0})
    server = socket.create_server(("127.0.0.1", 0))
    with socket.socket() as s:
        s.connect(server.getsockname())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 60_000)
        back = r.do("queue-add", fd=s.fileno(), side="back")["id"]
    peer, _ = server.accept()
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 60_000)
        s.bind(("127.0.0.1", 0))
        s.listen()
        r.do("listener-add", fd=s.fileno())
        c = connect(s.getsockname())
    c.sendall(head(1, 100))
    assert r.event("head")["head"] == head(1, 100)
    peer.sendall(answer(1, 10))
    assert r.event("head", back)["head"] == answer(1, 10)[:-10]
    for one in (c, peer, server):
        one.close()
    r.close()


tap([
    ("more small requests than the buffers hold all come", lambda: many((700, 1900))),
    ("and so do large ones", lambda: many((4001, 16_001, 60_001))),
    ("while an answer is not read, the next request waits, and none is lost", unread),
    ("a client that is let go gets all answers before", ended),
    ("SO_RCVLOWAT keeps no head back", low_water),
])
