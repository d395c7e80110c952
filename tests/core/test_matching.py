"""The strict venue, its two order legs and what the engine knows of its orders, against a plain-Python replay."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.engine import STATES, Strategy
from apex._core.events import EVENT_DTYPE, FLAGS, KINDS
from apex._core.simvenue import VENUE_REASONS
from apex.domain.decimals import scaled
from apex.importers.binance import import_binance
from apex.store.tape import Tape
from tests.core.assembly import BOTH, BUY, LAST, NAMES, SELL, START, Run
from tests.oracles.book import DictBook
from tests.oracles.matching import AMEND, CANCEL, PLACE, StrictReplay, StrictVenue

QUEUES = [("risk-averse", 1.0), ("power-prob", 2.0), ("power-prob2", 3.0), ("power-prob3", 0.7), ("log-prob", 1.0),
          ("log-prob2", 1.0)]
LATENCIES = [(0, 0, 0, 0), (5, 5, 5, 5), (40, 1, 15, 0), (3, 30, 0, 25)]
SIDES = {BUY: "buy", SELL: "sell"}
FIELDS = ("side", "price_ticks", "quantity_lots")


class Sender(Strategy):
    """Sends intents at their times, as the oracle's sender does."""

    waits_for_book = False
    outlasts_events = True

    def __init__(self, todo: list[tuple[int, tuple[Any, ...]]]) -> None:
        super().__init__(None)
        self.todo, self.ids, self.did = todo, [], 0

    def on_start(self, view: Any) -> None:
        if self.todo:
            view.at(self.todo[0][0])

    def on_timer(self, view: Any) -> None:
        while self.did < len(self.todo) and self.todo[self.did][0] <= view.now:
            kind, *rest = self.todo[self.did][1]
            self.did += 1
            if kind == PLACE:
                side, price, lots, tif = rest
                self.ids.append(view.market(SIDES[side], lots) if price is None
                                else view.limit(SIDES[side], price, lots, tif))
            elif kind == CANCEL:
                view.cancel(self.ids[rest[0]])
            else:
                view.amend(self.ids[rest[0]], rest[1], rest[2])
        if self.did < len(self.todo):
            view.at(self.todo[self.did][0])


def rows_of(data: list[tuple[int, str, Any]]) -> Any:
    """Canonical rows of messages, which reach us 7 ns after the venue sends them."""
    kinds = {"level": "BOOK_LEVEL", "trade": "TRADE", "clear": "BOOK_CLEAR", "snapshot": "SNAPSHOT_BEGIN",
             "gap": "LINK_GAP", "liquidation": "TRADE"}
    flat: list[tuple[int, int, int, int, int, int]] = []
    for ts, kind, rows in data:
        for n, row in enumerate(rows or [()]):
            side, ticks, lots = (*row, 0, 0, 0)[:3]
            flags = BOTH | (LAST if n == max(len(rows), 1) - 1 else 0)
            if kind == "clear":
                flags |= FLAGS["CLEAR_TO"] if ticks is not None else 0
            if kind == "liquidation":
                flags |= FLAGS["NOT_MARKET"]
            flat.append((ts, KINDS[kinds[kind]], side, ticks or 0, lots, flags))
    made = np.zeros(len(flat), EVENT_DTYPE)
    names = ("ts_exchange_ns", "kind", "side", "price_ticks", "quantity_lots", "flags")
    for name, column in zip(names, zip(*flat, strict=True), strict=True):
        made[name] = column
    made["ts_local_ns"] = made["ts_exchange_ns"] + 7
    made["sequence"] = np.cumsum(np.concatenate(([0], made["flags"][:-1] & LAST)))
    return made


def for_oracle(data: list[tuple[int, str, Any]]) -> list[tuple[int, str, Any]]:
    """Messages as calls of the oracle: a liquidation is none."""
    return [(ts, kind, rows or [()]) for ts, kind, rows in data if kind != "liquidation"]


class Market:
    """A random market around a walking mid, and intents that meet it."""

    def __init__(self, seed: int, count: int) -> None:
        self.rng = rng = random.Random(seed)
        self.mid, self.now = rng.randint(500, 5000), START
        self.big = rng.choice((4, 12, 60))
        self.book = DictBook()
        self.data: list[tuple[int, str, Any]] = [(START, "snapshot", []), (START, "level", self.levels(12))]
        self.todo: list[tuple[int, tuple[Any, ...]]] = []
        self.places: list[tuple[Any, ...]] = []
        intents = rng.choice((0.08, 0.2, 0.4))
        for _ in range(count):
            self.now += rng.choice((0, 0, 1, 3, 10, 50))
            if rng.random() < intents:
                self.intend()
            else:
                self.send()
            if rng.random() < 0.01:
                self.mid += rng.choice((-4, -2, -1, 1, 2, 4))

    def lots(self, times: int = 1) -> int:
        rng = self.rng
        return times * rng.randint(1, self.big) if rng.random() < 0.97 else rng.randint(1, 40 * self.big)

    def near(self, side: int, crossing: float) -> int:
        """A price on its own side of the mid, at times on the other."""
        away = abs(int(self.rng.gauss(0, 2.5)))
        away = -away if self.rng.random() < crossing else away
        return self.mid - away if side == BUY else self.mid + 1 + away

    def levels(self, count: int) -> list[tuple[int, int, int]]:
        """Changes of levels: mostly more or less at one that is there, now and then a new one, across the mid too."""
        rng, made = self.rng, []
        for _ in range(count):
            side = rng.choice((BUY, SELL))
            there, kind = self.book.levels(side), rng.random()
            if len(there) < 3 or kind < 0.25:
                row = (side, self.near(side, 0.04), self.lots(3))
            elif kind < 0.29:
                row = (side, rng.choice(there[:3])[0], 0)
            else:
                ticks, lots = rng.choice(there[:4])
                row = (side, ticks, max(1, lots + rng.randint(-lots // 2, 2 * self.big)))
            self.book.set(*row)
            made.append(row)
        return made

    def trades(self) -> list[tuple[int, int, int]]:
        """Trades at the touch, a few a tick off it."""
        side = self.rng.choice((BUY, SELL))
        touch = self.book.best(SELL if side == BUY else BUY) or self.mid
        off = self.rng.choices((0, 1, 2, -1), (12, 2, 1, 1))[0] * (1 if side == BUY else -1)
        return [(side, touch + off, self.lots()) for _ in range(self.rng.choice((1, 1, 3)))]

    def send(self) -> None:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.6:
            self.data.append((self.now, "level", self.levels(rng.choice((1, 1, 2, 5)))))
        elif kind < 0.98:
            self.data.append((self.now, "trade" if rng.random() < 0.95 else "liquidation", self.trades()))
        elif kind < 0.988:
            side = rng.choice((0, BUY, SELL))
            to = None if side == 0 or rng.random() < 0.3 else self.near(side, 0.1)
            self.data.append((self.now, "clear", [(side, to)]))
            self.book = DictBook()
        elif kind < 0.994:
            self.data.append((self.now, "gap", []))
        else:
            self.book = DictBook()
            self.data += [(self.now, "snapshot", []), (self.now, "level", self.levels(12))]

    def intend(self) -> None:
        rng, kind = self.rng, self.rng.random()
        if kind < 0.6 or not self.places:
            side = rng.choice((BUY, SELL))
            tif = rng.choices(("GTC", "GTX", "IOC", "FOK"), (6, 2, 1, 1))[0]
            price = None if rng.random() < 0.06 else self.near(side, 0.15)
            self.places.append((PLACE, side, price, self.lots(), "IOC" if price is None else tif))
            self.todo.append((self.now, self.places[-1]))
            return
        which = max(0, len(self.places) - 1 - int(rng.expovariate(0.05)))
        if kind < 0.82:
            self.todo.append((self.now, (CANCEL, which)))
        else:
            _, _, price, lots, _ = self.places[which]
            price = (price or self.mid) + rng.choice((0, 0, 0, -1, 1, 3, -3))
            self.todo.append((self.now, (AMEND, which, price, max(1, lots + rng.choice((-2, -1, -1, 0, 1, 5))))))


def walked(run: Run, check_every: int) -> Run:
    """Run to the end, walking every invariant after each so many steps of the driver."""
    while not run.driver.run(check_every):
        run.engine._check()
        run.venues[0]._check()
    return run


def compared(data: list[tuple[int, str, Any]], todo: list[tuple[int, tuple[Any, ...]]], queue: tuple[str, float],
             latency: tuple[int, int, int, int], check_every: int = 1) -> tuple[Run, StrictReplay]:
    """Both replays of the same market; every fill and every order must be equal."""
    oracle = StrictReplay(StrictVenue(queue[0], queue[1], scaled(NAMES[0].lot)), latency)
    oracle.run(for_oracle(data), todo)
    run = Run(rows_of(data), [Sender(todo)], queue=queue[0], power=queue[1], latency=latency)
    equal(walked(run, check_every), oracle, todo)
    return run, oracle


def equal(run: Run, oracle: StrictReplay, todo: list[tuple[int, tuple[Any, ...]]]) -> None:
    orders, fills = run.orders, run.fills
    place = {int(x): i for i, x in enumerate(orders["id"])}
    ours = [(int(f["ts_venue_ns"]), int(f["ts_local_ns"]), place[int(f["id"])], int(f["price_ticks"]),
             int(f["quantity_lots"]), bool(f["maker"]), bool(f["optimistic"])) for f in fills]
    for n, (one, two) in enumerate(zip(ours, oracle.fills, strict=False)):
        assert one == two, f"fill {n}"
    assert len(ours) == len(oracle.fills)
    assert len(orders) == len(oracle.known)
    for n, (row, known) in enumerate(zip(orders, oracle.known, strict=True)):
        status = "open" if known.status in ("flight", "working") else known.status
        got = (STATES[int(row["state"])], row["filled_lots"], row["price_ticks"], row["quantity_lots"],
               row["ts_ack_ns"], row["ts_done_ns"], row["ts_venue_ns"], VENUE_REASONS[int(row["venue_reason"])],
               bool(row["pending"]))
        want = (status, known.filled, known.price, known.lots, known.ack, known.done, known.venue, known.reason,
                bool(known.pending))
        assert got == want, f"order {n} of {todo[n] if n < len(todo) else ''}"


def conserved(run: Run) -> None:
    """Fills, orders and ledger say the same."""
    orders, fills = run.orders, run.fills
    for row in orders:
        mine = fills[fills["id"] == row["id"]]
        assert mine["quantity_lots"].sum() == row["filled_lots"] <= row["quantity_lots"]
        assert (mine["price_ticks"] * mine["quantity_lots"]).sum() == row["cost"]
        assert len(mine) == row["fills"]
    signed = np.where(fills["side"] == BUY, fills["quantity_lots"], -fills["quantity_lots"]).sum()
    assert signed == run.ledger.position(0)


@pytest.mark.parametrize("queue", QUEUES, ids=[q[0] for q in QUEUES])
def test_random_orders_equal_the_oracle(queue: tuple[str, float]) -> None:
    """Lost otherwise: fills that no venue would have given, or orders that we believe in and the venue does not know.

    1.2e5 operations over the six models, the invariants walked after each.
    """
    reasons: set[str] = set()
    optimistic = filled = 0
    for n, latency in enumerate(LATENCIES * 2):
        market = Market(QUEUES.index(queue) * 10 + n, 2500)
        run, _ = compared(market.data, market.todo, queue, latency)
        conserved(run)
        reasons |= {VENUE_REASONS[int(x)] for x in run.orders["venue_reason"]}
        filled += len(run.fills)
        optimistic += int(run.fills["optimistic"].sum())
    assert filled > 600
    assert reasons == {"", "canceled", "no_liquidity", "post_only_would_cross", "venue_unsynced"}
    assert (optimistic > 0) == (queue[0] != "risk-averse")


@pytest.mark.long
@pytest.mark.parametrize("queue", QUEUES, ids=[q[0] for q in QUEUES])
def test_many_random_orders_equal_the_oracle(queue: tuple[str, float]) -> None:
    """Lost otherwise: what only a long run brings together. 1e6 operations over the six models, in 50 markets."""
    seed = int(os.environ.get("APEX_SEED", "1"))
    for n in range(50):
        market = Market(seed * 1000 + n, 1_000_000 // 6 // 50 + 1)
        compared(market.data, market.todo, queue, LATENCIES[n % len(LATENCIES)], check_every=1000)


def recorded(tape: Tape) -> list[tuple[int, str, Any]]:
    """A tape as its venue saw it."""
    names = {KINDS["BOOK_LEVEL"]: "level", KINDS["TRADE"]: "trade", KINDS["SNAPSHOT_BEGIN"]: "snapshot",
             KINDS["LINK_GAP"]: "gap"}
    batches = tape.batches if tape.venue_order is None else tape.batches[tape.venue_order]
    levels = tape.levels
    data = []
    for batch in batches[(batches["flags"] & FLAGS["AT_VENUE"]) != 0]:
        kind = names.get(int(batch["kind"]))
        if kind and not batch["flags"] & FLAGS["NOT_MARKET"]:
            mine = levels[int(batch["first"]):int(batch["first"]) + int(batch["count"])]
            rows = list(zip(*(mine[n].tolist() for n in FIELDS), strict=True)) if kind in ("level", "trade") else [()]
            data.append((int(batch["ts_exchange_ns"]), kind, rows))
    return data


class Crowd(Strategy):
    """Notes orders that would make sense around the touch, for both replays to send."""

    def __init__(self, seed: int) -> None:
        super().__init__(None)
        self.rng = random.Random(seed)
        self.todo: list[tuple[int, tuple[Any, ...]]] = []
        self.placed = 0

    def on_start(self, view: Any) -> None:
        view.every("20ms")

    def on_timer(self, view: Any) -> None:
        rng, kind = self.rng, self.rng.random()
        which = max(0, self.placed - 1 - int(rng.expovariate(0.1)))
        side = rng.choice((BUY, SELL))
        price = (view.bid_ticks if side == BUY else view.ask_ticks) + rng.choice((0, 0, 0, 1, -1, 2, -2, 20, -20))
        lots = rng.choice((1, 10, 500, 5000))
        if kind < 0.5 or not self.placed:
            tif = rng.choices(("GTC", "GTX", "IOC", "FOK"), (6, 3, 1, 1))[0]
            self.todo.append((view.now + 1, (PLACE, side, price, lots, tif)))
            self.placed += 1
        elif kind < 0.9:
            self.todo.append((view.now + 1, (CANCEL, which)))
        else:
            self.todo.append((view.now + 1, (AMEND, which, price, lots)))


@pytest.mark.long
@pytest.mark.recordings
@pytest.mark.parametrize("queue", QUEUES[::2], ids=[q[0] for q in QUEUES[::2]])
def test_a_recording_equals_the_oracle(queue: tuple[str, float], tmp_path: Path,
                                       data_file: Callable[[str], Path]) -> None:
    """Lost otherwise: rules that hold among small random books only. 443,521 level updates, 8,000 intents."""
    import_binance([data_file("ticks/binance/usdm_btcusdt_20240808.gz")], tmp_path / "a.tape")
    with Tape.open(tmp_path / "a.tape") as tape:
        arrays, data, shift = (tape.batches, tape.levels, tape.rows), recorded(tape), 2_000_000_000
        crowd = Crowd(int(os.environ.get("APEX_SEED", "1")))
        Run(None, [crowd], batches=arrays, shift=shift).run()
        latency = (3_000_000, 3_000_000, 5_000_000, 2_000_000)
        oracle = StrictReplay(StrictVenue(queue[0], queue[1], (1, 3)), latency)
        oracle.run(data, crowd.todo)
        run = Run(None, [Sender(crowd.todo)], batches=arrays, shift=shift, queue=queue[0], power=queue[1],
                  latency=latency)
        equal(walked(run, 1000), oracle, crowd.todo)
        assert len(run.fills) > 1000
        assert (run.fills["maker"] == 1).sum() > 300


prices, sizes = st.integers(-3, 3), st.integers(1, 6)
sides = st.sampled_from((BUY, SELL))
steps = st.lists(
    st.tuples(st.integers(0, 2), st.one_of(
        st.tuples(st.just("level"), sides, prices, st.integers(0, 6)),
        st.tuples(st.just("trade"), sides, prices, sizes),
        st.tuples(st.just("clear"), st.sampled_from((0, BUY, SELL))),
        st.tuples(st.just("gap")), st.tuples(st.just("snapshot")),
        st.tuples(st.just(PLACE), sides, st.one_of(prices, prices, prices, st.none()), sizes,
                  st.sampled_from(("GTC", "GTC", "GTX", "IOC", "FOK"))),
        st.tuples(st.just(CANCEL), st.integers(0, 5)),
        st.tuples(st.just(AMEND), st.integers(0, 5), prices, sizes),
    )), max_size=25,
)


@settings(max_examples=500, deadline=None)
@given(steps, st.sampled_from(QUEUES), st.sampled_from(LATENCIES))
def test_any_orders_equal_the_oracle(drawn: list[Any], queue: tuple[str, float],
                                     latency: tuple[int, int, int, int]) -> None:
    """The same on cases that hypothesis shrinks to the shortest that fails."""
    now, placed = START, 0
    data: list[tuple[int, str, Any]] = [(now, "snapshot", [])]
    todo: list[tuple[int, tuple[Any, ...]]] = []
    for wait, (kind, *rest) in drawn:
        now += wait
        if kind in ("level", "trade"):
            data.append((now, kind, [(rest[0], 100 + rest[1], rest[2])]))
        elif kind == "clear":
            data.append((now, kind, [(rest[0], None)]))
        elif kind in ("gap", "snapshot"):
            data.append((now, kind, []))
        elif kind == PLACE:
            side, price, lots, tif = rest
            tif, price = ("IOC", None) if price is None else (tif, 100 + price)
            todo.append((now, (PLACE, side, price, lots, tif)))
            placed += 1
        elif rest[0] < placed:
            todo.append((now, (kind, rest[0], *(() if kind == CANCEL else (100 + rest[1], rest[2])))))
    compared(data, todo, queue, latency)
