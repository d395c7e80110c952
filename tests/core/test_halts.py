"""Halts: nothing matches, orders wait or are refused, cancellations pass."""

from __future__ import annotations

import random
from typing import Any

import pytest

from apex._core.simvenue import SimVenue
from tests.core.assembly import BUY, SELL, START, Run, Scripted, message
from tests.core.test_engine import quiet
from tests.core.test_matching import LATENCIES, Market, Sender, conserved, rows_of, walked
from tests.core.test_strict import at, reasons


def halt(t: int, on: bool) -> Any:
    rows = message("HALT", START + t)
    rows["aux"] = int(on)
    return rows


def played(todo: list[tuple[int, Any]], *events: Any, **venue: Any) -> tuple[Run, list[tuple[int, int, int, int]]]:
    run = Run(quiet(*events, at(900, "TRADE", (BUY, 500, 1))), [Scripted(*todo)], venue=venue).run()
    run.venues[0]._check()
    place = {int(x): n for n, x in enumerate(run.orders["id"])}
    return run, [(int(f["ts_venue_ns"]) - START, place[int(f["id"])], int(f["price_ticks"]), int(f["quantity_lots"]))
                 for f in run.fills]


@pytest.mark.parametrize("by_rows", [True, False])
def test_nothing_matches_in_a_halt(by_rows: bool) -> None:
    """Lost otherwise: fills at a venue that was closed."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.extend((v.limit("buy", 101, 5), v.limit("buy", 100, 5), v.stop("sell", 95, 3)))),
            (START + 20, lambda v: v.market("buy", 1)), (START + 21, lambda v: v.amend(ids[0], 102, 5)),
            (START + 22, lambda v: v.cancel(ids[1]))]
    events = [at(15, "TRADE", (SELL, 94, 50)), at(16, "BOOK_LEVEL", (SELL, 99, 2))]
    rows = [halt(10, True), halt(30, False)] if by_rows else []
    run, fills = played(todo, *events, *rows, halts=[] if by_rows else [(START + 10, START + 30)])
    assert fills == [(30, 0, 101, 2)]                     # at the end the book is crossed by what it still holds
    assert reasons(run) == [("open", ""), ("canceled", "canceled"), ("open", ""), ("rejected", "venue_halted")]
    assert (int(run.orders["price_ticks"][0]), run.venues[0].halts_seen) == (101, 1)


def test_orders_wait_for_the_end() -> None:
    """Lost otherwise: an opening auction's crowd served in another order than it came."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.append(v.limit("buy", 100, 5))),
            (START + 20, lambda v: (v.market("buy", 12), v.market("buy", 3), v.amend(ids[0], 101, 6)))]
    run, fills = played(todo, halt(10, True), at(15, "BOOK_LEVEL", (SELL, 102, 4)), halt(30, False), queue_orders=True)
    assert fills == [(30, 1, 102, 4), (30, 1, 103, 8), (30, 2, 103, 2)]
    assert reasons(run)[2] == ("expired", "no_liquidity")
    assert int(run.orders["price_ticks"][0]) == 101


def test_compat_knows_no_halt() -> None:
    """Lost otherwise: a run under hftbacktest's rules that hftbacktest could not make."""
    todo = [(START + 20, lambda v: v.market("buy", 1))]
    run = Run(quiet(halt(10, True), at(900, "TRADE", (BUY, 500, 1))), [Scripted(*todo)], compat=True).run()
    assert len(run.fills) == 1


@pytest.mark.parametrize("given", [[(5, 5)], [(5, 9), (9, 12)], [(9, 5)]])
def test_bad_halts_are_refused(given: list[tuple[int, int]]) -> None:
    """Lost otherwise: a halt that never ends."""
    with pytest.raises(ValueError, match="follow each other"):
        SimVenue(0, (1, 3), halts=given)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("latency", LATENCIES)
def test_no_fill_is_stamped_in_a_halt(latency: tuple[int, int, int, int], waits: bool) -> None:
    """Lost otherwise: one way to match that forgets to look. Every invariant is walked after each step."""
    filled = 0
    for seed in range(4):
        market, rng = Market(700 + seed, 1200), random.Random(seed)
        end = market.data[-1][0]
        marks = sorted(rng.sample(range(START + 1, end), 12))
        halts = list(zip(marks[::2], marks[1::2], strict=True))
        run = walked(Run(rows_of(market.data), [Sender(market.todo)], latency=latency,
                         venue={"halts": halts, "queue_orders": waits}), 1)
        conserved(run)
        filled += len(run.fills)
        for ts in run.fills["ts_venue_ns"]:
            assert not any(a <= int(ts) < b for a, b in halts if int(ts) != a)
        assert run.venues[0].halts_seen == 6
    assert filled > 20
