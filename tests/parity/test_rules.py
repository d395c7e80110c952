"""hftbacktest's rules on hand-made markets: queue positions, takers, refusals, crossed books."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apex
from apex._core.engine import STATES
from apex.importers.hftbacktest import import_hftbacktest
from tests.parity.cases import BUY, CLEAR, COLUMNS, DEPTH, EXCH, LOCAL, MS, NO_PRICE, ROW, SELL, SNAPSHOT, START, TRADE

Event = tuple[float, int, float, float]
Order = tuple[float, str, str, str, str, float | None]
Play = Callable[..., Any]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    """Replay events (ms, kind and side, price, quantity) and orders (ms, side, price, quantity, tif, cancel ms)."""

    def run(events: list[Event], orders: list[Order], *, tick: str = "0.1", lot: str = "0.1", **options: Any) -> Any:
        table = np.zeros(len(events), ROW)
        for row, (ms, kind, price, quantity) in zip(table, events, strict=True):
            row["ev"], row["exch_ts"] = kind | EXCH | LOCAL, START + round(ms * MS)
            row["local_ts"] = row["exch_ts"]
            row["px"], row["qty"] = np.nan if price == NO_PRICE else price, quantity
        np.savez(tmp_path / "market.npz", data=table)
        import_hftbacktest([tmp_path / "market.npz"], tmp_path / "market.tape", tick=[tick], lot=[lot], symbol="X")
        with (tmp_path / "orders.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(COLUMNS)
            for number, (ms, side, price, quantity, tif, cancel) in enumerate(orders, start=1):
                until = "" if cancel is None else START + round(cancel * MS)
                writer.writerow([START + round(ms * MS), number, side, price, quantity, tif, until])
        options = {"order_latency": "10ms", "response_latency": "10ms", **options}
        return apex.replay(tmp_path / "market.tape", orders=str(tmp_path / "orders.csv"), fill_mode="compat", **options)

    return run


def snapshot(quantity: float = 10.0) -> list[Event]:
    """Bids 100.0, 99.9 ... 99.6 and asks 100.1 ... 100.5."""
    bids = [(0.0, SNAPSHOT | BUY, 1000 / 10 - i / 10, quantity) for i in range(5)]
    return [(ms, kind, round(price, 1), q) for ms, kind, price, q in bids] + [
        (0.0, SNAPSHOT | SELL, round(100.1 + i / 10, 1), quantity) for i in range(5)]


def fills(result: Any) -> list[tuple[int, float, int, float, bool]]:
    """(id, ms, tick, quantity, maker) of every fill."""
    table = result.fills
    return [(int(r.id), (int(r.ts_venue) - START) / MS, int(r.price_ticks), round(float(r.quantity), 9), bool(r.maker))
            for r in table.itertuples()]


def ends(result: Any) -> list[tuple[str, float]]:
    """(status, ms at the venue) of every order."""
    table = result.orders
    return [(r.status, (int(r.ts_venue) - START) / MS if r.ts_venue else 0.0) for r in table.itertuples()]


@pytest.mark.parametrize(("queue", "filled"), [
    ("risk-averse", 88), ("power-prob:2", 83), ("power-prob2:2", 76), ("power-prob3:3", 87), ("log-prob", 78),
    ("log-prob2", 85),
])
@pytest.mark.parametrize("side", ["buy", "sell"])
def test_golden_scenario_of_each_queue_model(play: Play, queue: str, filled: int, side: str) -> None:
    """Lost otherwise: the queue models' fill times, which hftbacktest and an independent program agree on.

    Source: the golden vectors A, mirrored for the sell.
    """
    buys = side == "buy"
    own, price = (BUY, 100.0) if buys else (SELL, 100.1)
    against = SELL if buys else BUY
    events = [*snapshot(), (40, DEPTH | own, price, 30.0), (50, DEPTH | own, price, 22.0),
              (60, TRADE | against, price, 1.0), (60, DEPTH | own, price, 18.0)]
    events += [(70 + i, TRADE | against, price, 0.5) for i in range(40)]
    result = play(events, [(20, side, str(price), "3", "GTC", None)], queue=queue)
    assert fills(result) == [(1, float(filled), round(price * 10), 3.0, True)]


@pytest.mark.parametrize(("queue", "front"), [
    ("risk-averse", 40.0), ("power-prob:2", 36.923077), ("power-prob2:2", 33.6), ("power-prob3:3", 39.36),
    ("log-prob", 35.253885), ("log-prob2", 38.907403),
])
def test_one_step_of_each_queue_model(play: Play, queue: str, front: float) -> None:
    """Lost otherwise: the models' numbers; a wrong formula can still fill a coarse scenario at the right time.

    A level of 40 ahead of us grows to 100 and falls to 90. One trade tells what is ahead then: it fills us when it
    exceeds that by half a lot of 1e-6.
    """
    for lots, expected in ((round(front * 1e6) - 1, False), (round(front * 1e6) + 2, True)):
        events = [(0, SNAPSHOT | BUY, 100.0, 40.0), (0, SNAPSHOT | SELL, 100.1, 1.0), (40, DEPTH | BUY, 100.0, 100.0),
                  (50, DEPTH | BUY, 100.0, 90.0), (60, TRADE | SELL, 100.0, lots / 1e6), (90, DEPTH | BUY, 99.0, 1.0)]
        result = play(events, [(20, "buy", "100", "3", "GTC", None)], queue=queue, lot="0.000001")
        assert bool(fills(result)) is expected, (queue, lots)


def test_takers_with_partial_fills(play: Play) -> None:
    """Lost otherwise: how takers walk the levels. A GTC's rest fills at its limit; a sell takes that level before."""
    orders: list[Order] = [
        (10, "buy", "100.3", "35", "GTC", None), (20, "sell", "99.8", "35", "GTC", None),
        (30, "buy", "100.2", "25", "IOC", None), (40, "sell", "99.9", "25", "FOK", None),
        (50, "buy", "100.2", "20", "FOK", None), (60, "sell", "100.0", "1", "GTX", None),
    ]
    result = play([*snapshot(), (500, DEPTH | BUY, 99.0, 1.0)], orders, partial_fills=True)
    assert fills(result) == [
        (1, 20.0, 1001, 10.0, False), (1, 20.0, 1002, 10.0, False), (1, 20.0, 1003, 15.0, False),
        (2, 30.0, 1000, 10.0, False), (2, 30.0, 999, 10.0, False), (2, 30.0, 998, 10.0, False),
        (2, 30.0, 998, 5.0, False),
        (3, 40.0, 1001, 10.0, False), (3, 40.0, 1002, 10.0, False),
        (5, 60.0, 1001, 10.0, False), (5, 60.0, 1002, 10.0, False),
    ]
    assert ends(result) == [("filled", 20.0), ("filled", 30.0), ("partial", 40.0), ("expired", 50.0), ("filled", 60.0),
                            ("expired", 70.0)]


def test_market_orders_walk_a_hundred_ticks(play: Play) -> None:
    """Lost otherwise: the reach of market orders: 100 ticks from the ask with it, 101 from the bid."""
    asks: list[Event] = [(0, SNAPSHOT | SELL, round(100.1 + i / 10, 1), 1.0) for i in (0, 99, 100)]
    bids: list[Event] = [(0, SNAPSHOT | BUY, round(100.0 - i / 10, 1), 1.0) for i in (0, 99, 100, 101)]
    result = play([*asks, *bids, (500, DEPTH | BUY, 50.0, 1.0)],
                  [(10, "buy", "", "9", "", None), (20, "sell", "", "9", "", None)], partial_fills=True)
    assert [(number, tick) for number, _, tick, _, _ in fills(result)] == [
        (1, 1001), (1, 1100), (2, 1000), (2, 901), (2, 900)]
    assert ends(result) == [("partial", 20.0), ("partial", 30.0)]


def test_takers_without_partial_fills(play: Play) -> None:
    """Lost otherwise: the whole quantity at the best price, whatever the level holds; nothing from an empty side."""
    events: list[Event] = [*snapshot(1.0), (100, CLEAR | BUY, NO_PRICE, 0.0), (500, DEPTH | BUY, 99.0, 1.0)]
    result = play(events, [(10, "buy", "100.4", "50", "IOC", None), (20, "sell", "", "7", "", None),
                           (95, "sell", "", "7", "", None)])
    assert fills(result) == [(1, 20.0, 1001, 50.0, False), (2, 30.0, 1000, 7.0, False)]
    assert ends(result)[2] == ("expired", 105.0)


def test_an_order_filled_exactly_is_kept_until_hit(play: Play) -> None:
    """Lost otherwise: the defect that ends hftbacktest's run; ours goes on, and a cancel on its way still finds it."""
    events: list[Event] = [*snapshot(1.0), (40, TRADE | SELL, 100.0, 4.0), (90, TRADE | SELL, 100.0, 4.0),
                           (500, DEPTH | BUY, 99.0, 1.0)]
    result = play(events, [(20, "buy", "100", "3", "GTC", None)], partial_fills=True)
    assert fills(result) == [(1, 40.0, 1000, 3.0, True)]
    assert ends(result) == [("filled", 40.0)]
    result = play(events, [(10, "buy", "100", "3", "GTC", 35.0)], partial_fills=True)
    assert fills(result) == [(1, 40.0, 1000, 3.0, True)]
    assert ends(result) == [("partial", 45.0)]
    assert STATES[int(result.order_rows["state"][0])] == "canceled"


def test_a_trade_without_a_side_fills_nothing(play: Play) -> None:
    """Lost otherwise: converters write trades whose aggressor is unknown; hftbacktest passes them over."""
    events: list[Event] = [*snapshot(1.0), (40, TRADE, 99.0, 50.0), (41, TRADE, 102.0, 50.0),
                           (500, DEPTH | BUY, 99.0, 1.0)]
    result = play(events, [(10, "buy", "100", "1", "GTC", None), (10, "sell", "100.1", "1", "GTC", None)])
    assert fills(result) == []


def test_a_clear_without_a_side_clears_both(play: Play) -> None:
    """Lost otherwise: such a row holds a price of 0, which is not a price to clear to."""
    events: list[Event] = [*snapshot(), (40, CLEAR, 0.0, 0.0), (500, DEPTH | BUY, 99.0, 1.0)]
    result = play(events, [(50, "buy", "", "1", "", None), (50, "sell", "", "1", "", None),
                           (50, "buy", "101", "1", "GTC", None)])
    assert fills(result) == []
    assert [status for status, _ in ends(result)] == ["expired", "expired", "open"]


def test_orders_behind_the_best_wait_for_more_ticks_than_orders(play: Play) -> None:
    """Lost otherwise: which orders hftbacktest looks at when a clear has moved the best past them.

    An ask deep in the bids hides them; our sell rests above it; a clear that begins beyond the hidden bids makes them
    the best again. A bid one tick up looks at its own tick only, one three ticks up at all two orders.
    """
    hidden: list[Event] = [*snapshot(1.0), (20, DEPTH | SELL, 99.5, 1.0), (60, DEPTH | SELL, 99.5, 0.0),
                           (61, CLEAR | BUY, 100.9, 0.0)]
    orders: list[Order] = [(30, "sell", "99.8", "1", "GTC", None), (30, "buy", "90", "1", "GTC", None)]
    near = play([*hidden, (70, DEPTH | BUY, 100.1, 1.0), (71, TRADE | BUY, 100.2, 1.0), (500, DEPTH | BUY, 99.0, 1.0)],
                orders)
    assert fills(near) == []
    far = play([*hidden, (70, DEPTH | BUY, 100.3, 1.0), (500, DEPTH | BUY, 99.0, 1.0)], orders)
    assert fills(far) == [(1, 70.0, 998, 1.0, True)]


class Raising(apex.Strategy):
    """Buys 3 at 99.9, then amends to 5 at 100."""

    def on_start(self, view: Any) -> None:
        view.at(START + 20 * MS)
        self.bought = 0

    def on_timer(self, view: Any) -> None:
        if self.bought:
            view.amend(self.bought, 1000, 50)
        else:
            self.bought = view.limit("buy", 999, 30, "GTC")
            view.at(START + 50 * MS)


def test_an_amended_order_executes_its_old_quantity(play: Play, tmp_path: Path) -> None:
    """Lost otherwise: hftbacktest's amendment, after which 3 of 5 are executed and the order is done, here too.

    Without the second half it would stay on the strategy's list for ever.
    """
    play([*snapshot(1.0), (90, TRADE | SELL, 99.0, 1.0), (500, DEPTH | BUY, 99.0, 1.0)], [])
    limits = tmp_path / "limits.toml"
    limits.write_text('price_collar = 1\nfat_finger_multiple = 1000\n', encoding="utf-8")
    strategy = Raising()
    result = apex.replay(tmp_path / "market.tape", strategy, fill_mode="compat", order_latency="10ms",
                         response_latency="10ms", limits=str(limits))
    assert fills(result) == [(int(result.order_rows["id"][0]), 90.0, 1000, 3.0, True)]
    assert STATES[int(result.order_rows["state"][0])] == "filled"
    assert int(result.order_rows["slot"][0]) == -1
