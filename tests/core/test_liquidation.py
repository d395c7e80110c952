"""Liquidation: when the margin is too little at mark prices, what the venue does then, and what we are charged."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import pytest

from apex._core.account import MarginAccount
from apex._core.engine import STATES
from apex._core.ledger import Ledger
from apex._core.simvenue import VENUE_REASONS, SimVenue
from apex.domain.instrument import Instrument
from tests.core.assembly import BUY, START, Run, Scripted
from tests.core.test_engine import quiet
from tests.core.test_funding import mark
from tests.core.test_strict import at
from tests.oracles.venue import margin

NAMES = [Instrument("AAA", "test", "0.1", "0.001"), Instrument("BBB", "test", "0.01", "0.1")]
MAINTENANCE, FEE = 10**10, 5 * 10**9      # 1 % and 0.5 %


def run_of(todo: list[tuple[int, Any]], *events: Any, cash: int, names: list[Instrument] = NAMES[:1], fee: int = FEE,
           **more: Any) -> Run:
    made = Run(quiet(*events, at(900, "TRADE", (BUY, 500, 1)), instruments=len(names)), [Scripted(*todo)], names=names,
               cash=cash, **more)
    account = MarginAccount(made.ledger, cash, MAINTENANCE, fee)
    for venue in made.venues:
        venue.watch(account)
    return made.run()


def test_a_liquidation_by_hand() -> None:
    """Lost otherwise: a position that lives on below its margin, or one that is closed too early.

    10 lots bought at 102 ticks with 300,000 units of cash: at a mark of 100 the loss is 200,000 and the margin 1 % of
    10,000,000, which is just what is left; at 99 it is too little.
    """
    todo = [(START + 1, lambda v: (v.market("buy", 10), v.limit("buy", 95, 5), v.stop("sell", 80, 1))),
            (START + 30, lambda v: v.market("buy", 1))]
    run = run_of(todo, mark(5, 100, 0, 0), mark(20, 99, 0, 0), cash=300_000)
    rows = [(STATES[int(o["state"])], VENUE_REASONS[int(o["venue_reason"])], int(o["type"])) for o in run.orders]
    assert rows == [("filled", "", 1), ("canceled", "liquidated", 0), ("canceled", "liquidated", 2),
                    ("filled", "", 5), ("rejected", "liquidated", 1)]
    assert [(int(f["ts_venue_ns"]) - START, int(f["price_ticks"])) for f in run.fills] == [(1, 102), (20, 100)]
    assert run.ledger.position(0) == 0
    assert run.ledger.account(0)["liquidation"] == 10 * 100 * 10_000 * 5 // 1000
    assert run.ledger.cash_total == -200_000 - 50_000
    run.engine._check()
    just = run_of(todo[:1], mark(5, 100, 0, 0), cash=300_000)   # exactly the margin
    assert len(just.fills) == 1


def test_what_the_book_does_not_hold_goes_at_the_mark() -> None:
    """Lost otherwise: a liquidation that leaves a position open."""
    todo = [(START + 1, lambda v: v.market("buy", 15))]
    run = run_of(todo, mark(5, 102, 0, 0), at(10, "BOOK_LEVEL", (BUY, 99, 0), (BUY, 100, 4)), mark(20, 90, 0, 0),
                 cash=400_000)
    assert [(int(f["price_ticks"]), int(f["quantity_lots"])) for f in run.fills][2:] == [(100, 4), (90, 11)]
    assert run.ledger.position(0) == 0


def test_all_instruments_of_the_account_are_closed() -> None:
    """Lost otherwise: cross margin that ends at the instrument whose mark moved."""
    todo = [(START + 1, lambda v: (v.market("buy", 10), v.market("sell", 3, 1), v.limit("sell", 110, 1, "GTC", 1)))]
    run = run_of(todo, mark(5, 102, 0, 0), mark(20, 60, 0, 0), cash=3_000_000, names=NAMES, latency=(2, 2, 2, 4))
    assert [run.ledger.position(i) for i in (0, 1)] == [0, 0]
    assert sum(int(o["type"]) == 5 for o in run.orders) == 2
    assert [VENUE_REASONS[int(o["venue_reason"])] for o in run.orders][2] == "liquidated"


def test_funding_can_liquidate() -> None:
    """Lost otherwise: an account that funding has eaten, and that trades on."""
    run = run_of([(START + 1, lambda v: v.market("buy", 10))], mark(5, 102, 5 * 10**10, 30), cash=400_000,
                 venue={"funding": []})
    assert int(run.ledger.account(0)["funding"]) == 510_000
    assert run.ledger.position(0) == 0


def test_not_in_a_halt() -> None:
    """Lost otherwise: a position closed in a market that does not trade."""
    run = run_of([(START + 1, lambda v: v.market("buy", 10))], mark(20, 60, 0, 0), cash=300_000,
                 venue={"halts": [(START + 10, START + 50)]})
    assert int(run.fills["ts_venue_ns"][1]) - START == 50


def test_a_halted_instrument_is_closed_at_its_mark() -> None:
    """Lost otherwise: trades with the book of a halted instrument, since another one of the account was liquidated."""
    todo = [(START + 1, lambda v: (v.market("buy", 10), v.market("buy", 3, 1)))]
    halted = at(10, "HALT")
    halted["instrument"] = 1
    halted["aux"] = 1
    run = run_of(todo, mark(5, 102, 0, 0), halted, mark(20, 60, 0, 0), cash=3_000_000, names=NAMES)
    last = [f for f in run.fills if int(f["instrument"]) == 1][-1]
    assert (int(last["ts_venue_ns"]) - START, run.ledger.position(1)) == (20, 0)
    assert int(last["price_ticks"]) != 100                   # the book's bid
    for venue in run.venues:
        venue._check()


@pytest.mark.parametrize("seed", range(8))
def test_random_marks_equal_the_oracle(seed: int) -> None:
    """Lost otherwise: a margin that is wrong by a fee, a rest of a mark price, or a sign."""
    rng = random.Random(seed)
    position = rng.choice((1, -1)) * rng.randint(1, 15)
    side = "buy" if position > 0 else "sell"
    cash = rng.randint(100_000, 2_000_000)
    events, want, cost = [], None, Fraction(0)
    left = abs(position)
    for tick in ((102, 103) if position > 0 else (100, 99)):
        cost, left = cost + min(left, 10) * tick, left - min(left, 10)
    entry, price = cost / abs(position), Fraction(1010, 10)
    for n in range(60):
        price += Fraction(rng.randint(-10, 10), 10)
        ticks = round(price)
        rest = int((price - ticks) * 10_000_000)
        events.append(mark(10 + n, ticks, 0, 0, rest))
        if want is None and margin(Fraction(cash), [(position, entry, Fraction(10_000))], [price], Fraction(1, 100)):
            want = 10 + n
    run = run_of([(START + 1, lambda v: v.market(side, abs(position)))], *events, cash=cash, fee=0)
    closed = [int(o["ts_venue_ns"]) - START for o in run.orders if o["type"] == 5]
    assert closed == ([] if want is None else [want])


def test_bad_margins_are_refused() -> None:
    """Lost otherwise: an account that can never be liquidated, or always is."""
    ledger = Ledger([{"value_num": 1, "value_den": 1, "kind": "linear"}])
    for maintenance, fee in ((0, 0), (10**12, 0), (1, -1), (1, 10**12)):
        with pytest.raises(ValueError, match="fractions"):
            MarginAccount(ledger, 0, maintenance, fee)
    account = MarginAccount(ledger, 5, 1)
    assert (account.is_under, account.closed, account.count) == (False, False, 1)
    assert SimVenue(0, (1, 3), account=account) is not None
