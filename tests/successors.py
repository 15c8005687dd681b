"""What tests of routers that come and go have in common: how they begin and end, a client's
requests, whose contents are checked, and clients that never stop. After each test the module must have nothing left of any
of it: no router, listener or queue in its dumps, and no socket, for each holds a reference of the module.
"""

import contextlib
import http.client
import itertools
import json
import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from content import blocks, digest  # noqa: E402
from harness import DEADLINE, DEBUG, Backend, Router, wait_for  # noqa: E402
from ynlrouter import Client  # noqa: E402

FRONT, BACK = ("127.0.0.1", 8080), ("127.0.0.1", 9001)
LENGTH = (2 if DEBUG else 16) << 20
SMALL = 200_000

CONFIG = """
engine = "kernel"
[[listener]]
address = "127.0.0.1:8080"
[pool.stored]
backends = ["127.0.0.1:9001"]
[pool.scripted]
backends = ["127.0.0.1:9002"]
[[route]]
pool = "stored"
[[route]]
path = "/scripted"
pool = "scripted"
mode = "optimistic"
[route.heads]
response-remove = ["Secret"]
# A guest without KVM, under load, needs longer than the defaults for what takes a moment.
[limits]
connect-ms = 60000
ask-ms = 60000
asking-ms = 60000
grace-ms = 29000
"""

backend = Backend("%s:%d" % BACK, "--digest", "crc32")
module = Client(os.environ["SPEC"], schema=False)

# All routers, the last one running: what went wrong may have begun with an earlier one.
routers = []


def start(config=CONFIG, listeners=("127.0.0.1:8080",), **how):
    routers.append(Router(config, listeners, **how))
    return routers[-1]


def tell():
    """Prints what routers and back-end said of exchanges that went wrong, and all of the last router."""
    for number, router in enumerate(routers):
        wrong = [line for line in router.out if "reason=- " not in line]
        for line in (router.err + wrong if wrong or router is routers[-1] else []):
            print(f"# router {number}: {line}")
    for line in backend.err + [line for line in backend.out if '"broken"' in line][-20:]:
        print(f"# back-end: {line}")


def replace(former, **how):
    """Another router takes over from one that lives. That one is told, and ends well by itself."""
    router = start(options=["--takeover"], **how)
    assert former.process.wait(DEADLINE) == 0, former.err
    former.line("why it ends", former.err, lambda line: "took this router over" in line)
    return router


def kill(router):
    """SIGKILL; it is gone when this returns."""
    router.process.kill()
    router.process.wait(DEADLINE)


def follow(router, number, **how):
    """The router goes, each time in another way, and the next one comes."""
    match number % 3:
        case 0:
            kill(router)
            return start(**how)
        case 1:
            router.process.send_signal(signal.SIGUSR2)
            assert router.process.wait(DEADLINE) == 0, router.err
            return start(**how)
        case _:
            return replace(router, **how)


def nothing_left():
    """True if the module has neither routers nor listeners nor queues, nor sockets of theirs."""
    with open("/sys/module/underpass/refcnt", encoding="ascii") as file:
        held = int(file.read())
    return not held and not any(module.dump(f"{kind}-get", {}) for kind in ("router", "listener", "queue"))


@contextlib.contextmanager
def everything_ends(router_now):
    """What `router_now` returns is stopped behind the block; then nothing is left."""
    try:
        yield
    except BaseException:
        tell()
        kill(router_now())
        raise
    assert router_now().stop() in (0, 3), router_now().err
    wait_for("nothing is left in the module", nothing_left)


def connect():
    connection = http.client.HTTPConnection(*FRONT, timeout=DEADLINE)
    connection.connect()
    return connection


def get(connection, target=f"/content/{SMALL}", length=SMALL):
    """A GET, whose content is checked."""
    connection.request("GET", target)
    check_content(connection.getresponse(), length)


def check_content(response, length=SMALL):
    body = response.read()
    got = (response.status, len(body), digest("crc32", [body]))
    assert got == (200, length, digest("crc32", blocks(length))), (got, response.getheaders(), body[:80])


def begin_put(connection, target, length):
    connection.putrequest("PUT", target)
    connection.putheader("Content-Length", str(length))
    connection.endheaders()


def check_put(response, length):
    body = response.read()
    assert response.status == 201, (response.status, body)
    assert json.loads(body) == {"bytes": length, "crc32": digest("crc32", blocks(length))}, body


def moved(side, more_than):
    """Waits until a queue on that side has given more than so many bytes."""
    def look():
        return any(q["side"] == side and q["rx-bytes"] > more_than for q in module.dump("queue-get", {}))

    wait_for(f"{more_than} bytes moved", look)


class Load:
    """Clients that upload and download over connections that they keep, and check everything."""

    def __init__(self, clients):
        self.ends, self.errors, self.count = threading.Event(), [], 0
        self.counting = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=[n], daemon=True) for n in range(clients)]
        for thread in self.threads:
            thread.start()

    def run(self, client):
        try:
            connection = connect()
        except Exception as error:  # as below
            self.errors.append(f"client {client}: {error!r}")
            return
        for number in itertools.count():
            if self.ends.is_set():
                return
            try:
                if (client + number) % 2:
                    get(connection)
                else:
                    connection.request("PUT", f"/{client}/{number}", body=blocks(SMALL), headers={"Content-Length": str(SMALL)})
                    check_put(connection.getresponse(), SMALL)
            except Exception as error:  # all of them are told at the end
                self.errors.append(f"client {client}, request {number}: {error!r}")
                return
            with self.counting:
                self.count += 1

    def progress(self):
        """Waits until some more requests were answered."""
        before = self.count
        wait_for("requests are answered", lambda: self.errors or self.count > before + 2)
        assert not self.errors, self.errors

    def end(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(DEADLINE)
        assert not self.errors, self.errors
        return self.count
