"""Walls, clusters and the spoofing score over whole histories (methods 2.8, 2.10), each sentence as plain Python."""

from __future__ import annotations

from collections import Counter
from statistics import median
from typing import Any

import numpy as np

from tests.oracles.features_levels import NONE, bp, near, sampled
from tests.oracles.features_trades import signed

HOUR = 3_600_000_000_000


def candidates(e: Any, side: Any, band: float, k: float, floor: float, scale: float) -> dict[int, float]:
    """Levels that are far larger than the others: tick -> log of the size over the median of the others."""
    levels = near(e, side, band)
    found = {}
    for i, (tick, lots) in enumerate(levels):
        others = np.log([q for j, (_, q) in enumerate(levels) if j != i])
        if len(others) < 2:
            continue
        middle = np.median(others)
        sigma = 1.4826 * np.median(np.abs(others - middle))
        if sigma == 0:
            sigma = 1.2533 * np.mean(np.abs(others - middle))
        if sigma > 0 and np.log(lots) > middle + k * sigma and tick * lots * scale >= floor:
            found[tick] = float(np.log(lots) - middle)
    return found


def walls(events: list[Any], band: float, k: float, value: float, share: float, persist: int, every: int,
          scale: float) -> Any:
    """Columns bid count, price, lots, age, strength, distance, and the same of the ask side."""
    since: list[dict[int, int]] = [{}, {}]
    place = {id(e): n for n, e in enumerate(events)}

    def floor(e: Any) -> float:
        seen = [(t.ts // HOUR, t.ticks * t.lots * scale) for t in events[:place[id(e)]] if t.kind == "trade"]
        if not seen:
            return value
        hour, first = e.ts // HOUR, seen[0][0]
        whole = range(max(first + 1, hour - 24), hour)
        sums = [sum(x for h, x in seen if h == w) for w in whole]
        return max(value, share * median(sums)) if sums else value

    def look(e: Any) -> list[float]:
        row: list[float] = []
        least = floor(e)
        for i, side in enumerate((e.bids, e.asks)):
            found = candidates(e, side, band, k, least, scale)
            since[i] = {tick: since[i].get(tick, e.ts) for tick in found}
            told = {t: s for t, s in found.items() if e.ts - since[i][t] >= persist}
            if not told:
                row += [0.0, np.nan, np.nan, np.nan, np.nan, np.nan]
                continue
            best = max(told, key=lambda t: (told[t], -bp(e, t)))
            row += [len(told), best, dict(side)[best], (e.ts - since[i][best]) / 1e9, np.exp(told[best]), bp(e, best)]
        return row

    return sampled(events, every, look, 12)


def clusters(events: list[Any], buying: bool, band: float, bandwidth: float, age: int, every: int) -> Any:
    """Columns price 1-5, lots 1-5, distance 1-5."""
    since: dict[int, int] = {}

    def look(e: Any) -> list[float]:
        nonlocal since
        levels = near(e, e.bids if buying else e.asks, band)
        since = {tick: since.get(tick, e.ts) for tick, _ in levels}
        bins = np.arange(int(band) + 1, dtype=float)
        density = np.zeros(len(bins))
        for tick, lots in levels:
            x = abs(np.log(2 * tick / e.mid2)) * 1e4
            u = (bins - x) / bandwidth
            weight = lots * (1 - np.exp(-(e.ts - since[tick]) / age))
            density += weight * np.where(np.abs(u) < 1, 0.75 * (1 - u**2), 0) / bandwidth
        d = np.concatenate([[0.0], density, [0.0]])
        peaks = []
        for j in range(1, len(d) - 1):
            if d[j] > d[j - 1] and d[j] >= d[j + 1]:
                left = next((i for i in range(j, -1, -1) if d[i] > d[j]), -1)
                right = next((i for i in range(j, len(d)) if d[i] > d[j]), len(d))
                prominence = d[j] - max(d[left + 1:j + 1].min(), d[j:right].min())
                if prominence > 2 * np.median(density):
                    peaks.append(j)
        peaks.sort(key=lambda j: (-d[j], j))
        row = np.full(15, np.nan)
        for rank, j in enumerate(peaks[:5]):
            low = high = j
            while low > 1 and d[low - 1] <= d[low]:
                low -= 1
            while high < len(d) - 2 and d[high + 1] <= d[high]:
                high += 1
            part = d[low:high + 1]
            mean = float((part * (np.arange(low, high + 1) - 1)).sum() / part.sum())
            row[rank], row[5 + rank], row[10 + rank] = (
                e.mid2 / 2 * np.exp((-mean if buying else mean) / 1e4), part.sum(), mean)
        return list(row)

    return sampled(events, every, look, 15)


class SpoofSide:
    """What is known of one side."""

    def __init__(self) -> None:
        self.before: Any = None
        self.placed: list[tuple[int, int]] = []
        self.traded: list[tuple[int, int]] = []
        self.cancelled: list[tuple[int, int, int, bool]] = []      # time, lots, lifetime, after an opposite trade
        self.open: list[list[int]] = []                            # time, tick, left
        self.hits: list[list[int]] = []                            # time, tick, left
        self.trade_ts = -NONE
        self.typical = 0.0


def spoofing(events: list[Any], levels: int, band: float, window: int, every: int) -> Any:
    """Columns bid, ask."""
    sides, signs = (SpoofSide(), SpoofSide()), signed(events)
    out, due = np.full((len(events), 2), np.nan), -NONE
    for n, e in enumerate(events):
        if n:
            out[n] = out[n - 1]
        if e.kind == "trade":
            if signs[n]:
                hit = sides[0 if signs[n] < 0 else 1]
                hit.trade_ts = e.ts
                hit.hits.append([e.ts, e.ticks, e.lots])
            continue
        if not e.valid:
            out[n] = np.nan
            sides[0].before = sides[1].before = None
            continue
        for i, book in enumerate((e.bids, e.asks)):
            top = book[:levels]
            if sides[i].before is not None:
                _changes(e, sides[i], sides[1 - i], top, levels, band, window, sign=-1 if i else 1)
            sides[i].before = top
        if e.ts >= due:
            due = (e.ts // every + 1) * every
            for i, book in enumerate((e.bids, e.asks)):
                out[n, i] = _score(e, sides[i], window)
                sizes = [q for t, q in book[1:levels] if bp(e, t) <= band]
                sides[i].typical = median(sizes) if sizes else sides[i].typical
    return out


def _changes(e: Any, side: SpoofSide, other: SpoofSide, top: Any, levels: int, band: float, window: int,
             sign: int) -> None:
    """Placements and removals of the levels that both books show."""
    ends = [sign * book[-1][0] for book in (side.before, top) if len(book) == levels]
    end = max(ends, default=-NONE)
    was, now = dict(side.before), dict(top)
    ticks = sorted({t for t in (*was, *now) if sign * t >= end}, reverse=sign > 0)
    changes = Counter(now)
    changes.subtract(was)
    for tick in ticks:
        lots = changes[tick]
        if lots > 0 and tick != top[0][0]:
            if side.typical and lots >= 4 * side.typical and bp(e, tick) <= band:
                side.open.append([e.ts, tick, lots])
                side.placed.append((e.ts, lots))
        elif lots < 0 and tick != side.before[0][0]:
            _removed(e, side, other, tick, -lots, window)


def _removed(e: Any, side: SpoofSide, other: SpoofSide, tick: int, lots: int, window: int) -> None:
    hit = 0
    for h in side.hits:
        if h[1] == tick and e.ts - h[0] <= 500_000_000:
            take = min(h[2], lots - hit)
            h[2] -= take
            hit += take
    lots -= hit
    mine = [p for p in side.open if p[1] == tick and p[2] and e.ts - p[0] < window]
    for p in mine:
        take = min(p[2], hit)
        if take:
            p[2] -= take
            hit -= take
            side.traded.append((e.ts, take))
    if not side.typical or lots < 4 * side.typical:
        return
    for p in reversed(mine):
        take = min(p[2], lots)
        if take:
            p[2] -= take
            lots -= take
            side.cancelled.append((e.ts, take, e.ts - p[0], e.ts - other.trade_ts <= 500_000_000))


def _score(e: Any, side: SpoofSide, window: int) -> float:
    placed = sum(q for ts, q in side.placed if e.ts - ts < window)
    traded = sum(q for ts, q in side.traded if e.ts - ts < window)
    cancelled = [c for c in side.cancelled if e.ts - c[0] < window]
    if not side.typical or placed < 10 * side.typical:
        return np.nan
    if not cancelled:
        return 0.0
    quick = np.exp(-median(c[2] for c in cancelled) / 1e9)
    after = sum(c[1] for c in cancelled if c[3]) / sum(c[1] for c in cancelled)
    return float(max(1 - traded / placed, 0.0) * quick * after)
