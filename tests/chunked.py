#!/usr/bin/env python3
"""Chunked bodies: taken apart and put into new chunks, content compared byte for byte.

The decoder below reads nothing but what RFC 9112 lets a sender write, so that whatever the
module passes on is seen.
"""

import random
import re
import socket
import threading

from scene import BULK, DEBUG, HEAD, MIB, Path, connect, content, expect_reset, reset
from starving import Starving
from ynlrouter import DEADLINE, read_exactly, read_to_end, tap, wait_for

ANSWER = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = b"0\r\n\r\n"


def chunk(data, extension=b""):
    return b"%x%s\r\n%s\r\n" % (len(data), extension, data)


def chunks(data, sizes):
    """All of data in chunks of these sizes, over and over."""
    out, at, n = [], 0, 0
    while at < len(data):
        size = sizes[n % len(sizes)]
        out.append(chunk(data[at : at + size]))
        at, n = at + size, n + 1
    return b"".join(out)


class Reader:
    """Reads what comes out of a socket, message by message."""

    def __init__(self, s):
        self.s = s
        self.have = bytearray()

    def more(self):
        part = self.s.recv(1 << 16)
        if not part:
            raise EOFError(f"FIN after {bytes(self.have[-80:])!r}")
        self.have += part

    def exactly(self, n):
        while len(self.have) < n:
            self.more()
        out = bytes(self.have[:n])
        del self.have[:n]
        return out

    def line(self):
        while (at := self.have.find(b"\r\n")) < 0:
            assert len(self.have) < 8192, f"no line: {bytes(self.have[:100])!r}"
            self.more()
        return self.exactly(at + 2)[:-2]

    def body(self):
        """Content, lines of trailers, and sizes of the chunks."""
        data, sizes = bytearray(), []
        while True:
            line = self.line()
            assert re.fullmatch(rb"0|[1-9a-f][0-9a-f]*", line), f"chunk line {line!r}"
            size = int(line, 16)
            if size == 0:
                break
            sizes.append(size)
            data += self.exactly(size)
            assert self.exactly(2) == b"\r\n"
        trailers = []
        while line := self.line():
            trailers.append(line)
        return bytes(data), trailers, sizes


class Exchanges:
    """Chunked requests that follow one another on one pair of connections."""

    def __init__(self, p):
        self.p = p
        self.c = connect(p.address)
        self.c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.c.sendall(HEAD)
        self.f = p.r.event("head")["id"]
        self.generation = 1
        self.b, self.s = p.back()
        self.reader = Reader(self.s)

    def route(self, **values):
        self.p.r.do("route", id=self.f, generation=self.generation, to=self.b, framing="chunked",
                    data=HEAD, **values)

    def taken(self):
        return self.p.r.do("queue-get", id=self.f)["taken"]

    def send_all_but_head(self, parts):
        """Each part when the one before was taken, and the next head behind the last."""
        sent = 0
        for i, part in enumerate(parts):
            last = i + 1 == len(parts)
            self.c.sendall(part + HEAD if last else part)
            sent += len(part)
            if not last:
                wait_for(f"{sent} bytes are taken", lambda: self.taken() == sent)
        return sent

    def run(self, parts, expected, kept=(), **values):
        self.route(**values)
        sent = self.send_all_but_head(parts)
        assert self.reader.exactly(len(HEAD)) == HEAD
        data, lines, sizes = self.reader.body()
        assert data == expected, f"{data[:200]!r} is not {expected[:200]!r}"
        assert lines == list(kept), lines
        d = self.p.r.event("done", self.f)
        assert d["result"] == "complete" and d["taken"] == sent, (d, sent)
        e = self.p.r.event("head", self.f)
        self.generation += 1
        assert e["head"] == HEAD and e["generation"] == self.generation, e
        return sizes


WIRE = b'5;x="y"\r\nhello\r\n00A \t;z\r\n0123456789\r\n000;last\r\nX-T: v\r\nY:\r\n\r\n'
WIRE_CONTENT = b"hello0123456789"


def split_everywhere():
    with Path() as p:
        x = Exchanges(p)
        for at in range(1, len(WIRE)):
            x.run([WIRE[:at], WIRE[at:]], WIRE_CONTENT)
        x.run([WIRE], WIRE_CONTENT)


def byte_by_byte():
    with Path() as p:
        x = Exchanges(p)
        sizes = x.run([WIRE[i : i + 1] for i in range(len(WIRE))], WIRE_CONTENT)
        assert sizes == [1] * len(WIRE_CONTENT), sizes


def empty_body():
    with Path() as p:
        x = Exchanges(p)
        for wire in (LAST, b"0" * 16 + b"\r\n\r\n", b"0;a=b\r\nT: 1\r\n\r\n"):
            x.run([wire], b"")
            x.run([wire[:3], wire[3:]], b"")


def nothing_is_announced_that_is_not_held():
    with Path() as p:
        x = Exchanges(p)
        x.route()
        x.c.sendall(b"ffffffffffffffff\r\nabc")
        assert read_exactly(x.s, len(HEAD) + 8) == HEAD + b"3\r\nabc\r\n"
        x.c.sendall(b"d")
        assert read_exactly(x.s, 6) == b"1\r\nd\r\n"
        q = p.r.do("queue-get", id=x.f)
        assert q["framing"] == "chunked" and q["to-framing"] == "chunked", q
        assert q["taken"] == 22 and "length" not in q, q


def one_byte_chunks():
    n = 5000 if DEBUG else 100000
    with Path() as p:
        x = Exchanges(p)
        body = content(n, 11)
        wire = chunks(body, [1]) + LAST
        sender = threading.Thread(target=x.c.sendall, args=(wire + HEAD,))
        x.route()
        sender.start()
        x.reader.exactly(len(HEAD))
        data, _, sizes = x.reader.body()
        sender.join()
        assert data == body, "content differs"
        assert len(sizes) < n, "tiny chunks were not put together"
        d = p.r.event("done", x.f)
        assert d["result"] == "complete" and d["taken"] == len(wire), d
        assert p.r.event("head", x.f)["head"] == HEAD


def any_sizes():
    """Chunks around the sizes at which the module changes its ways, mixed."""
    sizes = [1, 2, 63, 64, 65, 255, 256, 257, 1460, 4095, 4096, 4097, 65535, 65536, 300000]
    with Path() as p:
        x = Exchanges(p)
        chance = random.Random(4)
        body = content(MIB, 12)
        for _ in range(3 if DEBUG else 12):
            chance.shuffle(sizes)
            wire = chunks(body, sizes) + LAST
            sender = threading.Thread(target=x.c.sendall, args=(wire + HEAD,))
            x.route()
            sender.start()
            x.reader.exactly(len(HEAD))
            data, lines, _ = x.reader.body()
            sender.join()
            assert data == body and not lines, "content differs"
            d = p.r.event("done", x.f)
            assert d["result"] == "complete" and d["taken"] == len(wire), d
            assert p.r.event("head", x.f)["head"] == HEAD
            x.generation += 1


def both_directions_at_once():
    with Path() as p:
        x = Exchanges(p)
        up, down = content(BULK, 13), content(BULK, 14)
        x.route()
        x.s.sendall(ANSWER)
        p.r.event("head", x.b)
        p.r.do("route", id=x.b, generation=1, to=x.f, framing="chunked", data=ANSWER)
        got = {}

        def reading(name, reader, skip):
            reader.exactly(skip)
            got[name] = reader.body()[0]

        threads = [
            threading.Thread(target=x.c.sendall, args=(chunks(up, [1000000, 3, 70000]) + LAST,)),
            threading.Thread(target=x.s.sendall, args=(chunks(down, [8192, 100, 1]) + LAST,)),
            threading.Thread(target=reading, args=("up", x.reader, len(HEAD))),
            threading.Thread(target=reading, args=("down", Reader(x.c), len(ANSWER))),
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got["up"] == up and got["down"] == down, "content differs"
        assert p.r.event("done", x.f)["result"] == "complete"
        assert p.r.event("done", x.b)["result"] == "complete"


def trailers():
    fields = b"A: 1\r\nX-Sum: abc \r\nContent-Length: 5\r\nx-sum: 2\r\nx-summ: 3\r\nC:\r\n\r\n"
    wire = chunk(b"hello") + b"0\r\n" + fields
    with Path() as p:
        x = Exchanges(p)
        x.run([wire], b"hello")
        kept = [b"X-Sum: abc ", b"x-sum: 2", b"C:"]
        x.run([wire], b"hello", kept, trailers=b"x-sum,c")
        # The list of one forward is not that of the next.
        x.run([wire], b"hello")
        for at in range(len(chunk(b"hello")), len(wire)):
            x.run([wire[:at], wire[at:]], b"hello", kept, trailers=b"x-sum,c")
        # As much as a trailer section may hold; the kept part may span pages.
        for size in (1, 2000, 4085):
            long = b"x-sum: " + b"v" * size
            x.run([chunk(b"hello") + b"0\r\n" + long + b"\r\n\r\n"], b"hello", [long],
                  trailers=b"x-sum")
        x.run([b"0\r\nX-Sum: 1\r\n\r\n"], b"", [b"X-Sum: 1"], trailers=b"x-sum")


MALFORMED = [
    ("no size", b"\r\n"),
    ("no hex digit", b"g\r\n"),
    ("a sign", b"+5\r\nhello\r\n"),
    ("white space in front", b" 5\r\nhello\r\n"),
    ("0x", b"0x5\r\nhello\r\n"),
    ("17 digits", b"0" * 16 + b"5\r\nhello\r\n"),
    ("space and no extension", b"5 \r\nhello\r\n"),
    ("bare LF behind the size", b"5\nhello\r\n"),
    ("bare CR behind the size", b"5\rhello\r\n"),
    ("bare LF in an extension", b"5;a\nhello\r\n"),
    ("NUL in an extension", b"5;a\0\r\nhello\r\n"),
    ("line too long", b"5;" + b"a" * 4096),
    ("extensions too long", (b"1;" + b"a" * 3000 + b"\r\nx\r\n") * 7),
    ("content longer than its size", b"4\r\nhello\r\n"),
    ("bare LF behind the content", b"5\r\nhello\n0\r\n"),
    ("a trailer without name", b"0\r\n: x\r\n\r\n"),
    ("a trailer that is folded", b"0\r\nA: x\r\n y\r\n\r\n"),
    ("a trailer with bare LF", b"0\r\nA: x\nB: y\r\n\r\n"),
    ("a trailer without colon", b"0\r\nGET / HTTP/1.1\r\n\r\n"),
    ("trailers too long", b"0\r\n" + b"A: x\r\n" * 700),
]


def malformed():
    for name, wire in MALFORMED:
        for discard in (False, True):
            with Path() as p:
                x = Exchanges(p)
                if discard:
                    p.r.do("forward", id=x.f, generation=1, framing="chunked")
                else:
                    x.route()
                x.c.sendall(chunk(b"good") + wire)
                d = p.r.event("done", x.f)
                assert d["result"] == "malformed" and d["taken"] >= len(b"4\r\ngood"), (name, d)
                e = p.r.event("closed", x.f)
                assert e["reason"] == "malformed" and e["taken"] == d["taken"], (name, e)
                if not discard:
                    expect_reset(x.s)
                # What the router has to say still arrives, whatever else the client sends.
                x.c.sendall(content(10000))
                answer = b"HTTP/1.1 400 Bad\r\nConnection: close\r\n\r\n"
                p.r.do("send", id=x.f, data=answer)
                p.r.do("drain", id=x.f)
                assert read_to_end(x.c) == answer, name


def truncated():
    for cut in (1, 3, 7, len(chunk(b"hello")), len(chunk(b"hello")) + 2, len(chunk(b"hello")) + 4):
        with Path() as p:
            x = Exchanges(p)
            x.route()
            x.c.sendall((chunk(b"hello") + LAST)[:cut])
            x.c.shutdown(socket.SHUT_WR)
            d = p.r.event("done", x.f)
            assert d["result"] == "truncated" and d["taken"] == cut, (cut, d)
            assert p.r.event("closed", x.f)["reason"] == "fin-in-body"
            expect_reset(x.s)


def source_reset():
    with Path() as p:
        x = Exchanges(p)
        x.route()
        x.c.sendall(chunk(b"hello"))
        read_exactly(x.s, len(HEAD) + 10)
        reset(x.c)
        assert p.r.event("done", x.f)["result"] == "source-error"
        expect_reset(x.s)


def blocked_target():
    """A server that does not read, in mid-chunk; then it does, and nothing is lost."""
    with Path() as p:
        x = Exchanges(p)
        body = content(BULK, 15)
        wire = chunks(body, [BULK - 1000, 1, 7]) + LAST
        x.route()
        sender = threading.Thread(target=x.c.sendall, args=(wire + HEAD,))
        sender.start()
        seen = []

        def stuck():
            seen.append(x.taken())
            return len(seen) > 5 and len(set(seen[-5:])) == 1 and seen[-1] > 0

        wait_for("nothing moves any more", stuck)
        if not DEBUG:
            assert seen[-1] < len(wire), "nothing held the client back"
        x.reader.exactly(len(HEAD))
        assert x.reader.body()[0] == body, "content differs"
        sender.join()
        assert p.r.event("done", x.f)["taken"] == len(wire)
        assert p.r.event("head", x.f)["head"] == HEAD


def discard():
    with Path() as p:
        x = Exchanges(p)
        body = content(300000, 16)
        for wire in (LAST, WIRE, chunks(body, [1, 5000, 77]) + LAST):
            before = p.r.do("stats-get")["discarded"]
            p.r.do("forward", id=x.f, generation=x.generation, framing="chunked")
            x.c.sendall(wire + HEAD)
            d = p.r.event("done", x.f)
            assert d["result"] == "complete" and d["taken"] == len(wire) and "to" not in d, d
            x.generation += 1
            assert p.r.event("head", x.f)["head"] == HEAD
            assert p.r.do("stats-get")["discarded"] - before == len(wire)


def cancel_then_elsewhere_or_discard():
    with Path() as p:
        x = Exchanges(p)
        x.route()
        q = p.r.do("cancel", id=x.f, generation=1)
        assert q["state"] == "parked" and q["taken"] == 0 and q["framing"] == "chunked", q
        p.r.do("queue-abort", id=x.b)
        x.b, x.s = p.back()
        x.reader = Reader(x.s)
        x.run([WIRE], WIRE_CONTENT)
        # Once something was taken, discard is all that is left, from where it stopped.
        x.route()
        x.c.sendall(b"8\r\nabcd")
        assert read_exactly(x.s, len(HEAD) + 9) == HEAD + b"4\r\nabcd\r\n"
        q = p.r.do("cancel", id=x.f, generation=x.generation)
        assert q["state"] == "parked" and q["taken"] == 7, q
        p.r.do("forward", id=x.f, generation=x.generation, framing="chunked")
        x.c.sendall(b"efgh\r\n" + LAST + HEAD)
        d = p.r.event("done", x.f)
        assert d["result"] == "complete" and d["taken"] == 7 + 6 + 5, d
        assert p.r.event("head", x.f)["head"] == HEAD


def becomes_until_close():
    with Path() as p:
        for body in (b"", b"hello", content(MIB, 17)):
            x = Exchanges(p)
            x.route(to_framing="until-close")
            assert p.r.do("queue-get", id=x.f)["to-framing"] == "until-close"
            wire = chunks(body, [100000, 3]) + b"0;e\r\nT: 1\r\n\r\n"
            sender = threading.Thread(target=x.c.sendall, args=(wire + HEAD,))
            sender.start()
            assert read_to_end(x.s) == HEAD + body, "content differs"
            sender.join()
            d = p.r.event("done", x.f)
            assert d["result"] == "complete" and d["taken"] == len(wire), d
            assert p.r.event("head", x.f)["head"] == HEAD
        # A body that is not whole gets no FIN.
        for broken, result in ((b"5\r\nhel", "truncated"), (b"5\r\nhelloX", "malformed")):
            x = Exchanges(p)
            x.route(to_framing="until-close")
            x.c.sendall(broken)
            x.c.shutdown(socket.SHUT_WR)
            assert p.r.event("done", x.f)["result"] == result
            expect_reset(x.s)


def response(p, x, **values):
    """The back-end's head is up, and its body goes to the client until it closes."""
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    x.s.sendall(head)
    assert p.r.event("head", x.b)["head"] == head
    p.r.do("route", id=x.b, generation=1, to=x.f, framing="until-close", data=ANSWER, **values)
    reader = Reader(x.c)
    assert reader.exactly(len(ANSWER)) == ANSWER
    return reader


def becomes_chunked():
    with Path() as p:
        for body in (b"", b"hello", content(MIB, 18)):
            x = Exchanges(p)
            p.r.do("route", id=x.f, generation=1, to=x.b, framing="none", data=HEAD)
            read_exactly(x.s, len(HEAD))
            reader = response(p, x, to_framing="chunked")
            t = threading.Thread(
                target=lambda x=x, body=body: (x.s.sendall(body), x.s.shutdown(socket.SHUT_WR)))
            t.start()
            data, lines, _ = reader.body()
            t.join()
            assert data == body and not lines, "content differs"
            d = p.r.event("done", x.b)
            assert d["result"] == "complete" and d["taken"] == len(body), d
            assert p.r.event("closed", x.b)["reason"] == "body-end"
            # The client's connection goes on.
            x.c.sendall(HEAD)
            assert p.r.event("head", x.f)["head"] == HEAD
            p.r.do("send", id=x.f, data=b"next")
            assert reader.exactly(4) == b"next"


def becomes_chunked_but_is_reset():
    with Path() as p:
        x = Exchanges(p)
        p.r.do("route", id=x.f, generation=1, to=x.b, framing="none", data=HEAD)
        read_exactly(x.s, len(HEAD))
        reader = response(p, x, to_framing="chunked")
        x.s.sendall(b"part")
        assert reader.exactly(9) == b"4\r\npart\r\n"
        reset(x.s)
        d = p.r.event("done", x.b)
        assert d["result"] == "source-error" and d["taken"] == 4, d
        try:
            rest = read_to_end(x.c)
        except ConnectionResetError:
            rest = None
        assert rest is None, f"a made-up end: {rest!r}"


def until_close_fin_while_the_client_is_full():
    """The end waits behind the bytes that the client does not read yet."""
    with Path() as p:
        x = Exchanges(p)
        p.r.do("route", id=x.f, generation=1, to=x.b, framing="none", data=HEAD)
        read_exactly(x.s, len(HEAD))
        reader = response(p, x, to_framing="chunked")
        body = content(BULK, 19)
        t = threading.Thread(target=lambda: (x.s.sendall(body), x.s.shutdown(socket.SHUT_WR)))
        t.start()
        seen = []

        def stuck():
            seen.append(p.r.do("queue-get", id=x.b)["taken"])
            return len(seen) > 5 and len(set(seen[-5:])) == 1 and seen[-1] > 0

        wait_for("nothing moves any more", stuck)
        assert reader.body()[0] == body, "content differs"
        t.join()
        assert p.r.event("done", x.b)["result"] == "complete"


def no_memory():
    """Where memory is short, bytes are late, and neither lost nor doubled."""
    with Path() as p:
        x = Exchanges(p)
        body, failed = content(MIB, 20), [0, 0]
        for sizes in ([1], [100, 7000], [200, 255, 300], [70000]):
            size = 20000 if sizes == [1] else MIB
            wire = chunks(body[:size], sizes) + b"0\r\nX: 1\r\n\r\n"
            for values in ({"trailers": b"x"}, {}):
                x.route(**values)
                sender = threading.Thread(target=x.c.sendall, args=(wire + HEAD,))
                with Starving() as starving:
                    sender.start()
                    x.reader.exactly(len(HEAD))
                    data, lines, _ = x.reader.body()
                    failed = [a + b for a, b in zip(failed, starving.failed())]
                sender.join()
                assert data == body[:size], f"content differs ({sizes})"
                assert lines == ([b"X: 1"] if values else []), lines
                d = p.r.event("done", x.f)
                assert d["result"] == "complete" and d["taken"] == len(wire), d
                assert p.r.event("head", x.f)["head"] == HEAD
                x.generation += 1
        assert min(failed) > 0, f"pages and slab objects that could not be had: {failed}"


# The stock kernel cannot make allocations fail.
ONLY_DEBUG = [("no memory now and then", no_memory)] if DEBUG else []

tap([
    ("split at every position, next head in the last segment", split_everywhere),
    ("byte by byte", byte_by_byte),
    ("empty bodies", empty_body),
    ("a chunk announces only what is held", nothing_is_announced_that_is_not_held),
    ("chunks of one byte", one_byte_chunks),
    ("chunks of any sizes", any_sizes),
    ("both directions at once", both_directions_at_once),
    ("trailers: dropped, or kept where allowed", trailers),
    ("malformed: the target is reset, the client hears why", malformed),
    ("truncated: the target is reset", truncated),
    ("a reset source resets the target", source_reset),
    ("a blocked target goes on in mid-chunk", blocked_target),
    ("discard drops exactly the body", discard),
    ("cancelled: elsewhere, or discarded from there", cancel_then_elsewhere_or_discard),
    ("chunked becomes until-close", becomes_until_close),
    ("until-close becomes chunked", becomes_chunked),
    ("a reset until-close body gets no last chunk", becomes_chunked_but_is_reset),
    ("the last chunk waits its turn", until_close_fin_while_the_client_is_full),
] + ONLY_DEBUG)
