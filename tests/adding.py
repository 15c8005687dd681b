#!/usr/bin/env python3
"""A router that adds a queue while another one takes over: the new one must not own a queue that it
does not know of.

The addition is held in its middle: it needs the lock of the socket, which a send() keeps as long as
the page that it is to send from is not there (userfaultfd).
"""

import ctypes
import mmap
import os
import struct
import sys
import threading

from scene import DEBUG, Path, connect, expect_reset
from ynlrouter import NlError, Router, tap, wait_for

USERFAULTFD = 323
UFFDIO_API, UFFDIO_REGISTER, UFFDIO_ZEROPAGE = 0xC018AA3F, 0xC020AA00, 0xC020AA04
REGISTER_MISSING = 1
EPERM = 1
libc = ctypes.CDLL(None, use_errno=True)


class Missing:
    """A page that is not there until somebody brings it; who reads it waits."""

    def __enter__(self):
        self.page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.place = ctypes.c_char.from_buffer(self.page)
        self.start = ctypes.addressof(self.place)
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


def waiting_for_the_lock():
    """Threads of ours that wait for the lock of a socket."""
    count = 0
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/stack", encoding="ascii") as f:
            count += "__lock_sock" in f.read()
    return count


TITLE = "a queue added beside a takeover is refused, and gone"
if DEBUG:
    print(f"TAP version 13\n1..1\nok 1 - {TITLE} # SKIP this kernel has no userfaultfd")
    sys.exit(0)
tap([(TITLE, beside_a_takeover)])
