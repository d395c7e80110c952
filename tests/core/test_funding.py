"""Mark prices and funding: who pays, how much, when, on which position, and stops that watch the mark price."""

from __future__ import annotations

import random
from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest

from apex._core.simvenue import VENUE_REASONS
from apex.domain.instrument import Instrument
from tests.core.assembly import BUY, SELL, START, Run, Scripted, message
from tests.core.test_engine import quiet
from tests.core.test_strict import at, played, reasons

RATE = 100_000_000
"""0.01 %."""


def mark(t: int, ticks: int, rate: int, next_at: int, rest: int = 0) -> Any:
    """The two rows of a MARK message at START + t."""
    rows = message("MARK", START + t, [(0, ticks, rest), (0, ticks, 0)])
    rows["aux"] = rate, START + next_at
    return rows


def run_of(todo: list[tuple[int, Any]], *events: Any, **more: Any) -> Run:
    venue = {"funding": more.pop("funding", [])}
    return Run(quiet(*events, at(900, "TRADE", (BUY, 500, 1))), [Scripted(*todo)], venue=venue, **more).run()


def paid(run: Run) -> int:
    return int(run.ledger.account(0)["funding"])


def test_longs_pay_a_positive_rate_at_the_mark() -> None:
    """Lost otherwise: funding at the last price, of the wrong sign, or twice."""
    buy = (START + 1, lambda v: v.market("buy", 10))
    run = run_of([buy], mark(5, 200, RATE, 50, rest=250_000), mark(60, 300, RATE, 800), at(61, "TRADE", (BUY, 103, 1)))
    value = 10 * (200 * 10_000_000 + 250_000)                 # lots x price, in 1e-8 x 0.001
    assert paid(run) == ceil(Fraction(value, 1000) * RATE / 10**12) + ceil(Fraction(10 * 300 * 10_000, 10_000))
    run = run_of([(START + 1, lambda v: v.market("sell", 10))], mark(5, 200, RATE, 50))
    assert paid(run) == -10 * 200 * 10_000 * RATE // 10**12
    assert paid(run_of([buy], mark(5, 200, -RATE, 50))) == -2000
    run.ledger._check()


def test_only_the_position_at_the_instant_pays() -> None:
    """Lost otherwise: payments on positions that were closed before, or opened after, with replies on their way."""
    opened = [(START + t, lambda v: v.market("buy", 5)) for t in (1, 30, 45, 46)]
    run = run_of(opened, mark(5, 200, RATE, 50), latency=(5, 5, 5, 20))
    assert paid(run) == 2 * 5 * 200 * 10_000 * RATE // 10**12   # at 50 the third has just not arrived
    closed = [(START + 1, lambda v: v.market("buy", 5)), (START + 40, lambda v: v.market("sell", 5))]
    assert paid(run_of(closed, mark(5, 200, RATE, 50))) == 0


def test_the_rate_before_the_instant_counts() -> None:
    """Lost otherwise: the next period's rate charged for this one, when both come with one stamp."""
    run = run_of([(START + 1, lambda v: v.market("buy", 10))], mark(5, 200, RATE, 50), mark(50, 400, 9 * RATE, 2000))
    assert paid(run) == 2000


def test_given_fundings_replace_the_tape() -> None:
    """Lost otherwise: a tape without mark prices that cannot be charged at all."""
    given = [(START + 20, RATE, 300, 0), (START + 30, -RATE, 0, 0), (START + 2000, RATE, 300, 0)]
    run = run_of([(START + 1, lambda v: v.market("buy", 10))], mark(5, 200, RATE, 50), funding=given)
    assert paid(run) == 3000 - 2000


def test_no_mark_price_is_no_result() -> None:
    """Lost otherwise: funding by another price that merely was at hand."""
    with pytest.raises(LookupError, match="no mark price"):
        run_of([(START + 1, lambda v: v.market("buy", 10))], funding=[(START + 20, RATE, 0, 0)])
    assert paid(run_of([], funding=[(START + 20, RATE, 0, 0)])) == 0


def test_without_funding_nothing_is_paid() -> None:
    """Lost otherwise: results that change with a record that nobody asked to be used."""
    run = Run(quiet(mark(5, 200, RATE, 50)), [Scripted((START + 1, lambda v: v.market("buy", 10)))]).run()
    assert paid(run) == 0


def test_a_contract_pays_by_its_multiplier_and_an_inverse_one_in_coin() -> None:
    """Lost otherwise: payments of the wrong size by the contract's own factor."""
    linear = Instrument("L", "test", "0.1", "0.001", multiplier="10")
    inverse = Instrument("I", "test", "0.1", "1", kind="inverse", multiplier="100")
    buy = [(START + 1, lambda v: v.market("buy", 10))]
    assert paid(run_of(buy, mark(5, 200, RATE, 50), names=[linear])) == 20_000
    # 10 contracts of 100 USD at a mark of 20 are 50 coin; 0.01 % of it
    assert paid(run_of(buy, mark(5, 200, RATE, 50), names=[inverse])) == 500_000


def test_stops_watch_the_mark() -> None:
    """Lost otherwise: a stop taken out by a stray trade that the mark price ignores."""
    def send(v: Any) -> None:
        v.stop("sell", 99, 1, trigger="mark")
        v.stop("sell", 200, 1, trigger="mark")
        v.trailing_stop("buy", 5, 1, trigger="mark")

    run, fills = played([(START + 10, send)], mark(5, 200, 0, 0), at(15, "TRADE", (SELL, 90, 1)), mark(20, 190, 0, 0),
                        mark(25, 195, 0, 0, rest=-1), mark(26, 195, 0, 0), mark(30, 99, 0, 0, rest=1),
                        mark(40, 99, 0, 0))
    assert [(f[0], f[1]) for f in fills] == [(26, 2), (40, 0)]
    assert reasons(run)[1] == ("rejected", "stop_reached")
    run, _ = played([(START + 1, lambda v: v.stop("sell", 99, 1, trigger="mark"))])
    assert VENUE_REASONS[int(run.orders["venue_reason"][0])] == "no_mark_price"


@pytest.mark.parametrize("seed", range(6))
def test_random_positions_pay_what_plain_python_says(seed: int) -> None:
    """Lost otherwise: a funding time that is missed or paid twice among many."""
    rng = random.Random(seed)
    events, todo, position = [], [], 0
    known: tuple[int, int, int] | None = None
    now, plan = 0, []
    for _ in range(200):
        now += rng.choice((1, 2, 5))
        if rng.random() < 0.5:
            side, lots = rng.choice(("buy", "sell")), rng.randint(1, 3)
            plan.append((now, "order", (side, lots)))
        else:
            plan.append((now, "mark", (rng.randint(90, 110), rng.randint(-10**9, 10**9), rng.randint(1, 20))))
    plan.append((now + 100, "end", ()))
    total = 0
    for t, what, value in plan:
        if known is not None and known[2] <= t:           # at one time: market data, funding, our orders
            owed = Fraction(position * known[0] * 10_000 * known[1], 10**12)
            total += ceil(owed)
            known = None
        if what == "order":
            side, lots = value
            todo.append((START + t, lambda v, s=side, q=lots: v.market(s, q)))
            position += lots if side == "buy" else -lots
        elif what == "mark":
            ticks, rate, wait = value
            events.append(mark(t, ticks, rate, t + wait))
            known = (ticks, rate, t + wait)
        events.append(at(t, "BOOK_LEVEL", (BUY, 100, 1000), (SELL, 102, 1000)))
    rows = quiet(*events, at(now + 200, "TRADE", (BUY, 500, 1)))
    run = Run(rows[np.argsort(rows["ts_local_ns"], kind="stable")], [Scripted(*todo)], venue={"funding": []}).run()
    assert run.ledger.position(0) == position
    assert paid(run) == total
