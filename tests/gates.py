#!/usr/bin/env python3
"""Judges one guest's test run. Five gates, and all must pass:

exit     the runner's exit code came out of the guest, and is 0
tap      a plan first, every point of it there and ok, in every script
threads  no thread of a test ended by an exception
log      the kernel's console holds no warning, and what must be in it is in it
skips    nothing was skipped that the allow-list does not name

Each closes a hole of the others: a script that dies early has a clean log, a kernel
that complains lets its scripts pass, a test that skips is "ok" to TAP, and one whose thread died may be, too.

Prints what was found, then `N passed, N failed`: TAP points, and one for each gate.
"""

import argparse
import re
import sys

# Whatever the kernel prints when something is wrong with it. Some of these only say
# that a checker has switched itself off: then its silence proves nothing.
COMPLAINTS = [
    r"\bBUG\b",
    r"WARNING\b",
    "Oops",
    r"\[ cut here \]",
    "Kernel panic",
    "general protection fault",
    "[Uu]nable to handle",
    "possible recursive locking",
    "possible circular locking",
    "possible irq lock inversion",
    "possible deadlock",
    r"INFO: possible",
    "-safe -> .*-unsafe lock order",
    "inconsistent lock state",
    "bad unlock balance",
    "held lock freed",
    "lock held when returning to user space",
    "locks? still held",
    "[Ii]nvalid wait context",
    "turning off the locking correctness validator",
    "suspicious RCU usage",
    "[Ss]leeping function called",
    "scheduling while atomic",
    "KASAN:",
    "KFENCE:",
    "UBSAN:",
    "unreferenced object",
    "new suspected memory leaks",
    "[Kk]memleak.*disabled",
    "ODEBUG",
    "[Dd]ebug.?[Oo]bjects.*disabled",
    "blocked for more than",
    "refcount_t",
    "ref_tracker",
    "leaked reference",
    "unregister_netdevice: waiting",
    "soft lockup",
    "hard LOCKUP",
    "workqueue lockup",
    "detected stall|self-detected stall|detected expedited stall",
    "list_(add|del) corruption",
    "Bad page|bad page",
    "Attempt to release (TCP|alive)",
    "panicked at",
    "Objects remaining",
    "pagealloc:",
]
COMPLAINT = re.compile("|".join(COMPLAINTS))

POINT = re.compile(r"(not )?ok\b\s*(\d+)?\s*-?\s*(.*?)\s*(?:(?<!\\)#\s*(SKIP|TODO)\b\s*(.*))?$", re.I)
PLAN = re.compile(r"1\.\.(\d+)\s*(?:#.*)?$")
INDENT = "    "


def gate_exit(code):
    """Why the exit code is wrong, or nothing. An empty one means that none arrived."""
    if code == "0":
        return []
    if not code.isdigit():
        return ["no exit code came out of the guest"]
    return [f"exit code {code} instead of 0"]


class Tap:
    """What one TAP stream says: its points, its skips, and what is wrong with it."""

    def __init__(self, name):
        self.name = name
        self.plan = None
        self.seen = 0
        self.passed = 0
        self.failed = []
        # The comment behind the last point, if that failed: why it did, in an exception's last line.
        self.why = None
        self.skipped = []
        self.problems = []

    def line(self, text):
        """Takes one line without its indentation."""
        if text.startswith("# ") and self.why is not None:
            self.why = text
            return
        self.settle()
        if text.startswith("Bail out!"):
            self.problems.append(f"{self.name}: {text}")
            return
        plan = PLAN.match(text)
        if plan:
            if self.plan is not None:
                self.problems.append(f"{self.name}: a second plan, '{text}'")
            elif self.seen:
                self.problems.append(f"{self.name}: the plan comes after the first point")
            self.plan = int(plan[1])
            return
        point = POINT.match(text)
        if not point:
            return
        self.seen += 1
        not_ok, number, title, directive, _ = point.groups()
        if self.seen == 1 and self.plan is None:
            self.problems.append(f"{self.name}: no plan before the first point")
        if number != str(self.seen):
            self.problems.append(f"{self.name}: point {number or 'without number'} where {self.seen} was due")
        if directive and directive.upper() == "SKIP":
            self.skipped.append(f"{self.name}: {title}")
        # A TODO that fails is a failure: nothing known to be broken is committed.
        if not_ok:
            self.failed.append(f"{self.name}: not ok {number or ''} - {title}")
            self.why = ""
        else:
            self.passed += 1

    def settle(self):
        """No more comments come for the last point."""
        if self.why:
            self.failed[-1] += f" {self.why}"
        self.why = None

    def end(self):
        """The stream is over."""
        self.settle()
        if self.plan is None:
            if not self.seen:
                self.problems.append(f"{self.name}: no plan")
        elif self.plan != self.seen:
            self.problems.append(f"{self.name}: {self.seen} of {self.plan} planned points")
        if self.plan == 0:
            self.problems.append(f"{self.name}: an empty plan proves nothing")


def read_tap(text):
    """Reads the runner's stream and, indented below it, one of each script.

    Returns all of them, the runner's first.
    """
    runner = Tap("runner")
    streams = [runner]
    script = None
    for line in text.replace("\r", "").split("\n"):
        if line.startswith("# Subtest: "):
            if script:
                script.end()
            runner.settle()
            script = Tap(line[len("# Subtest: "):].strip())
            streams.append(script)
        elif line.startswith(INDENT):
            if script:
                script.line(line[len(INDENT):])
        else:
            if script and POINT.match(line):
                script.end()
                script = None
            runner.line(line)
    if script:
        script.end()
    runner.end()
    return streams


def gate_tap(streams):
    """What is wrong with the streams."""
    return [p for s in streams for p in s.problems + s.failed]


def gate_threads(text):
    """Threads of the tests that ended by an exception: what they were to see, nobody saw."""
    return [line.strip() for line in text.split("\n") if "Exception in thread" in line]


def gate_log(text, must=()):
    """Every complaint of the kernel, with its line number, and what is missing."""
    found = []
    for number, line in enumerate(text.replace("\r", "").split("\n"), 1):
        if COMPLAINT.search(line):
            found.append(f"console line {number}: {line.strip()}")
    found += [f"the console lacks '{m}'" for m in must if m not in text]
    if not text.strip():
        found.append("the console is empty")
    return found


def gate_skips(streams, allowed):
    """Every skip that the allow-list does not name."""
    return [f"skipped, and not allowed: {s}" for t in streams for s in t.skipped if s not in allowed]


def read_allowed(text):
    """The allow-list: `script: title`, one a line, with comments."""
    lines = (line.partition("#")[0].strip() for line in text.split("\n"))
    return {line for line in lines if line}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--exit", required=True, help="exit code of the guest's runner, '' if none came")
    options.add_argument("--output", required=True, help="file with the runner's TAP")
    options.add_argument("--console", required=True, help="file with the kernel's console")
    options.add_argument("--allowed-skips", required=True, help="the allow-list")
    options.add_argument("--must", action="append", default=[], help="text the console must hold")
    args = options.parse_args()

    def read(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()

    output = read(args.output)
    streams = read_tap(output)
    gates = {
        "exit": gate_exit(args.exit),
        "tap": gate_tap(streams),
        "threads": gate_threads(output),
        "log": gate_log(read(args.console), args.must),
        "skips": gate_skips(streams, read_allowed(read(args.allowed_skips))),
    }
    passed = sum(s.passed for s in streams)
    failed = sum(len(s.failed) for s in streams)
    for name, found in gates.items():
        for problem in found:
            print(f"gate {name}: {problem}")
        if found:
            failed += 1
        else:
            passed += 1
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
