"""Features of trades over whole histories (methods 2.3-2.6, 2.9), in numpy and pandas. Events are test histories."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from tests.oracles.features_touch import grid


def mids_before(events: list[Any]) -> list[int]:
    """For each event bid + ask of the last valid touch strictly before its time, 0 = none."""
    out, known = [], []
    for e in events:
        out.append(next((m for ts, m in reversed(known) if ts < e.ts), 0))
        if e.kind == "book" and e.valid:
            known.append((e.ts, e.mid2))
    return out


def signed(events: list[Any]) -> list[int]:
    """Sign of each trade, 0 for other events: the venue's, else against the mid before, else the tick rule."""
    out, last, tick = [], 0, 0
    for e, mid2 in zip(events, mids_before(events), strict=True):
        if e.kind != "trade":
            out.append(0)
            continue
        if last and e.ticks != last:
            tick = 1 if e.ticks > last else -1
        last = e.ticks
        if e.side:
            out.append(1 if e.side == 1 else -1)
        elif mid2 and 2 * e.ticks != mid2:
            out.append(1 if 2 * e.ticks > mid2 else -1)
        else:
            out.append(tick)
    return out


def trades(events: list[Any]) -> pd.DataFrame:
    """A row a trade; n is its place among the events."""
    signs, mids = signed(events), mids_before(events)
    rows = [(n, e.ts, e.venue_ts or e.ts, e.ticks, e.lots, signs[n], mids[n])
            for n, e in enumerate(events) if e.kind == "trade"]
    return pd.DataFrame(rows, columns=["n", "ts", "venue_ts", "ticks", "lots", "sign", "mid2"])


def held(events: list[Any], places: Any, values: Any) -> Any:
    """A value for some events, held over those after them."""
    out = np.full(len(events), np.nan)
    known = dict(zip(places, values, strict=True))
    current = np.nan
    for n in range(len(events)):
        current = known.get(n, current)
        out[n] = current
    return out


def flow(events: list[Any], window: int) -> Any:
    """Columns net, bought, sold, at every event from one window after the first trade on."""
    t = trades(events)
    ts, out = t.ts.to_numpy(), np.full((len(events), 3), np.nan)
    for n, e in enumerate(events):
        seen = t[(t.n <= n) & (e.ts - ts < window)]
        if len(t) and e.ts - ts[0] >= window and t.n.iloc[0] <= n:
            bought, sold = (int(seen.lots[seen.sign == s].sum()) for s in (1, -1))
            out[n] = bought - sold, bought, sold
    return out


def effective_spread(events: list[Any], count: int) -> dict[str, Any]:
    t = trades(events)
    t = t[(t.mid2 > 0) & (t.sign != 0)]
    mid = t.mid2 / 2
    spread = 2 * t.sign * (t.ticks - mid) / mid
    return {"effective_spread": held(events, t.n, spread),
            "effective_spread.mean": held(events, t.n, spread.rolling(count).mean())}


def roll(events: list[Any], count: int) -> Any:
    t = trades(events)
    changes = np.diff(t.ticks.to_numpy())
    out = [np.nan]
    for k in range(len(changes)):
        pairs = changes[max(k - count, 0):k + 1]
        if len(pairs) <= count:
            out.append(np.nan)
            continue
        x, y = pairs[1:], pairs[:-1]
        # exact, for a covariance of 0 is 0 only so
        covariance = Fraction(int(count * (x * y).sum() - x.sum() * y.sum()), count * (count - 1))
        out.append(2 * math.sqrt(max(0, -covariance)))
    return held(events, t.n, out)


def vpin(events: list[Any], volume: int, buckets: int) -> Any:
    """Every lot on its own, cut into buckets of `volume`."""
    t = trades(events)
    lots = np.repeat((t.sign.to_numpy() + 1) / 2, t.lots)
    ends = np.cumsum(t.lots) // volume
    full = lots[:len(lots) // volume * volume].reshape(-1, volume)
    imbalance = np.abs(2 * full.sum(axis=1) - volume)
    series = pd.Series(imbalance).rolling(buckets).sum() / (buckets * volume)
    values = [series[int(k) - 1] if k else np.nan for k in ends]
    return held(events, t.n, values)


def automatic_vpin(events: list[Any], buckets: int, horizon: int) -> Any:
    """Buckets of 1/50 of the volume of the last 1440 whole bins of horizon / 1440."""
    t, width = trades(events), horizon // 1440
    volume, filled, bought, rows, out = 0, 0.0, 0.0, [], []
    bins: dict[int, int] = {}

    def size(bin_: int) -> int:
        if bin_ - min(bins, default=bin_) <= 1440:
            return 0
        return max(sum(bins.get(bin_ - i, 0) for i in range(1, 1441)) // 50, 1)

    for row in t.itertuples():
        bin_, left = row.ts // width, float(row.lots)
        volume = volume or size(bin_)
        while left and volume:
            take = min(left, volume - filled)
            filled, bought, left = filled + take, bought + take * (row.sign + 1) / 2, left - take
            if filled == volume:
                rows.append((abs(2 * bought - volume), volume))
                filled, bought, volume = 0.0, 0.0, size(bin_)
        bins[bin_] = bins.get(bin_, 0) + row.lots
        last = rows[-buckets:]
        out.append(sum(x for x, _ in last) / sum(v for _, v in last) if len(last) == buckets else np.nan)
    return held(events, t.n, out)


def bulk_vpin(events: list[Any], volume: int, buckets: int, bar: int) -> Any:
    """Bars by time; known at the first event at or after a bar's end."""
    t = trades(events)
    bars = t.groupby(t.ts // bar).agg(close=("ticks", "last"), lots=("lots", "sum"))
    change = bars.close.diff()
    sigma = change.expanding().std()
    z = (change / sigma).where(sigma > 0)
    share = z.map(lambda x: 0.5 if np.isnan(x) else 0.5 * math.erfc(-x / math.sqrt(2))).fillna(0.5)
    lots = np.repeat(share.to_numpy(), bars.lots)
    full = lots[:len(lots) // volume * volume].reshape(-1, volume)
    series = pd.Series(np.abs(2 * full.sum(axis=1) - volume)).rolling(buckets).sum() / (buckets * volume)
    done = np.cumsum(bars.lots.to_numpy()) // volume
    ends = (bars.index.to_numpy() + 1) * bar
    out = np.full(len(events), np.nan)
    for n, e in enumerate(events):
        k = int(np.searchsorted(ends, e.ts, "right")) - 1
        out[n] = series[int(done[k]) - 1] if k >= 0 and done[k] else np.nan
    return out


def hawkes(events: list[Any], mu: float, alpha: float, beta: float) -> Any:
    """The intensity after each event; trades at one time are one."""
    out = np.full(len(events), np.nan)
    times: list[int] = []
    for n, e in enumerate(events):
        if e.kind == "trade" and e.ts not in times:
            times.append(e.ts)
        if times:
            out[n] = mu + alpha * sum(math.exp(-beta * (e.ts - t) / 1e9) for t in times)
    return out


def hawkes_pair(events: list[Any], mu: tuple[float, float], alpha: tuple[float, float, float, float],
                beta: float) -> Any:
    """Columns buy, sell, skew."""
    signs = signed(events)
    out = np.full((len(events), 3), np.nan)
    times: dict[int, list[int]] = {1: [], -1: []}
    for n, e in enumerate(events):
        if signs[n] and e.ts not in times[signs[n]]:
            times[signs[n]].append(e.ts)
        if times[1] or times[-1]:
            b, s = (sum(math.exp(-beta * (e.ts - t) / 1e9) for t in times[side]) for side in (1, -1))
            buy, sell = mu[0] + alpha[0] * b + alpha[1] * s, mu[1] + alpha[2] * b + alpha[3] * s
            out[n] = buy, sell, (buy - sell) / (buy + sell)
    return out


def price_impact(events: list[Any], step: int, tau: int, power: float, relative: bool, scale: float) -> Any:
    """Columns slope, R^2, by weighted least squares at each grid point."""
    points, mids = grid(events, step, lambda e: e.mid2 / 2)
    t = trades(events)
    value = t.ticks * t.lots * scale if relative else t.lots
    x = np.array([(t.sign * value**power)[(t.ts > low) & (t.ts <= high)].sum()
                  for low, high in pairwise(points)])
    y = np.diff(np.log(mids)) if relative else np.diff(mids)
    warm = max(-(-tau // step), 2)
    rows = [(np.nan, np.nan)] * min(warm, len(points))
    for k in range(warm, len(points)):
        w = np.exp(-step / tau * np.arange(k - 1, -1, -1))
        dx, dy = x[:k] - np.average(x[:k], weights=w), y[:k] - np.average(y[:k], weights=w)
        xx, xy, yy = ((w * a * b).sum() for a, b in ((dx, dx), (dx, dy), (dy, dy)))
        rows.append((xy / xx if xx else np.nan, xy**2 / (xx * yy) if xx and yy else np.nan))
    place = np.searchsorted(points, [e.ts for e in events], "left") - 1
    table = np.array(rows)
    return np.where((place >= 0)[:, None], table[np.maximum(place, 0)], np.nan)


def bar_measures(events: list[Any], bar: int, bars: int, scale: float) -> Any:
    """Columns Amihud, Corwin and Schultz; known at the first event at or after a bar's end."""
    t = trades(events)
    b = t.assign(value=t.ticks * t.lots * scale).groupby(t.ts // bar).agg(
        high=("ticks", "max"), low=("ticks", "min"), close=("ticks", "last"), value=("value", "sum"))
    amihud = 1e6 * (b.close.pct_change().abs() / b.value).rolling(bars).mean()
    h, low = b.high.to_numpy(float), b.low.to_numpy(float)
    beta = np.log(h[1:] / low[1:]) ** 2 + np.log(h[:-1] / low[:-1]) ** 2
    gamma = np.log(np.maximum(h[1:], h[:-1]) / np.minimum(low[1:], low[:-1])) ** 2
    root = 3 - 2 * np.sqrt(2)
    a = (np.sqrt(2 * beta) - np.sqrt(beta)) / root - np.sqrt(gamma / root)
    spread = np.concatenate([[np.nan], np.maximum(2 * (np.exp(a) - 1) / (1 + np.exp(a)), 0)])
    corwin = pd.Series(spread).rolling(bars).mean()
    table = np.column_stack([amihud, corwin])
    place = np.searchsorted((b.index.to_numpy() + 1) * bar, [e.ts for e in events], "right") - 1
    return np.where((place >= 0)[:, None], table[np.maximum(place, 0)], np.nan)


def parents(events: list[Any]) -> list[tuple[int, int, int, float]]:
    """(place at which it is known to have ended, time of its last trade, sign, value) of each parent order."""
    signs, found = signed(events), []
    current: Any = None  # sign, last time, last venue time, value
    for n, e in enumerate(events):
        if current is not None and e.ts - current[1] > 1_000_000:
            found.append((n, current[1], current[0], current[3]))
            current = None
        if e.kind != "trade":
            continue
        venue, value = e.venue_ts or e.ts, float(e.ticks * e.lots)
        if current is not None and (signs[n] != current[0] or abs(venue - current[2]) > 1_000_000):
            found.append((n, current[1], current[0], current[3]))
            current = None
        current = (signs[n], e.ts, venue, value + (current[3] if current else 0.0))
    return found


def whales(events: list[Any], window: int, count: int, horizon: int, z: float, q: float, rank: int,
           times: float) -> Any:
    """Columns pressure, direction, confidence, z, flag, flagged, net."""
    out = np.full((len(events), 7), np.nan)
    kept, flagged, ended, last = [], [], parents(events), np.full(2, np.nan)
    for n, e in enumerate(events):
        while ended and ended[0][0] <= n:
            _, ts, sign, value = ended.pop(0)
            recent = [v for t, v in kept if ts - t < horizon]
            used = [v for _, v in kept[-count:]] if len(recent) < count else recent
            if len(used) >= count:
                y = np.log(used)
                middle = np.median(y)
                mad = np.median(np.abs(y - middle))
                score = 0.6745 * (np.log(value) - middle) / mad if mad else np.nan
                large = value > times * np.exp(middle) if times else score > z
                day = [v for t, v in kept if ts - t < rank] or [kept[-1][1]]
                flag = bool(large) and value >= np.quantile(day, q)
                last = np.array([score, float(flag)])
                if flag and sign:
                    flagged.append((ts, sign * value))
            kept.append((ts, value))
        if np.isnan(last[1]):
            continue
        inside = [v for t, v in flagged if e.ts - t < window]
        bought, sold = sum(v for v in inside if v > 0), -sum(v for v in inside if v < 0)
        net, total = bought - sold, bought + sold
        out[n] = (net / total if total else 0, np.sign(net), abs(net) / total if total else 0, *last, len(inside), net)
    return out
