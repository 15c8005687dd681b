#!/usr/bin/env python3
"""What the module does with heads and bodies, seen from both ends of its connections.

Driven by the stock YNL client; no router of ours. Contents are always compared.
"""

import errno
import socket
import threading

from scene import ANSWER, BULK, DEBUG, HEAD, MIB, Path, connect, content, expect_reset, refused, reset
from ynlrouter import DEADLINE, Router, read_exactly, read_to_end, tap, wait_for

SO_RCVBUFFORCE = 33


def head_any_segmentation():
    with Path() as p:
        for size in (1, 2, 3, 7, len(HEAD) - 1, len(HEAD)):
            c = connect(p.address)
            c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for i in range(0, len(HEAD), size):
                c.sendall(HEAD[i : i + size])
            e = p.r.event("head")
            assert e["head"] == HEAD and e["generation"] == 1, e
            assert e["side"] == "front" and e["listener"] == p.listener["id"], e
            assert e["peer-port"] == c.getsockname()[1], e
            assert e["local-port"] == p.address[1], e
            p.r.do("queue-abort", id=e["id"])
            c.close()


def head_alone_goes_up():
    with Path() as p:
        c = connect(p.address)
        c.sendall(HEAD + b"body that must stay")
        e = p.r.event("head")
        assert e["head"] == HEAD, e
        q = p.r.do("queue-get", id=e["id"])
        assert q["state"] == "ready" and q["rx-bytes"] == 0, q


def over_limit():
    with Path(head_limit=64) as p:
        c = connect(p.address)
        c.sendall(b"GET /" + b"x" * 100)
        e = p.r.event("head")
        assert e["over-limit"] and len(e["head"]) == 64, e
        p.r.do("send", id=e["id"], data=b"HTTP/1.1 431 No\r\n\r\n")
        p.r.do("drain", id=e["id"])
        assert read_to_end(c) == b"HTTP/1.1 431 No\r\n\r\n"


def upload(p, size, head=HEAD):
    body = content(size)
    c, f, b, s = p.open(head)
    p.r.do("route", id=f, generation=1, to=b, framing="length", length=size, data=head)
    sender = threading.Thread(target=c.sendall, args=(body,))
    sender.start()
    got = read_exactly(s, len(head) + size)
    sender.join()
    assert got[: len(head)] == head
    assert got[len(head) :] == body, "content differs"
    d = p.r.event("done", f)
    assert d["result"] == "complete" and d["taken"] == size and d["to"] == b, d
    return c, f, b, s


def upload_exact():
    with Path() as p:
        for size in (1, 100, 4095, 4096, 4097, 65536, 1000003, BULK):
            c, _, _, s = upload(p, size)
            c.close()
            s.close()


def upload_ipv6():
    with Path(socket.AF_INET6) as p:
        upload(p, MIB)


def statistics_count():
    with Path() as p:
        before = p.r.do("stats-get")
        upload(p, 100000)
        after = p.r.do("stats-get")
        grew = {k: after[k] - before[k] for k in after}
        assert grew["front-to-back"] == 100000 and grew["back-to-front"] == 0, grew
        assert grew["accepted"] == 1 and grew["added"] == 1 and grew["heads"] == 1, grew
        assert grew["forwards"] == 1, grew


def whole_exchanges_keep_alive():
    with Path() as p:
        c, f, b, s = upload(p, 1000)
        for n in range(2, 6):
            s.sendall(ANSWER)
            e = p.r.event("head", b)
            assert e["head"] == ANSWER and e["sent"] in (1000, 0), e
            p.r.do("route", id=b, generation=n - 1, to=f, framing="none", data=ANSWER)
            assert read_exactly(c, len(ANSWER)) == ANSWER
            c.sendall(HEAD)
            e = p.r.event("head", f)
            assert e["generation"] == n, e
            p.r.do("route", id=f, generation=n, to=b, framing="none", data=HEAD)
            assert read_exactly(s, len(HEAD)) == HEAD


def next_head_in_same_segment():
    with Path() as p:
        body, second = b"0123456789", b"GET /second HTTP/1.1\r\nHost: h\r\n\r\n"
        c = connect(p.address)
        c.sendall(HEAD + body + second)
        f = p.r.event("head")["id"]
        b, s = p.back()
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=10, data=HEAD)
        assert read_exactly(s, len(HEAD) + 10) == HEAD + body
        e = p.r.event("head", f)
        assert e["head"] == second and e["generation"] == 2, e


def until_close_carries_fin():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="none", data=HEAD)
        read_exactly(s, len(HEAD))
        body = content(MIB, 2)
        head = b"HTTP/1.1 200 OK\r\n\r\n"
        s.sendall(head)
        assert p.r.event("head", b)["head"] == head
        p.r.do("route", id=b, generation=1, to=f, framing="until-close", data=head)
        t = threading.Thread(target=lambda: (s.sendall(body), s.shutdown(socket.SHUT_WR)))
        t.start()
        assert read_to_end(c) == head + body
        t.join()
        d = p.r.event("done", b)
        assert d["result"] == "complete" and d["taken"] == len(body), d
        e = p.r.event("closed", b)
        assert e["reason"] == "body-end", e


def until_close_ended_by_reset_is_no_end():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="none", data=HEAD)
        read_exactly(s, len(HEAD))
        head = b"HTTP/1.1 200 OK\r\n\r\n"
        s.sendall(head + b"part")
        p.r.event("head", b)
        p.r.do("route", id=b, generation=1, to=f, framing="until-close", data=head)
        assert read_exactly(c, len(head) + 4) == head + b"part"
        reset(s)
        d = p.r.event("done", b)
        assert d["result"] == "source-error" and d["taken"] == 4, d
        expect_reset(c)


def both_directions_at_once():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=BULK, data=HEAD)
        s.sendall(ANSWER)
        p.r.event("head", b)
        p.r.do("route", id=b, generation=1, to=f, framing="length", length=BULK, data=ANSWER)
        up, down = content(BULK, 3), content(BULK, 4)
        got = {}

        def reading(name, sock, skip):
            read_exactly(sock, skip)
            got[name] = read_exactly(sock, BULK)

        threads = [
            threading.Thread(target=c.sendall, args=(up,)),
            threading.Thread(target=s.sendall, args=(down,)),
            threading.Thread(target=reading, args=("up", s, len(HEAD))),
            threading.Thread(target=reading, args=("down", c, len(ANSWER))),
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert got["up"] == up and got["down"] == down, "content differs"
        assert p.r.event("done", f)["result"] == "complete"
        assert p.r.event("done", b)["result"] == "complete"


def echo_full_duplex():
    """The back-end returns each byte at once, and the client reads while it writes."""
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=BULK, data=HEAD)
        read_exactly(s, len(HEAD))
        s.sendall(ANSWER)
        p.r.event("head", b)
        p.r.do("route", id=b, generation=1, to=f, framing="length", length=BULK, data=ANSWER)

        def echo():
            left = BULK
            while left:
                part = s.recv(65536)
                s.sendall(part)
                left -= len(part)

        body = content(BULK, 5)
        threads = [
            threading.Thread(target=echo, daemon=True),
            threading.Thread(target=c.sendall, args=(body,)),
        ]
        for t in threads:
            t.start()
        read_exactly(c, len(ANSWER))
        assert read_exactly(c, BULK) == body, "content differs"
        for t in threads:
            t.join()


def truncated_resets_target():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=100, data=HEAD)
        c.sendall(b"x" * 99)
        c.shutdown(socket.SHUT_WR)
        d = p.r.event("done", f)
        assert d["result"] == "truncated" and d["taken"] == 99, d
        assert p.r.event("closed", f)["reason"] == "fin-in-body"
        expect_reset(s)


def source_reset_resets_target():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=100, data=HEAD)
        c.sendall(b"x" * 10)
        assert read_exactly(s, len(HEAD) + 10)
        reset(c)
        d = p.r.event("done", f)
        assert d["result"] == "source-error" and d["error"] == errno.ECONNRESET, d
        assert p.r.event("closed", f)["reason"] == "reset"
        expect_reset(s)


def target_reset_parks_source():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=1000, data=HEAD)
        read_exactly(s, len(HEAD))
        reset(s)
        assert p.r.event("closed", b)["reason"] == "reset"
        # The reset is noticed by the first byte that is sent.
        c.sendall(b"y" * 1000)
        d = p.r.event("done", f)
        assert d["result"] == "target-error" and d["error"] > 0, d
        q = p.r.do("queue-get", id=f)
        assert q["state"] == "parked" and q["taken"] == d["taken"], (q, d)
        b2, _ = p.back()
        refused(errno.EBADE if d["taken"] else None, p, "forward", id=f, generation=1, to=b2,
                framing="length", length=1000)


def cancel_untouched_then_elsewhere():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=1000, data=HEAD)
        q = p.r.do("cancel", id=f, generation=1)
        assert q["state"] == "parked" and q["taken"] == 0, q
        p.r.do("queue-abort", id=b)
        b2, s2 = p.back()
        p.r.do("route", id=f, generation=1, to=b2, framing="length", length=1000, data=HEAD)
        body = content(1000, 6)
        c.sendall(body)
        assert read_exactly(s2, len(HEAD) + 1000) == HEAD + body
        assert p.r.event("done", f)["result"] == "complete"


def decline_leaves_body_untouched():
    with Path() as p:
        c = connect(p.address)
        body = content(50000, 7)
        c.sendall(HEAD + body)
        f = p.r.event("head")["id"]
        for _ in range(3):
            b, s = p.back()
            p.r.do("send", id=b, data=HEAD)
            assert read_exactly(s, len(HEAD)) == HEAD
            s.sendall(b"HTTP/1.1 421 Not me\r\n\r\n")
            p.r.event("head", b)
            p.r.do("queue-abort", id=b)
            expect_reset(s)
        b, s = p.back()
        p.r.do("send", id=b, data=HEAD)
        s.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        p.r.event("head", b)
        p.r.do("forward", id=b, generation=1, framing="none")
        assert p.r.do("queue-get", id=f)["rx-bytes"] == 0
        p.r.do("forward", id=f, generation=1, to=b, framing="length", length=len(body))
        assert read_exactly(s, len(HEAD) + len(body)) == HEAD + body
        s.sendall(ANSWER)
        e = p.r.event("head", b)
        assert e["generation"] == 2 and e["head"] == ANSWER, e


def back_pressure():
    """A server that does not read: the client cannot send without bound, and nothing is lost."""
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=BULK, data=HEAD)
        body = content(BULK, 8)
        c.setblocking(False)
        sent = 0

        def stuck():
            nonlocal sent
            before = sent
            try:
                while sent < BULK:
                    sent += c.send(body[sent : sent + 65536])
            except BlockingIOError:
                pass
            moved = p.r.do("queue-get", id=f)["rx-bytes"]
            return sent == before and moved == stuck.moved or setattr(stuck, "moved", moved)

        stuck.moved = -1
        wait_for("the client can send no more", stuck)
        if not DEBUG:
            assert sent < BULK, "nothing held the client back"
        c.setblocking(True)
        c.settimeout(DEADLINE)
        t = threading.Thread(target=c.sendall, args=(body[sent:],))
        t.start()
        assert read_exactly(s, len(HEAD) + BULK)[len(HEAD) :] == body, "content differs"
        t.join()


def discard_drops_exactly():
    with Path() as p:
        c, f, _, _ = p.open(HEAD)
        second = b"GET /second HTTP/1.1\r\n\r\n"
        c.sendall(content(200000) + second)
        p.r.do("forward", id=f, generation=1, framing="length", length=200000)
        d = p.r.event("done", f)
        assert d["result"] == "complete" and d["taken"] == 200000 and "to" not in d, d
        assert p.r.event("head", f)["head"] == second


def drain_lets_the_peer_read():
    """A client that goes on sending still reads the answer to its end."""
    with Path() as p:
        c, f, _, _ = p.open(HEAD)
        answer = b"HTTP/1.1 413 Too big\r\nConnection: close\r\n\r\n" + content(5000)
        c.sendall(content(100000))
        p.r.do("send", id=f, data=answer)
        p.r.do("drain", id=f, limit_bytes=1 << 30, limit_ms=60000)
        refused(errno.ENOENT, p, "queue-del", id=f)
        c.sendall(content(100000))
        assert read_to_end(c) == answer
        c.sendall(content(100000))
        c.shutdown(socket.SHUT_WR)
        c.close()
        wait_for("the drained queue is gone", lambda: not any(
            q["id"] == f for q in p.r.dump("queue-get")))


def half_closed_client_gets_its_answer():
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        c.shutdown(socket.SHUT_WR)
        p.r.do("route", id=f, generation=1, to=b, framing="none", data=HEAD)
        assert p.r.event("closed", f)["reason"] == "fin"
        s.sendall(ANSWER)
        p.r.event("head", b)
        p.r.do("route", id=b, generation=1, to=f, framing="none", data=ANSWER)
        p.r.do("queue-del", id=f)
        assert read_to_end(c) == ANSWER


def silent_client_vanishes_silently():
    with Path() as p:
        connect(p.address).close()
        wait_for("its queue is gone", lambda: p.r.do("stats-get")["queues"] == 0
                 and p.r.do("stats-get")["accepted"] >= 1)
        assert "closed" not in p.r.events_now()


def reason_fin_in_head():
    with Path() as p:
        b, s = p.back()
        s.sendall(b"HTTP/1.1 20")
        s.shutdown(socket.SHUT_WR)
        assert p.r.event("closed", b)["reason"] == "fin-in-head"


def credit_holds_heads_back():
    with Path() as p:
        p.r.do("listener-del", id=p.listener["id"])
        p.r.close()
        r = p.r = Router({"credit": 2})
        p.listener, p.address = r.listen()
        clients = [connect(p.address) for _ in range(5)]
        for c in clients:
            c.sendall(HEAD)
        first = [r.event("head")["id"] for _ in range(2)]
        wait_for("the others wait", lambda: r.do("router-get", id=r.me["id"])["waiting"] == 3)
        assert "head" not in r.events_now()
        seen = set(first)
        for q in first:
            r.do("queue-abort", id=q)
            seen.add(r.event("head")["id"])
        assert len(seen) == 4, seen


def overflow_loses_nothing():
    """A router that does not read gets every head all the same."""
    with Path() as p:
        p.r.ynl.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        n = 60 if DEBUG else 300
        clients = [connect(p.address) for _ in range(n)]
        for i, c in enumerate(clients):
            c.sendall(b"GET /%d HTTP/1.1\r\nX: %s\r\n\r\n" % (i, b"y" * 500))
        other = Router()
        wait_for("the router's socket overflows",
                 lambda: other.do("router-get", id=p.r.me["id"])["overflows"] > 0)
        # It wakes up: takes more, and reads. Its first command brings what was kept back.
        p.r.ynl.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 * MIB)
        paths = set()
        for _ in range(n):
            e = p.r.event("head")
            paths.add(e["head"].split()[1])
            p.r.do("queue-abort", id=e["id"])
        assert len(paths) == n, f"{len(paths)} of {n} heads"
        assert p.r.ynl.overflows > 0, "the reader saw no ENOBUFS"
        other.close()


def owner_death_in_mid_body():
    """The body goes on to its end without any router; a new one takes over by number."""
    with Path() as p:
        c, f, b, s = p.open(HEAD)
        p.r.do("route", id=f, generation=1, to=b, framing="length", length=BULK, data=HEAD)
        c2 = connect(p.address)
        c2.sendall(HEAD)
        waiting = p.r.event("head")
        old = p.r.me["id"]
        p.r.close()
        body = content(BULK, 9)
        t = threading.Thread(target=c.sendall, args=(body,))
        t.start()
        assert read_exactly(s, len(HEAD) + BULK)[len(HEAD) :] == body, "content differs"
        t.join()
        p.r = Router(takeover=old)
        assert p.r.event("done", f)["taken"] == BULK
        again = p.r.event("head", waiting["id"])
        assert again["head"] == HEAD and again["generation"] == 2, again
        refused(errno.ESTALE, p, "forward", id=waiting["id"], generation=1, framing="none")
        s.sendall(ANSWER)
        e = p.r.event("head", b)
        p.r.do("route", id=b, generation=e["generation"], to=f, framing="none", data=ANSWER)
        assert read_exactly(c, len(ANSWER)) == ANSWER


def grace_ends_in_503():
    r = Router({"grace": 500})
    _, address = r.listen()
    c, idle = connect(address), connect(address)
    c.sendall(HEAD)
    r.event("head")
    r.close()
    assert read_to_end(c).startswith(b"HTTP/1.1 503 ")
    assert read_to_end(idle) == b""
    c.close()
    idle.close()
    watch = Router()
    wait_for("nothing is left", lambda: not watch.dump("queue-get")
             and not watch.dump("listener-get") and len(watch.dump("router-get")) == 1)
    watch.close()


def urgent_data_is_refused():
    """tcp_read_sock() stops at an urgent byte: neither a hang, nor a byte more or less."""
    with Path() as p:
        for before, after in ((b"GET / HT", b"TP/1.1\r\n\r\n"), (HEAD + b"12345", b"67890")):
            c = connect(p.address)
            c.sendall(before)
            if HEAD in before:
                f = p.r.event("head")["id"]
                b, s = p.back()
                p.r.do("route", id=f, generation=1, to=b, framing="length", length=1000, data=HEAD)
                assert read_exactly(s, len(HEAD) + 5) == before
            c.send(b"!", socket.MSG_OOB)
            try:
                c.sendall(after)
                expect_reset(c)
            except (ConnectionResetError, BrokenPipeError):
                pass  # it came before the rest was sent
            if HEAD in before:
                d = p.r.event("done", f)
                assert d["result"] == "source-error" and d["taken"] == 5, d
                expect_reset(s)


def urgent_data_ends_a_drain():
    """Nothing behind it can be read: neither a wait for the end, nor a thread that goes round."""
    with Path() as p:
        c = connect(p.address)
        c.sendall(HEAD)
        f = p.r.event("head")["id"]
        p.r.do("drain", id=f, limit_ms=600_000)
        assert read_to_end(c) == b""
        c.send(b"!", socket.MSG_OOB)
        wait_for("the drain has ended", lambda: f not in [q["id"] for q in p.r.dump("queue-get")])
        c.close()


def listener_del_serves_who_waits():
    with Path() as p:
        clients = [connect(p.address) for _ in range(20)]
        p.r.do("listener-del", id=p.listener["id"])
        for c in clients:
            c.sendall(HEAD)
            e = p.r.event("head")
            p.r.do("send", id=e["id"], data=ANSWER)
            p.r.do("queue-del", id=e["id"])
        for c in clients:
            assert read_exactly(c, len(ANSWER)) == ANSWER
        p.listener, p.address = p.r.listen()


tap([
    ("a head comes whole from any segmentation", head_any_segmentation),
    ("the head alone goes up, the body stays", head_alone_goes_up),
    ("a head over its limit says so", over_limit),
    ("uploads of many lengths arrive exactly", upload_exact),
    ("over IPv6 too", upload_ipv6),
    ("statistics count what moved", statistics_count),
    ("exchanges follow one another on the same pair", whole_exchanges_keep_alive),
    ("next request in the same segment as the last body byte", next_head_in_same_segment),
    ("until-close carries the FIN over", until_close_carries_fin),
    ("until-close ended by a reset is no end", until_close_ended_by_reset_is_no_end),
    ("both directions at once", both_directions_at_once),
    ("full duplex at once, echo", echo_full_duplex),
    ("a truncated body resets its target", truncated_resets_target),
    ("client vanishes in mid-upload", source_reset_resets_target),
    ("back-end resets after k bytes", target_reset_parks_source),
    ("a cancelled forward of which nothing was taken goes elsewhere", cancel_untouched_then_elsewhere),
    ("a decline leaves the body untouched", decline_leaves_body_untouched),
    ("a reader that is slow holds the sender back", back_pressure),
    ("discard drops exactly the body", discard_drops_exactly),
    ("a drained peer reads the last word", drain_lets_the_peer_read),
    ("client half-closes after its body", half_closed_client_gets_its_answer),
    ("a client that says nothing leaves without an event", silent_client_vanishes_silently),
    ("FIN within a head is told apart", reason_fin_in_head),
    ("credit holds heads back", credit_holds_heads_back),
    ("event overflow (ENOBUFS)", overflow_loses_nothing),
    ("router killed (SIGKILL) in mid-body, router back", owner_death_in_mid_body),
    ("past the grace time: 503 and close", grace_ends_in_503),
    ("urgent data is refused", urgent_data_is_refused),
    ("urgent data ends a drain", urgent_data_ends_a_drain),
    ("connections in the backlog survive listener-del", listener_del_serves_who_waits),
])
