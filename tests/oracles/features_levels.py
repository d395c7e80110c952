"""Features of several levels over whole histories (methods 2.1, 2.2, 2.8), in numpy. Events are test histories."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.oracles.features_touch import held, quotes

NONE = 10**15
"""Ticks of a level that is not there: beyond all prices."""


def level_flow(events: list[Any], levels: int, window: int, decay: float) -> dict[str, Any]:
    """e_n of the m-th occupied level of both sides, summed over the window."""
    books = [e for e in events if e.kind == "book"]
    q = quotes(events)
    ts = q.ts.to_numpy()
    rows = np.zeros((len(books), levels))
    counted = np.zeros(len(books), bool)
    for n in range(1, len(books)):
        if not (books[n].valid and books[n - 1].valid):
            continue
        counted[n] = True
        for m in range(levels):
            def level(side: Any, none: int, m: int = m) -> tuple[int, int]:
                return side[m] if m < len(side) else (none, 0)
            pb, qb = level(books[n].bids, -NONE)
            pb0, qb0 = level(books[n - 1].bids, -NONE)
            pa, qa = level(books[n].asks, NONE)
            pa0, qa0 = level(books[n - 1].asks, NONE)
            rows[n, m] = (pb >= pb0) * qb - (pb <= pb0) * qb0 - (pa <= pa0) * qa + (pa >= pa0) * qa0
    first = ts[q.valid][0]
    sums = np.array([rows[:n + 1][(now - ts[:n + 1] < window) & counted[:n + 1]].sum(axis=0)
                     for n, now in enumerate(ts)])
    sums[~(q.valid.to_numpy() & (ts - first >= window))] = np.nan
    weights = np.exp(-decay * np.arange(levels))
    return {"mlofi": held(events, q, sums @ weights)} | {
        f"mlofi.{m + 1}": held(events, q, sums[:, m]) for m in range(min(levels, 10))}


def level_imbalance(events: list[Any], levels: int, decay: float) -> Any:
    out = []
    for e in events:
        if e.kind != "book":
            continue
        bids, asks = (sum(lots * math.exp(-decay * m) for m, (_, lots) in enumerate(side[:levels]))
                      for side in (e.bids, e.asks))
        out.append((bids - asks) / (bids + asks) if e.valid else np.nan)
    return held(events, quotes(events), out)


def sampled(events: list[Any], every: int, look: Callable[[Any], float | tuple[float, ...]], parts: int = 1) -> Any:
    """What a look gives at the first valid message of each step, held until the next; NaN while the book is invalid."""
    out, current, due = np.full((len(events), parts), np.nan), np.full(parts, np.nan), -NONE
    for n, e in enumerate(events):
        if e.kind == "book":
            if not e.valid:
                current, due = np.full(parts, np.nan), -NONE
            elif e.ts >= due:
                current = np.array(look(e), float).reshape(parts)
                due = (e.ts // every + 1) * every if every else -NONE
        out[n] = current
    return out


def bp(e: Any, tick: int) -> float:
    """Distance from the mid."""
    return abs(2 * tick - e.mid2) * 1e4 / e.mid2


def near(e: Any, side: Any, band: float) -> list[tuple[int, int]]:
    return [(tick, lots) for tick, lots in side if bp(e, tick) <= band]


def depth(events: list[Any], band: float, every: int, scale: float) -> Any:
    def look(e: Any) -> tuple[float, ...]:
        bids, asks = (sum(tick * lots * scale for tick, lots in near(e, side, band)) for side in (e.bids, e.asks))
        return bids + asks, bids, asks, (bids - asks) / (bids + asks) if bids + asks else np.nan

    return sampled(events, every, look, 4)


def slope(events: list[Any], band: float, every: int) -> Any:
    def one(e: Any, side: Any) -> float:
        levels = near(e, side, band)
        if len(levels) < 2:
            return np.nan
        return float(np.polyfit([bp(e, t) for t, _ in levels], np.cumsum([q for _, q in levels]), 1)[0])

    def look(e: Any) -> tuple[float, ...]:
        bids, asks = one(e, e.bids), one(e, e.asks)
        return (bids + asks) / 2, bids, asks

    return sampled(events, every, look, 3)


def elasticity(events: list[Any], levels: int, every: int) -> Any:
    def one(side: Any) -> float:
        side = side[:levels]
        if len(side) < 2 or side[0][1] == 1:
            return np.nan
        v = np.log(np.cumsum([q for _, q in side]))
        p = np.array([t for t, _ in side], float)
        return float(np.mean((v[1:] / v[:-1] - 1) / np.abs(p[1:] / p[:-1] - 1)))

    def look(e: Any) -> tuple[float, ...]:
        bids, asks = one(e.bids), one(e.asks)
        return (bids + asks) / 2, bids, asks

    return sampled(events, every, look, 3)


def impact(events: list[Any], notional: float, every: int, scale: float) -> Any:
    def one(e: Any, side: Any) -> float:
        values = np.array([t * q * scale for t, q in side])
        taken = np.diff(np.minimum(np.cumsum(values), notional), prepend=0.0)
        if values.sum() < notional:
            return np.nan
        ticks = np.array([t for t, _ in side])
        return float(taken.sum() / (taken / ticks).sum() / (e.mid2 / 2) - 1)

    return sampled(events, every, lambda e: (one(e, e.asks), one(e, e.bids)), 2)
