"""What the engine makes of market-by-order rows: its book, bars and features; and queues where there are no orders."""

from __future__ import annotations

from typing import Any

import pytest

from apex._core.engine import STATES, Strategy
from tests.core.assembly import BUY, SELL, START, Hooks, Run
from tests.core.test_matching import Sender, walked
from tests.core.test_orders import Messages, OrderMarket, order_rows
from tests.oracles.l3 import ListBook
from tests.oracles.matching import AMEND, PLACE


class Looker(Strategy):
    """Notes the book, each nanosecond."""

    waits_for_book = False

    def __init__(self, end: int) -> None:
        super().__init__(None)
        self.end, self.seen = end, dict[int, Any]()

    def on_start(self, view: Any) -> None:
        view.at(START)

    def on_timer(self, view: Any) -> None:
        self.seen[view.now] = (view.bid_ticks, view.bid_lots, view.ask_ticks, view.ask_lots)
        if view.now < self.end:
            view.at(view.now + 1)


@pytest.mark.parametrize("seed", range(3))
def test_the_local_book_is_the_orders_total(seed: int) -> None:
    """Lost otherwise: a strategy that sees another book than the venue's orders make."""
    market = OrderMarket(seed, 400)
    data = [message for message in market.data if message[0] < START + 3000]
    book, synced = ListBook(), False
    want: dict[int, Any] = {}
    for ts, kind, rows in data:
        if kind == "snapshot":
            book, synced = ListBook(), True
        elif kind == "gap":
            synced = False
        for row in rows if kind == "clear" else []:
            book.clear(*row)
        for row in rows if kind == "order" and synced else []:
            book.row(*row[:5])
        best = [book.totals.best(side) for side in (BUY, SELL)]
        lots = [0 if b is None else book.totals.sides[s][b] for s, b in zip((BUY, SELL), best, strict=True)]
        want[ts + 7] = (best[0], lots[0], best[1], lots[1])
    looker = Looker(data[-1][0] + 8)
    run = Run(order_rows(data), [looker]).run()
    assert {ts: looker.seen[ts] for ts in want} == want
    assert len(want) > 100
    stepped = Run(order_rows(data))
    stepped.engine.start(START)
    stepped.engine.step(order_rows(data))
    assert stepped.engine.mid2(0) == run.engine.mid2(0)


def test_executions_are_trades() -> None:
    """Lost otherwise: bars and trade features that know nothing where a venue tells only executions, or count twice
    where it tells both."""
    bars: list[Any] = []
    signs: list[Any] = []
    hooks = Hooks(on_start=lambda v: (v.on_bar("100ns"), v.feature("trade_sign")),
                  on_bar=lambda v: (bars.append(v.bar), signs.append(v.feature("trade_sign"))))
    data: Messages = [(START, "snapshot", []), (START, "order", [
        ("add", 1, BUY, 100, 50, ""), ("add", 2, SELL, 102, 50, ""), ("add", 3, SELL, 103, 50, "")])]
    rows = [("execute", 2, SELL, 102, 3, ""), ("execute", 1, BUY, 100, 2, ""),
            ("execute", 3, SELL, 103, 4, "off market"), ("fill", 3, SELL, 103, 6, ""), ("execute", 9, SELL, 104, 1, "")]
    data += [(START + 110 + n, "order", [row]) for n, row in enumerate(rows)]
    data += [(START + 120, "trade", [(BUY, 103, 6)]), (START + 400, "order", [("delete", 1, BUY, 100, 0, "")])]
    Run(order_rows(data), [hooks]).run()
    bar = bars[0]
    assert (bar.open, bar.high, bar.low, bar.close) == (102, 104, 100, 103)
    assert (bar.volume, bar.taker_buy, bar.trades) == (12, 10, 4)
    assert signs[0] == 1


def test_a_missing_queue_position_is_no_fill() -> None:
    """Lost otherwise: fills of a fifo queue on a recording of levels, whose orders nobody knows."""
    data: Messages = [(START, "snapshot", []), (START, "level", [(BUY, 100, 5), (SELL, 102, 5)]),
                      (START + 20, "trade", [(SELL, 100, 50)])]
    run = walked(Run(order_rows(data), [Sender([(START + 10, (PLACE, BUY, 100, 3, "GTC"))])], queue="fifo"), 1)
    assert len(run.fills) == 0


def test_a_compat_amendment_rests_where_it_is_put() -> None:
    """Lost otherwise: hftbacktest's orders, whose new quantity is whole and whose new price may cross the book."""
    book: Messages = [(START, "snapshot", []), *((START + n, "order", [row]) for n, row in enumerate((
        ("add", 1, BUY, 100, 5, ""), ("add", 2, BUY, 100, 5, ""), ("add", 9, SELL, 103, 5, ""))))]
    later: Messages = [(START + 40, "order", [("add", 3, SELL, 104, 1, "")]), (START + 50, "order", [
        ("add", 4, SELL, 100, 1, "")])]
    sent = [(START + 10, (PLACE, BUY, 100, 3, "GTC")), (START + 20, (AMEND, 0, 103, 7))]
    run = walked(Run(order_rows(book + later), [Sender(sent)], queue="fifo", compat=True), 1)
    assert [(int(f["ts_venue_ns"]) - START, int(f["price_ticks"]), int(f["quantity_lots"])) for f in run.fills] == [
        (50, 103, 7)]
    stays = [(START + 10, (PLACE, BUY, 100, 3, "GTC")), (START + 20, (AMEND, 0, 100, 2))]
    taken: Messages = [(START + 15, "order", [("add", 5, BUY, 100, 5, "")]), (START + 30, "order", [
        ("fill", 5, BUY, 100, 1, "")])]
    run = walked(Run(order_rows(book + taken), [Sender(stays)], queue="fifo", compat=True), 1)
    assert [int(f["quantity_lots"]) for f in run.fills] == [2]


def test_a_compat_clear_ends_our_orders() -> None:
    """Lost otherwise: orders that rest on where hftbacktest has none any more."""
    for kind, rows in (("snapshot", []), ("clear", [(BUY, None)]), ("clear", [(BUY, 90)]), ("clear", [(SELL, None)])):
        data: Messages = [(START, "snapshot", []), (START, "order", [("add", 1, BUY, 100, 5, "")]),
                          (START + 30, kind, rows)]
        sent = [(START + 10, (PLACE, BUY, 100, 3, "GTC"))]
        run = walked(Run(order_rows(data), [Sender(sent)], queue="fifo", compat=True), 1)
        assert STATES[int(run.orders["state"][0])] == ("expired" if rows != [(SELL, None)] else "open")
