"""Orders tied together: exits attached to an entry, and pairs of which one cancels the other."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from apex._core.engine import STATES, Strategy
from apex._core.risk import REASONS
from apex.domain.limits import Limits
from tests.core.assembly import BUY, SELL, START, Run, Scripted
from tests.core.test_engine import quiet
from tests.core.test_matching import LATENCIES, Market, rows_of, walked
from tests.core.test_strict import at, played, reasons


def test_a_bracket_takes_profit() -> None:
    """Lost otherwise: a stop that stays behind and opens a position after the profit was taken."""
    run, fills = played([(START + 1, lambda v: v.bracket("buy", 100, 5, take_profit_ticks=104, stop_ticks=97))],
                        at(10, "TRADE", (SELL, 99, 3)), at(20, "TRADE", (SELL, 99, 2)), at(30, "TRADE", (BUY, 105, 9)))
    assert fills == [(10, 0, 100, 3, 1), (20, 0, 100, 2, 1), (30, 1, 104, 3, 1), (30, 3, 104, 2, 1)]
    assert reasons(run) == [("filled", ""), ("filled", ""), ("canceled", "canceled"), ("filled", ""),
                            ("canceled", "canceled")]
    assert list(run.orders["quantity_lots"]) == [5, 3, 3, 2, 2]
    assert run.ledger.position(0) == 0


def test_a_bracket_stops_out() -> None:
    """Lost otherwise: a position without its stop, or one closed twice."""
    run, fills = played([(START + 1, lambda v: v.bracket("buy", None, 5, take_profit_ticks=110, stop_ticks=97))],
                        at(20, "TRADE", (SELL, 97, 1)), latency=(3, 3, 3, 3))
    assert fills == [(4, 0, 102, 5, 0), (20, 2, 100, 5, 0)]
    assert reasons(run) == [("filled", ""), ("expired", "nothing_to_reduce"), ("filled", "")]


def test_one_leg_is_one_triggers_other() -> None:
    """Lost otherwise: an entry whose only exit is never sent."""
    ids: list[int] = []

    def send(v: Any) -> None:
        ids.append(v.limit("sell", 102, 4))
        ids.append(v.attach(ids[0], stop_ticks=106))

    run, fills = played([(START + 1, send), (START + 50, lambda v: ids.extend(v.children(ids[0])))],
                        at(10, "TRADE", (BUY, 103, 4)), at(60, "TRADE", (BUY, 106, 1)))
    assert fills == [(10, 0, 102, 4, 1), (60, 1, 102, 4, 0)]
    assert ids[1:] == [True, int(run.orders["id"][1])]


def test_one_cancels_the_other() -> None:
    """Lost otherwise: both of a pair filled, one of them by a market that came back later."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.extend((v.limit("buy", 100, 5), v.stop("buy", 104, 5)))),
            (START + 2, lambda v: ids.append(v.oco(ids[0], ids[1])))]
    run, fills = played(todo, at(10, "TRADE", (SELL, 99, 2)), at(20, "TRADE", (BUY, 105, 1)))
    assert fills == [(10, 0, 100, 2, 1)]
    assert reasons(run) == [("open", ""), ("canceled", "canceled")]
    assert ids[2] is True


def test_a_cancel_by_the_strategy_takes_both() -> None:
    """Lost otherwise: half of a pair that nobody remembers."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.extend((v.limit("buy", 100, 5), v.limit("buy", 99, 5)))),
            (START + 2, lambda v: v.oco(ids[0], ids[1])), (START + 3, lambda v: v.cancel(ids[1]))]
    run, _ = played(todo)
    assert reasons(run) == [("canceled", "canceled")] * 2


def test_a_pair_in_flight_waits_for_its_acknowledgement() -> None:
    """Lost otherwise: a cancellation of an order that the venue does not know yet, and no second one."""
    def send(v: Any) -> None:
        first = v.limit("buy", 103, 5)
        v.oco(first, v.limit("buy", 99, 5))

    run, fills = played([(START + 1, send)], latency=(10, 2, 2, 5))
    assert [f[1] for f in fills] == [0]
    assert reasons(run) == [("filled", ""), ("canceled", "canceled")]


def test_two_fills_of_one_size_have_two_exits() -> None:
    """Lost otherwise: lots without a stop, since its order looked like the one before it."""
    strategy = Scripted((START + 1, lambda v: v.bracket("buy", 100, 4, take_profit_ticks=105, stop_ticks=98)))
    trades = [at(10 + k, "TRADE", (SELL, 99, 2)) for k in (0, 1)]
    run = Run(quiet(*trades, at(900, "TRADE", (BUY, 103, 1))), [strategy], limits=Limits()).run()
    assert [REASONS[int(x)] for x in run.orders["deny_reason"]] == ["allowed"] * 5


def test_children_pass_the_gate() -> None:
    """Lost otherwise: orders that no limit has seen, since another order sent them."""
    strategy = Scripted((START + 1, lambda v: v.bracket("buy", 102, 2, take_profit_ticks=150, stop_ticks=98)))
    run = Run(quiet(at(900, "TRADE", (BUY, 103, 1))), [strategy], limits=Limits(price_collar="0.05")).run()
    assert [REASONS[int(x)] for x in run.orders["deny_reason"]] == ["allowed", "price-collar", "allowed"]
    assert [STATES[int(x)] for x in run.orders["state"]] == ["filled", "denied", "open"]


@pytest.mark.parametrize("wrong", [
    lambda v: v.stop("sell", 98, 1, trigger="last"), lambda v: v.attach(v.limit("buy", 99, 1), 103, trigger="x"),
    lambda v: (lambda one: v.oco(one, one))(v.limit("buy", 98, 1)),
])  # fmt: skip
def test_wrong_words_are_refused(wrong: Callable[[Any], Any]) -> None:
    """Lost otherwise: a stop that watches something else than was meant."""
    with pytest.raises(ValueError, match=r"trade or mark|itself"):
        played([(START + 1, wrong)])


class Brackets(Strategy):
    """Brackets at random, some amended, some cancelled."""

    waits_for_book = False

    def __init__(self, seed: int) -> None:
        super().__init__(None)
        self.rng, self.entries = random.Random(seed), []

    def on_start(self, view: Any) -> None:
        view.every("40ns")

    def on_timer(self, view: Any) -> None:
        rng = self.rng
        if view.bid_ticks is None or view.ask_ticks is None or view.now > START + 60_000:
            return
        if rng.random() < 0.5:
            side, lots = rng.choice(("buy", "sell")), rng.randint(1, 30)
            sign = 1 if side == "buy" else -1
            touch = view.bid_ticks if side == "buy" else view.ask_ticks
            self.entries.append(view.bracket(side, touch if rng.random() < 0.8 else None, lots,
                                             touch + 2 * sign, touch - 3 * sign))
        elif rng.random() < 0.3 and self.entries:
            view.cancel(rng.choice(self.entries))


@pytest.mark.parametrize("latency", LATENCIES)
def test_random_brackets_hold_their_promises(latency: tuple[int, int, int, int]) -> None:
    """Lost otherwise: lots without exits, or exits of more than has filled, however late the replies come.

    For each entry: its children come in pairs, one pair a fill, of the lots of that fill; an exit that has filled or
    triggered has no partner that goes on working.
    """
    pairs = 0
    for seed in range(6):
        market = Market(400 + seed, 1500)
        strategy = Brackets(seed)
        run = walked(Run(rows_of(market.data), [strategy], latency=latency), 1)
        orders, fills = run.orders, run.fills
        row = {int(x): n for n, x in enumerate(orders["id"])}
        for entry in strategy.entries:
            mine = [int(f["quantity_lots"]) for f in fills[fills["id"] == entry]]
            children = [row[x] for x in run.views[0].children(entry)]
            assert [int(orders["quantity_lots"][c]) for c in children] == [q for q in mine for _ in (0, 1)]
            for one, other in zip(children[::2], children[1::2], strict=True):
                pairs += 1
                assert (orders["type"][one], orders["type"][other]) == (0, 2)
                if orders["fills"][one] or orders["fills"][other]:
                    states = {STATES[int(orders["state"][x])] for x in (one, other) if not orders["fills"][x]}
                    assert states <= {"canceled", "expired", "rejected", "open"}
                    late = int(fills["ts_local_ns"][np_first(fills, orders, (one, other))])
                    if late + 200 < int(market.data[-1][0]):
                        assert "open" not in states
        signed = [int(f["quantity_lots"]) * (1 if f["side"] == BUY else -1) for f in fills]
        assert run.ledger.position(0) == sum(signed)
    assert pairs > 50


def np_first(fills: Any, orders: Any, places: tuple[int, int]) -> int:
    """The first fill of one of two orders."""
    ids = {int(orders["id"][p]) for p in places}
    return next(n for n, f in enumerate(fills) if int(f["id"]) in ids)
