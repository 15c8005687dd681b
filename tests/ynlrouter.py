"""A router for tests: the kernel tree's own YNL client, with our spec, as the owner of queues.

So what the tests send and read does not come from the hands that wrote the module. Every
wait has a deadline and looks at the event it waits for.
"""

import errno
import os
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.environ["YNL"], "pyynl"))
from lib import NlError, YnlFamily  # noqa: E402
from lib.ynl import GenlProtocol  # noqa: E402

# A guest without KVM, with KASAN and lockdep, may need this long for what takes a moment.
DEADLINE = 60.0


class Client(YnlFamily):
    """The stock client, which counts overflows where it would give up."""

    overflows = 0

    def _recvmsg(self, flags=0):
        while True:
            try:
                return super()._recvmsg(flags)
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                # The error stands before what is in the buffer, which is still good.
                self.overflows += 1


class Router:
    """An attached router. Events are kept until somebody waits for them."""

    client = Client

    def __init__(self, attach=None, takeover=None):
        # The client keeps family numbers; a module that was loaded again has another.
        GenlProtocol.genl_family_name_to_id = {}
        self.ynl = self.client(os.environ["SPEC"], schema=False)
        self.kept = []
        if takeover is None:
            self.me = self.ynl.do("router-attach", attach or {})
        else:
            self.me = self.ynl.do("router-takeover", {"id": takeover})

    def do(self, name, **values):
        """A command; underscores become dashes."""
        return self.ynl.do(name, {k.replace("_", "-"): v for k, v in values.items()})

    def dump(self, name):
        return self.ynl.dump(name, {})

    def close(self):
        self.ynl.close()

    def listen(self, family=socket.AF_INET, **values):
        """A listener on loopback; returns (listener, address)."""
        host = "127.0.0.1" if family == socket.AF_INET else "::1"
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.bind((host, 0))
            s.listen(128)
            return self.do("listener-add", fd=s.fileno(), **values), s.getsockname()

    def back(self, address):
        """A queue connected to `address`."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.connect(address)
            return self.do("queue-add", fd=s.fileno(), side="back")["id"]

    def event(self, name, queue=None):
        """The next event `name` (of `queue`)."""
        deadline = time.monotonic() + DEADLINE
        while True:
            for i, e in enumerate(self.kept):
                if e["name"] == name and queue in (None, e["msg"]["id"]):
                    del self.kept[i]
                    return e["msg"]
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no event {name} of queue {queue}; there were {self.kept}")
            for e in self.ynl.poll_ntf(left):
                self.kept.append(e)
                break

    def events_now(self):
        """Names of all events that are there without waiting."""
        self.ynl.check_ntf()
        while not self.ynl.async_msg_queue.empty():
            self.kept.append(self.ynl.async_msg_queue.get())
        return [e["name"] for e in self.kept]


def wait_for(what, condition):
    """Until condition() is true; TimeoutError says `what`."""
    deadline = time.monotonic() + DEADLINE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {DEADLINE} s: {what}")
        time.sleep(0.02)  # between two looks at the condition
    return value


def read_exactly(s, n):
    data = bytearray()
    while len(data) < n:
        part = s.recv(min(1 << 16, n - len(data)))
        if not part:
            raise EOFError(f"FIN after {len(data)} of {n} bytes")
        data += part
    return bytes(data)


def read_to_end(s):
    data = bytearray()
    while part := s.recv(1 << 16):
        data += part
    return bytes(data)


def tap(tests):
    """Runs (title, function) pairs, one TAP point each; the exit code tells if all passed."""
    print(f"TAP version 13\n1..{len(tests)}", flush=True)
    failed = 0
    for n, (title, test) in enumerate(tests, 1):
        try:
            test()
            print(f"ok {n} - {title}", flush=True)
        except Exception as e:  # any failure of a test is its result
            failed += 1
            print(f"not ok {n} - {title}\n# {type(e).__name__}: {e}", flush=True)
            import traceback

            for line in traceback.format_exc().splitlines():
                print("#   " + line, flush=True)
    sys.exit(1 if failed else 0)
