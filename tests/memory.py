#!/usr/bin/env python3
"""The memory limit of a cgroup: what a listener's connections hold in the kernel is charged to the
group of whoever made its socket, and puts that group alone under pressure when its limit is met. They
are of the same user, too.

That socket is made by a process that joins the group, hands it over and ends, so that all memory of
the group is that of sockets. Arguments: how many clients, and how many bytes each of them sends.
"""

import os
import socket
import subprocess
import sys
import threading
from types import SimpleNamespace

from failures_scenes import exchange, open_path, sending
from scene import HEAD, MIB, Path, connect, content, reset
from ynlrouter import read_exactly, tap, wait_for

CLIENTS, SIZE = (int(n) for n in (sys.argv[1:] or ("10", "300000")))
LIMIT = MIB
# Most of what an idle connection holds is TCP's own.
IDLE, OBJECT = 300, 3072
COUNTED = 16384
ROOT = "/tmp/cgroup"


class Group:
    """A memory cgroup; gone with its block."""

    def __init__(self, limit="max"):
        self.limit = limit

    def __enter__(self):
        if not os.path.exists(ROOT):
            os.mkdir(ROOT)
            subprocess.run(["mount", "-t", "cgroup2", "cgroup2", ROOT], check=True)
            self.write(ROOT + "/cgroup.subtree_control", "+memory")
        self.path = f"{ROOT}/underpass-test"
        os.mkdir(self.path)
        self.write(self.path + "/memory.max", self.limit)
        return self

    def __exit__(self, *_):
        os.rmdir(self.path)

    @staticmethod
    def write(path, value):
        with open(path, "w", encoding="ascii") as f:
            f.write(str(value))

    def read(self, name):
        with open(f"{self.path}/memory.{name}", encoding="ascii") as f:
            return f.read()

    def figure(self, name, key):
        return dict(line.split() for line in self.read(name).splitlines())[key]

    def sockets(self):
        """Bytes of the memory of sockets."""
        return int(self.figure("stat", "sock"))

    def listening(self, user=0):
        """A listening socket that was made in the group, by that user."""
        near, far = socket.socketpair()
        child = os.fork()
        if child == 0:
            self.write(self.path + "/cgroup.procs", 0)
            os.setuid(user)
            s = socket.create_server(("127.0.0.1", 0), backlog=CLIENTS)
            socket.send_fds(far, [b"s"], [s.fileno()])
            os._exit(0)
        _, (fd,), _, _ = socket.recv_fds(near, 1, 1)
        assert os.waitpid(child, 0)[1] == 0
        near.close()
        far.close()
        return socket.socket(fileno=fd)


def clients_of(p, group):
    """Clients of a listener of the group, whose heads wait and whose bodies are on their way."""
    with group.listening() as s:
        p.group_listener = p.r.do("listener-add", fd=s.fileno())["id"]
        address = s.getsockname()
    paths = []
    for seed in range(CLIENTS):
        c = connect(address)
        c.sendall(HEAD)
        paths.append(SimpleNamespace(c=c, f=p.r.event("head")["id"], body=content(SIZE, seed)))
    for x in paths:
        x.sender = sending(x.c, x.body)
    return paths


def bodies_arrive(p, paths):
    """All of them, at once."""
    def read(x):
        x.got = read_exactly(x.s, len(HEAD) + SIZE)

    for x in paths:
        x.b, x.s = p.back()
        p.r.do("route", id=x.f, generation=1, to=x.b, framing="length", length=SIZE, data=HEAD)
        x.reader = threading.Thread(target=read, args=(x,), daemon=True)
        x.reader.start()
    for x in paths:
        x.reader.join()
        x.sender.join()
        assert x.got == HEAD + x.body, "content differs"
        assert p.r.event("done", x.f)["result"] == "complete"
    p.r.do("listener-del", id=p.group_listener)


def charged_to_the_listener():
    with Path() as p, Group() as group:
        paths = clients_of(p, group)
        held = lambda: sum(p.r.do("queue-get", id=x.f)["rx-bytes"] for x in paths)  # noqa: E731
        wait_for("it is charged", lambda: group.sockets() >= CLIENTS * 32768)
        print(f"# {CLIENTS} clients whose bodies wait: {group.sockets()} bytes charged, {held()} taken", flush=True)
        assert held() < CLIENTS * 32768, "the bodies did not wait"
        bodies_arrive(p, paths)
        print(f"# most held: {group.read('peak').strip()}", flush=True)
        for x in paths:
            x.c.close()
            p.r.do("queue-abort", id=x.f)
        wait_for("all of it is given back", lambda: group.sockets() == 0)


def objects_charged():
    """Connections that do nothing hold no buffers, only what was made for them."""
    with Path() as p, Group() as group:
        with group.listening() as s:
            listener = p.r.do("listener-add", fd=s.fileno())["id"]
            address = s.getsockname()
        slab = lambda: int(group.figure("stat", "slab"))  # noqa: E731
        before = slab()
        clients = [connect(address) for _ in range(IDLE)]
        wait_for("each is charged", lambda: slab() >= before + IDLE * OBJECT)
        print(f"# {IDLE} clients that do nothing: {slab() - before} bytes of objects", flush=True)
        for c in clients:
            reset(c)
        wait_for("none is left", lambda: p.r.do("listener-get", id=listener)["open"] == 0)
        # But for what the kernel counts per CPU before it tells.
        wait_for("all of it is given back", lambda: slab() <= before + COUNTED)
        p.r.do("listener-del", id=listener)


def user_of_the_listener():
    """Routes may be chosen by the user of a socket (`ip rule` with uidrange)."""
    user = 1234
    with Path() as p, Group() as group:
        with group.listening(user) as s:
            listener = p.r.do("listener-add", fd=s.fileno())["id"]
            address = s.getsockname()
        with connect(address) as c:
            c.sendall(HEAD)
            p.r.event("head")
            with open("/proc/net/tcp", encoding="ascii") as f:
                sockets = [line.split() for line in f][1:]
            users = [s[7] for s in sockets if s[1].endswith(f":{address[1]:04X}")]
            assert users == [str(user)] * 2, users
        p.r.do("listener-del", id=listener)


def limited():
    with Path() as p, Group(LIMIT) as group:
        x = open_path(p)
        paths = clients_of(p, group)
        wait_for("the limit is met", lambda: int(group.figure("events", "max")) > 0)
        for n in range(3):
            exchange(p, x, n, 300000)
            x.c.sendall(HEAD)
            x.generation = p.r.event("head", x.f)["generation"]
        peak = int(group.read("peak"))
        bodies_arrive(p, paths)
        print(f"# limit {LIMIT}: {peak} while bodies waited, {group.read('peak').strip()} in all", flush=True)
        # The kernel takes what arrives in softirq also above the limit, of any socket; but windows do not grow.
        assert max(peak, int(group.read("peak"))) <= CLIENTS * 160000, "windows grew"


tap([("charged to the group of who made the listening socket", charged_to_the_listener),
     ("what is made for a connection is charged to the same group", objects_charged),
     ("connections are of the user who made the listening socket", user_of_the_listener),
     ("at the limit: bodies are exact, others do not feel it", limited)])
