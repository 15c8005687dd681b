#!/usr/bin/env python3
"""Hostile netlink: random commands, made from the spec and then broken, by several threads in two
network namespaces, beside traffic whose content is checked.

What must hold: every refusal has words, every command is answered, the traffic is exact,
and nothing is left when the attackers are gone. Arguments: seconds, and the seed, which is printed;
each thread draws from its own generator, so that a seed says what it tries, but not how threads
meet. FOUND keeps the seeds that found something; they go first, one thread each. It must not touch
the router of the traffic, which an owner of CAP_NET_ADMIN may take over by right.
"""

import errno
import multiprocessing
import os
import random
import socket
import struct
import sys
import threading
import time
import traceback

import yaml

from failures_scenes import exchange, open_path
from scene import DEBUG, HEAD, Path
from ynlrouter import DEADLINE, NlError, Router, tap, wait_for

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else (40 if DEBUG else 20)
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else random.SystemRandom().randrange(1 << 32)
THREADS = 3
# Seeds that once showed a fault, with what it was. The first found none: it is tried on every machine.
FOUND = (1,)
COMMANDS = 300  # of each of those
DESCRIPTORS = 40  # of a thread at once

NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, DUMP = 1, 4, 0x300
NLMSGERR_MSG, CAPPED = 1, 0x100
NESTED = 0x8000
# What generic netlink refuses before anything of ours is asked, and without words.
WORDLESS = (errno.EOPNOTSUPP, errno.ENOMEM)

with open(os.environ["SPEC"], encoding="utf-8") as f:
    spec = yaml.safe_load(f)
consts = {d["name"]: d["value"] for d in spec["definitions"] if d["type"] == "const"}
sets = {s["name"]: s["attributes"] for s in spec["attribute-sets"]}
numbers = {(s, a["name"]): n for s in sets for n, a in enumerate(sets[s], 1)}
operations = list(enumerate(spec["operations"]["list"], 1))
requests = [(n, o) for n, o in operations if "do" in o]
NEEDED = ("id", "fd", "side", "generation", "to", "framing", "length", "data")
# Who detaches often has nothing to try the others on, which want a head that waits.
OFTEN = {"router-detach": 1, "queue-abort": 2, "queue-del": 2, "listener-del": 2, "route": 20, "forward": 10, "queue-add": 10,
         "cancel": 15}
weights = [OFTEN.get(o["name"], 5) for _, o in requests]


class Netlink:
    """A socket that sends any bytes as a command, and reads until it is answered."""

    def __init__(self):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.sock.setsockopt(270, 10, 1)  # NETLINK_CAP_ACK
        self.sock.setsockopt(270, 11, 1)  # NETLINK_EXT_ACK
        limit = struct.pack("qq", int(DEADLINE), 0)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.sequence = 0
        # Of objects that replies and events told of, by the operation's set of attributes; and of
        # queues whose head waits.
        self.ids = {"router": [], "listener": [], "queue": [], "head": []}

    def ask(self, family, flags, payload):
        """(errno, words) of the answer."""
        self.sequence += 1
        self.sock.send(struct.pack("=IHHII", 16 + len(payload), family, flags, self.sequence, 0) + payload)
        while True:
            try:
                data = self.sock.recv(1 << 18)
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                # Too many events for a reader that does not care; the answer may be lost, too.
                return 0, ""
            while data:
                length, kind, flags_back, sequence, _ = struct.unpack_from("=IHHII", data)
                body, data = data[16:length], data[(length + 3) & ~3 :]
                if sequence == self.sequence and kind == NLMSG_ERROR:
                    return -struct.unpack_from("=i", body)[0], words(body[20:])
                if sequence == self.sequence and kind == NLMSG_DONE:
                    return -struct.unpack_from("=i", body)[0], "(of a dump)"
                if kind == family and body[4:8] == struct.pack("=HH", 8, 1):
                    self.learn(body[0], struct.unpack_from("=I", body, 8)[0])

    def learn(self, number, one):
        told = spec["operations"]["list"][number - 1]
        for what in {told["attribute-set"], told["name"]} & set(self.ids):
            self.ids[what] = self.ids[what][-8:] + [one]

    def family(self):
        name = spec["name"].encode() + b"\0"
        payload = struct.pack("=BBHHH", 3, 1, 0, 4 + len(name), 2) + name + bytes(-len(name) % 4)
        self.sock.send(struct.pack("=IHHII", 16 + len(payload), 16, REQUEST, 0, 0) + payload)
        data = self.sock.recv(1 << 16)
        at = 20
        while at < len(data):
            length, kind = struct.unpack_from("=HH", data, at)
            if kind == 1:
                return struct.unpack_from("=H", data, at + 4)[0]
            at += (length + 3) & ~3
        raise RuntimeError("no family")


def words(data):
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if kind & 0x3FFF == NLMSGERR_MSG:
            return data[4:length].rstrip(b"\0").decode()
        data = data[(length + 3) & ~3 :]
    return ""


class Attacker:
    """One thread's generator of commands, its descriptors and its netlink socket."""

    def __init__(self, seed, spared):
        self.random, self.spared = random.Random(seed), spared
        self.netlink, self.sockets = Netlink(), []
        self.family = self.netlink.family()
        self.sent = self.refused = 0
        self.accepted = set()
        self.mute = []

    def run(self, going):
        while going(self.sent):
            if self.random.random() < 0.2:
                self.descriptors()
            if self.random.random() < 0.04:
                self.scene()
            self.command()
            if self.random.random() < 0.01:
                # The owner of whatever it attached is gone.
                self.netlink.sock.close()
                self.netlink = Netlink()
        self.netlink.sock.close()
        for s in self.sockets:
            s.close()

    def scene(self):
        """A client whose head waits, and a back queue, in good order: for commands to break."""
        server, listening = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        near, c = (socket.create_connection(s.getsockname()) for s in (server, listening))
        self.sockets += [listening, near, c, server.accept()[0]]
        server.close()
        c.send(HEAD + bytes(3000))
        for name, values in (("router-attach", {}), ("listener-add", {"fd": listening.fileno()}),
                             ("queue-add", {"fd": near.fileno(), "side": 2})):
            number, operation = next((n, o) for n, o in requests if o["name"] == name)
            payload = b"".join(struct.pack("=HHI", 8, numbers[operation["attribute-set"], key], value)
                               for key, value in values.items())
            self.netlink.ask(self.family, REQUEST | ACK, struct.pack("=BBH", number, 1, 0) + payload)

    def descriptors(self):
        """A new descriptor of a random kind, or one less; what is connected may say something."""
        while len(self.sockets) > DESCRIPTORS:
            self.sockets.pop(0).close()
        if self.sockets and self.random.random() < 0.5:
            s = self.random.choice(self.sockets)
            if self.random.random() < 0.6:
                return self.speak(s)
            self.sockets.remove(s)
            return s.close()
        kind = self.random.randrange(9)
        if kind == 0:
            self.sockets += socket.socketpair()
        elif kind == 1:
            self.sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        elif kind == 2:
            self.sockets.append(socket.socket(socket.AF_INET6))
        elif kind == 3:
            self.sockets += [open(p, "rb", buffering=0) for p in ("/proc/self/exe", "/dev/null")]
        elif kind == 4:
            r, w = os.pipe()
            self.sockets += [os.fdopen(r, "rb", buffering=0), os.fdopen(w, "wb", buffering=0)]
        else:
            s = socket.create_server(("127.0.0.1", 0))
            c = socket.create_connection(s.getsockname())
            for one in (s, c):
                one.setblocking(False)
            self.sockets += [s, c]
            if kind == 6:
                try:
                    c.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
                except OSError:
                    pass  # no TLS in this kernel
            if kind == 7:
                s.shutdown(socket.SHUT_RDWR)
            if kind == 8:
                self.sockets.append(s.accept()[0])

    def speak(self, s):
        if not isinstance(s, socket.socket):
            return
        data = self.random.choice([HEAD, HEAD + b"x" * 3000, b"HTTP/1.1 200 OK\r\n\r\n", self.random.randbytes(100)])
        try:
            s.setblocking(False)
            s.send(data)
        except OSError:
            pass  # not connected, or no room: as it may be

    def command(self):
        number, operation = self.random.choices(requests, weights)[0]
        listed = operation["do"].get("request", {}).get("attributes", [])
        space = operation["attribute-set"]
        if self.random.random() < 0.02:
            listed = [a["name"] for a in sets[space]]
        payload = b""
        # Many are well formed, so that they get as far as what they say.
        self.broken = self.random.choice([0, 0, 0.1])
        for attribute in sets[space]:
            # Those without which the command says nothing, and the others.
            chosen = 0.95 if attribute["name"] in NEEDED else 0.08
            if attribute["name"] not in listed:
                chosen = 0.01 if self.broken else 0
            if self.random.random() < chosen:
                payload += self.attribute(space, attribute, number)
        if number == self.random.randrange(60):
            number = self.random.randrange(256)
        if self.random.random() < 0.02:
            payload += self.random.randbytes(self.random.randrange(40))
        version = 1 if self.random.random() < 0.98 else self.random.randrange(256)
        flags = REQUEST | ACK | (DUMP if self.random.random() < 0.03 else 0)
        head = struct.pack("=BBH", number, version, 0)
        code, said = self.netlink.ask(self.family, flags, head + payload)
        self.sent += 1
        if not code:
            self.accepted.add(operation["name"])
        else:
            self.refused += 1
            if not said and code not in WORDLESS:
                self.mute.append(f"{operation['name']}: {os.strerror(code)}, and no word: {payload!r}")

    def attribute(self, space, attribute, operation):
        kind, name = numbers[space, attribute["name"]], attribute["name"]
        value = self.value(space, attribute)
        if (spec["operations"]["list"][operation - 1]["name"], name) == ("router-takeover", "id"):
            while value in self.spared:
                value = self.value(space, attribute)
        raw = {"u16": "=H", "u32": "=I", "uint": "=Q"}.get(attribute["type"])
        data = value if raw is None else struct.pack(raw, value % (1 << 8 * struct.calcsize(raw)))
        how = self.random.randrange(5) if self.random.random() < self.broken else None
        if how == 0:
            data = data[: self.random.randrange(len(data) + 1)]
        elif how == 1:
            data += self.random.randbytes(self.random.randrange(1, 9))
        elif how == 2:
            kind |= NESTED
        elif how == 3:
            data = struct.pack("=HH", 200, kind) + data
        length = self.random.randrange(1 << 16) if how == 4 else 4 + len(data)
        return struct.pack("=HH", length & 0xFFFF, kind) + data + bytes(-len(data) % 4)

    def value(self, space, attribute):
        name, kind, r = attribute["name"], attribute["type"], self.random
        if kind == "flag":
            return b""
        if kind == "binary":
            most = attribute.get("checks", {}).get("max-len", 65000)
            most = consts.get(most, most)
            return r.choice([HEAD, HEAD, HEAD, b"", b"x", b"x,y", b"A: b\r\n", bytes(most), bytes(min(most + 1, 65500))])
        if name == "fd":
            mine = [s.fileno() for s in self.sockets] or [0]
            return r.choice([r.choice(mine)] * 9 + [r.randrange(1 << 31)])
        if name in ("id", "to"):
            known = self.netlink.ids[space] or [1]
            waits = self.netlink.ids["head"] if space == "queue" and name == "id" else []
            # Ids are given one after the other: those of others can be guessed.
            near = max(1, known[-1] + r.randrange(-20, 20))
            return r.choice([r.choice(known)] * 6 + [r.choice(waits or known)] * 4 + [near, r.randrange(1 << 32)])
        if name == "side":
            return r.choice([1, 2, 2, 3])
        if name == "generation":
            return r.choice([1, 1, 1, 1, 0, 2, 3])
        if name in ("framing", "to-framing"):
            return r.choice([0, 1, 1, 1, 2, 3, 4, 5])
        if name == "length":
            return r.choice([0, 100, 3000, 3000, 1 << 20, 1 << 20, (1 << 64) - 1])
        if name == "grace":
            return r.choice([0, 50, 5000, 1 << 30])
        checks = attribute.get("checks", {})
        if r.random() < 0.9:
            least, most = (consts.get(c, c) for c in (checks.get("min", 0), checks.get("max", 1 << 16)))
            return r.randint(least, most)
        return r.choice([0, 1, 5, 64, 1000, 1 << 16, (1 << 32) - 1, r.randrange(1 << 32), r.randrange(1 << 64)])


def attack(seed, spared, elsewhere):
    """A process of attackers; says what they did, and ends with 1 if something was wrong."""
    if elsewhere:
        os.unshare(os.CLONE_NEWNET)
        os.system("ip link set lo up")
    until, wrong, attackers = time.monotonic() + SECONDS, [], []

    def one(n):
        try:
            attackers.append(Attacker(seed + n, spared))
            attackers[-1].run(lambda _: time.monotonic() < until)
        except Exception:  # whichever it is, is the result
            wrong.append(f"thread {n}: {traceback.format_exc()}")

    threads = [threading.Thread(target=one, args=[n]) for n in range(THREADS)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    end_orphans().close()
    sent, refused = sum(a.sent for a in attackers), sum(a.refused for a in attackers)
    wrong += [mute for a in attackers for mute in a.mute]
    never = {o["name"] for _, o in requests}.difference(*(a.accepted for a in attackers))
    # A slow machine sends few.
    if sent > 1000 and len(never) > 3 or refused < 50:
        wrong.append("the commands are not random enough")
    print(f"# {sent} commands, {refused} of them refused; never accepted: {never}", *wrong[:20], sep="\n# ", flush=True)
    sys.exit(bool(wrong))


def again():
    """The seeds that found something."""
    mute = []
    for seed in FOUND:
        attacker = Attacker(seed, set())
        attacker.run(lambda sent: sent < COMMANDS)
        mute += attacker.mute
        print(f"# seed {seed}: {attacker.refused} of {attacker.sent} commands refused, accepted {sorted(attacker.accepted)}", flush=True)
    end_orphans().close()
    assert not mute, "\n".join(mute[:20])


def storm():
    """All of it at once."""
    context = multiprocessing.get_context("fork")
    with Path() as p:
        processes = [context.Process(target=attack, args=(SEED + 1000 * n, {p.r.me["id"]}, n == 1))
                     for n in range(2)]
        for child in processes:
            child.start()
        x, n = open_path(p), 0
        while any(child.is_alive() for child in processes):
            n += 1
            exchange(p, x, n, (100, 30000, 300000)[n % 3])
            x.c.sendall(HEAD)
            x.generation = p.r.event("head", x.f)["generation"]
        codes = [child.exitcode for child in processes]
        wait_for("what the attackers had is gone",
                 lambda: {q["router"] for q in p.r.dump("queue-get")} == {p.r.me["id"]})
        print(f"# {n} exchanges beside it", flush=True)
        assert codes == [0, 0], f"the attackers ended with {codes}"
        assert n > 3, "the traffic stood still"


def end_orphans():
    """Ends what routers without an owner would keep for their grace time."""
    watch = Router()
    for r in watch.dump("router-get"):
        if r["port"] != 0:
            continue
        try:
            heir = Router(takeover=r["id"])
        except NlError as e:
            if e.error != errno.ENOENT:  # its time was up
                raise
        else:
            heir.do("router-detach", grace=0)
            heir.close()
    return watch


def nothing_left():
    watch = end_orphans()
    wait_for("all objects are gone", lambda: len(watch.dump("router-get")) == 1
             and not watch.dump("queue-get") and not watch.dump("listener-get"))
    watch.close()
    wait_for("no reference is left", lambda: open("/sys/module/underpass/refcnt").read() == "0\n")


print(f"# seed {SEED}, {SECONDS} s", flush=True)
tap([("seeds that found something", again),
     ("every refusal has words, and the traffic beside it is exact", storm),
     ("nothing is left", nothing_left)])
