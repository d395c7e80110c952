"""Seeded random markets of orders (market by order), and recordings of them, for parity of the fifo queue."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from apex.store.bbo import touches
from apex.store.tape import Tape
from tests.parity.cases import (
    BUY,
    CLEAR,
    DEPTH,
    EXCH,
    LOCAL,
    MS,
    NO_PRICE,
    SELL,
    START,
    TRADE,
    Case,
    Market,
    around,
    latencies,
    orders,
    write_latencies,
    write_schedule,
)

ADD, CANCEL, MODIFY, FILL = 10, 11, 12, 13
QUEUE = "fifo"


class OrderMarket(Market):
    """A random walk of orders: sent, changed, filled in parts, cancelled; across the touch, and cleared."""

    def __init__(self, seed: int, count: int, *, small: bool) -> None:
        self.ids: list[int] = []
        self.live: dict[int, tuple[int, int, int]] = {}
        self.next = 0
        super().__init__(seed, count, small=small)

    def put(self, kind: int, id: int, side: int, ticks: int, lots: int) -> None:
        self.add(kind | side, ticks, lots)
        self.ids[-1] = id

    def add(self, kind: int, ticks: int, lots: int, sides: int = EXCH | LOCAL) -> None:
        if kind & 0xFF == DEPTH:                         # the last row, which only ends the market
            self.send(BUY, ticks)
            return
        super().add(kind, ticks, lots, sides)
        if len(self.rows) > 1:                           # orders reach us in their order, or nobody could follow them
            what, venue, local, *rest = self.rows[-1]
            self.rows[-1] = what, venue, max(local, self.rows[-2][2]), *rest
        self.ids.append(0)

    def send(self, side: int, ticks: int) -> None:
        self.next += 1
        self.live[self.next] = side, ticks, self.quantity()
        self.put(ADD, self.next, *self.live[self.next])

    def snapshot(self) -> None:
        for side in (BUY, SELL):
            for i in range(10):
                self.send(side, self.mid + (-1 - i // 2 if side == BUY else 1 + i // 2))

    def best(self, side: int) -> int:
        ticks = [t for s, t, _ in self.live.values() if s == side]
        return (max(ticks) if side == BUY else min(ticks)) if ticks else self.mid

    def cross(self) -> None:
        pass                                             # of levels; here orders cross by themselves

    def step(self) -> None:
        rng, kind = self.rng, self.rng.random()
        if kind < self.clears:
            self.clear()
        elif kind < 0.4 or len(self.live) < 12:
            side = rng.choice((BUY, SELL))
            away = rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 6, rng.choice((25, 99, 101, -1, -2))))
            self.send(side, self.mid - away if side == BUY else self.mid + away)
        elif kind < 0.45:
            side = rng.choice((BUY, SELL))
            self.add(TRADE | side, self.best(SELL if side == BUY else BUY), self.quantity())
        else:
            self.change(kind)
        if rng.random() < 0.02:
            self.mid += rng.choice((-3, -2, -1, 1, 2, 3))

    def change(self, kind: float) -> None:
        """Something happens to an order, mostly to one at the touch."""
        rng, side = self.rng, self.rng.choice((BUY, SELL))
        near = [i for i, (s, t, _) in self.live.items() if s == side and t == self.best(side)]
        id = rng.choice(near[:2] if near and rng.random() < 0.75 else list(self.live))
        side, ticks, lots = self.live[id]
        if kind < 0.62:
            del self.live[id]
            self.put(CANCEL, id, side, ticks, lots)
        elif kind < 0.72:
            price = ticks + rng.choice((0, 0, -1, 1, 2, -2))
            self.live[id] = side, price, max(1, lots + rng.choice((-3, -1, 0, 1, 5)))
            self.put(MODIFY, id, *self.live[id])
        else:
            self.fill(id, side, ticks, lots)

    def fill(self, id: int, side: int, ticks: int, lots: int) -> None:
        """A fill, its trade, and what it leaves, which may come later or not at all."""
        part = lots if self.rng.random() < 0.5 else self.rng.randint(1, lots)
        if self.rng.random() < 0.5:
            self.add(TRADE | (SELL if side == BUY else BUY), ticks, part)
        self.put(FILL, id, side, ticks, part)
        if self.rng.random() < 0.1:
            return
        self.now += self.rng.choice((0, 0, 1, 2 * MS))
        if part == lots:
            del self.live[id]
            self.put(CANCEL, id, side, ticks, lots)
        else:
            self.live[id] = side, ticks, lots - part
            self.put(MODIFY, id, *self.live[id])

    def clear(self) -> None:
        side = self.rng.choice((0, BUY, SELL))
        self.add(CLEAR | side, NO_PRICE if side else 0, 0)
        self.live = {i: x for i, x in self.live.items() if side and x[0] != side}
        if self.rng.random() < 0.7:
            self.snapshot()

    def table(self) -> Any:
        """As of levels, with the orders' ids, which are not written by way of the times."""
        rows = self.rows
        self.rows = [(kind, venue, local, place, 0) for place, (kind, venue, local, _, _) in enumerate(rows)]
        tick, lot, self.tick, self.lot = self.tick, self.lot, "1", "1"
        table = super().table()
        self.rows, self.tick, self.lot = rows, tick, lot
        for out in table:
            place = int(out["px"])
            ticks, lots = rows[place][3:]
            out["px"] = np.nan if ticks == NO_PRICE else float(ticks * Decimal(tick))
            out["qty"], out["order_id"] = float(lots * Decimal(lot)), self.ids[place]
        return table


def variants(common: Case, base: Path, constant: tuple[int, int], recorded: str) -> list[Case]:
    """The case with constant and with recorded latencies; hftbacktest has no partial fills here."""
    made: list[Case] = []
    for latency in (None, recorded):
        out = base.parent / f"{base.name}-{'constant' if latency is None else 'recorded'}"
        out.mkdir(parents=True, exist_ok=True)
        order, response = constant if latency is None else (0, 0)
        made.append(msgspec.structs.replace(common, name=out.name, folder=str(out), latency=latency,
                                            order_latency=order, response_latency=response))
    return made


def grid(folder: Path, seed: int, count: int, number: int) -> list[Case]:
    """A market of orders and a schedule, over both latency models."""
    key = seed * 100 + 50
    base = folder / f"orders-{seed}"
    base.mkdir(parents=True, exist_ok=True)
    market = OrderMarket(key, count, small=seed % 4 == 3)
    table = market.table()
    np.savez(base / "market.npz", data=table)
    write_schedule(orders(market, key, number), base / "schedule.csv")
    write_latencies(latencies(key, START, market.last), base / "latency.npz")
    rng = random.Random(key)
    constant = (rng.choice((0, 1, 4 * MS, 12 * MS)), rng.choice((0, 1, 3 * MS, 25 * MS)))
    common = Case(
        name="", kind="orders", npz=[str(base / "market.npz")], tape=str(base / "market.tape"), folder="",
        schedule=str(base / "schedule.csv"), tick=market.tick, lot=market.lot, queue=QUEUE, partial=False,
        seed=seed, rows=len(table))
    return variants(common, base, constant, str(base / "latency.npz"))


def recorded(folder: Path, name: str, tape: Path, npz: Path, seed: int, number: int) -> list[Case]:
    """A schedule around the touch of a recording of orders."""
    with Tape.open(tape) as opened:
        first, last, rows = int(opened.header["first_ts"]), int(opened.header["last_ts"]), int(opened.row_count)
        grid_of = opened.instruments[0].tick, opened.instruments[0].lot
        times = sorted(random.Random(seed).sample(range(first, last - 1000 * MS), number + number // 4))
        seen = [t for t in touches(opened, 0, times) if t.bid_ticks is not None and t.ask_ticks is not None]
    base = folder / name
    base.mkdir(parents=True, exist_ok=True)
    write_schedule(around(seen[:number], grid_of, seed, last), base / "schedule.csv")
    write_latencies(latencies(seed, first, last), base / "latency.npz")
    common = Case(
        name="", kind="recorded", npz=[str(npz)], tape=str(folder / f"{name}.tape"), folder="",
        schedule=str(base / "schedule.csv"), tick=grid_of[0], lot=grid_of[1], queue=QUEUE, partial=False,
        seed=seed, rows=rows)
    return variants(common, base, (5 * MS, 7 * MS), str(base / "latency.npz"))
