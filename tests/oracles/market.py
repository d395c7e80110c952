"""The market generator by its rules, in plain Python: dicts for books, whole numbers everywhere, one thing at a time.

What `apex._core.market` must give, row by row; written for reading. Rows are tuples
(venue ns, local ns, sequence, kind, side, ticks, lots, instrument, last of its message).
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import NamedTuple

WORD = (1 << 64) - 1
BID, ASK, NEITHER = 0, 1, 2
START = 1_767_225_600_000_000_000
REACH, RING, SPREAD_MAX, LEVELS_MIN = 1020, 4096, 128, 64
SMALL_STEPS = 96


class Regime(NamedTuple):
    interval_ns: int
    jump: int
    scale: int
    market: int
    leave: int


REGIMES = (Regime(17_000_000, 5_400, 14, 80, 40), Regime(9_000_000, 7_200, 18, 80, 32),
           Regime(4_000_000, 10_000, 22, 80, 60))


def _exponential() -> list[int]:
    exact = Context(prec=60)
    return [int(-exact.multiply(exact.ln(exact.divide(Decimal(2049 - 2 * i), Decimal(2049))), Decimal(1 << 20)))
            for i in range(1025)]


def _power_law(scale: int, power: int, ratio: int) -> list[int]:
    """scale * (1 / u^power - 1), rounded down, for u in 1024 equal steps from 1 to 1 / ratio."""
    whole = ratio * 1024
    parts = [whole - i * (ratio - 1) for i in range(1025)]
    return [scale * whole**power // part**power - scale for part in parts]


EXPONENTIAL, DISTANCE = _exponential(), _power_law(4, 2, 16)
LIMIT, MARKET = _power_law(60, 1, 256), _power_law(70, 1, 1024)


def quotient(a: int, b: int) -> int:
    """Division that rounds towards zero, as C does."""
    return a // b if a >= 0 else -(-a // b)


def sample(table: list[int], bits: int) -> int:
    cell, part = bits >> 54, (bits >> 38) & 0xFFFF
    return table[cell] + ((table[cell + 1] - table[cell]) * part >> 16)


def leans(lean: int, bits: int) -> bool:
    return (bits & 0xFFFF) - 32768 < lean


class Random:
    """xoshiro256**."""

    def __init__(self, state: list[int]) -> None:
        self.s = state

    def draw(self) -> int:
        def rotate(x: int, k: int) -> int:
            return ((x << k) | (x >> (64 - k))) & WORD

        s = self.s
        result = rotate(s[1] * 5 & WORD, 7) * 9 & WORD
        t = s[1] << 17 & WORD
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotate(s[3], 45)
        return result


def seeds(seed: int, count: int) -> list[list[int]]:
    """`count` generator states from SplitMix64."""
    words = []
    for _ in range(4 * count):
        seed = (seed + 0x9E3779B97F4A7C15) & WORD
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & WORD
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & WORD
        words.append(z ^ (z >> 31))
    return [words[i:i + 4] for i in range(0, len(words), 4)]


class Pit:
    """One instrument's book and state. Sides are mirrored by `out`: -1 for bids, +1 for asks."""

    def __init__(self, price: int, depth: int, index: int, state: list[int]) -> None:
        self.random, self.index, self.now = Random(state), index, START + 1000 * index
        self.book: list[dict[int, int]] = [{price: 100}, {price + 1: 100}]
        self.best, self.far = [price, price + 1], [price, price + 1]
        self.changes: dict[tuple[int, int], int] = {}
        self.fair_q8, self.low_q8, self.high_q8 = price * 256 + 128, price * 128, price * 512
        self.jump_q8 = min(max(price * 256 // 60_000, 128), 64 * 256)
        self.regime, self.flow, self.excess_q8, self.sequence, self.trade_id = 1, 0, 0, 0, 0
        for _ in range(60_000):
            self.act()
        for which in (BID, ASK):
            kept = sorted(self.book[which], reverse=which == BID)[:depth]
            if len(kept) < len(self.book[which]):
                beyond = sorted(self.book[which], reverse=which == BID)[depth]
                self.far[which] = beyond - (1 if which == ASK else -1)
            self.book[which] = {tick: self.book[which][tick] for tick in kept}

    def set(self, which: int, tick: int, lots: int) -> None:
        book, nearest = self.book[which], max if which == BID else min
        self.changes.setdefault((which, tick), book.get(tick, 0))
        if lots:
            book[tick] = lots
            self.best[which] = nearest(self.best[which], tick)
            self.far[which] = (min if which == BID else max)(self.far[which], tick)
        elif book.pop(tick, 0) and tick == self.best[which]:
            self.best[which] = nearest(book)

    def may_empty(self, which: int, tick: int) -> bool:
        book = self.book[which]
        if len(book) <= LEVELS_MIN:
            return False
        if tick != self.best[which]:
            return True
        after = (max if which == BID else min)(t for t in book if t != tick)
        return abs(after - self.best[1 - which]) <= SPREAD_MAX

    def stale(self) -> int:
        fair = self.fair_q8 // 256
        return BID if self.best[BID] > fair else ASK if self.best[ASK] <= fair else NEITHER

    def act(self) -> None:
        bits, stale = self.random.draw(), self.stale()
        up = leans(quotient(self.flow, 4), bits)
        if stale != NEITHER and (bits >> 16) & 3 and self.may_empty(stale, self.best[stale]):
            self.set(stale, self.best[stale], 0)
        elif (bits >> 20) & 1:
            self.place(BID if up else ASK)
        else:
            self.cancel(ASK if up else BID)

    def place(self, which: int) -> None:
        distance, fair, out = sample(DISTANCE, self.random.draw()), self.fair_q8 // 256, 1 if which == ASK else -1
        anchor = min(self.best[ASK] - 1, fair) if which == BID else max(self.best[BID] + 1, fair + 1)
        gap = (self.best[which] - anchor) * out
        tick = anchor + out * (distance % gap if gap > 1 else distance)
        if tick < 1 or (self.far[which] - tick) * out >= RING - 1 or (tick - self.best[which]) * out >= RING - 1:
            return
        lots = self.book[which].get(tick, 0)
        if lots < 1 << 40:
            self.set(which, tick, lots + 1 + sample(LIMIT, self.random.draw()))

    def cancel(self, which: int) -> None:
        bits, out = self.random.draw(), 1 if which == ASK else -1
        tick = self.best[which] + out * sample(DISTANCE, bits)
        if (tick - self.far[which]) * out > 0:
            tick = self.best[which]
        while tick not in self.book[which]:
            tick -= out
        lots = self.book[which][tick]
        gone = lots if lots <= 24 else -(-lots * (1 + bits % 8) // 16)
        if gone < lots or self.may_empty(which, tick):
            self.set(which, tick, lots - gone)

    def withdraw(self, which: int) -> None:
        out, count = 1 if which == ASK else -1, 0
        while abs(self.far[which] - self.best[which]) > REACH and len(self.book[which]) > LEVELS_MIN and count < 16:
            if self.far[which] in self.book[which]:
                self.set(which, self.far[which], 0)
                count += 1
            self.far[which] -= out

    def move(self, regime: Regime) -> None:
        bits = self.random.draw()
        self.flow += quotient((bits & 0xFFFF) - 32768, 8) - quotient(self.flow, 64)
        if (bits >> 16) & 0xFFFF < regime.leave:
            self.regime = 1 if self.regime != 1 else 2 if bits >> 60 == 0 else 0
        back = quotient(self.excess_q8, 256)
        self.fair_q8 -= back
        self.excess_q8 -= back
        if (bits >> 32) & 0xFFFF < regime.jump:
            bits = self.random.draw()
            size = sample(EXPONENTIAL, bits) * (self.jump_q8 * regime.scale // 16) >> 20
            up = leans(quotient(self.flow, 4), bits)
            up = (up and self.fair_q8 + size <= self.high_q8) or self.fair_q8 - size < self.low_q8
            self.fair_q8 += size if up else -size
            self.excess_q8 += quotient((size if up else -size) * 3, 8)


class MarketOracle:
    """The whole market: `rows` has all its rows."""

    def __init__(self, seed: int, rows: int, prices: list[int]) -> None:
        depth = min(rows // len(prices) // 4, 1000)
        feed, *states = seeds(seed, 1 + len(prices))
        self.feed_random, self.local, self.wanted = Random(feed), 0, rows
        self.rows: list[tuple[int, int, int, str, int, int, int, int, bool]] = []
        pits = [Pit(price, depth, i, states[i]) for i, price in enumerate(prices)]
        for pit in pits:
            self.snapshot(pit)
            pit.now += 1_000_000
        while len(self.rows) < rows:
            self.step(min(pits, key=lambda p: (p.now, p.index)))

    def feed(self) -> int:
        bits = self.feed_random.draw()
        delay = 600_000 + (250_000 * sample(EXPONENTIAL, bits) >> 20)
        if bits % 2048 == 0:
            delay += 4_000_000 * sample(EXPONENTIAL, self.feed_random.draw()) >> 20
        return delay

    def emit(self, pit: Pit, kind: str, sequence: int, levels: list[tuple[int, int, int]], delay: int,
             last: bool = True) -> None:
        self.local = max(self.local, pit.now + delay)
        for i, (side, tick, lots) in enumerate(levels):
            ends = last and i == len(levels) - 1
            self.rows.append((pit.now, self.local, sequence, kind, side, tick, lots, pit.index, ends))

    def snapshot(self, pit: Pit) -> None:
        delay = self.feed()
        pit.sequence += 1
        self.emit(pit, "SNAPSHOT_BEGIN", pit.sequence, [(0, 0, 0)], delay, last=False)
        levels = [(1, t, pit.book[BID][t]) for t in sorted(pit.book[BID], reverse=True)]
        levels += [(2, t, pit.book[ASK][t]) for t in sorted(pit.book[ASK])]
        self.emit(pit, "BOOK_LEVEL", pit.sequence, levels, delay)

    def publish(self, pit: Pit, delay: int) -> None:
        levels = [(1 + which, tick, pit.book[which].get(tick, 0)) for side in (BID, ASK)
                  for (which, tick), before in pit.changes.items()
                  if which == side and pit.book[which].get(tick, 0) != before]
        if levels:
            pit.sequence += len(levels)
            self.emit(pit, "BOOK_LEVEL", pit.sequence, levels, delay)

    def step(self, pit: Pit) -> None:
        left, regime, bits = self.wanted - len(self.rows), REGIMES[pit.regime], pit.random.draw()
        pit.move(regime)
        pit.changes = {}
        stale = pit.stale()
        if left >= SMALL_STEPS and bits % 256 < (regime.market if stale == NEITHER else 128):
            self.trade(pit, stale)
        else:
            burst = 1 + (23 * sample(EXPONENTIAL, pit.random.draw()) >> 20)
            for _ in range(min(burst, left, 64)):
                pit.act()
            if left >= SMALL_STEPS:
                pit.withdraw(BID)
                pit.withdraw(ASK)
            self.publish(pit, self.feed())
        pit.now += 1000 + (regime.interval_ns * sample(EXPONENTIAL, bits) >> 20)

    def trade(self, pit: Pit, stale: int) -> None:
        bits = pit.random.draw()
        left, delay, swept = 1 + sample(MARKET, bits), self.feed(), 0
        which = ASK if leans(pit.flow, bits) else BID
        if stale != NEITHER:
            which, left = stale, left * 8
        while left > 0 and swept < 24 and (stale == NEITHER or pit.stale() == stale):
            tick = pit.best[which]
            lots = pit.book[which][tick]
            taken = min(left, lots)
            if taken == lots and not pit.may_empty(which, tick):
                taken = left = lots - 1
                if taken == 0:
                    break
            pit.trade_id += 1
            self.emit(pit, "TRADE", pit.trade_id, [(2 - which, tick, taken)], delay)
            pit.set(which, tick, lots - taken)
            left -= taken
            swept += 1
        self.publish(pit, delay)
