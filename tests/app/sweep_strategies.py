"""Strategies that the workers of a sweep import by name."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import apex


class Maker(apex.Strategy):
    """Quotes both sides now and then; raises at one width."""

    class Params(apex.Params):
        away: int = apex.bound(1, low=0, high=50)
        lots: int = 1
        size: float = 1.0
        fills: str = "a name that a column has too"
        bad: int = -1

    params: Any

    def on_start(self, view: Any) -> None:
        view.every("50ms")

    def on_timer(self, view: Any) -> None:
        if self.params.away == self.params.bad:
            raise RuntimeError(f"away is {self.params.away}")
        view.cancel_all()
        if view.bid_ticks is not None and view.ask_ticks is not None:
            view.limit("buy", view.bid_ticks - self.params.away, self.params.lots, "GTX")
            view.limit("sell", view.ask_ticks + self.params.away, self.params.lots, "GTX")


class Reactor(Maker):
    """Sells what it has bought in the call of the fill, and the other way round."""

    def on_fill(self, view: Any) -> None:
        if view.fill.maker:
            view.market("sell" if view.fill.side == "buy" else "buy", view.fill.quantity_lots)


class Watcher(Maker):
    """Notes now and then, for a minute, what the view says between its own orders."""

    def on_start(self, view: Any) -> None:
        super().on_start(view)
        self.seen: list[tuple[int, int, list[int]]] = []
        self.until = view.now + 60 * 10**9
        view.at(view.now + 7_333_333)

    def on_timer(self, view: Any) -> None:
        if view.now % 50_000_000 == 0:
            super().on_timer(view)
            return
        ids = sorted(order.id for order in view.orders)
        self.seen.append((view.now, view.position_lots, ids))
        if view.now < self.until:
            view.at(view.now + 77_777_777)


class Modules(apex.Strategy):
    """Writes down what its process holds, after a whole replay."""

    class Params(apex.Params):
        n: int = 0

    params: Any

    def on_start(self, view: Any) -> None:
        view.every("100ms")

    def on_timer(self, view: Any) -> None:
        view.limit("buy", view.bid_ticks, 1, "GTC")

    def on_stop(self, view: Any) -> None:
        name = f"modules{self.params.n}.{os.getpid()}.json"
        Path(name).write_text(json.dumps(sorted(sys.modules)), encoding="utf-8")


class Endless(apex.Strategy):
    """Never comes to an end, and says which process it is in."""

    class Params(apex.Params):
        n: int = 0

    waits_for_book = False
    told = False

    def on_start(self, view: Any) -> None:
        view.at(view.now)

    def on_timer(self, view: Any) -> None:
        if not self.told:
            os.write(1, b"begun %d\n" % os.getpid())  # in one piece, whatever Python's buffering
            self.told = True
        view.at(view.now + 1)


class Prints(apex.Strategy):
    """Prints to stdout."""

    class Params(apex.Params):
        n: int = 0

    def on_start(self, view: Any) -> None:
        print("hello")
