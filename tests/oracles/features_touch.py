"""Features of the touch over whole histories (methods 2.1, 2.2, 2.7), in pandas and numpy, of a list of events."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd


def quotes(events: list[Any]) -> pd.DataFrame:
    """A row for each depth message: place of the event, time, touch and whether it is valid."""
    rows = [(n, e.ts, *((*e.bids[0], *e.asks[0]) if e.valid else (0, 0, 0, 0)), e.valid)
            for n, e in enumerate(events) if e.kind == "book"]
    return pd.DataFrame(rows, columns=["n", "ts", "bid", "bid_lots", "ask", "ask_lots", "valid"])


def held(events: list[Any], frame: pd.DataFrame, values: Any) -> Any:
    """A value for each depth message, held over the trades after it; NaN is held too."""
    out = np.full(len(events), np.nan)
    current = np.nan
    by_place = dict(zip(frame.n, np.asarray(values, float), strict=True))
    for n in range(len(events)):
        current = by_place.get(n, current)
        out[n] = current
    return out


def quote(events: list[Any]) -> dict[str, Any]:
    q = quotes(events)
    share = q.bid_lots / (q.bid_lots + q.ask_lots)
    mid = (q.bid + q.ask) / 2
    found = {"touch.mid": mid, "touch.spread": q.ask - q.bid, "touch.spread_bp": (q.ask - q.bid) / mid * 1e4,
             "touch.bid": q.bid, "touch.ask_lots": q.ask_lots, "imbalance": share, "imbalance.signed": 2 * share - 1,
             "weighted_mid": share * q.ask + (1 - share) * q.bid}
    return {name: held(events, q, column.astype(float).where(q.valid)) for name, column in found.items()}


def flow(q: pd.DataFrame) -> Any:
    """e_n, 0 where an update does not follow a valid one."""
    was = q.shift(1)
    e = ((q.bid >= was.bid) * q.bid_lots - (q.bid <= was.bid) * was.bid_lots
         - (q.ask <= was.ask) * q.ask_lots + (q.ask >= was.ask) * was.ask_lots)
    follows = q.valid & q.valid.shift(1, fill_value=False)
    return e.where(follows, 0.0).to_numpy(float), follows.to_numpy()


def order_flow(events: list[Any], window: int) -> dict[str, Any]:
    q = quotes(events)
    e, follows = flow(q)
    ts = q.ts.to_numpy()
    first = ts[q.valid][0]
    total, scaled = [], []
    for n, now in enumerate(ts):
        inside = (now - ts[:n + 1] < window) & follows[:n + 1]
        total.append(e[:n + 1][inside].sum())
        size = ((q.bid_lots + q.ask_lots) / 2).to_numpy()[:n + 1][inside]
        scaled.append(total[-1] / size.mean() if len(size) else 0.0)
    known = q.valid & (ts - first >= window)
    return {"ofi": held(events, q, np.where(known, total, np.nan)),
            "ofi.scaled": held(events, q, np.where(known, scaled, np.nan))}


def decayed_flow(events: list[Any], tau: int) -> Any:
    q = quotes(events)
    e, _ = flow(q)
    ts = q.ts.to_numpy()
    total = [float((e[:n + 1] * np.exp(-(now - ts[:n + 1]) / tau)).sum()) for n, now in enumerate(ts)]
    known = q.valid & (ts - ts[q.valid][0] >= tau)
    return held(events, q, np.where(known, total, np.nan))


def grid(events: list[Any], step: int, value: Callable[[Any], float]) -> tuple[Any, Any]:
    """Points of the grid since the first valid touch, and a value of the last valid touch at or before each of them."""
    good = [e for e in events if e.kind == "book" and e.valid]
    ts = np.array([e.ts for e in good])
    points = np.arange((ts[0] // step + 1) * step, events[-1].ts + 1, step)
    values = np.array([value(e) for e in good], float)
    return points, values[np.searchsorted(ts, points, "right") - 1]


def at_grid(events: list[Any], points: Any, values: Any) -> Any:
    """At each event, the value of the last grid point before it."""
    place = np.searchsorted(points, [e.ts for e in events], "left") - 1
    return np.where(place >= 0, np.asarray(values)[np.maximum(place, 0)], np.nan)


def returns(events: list[Any], step: int, steps: int) -> dict[str, Any]:
    points, mids = grid(events, step, lambda e: e.mid2 / 2)
    r = pd.Series(np.concatenate([[np.nan], np.diff(np.log(mids))]))
    rows: dict[str, list[float]] = {k: [] for k in ("volatility", "realised.variance", "realised.bipower",
                                                    "realised.jump", "realised.up", "realised.down",
                                                    "realised.jump_z", "realised.two_scale")}
    for k in range(len(points)):
        x = r.to_numpy()[max(k - steps + 1, 0):k + 1]
        if len(x) < steps or np.isnan(x).any():
            for column in rows.values():
                column.append(np.nan)
            continue
        variance = float((x**2).sum())
        bipower = np.pi / 2 * steps / (steps - 1) * float((np.abs(x[1:]) * np.abs(x[:-1])).sum())
        size = np.abs(x) ** (4 / 3)
        mu = 2 ** (2 / 3) * math.gamma(7 / 6) / math.gamma(1 / 2)
        quarticity = steps * mu**-3 * steps / (steps - 2) * float((size[2:] * size[1:-1] * size[:-2]).sum())
        scale = ((np.pi / 2) ** 2 + np.pi - 5) / steps * max(1.0, quarticity / bipower**2) if bipower > 0 else np.nan
        rows["volatility"].append(np.sqrt(variance))
        rows["realised.variance"].append(variance)
        rows["realised.bipower"].append(bipower)
        rows["realised.jump"].append(max(variance - bipower, 0.0))
        rows["realised.up"].append(float((x[x > 0] ** 2).sum()))
        rows["realised.down"].append(float((x[x < 0] ** 2).sum()))
        rows["realised.jump_z"].append((variance - bipower) / variance / np.sqrt(scale) if bipower > 0 else np.nan)
        rows["realised.two_scale"].append(two_scale(x))
    return {name: at_grid(events, points, column) for name, column in rows.items()}


def two_scale(x: Any) -> float:
    """Each of the k sparse grids walked by itself."""
    k = math.floor(len(x) ** (2 / 3) + 0.5)
    price = np.concatenate([[0.0], np.cumsum(x)])
    grids = [float((np.diff(price[first::k]) ** 2).sum()) for first in range(k)]
    share = (len(x) - k + 1) / k / len(x)
    return float((np.mean(grids) - share * (x**2).sum()) / (1 - share))


def samples(events: list[Any], step: int, steps: int, q: float) -> dict[str, Any]:
    out = {}
    for family, value in (("spread_stats", lambda e: e.asks[0][0] - e.bids[0][0]),
                          ("size_stats", lambda e: (e.asks[0][1] + e.bids[0][1]) / 2)):
        points, values = grid(events, step, value)
        rolling = pd.Series(values).rolling(steps)
        for part, column in (("mean", rolling.mean()), ("std", rolling.std()), ("quantile", rolling.quantile(q))):
            out[f"{family}.{part}"] = at_grid(events, points, column)
    return out


def micro_price(events: list[Any], table: list[list[float]]) -> Any:
    """Mid + G*(imbalance, spread) by its definition; on the border of two buckets the mean of both."""
    q = quotes(events)
    out = []
    for row in q.itertuples():
        if not row.valid:
            out.append(np.nan)
            continue
        share, spread = Fraction(row.bid_lots, row.bid_lots + row.ask_lots), row.ask - row.bid
        at = share * len(table[0])
        bucket = min(int(at), len(table[0]) - 1)
        if spread > len(table):
            shift = float((share - Fraction(1, 2)) * spread)
        elif at == bucket and bucket > 0:
            shift = (table[spread - 1][bucket - 1] + table[spread - 1][bucket]) / 2
        else:
            shift = table[spread - 1][bucket]
        out.append((row.bid + row.ask) / 2 + shift)
    return held(events, q, out)
