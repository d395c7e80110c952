"""Order-by-order books: changes of orders into a fresh book, queue positions kept; and replay of their recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apex._core.l3 import L3Book
from apex.app.build import build_replay
from apex.app.options import ReplayOptions
from apex.app.replay import CHUNK, open_tapes
from benchmarks import inputs
from benchmarks.model import Benchmark, Side
from benchmarks.timing import Clock, warm
from benchmarks.workers import OURS, PEERS

BUY, SELL = 1, 2
LOOPS = 10
LOOPS_SHORT = 3
CASES = ("lobster", "mbo")
UPDATE_MAX = 60.0
MESSAGE_MAX = 125.0
"""Nanoseconds: 8 M messages a second."""
PLANNED = {
    "book_l3": Benchmark("book_l3", "ns", "change", UPDATE_MAX, (), rounds=(15, 5)),
    "replay_l3": Benchmark("replay_l3", "ns", "message", MESSAGE_MAX, ()),
}


def benchmarks(name: str, short: bool) -> list[Benchmark]:
    """book_l3 and replay_l3, of LOBSTER's AMZN and of CME's MBO each. Raises Missing."""
    return [(_book if name == "book_l3" else _replay)(case, short) for case in CASES]


def _book(case: str, short: bool) -> Benchmark:
    packed, plain, facts = inputs.orders(case)
    peers = {"orders": str(plain), "count": facts["changes"]}
    sides = (
        Side("", OURS, __name__, "Ours", {"path": str(packed), "count": facts["changes"]}),
        Side("nautilus", "nautilus", f"{PEERS}.nautilus_rounds", "Orders",
             {**peers, "tick": facts["tick"], "lot": facts["lot"]}),
        Side("sortedcontainers", "plain", f"{PEERS}.plain_rounds", "SortedOrders", peers),
    )
    return replace(PLANNED["book_l3"], case=case, sides=sides)


def _replay(case: str, short: bool) -> Benchmark:
    loops = LOOPS_SHORT if short else LOOPS
    one, tape, table, messages = inputs.order_replay(case, loops)
    peers = {"npz": str(table), "loops": loops, "period_ns": inputs.period_ns(one), "messages": messages * loops}
    sides = (
        Side("", OURS, __name__, "Replay", {"tape": str(tape), "messages": messages * loops}),
        Side("hftbacktest HashMap", "hftbacktest", f"{PEERS}.hftbacktest_rounds", "Orders",
             {**peers, **inputs.steps(one)}),
    )
    return replace(PLANNED["replay_l3"], case=case, sides=sides)


class Ours:
    """Packed rows of orders into `L3Book.apply`."""

    def __init__(self, path: str, count: int) -> None:
        with np.load(path) as archive:
            self.arrays = [np.ascontiguousarray(archive[name]) for name in ("batches", "levels", "rows")]
        self.count = count

    def round(self) -> dict[str, Any]:
        book = L3Book(synced=False)
        with Clock() as clock:
            book.apply(*self.arrays)
        return clock.result(self.count, {
            "bid_ticks": book.book.bid_ticks, "ask_ticks": book.book.ask_ticks, "orders": len(book),
            "bid_levels": book.book.level_count(BUY), "ask_levels": book.book.level_count(SELL),
        })


class Replay:
    """A replay without a strategy: both views' books, the fifo queue on, in compat as the peer is."""

    def __init__(self, tape: str, messages: int) -> None:
        self.path, self.messages = Path(tape), messages
        warm(tape)

    def round(self) -> dict[str, Any]:
        tapes = open_tapes([self.path])
        try:
            run = build_replay(tapes, None, ReplayOptions(fill_mode="compat", queue="fifo"))
            clock, over = Clock(), False
            with clock:
                while not over:
                    over = run.driver.run(CHUNK)
                    for number, batch in run.driver.positions():
                        run.tapes[number].release(batch)
            mid2 = run.engine.mid2(0)
        finally:
            for tape in tapes:
                tape.close()
        return clock.result(self.messages, {"mid2": mid2})
