#!/usr/bin/env python3
"""supervise.py [options] -- QEMU...: runs one guest and watches over it.

The guest's first serial port (its console) goes to a log file, its second (the
command's output) to stdout. The guest is killed when its time is up, or soon after
its console shows that it will not come back. Says on stderr why it killed;
whether the command succeeded is not decided here but by the result disk.
"""

import argparse
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import termios
import time
import tty

# Marks after which waiting is pointless. Everything milder is for the gates, afterwards.
HOPELESS = re.compile(
    rb"Kernel panic|BUG: |Oops|soft lockup|hard LOCKUP|self-detected stall|detected stalls"
    rb"|blocked for more than|workqueue lockup"
)
# How long the console may go on after such a mark, for its stack traces.
LAST_WORDS = 10.0


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--console", required=True, help="file for the kernel's console")
    options.add_argument("--time", type=float, required=True, help="seconds until the guest is killed")
    options.add_argument("--interactive", action="store_true", help="the terminal is the command's")
    options.add_argument("qemu", nargs="+")
    args = options.parse_args()

    console, console_theirs = socket.socketpair()
    command, command_theirs = socket.socketpair()
    argv = ["setpriv", "--pdeathsig", "KILL", "--", *args.qemu]
    for name, end in (("console", console_theirs), ("command", command_theirs)):
        argv += ["-chardev", f"socket,id={name},fd={end.fileno()}", "-serial", f"chardev:{name}"]
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    with open(args.console, "wb", buffering=0) as log:
        qemu = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            pass_fds=[console_theirs.fileno(), command_theirs.fileno()],
        )
        console_theirs.close()
        command_theirs.close()
        terminal = None
        try:
            if args.interactive:
                terminal = termios.tcgetattr(0)
                tty.setraw(0)
            reason = watch(console, command, log, args)
        finally:
            if terminal:
                termios.tcsetattr(0, termios.TCSADRAIN, terminal)
            qemu.kill()
            qemu.wait()
    if reason:
        print(f"guest killed: {reason}", file=sys.stderr)
    return 1 if reason else 0


def watch(console, command, log, args):
    """Moves bytes until QEMU closes its ends. Returns why it must be killed, or None."""
    selector = selectors.DefaultSelector()
    selector.register(console, selectors.EVENT_READ)
    selector.register(command, selectors.EVENT_READ)
    if args.interactive:
        selector.register(0, selectors.EVENT_READ)
    deadline = time.monotonic() + args.time
    reason = f"the time limit of {args.time:g} s is over"
    line = b""
    alive = 2
    while alive:
        ready = selector.select(max(0.0, deadline - time.monotonic()))
        if not ready and time.monotonic() >= deadline:
            return reason
        for key, _ in ready:
            if key.fileobj == 0:
                command.sendall(os.read(0, 4096))
                continue
            try:
                data = key.fileobj.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                selector.unregister(key.fileobj)
                alive -= 1
            elif key.fileobj is command:
                sys.stdout.buffer.write(data)
                sys.stdout.buffer.flush()
            else:
                log.write(data)
                lines = (line + data).split(b"\n")
                line = lines.pop()
                for text in lines:
                    soon = time.monotonic() + LAST_WORDS
                    if HOPELESS.search(text) and soon < deadline:
                        deadline = soon
                        reason = "its console says: " + text.decode(errors="replace").strip()
    return None


if __name__ == "__main__":
    sys.exit(main())
