"""The strict venue on market-by-order data, in plain Python, from docs/decisions/012-orders-and-queues.md.

Our orders stand as marks in the lists of the venue's queues, so that who is behind whom is a place in a list.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from tests.oracles.book import BUY
from tests.oracles.l3 import ListBook
from tests.oracles.matching import Resting, StrictVenue, other

Row = tuple[str, int, int, int, int, str]
"""(kind, id, side, ticks, lots, flag): kinds of ListBook, flag "", "sight" or "off market"."""


class MarkedBook(ListBook):
    """Beside each queue a line of its ids, in which marks of ours stand too."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[tuple[int, int], list[Any]] = {}

    def line(self, place: tuple[int, int]) -> list[Any]:
        return self.lines.setdefault(place, [])

    def _enter(self, id: int, side: int, ticks: int, lots: int) -> None:
        super()._enter(id, side, ticks, lots)
        self.line((side, ticks)).append(id)

    def _remove(self, place: tuple[int, int], entry: list[int]) -> None:
        super()._remove(place, entry)
        self.line(place).remove(entry[0])


class OrderVenue(StrictVenue):
    """Rows of orders instead of levels; queue "fifo", or any of the models on the totals."""

    def __init__(self, queue: str = "fifo", n: float = 1.0, lot: tuple[int, int] = (1, 3)) -> None:
        self.fifo = queue == "fifo"
        super().__init__("risk-averse" if self.fifo else queue, n, lot)
        self.orders_book = MarkedBook()
        self.book = self.orders_book.totals
        self.marks: dict[Resting, object] = {}

    # ---- market data

    def snapshot(self) -> None:
        self.orders_book.clear()
        self.used.clear()
        self.synced = True

    def clear(self, side: int, to: int | None) -> None:
        self.orders_book.clear(side, to)
        for place in list(self.used):
            if side in (0, place[0]) and (to is None or (place[1] >= to if side == BUY else place[1] <= to)):
                del self.used[place]
        if self.fifo and to is None:
            for order in [o for o in self.orders if side in (0, o.side)]:
                self.orders.remove(order)
                self.reply(order.key, "expired", order.price, order.lots, "cleared")

    def trade(self, side: int, ticks: int, lots: int) -> None:
        if not self.fifo:
            super().trade(side, ticks, lots)

    def order(self, kind: str, id: int, side: int, ticks: int, lots: int, flag: str) -> None:
        if not self.synced:
            return
        book = self.orders_book
        found = book.find(id)
        stands = found[0] if found else (side, ticks)
        if kind in ("execute", "fill") and flag != "off market":
            if self.fifo:
                self.executed(stands, id if found else None, lots)
            elif kind == "execute":
                super().trade(other(stands[0]), ticks, lots)
        places = {stands} | ({(side, ticks)} if kind in ("add", "modify") and side else set())
        before = {place: self.total(place) for place in places}
        book.row(kind, id, side, ticks, lots)
        if kind in ("add", "modify") and flag == "sight" and self.fifo:
            line = book.line((side, ticks))
            mine = [x for x in line if not isinstance(x, int)]
            line[:] = [x for x in line if isinstance(x, int)] + mine
        changed = [place for place in places if self.total(place) != before[place]]
        for place in changed:
            self.used.pop(place, None)
            for order in self.orders:
                if (order.side, order.price) == place and not self.fifo:
                    order.queue.depth(before[place], self.total(place))
                    order.careful.depth(before[place], self.total(place))
        for one in {place[0] for place in changed}:
            prices = sorted((price for at, price in changed if at == one), reverse=one == BUY)
            for order, price in product(self.ranked(other(one)), prices):
                if price <= order.price if order.side == BUY else price >= order.price:
                    there = self.total((one, price)) - self.used.get((one, price), 0)
                    self.use(one, price, self.fill(order, min(there, order.left), order.price, maker=True))

    def total(self, place: tuple[int, int]) -> int:
        return sum(lots for _, lots in self.orders_book.queue(*place))

    def executed(self, stands: tuple[int, int], id: int | None, lots: int) -> None:
        """Lots of an order were taken: ours that a taker would have met before it get them."""
        side, ticks = stands
        for order in self.ranked(side):
            better = order.price > ticks if side == BUY else order.price < ticks
            line = self.orders_book.line(stands)
            if better or (order.price == ticks and id is not None
                          and line.index(self.marks[order]) < line.index(id)):
                lots -= self.fill(order, min(lots, order.left), order.price, maker=True)

    # ---- requests

    def enter(self, order: Resting, market: bool = False) -> None:
        super().enter(order, market)
        if order in self.orders:
            self.marks[order] = object()
            self.orders_book.line((order.side, order.price)).append(self.marks[order])


