#!/usr/bin/env python3
"""badnet.py [BYTES]: the whole path over bad networks: loss, reordering, duplication, a tiny MTU, closed
windows, resets, destroyed sockets. Content is checked at both ends, in both directions at once.

Client, front end and back-end are three network namespaces, whose links netem makes bad.
BYTES is the size of each body.
"""

import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from content import BLOCK, blocks  # noqa: E402
from harness import ADDRESSES, DEBUG, FRONT, Mirror, Router, command, make_namespaces, stats, tap, wait_for, ynl  # noqa: E402
from mirror import exactly  # noqa: E402
from traffic import Talk, crc_of  # noqa: E402

BYTES = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000 if DEBUG else 300_000
SECONDS = 120
ADDRESS = ("10.1.0.2", 80)
CONFIG = """
engine = "kernel"
[[listener]]
address = "10.1.0.2:80"
[pool.all]
backends = ["10.2.0.2:80"]
[[route]]
pool = "all"
upgrade = ["echo"]
[limits]
idle-connections = 0
# A lost SYN costs a second, a second one three.
connect-ms = 60000
ask-ms = 60000
asking-ms = 60000
stall-ms = 120000
"""

make_namespaces()
backend = Mirror("10.2.0.2:80")
router = Router(CONFIG, ["10.1.0.2:80"], FRONT)


def links():
    """Each end of each link: namespace and device."""
    for link, (left, _, right, _) in ADDRESSES.items():
        yield left, link
        yield right, link


def make_bad(*netem):
    """All links lose, exchange and double packets, one by one and not in trains; without: good again."""
    for namespace, device in links():
        command("ip", "-n", namespace, "link", "set", device, "gso_max_segs", "1" if netem else "65535")
        if netem:
            command("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "netem", *netem)
        else:
            command("tc", "-n", namespace, "qdisc", "del", "dev", device, "root")


def dropped():
    """Packets that netem dropped."""
    said = "".join(command("tc", "-s", "-n", namespace, "qdisc", "show", "dev", device) for namespace, device in links())
    return sum(int(part.split(",")[0]) for part in said.split("dropped ")[1:])


def at_once(*jobs):
    """All jobs, each over a connection of its own, at the same time."""
    errors = []

    def run(job):
        try:
            with Talk(ADDRESS, SECONDS) as talk:
                job(talk)
        except Exception as error:  # whatever it is, the point failed
            errors.append(f"{error!r}")

    threads = [threading.Thread(target=run, args=[job]) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def everything():
    """Each kind of exchange at once, and several on one connection."""

    def in_turn(talk):
        talk.upload(BYTES // 3)
        talk.download(BYTES // 3)
        talk.upload(BYTES // 3, chunked=True)

    at_once(
        lambda talk: talk.upload(BYTES),
        lambda talk: talk.upload(BYTES, chunked=True),
        lambda talk: talk.download(BYTES),
        lambda talk: talk.download(BYTES, chunked=True),
        lambda talk: talk.duplex(BYTES),
        lambda talk: talk.tunnel(BYTES),
        in_turn,
    )
    nothing_left()


def nothing_left():
    wait_for("no queue is left", lambda: stats(FRONT)["queues"] == 0, SECONDS)


def good():
    """A good network"""
    everything()


def loss():
    """5 % of all packets are lost, in each direction of each link"""
    make_bad("limit", "100000", "delay", "1ms", "loss", "5%")
    everything()
    assert dropped() > 0, "nothing was lost"
    make_bad()


def disorder():
    """A quarter of all packets overtakes others, some come twice"""
    make_bad("limit", "100000", "delay", "2ms", "reorder", "25%", "50%", "duplicate", "3%")
    everything()
    make_bad()


def tiny_mtu():
    """Packets of 128 bytes"""
    for namespace, device in links():
        command("ip", "-n", namespace, "link", "set", device, "mtu", "128")
    everything()
    for namespace, device in links():
        command("ip", "-n", namespace, "link", "set", device, "mtu", "1500")


def closed_window():
    """A client that stops reading: the back-end's window closes, and memory stays flat"""
    size = 64 << 20
    before = stats(FRONT)["back-to-front"]
    with Talk(ADDRESS, SECONDS, receive_buffer=4096) as talk:
        talk.ask("GET", f"/{size}")
        talk.head()
        seen = []

        def still():
            seen.append((stats(FRONT)["back-to-front"] - before, tcp_pages()))
            # The YNL client takes a moment each time.
            return len(seen) > 5 and len({moved for moved, _ in seen[-5:]}) == 1

        wait_for("nothing moves any more", still, SECONDS)
        moved, pages = seen[-1]
        print(f"# {moved} bytes were taken of {size}; all of TCP holds {pages} pages")
        # What the sockets' own buffers hold, and no more.
        assert moved < size // 3, moved
        assert pages * 4096 < 2 * size // 3, pages
        assert max(pages for _, pages in seen[-5:]) <= min(pages for _, pages in seen[-5:]) + 64, seen
        # And it goes on where it stopped.
        more = talk.file.read(8 << 20)
        assert len(more) == 8 << 20
        for at in range(0, len(more), len(BLOCK)):
            assert more[at : at + len(BLOCK)] == BLOCK[: len(more) - at], f"other bytes behind {at}"
        talk.reset()
    nothing_left()


def tcp_pages():
    """Pages of memory that TCP holds, in all network namespaces."""
    with open("/proc/net/sockstat", encoding="ascii") as file:
        line = next(line for line in file if line.startswith("TCP:"))
    return int(line.split()[-1])


def cut_by(end):
    """Messages of which the back-end saw no end but this one."""
    return sum(line.startswith(f"cut {end}") for line in list(backend.out))


def resets():
    """A reset in mid-transfer, from either side, is one on the other side"""
    make_bad("limit", "100000", "delay", "2ms", "reorder", "25%", "50%", "duplicate", "3%")
    cuts = cut_by("RESET")
    at_once(*[lambda talk: talk.broken_download(BYTES)] * 4, *[lambda talk: talk.abandoned_upload(BYTES)] * 4)
    nothing_left()
    wait_for("the back-end saw four resets", lambda: cut_by("RESET") == cuts + 4)
    assert cut_by("FIN") == 0, "a body ended as if it were whole"
    make_bad()
    everything()


def destroyed():
    """The front end's own sockets are destroyed in mid-transfer: a reset on both sides"""
    size = 64 << 20
    cuts = cut_by("RESET")
    # None of them comes to its end by itself, however long it takes to destroy them.
    uploads = [Talk(ADDRESS, SECONDS) for _ in range(2)]
    downloads = [Talk(ADDRESS, SECONDS) for _ in range(2)]
    for talk in uploads:
        talk.ask("PUT", "/", f"Content-Length: {size}")
        for piece in blocks(BYTES):
            talk.socket.sendall(piece)
    for talk in downloads:
        talk.ask("GET", f"/{size}")
        assert talk.head()[0] == 200

    def under_way():
        taken = [it["taken"] for it in ynl(FRONT, "--dump", "queue-get") if it.get("taken")]
        return len(taken) == 4 and taken.count(BYTES) >= 2

    wait_for("all four bodies are under way", under_way, SECONDS)
    killed = command("ip", "netns", "exec", FRONT, "ss", "--tcp", "--kill", "--no-header", "state", "established")
    # Of each pair at least one; the other may have ended with it.
    assert len(killed.splitlines()) >= 4, f"only these were there: {killed}"
    for talk in uploads:
        broken(lambda talk=talk: talk.answered("an upload of which half was sent", 200))
    for talk in downloads:
        broken(lambda talk=talk: crc_of(exactly(talk.file, size)))
    nothing_left()
    wait_for("the back-end saw resets", lambda: cut_by("RESET") >= cuts + 2)
    assert cut_by("FIN") == 0, "a body ended as if it were whole"
    everything()


def broken(read):
    """The connection is reset, or the router says why there is no response."""
    try:
        read()
    except ConnectionResetError:
        return
    raise AssertionError("it came to its end")


def stops():
    """The router ends when asked to"""
    assert router.stop() == 0, router.err


tap([good, loss, disorder, tiny_mtu, closed_window, resets, destroyed, stops])
