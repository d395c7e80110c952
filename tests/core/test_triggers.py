"""Stops, trailing stops, reduce-only orders and icebergs: by hand, and at random against plain Python."""

from __future__ import annotations

import random
from typing import Any

import pytest

from apex._core.engine import STATES, Strategy
from apex._core.simvenue import VENUE_REASONS
from apex.domain.decimals import scaled
from apex.domain.limits import Limits
from tests.core.assembly import BUY, NAMES, SELL, START, Run
from tests.core.test_matching import LATENCIES, QUEUES, SIDES, Market, conserved, for_oracle, rows_of, walked
from tests.core.test_strict import at, played, reasons
from tests.oracles.matching import CANCEL, PLACE
from tests.oracles.triggers import TriggerReplay, TriggerVenue


def test_a_stop_triggers_at_its_price() -> None:
    """Lost otherwise: stops that fill before the market is there, or never."""
    run, fills = played([(START + 1, lambda v: (v.stop("sell", 98, 12), v.stop("buy", 104, 3)))],
                        at(10, "TRADE", (SELL, 99, 1)), at(20, "TRADE", (SELL, 98, 1)), at(30, "TRADE", (BUY, 103, 1)))
    assert fills[:2] == [(20, 0, 100, 10, 0), (20, 0, 99, 2, 0)]
    assert reasons(run)[0] == ("filled", "")
    assert fills[2:] == [(900, 1, 102, 3, 0)]              # the last trade prints 500
    assert list(run.orders["type"]) == [2, 2]


def test_a_stop_at_the_touch_is_refused() -> None:
    """Lost otherwise: a stop order that is a market order by mistake."""
    run, fills = played([(START + 1, lambda v: [v.stop("sell", 100, 1), v.stop("sell", 99, 1), v.stop("buy", 102, 1)])])
    assert reasons(run) == [("rejected", "stop_reached"), ("open", ""), ("rejected", "stop_reached")]
    assert fills == []


def test_a_stop_limit_rests_at_its_limit() -> None:
    """Lost otherwise: a stop-limit that fills worse than its limit, or that is acknowledged twice."""
    run, fills = played([(START + 1, lambda v: v.stop("buy", 103, 15, 102))], at(10, "TRADE", (BUY, 103, 1)),
                        at(20, "TRADE", (SELL, 101, 4)), latency=(2, 2, 2, 2))
    assert fills == [(10, 0, 102, 10, 0), (20, 0, 102, 4, 1)]
    assert int(run.orders["ts_ack_ns"][0]) - START == 5


def test_a_trailing_stop_follows_the_best_price() -> None:
    """Lost otherwise: stops that loosen, or that stay where they began."""
    trades = [(10, 101), (20, 104), (30, 103), (40, 102), (50, 101)]
    _, fills = played([(START + 1, lambda v: v.trailing_stop("sell", 2, 3))],
                      *(at(t, "TRADE", (BUY, p, 1)) for t, p in trades))
    assert [f[0] for f in fills] == [40]


def test_stops_are_cancelled_and_amended() -> None:
    """Lost otherwise: a stop that a strategy can no longer move or take back."""
    ids: list[int] = []
    todo = [(START + 1, lambda v: ids.extend(v.stop("sell", t, 3) for t in (98, 97, 96))),
            (START + 5, lambda v: (v.cancel(ids[0]), v.amend(ids[1], 99, 5), v.amend(ids[2], 100, 5)))]
    run, fills = played(todo, at(10, "TRADE", (SELL, 99, 1)))
    assert fills == [(10, 1, 100, 5, 0)]
    assert reasons(run) == [("canceled", "canceled"), ("filled", ""), ("open", "")]


def test_a_triggered_stop_limit_is_a_limit_order_to_the_gate() -> None:
    """Lost otherwise: an amendment that trades with our own ask, and a target that counts a working order as none."""
    stop: list[int] = []
    told: list[Any] = []
    todo = [(START + 1, lambda v: (stop.append(v.stop("buy", 103, 3, 98)), v.limit("sell", 103, 4, "GTX"))),
            (START + 20, lambda v: told.extend((v.amend(stop[0], 103, 3), v.target(-1), v.position_lots)))]
    run, fills = played(todo, at(10, "TRADE", (BUY, 103, 1)), at(30, "BOOK_LEVEL", (SELL, 102, 0)), limits=Limits())
    assert told == [False, 0, 0]
    assert run.gate.request_counters() == {"self-trade": 1}
    assert fills[:1] != [(20, 0, 103, 3, 0)]


def test_reduce_only_never_opens() -> None:
    """Lost otherwise: a protective order that turns a flat book into a position."""
    todo = [(START + 1, lambda v: v.limit("sell", 100, 2, reduce_only=True)), (START + 2, lambda v: v.market("buy", 5)),
            (START + 3, lambda v: v.market("sell", 9, reduce_only=True)),
            (START + 4, lambda v: v.limit("buy", 99, 1, reduce_only=True))]
    run, fills = played(todo)
    assert fills == [(2, 1, 102, 5, 0), (3, 2, 100, 5, 0)]
    assert reasons(run) == [("rejected", "nothing_to_reduce"), ("filled", ""), ("expired", "nothing_to_reduce"),
                            ("rejected", "nothing_to_reduce")]
    assert run.ledger.position(0) == 0


def test_reduce_only_rests_until_there_is_nothing_left() -> None:
    """Lost otherwise: an old take-profit that opens a short after the position was closed by another order."""
    todo = [(START + 1, lambda v: v.market("buy", 5)), (START + 2, lambda v: v.limit("sell", 103, 5, reduce_only=True)),
            (START + 12, lambda v: v.market("sell", 4))]
    run, fills = played(todo, at(10, "TRADE", (BUY, 104, 2)), at(20, "TRADE", (BUY, 104, 9)))
    assert fills == [(1, 0, 102, 5, 0), (10, 1, 103, 2, 1), (12, 2, 100, 4, 0)]
    assert reasons(run)[1] == ("expired", "nothing_to_reduce")
    assert run.ledger.position(0) == -1                     # the market order was not reduce-only


def test_an_iceberg_shows_its_tip() -> None:
    """Lost otherwise: hidden quantity that stands in the queue as if it were shown."""
    trades = [at(10, "TRADE", (SELL, 100, 20)), at(20, "TRADE", (SELL, 100, 12)), at(30, "TRADE", (SELL, 99, 2))]
    _, fills = played([(START + 1, lambda v: v.limit("buy", 100, 7, display_lots=3))], *trades)
    # 10 ahead: the first trade takes the tip; 10 ahead again: 2 of the next tip; a trade through takes what is there
    assert fills == [(10, 0, 100, 3, 1), (20, 0, 100, 2, 1), (30, 0, 100, 2, 1)]


def test_an_iceberg_lets_those_behind_it_pass() -> None:
    """Lost otherwise: an order of ours that waits for lots that nobody sees."""
    todo = [(START + 1, lambda v: [v.limit("buy", 101, 7, display_lots=2), v.limit("buy", 101, 2)])]
    _, fills = played(todo, at(10, "TRADE", (SELL, 101, 4)), at(20, "TRADE", (SELL, 101, 1)))
    assert fills == [(10, 0, 101, 2, 1), (10, 1, 101, 2, 1), (20, 0, 101, 1, 1)]


def test_compat_knows_none_of_them() -> None:
    """Lost otherwise: a run under hftbacktest's rules that hftbacktest could not make."""
    todo = [(START + 1, lambda v: [v.stop("sell", 98, 1), v.limit("buy", 99, 1, reduce_only=True),
                                   v.limit("buy", 99, 5, display_lots=1), v.trailing_stop("buy", 2, 1)])]
    run, _ = played(todo, compat=True)
    assert reasons(run) == [("rejected", "not_in_compat")] * 4


# ---- at random -----------------------------------------------------------------------------------------------------

class Sender(Strategy):
    """Sends intents at their times, as the oracle's sender does."""

    waits_for_book = False
    outlasts_events = True

    def __init__(self, todo: list[tuple[int, tuple[Any, ...]]]) -> None:
        super().__init__(None)
        self.todo, self.ids, self.did = todo, [], 0

    def on_start(self, view: Any) -> None:
        view.at(self.todo[0][0])

    def place(self, view: Any, side: int, price: int | None, lots: int, tif: str, more: dict[str, Any]) -> int:
        reduce, kind, name = more.get("reduce", False), more.get("kind", ""), SIDES[side]
        if kind == "trailing":
            return int(view.trailing_stop(name, more["distance"], lots, reduce_only=reduce))
        if kind:
            return int(view.stop(name, more["trigger"], lots, price if kind == "stop-limit" else None, tif,
                                 reduce_only=reduce))
        if price is None:
            return int(view.market(name, lots, reduce_only=reduce))
        return int(view.limit(name, price, lots, tif, reduce_only=reduce, display_lots=more.get("show", 0)))

    def on_timer(self, view: Any) -> None:
        while self.did < len(self.todo) and self.todo[self.did][0] <= view.now:
            kind, *rest = self.todo[self.did][1]
            self.did += 1
            if kind == PLACE:
                self.ids.append(self.place(view, *rest))
            elif kind == CANCEL:
                view.cancel(self.ids[rest[0]])
            else:
                view.amend(self.ids[rest[0]], rest[1], rest[2])
        if self.did < len(self.todo):
            view.at(self.todo[self.did][0])


def dressed(todo: list[tuple[int, tuple[Any, ...]]], seed: int) -> list[tuple[int, tuple[Any, ...]]]:
    """The intents of a random market, many of its orders made stops, reduce-only or icebergs."""
    rng, made, prices = random.Random(seed), [], []
    for ts, (kind, *rest) in todo:
        if kind != PLACE:
            made.append((ts, (kind, *rest)))
            continue
        side, price, lots, tif = rest
        near = price if price is not None else prices[-1] if prices else 1000
        prices.append(near)
        more: dict[str, Any] = {}
        drawn = rng.random()
        away = rng.randint(0, 4) * (1 if side == BUY else -1)
        if drawn < 0.2:
            more = {"kind": "stop", "trigger": near + away}
            price, tif = None, "IOC"
        elif drawn < 0.3:
            more = {"kind": "stop-limit", "trigger": near + away}
            price = near + away + rng.randint(-3, 3)
        elif drawn < 0.4:
            more = {"kind": "trailing", "distance": rng.randint(1, 4)}
            price, tif = None, "IOC"
        elif drawn < 0.6 and price is not None:
            more = {"show": rng.randint(1, max(lots, 1))}
        if rng.random() < 0.35:
            more["reduce"] = True
        made.append((ts, (PLACE, side, price, lots, tif, more)))
    return made


@pytest.mark.parametrize("queue", QUEUES, ids=[q[0] for q in QUEUES])
def test_random_orders_equal_the_oracle(queue: tuple[str, float]) -> None:
    """Lost otherwise: a stop that triggers too late, a tip that keeps a place, a reduce-only order that opens.

    Fills, states, reasons and times of each order; the invariants walked after each step of the driver.
    """
    seen: set[str] = set()
    triggered = 0
    for n, latency in enumerate(LATENCIES * 2):
        market = Market(9000 + 10 * QUEUES.index(queue) + n, 1500)
        todo = dressed(market.todo, n)
        oracle = TriggerReplay(TriggerVenue(queue[0], queue[1], scaled(NAMES[0].lot)), latency)
        oracle.run(for_oracle(market.data), todo)
        run = walked(Run(rows_of(market.data), [Sender(todo)], queue=queue[0], power=queue[1], latency=latency), 1)
        place = {int(x): i for i, x in enumerate(run.orders["id"])}
        ours = [(int(f["ts_venue_ns"]), int(f["ts_local_ns"]), place[int(f["id"])], int(f["price_ticks"]),
                 int(f["quantity_lots"]), bool(f["maker"]), bool(f["optimistic"])) for f in run.fills]
        for k, (one, two) in enumerate(zip(ours, oracle.fills, strict=False)):
            assert one == two, (n, f"fill {k}", todo[one[2]])
        assert len(ours) == len(oracle.fills)
        for k, (row, known) in enumerate(zip(run.orders, oracle.known, strict=True)):
            status = "open" if known.status in ("flight", "working") else known.status
            got = (STATES[int(row["state"])], row["filled_lots"], row["quantity_lots"], row["ts_ack_ns"],
                   row["ts_done_ns"], row["ts_venue_ns"], VENUE_REASONS[int(row["venue_reason"])], bool(row["pending"]))
            want = (status, known.filled, known.lots, known.ack, known.done, known.venue, known.reason,
                    bool(known.pending))
            assert got == want, (n, f"order {k}", [t for t in todo if t[1][0] == PLACE][k])
        conserved(run)
        seen |= {VENUE_REASONS[int(x)] for x in run.orders["venue_reason"]}
        triggered += sum(1 for _, _, r in oracle.journal if r is not None and r[1] == "triggered")
    assert seen >= {"", "canceled", "no_liquidity", "post_only_would_cross", "venue_unsynced", "stop_reached",
                    "nothing_to_reduce"}
    assert triggered > 40


