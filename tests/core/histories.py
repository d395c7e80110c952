"""Random histories of one instrument: whole books, trades and gaps, and every feature after each of their events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from apex._core.book import Book
from apex._core.features import Features
from tests.core.assembly import BUY, SELL, START

MS = 1_000_000
Levels = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Event:
    """A whole depth message (`bids` and `asks`, best first), a trade, or a gap."""

    ts: int
    kind: str
    bids: Levels = ()
    asks: Levels = ()
    side: int = 0
    ticks: int = 0
    lots: int = 0
    venue_ts: int = 0

    @property
    def valid(self) -> bool:
        return bool(self.bids and self.asks and self.bids[0][0] < self.asks[0][0])

    @property
    def mid2(self) -> int:
        return self.bids[0][0] + self.asks[0][0]


@dataclass
class Market:
    """Makes events one after the other."""

    rng: np.random.Generator
    mid: int = 10_000
    ts: int = START
    books: dict[int, dict[int, int]] = field(default_factory=lambda: {BUY: {}, SELL: {}})

    def sorted(self, side: int) -> Levels:
        return tuple(sorted(self.books[side].items(), reverse=side == BUY))

    def size(self) -> int:
        return int(np.ceil(self.rng.lognormal(3, 1) * (40 if self.rng.random() < 0.01 else 1)))

    def fill(self, deep: int) -> None:
        """A fresh book around the mid."""
        for side, sign in ((BUY, -1), (SELL, 1)):
            offsets = self.rng.choice(np.arange(1, deep), deep // 3, replace=False)
            self.books[side] = {self.mid + sign * int(o): self.size() for o in offsets}

    def change(self, deep: int) -> None:
        """Some levels of both sides, near the touch more often; what crosses is taken out."""
        self.mid += int(self.rng.choice((-2, -1, 0, 0, 0, 0, 0, 1, 2)))
        for side, sign in ((BUY, -1), (SELL, 1)):
            book = self.books[side]
            for _ in range(int(self.rng.integers(0, 4))):
                tick = self.mid + sign * int(np.ceil(self.rng.exponential(deep / 8)))
                if self.rng.random() < 0.35:
                    book.pop(tick, None)
                else:
                    book[tick] = self.size()
            for tick in [t for t in book if sign * (t - self.mid) <= 0]:
                del book[tick]

    def step(self, waits: tuple[int, ...], deep: int, broken: float) -> Event:
        self.ts += int(self.rng.choice(waits)) * MS
        if self.rng.random() < 0.4:
            side = int(self.rng.choice((0, BUY, SELL, BUY, SELL)))
            best = self.sorted(SELL if side == BUY else BUY)
            ticks = best[0][0] if best and self.rng.random() < 0.9 else self.mid
            return Event(self.ts, "trade", side=side, ticks=ticks, lots=self.size(),
                         venue_ts=self.ts - int(self.rng.choice((0, 1, 3))) * MS)
        self.change(deep)
        bids, asks = self.sorted(BUY), self.sorted(SELL)
        if self.rng.random() < broken:
            bids = () if self.rng.random() < 0.5 else ((asks[0][0] + 1, 5), *bids) if asks else ()
        return Event(self.ts, "book", bids, asks)


def history(seed: int, count: int, *, waits: tuple[int, ...] = (0, 1, 5, 20, 80, 400), deep: int = 150,
            broken: float = 0.01, gaps: float = 0.0) -> list[Event]:
    """Events at times that do not fall; `broken`: books with an empty side, or crossed; `gaps`: losses of sync."""
    market = Market(np.random.default_rng(seed))
    market.fill(deep)
    events = [Event(market.ts, "book", market.sorted(BUY), market.sorted(SELL))]
    while len(events) < count:
        if market.rng.random() < gaps:
            events.append(Event(market.ts, "gap"))
            market.fill(deep)
        events.append(market.step(waits, deep, broken))
    return events


def feed(features: Features, event: Event) -> None:
    """One event into the features; the book is built anew, as the core has it after a whole message."""
    if event.kind == "gap":
        features.gap()
    elif event.kind == "trade":
        features.trade(event.side, event.ticks, event.lots, event.ts, event.venue_ts)
    else:
        book = Book()
        for side, levels in ((BUY, event.bids), (SELL, event.asks)):
            for tick, lots in levels:
                book.set(side, tick, lots)
        book.end_message()
        features.message(book, event.ts)


def stream(events: list[Event], *names: str, features: Features | None = None, scale: float = 1.0, **parameters: Any
           ) -> Any:
    """Values after each event: an array (events, names)."""
    made = Features(asked=names, value_scale=scale) if features is None else features
    out = np.full((len(events), len(names)), np.nan)
    for n, event in enumerate(events):
        feed(made, event)
        out[n] = [made.value(name) for name in names]
    return out
