#!/usr/bin/env python3
"""Tunnels, time limits, connections that are not quiet, and PROXY protocol headers."""

import errno
import socket
import struct
import threading
import time

from scene import ANSWER, BULK, DEBUG, HEAD, Path, connect, content, expect_reset, refused, reset
from ynlrouter import read_exactly, read_to_end, tap, wait_for

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"


def tunnel(p, **values):
    """A tunnel in both directions: client, its queue, back queue, server."""
    c, f, b, s = p.open(HEAD)
    p.r.do("route", id=f, generation=1, to=b, framing="tunnel", data=HEAD, **values)
    assert read_exactly(s, len(HEAD)) == HEAD
    s.sendall(SWITCH)
    assert p.r.event("head", b)["head"] == SWITCH
    p.r.do("route", id=b, generation=1, to=f, framing="tunnel", data=SWITCH, **values)
    assert read_exactly(c, len(SWITCH)) == SWITCH
    return c, f, b, s


def both_ways():
    with Path() as p:
        c, f, b, s = tunnel(p)
        q = p.r.do("queue-get", id=f)
        assert q["framing"] == "tunnel" and q["to-framing"] == "tunnel" and q["to"] == b, q
        up, down = content(BULK, 21), content(BULK, 22)
        threads = [threading.Thread(target=c.sendall, args=(up,)),
                   threading.Thread(target=s.sendall, args=(down,))]
        got = {}

        def reading(name, sock):
            got[name] = read_exactly(sock, BULK)

        threads += [threading.Thread(target=reading, args=("up", s)),
                    threading.Thread(target=reading, args=("down", c))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got["up"] == up and got["down"] == down, "content differs"


def half_closes():
    with Path() as p:
        for first in ("client", "server"):
            c, f, b, s = tunnel(p)
            near, far, source, back = (c, s, f, b) if first == "client" else (s, c, b, f)
            near.sendall(b"last words")
            near.shutdown(socket.SHUT_WR)
            assert read_to_end(far) == b"last words"
            d = p.r.event("done", source)
            assert d["result"] == "complete" and d["taken"] == 10, d
            assert p.r.event("closed", source)["reason"] == "body-end"
            # The other direction knows nothing of it.
            far.sendall(content(100000, 23))
            assert read_exactly(near, 100000) == content(100000, 23)
            far.shutdown(socket.SHUT_WR)
            assert read_to_end(near) == b""
            assert p.r.event("done", back)["taken"] == 100000


def resets():
    with Path() as p:
        for first in ("client", "server"):
            c, f, b, s = tunnel(p)
            near, far, source = (c, s, f) if first == "client" else (s, c, b)
            near.sendall(b"x")
            assert read_exactly(far, 1) == b"x"
            reset(near)
            d = p.r.event("done", source)
            assert d["result"] == "source-error" and d["error"] == errno.ECONNRESET, d
            expect_reset(far)


def client_speaks_first():
    """Bytes behind the head belong to the tunnel, and look like a request only."""
    with Path() as p:
        c, f, b, s = p.open(HEAD, HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="tunnel", data=HEAD)
        assert read_exactly(s, 2 * len(HEAD)) == HEAD + HEAD
        assert "head" not in p.r.events_now()


# Far longer than any pause that a busy host makes.
IDLE = 3000 if DEBUG else 1500
SO_SNDBUFFORCE = 32


def tunnel_idle():
    """Traffic in one direction keeps both alive; then both end."""
    with Path() as p:
        c, f, b, s = tunnel(p, idle_ms=IDLE)
        assert p.r.do("queue-get", id=f)["idle-ms"] == IDLE
        end = time.monotonic() + 3 * IDLE / 1000
        while time.monotonic() < end:
            s.sendall(b"tick")
            assert read_exactly(c, 4) == b"tick"
            time.sleep(IDLE / 1000 / 10)  # the traffic's own pace
        for q in (f, b):
            assert p.r.do("queue-get", id=q)["state"] == "moving", "ended in spite of traffic"
        quiet = time.monotonic()
        done = {p.r.event("done")["result"] for _ in range(2)}
        assert time.monotonic() - quiet > IDLE / 1000 * 0.8
        # The first to end aborts its target, which is the source of the other one.
        assert "source-stalled" in done and done <= {"source-stalled", "source-error"}, done
        # Whose target was aborted, in turn.
        for sock in (c, s):
            try:
                expect_reset(sock)
            except ConnectionResetError:
                pass


def source_stalls():
    with Path() as p:
        for framing, sent, taken in (("length", b"x" * 10, 10), ("chunked", b"a\r\n01234", 8),
                                     ("until-close", b"", 0)):
            length = {"length": 100} if framing == "length" else {}
            c, f, b, s = p.open(HEAD)
            # Before the module's clock does: where nothing is sent it begins with the command.
            began = time.monotonic()
            p.r.do("route", id=f, generation=1, to=b, framing=framing, data=HEAD, idle_ms=IDLE,
                   **length)
            c.sendall(sent)
            d = p.r.event("done", f)
            assert time.monotonic() - began > IDLE / 1000 * 0.9
            assert d["result"] == "source-stalled" and d["taken"] == taken, d
            assert p.r.do("queue-get", id=f)["state"] == "parked"
            expect_reset(s)
            # The client is not touched, and can be answered.
            p.r.do("send", id=f, data=ANSWER)
            assert read_exactly(c, len(ANSWER)) == ANSWER


def discard_stalls():
    with Path() as p:
        c, f, _, _ = p.open(HEAD)
        p.r.do("forward", id=f, generation=1, framing="length", length=100, idle_ms=IDLE)
        c.sendall(b"x")
        d = p.r.event("done", f)
        assert d["result"] == "source-stalled" and d["taken"] == 1 and "to" not in d, d


def target_stalls():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="until-close", data=HEAD, idle_ms=IDLE)

        def flood():
            try:
                while True:
                    c.sendall(bytes(1 << 16))
            except OSError:
                pass  # it ends when the test closes the connection

        t = threading.Thread(target=flood)
        t.start()
        d = p.r.event("done", f)
        assert d["result"] == "target-stalled" and d["taken"] > 0, d
        assert p.r.event("closed", b)["reason"] == "reset"
        assert p.r.do("queue-get", id=f)["state"] == "parked"
        expect_reset(s)
        p.r.do("queue-abort", id=f)
        t.join()


def slow_target_is_not_stalled():
    """A peer that reads a little now and then, far less than what wakes a full sender."""
    with Path() as p:
        # Its window is small, and much waits in front of it.
        p.server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        c, f, _, _ = p.open(HEAD)
        with socket.socket() as near:
            near.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 4 << 20)
            near.connect(p.server.getsockname())
            b = p.r.do("queue-add", fd=near.fileno(), side="back")["id"]
        s, _ = p.server.accept()
        size = 16 << 20
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=size, data=HEAD,
               idle_ms=IDLE)
        body = content(size, 24)
        t = threading.Thread(target=c.sendall, args=(body,))
        t.start()
        end = time.monotonic() + 4 * IDLE / 1000
        got = bytearray(read_exactly(s, len(HEAD)))
        while time.monotonic() < end:
            got += s.recv(1 << 15)
            time.sleep(IDLE / 1000 / 10)  # how slow it is
        assert "done" not in p.r.events_now()
        got += read_exactly(s, len(HEAD) + size - len(got))
        assert got == HEAD + body, "content differs"
        t.join()
        assert p.r.event("done", f)["result"] == "complete"


def quiet():
    with Path() as p:
        c, f, b, s = p.open(HEAD)

        def route(number, **values):
            refused(number, p, "route", id=f, generation=1, framing="none", data=HEAD,
                    if_quiet=True, **values)

        def send(number, queue):
            refused(number, p, "send", id=queue, data=b"", if_quiet=True)

        send(None, b)
        # Its own head waits: no answer to anything but to that.
        send(errno.ENOTEMPTY, f)
        # A head that nobody asked for; half of one; one byte.
        for unasked in (ANSWER, b"HTTP/1.1 2", b"\r"):
            b, s = p.back()
            s.sendall(unasked)
            if unasked == ANSWER:
                p.r.event("head", b)
            else:
                wait_for("it came", lambda b=b: closed_or_busy(p, b))
            route(errno.ENOTEMPTY, to=b)
            send(errno.ENOTEMPTY, b)
        # FIN, and reset.
        b, s = p.back()
        s.shutdown(socket.SHUT_WR)
        assert p.r.event("closed", b)["reason"] == "fin"
        route(errno.ENOTEMPTY, to=b)
        b, s = p.back()
        reset(s)
        assert p.r.event("closed", b)["reason"] == "reset"
        route(errno.EPIPE, to=b)
        send(errno.EPIPE, b)
        # Behind a response without body: surplus bytes.
        b, s = p.back()
        p.r.do("send", id=b, data=HEAD)
        s.sendall(ANSWER + b"surplus")
        p.r.event("head", b)
        p.r.do("forward", id=b, generation=1, framing="none")
        route(errno.ENOTEMPTY, to=b)
        # Nothing of all that was a change.
        b, s = p.back()
        route(None, to=b)
        assert read_exactly(s, len(HEAD)) == HEAD


def closed_or_busy(p, b):
    try:
        p.r.do("send", id=b, data=b"", if_quiet=True)
    except Exception as e:  # NlError
        return e.nl_msg.error == -errno.ENOTEMPTY
    return False


V2 = b"\r\n\r\n\0\r\nQUIT\n"


def proxy_protocol():
    v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 2222\r\n"
    v2 = V2 + b"\x21\x11" + struct.pack("!H4s4sHH", 12, b"\n\r\n\r", b"\r\n\r\n", 1, 2)
    local = V2 + b"\x20\x00\x00\x00"
    with Path(proxy_protocol=True) as p:
        assert p.listener["proxy-protocol"], p.listener
        for prelude in (v1, v2, local, b"PROXY UNKNOWN\r\n"):
            for at in range(1, len(prelude + HEAD)):
                c = connect(p.address)
                c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                c.sendall((prelude + HEAD)[:at])
                c.sendall((prelude + HEAD)[at:])
                e = p.r.event("head")
                assert e["head"] == prelude + HEAD, (at, e)
                if at == 1:
                    # The next head has none in front.
                    p.r.do("forward", id=e["id"], generation=1, framing="none")
                    c.sendall(HEAD)
                    assert p.r.event("head")["head"] == HEAD
                p.r.do("queue-abort", id=e["id"])
                c.close()


def proxy_protocol_missing():
    """What is no such header comes up at once, and is not waited for."""
    with Path(proxy_protocol=True) as p:
        for sent, head in ((b"G", b"G"), (b"PROXY TCP4 \n", b"PROXY TCP4 \n"), (HEAD, b"PU"),
                           (V2[:11] + b"X", V2[:11] + b"X")):
            c = connect(p.address)
            c.sendall(sent)
            e = p.r.event("head")
            assert e["head"] == head, (sent, e)
            p.r.do("queue-abort", id=e["id"])
            c.close()
    with Path() as p:
        c = connect(p.address)
        c.sendall(b"PROXY UNKNOWN\r\n\r\n")
        assert "proxy-protocol" not in p.listener
        assert p.r.event("head")["head"] == b"PROXY UNKNOWN\r\n\r\n"


tap([
    ("a tunnel moves both ways at once", both_ways),
    ("a tunnel is half-closed from either end", half_closes),
    ("a reset of either end resets the other", resets),
    ("a tunnel takes what is behind the head", client_speaks_first),
    ("traffic in one direction keeps a tunnel", tunnel_idle),
    ("a source that stalls", source_stalls),
    ("a source that stalls while its body is discarded", discard_stalls),
    ("a target that stalls", target_stalls),
    ("a target that is slow does not stall", slow_target_is_not_stalled),
    ("if-quiet refuses what received anything", quiet),
    ("PROXY headers come up with the first head", proxy_protocol),
    ("where a PROXY header is missing nobody waits", proxy_protocol_missing),
])
