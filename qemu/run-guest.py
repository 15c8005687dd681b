#!/usr/bin/env python3
"""The guest's half of `make run`: router, three back-ends, and at the end the account.

The host knows that all is up by the line `ready`, and ends the guest by a request for
/finish, which the back-end that takes everything reports here like any other.
"""

import json
import os
import sys

sys.path.insert(0, "/payload/tests")
os.environ.update(YNL="/payload/ynl", SPEC="/payload/ynl/specs/underpass.yaml")
from harness import Backend, Program, Router, command, stats, wait_for  # noqa: E402

DECLINES, DOWN, ACCEPTS = "127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"
CONFIG = f"""
engine = "kernel"
[[listener]]
address = "0.0.0.0:8080"
[pool.uploads]
backends = ["{DECLINES}", "{DOWN}", "{ACCEPTS}"]
[[route]]
pool = "uploads"
# On a host that is slow, or busy, the default of a second may be too little.
[limits]
connect-ms = 60000
ask-ms = 60000
asking-ms = 60000
"""


def wanted(line):
    event = json.loads(line)
    return event["what"] == "asked" and event["target"] == "/finish"


def main():
    command("insmod", "/payload/underpass.ko")
    # No answer to a connection attempt would take its time; a refusal is what a host says
    # whose service is down.
    backends = [Backend(DECLINES, "--decline-above", "1000000"), Backend(ACCEPTS, "--keep")]
    router = Router(CONFIG, ["0.0.0.0:8080"], metered=True)
    print(f"   kernel: {os.uname().release}, router: pid {router.process.pid}")
    print(f"   {DECLINES} declines what is over 1 MB, {DOWN} is down, {ACCEPTS} takes everything")
    print("ready", flush=True)
    Program.line(backends[1], "the request for /finish", backends[1].out, wanted, seconds=86400)

    touched, moved = router.touched(), stats()
    assert router.stop() == 0, router.err
    print("what the back-ends say:")
    for backend in backends:
        for line in backend.out:
            event = json.loads(line)
            if event["what"] != "listening" and event.get("target") != "/finish":
                who, what = event.pop("backend"), event.pop("what")
                print(f"   {who} {what:8}", " ".join(f"{k}={v}" for k, v in event.items()))
    print("what the router says (its access log):")
    for line in router.out:
        if "/finish" not in line:
            print("   " + line)
    print("what passed where:")
    print(f"   {moved['front-to-back']:>11} bytes up and {moved['back-to-front']} down, in the kernel")
    print(f"   {touched:>11} bytes read and written by the router's process, heads and its start included")
    for backend in backends:
        backend.stop()
    wait_for("nothing holds the module", lambda: open("/sys/module/underpass/refcnt").read() == "0\n")
    command("rmmod", "underpass")


main()
