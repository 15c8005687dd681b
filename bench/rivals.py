"""The rivals, one function each: sets it up on the front machine, yields the address that clients
shall connect to, and takes it down. To add one, write such a function here; the order
is that of the table.
"""

import contextlib
import subprocess

from stage import BACK, BACKEND, BIN, CLIENT, DIRECT, FRONT, LISTEN, command, running, wait_for, write

RIVALS = {}


def rival(name, title):
    """Makes a function a rival: `name` on the command line, `title` in tables."""

    def enter(function):
        RIVALS[name] = (title, contextlib.contextmanager(function))
        return function

    return enter


@rival("direct", "direct connection")
def direct():
    yield DIRECT


@contextlib.contextmanager
def routed():
    """Packets pass through the front machine, both ways."""
    command("ip", "netns", "exec", FRONT, "sysctl", "-q", "net.ipv4.ip_forward=1")
    command("ip", "-n", CLIENT, "route", "add", "10.2.0.0/24", "via", "10.1.0.2")
    command("ip", "-n", BACK, "route", "add", "10.1.0.0/24", "via", "10.2.0.1")
    yield
    command("ip", "-n", BACK, "route", "del", "10.1.0.0/24")
    command("ip", "-n", CLIENT, "route", "del", "10.2.0.0/24")
    command("ip", "netns", "exec", FRONT, "sysctl", "-q", "net.ipv4.ip_forward=0")


@rival("routing", "IP routing only")
def routing():
    with routed():
        yield BACKEND


@rival("splice", "splice relay, TCP only, 1 MiB pipes")
def splice():
    with running([f"{BIN}/splice-relay", LISTEN, BACKEND]):
        yield LISTEN


UNDERPASS = f"""
engine = "ENGINE"
[[listener]]
address = "{LISTEN}"
[pool.back]
backends = ["{BACKEND}"]
[[route]]
path = "/"
pool = "back"
mode = "MODE"
[limits]
idle-connections = 64
"""


def underpass(engine, mode):
    return running([f"{BIN}/underpass", "run", write("underpass.toml", UNDERPASS.replace("ENGINE", engine).replace("MODE", mode))])


@contextlib.contextmanager
def module():
    """The module, loaded. That it cannot be unloaded afterwards is an error."""
    command("insmod", "/payload/underpass.ko")
    yield

    def unloaded():
        return subprocess.run(["rmmod", "underpass"], stderr=subprocess.DEVNULL, check=False).returncode == 0

    wait_for("the module is unused", unloaded)


@rival("user", "Underpass, engine user")
def user():
    with underpass("user", "optimistic"):
        yield LISTEN


@rival("kernel", "Underpass, engine kernel")
def kernel():
    with module(), underpass("kernel", "optimistic"):
        yield LISTEN


@rival("kernel-ask", "Underpass, engine kernel, back-end asked first")
def kernel_ask():
    with module(), underpass("kernel", "ask"):
        yield LISTEN
