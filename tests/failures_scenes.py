"""What tests/failures.py tries: each command of the family, in a scene where it makes sense, and
how to see afterwards that it did what it is for.
"""

import socket
import threading
from types import SimpleNamespace

from scene import ANSWER, HEAD, Path, connect, content, reset
from ynlrouter import DEADLINE, Router, read_exactly, wait_for

BODY = content(100000, 7)
SMALL = BODY[:500]
RESPONSE = (b"HTTP/1.1 200 OK\r\nDate: Wed, 25 Nov 2026 00:00:00 GMT\r\nContent-Length: %d\r\n"
            % len(BODY))
CHUNKS = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (BODY[i : i + 7000] for i in range(0, len(BODY), 7000)))


class Operation:
    """A command: its scene, its attributes (None: it is a dump), and what must hold when it is done."""

    def __init__(self, title, method, scene, values, check):
        self.title, self.method, self.scene, self.values, self.check = title, method, scene, values, check


def open_path(p, more=b""):
    """A client whose head waits, with `more` behind it, and a back-end."""
    c, f, b, s = p.open(HEAD, more)
    return SimpleNamespace(c=c, f=f, b=b, s=s, generation=1, answers=0)


def sending(sock, data):
    t = threading.Thread(target=sock.sendall, args=(data,), daemon=True)
    t.start()
    return t


def exchange(p, x, seed, size):
    """A whole exchange on `x`, whose head waits, with bodies of `size` bytes in both directions."""
    up, down = content(size, seed), content(size, seed + 1000)
    p.r.do("route", id=x.f, generation=x.generation, to=x.b, framing="length", length=size, data=HEAD)
    t = sending(x.c, up)
    assert read_exactly(x.s, len(HEAD) + size) == HEAD + up, "content differs on its way up"
    t.join()
    assert p.r.event("done", x.f)["result"] == "complete"
    t = sending(x.s, ANSWER + down)
    e = p.r.event("head", x.b)
    assert e["head"] == ANSWER, e
    p.r.do("route", id=x.b, generation=e["generation"], to=x.f, framing="length", length=size, data=ANSWER)
    assert read_exactly(x.c, len(ANSWER) + size) == ANSWER + down, "content differs on its way down"
    t.join()
    assert p.r.event("done", x.b)["result"] == "complete"


# Scenes. Each is made by a function of the stack that ends it and of the class of router.


def path(more=b"", before=None, **listener):
    """A path whose client sent a head and `more`; `before` is called with it at last."""

    def make(stack, router):
        p = stack.enter_context(Path(router=router(), **listener))
        vars(p).update(vars(open_path(p, more)))
        if before:
            before(p)
        return p

    return make


def bare(stack, router):
    """A socket that is no router yet."""
    r = router(bare=True)
    stack.callback(r.close)
    return SimpleNamespace(r=r)


def without_owner(stack, router):
    """A path whose router is gone, and one that wants to be it."""
    p = path()(stack, router)
    p.old = p.r.me["id"]
    p.r.close()
    p.r = router(bare=True)
    return p


def two_in_the_backlog(stack, router):
    """A listener that is full, and two clients that wait."""
    p = path(connections=1)(stack, router)
    p.waiting = [connect(p.address) for _ in range(2)]
    for c in p.waiting:
        c.sendall(HEAD)
    p.refused = p.r.do("stats-get")["refused"]
    p.other = p.listener["id"]
    p.listener, _ = p.r.listen()
    return p


def listening_with_a_client(stack, router):
    p = path()(stack, router)
    p.listens = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    p.newcomer = connect(p.listens.getsockname())
    p.newcomer.sendall(HEAD)
    return p


def connected(stack, router):
    p = path()(stack, router)
    p.near = stack.enter_context(socket.create_connection(p.server.getsockname()))
    p.far, _ = p.server.accept()
    p.far.settimeout(DEADLINE)
    return p


def stuffed(p):
    """The client reads nothing; data waits for it."""
    p.sent = b""
    while p.r.do("queue-get", id=p.f)["unsent"] == 0:
        part = content(60000, len(p.sent))
        p.r.do("send", id=p.f, data=part)
        p.sent += part
    p.before = None

    def settled():
        q = p.r.do("queue-get", id=p.f)["unsent"]
        p.before, same = q, q == p.before
        return same

    wait_for("the client takes no more", settled)


def armed(p):
    p.r.do("route", id=p.f, generation=1, to=p.b, framing="none", data=HEAD, relay=b"X-A: b\r\n")
    assert read_exactly(p.s, len(HEAD)) == HEAD


# Checks.


def answered(p, answer):
    assert answer is None or answer, answer


def attached(p, _):
    routers = p.r.dump("router-get")
    assert len(routers) == 1, routers
    p.r.do("router-detach", grace=0)
    assert p.r.dump("router-get") == []


def detached(p, _):
    (router,) = p.r.dump("router-get")
    assert router["port"] == 0, router
    p.r.close()
    p.r = Router(takeover=router["id"])
    taken_over(p, None)


def taken_over(p, _):
    e = p.r.event("head", p.f)
    assert e["generation"] == 2, e
    p.generation = 2
    exchange(p, p, 1, 30000)


def listens(p, _):
    e = p.r.event("head")
    assert e["listener"] not in (0, p.listener["id"]), e
    p.r.do("send", id=e["id"], data=ANSWER)
    assert read_exactly(p.newcomer, len(ANSWER)) == ANSWER
    p.r.do("listener-del", id=e["listener"])
    exchange(p, p, 1, 3000)


def backlog_is_served(p, _):
    """Each of those who waited is; or, without memory for it, ended and counted."""
    wait_for("the listener is gone", lambda: p.r.do("router-get", id=p.r.me["id"])["listeners"] == 1)
    refused = p.r.do("stats-get")["refused"] - p.refused
    for _ in range(len(p.waiting) - refused):
        e = p.r.event("head")
        p.r.do("send", id=e["id"], data=ANSWER)
        p.r.do("drain", id=e["id"])
    served = 0
    for c in p.waiting:
        try:
            served += read_exactly(c, len(ANSWER)) == ANSWER
        except (EOFError, ConnectionResetError):
            pass
        c.close()
    assert served + refused == len(p.waiting), (served, refused)
    exchange(p, p, 1, 3000)


def added(p, _):
    new = [q["id"] for q in p.r.dump("queue-get") if q["id"] not in (p.f, p.b)]
    assert len(new) == 1, new
    p.r.do("send", id=new[0], data=SMALL)
    assert read_exactly(p.far, len(SMALL)) == SMALL
    exchange(p, p, 1, 3000)


def ended(p, _):
    """What was sent before arrived, and the queue goes. (That a reset or FIN got lost for want of
    memory is TCP's, and would be seen by whoever sends next.)"""
    assert read_exactly(p.c, len(ANSWER)) == ANSWER
    reset(p.c)
    wait_for("the queue is gone", lambda: p.f not in [q["id"] for q in p.r.dump("queue-get")])


def sent(p, _):
    assert read_exactly(p.c, len(p.sent) + len(SMALL)) == p.sent + SMALL
    exchange(p, p, 1, 3000)


def body_arrives(rest):
    def check(p, _):
        t = sending(p.c, rest)
        assert read_exactly(p.s, len(HEAD) + len(BODY)) == HEAD + BODY, "content differs"
        t.join()
        d = p.r.event("done", p.f)
        assert d["result"] == "complete" and d["taken"] == len(BODY), d

    return check


def small_arrives(p, _):
    assert read_exactly(p.s, len(HEAD) + len(SMALL)) == HEAD + SMALL, "content differs"
    d = p.r.event("done", p.f)
    assert d["result"] == "complete" and d["taken"] == len(SMALL), d


def discarded(p, _):
    d = p.r.event("done", p.f)
    assert d["result"] == "complete" and d["taken"] == len(BODY), d
    p.c.sendall(HEAD)
    p.generation = p.r.event("head", p.f)["generation"]
    exchange(p, p, 1, 3000)


def chunks_arrive(p, _):
    t = sending(p.c, CHUNKS[5000:] + b"0\r\nX: 1\r\nY: 2\r\n\r\n")
    assert read_exactly(p.s, len(HEAD)) == HEAD
    got, reader = b"", p.s.makefile("rb")
    while size := int(reader.readline(), 16):
        got += reader.read(size)
        assert reader.read(2) == b"\r\n"
    assert got == BODY, "content differs"
    assert reader.readline() == b"X: 1\r\n" and reader.readline() == b"\r\n"
    t.join()
    assert p.r.event("done", p.f)["result"] == "complete"


def relayed(p, _):
    assert read_exactly(p.s, len(HEAD)) == HEAD
    t = sending(p.s, RESPONSE + b"\r\n" + BODY)
    expected = RESPONSE + b"X-A: b\r\n\r\n" + BODY
    assert read_exactly(p.c, len(expected)) == expected, "content differs"
    t.join()
    d = p.r.event("done", p.b)
    assert d["result"] == "complete" and d["status"] == 200, d


def parked(p, _):
    q = p.r.do("queue-get", id=p.f)
    assert q["state"] == "parked" and q["taken"] == 0, q
    p.r.do("queue-abort", id=p.b)
    p.b, p.s = p.back()
    p.r.do("route", id=p.f, generation=1, to=p.b, framing="length", length=len(BODY), data=HEAD)
    body_arrives(BODY)(p, None)


def disarmed(p, _):
    p.s.sendall(RESPONSE + b"\r\n")
    assert p.r.event("head", p.b)["head"] == RESPONSE + b"\r\n"


def id_of(key):
    return lambda p: {"id": getattr(p, key)}


def routing(**values):
    return lambda p: {"id": p.f, "generation": 1, "to": p.b, "data": HEAD, **values}


def forwarding(p):
    return {"id": p.f, "generation": 1, "to": p.b, "framing": "length", "length": len(BODY)}


LENGTH = {"framing": "length", "length": len(BODY)}
CHUNKED = {"framing": "chunked", "trailers": b"x"}
WITH_ANSWER = path(before=lambda p: p.r.do("send", id=p.f, data=ANSWER))


def plain(p):
    p.sent = b""


def head_sent(p):
    p.r.do("send", id=p.b, data=HEAD)


def moving(p):
    p.r.do("route", id=p.f, generation=1, to=p.b, framing="length", length=len(BODY), data=HEAD)


OPERATIONS = [Operation(*one) for one in (
    ("router-attach", "router-attach", bare, lambda p: {"credit": 3}, attached),
    ("router-detach", "router-detach", path(), lambda p: {"grace": 3600000}, detached),
    ("router-takeover", "router-takeover", without_owner, id_of("old"), taken_over),
    ("router-get", "router-get", path(), lambda p: {"id": p.r.me["id"]}, answered),
    ("router-get, dump", "router-get", path(), lambda p: None, answered),
    ("listener-add", "listener-add", listening_with_a_client, lambda p: {"fd": p.listens.fileno()}, listens),
    ("listener-del", "listener-del", two_in_the_backlog, id_of("other"), backlog_is_served),
    ("listener-get", "listener-get", path(), lambda p: {"id": p.listener["id"]}, answered),
    ("listener-get, dump", "listener-get", path(), lambda p: None, answered),
    ("queue-add", "queue-add", connected, lambda p: {"fd": p.near.fileno(), "side": "back"}, added),
    ("queue-del", "queue-del", WITH_ANSWER, id_of("f"), ended),
    ("queue-abort", "queue-abort", WITH_ANSWER, id_of("f"), ended),
    ("drain", "drain", WITH_ANSWER, id_of("f"), ended),
    ("queue-get", "queue-get", path(), id_of("f"), answered),
    ("queue-get, dump", "queue-get", path(), lambda p: None, answered),
    ("stats-get", "stats-get", path(), lambda p: {}, answered),
    ("send", "send", path(before=plain), lambda p: {"id": p.f, "data": SMALL}, sent),
    ("send that waits", "send", path(before=stuffed), lambda p: {"id": p.f, "data": SMALL}, sent),
    ("route, small body", "route", path(SMALL), routing(framing="length", length=len(SMALL)), small_arrives),
    ("route, body", "route", path(BODY[:30000]), routing(**LENGTH), body_arrives(BODY[30000:])),
    ("route, chunks", "route", path(CHUNKS[:5000]), routing(**CHUNKED), chunks_arrive),
    ("route, relay", "route", path(), routing(framing="none", relay=b"X-A: b\r\n"), relayed),
    ("forward", "forward", path(BODY[:30000], head_sent), forwarding, body_arrives(BODY[30000:])),
    ("forward, discard", "forward", path(BODY), lambda p: {"id": p.f, "generation": 1, **LENGTH}, discarded),
    ("cancel", "cancel", path(before=moving), lambda p: {"id": p.f, "generation": 1}, parked),
    ("cancel of what is armed", "cancel", path(before=armed), lambda p: {"id": p.b, "generation": 0}, disarmed),
)]
