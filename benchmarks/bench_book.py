"""L2 book: pre-parsed level changes of a recording into a fresh book, best and counts kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from apex._core.book import Book
from benchmarks import inputs
from benchmarks.model import Benchmark, Side
from benchmarks.timing import Clock
from benchmarks.workers import OURS, Workers

BUY, SELL = 1, 2
LIMITS = {"usdm": 10.0, "spot": 13.0}
LEAST = {"usdm": {"nautilus": 30.0, "sortedcontainers": 60.0}, "spot": {}}

PLANNED = {f"book_l2_{chain}": Benchmark(f"book_l2_{chain}", "ns", "level", LIMITS[chain], (), LEAST[chain])
           for chain in LIMITS}


def benchmarks(name: str, workers: Workers, short: bool) -> list[Benchmark]:
    """book_l2_usdm, book_l2_spot. Raises Missing."""
    chain = name.removeprefix("book_l2_")
    packed, levels, counts = inputs.depth(chain)
    sides = (Side("", OURS, __name__, "Ours", {"path": str(packed), "count": counts["levels"]}),)
    return [Benchmark(name, "ns", "level", LIMITS[chain], sides, LEAST[chain], rounds=(15, 5))]


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
