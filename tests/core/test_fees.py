"""Dated fee tables with tiers and rebates, against plain Python and inside a run."""

from __future__ import annotations

import random

import pytest

from apex._core.fees import Fees
from tests.core.assembly import BUY, SELL, START, Run, Scripted
from tests.core.test_engine import quiet
from tests.core.test_strict import at
from tests.oracles.venue import DAY, OracleFees

ROWS = [(0, 0, 200, 500), (0, 1000, 160, 400), (0, 50_000, -100, 300), (40 * DAY, 0, 100, 450),
        (40 * DAY, 2000, 0, 350)]


@pytest.mark.parametrize("seed", range(5))
def test_random_trading_equals_the_oracle(seed: int) -> None:
    """Lost otherwise: a tier that comes a day early, stays a day long, or survives the table that it belongs to."""
    rng = random.Random(seed)
    volume = rng.choice((0, 917, 60_029))
    fees, oracle, now, seen = Fees(ROWS, volume), OracleFees(ROWS, volume), rng.randint(0, DAY), set()
    for _ in range(3000):
        now += rng.choice((0, 1, DAY // 7, DAY // 3)) if rng.random() < 0.99 else 20 * DAY
        want = oracle.rates(now)
        assert fees.rates(now) == want
        assert fees.volume == oracle.volume(now)
        seen.add(want)
        value = rng.choice((0, 10, 300, 3000))
        fees.trade(now, value)
        oracle.trade(now, value)
    assert len(seen) >= 3


def test_borders_by_hand() -> None:
    """Lost otherwise: the border of a tier or of a date on its wrong side."""
    fees = Fees([(10, 0, 2, 5), (10, 100, 1, 4), (2 * DAY, 0, 9, 9)])
    assert fees.rates(9) is None
    assert fees.rates(10) == (2, 5)
    fees.trade(11, 99)
    assert fees.rates(DAY) == (2, 5)
    fees.trade(DAY, 1)
    assert fees.rates(2 * DAY - 1) == (2, 5)     # today's volume counts from midnight on
    assert fees.rates(2 * DAY) == (9, 9)
    assert Fees([(10, 0, 2, 5), (10, 90, 1, 4)], 90).rates(10) == (1, 4)
    for tier in (1, 29, 31, 100, 5 * 10**14):                # history exactly at the tier, or one unit short of it
        assert Fees([(10, 0, 2, 5), (10, tier, 1, 4)], tier).rates(10) == (1, 4)
        assert Fees([(10, 0, 2, 5), (10, tier, 1, 4)], tier - 1).rates(10) == (2, 5)


@pytest.mark.parametrize("rows", [[], [(5, 0, 1, 1), (4, 0, 1, 1)], [(5, 9, 1, 1), (5, 0, 1, 1)]])
def test_rows_out_of_order_are_refused(rows: list[tuple[int, int, int, int]]) -> None:
    """Lost otherwise: fees of another day, silently."""
    with pytest.raises(ValueError, match="order of time"):
        Fees(rows)


def test_a_run_pays_by_its_table() -> None:
    """Lost otherwise: a table that is read and not used, or used for the wrong side of a fill."""
    table = Fees([(START, 0, -10**8, 4 * 10**8), (START + 50, 0, 10**8, 5 * 10**8)])
    todo = [(START + 1, lambda v: v.limit("buy", 101, 10)), (START + 20, lambda v: v.market("sell", 10)),
            (START + 60, lambda v: v.market("sell", 10))]
    events = quiet(at(10, "TRADE", (SELL, 101, 10)), at(55, "BOOK_LEVEL", (BUY, 100, 10)),
                   at(900, "TRADE", (BUY, 103, 1)))
    run = Run(events, [Scripted(*todo)], engine={"fees": [table]}).run()
    value = [f["price_ticks"] * f["quantity_lots"] * 10_000 for f in run.fills]
    assert [int(f["fee"]) for f in run.fills] == [-value[0] // 10_000, value[1] * 4 // 10_000, value[2] * 5 // 10_000]
    assert [int(f["maker"]) for f in run.fills] == [1, 0, 0]
