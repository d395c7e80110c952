"""The strict venue on market-by-order data, its fifo queue and the models on totals, against a plain-Python replay."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS
from apex._core.simvenue import VENUE_REASONS
from apex.domain.decimals import scaled
from tests.core.assembly import BOTH, BUY, LAST, NAMES, SELL, START, Run
from tests.core.test_matching import LATENCIES, QUEUES, Sender, conserved, equal, rows_of, walked
from tests.oracles.l3 import ListBook
from tests.oracles.matching import AMEND, CANCEL, PLACE, StrictReplay
from tests.oracles.orders import OrderVenue, Row

MODELS = [("fifo", 1.0), *QUEUES]
ORDER_KINDS = {"add": "ORDER_ADD", "modify": "ORDER_MODIFY", "delete": "ORDER_DELETE", "execute": "ORDER_EXECUTE",
               "fill": "ORDER_EXECUTE"}
MORE = {"": 0, "sight": FLAGS["SNAPSHOT"], "off market": FLAGS["NOT_MARKET"]}
Messages = list[tuple[int, str, Any]]


def order_rows(data: Messages) -> Any:
    """Canonical rows of messages, "order" ones beside those of rows_of."""
    parts = []
    for message in data:
        ts, kind, rows = message
        if kind != "order":
            parts.append(rows_of([message]))
            continue
        made = np.zeros(len(rows), EVENT_DTYPE)
        for row, (what, id, side, ticks, lots, flag) in zip(made, rows, strict=True):
            row["kind"], row["order_id"], row["side"] = KINDS[ORDER_KINDS[what]], id, side
            row["price_ticks"], row["quantity_lots"] = ticks, lots
            row["flags"] = BOTH | LAST | MORE[flag] | (FLAGS["KEEPS_BOOK"] if what == "fill" else 0)
        made["ts_exchange_ns"], made["ts_local_ns"] = ts, ts + 7
        parts.append(made)
    events = np.concatenate(parts)
    events["sequence"] = np.cumsum(np.concatenate(([0], events["flags"][:-1] & LAST)))
    return events


class OrderMarket:
    """A random market of orders around a walking mid, and intents that meet it.

    plain: only rows that a feed of levels and trades can tell as well.
    """

    def __init__(self, seed: int, count: int, *, plain: bool = False) -> None:
        self.rng = rng = random.Random(seed)
        self.plain = plain
        self.mid, self.now, self.next = rng.randint(500, 5000), START, 1
        self.big = rng.choice((4, 12, 60))
        self.book = ListBook()
        self.data: Messages = []
        self.renew()
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

    def lots(self) -> int:
        return self.rng.randint(1, self.big) if self.rng.random() < 0.97 else self.rng.randint(1, 40 * self.big)

    def near(self, side: int, crossing: float) -> int:
        away = abs(int(self.rng.gauss(0, 2.0)))
        away = -away if self.rng.random() < crossing else away
        return self.mid - away if side == BUY else self.mid + 1 + away

    def order(self, kind: str, id: int, side: int, ticks: int, lots: int, flag: str = "") -> None:
        self.book.row(kind, id, side, ticks, lots)
        self.data.append((self.now, "order", [(kind, id, side, ticks, lots, flag)]))

    def add(self, flag: str = "", crossing: float = 0.03) -> None:
        side = self.rng.choice((BUY, SELL))
        self.next += 1
        self.order("add", self.next, side, self.near(side, crossing), self.lots(), flag)

    def renew(self) -> None:
        """A snapshot: all orders, which come into sight."""
        self.data.append((self.now, "snapshot", []))
        orders = [(id, side, ticks, lots) for (side, ticks), queue in self.book.queues.items() for id, lots, _ in queue]
        self.book = ListBook()
        for id, side, ticks, lots in orders:
            self.order("add", id, side, ticks, lots, "sight")
        while len(self.book.orders()) < 20:
            self.add("sight", crossing=0.0)

    def some(self) -> tuple[int, int, int, int]:
        """(id, side, ticks, lots) of an order, mostly one at a best price."""
        rng, orders = self.rng, self.book.orders()
        side = rng.choice((BUY, SELL))
        best = self.book.totals.best(side)
        if best is not None and rng.random() < 0.7:
            queue = self.book.queue(side, best)
            id, lots = queue[0] if rng.random() < 0.8 else rng.choice(queue)
            return id, side, best, lots
        id = rng.choice(list(orders))
        return id, *orders[id]

    def send(self) -> None:
        rng, kind = self.rng, self.rng.random()
        if len(self.book.orders()) < 12 or kind < 0.42:
            self.add("sight" if rng.random() < 0.05 else "")
            return
        id, side, ticks, lots = self.some()
        part = lots if rng.random() < 0.4 else rng.randint(1, lots)
        if kind < 0.58:
            self.order("delete", id, side, ticks, rng.choice((0, part)))
        elif kind < 0.66 or (self.plain and kind < 0.72):
            price = ticks if self.plain or rng.random() < 0.5 else self.near(side, 0.03)
            self.order("modify", id, side, price, max(1, lots + rng.choice((-2, -1, 0, 1, 4))))
        elif kind < 0.90 or self.plain:
            flag = "off market" if rng.random() < 0.03 and not self.plain else ""
            if rng.random() < 0.02 and not self.plain:
                id += 1 << 40                                     # an order that nobody knows
            self.order("execute", id, side, ticks, part if rng.random() < 0.97 else part + 3, flag)
        elif kind < 0.972:
            self.fills(id, side, ticks, lots, part)
        elif kind < 0.98:
            side = rng.choice((0, BUY, SELL))
            to = None if side == 0 or rng.random() < 0.5 else self.near(side, 0.1)
            self.data.append((self.now, "clear", [(side, to)]))
            self.book.clear(side, to)
        elif kind < 0.99:
            self.data.append((self.now, "gap", []))
        else:
            self.renew()

    def fills(self, id: int, side: int, ticks: int, lots: int, part: int) -> None:
        """As venues do that tell trade, fill and the book's change apart; at times an iceberg shows again."""
        self.data.append((self.now, "trade", [(SELL if side == BUY else BUY, ticks, part)]))
        self.order("fill", id, side, ticks, part)
        self.now += self.rng.choice((0, 0, 2))
        if part == lots and self.rng.random() < 0.8:
            self.order("delete", id, side, ticks, 0)
        else:
            self.order("modify", id, side, ticks, lots if self.rng.random() < 0.3 else max(1, lots - part))

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
        if kind < 0.75:
            self.todo.append((self.now, (CANCEL, which)))
        else:
            _, _, price, lots, _ = self.places[which]
            price = (price or self.mid) + rng.choice((0, 0, 0, -1, 1, 3, -3))
            self.todo.append((self.now, (AMEND, which, price, max(1, lots + rng.choice((-2, -1, -1, 0, 1, 5))))))


def for_oracle(data: Messages) -> Messages:
    return [(ts, kind, rows or [()]) for ts, kind, rows in data]


def compared(data: Messages, todo: list[tuple[int, tuple[Any, ...]]], queue: tuple[str, float],
             latency: tuple[int, int, int, int], check_every: int = 1) -> tuple[Run, StrictReplay]:
    oracle = StrictReplay(OrderVenue(queue[0], queue[1], scaled(NAMES[0].lot)), latency)
    oracle.run(for_oracle(data), todo)
    run = Run(order_rows(data), [Sender(todo)], queue=queue[0], power=queue[1], latency=latency)
    equal(walked(run, check_every), oracle, todo)
    return run, oracle


@pytest.mark.parametrize("queue", MODELS, ids=[m[0] for m in MODELS])
def test_random_orders_equal_the_oracle(queue: tuple[str, float]) -> None:
    """Lost otherwise: fills of orders that still had others ahead, or none where those behind were filled.

    1.1e5 operations over the seven models, the invariants walked after each.
    """
    reasons: set[str] = set()
    optimistic = filled = makers = 0
    for n, latency in enumerate(LATENCIES * 2):
        market = OrderMarket(MODELS.index(queue) * 10 + n, 2000)
        run, _ = compared(market.data, market.todo, queue, latency)
        conserved(run)
        reasons |= {VENUE_REASONS[int(x)] for x in run.orders["venue_reason"]}
        filled += len(run.fills)
        makers += int(run.fills["maker"].sum())
        optimistic += int(run.fills["optimistic"].sum())
    assert filled > 400
    assert makers > 150
    assert reasons - {"cleared"} == {"", "canceled", "no_liquidity", "post_only_would_cross", "venue_unsynced"}
    assert ("cleared" in reasons) == (queue[0] == "fifo")
    assert (optimistic > 0) == (queue[0] not in ("fifo", "risk-averse"))


@pytest.mark.long
@pytest.mark.parametrize("queue", MODELS, ids=[m[0] for m in MODELS])
def test_many_random_orders_equal_the_oracle(queue: tuple[str, float]) -> None:
    """Lost otherwise: what only a long run brings together. 1e6 operations over the seven models, in 50 markets."""
    seed = int(os.environ.get("APEX_SEED", "1"))
    for n in range(50):
        market = OrderMarket(seed * 1000 + n, 1_000_000 // 7 // 50 + 1)
        compared(market.data, market.todo, queue, LATENCIES[n % len(LATENCIES)], check_every=1000)


prices, sizes, ids = st.integers(-2, 2), st.integers(1, 6), st.integers(1, 5)
sides = st.sampled_from((BUY, SELL))
KINDS_DRAWN = ("add", "add", "add", "modify", "delete", "execute", "execute", "fill")
steps = st.lists(st.tuples(st.integers(0, 2), st.one_of(
    st.tuples(st.just("order"), st.sampled_from(KINDS_DRAWN), ids, sides, prices, sizes,
              st.sampled_from(("", "", "", "sight", "off market"))),
    st.tuples(st.just("trade"), sides, prices, sizes),
    st.tuples(st.just("clear"), st.sampled_from((0, BUY, SELL))),
    st.tuples(st.just("gap")), st.tuples(st.just("snapshot")),
    st.tuples(st.just(PLACE), sides, st.one_of(prices, prices, prices, st.none()), sizes,
              st.sampled_from(("GTC", "GTC", "GTX", "IOC", "FOK"))),
    st.tuples(st.just(CANCEL), st.integers(0, 5)),
    st.tuples(st.just(AMEND), st.integers(0, 5), prices, sizes),
)), max_size=25)


@settings(max_examples=400, deadline=None)
@given(steps, st.sampled_from([MODELS[0], MODELS[0], MODELS[1], MODELS[2]]), st.sampled_from(LATENCIES))
def test_any_orders_equal_the_oracle(drawn: list[Any], queue: tuple[str, float],
                                     latency: tuple[int, int, int, int]) -> None:
    """The same on cases that hypothesis shrinks to the shortest that fails."""
    now, placed = START, 0
    data: Messages = [(now, "snapshot", [])]
    todo: list[tuple[int, tuple[Any, ...]]] = []
    for wait, (kind, *rest) in drawn:
        now += wait
        if kind == "order":
            what, id, side, ticks, lots, flag = rest
            flag = flag if (flag == "sight") == (what in ("add", "modify")) else ""
            data.append((now, kind, [(what, id, side, 100 + ticks, lots, flag)]))
        elif kind == "trade":
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


@pytest.mark.parametrize("queue", QUEUES, ids=[q[0] for q in QUEUES])
def test_orders_and_levels_give_the_same_fills(queue: tuple[str, float]) -> None:
    """Lost otherwise: a queue model on totals that depends on how the venue tells of its book."""
    for seed, latency in enumerate(LATENCIES):
        market = OrderMarket(500 + seed, 2000, plain=True)
        book, levels = ListBook(), Messages()
        for ts, kind, rows in market.data:
            if kind == "snapshot":
                levels += [(ts, kind, rows)]
            for what, id, side, ticks, lots, _ in rows:
                if what == "execute":
                    levels.append((ts, "trade", [(SELL if side == BUY else BUY, ticks, lots)]))
                before = sum(q for _, q in book.queue(side, ticks))
                book.row(what, id, side, ticks, lots)
                after = sum(q for _, q in book.queue(side, ticks))
                if after != before:
                    levels.append((ts, "level", [(side, ticks, after)]))
        options: dict[str, Any] = {"queue": queue[0], "power": queue[1], "latency": latency}
        by_orders = walked(Run(order_rows(market.data), [Sender(market.todo)], **options), 1000)
        by_levels = walked(Run(rows_of(levels), [Sender(market.todo)], **options), 1000)
        assert len(by_orders.fills) > 50
        for name in ("ts_venue_ns", "ts_local_ns", "id", "price_ticks", "quantity_lots", "maker", "optimistic"):
            assert np.array_equal(by_orders.fills[name], by_levels.fills[name]), name


def fifo(rows: list[Row], *intents: tuple[int, tuple[Any, ...]]) -> list[tuple[int, int]]:
    """(row that filled us, lots) of rows a nanosecond apart, with intents sent before the row of their number."""
    data: Messages = [(START, "snapshot", []), *((START + 10 * n + 10, "order", [row]) for n, row in enumerate(rows))]
    run = walked(Run(order_rows(data), [Sender([(START + 10 * n + 5, what) for n, what in intents])], queue="fifo"), 1)
    return [((int(f["ts_venue_ns"]) - START) // 10 - 1, int(f["quantity_lots"])) for f in run.fills]


QUEUE: list[Row] = [
    ("add", 1, BUY, 100, 5, ""), ("add", 9, SELL, 103, 5, ""), ("add", 2, BUY, 100, 5, "")]


@pytest.mark.parametrize(("rows", "fills"), [
    ([("execute", 1, BUY, 100, 5, "")], []),                                   # the one ahead
    ([("execute", 2, BUY, 100, 2, ""), ("execute", 2, BUY, 100, 3, "")], [(3, 2), (4, 1)]),   # the one behind, in parts
    ([("fill", 2, BUY, 100, 2, ""), ("delete", 2, BUY, 100, 2, "")], [(3, 2)]),
    ([("modify", 1, BUY, 100, 4, ""), ("execute", 1, BUY, 100, 4, "")], []),   # smaller: it keeps its place
    ([("modify", 1, BUY, 100, 6, ""), ("execute", 1, BUY, 100, 4, "")], [(4, 3)]),   # larger: it is behind us now
    ([("add", 3, BUY, 99, 9, ""), ("execute", 3, BUY, 99, 2, "")], [(4, 2)]),  # a worse price
    ([("add", 3, BUY, 101, 9, ""), ("execute", 3, BUY, 101, 2, "")], []),      # a better price
    ([("add", 3, SELL, 100, 2, "")], [(3, 2)]),                                # the other side comes to us
    ([("add", 3, SELL, 99, 7, "")], [(3, 3)]),
    ([("execute", 9, SELL, 103, 5, "")], []),                                  # the other side's own
    ([("execute", 2, BUY, 100, 2, "off market")], []),
    ([("execute", 7, BUY, 100, 2, "")], []),                                   # unknown: nobody knows where it stood
    ([("execute", 7, BUY, 99, 2, "")], [(3, 2)]),
    ([("add", 3, BUY, 100, 9, "sight"), ("execute", 3, BUY, 100, 2, ""), ("execute", 2, BUY, 100, 1, "")], []),
])
def test_fifo_by_hand(rows: list[Row], fills: list[tuple[int, int]]) -> None:
    """Each rule once: our buy of 3 at 100 stands between orders 1 and 2 of the venue."""
    assert fifo(QUEUE + rows, (2, (PLACE, BUY, 100, 3, "GTC"))) == fills


def test_an_amendment_keeps_or_loses_the_place() -> None:
    """Lost otherwise: a place in the queue that a venue would have taken away, or one given up for nothing."""
    rows = [*QUEUE, ("execute", 2, BUY, 100, 1, "")]
    sent = (2, (PLACE, BUY, 100, 3, "GTC"))
    assert fifo(rows, sent, (3, (AMEND, 0, 100, 2))) == [(3, 1)]
    assert fifo(rows, sent, (3, (AMEND, 0, 100, 4))) == []
    assert fifo(rows, sent, (3, (AMEND, 0, 99, 3))) == []


def test_our_orders_share_an_execution() -> None:
    """Lost otherwise: two orders of ours that are both filled by the same lots."""
    rows = [*QUEUE, ("execute", 2, BUY, 100, 5, "")]
    assert fifo(rows, (1, (PLACE, BUY, 100, 3, "GTC")), (2, (PLACE, BUY, 101, 1, "GTC")),
                (2, (PLACE, BUY, 100, 3, "GTC"))) == [(3, 1), (3, 3), (3, 1)]
