"""Which parameters of a simulated venue fill our own orders as the venue did, and which others would do as well.

Each order of ours has an outcome: how much of it was filled, and when. A candidate (a queue model with its power, and
latencies) tells an outcome for each of them. An order is told wrongly by its share of the quantity, or whole where both
fill it at different times. If an order is told wrongly with some probability e, the same for all, the likelihood of a
candidate is e^w (1-e)^(n-w) for w wrong ones of n, at its best with e = w / n: the likeliest tells fewest wrongly.

Another candidate is in play unless it is worse than the likeliest by more than chance would have it: McNemar's test of
the orders on which they differ, with Edwards' correction, and with the variance of blocks of orders where that is
larger, since orders near each other in time meet the same trades.

Source: McNemar, "Note on the sampling error of the difference between correlated proportions" (1947); Edwards, "Note on
the correction for continuity" (1948).
"""

from __future__ import annotations

from math import log, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Outcomes(NamedTuple):
    """What became of orders.

    Attributes
    ----------
    filled : int64 array
        Lots.
    filled_ns : int64 array
        Time of the last fill; 0: none, or not known.
    """

    filled: Ints
    filled_ns: Ints


class Fit(NamedTuple):
    """How a candidate tells the orders.

    Attributes
    ----------
    wrong : float64 array
        Of each order, 0 (as it was) to 1.
    delay_ns : int or None
        Median of our times of fills less the venue's simulated ones, over orders that both fill whole; None: no such
        time is known.
    """

    wrong: Floats
    delay_ns: int | None


def fit(lots: Ints, live: Outcomes, simulated: Outcomes, tolerance_ns: int) -> Fit:
    """Compare outcomes order by order.

    Parameters
    ----------
    lots : int64 array
        What was ordered, above 0.
    live, simulated : Outcomes
        Local times of `live`, venue times of `simulated`.
    tolerance_ns : int
        Fills whose times differ by more from the usual delay are fills by other trades.

    Examples
    --------
    >>> live = Outcomes(np.array([5, 0, 5, 2]), np.array([107, 0, 930, 0]))
    >>> told = Outcomes(np.array([5, 5, 5, 5]), np.array([100, 50, 400, 60]))
    >>> fit(np.array([5, 5, 5, 5]), live, told, 300)
    Fit(wrong=array([0. , 1. , 0. , 0.6]), delay_ns=268)
    """
    wrong = np.abs(live.filled - simulated.filled) / lots
    both = (live.filled == lots) & (simulated.filled == lots) & (live.filled_ns != 0)
    if not both.any():
        return Fit(wrong, None)
    delays = live.filled_ns[both] - simulated.filled_ns[both]
    delay = int(np.median(delays))
    wrong[both] = np.abs(delays - delay) > tolerance_ns
    return Fit(wrong, delay)


def log_likelihood(wrong: Floats) -> Floats:
    """Profile log-likelihood of candidates: (orders, candidates) or (orders,) of shares told wrongly.

    >>> np.round(log_likelihood(np.array([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])), 3)
    array([ 0.   , -2.249])
    """
    count = len(wrong)
    e = np.minimum(wrong.mean(axis=0), 0.5)          # more is no better than a coin
    with np.errstate(divide="ignore", invalid="ignore"):
        found = count * (np.where(e > 0, e * np.log(e), 0.0) + (1 - e) * np.log1p(-e))
    return np.asarray(found, np.float64)


def excess(wrong: Floats, chosen: int) -> Floats:
    """By how many standard errors each candidate tells more orders wrongly than the chosen one does.

    Parameters
    ----------
    wrong : (orders, candidates) float64 array
        Orders by time.
    chosen : int

    Examples
    --------
    Three orders that only the first candidate tells as they were, and one that only the second does:

    >>> wrong = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    >>> excess(wrong, 0)
    array([0. , 0.5])
    """
    more = wrong - wrong[:, [chosen]]
    error = block_error(more)
    over = np.maximum(more.sum(axis=0) - 1, 0)
    found: Floats = np.divide(over, error, out=np.zeros_like(over), where=error > 0)
    return found


def block_error(values: Floats) -> Floats:
    """Standard error of the sum of values around 0, along the first axis: of blocks of n^(1/3) where that is larger.

    >>> block_error(np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])).item()
    2.0
    """
    width = max(1, round(len(values) ** (1 / 3)))
    blocks = np.add.reduceat(values, np.arange(0, len(values), width), axis=0)
    return np.asarray(np.sqrt(np.maximum((values**2).sum(axis=0), (blocks**2).sum(axis=0))), np.float64)


def in_play(wrong: Floats, chosen: int, level: float) -> NDArray[np.bool_]:
    """Which candidates are not worse than the chosen one at this level.

    The chosen one is the best of many, by two numbers that were fitted (power and latency), so the bound is that of two
    parameters: sqrt(-2 ln(1 - level)) standard errors, 2.15 at 0.9.
    """
    return np.asarray(excess(wrong, chosen) <= sqrt(-2 * log(1 - level)), np.bool_)


def best(wrong: Floats, filled: Ints) -> int:
    """The most likely candidate; of equally likely ones that which fills least, then the first."""
    total = wrong.sum(axis=0)
    tied = np.flatnonzero(total <= total.min() + 1e-9 * len(wrong))
    return int(tied[np.argmin(filled[tied])])
