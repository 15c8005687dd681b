"""Allocations that fail, on the debug kernel: by chance in kernel threads, where the module's
work items run, or the n-th one of a command in the task that sends it.

What the kernel itself ignores by default is put aside: allocations that may wait fail, too.
"""

import os

FOLDERS = ("/sys/kernel/debug/fail_page_alloc/", "/sys/kernel/debug/failslab/")


def set_all(**values):
    for folder in FOLDERS:
        for name, value in values.items():
            set_one(folder, name, value)


def set_one(folder, name, value):
    with open(folder + name.replace("_", "-"), "w", encoding="ascii") as f:
        f.write(str(value))


class Starving:
    """Lets allocations fail in kernel threads, `probability` of a hundred, and counts them.

    That they may, in-guest.sh says to each of them: from its namespaces a script sees none.
    """

    MANY = 1000000

    def __init__(self, probability=30):
        self.probability = probability

    def __enter__(self):
        set_all(task_filter="Y", ignore_gfp_wait="N", verbose=0, interval=1, times=self.MANY)
        set_one(FOLDERS[0], "min_order", 0)
        set_all(probability=self.probability)
        return self

    def failed(self):
        def left(folder):
            with open(folder + "times", encoding="ascii") as f:
                return int(f.read())

        return [self.MANY - left(folder) for folder in FOLDERS]

    def __exit__(self, *_):
        set_all(probability=0)


class Nth:
    """The block in which allocation number `n` of this thread fails; none, if `n` is zero.

    `left` says afterwards how many were missing: zero, if there were so many and one failed.
    Nothing but the system call in question may stand in the block.
    """

    FILE = "/proc/thread-self/fail-nth"

    @staticmethod
    def allow(pages=True):
        """To be called once before, and with another `pages`: whether pages count, too."""
        set_all(ignore_gfp_wait="N", verbose=0)
        # No page is of so high an order.
        set_one(FOLDERS[0], "min_order", 0 if pages else 20)

    def __init__(self, n):
        self.n, self.left = n, 1

    def __enter__(self):
        if self.n:
            self.file = os.open(self.FILE, os.O_RDWR)
            os.pwrite(self.file, b"%d" % self.n, 0)
        return self

    def __exit__(self, *_):
        if self.n:
            self.left = int(os.pread(self.file, 20, 0))
            os.pwrite(self.file, b"0", 0)
            os.close(self.file)
