#!/usr/bin/env python3
"""threads.py: several routers in one process share clients and limits, and come and go together.
"""

import contextlib
import glob
import http.client
import os
import socket
import subprocess
import sys

from successors import CONFIG, Load, begin_put, check_put, connect, everything_ends, follow, get, kill, module, replace, start

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from content import blocks  # noqa: E402
from harness import DEADLINE, DEBUG, ROUTER, tap, wait_for  # noqa: E402

COUNT = 3
THREADS = f"threads = {COUNT}\n{CONFIG}"
# Enough that each router gets one of them, but for once in ten thousand million times.
CLIENTS = 60
CYCLES = 6 if DEBUG else 18
UPLOAD = 1 << 20


def turns():
    """How often each thread of the module got the CPU."""
    found = {}
    for status in glob.glob("/mnt/[0-9]*/status"):  # in-guest.sh: of all namespaces
        with contextlib.suppress(FileNotFoundError, ProcessLookupError), open(status, encoding="ascii", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file)
            if fields["Name"].strip().startswith("underpass/"):
                found[fields["Name"].strip()] = int(fields["voluntary_ctxt_switches"])
    return found


def owners():
    """The routers of the module that have a process, with the number of clients of each."""
    fronts = [q["router"] for q in module.dump("queue-get", {}) if q["side"] == "front"]
    return {r["id"]: fronts.count(r["id"]) for r in module.dump("router-get", {}) if r["port"]}


def shared():
    """Three routers: each has its part of clients and limits, and a thread of the module; one address, and one log"""
    before = turns()
    assert 0 < len(before) <= COUNT, before
    router = start(THREADS)
    with everything_ends(lambda: router):
        wait_for("all routers listen", lambda: len(module.dump("listener-get", {})) == COUNT)
        clients = [connect() for _ in range(CLIENTS)]
        for client in clients:
            get(client)
        assert len(owners()) == COUNT and min(owners().values()) > 0, owners()
        assert sum(owners().values()) == CLIENTS, owners()
        assert {x["queues-max"] for x in module.dump("router-get", {})} == {131072 // COUNT}
        wait_for("a line for each request", lambda: len(router.out) == CLIENTS)
        after = turns()
        assert all(after[name] > turn for name, turn in before.items()), (before, after)
        assert all(line.startswith("client=127.0.0.1:") and "status=200 reason=- " in line for line in router.out), router.out
    stopped = [line for line in router.err if "stop" in line]
    assert stopped == ["underpass: stopping: nothing more is accepted", "underpass: stopped: 0 exchanges were cut off"], stopped


def killed():
    """Three routers killed (SIGKILL) in the midst of uploads: the next three go on with all of them"""
    router = start(THREADS)
    with everything_ends(lambda: router):
        whole = b"".join(blocks(UPLOAD))
        clients = [connect() for _ in range(12)]
        for number, client in enumerate(clients):
            begin_put(client, f"/{number}", UPLOAD)
            client.send(whole[: UPLOAD // 2])
        # What no back-end has taken yet would wait for the next routers.
        wait_for("all of them move", lambda: len([q for q in module.dump("queue-get", {}) if q["side"] == "front" and q["rx-bytes"]]) == len(clients))
        kill(router)
        for client in clients:
            client.send(whole[UPLOAD // 2 :])
        router = start(THREADS)
        for client in clients:
            check_put(client.getresponse(), UPLOAD)
            get(client)
        assert len(owners()) == COUNT and sum(owners().values()) == len(clients), owners()


def more_and_fewer():
    """One router is replaced by three, and three by one: no client is left behind"""
    router = start()
    with everything_ends(lambda: router):
        clients = []
        for config, expected in ((CONFIG, 1), (THREADS, COUNT), (CONFIG, COUNT)):
            if clients:
                router = replace(router, config=config)
            # With fewer threads there are as many routers as before.
            wait_for(f"{expected} listen", lambda n=expected: len(module.dump("listener-get", {})) == n and len(owners()) == n)
            clients += [connect() for _ in range(CLIENTS)]
            for client in clients:
                get(client)
            assert sum(owners().values()) == len(clients), owners()
        assert min(owners().values()) > 0, owners()


def stranger():
    """An address that somebody else listens at, and would share, is not taken"""
    with socket.create_server(("127.0.0.1", 8080), reuse_port=True):
        with open("/tmp/underpass.toml", "w", encoding="utf-8") as file:
            file.write(THREADS)
        ended = subprocess.run([ROUTER, "run", "/tmp/underpass.toml"], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert ended.returncode == 1 and "cannot listen on 127.0.0.1:8080: Address already in use" in ended.stderr, ended
    router = start(THREADS)
    with everything_ends(lambda: router):
        get(connect())


def no_room():
    """A process for all of whose routers the module has no room ends, and harms nobody"""
    others = []
    for port, count in ((8101, 64), (8102, 64), (8103, 64), (8104, 62)):
        config = CONFIG.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
        others.append(start(f"threads = {count}\n{config}", [f"127.0.0.1:{port}"]))
    with everything_ends(lambda: others[0]):
        wait_for("254 routers", lambda: len(owners()) == 254)
        with open("/tmp/underpass.toml", "w", encoding="utf-8") as file:
            file.write(THREADS.replace("grace-ms = 29000", "grace-ms = 1"))
        ended = subprocess.run([ROUTER, "run", "/tmp/underpass.toml"], capture_output=True, text=True, timeout=DEADLINE, check=False)
        # Two of its three had a place.
        assert ended.returncode == 1 and "256 routers" in ended.stderr and "root" not in ended.stderr, ended
        for port in (8101, 8104):
            get(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE))
        for other in others[1:]:
            assert other.stop() == 0, other.err


def cycles():
    """Three routers killed (SIGKILL), stopped by SIGUSR2, or replaced, again and again under load: no request is lost"""
    router = start(THREADS)
    with everything_ends(lambda: router):
        load = Load(6)
        for number in range(CYCLES):
            load.progress()
            router = follow(router, number, config=THREADS)
        load.progress()
        print(f"# {load.end()} requests answered by {CYCLES} times {COUNT} routers")


tap([shared, killed, more_and_fewer, stranger, no_room, cycles])
