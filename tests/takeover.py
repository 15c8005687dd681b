#!/usr/bin/env python3
"""takeover.py [CYCLES]: the router dies, or is replaced, and nothing is lost that need not be.

Bodies in flight finish while no router runs; the next one takes over, and delivers responses of
requests that it never saw. CYCLES is how often the router is killed or replaced under load.
"""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys

from successors import CONFIG, FRONT, LENGTH, SMALL, Load, backend, begin_put, check_content, check_put, connect
from successors import everything_ends, follow, get, kill, module, moved, replace, start

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from content import blocks, digest  # noqa: E402
from harness import DEADLINE, DEBUG, ROUTER, Program, tap, wait_for  # noqa: E402
from ynlrouter import read_exactly  # noqa: E402

CYCLES = int(sys.argv[1]) if len(sys.argv) > 1 else 6 if DEBUG else 20
SCRIPTED = ("127.0.0.1", 9002)
NEXT = "/tmp/underpass-next"

scripted = socket.create_server(SCRIPTED)
scripted.settimeout(DEADLINE)


def cut(length, count):
    """The body of so many bytes, in so many pieces of the same length."""
    whole = b"".join(blocks(length))
    size = -(-length // count)
    return [whole[at : at + size] for at in range(0, length, size)]


def accept_scripted():
    """The scripted back-end's next connection, and the head that came on it."""
    s, _ = scripted.accept()
    s.settimeout(DEADLINE)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(s, 1)
    return s, head.decode()


def raw(text):
    s = socket.create_connection(FRONT, timeout=DEADLINE)
    s.sendall(text.encode())
    return s


def read_head(s):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(s, 1)
    return head.decode()


def upload():
    """Router killed (SIGKILL) in mid-body: the upload ends exactly, the response comes later"""
    router = start()
    with everything_ends(lambda: router):
        connection = connect()
        get(connection)
        begin_put(connection, "/up", LENGTH)
        pieces = list(blocks(LENGTH))
        half = len(pieces) // 2
        for piece in pieces[:half]:
            connection.send(piece)
        moved("front", SMALL)
        kill(router)
        for piece in pieces[half:]:
            connection.send(piece)
        # Nobody is there who could tell of it; it has it all the same.
        backend.event("stored", target="/up", bytes=LENGTH)
        router = start()
        check_put(connection.getresponse(), LENGTH)
        line = router.exchange(method="-", status="201")
        assert line["up"] == str(LENGTH), line
        get(connection)


def download():
    """Router killed (SIGKILL) in mid-body: the download ends exactly, the connection goes on"""
    router = start()
    with everything_ends(lambda: router):
        connection = connect()
        connection.request("GET", f"/content/{LENGTH}")
        response = connection.getresponse()
        beginning = response.read(LENGTH // 8)
        kill(router)
        rest = response.read()
        assert digest("crc32", [beginning, rest]) == digest("crc32", blocks(LENGTH))
        # Asked while nobody is there.
        connection.request("GET", f"/content/{SMALL}")
        router = start()
        check_content(connection.getresponse())
        get(connection)


def waiting():
    """Router back: clients that came, and heads that waited, meanwhile"""
    router = start()
    with everything_ends(lambda: router):
        kept = connect()
        get(kept)
        kill(router)
        clients = [connect() for _ in range(20)]
        for client in clients[:10]:
            client.request("GET", f"/content/{SMALL}")
        wait_for("they were accepted", lambda: len([q for q in module.dump("queue-get", {}) if q["side"] == "front"]) == 21)
        router = start()
        for client in clients[:10]:
            check_content(client.getresponse())
        for client in [*clients, kept]:
            get(client)


def stopped():
    """Router stopped (SIGSTOP) in mid-body, and on again (SIGCONT)"""
    router = start()
    with everything_ends(lambda: router):
        connection, other = connect(), connect()
        begin_put(connection, "/stopped", LENGTH)
        pieces = list(blocks(LENGTH))
        connection.send(pieces[0])
        moved("front", SMALL)
        router.process.send_signal(signal.SIGSTOP)
        for piece in pieces[1:]:
            connection.send(piece)
        backend.event("stored", target="/stopped", bytes=LENGTH)
        other.request("GET", f"/content/{SMALL}")
        router.process.send_signal(signal.SIGCONT)
        check_put(connection.getresponse(), LENGTH)
        check_content(other.getresponse())


def unshown():
    """Router back: responses find their clients, as HTTP/1.0, HEAD and the route want them"""
    router = start()
    with everything_ends(lambda: router):
        answer = "HTTP/1.1 200 OK\r\nDate: d\r\nSecret: s\r\nContent-Length: 4\r\n"
        asked = []
        for number, (method, version) in enumerate(itertools.product(("GET", "HEAD"), ("1.0", "1.1"))):
            client = raw(f"{method} /scripted/{number} HTTP/{version}\r\nHost: a\r\n\r\n")
            server, head = accept_scripted()
            assert head.startswith(f"{method} /scripted/{number} "), head
            asked.append((method, version, client, server))
        kill(router)
        router = start()
        # In another order than they were asked in.
        for number, (method, version, client, server) in reversed(list(enumerate(asked))):
            body = f"no {number}" if method == "GET" else ""
            server.sendall(f"{answer}Number: {number}\r\n\r\n{body}".encode())
            head = read_head(client)
            assert f"Number: {number}\r\n" in head and "Secret" not in head, head
            assert read_exactly(client, len(body)) == body.encode()
            if version == "1.0":
                assert client.recv(1) == b"", "it says more, or the connection goes on"
            else:
                client.sendall(f"GET /content/{SMALL} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                assert read_head(client).startswith("HTTP/1.1 200 ")
                assert digest("crc32", [read_exactly(client, SMALL)]) == digest("crc32", blocks(SMALL))


def back_end_gone():
    """Router back: a back-end that broke meanwhile is 502, and no other client's answer"""
    router = start()
    with everything_ends(lambda: router):
        client = raw("GET /scripted/ HTTP/1.1\r\nHost: a\r\n\r\n")
        server, _ = accept_scripted()
        kill(router)
        server.close()
        router = start()
        head = read_head(client)
        assert head.startswith("HTTP/1.1 502 ") and "backend-broke" in head, head


def rules_changed():
    """Router back with another configuration: listeners and rules are those of the new one"""
    def terms():
        return [(x["grace"], x["queues-max"]) for x in module.dump("router-get", {})]

    router = start()
    with everything_ends(lambda: router):
        assert terms() == [(29000, 131072)], terms()
        client = raw("GET /scripted/ HTTP/1.1\r\nHost: a\r\n\r\n")
        server, _ = accept_scripted()
        kill(router)
        changed = CONFIG.replace("Secret", "Other").replace("127.0.0.1:8080", "127.0.0.1:8081", 1)
        two = changed.replace("[pool.stored]", '[[listener]]\naddress = "127.0.0.1:8080"\nconnections = 7\n[pool.stored]')
        router = start(two + "queues = 5000\n", ["127.0.0.1:8080", "127.0.0.1:8081"])
        assert terms() == [(29000, 5000)], terms()
        server.sendall(b"HTTP/1.1 200 OK\r\nSecret: s\r\nContent-Length: 0\r\n\r\n")
        head = read_head(client)
        assert head.startswith("HTTP/1.1 502 ") and "router-changed" in head, head
        listeners = {x["port"]: x["connections"] for x in module.dump("listener-get", {})}
        assert listeners == {8080: 7, 8081: 65536}, listeners
        kill(router)
        router = start(changed, ["127.0.0.1:8081"])
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection(FRONT)
            raise AssertionError("an address that nobody wants is open")


def listener_changed():
    """A listener is opened anew with other terms, twice: its clients stay, whichever it was that accepted them"""
    def config(connections):
        return CONFIG.replace('address = "127.0.0.1:8080"', f'address = "127.0.0.1:8080"\nconnections = {connections}')

    router = start()
    with everything_ends(lambda: router):
        clients = []
        for connections in (100, 101, 102):
            clients.append(connect())
            for client in clients:
                get(client)
            router = replace(router, config=config(connections))
        for client in clients:
            get(client)
        fronts = [q for q in module.dump("queue-get", {}) if q["side"] == "front"]
        assert len(fronts) == len(clients) == len({q["listener"] for q in fronts}), fronts


def two_routers():
    """Two routers claim one listener: the second is refused, or takes over explicitly"""
    router = first = start()
    with everything_ends(lambda: router):
        connection = connect()
        get(connection)
        second = subprocess.run([ROUTER, "run", "/tmp/underpass.toml"], capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert second.returncode == 1 and "--takeover" in second.stderr, second
        get(connection)
        # Who cannot have all that it wants takes nothing.
        with open("/tmp/greedy.toml", "w", encoding="utf-8") as file:
            file.write(CONFIG.replace("[pool.stored]", '[[listener]]\naddress = "127.0.0.1:9002"\n[pool.stored]'))
        greedy = subprocess.run([ROUTER, "run", "--takeover", "/tmp/greedy.toml"], capture_output=True, text=True, timeout=DEADLINE, check=False)
        assert greedy.returncode == 1 and "127.0.0.1:9002" in greedy.stderr, greedy
        get(connection)
        client = raw("GET /scripted/ HTTP/1.1\r\nHost: a\r\n\r\n")
        server, _ = accept_scripted()
        first.process.send_signal(signal.SIGSTOP)
        router = start(options=["--takeover"])
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert read_head(client).startswith("HTTP/1.1 200 ")
        get(connection)
        # It did not hear of it when it happened, and does now.
        first.process.send_signal(signal.SIGCONT)
        assert first.process.wait(DEADLINE) == 0, first.err
        first.line("why it ends", first.err, lambda line: "took this router over" in line)
        get(connection)


def crash_loop():
    """Router back after a crash loop: it was killed (SIGKILL) at each of its first words"""
    router = start()
    with everything_ends(lambda: router):
        putting, gets = connect(), [connect() for _ in range(6)]
        pieces = cut(LENGTH, 2 * len(gets) + 1)
        asked = raw("GET /scripted/ HTTP/1.1\r\nHost: a\r\n\r\n")
        server, _ = accept_scripted()
        begin_put(putting, "/loop", LENGTH)
        putting.send(pieces[0])
        moved("front", len(pieces[0]) - 1)
        kill(router)
        for number, (getting, piece) in enumerate(zip(gets * 2, pieces[1:], strict=True)):
            if number < len(gets):
                getting.request("GET", f"/content/{SMALL}")
            router = Program([ROUTER, "run", "/tmp/underpass.toml"])
            # It took over, it went on with what it found, it listens; or nothing yet.
            words = number % 4
            wait_for(f"{words} words of a router", lambda: len(router.err) >= words)
            kill(router)
            putting.send(piece)
        router = start()
        for getting in gets:
            check_content(getting.getresponse())
            get(getting)
        check_put(putting.getresponse(), LENGTH)
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert read_head(asked).startswith("HTTP/1.1 200 ")


def upgrade():
    """Upgrade to another binary in mid-body: no connection is dropped, the old router ends with 0"""
    shutil.copy(ROUTER, NEXT)
    router = start()
    with everything_ends(lambda: router):
        idle, putting, getting = connect(), connect(), connect()
        get(idle)
        asked = raw("GET /scripted/ HTTP/1.1\r\nHost: a\r\n\r\n")
        server, _ = accept_scripted()
        pieces = list(blocks(LENGTH))
        begin_put(putting, "/upgrade", LENGTH)
        putting.send(pieces[0])
        getting.request("GET", f"/content/{LENGTH}")
        response = getting.getresponse()
        beginning = response.read(LENGTH // 8)
        moved("front", SMALL)
        router = replace(router, program=NEXT)
        assert os.readlink(f"/proc/{router.process.pid}/exe") == NEXT
        assert digest("crc32", [beginning, response.read()]) == digest("crc32", blocks(LENGTH))
        for piece in pieces[1:]:
            putting.send(piece)
        check_put(putting.getresponse(), LENGTH)
        server.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert read_head(asked).startswith("HTTP/1.1 200 ")
        for client in (idle, putting, getting):
            get(client)


def cycles():
    """Router killed (SIGKILL), stopped by SIGUSR2, or replaced, again and again under load: no request is lost"""
    router = start()
    with everything_ends(lambda: router):
        load = Load(6)
        for number in range(CYCLES):
            load.progress()
            router = follow(router, number)
        load.progress()
        print(f"# {load.end()} requests answered over {CYCLES} routers")


tap([upload, download, waiting, stopped, unshown, back_end_gone, rules_changed, listener_changed, two_routers, crash_loop, upgrade, cycles])
