"""How far from the mid trades arrive, and how often: what market makers of the Avellaneda-Stoikov family need.

An order at a distance of d ticks from the mid is reached by trades at the rate of A exp(-k d) a second (Avellaneda and
Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 8 (2008), section 2.5). Every
`interval_s` the mid is read anew; of the trades until the next reading the farthest above it counts for sellers, and
the farthest below for buyers. Were the arrivals Poisson, the farthest distance D of an interval of length t would
have P(D <= d) = exp(-A t exp(-k d)); an interval without a trade beyond `least` says only that D <= least. A and k are
where the likelihood of all intervals is greatest: A = n / (t sum exp(-k D)) for any k, with n the intervals that saw a
trade and D = least in the others, and k is the root of n / k - sum of the seen D + n sum(D exp(-k D)) / sum exp(-k D),
which falls from above zero to below it.

Most trades end at the touch, and few of the rest within the next ticks: no exponential passes through both. So `least`
is the median spread: the fit is of the trades that go through the touch, which are those that reach a quote behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex._core.events import FLAGS, SIDES
from apex.domain.errors import InputError
from apex.research.volume import trades
from apex.store.bbo import touches
from apex.store.tape import Tape

SECOND = 10**9
SEEN_MIN = 20
"""Intervals with a trade below which nothing is fitted."""
POINTS = 25
"""Distances at which rates are counted."""


class Intensity(NamedTuple):
    """What was fitted.

    Attributes
    ----------
    a : float
        Rate of trades that reach the mid, a second, each side.
    k : float
        How fast the rate falls with the distance, a tick.
    sigma : float
        Standard deviation of the mid over a second, ticks.
    mid_ticks : float
        Mean mid.
    least : float
        Median spread, ticks: the trades beyond it were fitted.
    intervals, seen : int
        Intervals of either side, and those that saw a trade beyond `least`.
    distances, rates : list of float
        Distances in ticks, and the rate of trades beyond each as counted: -ln(1 - share of intervals) / interval.
    """

    a: float
    k: float
    sigma: float
    mid_ticks: float
    least: float
    intervals: int
    seen: int
    distances: list[float]
    rates: list[float]

    def rate(self, distance: float) -> float:
        """The fitted rate at a distance in ticks, a second."""
        return self.a * exp(-self.k * distance)


def fit(farthest: NDArray[np.float64], interval_s: float, least: float = 0.0) -> tuple[float, float]:
    """A (a second) and k (a tick) of greatest likelihood.

    Parameters
    ----------
    farthest : float array
        For each interval the distance of the farthest trade in ticks; `least` or below, also -inf, is none.
    interval_s : float
        Length of an interval, s.
    least : float
        Distances up to this one are not looked at.

    Raises
    ------
    ValueError
        If fewer than two intervals saw a trade, or all at one distance: there is no greatest likelihood.

    Complexity: O(n) for each of about 60 steps.
    """
    seen = farthest[farthest > least]
    n, total = len(seen), float(seen.sum())
    blind = len(farthest) - n
    if n < 2 or (blind == 0 and float(seen.min()) == float(seen.max())):
        raise ValueError(f"{n} intervals with trades do not tell how the rate falls with the distance")

    base = least if blind else float(seen.min())  # so that no sum of weights is 0, however large k

    def weights(k: float) -> tuple[float, float]:
        """Sum of exp(-k (D - base)) and of D times it, over all intervals."""
        w = np.exp(-k * (seen - base))
        return float(w.sum()) + blind, float((seen * w).sum()) + blind * least

    def slope(k: float) -> float:
        whole, moment = weights(k)
        return n / k - total + n * moment / whole

    low = high = n / (total - n * least)
    while slope(low) < 0:
        low /= 2
    while slope(high) > 0:
        high *= 2
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    k = (low * high) ** 0.5
    return n / (interval_s * weights(k)[0] * exp(-k * base)), k


def rates(farthest: NDArray[np.float64], interval_s: float, distances: Sequence[float]) -> list[float]:
    """Rate of trades beyond each distance as counted, a second; infinite where every interval saw one."""
    shares = [float((farthest > d).mean()) for d in distances]
    return [-log(1 - share) / interval_s if share < 1 else float("inf") for share in shares]


def farthest_trades(mid_ticks: NDArray[np.float64], place: NDArray[np.int64], price_ticks: NDArray[np.int64],
                    buy: NDArray[np.bool_]) -> NDArray[np.float64]:
    """For each interval, first the distance of the highest buy above its mid, then of the lowest sell below it.

    Parameters
    ----------
    mid_ticks : float array, one an interval
        NaN where there was no mid: then the interval counts for nothing and is left out.
    place : int array, one a trade
        Interval of each trade.
    price_ticks, buy : arrays, one a trade
        Price, and whether a buyer was the aggressor.

    Returns
    -------
    float array of twice the intervals with a mid; -inf where there was no trade.
    """
    out, known = [], ~np.isnan(mid_ticks)
    for side, sign in ((buy & known[place], 1), (~buy & known[place], -1)):
        found = np.full(len(mid_ticks), -np.inf)
        np.maximum.at(found, place[side], sign * (price_ticks[side] - mid_ticks[place[side]]))
        out.append(found[known])
    return np.concatenate(out)


def intensity(tape: Tape, instrument: int = 0, start: int | None = None, stop: int | None = None,
              interval_ns: int = SECOND // 10) -> Intensity:
    """Fit the arrival of trades and the volatility of a stretch of a tape.

    Parameters
    ----------
    tape : Tape
    instrument : int
        Index in the tape's table.
    start, stop : int, optional
        Recorded local times, UTC ns; default the whole tape, and never more than it.
    interval_ns : int
        How often the mid is read: about how often a market maker would requote.

    Raises
    ------
    InputError
        If the stretch has too few trades or no book.
    """
    local = (tape.batches["instrument"] == instrument) & ((tape.batches["flags"] & FLAGS["AT_LOCAL"]) != 0)
    ts = tape.batches["ts_local_ns"][local]
    if not len(ts):
        raise InputError("no event of this instrument is on the tape", str(tape.path), "Import it again")
    # beyond the recording nothing is known: to count it as time without trades would dilute A and sigma
    first, last = (int(at) for at in (ts.min(), ts.max()))
    first = first if start is None else max(start, first)
    count = ((last if stop is None else min(stop, last)) - first) // interval_ns
    if count < 1:
        raise InputError("the stretch is shorter than one interval", str(tape.path), "Give more time")
    found = touches(tape, instrument, [first + i * interval_ns for i in range(count)])
    quotes = np.array([(t.bid_ticks, t.ask_ticks) if t.synced and t.bid_ticks is not None and t.ask_ticks is not None
                       else (np.nan, np.nan) for t in found])  # fmt: skip
    mids = quotes.mean(axis=1)
    if np.isnan(mids).all():
        raise InputError("no book has two sides in sync", str(tape.path), "See: apex tape verify")
    least = float(np.nanmedian(quotes[:, 1] - quotes[:, 0]))
    rows = trades(tape, instrument, first, first + count * interval_ns)
    rows = rows[rows["side"] != 0]                 # of an unknown aggressor: neither a buy nor a sell
    place = (rows["ts_local_ns"] - first) // interval_ns
    distance = farthest_trades(mids, place, rows["price_ticks"], rows["side"] == SIDES["BUY"])
    seen = distance[distance > least]
    if len(seen) < SEEN_MIN:
        raise InputError(f"only {len(seen)} intervals saw a trade beyond the touch", str(tape.path),
                         "Give a longer stretch")  # fmt: skip
    a, k = fit(distance, interval_ns / SECOND, least)
    apart = np.linspace(0, float(np.quantile(seen, 0.99)), POINTS).tolist()
    return Intensity(a, k, volatility(mids, interval_ns), float(np.nanmean(mids)), least, len(distance), len(seen),
                     apart, rates(distance, interval_ns / SECOND, apart))  # fmt: skip


def volatility(mid_ticks: NDArray[np.float64], interval_ns: int) -> float:
    """Standard deviation of the mid over a second, ticks, from overlapping changes over a second.

    Shorter ones would count the bouncing between bid and ask as risk.
    """
    step = max(1, SECOND // interval_ns)
    change = mid_ticks[step:] - mid_ticks[:-step]
    seconds = step * interval_ns / SECOND
    known = change[~np.isnan(change)]
    return float(np.sqrt(np.mean(known**2) / seconds)) if len(known) else float("nan")
