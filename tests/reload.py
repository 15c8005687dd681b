#!/usr/bin/env python3
"""reload.py: SIGHUP has a router go on by its configuration as it is now, in the same process; clients and bodies stay.
"""

import contextlib
import errno
import http.client
import os
import signal
import socket
import sys

from successors import CONFIG, LENGTH, Load, begin_put, check_put, connect, everything_ends, get, module, moved, replace, start

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from content import blocks, digest  # noqa: E402
from harness import DEADLINE, DEBUG, Backend, command, tap, wait_for  # noqa: E402

CYCLES = 4 if DEBUG else 12
# A listener with a time of its own has to be known again.
CONFIG = CONFIG.replace('address = "127.0.0.1:8080"', 'address = "127.0.0.1:8080"\nhead-ms = 54321', 1)
OTHER = CONFIG.replace("[pool.stored]", '[[listener]]\naddress = "127.0.0.1:8081"\n[pool.stored]', 1)


def write(config):
    with open("/tmp/underpass.toml", "w", encoding="utf-8") as file:
        file.write(config)


def hang_up(router, expected, times=1):
    """SIGHUP; returns when it has said what is `expected` so many times more than before."""
    said = sum(expected in line for line in router.err)
    router.process.send_signal(signal.SIGHUP)
    router.line(f"'{expected}'", router.err, lambda _: sum(expected in line for line in router.err) >= said + times)


def reload(router, config, routers=1):
    """What was there is the next generation's."""
    write(config)
    hang_up(router, "took this router over, and all that it had", routers)


def listener():
    """The one at 8080."""
    return next(x["id"] for x in module.dump("listener-get", {}) if x["port"] == 8080)


def other_port():
    return http.client.HTTPConnection("127.0.0.1", 8081, timeout=DEADLINE)


def goes_on():
    """SIGHUP in mid-body: the new configuration holds, uploads, downloads and idle clients go on, in the same process"""
    router = start(CONFIG)
    with everything_ends(lambda: router):
        idle, putting, getting = connect(), connect(), connect()
        get(idle)
        before = listener()
        pieces = list(blocks(LENGTH))
        begin_put(putting, "/reload", LENGTH)
        putting.send(pieces[0])
        getting.request("GET", f"/content/{LENGTH}")
        response = getting.getresponse()
        beginning = response.read(LENGTH // 8)
        moved("front", len(pieces[0]) - 1)
        reload(router, OTHER)
        router.line("the new address", router.err, lambda line: line.endswith("listening on 127.0.0.1:8081"))
        assert digest("crc32", [beginning, response.read()]) == digest("crc32", blocks(LENGTH))
        for piece in pieces[1:]:
            putting.send(piece)
        check_put(putting.getresponse(), LENGTH)
        for client in (idle, putting, getting, connect(), other_port()):
            get(client)
        assert listener() == before
        # And back again: what is not wanted any more is closed.
        reload(router, CONFIG)
        get(idle)
        assert {x["port"] for x in module.dump("listener-get", {})} == {8080}
        assert len(module.dump("router-get", {})) == 1
    said = [line for line in router.err if "stopp" in line]
    assert said == ["underpass: stopping: nothing more is accepted", "underpass: stopped: 0 exchanges were cut off"], said


def more_threads():
    """One router becomes three"""
    router = start(CONFIG)
    with everything_ends(lambda: router):
        client = connect()
        get(client)
        reload(router, f"threads = 3\n{CONFIG}")
        router.line("three listen", router.err, lambda _: sum("listening on" in line for line in router.err) == 4)
        assert len(module.dump("listener-get", {})) == 3
        get(client)
        reload(router, f"threads = 3\n{CONFIG}", routers=3)
        get(client)


def elsewhere():
    """Other addresses alone: what was there is the next generation's all the same"""
    router = start(CONFIG)
    with everything_ends(lambda: router):
        client = connect()
        get(client)
        reload(router, CONFIG.replace("127.0.0.1:8080", "127.0.0.1:8081"))
        router.line("the new address", router.err, lambda line: line.endswith("listening on 127.0.0.1:8081"))
        get(other_port())
        get(client)
        assert len(module.dump("router-get", {})) == 1
        assert {x["port"] for x in module.dump("listener-get", {})} == {8081}
        reload(router, CONFIG)
        get(client)
        get(connect())


def anothers():
    """An address that another process has is not taken from it"""
    other = start(CONFIG.replace("127.0.0.1:8080", "127.0.0.1:8081"), ["127.0.0.1:8081"])
    router = start(CONFIG)
    with everything_ends(lambda: router):
        get(connect())
        write(OTHER)
        hang_up(router, "SIGHUP changes nothing: router ")
        assert any("listens on 127.0.0.1:8081: stop it" in line for line in router.err), router.err
        get(other_port())
        get(connect())
        assert other.stop() == 0, other.err


def twice():
    """Of two SIGHUPs, one right after the other, the last one's configuration holds"""
    router = start(CONFIG)
    with everything_ends(lambda: router):
        client = connect()
        get(client)
        for _ in range(CYCLES):
            write(OTHER)
            router.process.send_signal(signal.SIGHUP)
            reload(router, CONFIG)
            wait_for("the last one's listeners", lambda: {x["port"] for x in module.dump("listener-get", {})} == {8080})
            get(client)


def of_a_link():
    """A listener at a link-local address goes on over SIGHUP and takeover; on another link it is another one"""
    def at(link):
        return CONFIG.replace("127.0.0.1:8080", f"[fe80::1%{link}]:8080")

    def listeners():
        return [(x["id"], x["scope-id"]) for x in module.dump("listener-get", {})]

    def client(link):
        connection = http.client.HTTPConnection("a", timeout=DEADLINE)
        connection.sock = socket.create_connection((f"fe80::1%{link}", 8080), DEADLINE)
        get(connection)
        return connection

    command("ip", "link", "add", "other", "type", "veth", "peer", "name", "its-peer")
    for link in ("lo", "other"):
        command("ip", "address", "add", "fe80::1/64", "dev", link, "nodad")
        command("ip", "link", "set", link, "up")
    here, there = socket.if_nametoindex("lo"), socket.if_nametoindex("other")
    router = start(at(here), [f"[fe80::1%{here}]:8080"])
    with everything_ends(lambda: router):
        before = listeners()
        assert [scope for _, scope in before] == [here], before
        kept = client("lo")
        reload(router, at(here))
        assert listeners() == before
        router = replace(router, config=at(here), listeners=[f"[fe80::1%{here}]:8080"])
        assert listeners() == before
        get(kept)
        client("lo")
        reload(router, at(there))
        router.line("the other link", router.err, lambda line: line.endswith(f"listening on [fe80::1%{there}]:8080"))
        assert [scope for _, scope in listeners()] == [there], listeners()
        get(kept)


def ousted_meanwhile():
    """Whom another process takes over while it gets a SIGHUP does not take itself back"""
    router = start(CONFIG)
    with everything_ends(lambda: router):
        client = connect()
        for _ in range(CYCLES):
            get(client)
            router.process.send_signal(signal.SIGSTOP)
            following = start(CONFIG, options=["--takeover"])
            router.process.send_signal(signal.SIGHUP)
            router.process.send_signal(signal.SIGCONT)
            assert router.process.wait(DEADLINE) == 0, router.err
            assert following.process.poll() is None, following.err
            router = following


def changes_nothing():
    """A configuration that is wrong, or cannot be had, changes nothing, and it is said why"""
    router = start(CONFIG)
    with everything_ends(lambda: router), socket.create_server(("127.0.0.1", 8081)):
        client = connect()
        get(client)
        before = module.dump("router-get", {})
        wrong = (
            (CONFIG.replace("backends", "backend", 1), "/tmp/underpass.toml:"),
            (OTHER, "cannot listen on 127.0.0.1:8081"),
            (CONFIG.replace('"kernel"', '"user"'), "restart it instead"),
        )
        for config, why in wrong:
            write(config)
            hang_up(router, f"SIGHUP changes nothing: {why}" if why.startswith("/") else why)
            get(client)
        assert [x["port"] for x in module.dump("router-get", {})] == [x["port"] for x in before]
        os.remove("/tmp/underpass.toml")
        hang_up(router, "SIGHUP changes nothing: ", 1)
        get(client)


def metrics():
    """Metrics go on counting over generations, wherever they are served, until the configuration has none"""

    def requests(port):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as page:
            page.request("GET", "/metrics")
            lines = page.getresponse().read().decode().splitlines()
        assert any(line.startswith("underpass_router_attached{") for line in lines), lines
        return next(line for line in lines if line.startswith('underpass_requests_total{code="200"} ')).split()[1]

    def watched(port, config=CONFIG):
        return f'metrics = "127.0.0.1:{port}"\n{config}'

    router = start(watched(9180))
    with everything_ends(lambda: router):
        client = connect()
        for number, port in enumerate((9180, 9180, 9181), 1):
            get(client)
            router.line("a request", router.out, lambda _, number=number: len(router.out) == number)
            reload(router, watched(port))
            assert requests(port) == str(number)
        with socket.create_server(("127.0.0.1", 8081)):
            write(watched(9180, OTHER))
            hang_up(router, "SIGHUP changes nothing: cannot listen on 127.0.0.1:8081")
        assert requests(9181) == "3"
        # Another process begins with none.
        router = replace(router, config=watched(9181))
        get(client)
        router.line("a request", router.out, lambda _: True)
        assert requests(9181) == "1"
        reload(router, CONFIG)

        def refused():
            with socket.socket() as page:
                return page.connect_ex(("127.0.0.1", 9181)) == errno.ECONNREFUSED

        wait_for("no page", refused)


@contextlib.contextmanager
def text(path, content=""):
    """A function that writes this file, which is as before behind the block."""
    def put(content):
        with open(path, "w", encoding="ascii") as file:
            file.write(content)

    with contextlib.ExitStack() as stack:
        try:
            with open(path, encoding="ascii") as file:
                stack.callback(put, file.read())
        except FileNotFoundError:
            stack.callback(os.remove, path)
        put(content)
        yield put


def names():
    """A back-end by name: where that is now is looked up by SIGHUP, and by nothing else"""
    named = CONFIG.replace("127.0.0.1:9001", "backend.test:9001")
    with text("/etc/hosts", "127.0.0.1 backend.test\n") as hosts, text("/etc/resolv.conf"):
        elsewhere = Backend("127.0.0.2:9001", "--digest", "crc32")
        router = start(named)
        with everything_ends(lambda: router):
            client = connect()
            for address in ("127.0.0.1", "127.0.0.2"):
                get(client)
                router.line(f"asked {address}", router.out, lambda line: f" asked={address}:9001=" in line)
                hosts("127.0.0.2 backend.test\n")
                get(client)
                assert f" asked={address}:9001=" in router.out[-1], router.out
                reload(router, named)
            hosts("127.0.0.2 another.test\n")
            hang_up(router, "SIGHUP changes nothing: /tmp/underpass.toml:")
            assert any("`backend.test:9001`: " in line for line in router.err), router.err
            get(client)
        elsewhere.stop()


def silent_resolver():
    """Who waits for a resolver at a SIGHUP is served, and stops at a SIGTERM"""
    # It waits for minutes, where a test would not.
    conf = "nameserver 127.0.0.3\noptions timeout:30 attempts:5\n"
    with text("/etc/resolv.conf", conf), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as resolver:
        resolver.bind(("127.0.0.3", 53))
        resolver.settimeout(DEADLINE)
        router = start(CONFIG)
        with everything_ends(lambda: router):
            client = connect()
            write(CONFIG.replace("127.0.0.1:9001", "backend.test:9001"))
            router.process.send_signal(signal.SIGHUP)
            assert b"backend" in resolver.recv(512)
            get(client)


def cycles():
    """SIGHUP again and again under load: no request is lost"""
    router = start(CONFIG)
    with everything_ends(lambda: router):
        load = Load(6)
        for _ in range(CYCLES):
            load.progress()
            reload(router, CONFIG)
        load.progress()
        print(f"# {load.end()} requests answered over {CYCLES} generations")


TESTS = [goes_on, more_threads, elsewhere, anothers, twice, of_a_link, ousted_meanwhile, changes_nothing, metrics, names, silent_resolver]
tap([*TESTS, cycles])
