"""Seeded random markets and schedules of orders for fill parity."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from apex.store.bbo import Touch, touches
from apex.store.tape import Tape

EXCH, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH, TRADE, CLEAR, SNAPSHOT, BBO = 1, 2, 3, 4, 5
MS = 1_000_000
START = 1_700_000_000_000_000_000
QUEUES = ("risk-averse", "power-prob:2", "power-prob:0.7", "power-prob2:3", "power-prob3:2.5", "log-prob", "log-prob2")
NO_PRICE = -1
COLUMNS = ("ts", "id", "side", "price", "quantity", "tif", "cancel_ts")
ROW = np.dtype([
    ("ev", "u8"), ("exch_ts", "i8"), ("local_ts", "i8"), ("px", "f8"), ("qty", "f8"), ("order_id", "u8"),
    ("ival", "i8"), ("fval", "f8"),
], align=True)


class Maker(msgspec.Struct):
    """The market maker of the benchmarks instead of a schedule."""

    half_spread_ticks: int
    interval_ns: int


class Case(msgspec.Struct, kw_only=True):
    """One replay: its inputs, its models, and the folder of its results."""

    name: str
    kind: str
    npz: list[str]
    folder: str
    tick: str
    lot: str
    queue: str
    partial: bool
    tape: str
    schedule: str | None = None
    maker: Maker | None = None
    order_latency: int = 0
    response_latency: int = 0
    latency: str | None = None
    maker_fee: str = "-0.0001"
    taker_fee: str = "0.0004"
    seed: int = 0
    rows: int = 0


class Market:
    """A random walk of levels and trades, with all that a feed can do wrong and a book must stand.

    Levels cross the other side, vanish and come back; both sides or one are cleared, up to a price or whole, and
    filled again from a snapshot; trades print through the touch; rows share times, are seen by one side only, and reach
    us in another order than they left in.
    """

    def __init__(self, seed: int, count: int, *, small: bool) -> None:
        self.rng = rng = random.Random(seed)
        self.tick, self.lot = rng.choice((("0.1", "0.001"), ("0.01", "1"), ("0.5", "0.01"), ("1", "0.1")))
        self.top = 12 if small else 5000
        self.mid = rng.randint(2_000, 30_000)
        self.now = START + rng.randrange(1000)
        self.levels: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}
        self.rows: list[tuple[int, int, int, int, int]] = []
        self.mids: list[tuple[int, int]] = []
        self.jitter = rng.choice((0, 2 * MS, 9 * MS))
        self.clears = rng.choice((0.0, 0.004, 0.02))
        self.upsets = rng.choice((0.0, 0.01))
        self.upset: tuple[int, int, int] | None = None
        self.snapshot()
        while len(self.rows) < count:
            if rng.random() < 0.7:
                self.now += rng.choice((1, 1000, MS, 3 * MS, 40 * MS))
            if self.upset is None:
                if rng.random() < self.upsets:
                    self.cross()
            elif len(self.rows) >= self.upset[0]:
                self.uncross(*self.upset[1:])
            self.step()
            self.mids.append((self.now, self.mid))
        self.last = self.now
        self.now += 20_000 * MS
        self.add(DEPTH | BUY, self.mid - 60, 1)

    def add(self, kind: int, ticks: int, lots: int, sides: int = EXCH | LOCAL) -> None:
        local = self.now + 5 * MS + self.rng.randint(0, self.jitter)
        self.rows.append((kind | sides, self.now, local, ticks, lots))

    def quantity(self) -> int:
        return self.rng.randint(1, self.top) if self.rng.random() < 0.9 else self.rng.randint(1, 20 * self.top)

    def snapshot(self) -> None:
        for side in (BUY, SELL):
            step = -1 if side == BUY else 1
            self.levels[side] = {}
            for i in range(12):
                ticks = self.mid + step * (1 + i + (i > 8) * self.rng.randint(0, 20))
                self.levels[side][ticks] = lots = self.quantity()
                self.add(SNAPSHOT | side, ticks, lots)

    def best(self, side: int) -> int:
        if not self.levels[side]:
            return self.mid
        return max(self.levels[side]) if side == BUY else min(self.levels[side])

    def step(self) -> None:
        rng, kind = self.rng, self.rng.random()
        if kind < self.clears:
            self.clear()
        elif kind < 0.25:
            side = rng.choice((BUY, SELL))
            through = rng.choice((0, 0, 0, 0, 0, 1, 2, -1)) * (1 if side == BUY else -1)
            touch = self.best(SELL if side == BUY else BUY)
            sides = EXCH | LOCAL if rng.random() < 0.95 else rng.choice((EXCH, LOCAL))
            aggressor = side if rng.random() < 0.99 else 0
            self.add(TRADE | aggressor, touch + through, self.quantity(), sides)
        elif kind < 0.26:
            side = rng.choice((BUY, SELL))
            self.add(BBO | side, self.best(side), self.quantity())
        else:
            self.level(rng.choice((BUY, SELL)) if self.upset is None else self.upset[1])
        if rng.random() < 0.02:
            self.mid += rng.choice((-3, -2, -1, 1, 2, 3))

    def level(self, side: int) -> None:
        """Set or delete a level near the touch, now and then across it."""
        rng, levels = self.rng, self.levels[side]
        away = 1 if side == SELL else -1
        other = self.levels[BUY if side == SELL else SELL]
        kind = rng.random()
        if kind < 0.3 and len(levels) > 3:
            ticks = self.best(side) if rng.random() < 0.4 else rng.choice(list(levels))
            del levels[ticks]
            lots = 0
        else:
            depth = rng.choice((0, 1, 1, 1, 2, 2, 3, 4, 5, 6, 9, rng.choice((25, 60, 98, 99, 100, 101, 102))))
            ticks = self.mid + away * depth - away * (kind > 0.97)
            lots = levels[ticks] = self.quantity()
        crossed = [t for t in other if (t - ticks) * away >= 0]
        sides = EXCH | LOCAL if rng.random() < 0.97 else rng.choice((EXCH, LOCAL))
        self.add(DEPTH | side, ticks, lots, sides)
        for far in crossed:
            if rng.random() < 0.8:
                other.pop(far)
                self.add(DEPTH | (BUY if side == SELL else SELL), far, 0)

    def cross(self) -> None:
        """A level deep in the other side, whose levels stay behind it, unseen, while nothing is heard of that side."""
        side = self.rng.choice((BUY, SELL))
        ticks = self.mid + self.rng.randint(3, 6) * (1 if side == BUY else -1)
        self.add(DEPTH | side, ticks, self.quantity())
        self.upset = len(self.rows) + self.rng.randint(5, 40), side, ticks

    def uncross(self, side: int, ticks: int) -> None:
        """The deep level goes, and a clear that begins beyond the hidden levels makes them the best again."""
        self.add(DEPTH | side, ticks, 0)
        other = BUY if side == SELL else SELL
        beyond = self.best(other) + self.rng.randint(2, 8) * (1 if other == BUY else -1)
        self.add(CLEAR | other, beyond, 0)
        self.upset = None

    def clear(self) -> None:
        """Clear a side up to a price, a side, or both, and most often fill it again."""
        rng, kind = self.rng, self.rng.random()
        side = rng.choice((BUY, SELL))
        if kind < 0.4:
            ticks = self.best(side) + rng.randint(-6, 6)
            self.add(CLEAR | side, ticks, 0)
            self.levels[side] = {t: q for t, q in self.levels[side].items()
                                 if (t < ticks if side == BUY else t > ticks)}
        elif kind < 0.7:
            self.add(CLEAR, 0, 0)
            self.levels = {BUY: {}, SELL: {}}
        else:
            self.rows.append((CLEAR | side | EXCH | LOCAL, self.now, self.now + 5 * MS, NO_PRICE, 0))
            self.levels[side] = {}
        if rng.random() < 0.6:
            self.snapshot()

    def table(self) -> Any:
        """Rows in hftbacktest's layout; a row that the two sides see in different orders is split in two."""
        venue = [i for i, r in enumerate(self.rows) if r[0] & EXCH]
        local = sorted((i for i, r in enumerate(self.rows) if r[0] & LOCAL), key=lambda i: (self.rows[i][2], i))
        made: list[tuple[int, int]] = []
        a = b = 0
        here: set[int] = set()
        while a < len(venue) or b < len(local):
            v, at = venue[a] if a < len(venue) else -1, local[b] if b < len(local) else -1
            apart = at >= 0 and (at in here or not self.rows[at][0] & EXCH)  # its venue row is written
            if v >= 0 and v == at:
                made.append((v, EXCH | LOCAL))
                a, b = a + 1, b + 1
            elif v < 0 or (apart and self.rows[at][2] <= self.rows[v][1]):
                made.append((at, LOCAL))
                b += 1
            else:
                made.append((v, EXCH))
                here.add(v)
                a += 1
        table = np.zeros(len(made), ROW)
        tick, lot = Decimal(self.tick), Decimal(self.lot)
        for out, (i, sides) in zip(table, made, strict=True):
            kind, venue_ns, local_ns, ticks, lots = self.rows[i]
            out["ev"] = (kind & ~(EXCH | LOCAL)) | sides
            out["exch_ts"], out["local_ts"] = venue_ns, local_ns
            out["px"] = np.nan if ticks == NO_PRICE else float(ticks * tick)
            out["qty"] = float(lots * lot)
        return table


def orders(market: Market, seed: int, count: int) -> list[dict[str, str]]:
    """A schedule: orders of all kinds around the mid of their time, some cancelled, some too early or too late."""
    rng = random.Random(seed * 7919 + 1)
    tick, lot = Decimal(market.tick), Decimal(market.lot)
    times = sorted(rng.choices(market.mids, k=count))
    rows: list[dict[str, str]] = []
    ids = rng.sample(range(1, 10 * count), count)
    previous = 0
    for number, (at, mid) in zip(ids, times, strict=True):
        side = rng.choice(("buy", "sell"))
        ts = max(at + rng.choice((0, 5 * MS, rng.randint(0, 30 * MS))), previous)
        previous = ts = min(ts, market.last)
        tif = rng.choice(("GTC",) * 8 + ("GTX",) * 4 + ("IOC", "IOC", "FOK", "FOK", "", ""))
        away = rng.choice((-3, -1, 0, 1, 1, 1, 2, 2, 3, 4) if tif in ("GTC", "GTX") else (-6, -3, -2, -1, 0, 1))
        ticks = mid - away if side == "buy" else mid + away
        lots = rng.randint(1, rng.choice((market.top, market.top, market.top, 10 * market.top, 60 * market.top)))
        cancel = ""
        if rng.random() < 0.45:
            cancel = str(min(ts + rng.choice((1, 7 * MS, 60 * MS, rng.randint(1, 4000) * MS)), market.last + 5 * MS))
        rows.append({
            "ts": str(ts), "id": str(number), "side": side, "price": f"{ticks * tick:f}" if tif else "",
            "quantity": f"{lots * lot:f}", "tif": tif, "cancel_ts": cancel,
        })
    return rows


def latencies(seed: int, first: int, last: int) -> list[tuple[int, int, int]]:
    """Recorded order latencies; now and then a request that never reached the venue (exch_ts 0).

    An answer takes 2 us or more: beside an exch_ts of 0 hftbacktest's doubles are that coarse, and it stops at a
    negative latency.
    """
    rng = random.Random(seed * 104729 + 2)
    step = max((last - first) // 40, 20 * MS)
    rows: list[tuple[int, int, int]] = []
    at = first + rng.randint(-10 * MS, 200 * MS)
    venue = 0
    while at < last - 5 * step:
        venue = max(venue + 1, at + rng.choice((1, rng.randint(1, 30 * MS))))
        answer = max(venue, rows[-1][2] if rows else 0) + rng.randint(2000, 20 * MS)
        refused = seed % 5 == 0 and rng.random() < 0.05
        rows.append((at, 0 if refused else venue, answer))
        at += rng.randint(step // 2, step)
    return rows


def write_schedule(rows: list[dict[str, str]], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_latencies(rows: list[tuple[int, int, int]], path: Path) -> None:
    kind = np.dtype([("req_ts", "i8"), ("exch_ts", "i8"), ("resp_ts", "i8"), ("_padding", "i8")])
    table = np.zeros(len(rows), kind)
    for out, row in zip(table, rows, strict=True):
        out["req_ts"], out["exch_ts"], out["resp_ts"] = row
    np.savez(path, data=table)


def grid(folder: Path, seed: int, count: int, number: int) -> list[Case]:
    """A market and a schedule for every queue model, over both latency models, with and without partial fills."""
    made: list[Case] = []
    for q, queue in enumerate(QUEUES):
        key = seed * 100 + q
        base = folder / f"random-{seed}-{queue.replace(':', '_')}"
        base.mkdir(parents=True, exist_ok=True)
        market = Market(key, count, small=seed % 4 == 3)
        table = market.table()
        np.savez(base / "market.npz", data=table)
        write_schedule(orders(market, key, number), base / "schedule.csv")
        write_latencies(latencies(key, START, market.last), base / "latency.npz")
        rng = random.Random(key)
        constant = (rng.choice((0, 1, 4 * MS, 12 * MS)), rng.choice((0, 1, 3 * MS, 25 * MS)))
        common = Case(
            name="", kind="random", npz=[str(base / "market.npz")], tape=str(base / "market.tape"), folder="",
            schedule=str(base / "schedule.csv"), tick=market.tick, lot=market.lot, queue=queue, partial=False,
            seed=seed, rows=len(table))
        made += variants(common, base, constant, str(base / "latency.npz"))
    return made


def variants(common: Case, base: Path, constant: tuple[int, int], recorded: str) -> list[Case]:
    """The case with constant and with recorded latencies, each with and without partial fills."""
    made: list[Case] = []
    for latency in (None, recorded):
        for partial in (False, True):
            name = f"{base.name}-{'constant' if latency is None else 'recorded'}-{'partial' if partial else 'whole'}"
            out = base.parent / name
            out.mkdir(parents=True, exist_ok=True)
            order, response = constant if latency is None else (0, 0)
            made.append(msgspec.structs.replace(
                common, name=name, folder=str(out), partial=partial, latency=latency, order_latency=order,
                response_latency=response))
    return made


def recorded(folder: Path, name: str, npz: list[Path], tape: Path, grid_of: tuple[str, str], seed: int, number: int,
             queues: Sequence[str] = QUEUES) -> list[Case]:
    """A schedule around the touch of a recording, for each queue model over both latency models, whole and in parts."""
    with Tape.open(tape) as opened:
        first, last, rows = int(opened.header["first_ts"]), int(opened.header["last_ts"]), int(opened.row_count)
        times = sorted(random.Random(seed).sample(range(first, last - 1000 * MS), number + number // 4))
        seen = [t for t in touches(opened, 0, times) if t.bid_ticks is not None and t.ask_ticks is not None]
    base = folder / name
    base.mkdir(parents=True, exist_ok=True)
    write_schedule(around(seen[:number], grid_of, seed, last), base / "schedule.csv")
    write_latencies(latencies(seed, first, last), base / "latency.npz")
    made: list[Case] = []
    for queue in queues:
        common = Case(
            name="", kind="recorded", npz=[str(path) for path in npz], tape=str(tape), folder="",
            schedule=str(base / "schedule.csv"), tick=grid_of[0], lot=grid_of[1], queue=queue, partial=False,
            seed=seed, rows=rows)
        place = folder / f"{name}-{queue.replace(':', '_')}"
        made += variants(common, place, (5 * MS, 7 * MS), str(base / "latency.npz"))
    return made


def around(seen: Sequence[Touch], grid_of: tuple[str, str], seed: int, last: int) -> list[dict[str, str]]:
    """Makers at the touch and behind it, takers into it and through it, of one lot up to whole levels."""
    rng = random.Random(seed * 31 + 7)
    tick, lot = Decimal(grid_of[0]), Decimal(grid_of[1])
    rows: list[dict[str, str]] = []
    for number, touch in enumerate(seen, start=1):
        side = rng.choice(("buy", "sell"))
        tif = rng.choice(("GTC",) * 9 + ("GTX",) * 5 + ("IOC", "IOC", "FOK", ""))
        away = 1 if side == "buy" else -1
        near, far = (touch.bid_ticks, touch.ask_ticks)[::away]
        assert near is not None
        assert far is not None
        if tif in ("GTC", "GTX") and rng.random() < 0.75:
            ticks = near - away * rng.choice((0, 0, 0, 1, 2, 5, 20, 80, -1))
        else:
            ticks = far + away * rng.choice((0, 0, 1, 5, 30, -1))
        lots = rng.choice((1, rng.randint(1, 50), rng.randint(1, 2000), rng.randint(1, 20_000)))
        ts = touch.ts + rng.choice((0, rng.randint(0, 3 * MS)))
        cancel = min(ts + rng.choice((1, 13 * MS, rng.randint(1, 2000) * MS, rng.randint(1, 30_000) * MS)), last)
        rows.append({
            "ts": str(ts), "id": str(7 * number), "side": side, "price": f"{ticks * tick:f}" if tif else "",
            "quantity": f"{lots * lot:f}", "tif": tif, "cancel_ts": str(cancel) if rng.random() < 0.6 else "",
        })
    return sorted(rows, key=lambda row: int(row["ts"]))
