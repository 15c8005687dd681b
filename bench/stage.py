"""The stage that every rival plays on: client - front - back, three namespaces joined by veth as the
tests join them, a fourth link from client to back for what is direct, and programs in them.

Nothing here knows a rival.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

# The tests' own stage, which lies beside this folder in a checkout and in the guest.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests"))
from harness import BACK, CLIENT, FRONT, command, inside, make_namespaces, wait_for  # noqa: E402

BIN = "/payload/bin"
# Where clients find the front end; where the front end finds the back-end; and where clients do.
LISTEN, BACKEND, DIRECT = "10.1.0.2:80", "10.2.0.2:80", "10.3.0.2:80"


def build():
    """The namespaces and the back-end, which serves all rivals."""
    make_namespaces()
    command("ip", "link", "add", "direct", "netns", CLIENT, "type", "veth", "peer", "name", "direct", "netns", BACK)
    for name, address in ((CLIENT, "10.3.0.1/24"), (BACK, "10.3.0.2/24")):
        command("ip", "-n", name, "address", "add", address, "dev", "direct")
        command("ip", "-n", name, "link", "set", "direct", "up")
    if os.environ.get("BIG_TCP"):
        big_tcp()
    start([f"{BIN}/origin", "0.0.0.0:80"], BACK, DIRECT)


def big_tcp():
    """All links take TCP packets over IPv4 of up to three times 64 KiB from the stack, and give such to it."""
    for name in (CLIENT, FRONT, BACK):
        with inside(name):
            links = [link for _, link in socket.if_nameindex() if link != "lo"]
        for link in links:
            command("ip", "-n", name, "link", "set", link, "gso_ipv4_max_size", "196608", "gro_ipv4_max_size", "196608")


def many_ports():
    """Enough of them for ten thousand connections, and those that were closed just before."""
    for name in (CLIENT, FRONT):
        command("ip", "netns", "exec", name, "sysctl", "-q", "net.ipv4.ip_local_port_range=10000 65000")


class Program:
    """A program in a namespace. What it says goes to a file, where nobody spends time on it."""

    def __init__(self, argv, namespace):
        self.name = os.path.basename(argv[0])
        with tempfile.NamedTemporaryFile("w", prefix=f"{self.name}-", suffix=".log", delete=False) as log:
            self.log = log.name
            # On standard output goes the access log of those who have no switch for it.
            self.process = subprocess.Popen(
                ["ip", "netns", "exec", namespace, *argv],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def check(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {self.said()}")


def start(argv, namespace=FRONT, listens=LISTEN):
    """Starts a program, and returns it when clients can connect to it."""
    program = Program(argv, namespace)

    def reachable():
        program.check()
        with inside(CLIENT if listens != BACKEND else FRONT), socket.socket() as probe:
            host, port = listens.split(":")
            return probe.connect_ex((host, int(port))) == 0

    wait_for(f"{program.name} listens on {listens}", reachable)
    return program


@contextlib.contextmanager
def running(argv, namespace=FRONT, listens=LISTEN):
    """The program, as long as this block lasts. That it fails meanwhile is an error."""
    program = start(argv, namespace, listens)
    try:
        yield program
        program.check()
    except Exception as failure:
        failure.add_note(f"{program.name} said: {program.said()}")
        raise
    finally:
        if program.process.poll() is None:
            program.process.terminate()
            program.process.wait()


def write(name, text):
    """A file of that content; returns its path."""
    path = os.path.join("/tmp", name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def load_argv(address, values):
    pairs = [f"{name.replace('_', '-')}={value}" for name, value in values.items()]
    return ["ip", "netns", "exec", CLIENT, f"{BIN}/load", f"to={address}", *pairs]


def load(address, **values):
    """Runs the load generator as the client; returns its lines. values: see its main.rs."""
    argv = load_argv(address, values)
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv[4:])}: exit code {done.returncode}: {done.stderr}")
    return done.stdout.splitlines()


@contextlib.contextmanager
def load_beside(address, **values):
    """The load generator goes on as long as this block lasts."""
    argv = load_argv(address, {"do": "forever", **values})
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            began = process.stdout.readline() == "begun\n"
            yield
        finally:
            process.kill()
            said = process.stderr.read()
        # It ends by being killed, and not before.
        if not began or process.wait() != -signal.SIGKILL:
            raise RuntimeError(f"{' '.join(argv[4:])}: exit code {process.returncode}: {said}")


def settle():
    """Waits until the machine idles. The kernel tests its ciphers for a while after boot."""

    def ticks():
        with open("/proc/stat", encoding="ascii") as file:
            values = [int(value) for value in file.readline().split()[1:9]]
        return sum(values), values[3] + values[4]

    def idle():
        before, idle_before = ticks()
        time.sleep(1)  # the window that is looked at
        after, idle_after = ticks()
        return idle_after - idle_before >= 0.97 * (after - before)

    wait_for("the machine idles", idle, 600)
