#!/usr/bin/env python3
"""Commands of a router while another one takes over, or looks at what is half ended: the
new one must not own a queue that it does not know of, nothing is done to its queues behind its back, and a
listener that it is shown listens.

A command is held in its middle: it needs the lock of the socket, which a send() keeps as long as
the page that it is to send from is not there (userfaultfd). Of a listening socket, setsockopt() does.
"""

import contextlib
import ctypes
import mmap
import os
import socket
import struct
import subprocess
import sys
import threading

from scene import DEBUG, HEAD, Path, connect, expect_reset
from ynlrouter import Client, NlError, Router, tap, wait_for

USERFAULTFD = 323
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04
REGISTER_MISSING = 1
TCP_MD5SIG, MD5SIG_SIZE = 14, 216
EPERM = 1
libc = ctypes.CDLL(None, use_errno=True)


class Missing:
    """A page that is not there until somebody brings it; who reads it waits."""

    def __enter__(self):
        # The one before it is there.
        self.page = mmap.mmap(-1, 2 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.page[0] = 0
        self.place = ctypes.c_char.from_buffer(self.page)
        self.start = ctypes.addressof(self.place) + mmap.PAGESIZE
        # Also the kernel's own reading waits.
        self.fd = libc.syscall(USERFAULTFD, 0)
        assert self.fd >= 0, os.strerror(ctypes.get_errno())
        self.ask(UFFDIO_API, struct.pack("QQQ", 0xAA, 0, 0))
        self.ask(UFFDIO_REGISTER, struct.pack("QQQQ", self.start, mmap.PAGESIZE, REGISTER_MISSING, 0))
        return self

    def ask(self, request, argument):
        argument = ctypes.create_string_buffer(argument, 32)
        assert libc.ioctl(self.fd, ctypes.c_ulong(request), argument) == 0, os.strerror(ctypes.get_errno())

    def wanted(self):
        """Waits until somebody waits for it."""
        message = os.read(self.fd, 32)
        assert message[0] == 0x12, message

    def bring(self):
        self.ask(UFFDIO_ZEROPAGE, struct.pack("QQQq", self.start, mmap.PAGESIZE, 0, 0))

    def __exit__(self, *_):
        os.close(self.fd)
        del self.place
        self.page.close()


def beside_a_takeover():
    with Path() as p, Missing() as missing:
        near = connect(p.server.getsockname())
        far, _ = p.server.accept()
        sent, refused = [], []

        def send():
            sent.append(libc.send(near.fileno(), ctypes.c_void_p(missing.start), ctypes.c_size_t(1), 0))

        def add():
            try:
                p.r.do("queue-add", fd=near.fileno(), side="back")
            except NlError as e:
                refused.append(e)

        sender, adder = threading.Thread(target=send), threading.Thread(target=add)
        sender.start()
        missing.wanted()
        before = waiting_for_the_lock()
        adder.start()
        wait_for("the addition waits for the socket", lambda: waiting_for_the_lock() > before)
        with_new = Router(takeover=p.r.me["id"])
        known = [q["id"] for q in with_new.dump("queue-get")]
        missing.bring()
        sender.join()
        adder.join()
        old, p.r = p.r, with_new
        left = [q["id"] for q in p.r.dump("queue-get") if q["id"] not in known]
        assert sent == [1], sent
        assert refused and refused[0].error == EPERM and "taken over" in str(refused[0]), (refused, left)
        wait_for("and it is gone", lambda: not p.r.dump("queue-get"))
        near.close()
        expect_reset(far)
        old.close()


def late():
    """A command that passed the first look at whose queue it is, and was done only after the takeover."""
    with Path() as p, Missing() as missing:
        near = connect(p.server.getsockname())
        far, _ = p.server.accept()
        back = p.r.do("queue-add", fd=near.fileno(), side="back")["id"]
        new = []

        def begin(job):
            threading.Thread(target=job, daemon=True).start()

        def give(name, **values):
            """Sends a command and reads no answer: two threads do so with one socket."""
            p.r.ynl.sock.send(p.r.ynl._encode_message(p.r.ynl.ops[name], values, [], 1))

        begin(lambda: libc.send(near.fileno(), ctypes.c_void_p(missing.start), ctypes.c_size_t(1), 0))
        missing.wanted()
        begin(lambda: give("send", **{"id": back, "data": b"x", "if-quiet": True}))
        wait_for("the first command has the queue", lambda: waiting_for_the_lock() == 1)
        begin(lambda: give("queue-abort", id=back))
        wait_for("the second one waits for it", lambda: waiting_for_the_lock("queue3end") == 1)
        begin(lambda: new.append(Router(takeover=p.r.me["id"])))
        wait_for("and so does the takeover", lambda: waiting_for_the_lock("offer_again") == 1)
        missing.bring()
        wait_for("the takeover", lambda: new)
        assert far.recv(2) == b"\0x"
        assert back in [q["id"] for q in new[0].dump("queue-get")], "the former router ended it"
        p.r = new[0]
        near.close()
        far.close()


def keep_locked(sock, missing):
    """setsockopt() that reads its first bytes without the lock, and the others with it. It sets nothing."""
    value = ctypes.c_void_p(missing.start - 8)
    result = libc.setsockopt(sock.fileno(), socket.IPPROTO_TCP, TCP_MD5SIG, value, MD5SIG_SIZE)
    assert result < 0, result


def listening_beside_a_takeover():
    """A listener that is added while another one takes over: it stays its owner's, with all who wait."""
    r = Router()
    with socket.create_server(("127.0.0.1", 0)) as listening, Missing() as missing:
        client = connect(listening.getsockname())
        refused = []

        def add():
            try:
                r.do("listener-add", fd=listening.fileno())
            except NlError as e:
                refused.append(e)

        keeper, adder = threading.Thread(target=keep_locked, args=(listening, missing)), threading.Thread(target=add)
        keeper.start()
        missing.wanted()
        adder.start()
        wait_for("the addition waits for the socket", lambda: waiting_for_the_lock() == 1)
        new = Router(takeover=r.me["id"])
        missing.bring()
        keeper.join()
        adder.join()
        assert refused and refused[0].error == EPERM and "taken over" in str(refused[0]), refused
        assert not new.dump("listener-get") and not new.dump("queue-get")
        listening.settimeout(5)
        listening.accept()[0].close()
        client.close()
    r.close()
    new.close()


def half_ended():
    """A listener that was ended, and whose socket cannot be let go yet: who takes over must not count on it."""
    r, other = Router(), Router()
    with socket.create_server(("127.0.0.1", 0)) as listening, Missing() as missing:
        number = r.do("listener-add", fd=listening.fileno())["id"]
        keeper = threading.Thread(target=keep_locked, args=(listening, missing))
        ender = threading.Thread(target=lambda: r.do("listener-del", id=number))
        keeper.start()
        missing.wanted()
        ender.start()
        wait_for("the end waits for the socket", lambda: waiting_for_the_lock() == 1)
        shown = [x for x in other.dump("listener-get") if x["id"] == number]
        missing.bring()
        keeper.join()
        ender.join()
        assert not shown, f"it is shown though it was ended: {shown}"
    r.close()
    other.close()


def of_two_at_once():
    """Of two who take over at once, the first is still at it when the second has seen the queues: it waited for one of
    them, and then does not get its CPU, which a loop has."""
    cpu, *others = sorted(os.sched_getaffinity(0), reverse=True)
    loop = f"import os; os.sched_setaffinity(0, [{cpu}]); os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"
    with Path() as p, Missing() as missing:
        near = connect(p.server.getsockname())
        far, _ = p.server.accept()
        busy = p.r.do("queue-add", fd=near.fileno(), side="back")["id"]
        client, parked, back, server = p.open(HEAD)
        p.r.do("route", id=parked, generation=1, to=back, framing="length", length=1, data=HEAD)
        p.r.do("cancel", id=parked, generation=1)
        number, first, second = p.r.me["id"], [], Router.__new__(Router)
        second.ynl, second.kept = Client(os.environ["SPEC"], schema=False), []
        threading.Thread(target=keep_busy, args=(p.r.ynl, near, busy, missing), daemon=True).start()
        wait_for("a command has the queue", lambda: waiting_for_the_lock() == 1)
        taker = threading.Thread(target=lambda: first.append(Router(takeover=number)))
        taker.start()
        wait_for("the first one waits for it", lambda: waiting_for_the_lock("offer_again") == 1)
        os.sched_setaffinity(0, others)
        os.sched_setaffinity(taker.native_id, {cpu})
        with subprocess.Popen([sys.executable, "-c", loop + "\nprint(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE) as looping:
            looping.stdout.readline()
            missing.bring()
            wait_for("the command is through", lambda: waiting_for_the_lock() == 0)
            second.me = second.do("router-takeover", id=number)
            seen = second.do("queue-get", id=parked)["generation"]
            early = list(first) or waiting_for_the_lock("offer_again") == 0
            looping.kill()
        taker.join()
        old, p.r = p.r, second
        now = p.r.do("queue-get", id=parked)["generation"]
        assert not early, "the first one was too quick"
        assert now == seen, f"generation {seen} is {now} now: what the owner says of it is stale"
        os.sched_setaffinity(0, {cpu, *others})
        for s in (client, server, near, far):
            s.close()
        old.close()


def keep_busy(ynl, near, queue, missing):
    """A command holds the queue until the page is there."""
    page = ctypes.c_void_p(missing.start)
    threading.Thread(target=lambda: libc.send(near.fileno(), page, ctypes.c_size_t(1), 0), daemon=True).start()
    missing.wanted()
    ynl.sock.send(ynl._encode_message(ynl.ops["send"], {"id": queue, "data": b"x", "if-quiet": True}, [], 1))


def waiting_for_the_lock(where="__lock_sock"):
    """Threads of ours that wait for the lock of a socket, or are in some function (those that wait for a mutex
    are not shown to be in mutex_lock())."""
    count = 0
    for thread in os.listdir("/proc/self/task"):
        # One that was joined may still be on its way out.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/self/task/{thread}/stack", encoding="ascii") as f:
                count += where in f.read()
    return count


TESTS = [
    ("a queue added beside a takeover is refused, and gone", beside_a_takeover),
    ("a command that was late for a takeover is refused", late),
    ("a listener added beside a takeover is refused, and nothing came of it", listening_beside_a_takeover),
    ("a listener is not shown once it was ended", half_ended),
    ("of two who take over at once the first changes nothing any more", of_two_at_once),
]
if DEBUG:
    print(f"TAP version 13\n1..{len(TESTS)}")
    for number, (title, _) in enumerate(TESTS, 1):
        print(f"ok {number} - {title} # SKIP this kernel has no userfaultfd")
    sys.exit(0)
tap(TESTS)
