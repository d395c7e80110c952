"""The market generator alone: rows of every scenario, and orders of one, without checks and writing of a tape."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from typing import Any

from apex._core.market import Market
from apex.app.generate_command import find, shipped
from benchmarks.model import Benchmark, Side
from benchmarks.timing import Clock
from benchmarks.workers import OURS

PLANNED = {"generate": Benchmark("generate", "ns", "row", 1e9 / 5_000_000, (), case="default")}
"""At least 5 million rows a second."""
ROWS, SHORT_ROWS = 4_000_000, 1_000_000
CHUNK = 1 << 16


def benchmarks(name: str, short: bool) -> list[Benchmark]:
    """generate: a measurement of the plain market, and of every scenario."""
    cases = ["default", *shipped(), "btc l3"]
    args = {"rows": SHORT_ROWS if short else ROWS}
    return [replace(PLANNED["generate"], case=case, sides=(
        Side("", OURS, __name__, "Generate", {"scenario": case, **args}),)) for case in cases]


class Generate:
    """Rows of a market, chunk by chunk; every round the same market."""

    def __init__(self, scenario: str, rows: int) -> None:
        self.rows = rows
        name, _, book = scenario.partition(" ")
        self.found, self.by_order = None if name == "default" else find(name), book == "l3"

    def market(self) -> Market:
        if self.found is None:
            return Market(7, self.rows, [600_000])
        return Market(7, self.rows, self.found.price_ticks, self.found.rules, self.found.news,
                      self.by_order)

    def round(self) -> dict[str, Any]:
        clock, digest, batches_made = Clock(), blake2b(digest_size=16), 0
        with clock:
            market = self.market()
        while market.rows_left:
            with clock:
                batches, levels, orders = market.take(CHUNK)
            batches_made += len(batches)
            digest.update(batches.data)
            digest.update(levels.data)
            digest.update(orders.data)
        market._check()
        return clock.result(self.rows, {"messages": batches_made, "rows": digest.hexdigest()})
