"""The strict rules of fills by hand, in the order of docs/decisions/004-strict-fills.md, and the golden queue."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apex._core.engine import STATES
from apex._core.events import FLAGS
from apex._core.simvenue import VENUE_REASONS
from apex.domain.instrument import Instrument
from tests.core.assembly import BOTH, BUY, SELL, START, Run, Scripted, message, snapshot
from tests.core.test_engine import quiet

MS = 1_000_000


def at(t: int, kind: str, *rows: tuple[int, int, int], flags: int = BOTH) -> Any:
    return message(kind, START + t, rows or ((0, 0, 0),), flags=flags)


def buys(*orders: tuple[int, int]) -> tuple[int, Any]:
    """Buy orders of (ticks, lots), sent one after another at once."""
    return START + 1, lambda v: [v.limit("buy", ticks, lots) for ticks, lots in orders]


def played(todo: list[tuple[int, Any]], *messages: Any, **more: Any) -> tuple[Run, list[tuple[int, ...]]]:
    """The fills as (time, place of the order, ticks, lots, maker); bids 100 and 99, asks 102 and 103, 10 lots each."""
    run = Run(quiet(*messages, at(900, "TRADE", (BUY, 500, 1))), [Scripted(*todo)], **more).run()
    run.venues[0]._check()
    place = {int(x): n for n, x in enumerate(run.orders["id"])}
    return run, [(int(f["ts_venue_ns"]) - START, place[int(f["id"])], int(f["price_ticks"]), int(f["quantity_lots"]),
                  int(f["maker"])) for f in run.fills]


def reasons(run: Run) -> list[tuple[str, str]]:
    return [(STATES[int(o["state"])], VENUE_REASONS[int(o["venue_reason"])]) for o in run.orders]


def test_1_a_trade_is_shared() -> None:
    """Lost otherwise: a trade of 12 that gives two orders 2 each, where only 2 lots came past the 10 ahead of both."""
    _, fills = played([buys((100, 5), (100, 5))], at(10, "TRADE", (SELL, 100, 12)), at(20, "TRADE", (SELL, 100, 4)),
                      at(30, "TRADE", (SELL, 100, 99)))
    assert fills == [(10, 0, 100, 2, 1), (20, 0, 100, 3, 1), (20, 1, 100, 1, 1), (30, 1, 100, 4, 1)]


def test_1_the_better_price_comes_first() -> None:
    """Lost otherwise: the older order filled before the better one, which no venue does."""
    _, fills = played([buys((99, 4), (101, 4), (100, 4), (101, 2))], at(10, "TRADE", (SELL, 99, 17)))
    assert fills == [(10, 1, 101, 4, 1), (10, 3, 101, 2, 1), (10, 2, 100, 4, 1)]  # 10 reach 99, where 10 are ahead


def test_2_a_trade_through_the_price_fills_its_quantity() -> None:
    """Lost otherwise: whole orders filled by a trade of one lot."""
    _, fills = played([buys((100, 5))], at(10, "TRADE", (SELL, 99, 2)), at(11, "TRADE", (BUY, 99, 9)))
    assert fills == [(10, 0, 100, 2, 1)]


def test_3_an_opposite_level_fills_its_quantity() -> None:
    """Lost otherwise: fills against quantity that nobody offered."""
    _, fills = played([buys((100, 5), (101, 1))], at(10, "BOOK_LEVEL", (SELL, 100, 3)),
                      at(11, "BOOK_LEVEL", (SELL, 105, 9)), at(12, "BOOK_LEVEL", (SELL, 100, 3)),
                      at(13, "BOOK_LEVEL", (SELL, 99, 40)))
    assert fills == [(10, 1, 101, 1, 1), (10, 0, 100, 2, 1), (12, 0, 100, 3, 1)]


def taker(t: int, lots: int, side: str = "buy", ticks: int = 103, tif: str = "IOC") -> tuple[int, Any]:
    return START + t, lambda v: v.limit(side, ticks, lots, tif)


def test_4_what_is_taken_is_gone() -> None:
    """Lost otherwise: the same ten lots bought again and again."""
    run, fills = played([taker(1, 14), taker(2, 14), taker(20, 14), taker(21, 5, "sell", 99)],
                        at(10, "BOOK_LEVEL", (SELL, 103, 2)))
    assert fills == [(1, 0, 102, 10, 0), (1, 0, 103, 4, 0), (2, 1, 103, 6, 0), (20, 2, 103, 2, 0), (21, 3, 100, 5, 0)]
    assert reasons(run) == [("filled", ""), ("expired", "no_liquidity"), ("expired", "no_liquidity"), ("filled", "")]


@pytest.mark.parametrize(("side", "ticks", "flags", "again"), [
    (SELL, 102, FLAGS["CLEAR_TO"], [103]), (BUY, 0, 0, []), (SELL, 0, 0, [102, 103]), (0, 0, 0, [102, 103]),
])  # fmt: skip
def test_4_a_clear_forgets_what_it_clears(side: int, ticks: int, flags: int, again: list[int]) -> None:
    """Lost otherwise: levels that can be taken again after a clear that did not touch them."""
    both = [at(11, "BOOK_LEVEL", (SELL, 102, 1), (SELL, 103, 1))] if again == [102, 103] else []
    _, fills = played([taker(1, 20), taker(20, 20)], at(10, "BOOK_CLEAR", (side, ticks, 0), flags=BOTH | flags), *both)
    want = [(20, 1, t, 1, 0) for t in again] if both else []
    assert fills == [(1, 0, 102, 10, 0), (1, 0, 103, 10, 0), *want]


def test_4_a_sweep_of_many_levels_is_remembered() -> None:
    """Lost otherwise: the touch taken twice, since a long sweep made it forget its first levels."""
    asks = [(SELL, 200 + k, 1) for k in range(3000)]
    _, fills = played([taker(5, 3020, ticks=10_000), taker(6, 50, ticks=10_000)], at(3, "BOOK_LEVEL", *asks))
    assert sum(f[3] for f in fills) == 3020
    assert {f[1] for f in fills} == {0}


@pytest.mark.parametrize(("tif", "lots", "filled", "state"), [
    ("FOK", 20, 20, ("filled", "")), ("FOK", 21, 0, ("expired", "no_liquidity")),
    ("IOC", 21, 20, ("expired", "no_liquidity")), ("GTC", 21, 20, ("open", "")),
    ("GTX", 1, 0, ("expired", "post_only_would_cross")),
])  # fmt: skip
def test_4_times_in_force(tif: str, lots: int, filled: int, state: tuple[str, str]) -> None:
    """Lost otherwise: orders that do what their name denies."""
    run, fills = played([taker(1, lots, tif=tif)])
    assert sum(f[3] for f in fills) == filled
    assert reasons(run) == [state]
    assert int(run.orders["filled_lots"][0]) == filled


def test_4_a_market_order_takes_what_there_is() -> None:
    """Lost otherwise: market orders that stop at some distance, or rest."""
    run, fills = played([(START + 1, lambda v: v.market("sell", 25)), (START + 2, lambda v: v.market("sell", 1))])
    assert fills == [(1, 0, 100, 10, 0), (1, 0, 99, 10, 0)]
    assert reasons(run) == [("expired", "no_liquidity")] * 2


def test_5_liquidations_fill_nothing() -> None:
    """Lost otherwise: fills from trades that never met the book."""
    _, fills = played([buys((100, 5))], at(10, "TRADE", (SELL, 90, 50), flags=BOTH | FLAGS["NOT_MARKET"]))
    assert fills == []


def test_6_no_order_enters_an_unknown_book() -> None:
    """Lost otherwise: fills at prices that may have gone long ago."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: [ids.append(v.limit("buy", 100, 9)), ids.append(v.limit("buy", 99, 9))]),
            (START + 20, lambda v: v.limit("buy", 103, 1)), (START + 21, lambda v: v.amend(ids[0], 103, 9)),
            (START + 22, lambda v: v.amend(ids[0], 100, 7)), (START + 23, lambda v: v.cancel(ids[1])),
            (START + 41, lambda v: v.amend(ids[0], 101, 7))]
    run, fills = played(todo, at(10, "LINK_GAP"), at(15, "BOOK_LEVEL", (SELL, 99, 5)), at(30, "TRADE", (SELL, 99, 1)),
                        snapshot(START + 40, [(100, 4)], [(101, 3)]))
    assert fills == [(30, 0, 100, 1, 1), (41, 0, 101, 3, 0)]
    assert reasons(run) == [("open", ""), ("canceled", "canceled"), ("rejected", "venue_unsynced")]
    assert list(run.orders["quantity_lots"]) == [7, 9, 1]
    assert int(run.orders["price_ticks"][0]) == 101


def test_7_hope_is_marked() -> None:
    """Lost otherwise: results that hang on a queue model, and nobody can tell."""
    messages = [at(10, "BOOK_LEVEL", (BUY, 100, 40)), at(20, "BOOK_LEVEL", (BUY, 100, 12)),
                at(30, "TRADE", (SELL, 100, 4)), at(40, "BOOK_LEVEL", (BUY, 100, 4)), at(50, "TRADE", (SELL, 100, 20))]
    for queue, want in (("risk-averse", [(50, 5, 0)]), ("power-prob2", [(30, 1, 1), (50, 4, 0)])):
        run, fills = played([buys((100, 5))], *messages, queue=queue)
        marked = [(t, lots, int(f["optimistic"])) for (t, _, _, lots, _), f in zip(fills, run.fills, strict=True)]
        assert marked == want


def test_8_acknowledged_before_filled() -> None:
    """Lost otherwise: an acknowledgement of the order taken for the answer to its cancellation."""
    run, fills = played([buys((102, 15), (103, 3))], latency=(5, 5, 5, 5))
    assert fills == [(6, 0, 102, 10, 0), (6, 1, 103, 3, 0)]
    assert list(run.orders["ts_ack_ns"] - START) == [11, 11]
    assert reasons(run) == [("open", ""), ("filled", "")]


@pytest.mark.parametrize(("price", "lots", "fills_at", "left"), [
    (100, 5, [(20, 5)], 0),   # fewer: the place stays, 5 are ahead
    (100, 20, [], 20),        # more: behind the 15 that are there
    (99, 10, [], 10),         # another price: behind the 10 there
    (102, 15, [(10, 10), (30, 5)], 0),  # through the touch: takes 10, and the rest rests
])  # fmt: skip
def test_9_amendments_keep_their_place_or_lose_it(price: int, lots: int, fills_at: list[tuple[int, int]],
                                                  left: int) -> None:
    """Lost otherwise: fills before those who were there first."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.append(v.limit("buy", 100, 10))),
            (START + 10, lambda v: v.amend(ids[0], price, lots))]
    run, fills = played(todo, at(5, "BOOK_LEVEL", (BUY, 100, 5)), at(6, "BOOK_LEVEL", (BUY, 100, 15)),
                        at(20, "TRADE", (SELL, 100, 15)) if price < 102 else at(30, "TRADE", (SELL, 102, 5)))
    assert [(f[0], f[3]) for f in fills] == fills_at
    assert int(run.orders["quantity_lots"][0] - run.orders["filled_lots"][0]) == left


def test_9_an_amendment_to_what_has_filled_ends_the_order() -> None:
    """Lost otherwise: an order of nothing that rests for ever."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.append(v.limit("buy", 100, 10))), (START + 20, lambda v: v.amend(ids[0], 100, 4))]
    run, fills = played(todo, at(10, "TRADE", (SELL, 100, 14)))
    assert fills == [(10, 0, 100, 4, 1)]
    assert reasons(run) == [("canceled", "canceled")]


def test_9_a_post_only_amendment_that_would_cross_ends_the_order() -> None:
    """Lost otherwise: a maker's order that takes."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.append(v.limit("buy", 100, 10, "GTX"))),
            (START + 20, lambda v: v.amend(ids[0], 102, 9))]
    run, fills = played(todo)
    assert fills == []
    assert reasons(run) == [("expired", "post_only_would_cross")]


def test_9_an_amendment_has_its_own_latency() -> None:
    """Lost otherwise: an amendment that is as slow as an order, or as fast as a cancellation, which no venue's is."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.append(v.limit("buy", 100, 5))),
            (START + 10, lambda v: v.amend(ids[0], 101, 5))]
    run, fills = played(todo, at(26, "TRADE", (SELL, 101, 1)), at(28, "TRADE", (SELL, 101, 1)), latency=(2, 3, 17, 1))
    assert fills == [(28, 0, 101, 1, 1)]
    assert int(run.orders["price_ticks"][0]) == 101


def test_10_post_only_is_judged_by_the_book_as_recorded() -> None:
    """Lost otherwise: quotes inside a touch that only we have emptied."""
    run, _ = played([taker(1, 10, ticks=102), taker(2, 1, ticks=102, tif="GTX")])
    assert reasons(run) == [("filled", ""), ("expired", "post_only_would_cross")]


def test_nothing_crosses_an_empty_side() -> None:
    """Lost otherwise: a price that reads as `no price`, taken for a touch, where no check denies."""
    todo = [(START + 20, lambda v: v.limit("buy", 2**62, 3, "GTX")),
            (START + 950, lambda v: v.limit("sell", -(2**62), 3, "GTX"))]
    run, fills = played(todo, at(10, "BOOK_CLEAR"), at(999, "BOOK_CLEAR"))
    assert [r[0] for r in reasons(run)] == ["open", "open"]
    assert fills == []


def test_a_refusal_before_the_venue_is_told_in_time() -> None:
    """Lost otherwise: orders that hang in the air, or cancellations that took their order with them."""
    run, _ = played([buys((100, 1))], latency=(-7, 0, 0, 3))
    assert reasons(run) == [("rejected", "rejected_before_venue")]
    assert (int(run.orders["ts_ack_ns"][0]) - START, int(run.orders["ts_venue_ns"][0])) == (8, 0)
    ids: list[int] = []
    strategy = Scripted((START + 1, lambda v: ids.append(v.limit("buy", 99, 1))),
                        (START + 10, lambda v: v.cancel(ids[0])),
                        (START + 16, lambda v: (v.orders[0].pending, v.amend(ids[0], 98, 2))),
                        (START + 18, lambda v: (v.orders[0].pending, v.cancel(ids[0]))))
    run = Run(quiet(at(50, "TRADE", (BUY, 500, 1))), [strategy], latency=(2, -5, -1, 1)).run()
    assert strategy.told == [None, True, (False, True), (False, True)]
    assert reasons(run) == [("open", "")]
    assert (int(run.orders["price_ticks"][0]), int(run.orders["quantity_lots"][0])) == (99, 1)
    run.engine._check()


def test_a_huge_quantity_fills_to_the_lot() -> None:
    """Lost otherwise: lots lost in doubles, which hold 2^53."""
    lots = 2**53 + 1
    ledger_of_little = Instrument("TINY", "test", "0.00000001", "0.00000001", kind="spot")
    events = [at(5, "BOOK_LEVEL", (SELL, 102, 0), (SELL, 103, lots))]
    run, fills = played([taker(10, lots, ticks=103)], *events, names=[ledger_of_little])
    assert fills == [(10, 0, 103, lots, 0)]
    assert run.ledger.position(0) == lots


GOLDEN = {"risk-averse": 88, "power-prob:2": 83, "power-prob2:2": 76, "power-prob3:3": 87, "log-prob": 78,
          "log-prob2": 85}


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("model", GOLDEN)
def test_golden_queue(model: str, compat: bool) -> None:
    """Lost otherwise: both the queue models and their oracle wrong. Golden vector 16.A: first fill in ms."""
    name, _, power = model.partition(":")
    made = [snapshot(START, [(1000 - k, 100) for k in range(5)], [(1001 + k, 100) for k in range(5)]),
            at(40 * MS, "BOOK_LEVEL", (BUY, 1000, 300)), at(50 * MS, "BOOK_LEVEL", (BUY, 1000, 220)),
            at(60 * MS, "TRADE", (SELL, 1000, 10)), at(60 * MS, "BOOK_LEVEL", (BUY, 1000, 180)),
            *(at(t * MS, "TRADE", (SELL, 1000, 5)) for t in range(70, 130))]
    grid = [Instrument("X", "test", "0.1", "0.1")]
    strategy = Scripted((START + 20 * MS, lambda v: v.limit("buy", 1000, 30)))
    run = Run(np.concatenate(made), [strategy], queue=name, power=float(power or 1), compat=compat, names=grid,
              latency=(10 * MS, 10 * MS, 10 * MS, 10 * MS)).run()
    assert (int(run.fills["ts_venue_ns"][0]) - START) // MS == GOLDEN[model]
    assert run.fills["quantity_lots"].sum() == 30
