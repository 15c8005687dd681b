#!/usr/bin/env python3
"""The gates' own tests: a good run passes, and each gate is seen to fail, alone."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import gates

GOOD = """TAP version 14
1..2
# Subtest: policy.py
    1..2
    ok 1 - the family is there
    ok 2 - its policy is the spec's
ok 1 - policy.py
# Subtest: wire
    # a comment
    1..1
    ok 1 - speaks
ok 2 - wire
"""

LOG = """[    0.1] Linux version 7.3
[    4.2] underpass: loading out-of-tree module taints kernel.
[    9.9] kmemleak report ends
"""

# One sample for every kind of complaint, as kernels print them.
BAD_LOGS = """
BUG: unable to handle page fault for address: ffffc90000000000
kernel BUG at net/core/skbuff.c:120!
WARNING: CPU: 0 PID: 12 at net/ipv4/tcp.c:2700 tcp_recvmsg_locked+0x1
------------[ cut here ]------------
Oops: general protection fault, probably for non-canonical address
WARNING: possible recursive locking detected
WARNING: possible circular locking dependency detected
WARNING: inconsistent lock state
WARNING: suspicious RCU usage
INFO: possible circular locking dependency detected
BUG: sleeping function called from invalid context at mm/slab.h:320
BUG: KASAN: slab-use-after-free in up_data_ready+0x12/0x40
unreferenced object 0xffff888003a4c000 (size 192):
kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
kmemleak: Kernel memory leak detector disabled
INFO: task kworker/0:1:10 blocked for more than 60 seconds.
refcount_t: underflow; use-after-free.
unregister_netdevice: waiting for lo to become free. Usage count = 2
watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [router:99]
BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 30s!
ODEBUG: free active (active state 0) object: ffff88800 object type: work_struct
rcu: INFO: rcu_preempt self-detected stall on CPU
ref_tracker: net notrefcnt@ffff8880 has 1/1 users at
BUG: MAX_LOCKDEP_CHAINS too low!
turning off the locking correctness validator.
rust_kernel: panicked at rust/queue/pump.rs:12:5:
pagealloc: memory corruption
kernel: BUG: scheduling while atomic: insmod/120/0x00000002
""".strip().split("\n")


class Gates(unittest.TestCase):
    def tap(self, text):
        return gates.gate_tap(gates.read_tap(text))

    def test_good_run_passes_all(self):
        streams = gates.read_tap(GOOD)
        self.assertEqual(gates.gate_exit("0"), [])
        self.assertEqual(gates.gate_tap(streams), [])
        self.assertEqual(gates.gate_log(LOG, ["kmemleak report ends"]), [])
        self.assertEqual(gates.gate_skips(streams, set()), [])
        self.assertEqual(sum(s.passed for s in streams), 5)

    def test_exit_refuses_failure_and_silence(self):
        self.assertIn("exit code 3", gates.gate_exit("3")[0])
        self.assertIn("no exit code", gates.gate_exit("")[0])

    def test_a_failed_point_says_why(self):
        why = "not ok 2 - its policy\n    # Traceback:\n    # AssertionError: 3\n    other words\n    # of another"
        found = self.tap(GOOD.replace("ok 2 - its policy", why))
        self.assertEqual(found, ["policy.py: not ok 2 - its policy # AssertionError: 3"])
        # What follows belongs to the next script.
        whole = self.tap(GOOD.replace("ok 1 - policy.py", "not ok 1 - policy.py").replace(
            "# Subtest: wire", "# Subtest: wire\n# wire took 3 s"))
        self.assertEqual(whole, ["runner: not ok 1 - policy.py"])
        last = self.tap(GOOD.replace("ok 1 - speaks", "not ok 1 - speaks\n    # why"))
        self.assertEqual(last, ["wire: not ok 1 - speaks # why"])

    def test_tap_refuses_a_failed_point(self):
        self.assertIn("not ok 2 - its policy", self.tap(GOOD.replace("ok 2 - its", "not ok 2 - its"))[0])
        self.assertTrue(self.tap(GOOD.replace("ok 2 - wire", "not ok 2 - wire")))

    def test_tap_refuses_missing_and_extra_points(self):
        self.assertIn("1 of 2 planned", self.tap(GOOD.replace("    ok 2 - its policy is the spec's\n", ""))[0])
        self.assertIn("1 of 2 planned", self.tap(GOOD[: GOOD.index("# Subtest: wire")])[0])
        self.assertTrue(self.tap(GOOD.replace("    ok 1 - speaks", "    ok 1 - speaks\n    ok 2 - too much")))

    def test_tap_refuses_a_run_cut_off_inside_a_script(self):
        self.assertTrue(self.tap(GOOD[: GOOD.index("    ok 2 - its")]))

    def test_tap_refuses_a_missing_late_or_empty_plan(self):
        self.assertIn("no plan", self.tap(GOOD.replace("    1..1\n", ""))[0])
        late = GOOD.replace("    1..1\n    ok 1 - speaks\n", "    ok 1 - speaks\n    1..1\n")
        self.assertTrue(self.tap(late))
        self.assertTrue(self.tap("1..0\n"))
        self.assertIn("no plan", self.tap("")[0])
        self.assertIn("no plan", self.tap(GOOD.replace("    1..1\n    ok 1 - speaks\n", ""))[0])

    def test_tap_refuses_wrong_numbers(self):
        self.assertTrue(self.tap(GOOD.replace("    ok 2", "    ok 3")))
        self.assertTrue(self.tap(GOOD.replace("    ok 2 - its", "    ok - its")))

    def test_tap_refuses_a_bail_out_and_a_failed_todo(self):
        self.assertTrue(self.tap(GOOD + "Bail out! no module\n"))
        self.assertTrue(self.tap(GOOD.replace("ok 1 - speaks", "not ok 1 - speaks # TODO later")))

    def test_log_refuses_every_complaint(self):
        for line in BAD_LOGS:
            with self.subTest(line):
                found = gates.gate_log(LOG + "[  12.3] " + line + "\n")
                self.assertEqual(len(found), 1, found)
                self.assertIn("console line 4", found[0])

    def test_log_refuses_what_is_missing(self):
        self.assertIn("kmemleak report ends", gates.gate_log("boot\n", ["kmemleak report ends"])[0])
        self.assertIn("empty", gates.gate_log("")[0])

    def test_skips_need_the_allow_list(self):
        streams = gates.read_tap(GOOD.replace("ok 1 - speaks", "ok 1 - speaks # SKIP no netem"))
        self.assertEqual(gates.gate_tap(streams), [])
        self.assertEqual(gates.gate_skips(streams, set()), ["skipped, and not allowed: wire: speaks"])
        self.assertEqual(gates.gate_skips(streams, gates.read_allowed("# why\nwire: speaks  # netem\n")), [])

    def test_program_counts_and_fails(self):
        def run(exit_code, output, console, *more):
            with tempfile.TemporaryDirectory() as folder:
                paths = {}
                for name, text in (("output", output), ("console", console), ("allowed-skips", "")):
                    paths[name] = Path(folder, name)
                    paths[name].write_text(text, encoding="utf-8")
                argv = [sys.executable, gates.__file__, "--exit", exit_code, *more]
                for name, path in paths.items():
                    argv += [f"--{name}", str(path)]
                done = subprocess.run(argv, capture_output=True, text=True, check=False)
            return done.returncode, done.stdout.strip().split("\n")

        code, lines = run("0", GOOD, LOG)
        self.assertEqual((code, lines), (0, ["10 passed, 0 failed"]))
        code, lines = run("", GOOD.replace("ok 1 - speaks", "not ok 1 - speaks"), LOG + "Oops: 0002\n")
        self.assertEqual(code, 1)
        self.assertEqual([line.split(":")[0] for line in lines[:-1]], ["gate exit", "gate tap", "gate log"])
        self.assertEqual(lines[-1], "6 passed, 4 failed")
        code, lines = run("0", GOOD, LOG, "--must", "not there")
        self.assertEqual((code, lines[-1]), (1, "9 passed, 1 failed"))
        code, lines = run("0", GOOD + "    Exception in thread Thread-1 (run):\n", LOG)
        self.assertEqual((code, lines[-1]), (1, "9 passed, 1 failed"))


if __name__ == "__main__":
    unittest.main()
