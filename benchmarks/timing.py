"""Clocks of a round. Standard library only."""

from __future__ import annotations

import time
from typing import Any


class Clock:
    """Times a block: CPU time of this thread, and wall time beside it.

    >>> with Clock() as clock:
    ...     pass
    >>> sorted(clock.result(10, facts={}))
    ['facts', 'value', 'wall']
    """

    cpu = wall = 0

    def __enter__(self) -> Clock:
        self._wall, self._cpu = time.perf_counter_ns(), time.thread_time_ns()
        return self

    def __exit__(self, *error: object) -> None:
        self.cpu += time.thread_time_ns() - self._cpu
        self.wall += time.perf_counter_ns() - self._wall

    def result(self, count: int, facts: dict[str, Any]) -> dict[str, Any]:
        """What a round answers: CPU and wall nanoseconds of one of `count` items, and facts that peers must share."""
        return {"value": self.cpu / count, "wall": self.wall / count, "facts": facts}


def memory() -> int:
    """Anonymous and shared memory of this process, bytes."""
    with open("/proc/self/status", encoding="ascii") as stream:
        sizes = dict(line.split(":", 1) for line in stream)
    return sum(int(sizes[name].split()[0]) for name in ("RssAnon", "RssShmem")) * 1024


def warm(*paths: str) -> None:
    """Read files once, so that no round waits for the disk."""
    for path in paths:
        with open(path, "rb", buffering=0) as stream:
            while stream.read(1 << 20):
                pass
