#!/usr/bin/env python3
"""soak.py SECONDS SEED: random traffic through the router for so long, with faults, and all content checked.

Several clients at once upload, download, talk both ways at once, tunnel, keep their connections or
leave in mid-message. Meanwhile links get bad, back-ends are killed, and the router is stopped,
killed or replaced and started again, with one thread or several. An exchange may then fail, and none while all is well; what must never
happen is a message that looks whole and is not the one that was sent. Prints a report in Markdown; exit code 1 if anything was wrong.

The same seed gives the same clients and faults in the same order, though not at the same moments.
"""

import collections
import glob
import math
import os
import random
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers"))
from gates import COMPLAINT  # noqa: E402
from harness import ADDRESSES, FRONT, Mirror, Router, command, make_namespaces, stats, wait_for  # noqa: E402
from mirror import Cut  # noqa: E402
from traffic import Talk, Wrong  # noqa: E402

SECONDS, SEED = float(sys.argv[1]), int(sys.argv[2])
WORKERS = 8
# What a router ends with that had to cut exchanges off.
CUT_OFF = 3
LARGEST = 2 << 20
ADDRESS = ("10.1.0.2", 80)
BACKENDS = ["10.2.0.2:80", "10.2.0.2:81"]
# Longer than anything here should take, so that a hang is found.
PATIENCE = 120
# So many seconds after a fault is over an exchange may still begin that fails of it. TCP sends again what a bad
# network lost, later each time; all else that a fault does it does to what had begun.
AFTERMATH = 5
# What is left of the module's and TCP's memory when all is quiet may differ by so much.
GROWTH_KB = 16 << 10
CONFIG = f"""
engine = "kernel"
[[listener]]
address = "10.1.0.2:80"
[pool.all]
backends = {BACKENDS}
[[route]]
pool = "all"
upgrade = ["echo"]
[limits]
idle-connections = 0
shutdown-ms = 3000
connect-ms = 5000
ask-ms = 20000
asking-ms = 40000
stall-ms = 30000
"""


class Counts:
    """What happened, counted by all threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.done, self.failed, self.faults = collections.Counter(), collections.Counter(), collections.Counter()
        self.bytes = 0
        self.wrong = []
        # The last fault, and when it began: what is wrong may have come of it. And when it was over.
        self.fault, self.began, self.over = "the start", time.monotonic(), -math.inf

    def fault_begins(self, kind):
        with self.lock:
            self.fault, self.began, self.over = kind, time.monotonic(), math.inf

    def fault_ends(self):
        with self.lock:
            self.over = time.monotonic()

    def may_fail(self, since):
        """Whether what began then, and fails now, may do so: there is a fault, or was one, or its aftermath."""
        with self.lock:
            return since < self.over + AFTERMATH

    def is_wrong(self, what):
        with self.lock:
            self.wrong.append(f"{what}, {time.monotonic() - self.began:.2f} s after {self.fault}")

    def note(self, counter, name, size=0):
        with self.lock:
            counter[name] += 1
            self.bytes += size


counts = Counts()
stop = threading.Event()


def exchanges(talk, rng):
    """Name, size and function of a random exchange; and whether the connection lives on."""
    size = int(2 ** rng.uniform(0, LARGEST.bit_length() - 1))
    chunked = rng.random() < 0.5
    return rng.choice([
        ("upload", size, lambda: talk.upload(size, chunked), True),
        ("upload", size, lambda: talk.upload(size, chunked), True),
        ("download", size, lambda: talk.download(size, chunked), True),
        ("download", size, lambda: talk.download(size, chunked), True),
        ("both ways at once", 2 * size, lambda: talk.duplex(size), True),
        ("tunnel", 2 * size, lambda: talk.tunnel(size), False),
        ("cut by the back-end", size // 2, lambda: talk.broken_download(size + 2), False),
        ("cut by the client", size // 2, lambda: talk.abandoned_upload(size + 2), False),
    ])


def client(number):
    """One client after the other, until it is over."""
    rng = random.Random(f"{SEED}-{number}")
    while not stop.is_set():
        name, since = "connect", time.monotonic()
        try:
            with Talk(ADDRESS, PATIENCE) as talk:
                alive = True
                while alive and not stop.is_set() and rng.random() < 0.8:
                    name, size, run, alive = exchanges(talk, rng)
                    since = time.monotonic()
                    run()
                    counts.note(counts.done, name, size)
        except (Wrong, Cut, TimeoutError) as error:
            counts.is_wrong(f"{name}: {error!r}")
        except OSError as error:
            if counts.may_fail(since):
                counts.note(counts.failed, f"{name}: {type(error).__name__}")
            else:
                counts.is_wrong(f"{name}, which no fault can have ended: {error!r}")
            stop.wait(0.1)  # the router may be away
        except Exception as error:  # what cannot be read is wrong, too, and ends no client
            counts.is_wrong(f"{name}: {error!r}")


class Machines:
    """What faults happen to."""

    def __init__(self):
        self.backends = [Mirror(address) for address in BACKENDS]
        self.all_backends = list(self.backends)
        self.router = Router(CONFIG, ["10.1.0.2:80"], FRONT)

    def stop_router(self, signal, rng):
        process = self.router.process
        process.send_signal(signal)
        self.check_end(process.wait(timeout=PATIENCE), signal)
        self.router = self.start_router(rng)

    def check_end(self, code, signal):
        """A router ends as it is told, and not by itself before that."""
        good = (-9,) if signal == 9 else (0, CUT_OFF)
        if code not in good:
            counts.is_wrong(f"the router ended with {code} at signal {signal}: {self.router.err[-5:]}")

    @staticmethod
    def start_router(rng, *options):
        return Router(f"threads = {rng.randint(1, 3)}{CONFIG}", ["10.1.0.2:80"], FRONT, options=options)

    def router_stopped(self, rng):
        self.stop_router(15, rng)

    def router_killed(self, rng):
        self.stop_router(9, rng)

    def router_replaced(self, rng):
        former = self.router
        self.router = self.start_router(rng, "--takeover")
        if former.process.wait(timeout=PATIENCE) != 0:
            raise RuntimeError(f"who was replaced did not end well: {former.err[-5:]}")

    def backend_killed(self, rng):
        at = rng.randrange(len(BACKENDS))
        self.backends[at].process.kill()
        self.backends[at].process.wait()
        self.backends[at] = Mirror(BACKENDS[at])
        self.all_backends.append(self.backends[at])

    def bad_network(self, rng):
        netem = rng.choice([
            ["delay", "1ms", "loss", "3%"],
            ["delay", "2ms", "reorder", "25%", "50%", "duplicate", "3%"],
            ["delay", "20ms", "10ms"],
        ])
        ends = [(name, link) for link, (left, _, right, _) in ADDRESSES.items() for name in (left, right)]
        for namespace, device in ends:
            command("tc", "-n", namespace, "qdisc", "replace", "dev", device, "root", "netem", "limit", "10000", *netem)
        stop.wait(rng.uniform(2, 6))
        for namespace, device in ends:
            command("tc", "-n", namespace, "qdisc", "del", "dev", device, "root")


def faults(machines):
    rng = random.Random(f"{SEED}-faults")
    kinds = ["bad_network", "bad_network", "backend_killed", "router_stopped", "router_killed", "router_replaced"]
    while not stop.wait(rng.uniform(3, 12)):
        kind = rng.choice(kinds)
        counts.fault_begins(kind)
        try:
            getattr(machines, kind)(rng)
        except Exception as error:  # whatever it is, there will be no faults any more
            counts.wrong.append(f"fault {kind}: {error!r}")
            return
        counts.fault_ends()
        counts.note(counts.faults, kind.replace("_", " "))


def memory():
    """Kilobytes that tell of leaks: of the kernel's own objects, and of TCP's buffers."""
    with open("/proc/meminfo", encoding="ascii") as file:
        table = {name: int(value.split()[0]) for name, value in (line.split(":") for line in file)}
    with open("/proc/net/sockstat", encoding="ascii") as file:
        tcp = int(next(line for line in file if line.startswith("TCP:")).split()[-1])
    return {"unreclaimable slab": table["SUnreclaim"], "TCP buffers": tcp * 4}


def caches():
    """Kilobytes of each slab cache."""
    with open("/proc/slabinfo", encoding="ascii") as file:
        rows = [line.split() for line in file.read().splitlines()[2:]]
    return {row[0]: int(row[2]) * int(row[3]) >> 10 for row in rows}


def quiet():
    wait_for("no queue is left", lambda: stats(FRONT)["queues"] == 0, PATIENCE)
    # What was freed and is kept for later, or, by KASAN, to be seen when it is used again, is no leak.
    for path in glob.glob("/sys/kernel/slab/*/shrink"):
        with open(path, "w", encoding="ascii") as file:
            file.write("1")
    return memory(), caches()


def complaints():
    log = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
    return [line for line in log.splitlines() if COMPLAINT.search(line)]


def warm_up():
    """Caches fill, and threads start, before memory is looked at for the first time."""
    for _ in range(3):
        with Talk(ADDRESS, PATIENCE) as talk:
            talk.upload(LARGEST)
            talk.download(LARGEST, chunked=True)
            talk.duplex(LARGEST)


def table(title, counter):
    print(f"\n| {title} | times |\n|---|--:|")
    for name, times in sorted(counter.items()):
        print(f"| {name} | {times} |")


def main():
    make_namespaces()
    machines = Machines()
    warm_up()
    start, before = quiet()
    threads = [threading.Thread(target=client, args=[number]) for number in range(WORKERS)]
    harm = threading.Thread(target=faults, args=[machines])
    for thread in [*threads, harm]:
        thread.start()
    stop.wait(SECONDS)
    stop.set()
    for thread in [*threads, harm]:
        thread.join()
    end, after = quiet()
    machines.check_end(machines.router.stop(), 15)
    # Each back-end says how what it did not get whole ended.
    said = [line for backend in machines.all_backends for line in backend.out]
    # A router that dies while it asks leaves a back-end with a head, of which the module knows no more: that
    # ends by FIN. Once anything of the body came, only a reset will do.
    wrong = counts.wrong + [line for line in said if line.startswith("cut FIN") and "'came': 0}" not in line]
    wrong += [line for backend in machines.all_backends for line in backend.err if "Traceback" in line]
    wrong += [f"{name} grew by {end[name] - start[name]} kB" for name in start if end[name] - start[name] > GROWTH_KB]
    noise = complaints()
    done = sum(counts.done.values())
    if done < SECONDS / 10 or (SECONDS > 60 and not counts.faults):
        wrong.append("too little happened")
    print(f"# A soak of {SECONDS / 60:g} minutes\n")
    print(f"`make soak MINUTES={SECONDS / 60:g} SEED={SEED} KERNEL={os.environ['UNDERPASS_KERNEL']}`, which ended at")
    print(f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC on Linux {os.uname().release}; {WORKERS} clients at once.\n")
    print(f"- exchanges whole, content verified: {done}, {counts.bytes / (1 << 20):.0f} MiB of content")
    print(f"- exchanges that a fault ended: {sum(counts.failed.values())}")
    print(f"- faults injected: {sum(counts.faults.values())}")
    print(f"- mismatches, hangs, leaks: {len(wrong)}")
    print(f"- complaints of the kernel: {len(noise)}")
    for name, value in start.items():
        print(f"- {name} at the start and at the end, quiet: {value} kB, {end[name]} kB")
    grew = sorted(((after[name] - before.get(name, 0), name) for name in after), reverse=True)[:5]
    print("- of all caches grew most: " + ", ".join(f"{name} by {by} kB" for by, name in grew))
    table("exchange", counts.done)
    table("ended by a fault", counts.failed)
    table("fault", counts.faults)
    for line in wrong + noise:
        print(f"\nWRONG: {line}")
    sys.exit(1 if wrong or noise else 0)


if __name__ == "__main__":
    main()
