#!/usr/bin/env python3
"""How the module lets go of connections and owners at odd moments: what is not whole does not look so, nobody
waits for a peer, and nothing grows.

Driven by the stock YNL client; no router of ours. With 60 s of waiting: that is how long a body may stand
still whose router is gone (close.rs).
"""

import errno
import resource
import socket
import struct
import threading

from scene import DEBUG, HEAD, Path, content, refused
from ynlrouter import NlError, Router, read_exactly, tap, wait_for

RESPONSE = b"HTTP/1.1 200 OK\r\n\r\n"
PART = b"the first part"
PAIRS = 16
RACES = 40 if DEBUG else 100
# Connections that are accepted while a router is away (router.rs).
AWAY = 1024


def references():
    with open("/sys/module/underpass/refcnt", encoding="ascii") as file:
        return int(file.read())


def half_a_response(p, framing="until-close", **length):
    """A client that got a head and a part of its body. Returns its socket and all else."""
    c, f, b, s = p.open(HEAD)
    p.r.do("route", id=f, generation=1, to=b, framing="none", data=HEAD)
    read_exactly(s, len(HEAD))
    s.sendall(RESPONSE + PART)
    p.r.event("head", b)
    p.r.do("route", id=b, generation=1, to=f, framing=framing, data=RESPONSE, **length)
    assert read_exactly(c, len(RESPONSE + PART)) == RESPONSE + PART
    return c, f, b, s


def only_reset(c):
    """Nothing more comes but a reset."""
    try:
        more = c.recv(1 << 16)
    except ConnectionResetError:
        return
    raise AssertionError(f"not a reset: {more!r}")


def target_ended():
    for command, values in (("queue-del", {}), ("drain", {"limit-bytes": 1000, "limit-ms": 1000}), ("queue-abort", {})):
        with Path() as p:
            c, f, _, _ = half_a_response(p)
            p.r.ynl.do(command, {"id": f, **values})
            only_reset(c)


def orphans():
    """In some of the pairs the client's queue is looked at first, in others the back-end's."""
    r = Router({"grace": 500})
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(60)
    p = Path.__new__(Path)
    p.r, p.server = r, server
    p.listener, p.address = r.listen()
    clients, others = [], []
    for number in range(PAIRS):
        if number % 2:
            # What is missing is no longer than what a client without a router is told.
            c, f, *rest = half_a_response(p, framing="length", length=len(PART) + 100)
            c.sendall(HEAD)
            wait_for("the next head is there", lambda q=f: r.do("queue-get", id=q)["state"] == "ready")
        else:
            c, f, *rest = half_a_response(p)
        if number % 3 == 2:
            # It takes the rest back, and says nothing more.
            r.do("cancel", id=rest[0], generation=1)
            if number % 2:
                # No response is on its way any more.
                assert r.event("head", f)["generation"] == 2
        clients.append(c)
        others.append(rest)
    r.close()
    for c in clients:
        c.settimeout(150)
        only_reset(c)
        c.close()
    server.close()
    watch = Router()
    wait_for("nothing is left", lambda: not watch.dump("queue-get") and len(watch.dump("router-get")) == 1)
    watch.close()


def data_that_never_ends():
    """A router may always have some data waiting, for as long as it likes: 12 MB, of which 128 KiB wait at most."""
    with Path() as p, socket.socket() as c:
        # So small that what waits is never taken at once.
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        c.connect(p.address)
        c.sendall(HEAD)
        f = p.r.event("head")["id"]
        piece, rounds = content(50_000), 250
        sent, got = 0, bytearray()

        def unsent():
            return p.r.do("queue-get", id=f).get("unsent", 0)

        for _ in range(rounds):
            while unsent() > (128 << 10) - len(piece):
                got += c.recv(1 << 16)
            p.r.do("send", id=f, data=piece)
            sent += len(piece)
        got += read_exactly(c, sent - len(got))
        assert got == piece * rounds, "content differs"


def is_let_go(address):
    """The kernel's end of a connection from there belongs to no process and to no file any more, or is gone."""
    port = f":{address[1]:04X}"
    with open("/proc/net/tcp", encoding="ascii") as file:
        fields = [line.split() for line in file][1:]
    return all(line[9] == "0" for line in fields if line[1].endswith(port))


def lingering():
    """SO_LINGER is its owner's affair: the module waits for no peer that reads nothing."""
    linger = struct.pack("ii", 1, 600)
    r = Router()
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with socket.socket() as s:
        s.connect(server.getsockname())
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        b, local = r.do("queue-add", fd=s.fileno(), side="back")["id"], s.getsockname()
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        s.bind(("127.0.0.1", 0))
        s.listen()
        r.do("listener-add", fd=s.fileno())
        c = socket.socket()
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(s.getsockname())
    c.sendall(HEAD)
    f = r.event("head")["id"]
    # What is unread would make it a reset.
    r.do("forward", id=f, generation=1, framing="none")
    for queue in (b, f):
        # More than the peer has room for, and not more than the socket takes.
        r.do("send", id=queue, data=content(60_000))
        wait_for("it is in the socket", lambda q=queue: not r.do("queue-get", id=q).get("unsent"))
        r.do("queue-del", id=queue)
    r.close()
    wait_for("the module has let go of all", lambda: references() == 0)
    wait_for("and so has the kernel", lambda: is_let_go(local))
    c.close()
    server.close()


def standby():
    """Who takes over while the owner dies is the owner, whatever comes first."""
    lost = 0
    for _ in range(RACES):
        old = Router({"grace": 60_000})
        old.listen()
        number = old.me["id"]
        closer = threading.Thread(target=old.close)
        closer.start()
        new = Router(takeover=number)
        closer.join()
        try:
            new.do("listener-del", id=next(x["id"] for x in new.dump("listener-get") if x["router"] == number))
        except NlError as error:
            assert error.nl_msg.error == -errno.EPERM, error
            lost += 1
        assert lost == 0, f"after {_ + 1} takeovers its router was nobody's"
        new.do("router-detach", grace=0)
        new.close()


def away():
    """While a router is away so many clients are accepted, each time, and others wait for the next one."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * AWAY, 4 * AWAY))
    watch, r = Router(), Router({"grace": 600_000})
    number, (_, address) = r.me["id"], r.listen()
    before, more, clients = 0, 10, []

    def accepted():
        return next(x["accepted"] for x in watch.dump("listener-get") if x["router"] == number) - before

    for _ in range(2):
        r.close()
        wait_for("it is away", lambda: watch.do("router-get", id=number)["port"] == 0)
        clients += [socket.create_connection(address) for _ in range(AWAY + more)]
        wait_for("they are accepted", lambda: accepted() >= AWAY)
        # All of them come at once, if they do.
        assert {accepted() for _ in range(20)} == {AWAY}
        r = Router(takeover=number)
        wait_for("the others are accepted", lambda: accepted() == AWAY + more)
        before += AWAY + more
    r.do("router-detach", grace=0)
    for c in clients:
        c.close()
    wait_for("nothing is left", lambda: not watch.dump("queue-get") and not watch.dump("listener-get"))
    r.close()
    watch.close()


def too_late():
    """A router whose time is over is nobody's any more."""
    r = Router({"grace": 0})
    p = Path.__new__(Path)
    p.r, p.server = r, socket.create_server(("127.0.0.1", 0))
    p.server.settimeout(60)
    p.listener, p.address = r.listen()
    c, _, _, s = half_a_response(p)
    number = r.me["id"]
    r.close()
    watch = Router()
    wait_for("its listener is gone", lambda: not watch.dump("listener-get"))
    p.r = Router()
    p.r.do("router-detach", grace=0)
    refused(errno.ENOENT, p, "router-takeover", id=number)
    # What it left still ends as it should.
    s.sendall(b", and the rest")
    s.close()
    assert read_exactly(c, 14) == b", and the rest"
    assert c.recv(1) == b""
    for one in (c, p.server):
        one.close()
    p.r.close()
    watch.close()


tap([
    ("a target that is ended in mid-body is reset, however it is ended", target_ended),
    ("data without end, some of which always waits, stays within its bound", data_that_never_ends),
    ("SO_LINGER makes nobody wait", lingering),
    ("a standby takes over while the owner dies", standby),
    ("while a router is away so many are accepted, and others wait", away),
    ("past the grace time nobody takes over, and what is left ends well", too_late),
    ("bodies that stand still without a router are cut off, and nothing is said in their midst", orphans),
])
