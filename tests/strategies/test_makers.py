"""Market makers, grid and taker: what they do in markets made by hand, and what holds for them in any market."""

from __future__ import annotations

from collections.abc import Callable
from math import floor, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apex
from apex.strategies.avellaneda_stoikov import AvellanedaStoikov
from apex.strategies.glft import Glft
from apex.strategies.grid import Grid
from apex.strategies.imbalance_taker import ImbalanceTaker
from apex.strategies.queue_maker import QueueMaker
from apex.strategies.twap import Twap
from apex.strategies.vwap import Vwap
from tests.core.assembly import BUY, SELL, START, Run, message, snapshot

MS = 10**6
FEES = {"maker_fee": "0.0002", "taker_fee": "0.0005", "order_latency": "5ms", "response_latency": "5ms"}
EVERY: tuple[tuple[Any, dict[str, Any]], ...] = (
    (AvellanedaStoikov, {"gamma": 0.01, "sigma": 3.0, "k": 0.5, "position_max": 30}),
    (Glft, {"gamma": 0.01, "sigma": 3.0, "a": 2.0, "k": 0.5, "position_max": 30}),
    (Grid, {"step_ticks": 4, "levels": 5}),
    (ImbalanceTaker, {"entry": 0.8}),
    (QueueMaker, {"position_max": 30}),
    (Twap, {"duration_s": 30, "slices": 10}),
    (Vwap, {"duration_s": 30, "slices": 10, "profile": "1,2", "passive": True}),
)
IDS = [kind.__name__ for kind, _ in EVERY]


def positions(result: Any) -> Any:
    """The position after each fill, lots."""
    rows = result.fill_rows
    return np.cumsum(np.where(rows["side"] == BUY, 1, -1) * rows["quantity_lots"])


@pytest.mark.parametrize(("kind", "params"), EVERY, ids=IDS)
def test_what_holds_for_every_strategy(kind: Any, params: dict[str, Any], tapes: Callable[..., Path]) -> None:
    """Lost otherwise: a strategy that does nothing, is not repeatable, is refused by the gate, or passes its bound."""
    result = apex.replay(tapes(), kind, params=params, **FEES)
    assert len(result.fill_rows) > 5
    assert set(result.summary["denied_by"]) <= {"self-trade", "duplicate"}  # an old quote's cancellation is on its way
    assert result.summary["denied"] < 0.05 * result.summary["orders"]
    assert apex.replay(tapes(), kind, params=params, **FEES).summary["result_hash"] == result.summary["result_hash"]
    held = positions(result)
    if kind in (AvellanedaStoikov, Glft, QueueMaker):
        assert (np.abs(held) < 30 + 10).all()  # the bound, passed by less than one order
        assert result.fill_rows["maker"].all()
    if kind is ImbalanceTaker:
        assert set(np.abs(held).tolist()) <= set(range(11))
        assert not result.fill_rows["maker"].any()
        assert held[-1] == 0


@pytest.mark.parametrize(("kind", "params"), EVERY, ids=IDS)
def test_nothing_is_sent_into_an_empty_book(kind: Any, params: dict[str, Any]) -> None:
    """Lost otherwise: a strategy that raises on a one-sided book."""
    sent: list[int] = []

    class Watched(kind):  # type: ignore[misc]
        def on_stop(self, view: Any) -> None:
            super().on_stop(view)
            sent.append(len(view.orders))

    book = ([(1000, 50), (999, 50)], [(1001, 50), (1002, 50)])
    rows = [
        snapshot(START, *book),
        message("BOOK_LEVEL", START + 3_000 * MS, [(BUY, 1000, 0), (BUY, 999, 0)]),
        message("BOOK_LEVEL", START + 6_000 * MS, [(SELL, 1001, 0), (SELL, 1002, 0)]),
        message("LINK_GAP", START + 9_000 * MS),
        *(message("BOOK_LEVEL", START + (9_000 + i) * MS, [(BUY, 990 + i, 5)]) for i in range(1, 500)),
    ]
    run = Run(np.concatenate(rows), [Watched(kind.Params(**params))], limits=None)
    run.run()
    orders = run.orders
    assert sent
    if kind is not ImbalanceTaker:  # which closes what it holds; the gate decides whether it may
        assert not (orders["ts_sent_ns"] > START + 3_000 * MS).any()


@pytest.mark.parametrize(("kind", "params"), EVERY, ids=IDS)
def test_nothing_is_sent_into_a_gap(kind: Any, params: dict[str, Any]) -> None:
    """Lost otherwise: a strategy that trades on a book that is out of sync, and leaves it to the gate to notice."""
    gap = message("LINK_GAP", START + 2_000 * MS)
    trade = message("TRADE", START + 2_500 * MS, [(SELL, 900, 500)])
    run = Run(quiet(9_000, gap, trade), [kind(kind.Params(**params))]).run()
    assert not (run.orders["ts_sent_ns"] >= START + 2_000 * MS).any()


def test_sessions_follow_each_other() -> None:
    """Lost otherwise: a clock of the session that runs backwards, or on after its end.

    With the mid at 1000.5 and risk of 1 tick a second of 10 left, plus 2 ln(1 + 1) / 1 = 1.386: the spread is widest at
    the start of a session, and the bid there 1000.5 - 5 - 0.693, rounded down.
    """
    maker = AvellanedaStoikov(AvellanedaStoikov.Params(gamma=1.0, sigma=1.0, k=1.0, session_s=10, interval="1s"))
    run = Run(quiet(25_500), [maker]).run()
    bids = run.orders[run.orders["side"] == BUY]
    found = dict(zip(((bids["ts_sent_ns"] - START) // (1000 * MS)).tolist(), bids["price_ticks"].tolist(), strict=True))
    assert {t: found.get(t) for t in (1, 20)} == {1: 995, 20: 994}
    for t, price in found.items():
        assert price == floor(1000.5 - (10 - t % 10) / 2 - log(2))
    assert len(found) > 9


def quiet(until_ms: int, *messages: Any, bid: int = 1000) -> Any:
    """A book of 50 lots at 1000 and 1001 and what comes after, up to a time."""
    book = snapshot(START, [(bid, 50), (980, 50)], [(1001, 50), (1021, 50)])
    return np.concatenate([book, *messages, message("BOOK_LEVEL", START + until_ms * MS, [(BUY, 1, 1)])])


def test_a_grid_earns_a_step_a_pair() -> None:
    """Lost otherwise: a grid whose pairs are not a step apart, or which buys again where it holds already.

    By hand: steps of 4 around 1000, two a side, in a book of 999 and 1001.
    """
    trades = [message("TRADE", START + at * MS, [(side, price, 100)])
              for at, side, price in ((1_000, SELL, 995), (2_000, BUY, 1_001), (3_000, SELL, 995), (4_000, BUY, 1_005),
                                      (5_000, SELL, 999))]  # fmt: skip
    run = Run(quiet(8_000, *trades, bid=999), [Grid(Grid.Params(step_ticks=4, levels=2))]).run()
    found = [(int(f["side"]), int(f["price_ticks"]), int(f["quantity_lots"])) for f in run.fills]
    assert found == [(BUY, 996, 10), (SELL, 1000, 10), (BUY, 996, 10), (SELL, 1000, 10), (SELL, 1004, 10),
                     (BUY, 1000, 10)]  # fmt: skip
    assert run.ledger.position(0) == 0


def test_a_grid_knows_its_position(tapes: Callable[..., Path]) -> None:
    """Lost otherwise: a rung lost or doubled by partial fills: then orders and position no longer belong together."""
    params = {"step_ticks": 4, "levels": 5, "quantity_lots": 10}
    kept: list[Grid] = []

    class Watched(Grid):
        def on_stop(self, view: Any) -> None:
            kept.append(self)

    result = apex.replay(tapes(), Watched, params=params, **FEES)
    (grid,) = kept
    held = positions(result)
    assert (np.abs(held) <= 50).all()
    assert len(grid.wanted) == 10
    rungs = sum(10 if side == "sell" else -10 for side, _ in grid.wanted)
    unfilled = sum((10 - lots) * (1 if side == "buy" else -1) for (side, _), lots in grid.wanted.items())
    assert held[-1] == rungs / 2 + unfilled


def test_the_taker_follows_the_longer_queue_and_leaves() -> None:
    """Lost otherwise: a sign error, or a position that is never closed."""
    heavy = message("BOOK_LEVEL", START + 1_000 * MS, [(SELL, 1001, 2)])
    level = message("BOOK_LEVEL", START + 1_500 * MS, [(SELL, 1001, 50)])
    light = message("BOOK_LEVEL", START + 4_000 * MS, [(BUY, 1000, 2)])
    taker = ImbalanceTaker(ImbalanceTaker.Params(entry=0.9, hold_ms=1000, quantity_lots=2))
    run = Run(quiet(8_000, heavy, level, light), [taker])
    run.run()
    orders = run.orders
    assert ((orders["ts_sent_ns"] - START) // MS).tolist() == [1000, 2000, 4000, 5000]
    assert orders["side"].tolist() == [BUY, SELL, SELL, BUY]
    assert orders["filled_lots"].tolist() == [2, 2, 2, 2]


def test_the_taker_holds_on() -> None:
    """Lost otherwise: a position that the timer of an earlier signal closes before its time."""
    lots = [(1_000, 2), (1_500, 50), (1_600, 2)]
    book = [message("BOOK_LEVEL", START + ms * MS, [(SELL, 1001, n)]) for ms, n in lots]
    taker = ImbalanceTaker(ImbalanceTaker.Params(entry=0.9, hold_ms=1000, quantity_lots=2))
    run = Run(quiet(8_000, *book), [taker]).run()
    assert ((run.orders["ts_sent_ns"] - START) // MS).tolist() == [1_000, 2_600]


def test_the_queue_maker_minds_its_place() -> None:
    """Lost otherwise: an order that stays at the back of a losing queue, or leaves from its front.

    By hand, joining at a share of 0.6 and leaving below 0.4 x ahead: 50 of 100 lots do not join; 80 of 130 do, all 80
    ahead; at 20 of 70 the share is 0.286 and all of the level's 20 lie ahead: it leaves. A second order joins behind 80
    again; the level falls to 30, which lie ahead, and grows to 100 behind it: ahead is 0.3, and at 100 of 600 the share
    of 0.167 is above 0.4 x 0.3: it stays. At 100 of 1,000 it leaves.
    """
    steps = [(1_000, BUY, 1000, 80), (2_000, BUY, 1000, 20), (3_000, BUY, 1000, 80), (4_000, SELL, 1001, 30),
             (4_100, BUY, 1000, 30), (4_200, BUY, 1000, 100), (4_300, SELL, 1001, 500), (5_000, SELL, 1001, 900)]
    book = [message("BOOK_LEVEL", START + ms * MS, [(side, price, lots)]) for ms, side, price, lots in steps]
    maker = QueueMaker(QueueMaker.Params(join=0.6, leave=0.4))
    run = Run(quiet(6_000, *book), [maker])
    run.run()
    orders = run.orders
    bids = orders[orders["side"] == BUY]
    assert ((bids["ts_sent_ns"] - START) // MS).tolist() == [1_000, 3_000]
    assert ((bids["ts_done_ns"] - START) // MS).tolist() == [2_000, 5_000]
