#!/usr/bin/env python3
"""The running family against its spec: operations, flags, and the policy of every request.

    SPEC=.../underpass.yaml policy.py

Asks the kernel's generic netlink controller (CTRL_CMD_GETFAMILY, CTRL_CMD_GETPOLICY) by a
raw socket, with numbers from linux/netlink.h and linux/genetlink.h: nothing here is
shared with the module, or with the generator of its policies. TAP on stdout.
"""

import os
import socket
import struct
import sys

import yaml

NETLINK_GENERIC, GENL_ID_CTRL = 16, 16
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_DUMP = 1, 0x300
CTRL_CMD_GETFAMILY, CTRL_CMD_GETPOLICY = 3, 10
(FAMILY_ID, FAMILY_NAME, VERSION, OPS, POLICY, OP_POLICY) = (1, 2, 3, 6, 8, 9)
OP_ID, OP_FLAGS = 1, 2
POLICY_DO, POLICY_DUMP = 1, 2

# enum netlink_attribute_type, those that the spec's types may become.
TYPES = {"flag": 1, "u8": 2, "u16": 3, "u32": 4, "u64": 5, "binary": 10, "string": 11, "uint": 17}
# enum netlink_policy_type_attr.
P_TYPE, P_MIN_U, P_MAX_U, P_MIN_LEN, P_MAX_LEN, P_MASK = 1, 4, 5, 6, 7, 12

# Flags of an operation as CTRL_ATTR_OPS shows them.
FLAGS = {"admin-perm": 0x01, "uns-admin-perm": 0x10}
CAP_DO, CAP_DUMP, HAS_POLICY = 0x02, 0x04, 0x08

WIDTH = {"u16": 2**16 - 1, "u32": 2**32 - 1, "uint": 2**64 - 1}


class NoFamily(Exception):
    """The kernel does not know the family."""


def attributes(data):
    """(number, payload) of each attribute."""
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if not 4 <= length <= len(data) - at:
            raise ValueError(f"attribute of {length} bytes in {len(data) - at}")
        yield kind & 0x3FFF, data[at + 4 : at + length]
        at += (length + 3) & ~3


def number(data):
    return int.from_bytes(data, sys.byteorder)


def ask(command, name, flags):
    """The attributes of all messages that answer."""
    value = name.encode() + b"\0"
    pad = b"\0" * (-len(value) % 4)
    payload = struct.pack("=BBHHH", command, 2, 0, 4 + len(value), FAMILY_NAME) + value + pad
    request = struct.pack("=IHHII", 16 + len(payload), GENL_ID_CTRL, NLM_F_REQUEST | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as sock:
        sock.bind((0, 0))
        sock.send(request + payload)
        while True:
            data = sock.recv(1 << 17)
            at = 0
            while at < len(data):
                length, sort = struct.unpack_from("=IH", data, at)
                body = data[at + 16 : at + length]
                at += (length + 3) & ~3
                if sort in (NLMSG_ERROR, NLMSG_DONE):
                    error = -struct.unpack_from("=i", body)[0]
                    if error:
                        raise NoFamily(f"{name}: {os.strerror(error)}")
                    return
                yield from attributes(body[4:])
                if not flags & NLM_F_DUMP:
                    return


def family(name):
    """Version and {command: flags} as the kernel tells them."""
    version, ops = None, {}
    for kind, value in ask(CTRL_CMD_GETFAMILY, name, 0):
        if kind == VERSION:
            version = number(value)
        elif kind == OPS:
            for _, op in attributes(value):
                op = dict(attributes(op))
                ops[number(op[OP_ID])] = number(op[OP_FLAGS])
    return version, ops


def policies(name):
    """{(command, POLICY_DO or POLICY_DUMP): {attribute: policy}} as the kernel tells it."""
    tables, uses = {}, {}
    for kind, value in ask(CTRL_CMD_GETPOLICY, name, NLM_F_DUMP):
        if kind == POLICY:
            for index, table in attributes(value):
                for attribute, policy in attributes(table):
                    policy = {k: number(v) for k, v in attributes(policy)}
                    tables.setdefault(index, {})[attribute] = policy
        elif kind == OP_POLICY:
            for command, methods in attributes(value):
                for method, index in attributes(methods):
                    uses[command, method] = number(index)
    return {use: tables.get(index, {}) for use, index in uses.items()}


class Spec:
    """What underpass.yaml promises, in the kernel's terms."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            spec = yaml.safe_load(file)
        self.name = spec["name"]
        self.consts = {d["name"]: d["value"] for d in spec["definitions"] if d["type"] == "const"}
        self.consts["s32-max"] = 2**31 - 1
        self.sets = {s["name"]: s["attributes"] for s in spec["attribute-sets"]}
        operations = enumerate(spec["operations"]["list"], 1)
        self.ops = {op["name"]: (n, op) for n, op in operations if "do" in op or "dump" in op}

    def bound(self, value):
        return value if isinstance(value, int) else self.consts[value]

    def expected(self, op, method):
        """{attribute: policy} of a request."""
        attrs = {a["name"]: (n, a) for n, a in enumerate(self.sets[op["attribute-set"]], 1)}
        wanted = op[method].get("request", {}).get("attributes", [])
        return {attrs[name][0]: self.policy(attrs[name][1]) for name in wanted}

    def policy(self, attr):
        kind, checks = attr["type"], attr.get("checks", {})
        policy = {P_TYPE: TYPES[kind]}
        if kind in WIDTH:
            policy[P_MIN_U] = self.bound(checks.get("min", 0))
            policy[P_MAX_U] = self.bound(checks.get("max", WIDTH[kind]))
        elif "max-len" in checks:
            policy[P_MAX_LEN] = self.bound(checks["max-len"])
        return policy

    def flags(self, op):
        flags = sum(FLAGS[f] for f in op["flags"])
        return flags | (CAP_DO if "do" in op else 0) | (CAP_DUMP if "dump" in op else 0)


class Tap:
    """TAP with the plan first; the exit code tells whether all was well."""

    def __init__(self, plan):
        self.plan, self.count, self.failed = plan, 0, 0
        print(f"TAP version 13\n1..{plan}", flush=True)

    def equal(self, name, got, expected):
        self.count += 1
        good = got == expected
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} - {name}", flush=True)
        if not good:
            print(f"# expected {expected}\n# got      {got}", flush=True)

    def exit(self):
        sys.exit(1 if self.failed or self.count != self.plan else 0)


def main():
    spec = Spec(os.environ["SPEC"])
    requests = [(n, op, m) for n, op in spec.ops.values() for m in ("do", "dump") if m in op]
    tap = Tap(2 + len(spec.ops) + len(requests))
    try:
        version, ops = family(spec.name)
        known = policies(spec.name)
    except NoFamily as error:
        sys.exit(f"Bail out! the kernel refuses to tell about the family: {error}")
    tap.equal("the family has version 1", version, 1)
    numbers = sorted(n for n, _ in spec.ops.values())
    tap.equal("the kernel has the spec's operations and no others", sorted(ops), numbers)
    for name, (n, op) in spec.ops.items():
        # Having a policy is judged below, by what is in it.
        flags = ops.get(n, 0) & ~HAS_POLICY
        tap.equal(f"{name}: flags", hex(flags), hex(spec.flags(op)))
    for n, op, method in requests:
        use = (n, POLICY_DO if method == "do" else POLICY_DUMP)
        wanted = spec.expected(op, method)
        tap.equal(f"{op['name']}: policy of {method}", known.get(use, {}), wanted)
    tap.exit()


main()
