"""For test scripts in Python that need the whole path: TAP, namespaces, router, back-ends.

Everything that is started here ends with the script: in-guest.sh gives each script
its own process, mount and network namespaces.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
# A guest without KVM, with KASAN and lockdep, may need this long for what takes a moment.
DEADLINE = 60.0
DEBUG = os.environ.get("UNDERPASS_KERNEL") == "debug"
ROUTER = os.environ.get("UNDERPASS_BIN", "/payload/bin/underpass")

# The three machines of the picture: client - front - back.
CLIENT, FRONT, BACK = "client", "front", "back"
ADDRESSES = {
    # link: (left namespace, its addresses, right namespace, its addresses)
    "outside": (CLIENT, ("10.1.0.1", "fd01::1"), FRONT, ("10.1.0.2", "fd01::2")),
    "inside": (FRONT, ("10.2.0.1", "fd02::1"), BACK, ("10.2.0.2", "fd02::2")),
}


def tap(tests):
    """Runs functions, whose first line of documentation is their title, as TAP points."""
    print(f"1..{len(tests)}", flush=True)
    failed = 0
    for number, test in enumerate(tests, 1):
        title = test.__doc__.strip().splitlines()[0].rstrip(".")
        try:
            test()
            print(f"ok {number} - {title}", flush=True)
        except Exception:  # whatever it is, the point failed, and the rest shall run
            failed += 1
            print(f"not ok {number} - {title}")
            print("# " + traceback.format_exc().rstrip().replace("\n", "\n# "), flush=True)
    sys.exit(1 if failed else 0)


def wait_for(what, condition, seconds=DEADLINE):
    """What `condition` returns, as soon as it is true; an error after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"after {seconds:g} s still not: {what}")
        time.sleep(0.02)  # between two looks at the condition


def command(*argv):
    """Runs a command that must succeed; returns what it said."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout


def make_namespaces():
    """The namespaces, joined by veth, with IPv4 and IPv6 addresses that work at once."""
    for name in (CLIENT, FRONT, BACK):
        command("ip", "netns", "add", name)
        command("ip", "-n", name, "link", "set", "lo", "up")
    for link, (left, left_addresses, right, right_addresses) in ADDRESSES.items():
        command("ip", "link", "add", link, "netns", left, "type", "veth", "peer", "name", link, "netns", right)
        for name, addresses in ((left, left_addresses), (right, right_addresses)):
            for address in addresses:
                # Without nodad an IPv6 address is unusable for a second.
                width, nodad = ("64", ["nodad"]) if ":" in address else ("24", [])
                command("ip", "-n", name, "address", "add", f"{address}/{width}", "dev", link, *nodad)
            command("ip", "-n", name, "link", "set", link, "up")


@contextlib.contextmanager
def inside(namespace):
    """Sockets made in this block belong to that namespace."""
    with open("/proc/self/ns/net", encoding="ascii") as home:
        with open(f"/run/netns/{namespace}", encoding="ascii") as other:
            os.setns(other.fileno(), os.CLONE_NEWNET)
        try:
            yield
        finally:
            os.setns(home.fileno(), os.CLONE_NEWNET)


class Program:
    """A program in a namespace (or here), whose lines are kept as they come."""

    def __init__(self, argv, namespace=None):
        self.name = os.path.basename(argv[0])
        prefix = ["ip", "netns", "exec", namespace] if namespace else []
        self.process = subprocess.Popen(
            [*prefix, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.out, self.err = [], []
        self.readers = []
        for stream, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err)):
            self.readers.append(threading.Thread(target=self.keep, args=[stream, lines], daemon=True))
            self.readers[-1].start()

    @staticmethod
    def keep(stream, lines):
        with stream:
            for line in stream:
                lines.append(line.rstrip("\n"))

    def line(self, what, lines, condition, seconds=DEADLINE):
        """The first line for which `condition` holds, when it comes."""

        def look():
            ended = self.process.poll() is not None
            if ended:
                # What it said last may still be on its way here.
                for reader in self.readers:
                    reader.join(seconds)
            found = next((line for line in list(lines) if condition(line)), None)
            if found is None and ended:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.err}")
            return found

        return wait_for(f"{self.name}: {what}", look, seconds)

    def stop(self):
        """Asks it to end, and waits until it has."""
        self.process.terminate()
        return self.process.wait(timeout=DEADLINE)


class Backend(Program):
    """peers/backend.py, listening."""

    def __init__(self, address, *options, namespace=None):
        super().__init__([os.path.join(HERE, "peers", "backend.py"), address, *options], namespace)
        self.line("listening", self.out, lambda line: '"listening"' in line)

    def event(self, what, **values):
        """The first event of that kind with those values, when it comes."""

        def fits(line):
            event = json.loads(line)
            return event["what"] == what and values.items() <= event.items()

        return json.loads(self.line(f"event {what} {values}", self.out, fits))


class Mirror(Program):
    """peers/mirror.py as the back-end, listening."""

    def __init__(self, address):
        super().__init__([os.path.join(HERE, "peers", "mirror.py"), address], BACK)
        self.line("listening", self.out, lambda line: line == "listening")


class Router(Program):
    """The router with a configuration, listening on all its addresses.

    Metered, it runs under strace, so that `touched` can tell what passes through it.
    """

    TRACE = "/tmp/router.strace"

    def __init__(self, config, listeners, namespace=None, metered=False, options=(), program=ROUTER):
        path = "/tmp/underpass.toml"
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        # -D: the router, not strace, is the child; -s 0: no contents.
        calls = "recvfrom,recvmsg,recvmmsg,sendto,sendmsg,sendmmsg"
        strace = ["strace", "-D", "-f", "-qq", "-s", "0", "-e", f"trace={calls}", "-o", self.TRACE]
        super().__init__([*(strace if metered else []), program, "run", *options, path], namespace)
        for address in listeners:
            self.line(f"listens on {address}", self.err, lambda line, a=address: line.endswith(f"listening on {a}"))

    def exchange(self, seconds=DEADLINE, **values):
        """The first access-log line with those fields, when it comes, as a dictionary."""

        def fields(line):
            return dict(pair.split("=", 1) for pair in line.split(" "))

        def fits(line):
            return values.items() <= fields(line).items()

        return fields(self.line(f"access-log line with {values}", self.out, fits, seconds))

    def touched(self):
        """Bytes that the process has read and written in its life, by any system call.

        The kernel's accounting of a process (rchar, wchar) knows read, write, sendfile and
        splice, but neither recv nor send: those are strace's.
        """
        with open(f"/proc/{self.process.pid}/io", encoding="ascii") as file:
            counters = dict(line.split(": ") for line in file.read().splitlines())
        total = int(counters["rchar"]) + int(counters["wchar"])
        with open(self.TRACE, encoding="utf-8") as file:
            for line in file:
                if "mmsg" in line:
                    raise RuntimeError(f"this meter cannot count the bytes of: {line}")
                result = re.search(r" = (\d+)$", line)
                total += int(result[1]) if result else 0
        return total


def ynl(namespace, *what):
    """What the kernel tree's YNL client is told by the module."""
    prefix = ["ip", "netns", "exec", namespace] if namespace else []
    client = [sys.executable, os.path.join(os.environ["YNL"], "pyynl", "cli.py")]
    return json.loads(command(*prefix, *client, "--no-schema", "--output-json", "--spec", os.environ["SPEC"], *what))


def stats(namespace=None):
    """The module's counters."""
    return ynl(namespace, "--do", "stats-get")
