"""The workloads: what the load generator is told (bench/src/bin/load/main.rs), and the unit of the
figures. `requests` make a span; spans are long enough that what happens once in a while
happens in each of them.
"""

import dataclasses

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Workload:
    title: str
    work: str
    size: int
    connections: int
    requests: int
    fresh: bool = False
    # So many uploads of 64 MiB go on beside, and what is measured is how long each request takes.
    beside: int = 0

    @property
    def unit(self):
        return "request" if self.size < 1024 else "MiB"

    def units(self, requests):
        """How many units so many requests are."""
        return requests if self.unit == "request" else requests * self.size / MIB

    def arguments(self):
        return {"work": self.work, "size": self.size, "connections": self.connections,
                "fresh": "yes" if self.fresh else "no"}


WORKLOADS = {
    "put64m": Workload("upload 64 MiB, one at a time", "put", 64 * MIB, 1, 2),
    "put1m": Workload("upload 1 MiB, 8 at once", "put", MIB, 8, 192),
    "put64k": Workload("upload 64 KiB, 8 at once", "put", 64 << 10, 8, 512),
    "down64m": Workload("download 64 MiB, one at a time", "get", 64 * MIB, 1, 2),
    "down1m": Workload("download 1 MiB, 8 at once", "get", MIB, 8, 384),
    "down64k": Workload("download 64 KiB, 8 at once", "get", 64 << 10, 8, 512),
    "get": Workload("small GET, 64 connections", "get", 100, 64, 1024),
    "new": Workload("small GET on a new connection, 8 at once", "get", 100, 8, 256, fresh=True),
    "p99": Workload("small GET beside 8 uploads", "get", 100, 1, 600, beside=8),
}
