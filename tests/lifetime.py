#!/usr/bin/env python3
"""Owner death, namespace exit, rmmod: at any moment, without a leak.

That memory and references are back is also judged from outside: the runner unloads the
module after each script, the debug kernel looks for leaks, and its log must be clean. The argument
says how often the module is unloaded and loaded under load; 1000 takes some minutes.
"""

import ctypes
import errno
import multiprocessing
import os
import socket
import subprocess
import sys
import threading
import time

from ynlrouter import DEADLINE, NlError, Router, read_exactly, tap, wait_for

MODULE = "/payload/underpass.ko"
DEBUG = os.environ.get("UNDERPASS_KERNEL") == "debug"
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else (5 if DEBUG else 30)
# How often a socket is given while the module goes, and by how many commands it is late.
RACES, COMMANDS = 3, 8000
SYS_DELETE_MODULE = 176  # x86-64
HEAD = b"PUT / HTTP/1.1\r\nHost: h\r\n\r\n"
LENGTH = 1 << 40


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


def references():
    with open("/sys/module/underpass/refcnt") as f:
        return int(f.read())


def start_transfer(r):
    """An endless upload over loopback: client and server sockets, their queues."""
    server = socket.create_server(("127.0.0.1", 0))
    listener, address = r.listen()
    c = socket.create_connection(address, timeout=DEADLINE)
    c.sendall(HEAD)
    f = r.event("head")["id"]
    b = r.back(server.getsockname())
    s, _ = server.accept()
    s.settimeout(DEADLINE)
    r.do("route", id=f, generation=1, to=b, framing="length", length=LENGTH, data=HEAD)
    read_exactly(s, len(HEAD))
    return c, s, f, b, listener


def pump(c, s):
    """Sends and reads until the connection ends."""

    def send():
        block = bytes(1 << 16)
        try:
            while True:
                c.sendall(block)
        except OSError:
            pass

    def read():
        try:
            while s.recv(1 << 16):
                pass
        except OSError:
            pass

    threads = [threading.Thread(target=send, daemon=True), threading.Thread(target=read, daemon=True)]
    for t in threads:
        t.start()
    return threads


def rmmod_with_transfers():
    r = Router({"grace": 200})
    c, s, f, b, listener = start_transfer(r)
    threads = pump(c, s)
    wait_for("bytes flow", lambda: r.do("queue-get", id=f)["rx-bytes"] > 1 << 20)
    said = run("rmmod", "underpass")
    assert said.returncode != 0 and "in use" in said.stderr, said
    before = r.do("queue-get", id=f)["rx-bytes"]
    wait_for("bytes still flow", lambda: r.do("queue-get", id=f)["rx-bytes"] > before + (1 << 20))
    for q in (f, b):
        r.do("queue-abort", id=q)
    r.do("listener-del", id=listener["id"])
    for t in threads:
        t.join(DEADLINE)
    wait_for("no reference is left", lambda: references() == 0)
    # The router is still attached: it holds nothing that the module would miss.
    assert run("rmmod", "underpass").returncode == 0
    try:
        r.do("stats-get")
        raise AssertionError("the family is still there")
    except Exception as e:
        assert e.nl_msg.error == -errno.ENOENT, e
    finally:
        assert run("insmod", MODULE).returncode == 0
    r.close()


def listener_shut_down_by_its_owner():
    """A listening socket that its owner shut down lets the module go like any other."""
    r = Router({"grace": 0})
    with socket.create_server(("127.0.0.1", 0)) as s:
        listener = r.do("listener-add", fd=s.fileno(), connections=1)["id"]
        # One is accepted, the others wait in the socket.
        clients = [socket.create_connection(s.getsockname(), timeout=DEADLINE) for _ in range(3)]
        wait_for("one is accepted", lambda: r.do("listener-get", id=listener)["open"] == 1)
        s.shutdown(socket.SHUT_RDWR)
        r.do("listener-del", id=listener)
    r.close()
    wait_for("no reference is left", lambda: references() == 0)
    for c in clients:
        c.close()


def loaded_again():
    """The module goes and comes; whoever still leads to it would not survive that."""
    wait_for("no reference is left", lambda: references() == 0)
    for command in (("rmmod", "underpass"), ("insmod", MODULE)):
        said = run(*command)
        assert said.returncode == 0, said


def unload_now():
    """As rmmod does it, without the time that a process takes to start; says whether it went."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(SYS_DELETE_MODULE, b"underpass", os.O_NONBLOCK) == 0:
        return True
    assert ctypes.get_errno() == errno.EWOULDBLOCK, os.strerror(ctypes.get_errno())
    return False


def given_while_it_goes():
    """Unloading waits for a datagram of many commands. A socket that the last of them gives is refused: else
    it would lead to a module that is gone."""
    server = socket.create_server(("127.0.0.1", 0))
    raced = 0
    while raced < RACES:
        given = socket.create_connection(server.getsockname(), timeout=DEADLINE)
        peer, _ = server.accept()
        r = Router({"grace": 0})
        give = ("queue-add", {"fd": given.fileno(), "side": "back"})
        many = [("stats-get", {})] * COMMANDS + [give]
        datagram = b"".join(r.ynl._encode_message(r.ynl.ops[op], v, [], 1) for op, v in many)
        times = []

        def send():
            times.append(time.monotonic())
            r.ynl.sock.send(datagram)
            times.append(time.monotonic())

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        wait_for("it begins", lambda: times)
        began = time.monotonic()
        went = unload_now()
        sender.join(DEADLINE)
        r.close()
        if went:
            raced += began < times[1]
            assert run("insmod", MODULE).returncode == 0
            says_and_hears(given, peer)
        else:
            # It was given before.
            wait_for("no reference is left", lambda: references() == 0)
        given.close()
        peer.close()
    server.close()


def says_and_hears(one, other):
    """Bytes in both directions, and who waits for them is woken."""
    for s in (one, other):
        s.settimeout(DEADLINE)
    for speaker, hearer in ((one, other), (other, one)):
        heard = []
        t = threading.Thread(target=lambda: heard.append(read_exactly(hearer, 100000)), daemon=True)
        t.start()
        speaker.sendall(bytes(100000))
        t.join(DEADLINE)
        assert heard == [bytes(100000)], "content differs, or was not heard"


def accepted_by_its_owner():
    """A listening socket is the module's, and its owner accepts from it all the same: what it
    gets is an ordinary socket, and outlives the module."""
    r = Router({"grace": 0})
    with socket.create_server(("127.0.0.1", 0)) as s:
        listener = r.do("listener-add", fd=s.fileno(), connections=1)["id"]
        clients = [socket.create_connection(s.getsockname(), timeout=DEADLINE) for _ in range(2)]
        wait_for("one is accepted", lambda: r.do("listener-get", id=listener)["open"] == 1)
        mine, _ = s.accept()
        says_and_hears(mine, clients[1])
        r.close()
        loaded_again()
    says_and_hears(mine, clients[1])
    for one in (mine, *clients):
        one.close()


def connection_that_its_owner_makes_listen():
    """So do those that an adopted connection is given when its owner disconnects it and makes it listen."""
    r = Router({"grace": 0})
    server = socket.create_server(("127.0.0.1", 0))
    adopted = socket.create_connection(server.getsockname())
    r.do("queue-add", fd=adopted.fileno(), side="back")
    libc = ctypes.CDLL(None, use_errno=True)
    nowhere = socket.AF_UNSPEC.to_bytes(16, sys.byteorder)
    assert libc.connect(adopted.fileno(), nowhere, 16) == 0, os.strerror(ctypes.get_errno())
    adopted.bind(("127.0.0.1", 0))
    adopted.listen()
    c = socket.create_connection(adopted.getsockname(), timeout=DEADLINE)
    mine, _ = adopted.accept()
    says_and_hears(mine, c)
    r.close()
    adopted.close()
    loaded_again()
    says_and_hears(mine, c)
    for one in (mine, c, server):
        one.close()


def load_and_unload_under_load():
    """Each round unloads as soon as the last reference is gone, with clients still knocking."""
    for _ in range(ROUNDS):
        r = Router({"grace": 0})
        c, s, f, _, _ = start_transfer(r)
        threads = pump(c, s)
        wait_for("bytes flow", lambda: r.do("queue-get", id=f)["rx-bytes"] > 1 << 18)
        r.close()
        c.close()
        s.close()
        for t in threads:
            t.join(DEADLINE)
        loaded_again()


def in_namespace(ready, go):
    """Child: everything in a namespace of its own; dies with all sockets open."""
    os.unshare(os.CLONE_NEWNET)
    run("ip", "link", "set", "lo", "up")
    # Its peer in the parent's namespace goes when this namespace does.
    run("ip", "link", "add", "uptest1", "type", "veth", "peer", "name", "uptest0", "netns", str(os.getppid()))
    r = Router({"grace": 300})
    c, s, f, _, _ = start_transfer(r)
    pump(c, s)
    wait_for("bytes flow", lambda: r.do("queue-get", id=f)["rx-bytes"] > 1 << 20)
    waiting = socket.create_connection(c.getpeername())
    waiting.sendall(HEAD)
    r.event("head")
    ready.set()
    go.wait()
    os._exit(0)


def namespace_deleted_in_mid_transfer():
    context = multiprocessing.get_context("fork")
    for _ in range(1 if DEBUG else 3):
        ready, go = context.Event(), context.Event()
        child = context.Process(target=in_namespace, args=(ready, go))
        child.start()
        assert ready.wait(DEADLINE), "the child did not get there"
        assert os.path.exists("/sys/class/net/uptest0")
        assert references() > 0
        here = Router()
        assert here.dump("queue-get") == [], "another namespace's queues are seen"
        here.close()
        go.set()
        child.join(DEADLINE)
        wait_for("no reference is left", lambda: references() == 0)
        wait_for("the namespace is gone", lambda: not os.path.exists("/sys/class/net/uptest0"))


def router_killed_with_all_kinds_of_queues():
    context = multiprocessing.get_context("fork")

    def child(ready):
        r = Router({"grace": 300})
        kept = [start_transfer(r) for _ in range(3)]
        pump(kept[0][0], kept[0][1])
        kept[1][0].close()
        idle = [socket.create_connection(kept[2][0].getpeername()) for _ in range(10)]
        idle[0].sendall(HEAD)
        idle[1].sendall(HEAD[:5])
        r.event("head")
        r.do("drain", id=kept[2][2], limit_ms=3600000)
        ready.set()
        threading.Event().wait()

    ready = context.Event()
    p = context.Process(target=child, args=(ready,))
    p.start()
    assert ready.wait(DEADLINE)
    p.kill()
    p.join()
    wait_for("no reference is left", lambda: references() == 0)
    r = Router()
    assert len(r.dump("router-get")) == 1, "the dead router is still there"
    assert r.do("stats-get")["queues"] == 0
    r.close()


def another_protocol_with_the_same_port():
    """A netlink socket of another protocol ends no router, though its port is the same."""
    r = Router()
    port = r.do("router-get", id=r.me["id"])["port"]
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as other:
        other.bind((port, 0))
    assert r.do("router-get", id=r.me["id"])["port"] == port
    r.close()


def in_user_namespace():
    """Child: the exit code says whether it became a router with the privileges of a user namespace of its own."""
    os.unshare(os.CLONE_NEWUSER | os.CLONE_NEWNET)
    try:
        Router()
        os._exit(0)
    except NlError as e:
        os._exit(1 if e.nl_msg.error == -errno.EPERM else 2)


def parameter_user_namespaces():
    context = multiprocessing.get_context("fork")
    for value, refused in (("0", 1), ("1", 0)):
        for command in (("rmmod", "underpass"), ("insmod", MODULE, f"user_namespaces={value}")):
            assert run(*command).returncode == 0, command
        child = context.Process(target=in_user_namespace)
        child.start()
        child.join(DEADLINE)
        assert child.exitcode == refused, (value, child.exitcode)
        # In a network namespace of the first user namespace it makes no difference.
        Router().close()
    loaded_again()


tap([
    ("module unloaded with transfers in flight: EBUSY, and they go on", rmmod_with_transfers),
    ("a listening socket shut down by its owner", listener_shut_down_by_its_owner),
    ("a connection that its owner accepted from an adopted socket", accepted_by_its_owner),
    ("an adopted connection that its owner makes listen", connection_that_its_owner_makes_listen),
    ("a socket that is given while the module goes", given_while_it_goes),
    ("load/unload under load", load_and_unload_under_load),
    ("network namespace deleted in mid-transfer", namespace_deleted_in_mid_transfer),
    ("router killed with all kinds of queues", router_killed_with_all_kinds_of_queues),
    ("a netlink socket with a router's port, of another protocol", another_protocol_with_the_same_port),
    ("user_namespaces=0", parameter_user_namespaces),
])
