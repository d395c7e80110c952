"""L2 book: pre-parsed level changes of a recording into a fresh book, best and counts kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from apex._core.book import Book
from benchmarks import inputs
from benchmarks.harness.build import build
from benchmarks.model import Benchmark, Side
from benchmarks.timing import Clock
from benchmarks.workers import NATIVE, OURS, PEERS

BUY, SELL = 1, 2
LIMITS = {"usdm": 10.0, "spot": 13.0}
LEAST = {"usdm": {"nautilus": 30.0, "sortedcontainers": 60.0}, "spot": {}}

PLANNED = {f"book_l2_{chain}": Benchmark(f"book_l2_{chain}", "ns", "level", LIMITS[chain], (), LEAST[chain],
                                               rounds=(15, 5))
           for chain in LIMITS}


def benchmarks(name: str, short: bool) -> list[Benchmark]:
    """book_l2_usdm, book_l2_spot. Raises Missing."""
    build()
    packed, levels, facts = inputs.depth(name.removeprefix("book_l2_"))
    count = facts["levels"]
    plain = {"levels": str(levels), "count": count}
    sides = (
        Side("", OURS, __name__, "Ours", {"path": str(packed), "count": count}, samples=True),
        Side("nautilus", "nautilus", f"{PEERS}.nautilus_rounds", "Book",
             {**plain, "tick": facts["tick"], "lot": facts["lot"]}),
        Side("sortedcontainers", "plain", f"{PEERS}.plain_rounds", "SortedBook", plain),
        Side("C++ std::map", NATIVE, f"{PEERS}.native_rounds", "Book", {**plain, "source": "std_map"}),
        Side("C++ fixed window", NATIVE, f"{PEERS}.native_rounds", "Book", {**plain, "source": "window"}),
    )
    return [replace(PLANNED[name], sides=sides)]


class Ours:
    """Packed batches into `Book.apply`."""

    def __init__(self, path: str, count: int) -> None:
        with np.load(path) as archive:
            self.arrays = [np.ascontiguousarray(archive[name]) for name in ("batches", "levels", "rows")]
        self.count = count

    def round(self) -> dict[str, Any]:
        book = Book(synced=False)
        with Clock() as clock:
            book.apply(*self.arrays)
        return clock.result(self.count, {
            "bid_ticks": book.bid_ticks, "ask_ticks": book.ask_ticks,
            "bid_levels": book.level_count(BUY), "ask_levels": book.level_count(SELL),
        })

    def samples(self) -> list[float]:
        """Nanoseconds a level of each message, a reading of the clock included."""
        from benchmarks.harness.frames import book_times

        times = np.zeros(len(self.arrays[0]))
        book_times(*self.arrays, times)
        return times.tolist()
