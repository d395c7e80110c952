"""Stylised facts of a market: what its spread, depth, returns, trades and orders look like in numbers and curves.

Source: Cont, "Empirical properties of asset returns", Quantitative Finance 1 (2001) for the list; Hill, Annals of
Statistics 3 (1975) for tails; Lillo and Farmer, "The long memory of the efficient market", Studies in Nonlinear
Dynamics & Econometrics 8 (2004) for signs; Hardiman and Bouchaud, "Branching-ratio approximation for the self-exciting
Hawkes process", Physical Review E 90 (2014) for clustering.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex.research.observe import DEPTH_BP, MS, SECOND, Floats, Ints, Observed

TAIL = 0.05
"""Share of the largest values whose tail is fitted."""
SAMPLES_MIN = 20
"""Fewer samples give no fact."""


@dataclass(frozen=True)
class Fact:
    """One number of a market: its name, what it means, and how it is computed; None where there is too little data."""

    name: str
    group: str
    meaning: str
    of: Callable[[Observed], float | None]


def ratio(above: float, below: float) -> float | None:
    """A quotient, None where there is none."""
    return float(above / below) if below and np.isfinite(above) and np.isfinite(below) else None


def grid_mid(seen: Observed, step_ns: int) -> Floats:
    """Mid at every `step_ns`, the last one before it; ticks."""
    times = np.arange(seen.ts[0] if len(seen.ts) else 0, seen.ts[-1] + 1 if len(seen.ts) else 0, step_ns)
    return seen.mid[np.maximum(np.searchsorted(seen.ts, times, "right") - 1, 0)]


def returns_bp(seen: Observed, step_ns: int) -> Floats:
    """Moves of the mid over `step_ns`, basis points."""
    return np.diff(grid_mid(seen, step_ns)) / seen.bp if len(seen.ts) else np.zeros(0)


def autocorrelation(values: NDArray[Any], lag: int) -> float | None:
    """Correlation with itself `lag` places later."""
    x = values - values.mean() if len(values) else values
    if len(x) < lag + SAMPLES_MIN or not x.any():
        return None
    return float((x[lag:] * x[:-lag]).mean() / (x * x).mean())


def mean_autocorrelation(values: NDArray[Any], first: int, last: int) -> float | None:
    """Mean of the autocorrelations at lags `first` to `last`."""
    found = [autocorrelation(values, lag) for lag in range(first, last + 1)]
    known = [x for x in found if x is not None]
    return float(np.mean(known)) if known else None


def hill(values: NDArray[Any]) -> float | None:
    """Hill's exponent of the largest TAIL of the positive values; smaller is heavier."""
    x = np.sort(values[values > 0])[::-1].astype(float)
    count = int(len(x) * TAIL)
    if count < 5:
        return None
    mean = float(np.log(x[:count] / x[count]).mean())
    return ratio(1.0, mean)


def kurtosis(values: Floats) -> float | None:
    """Fourth moment over the squared variance: 3 for a normal distribution."""
    if len(values) < SAMPLES_MIN:
        return None
    x = values - values.mean()
    return ratio(float((x**4).mean()), float((x * x).mean()) ** 2)


def signs(seen: Observed) -> Ints:
    """+1 and -1 of the market orders whose side is known, in order."""
    known: Ints = seen.parent_sign[seen.parent_sign != 0]
    return known


def counts(seen: Observed, window_ns: int) -> Ints:
    """Market orders in each whole window."""
    ts = seen.parent_ts
    if not len(ts):
        return np.zeros(0, np.int64)
    windows = int(ts[-1] - ts[0]) // window_ns
    return np.bincount((ts - ts[0]) // window_ns, minlength=windows)[:windows].astype(np.int64)


def fano(seen: Observed, window_ns: int) -> float | None:
    """Variance over mean of the market orders in a window: 1 when they come independently of each other."""
    found = counts(seen, window_ns)
    return ratio(float(found.var()), float(found.mean())) if len(found) >= SAMPLES_MIN else None


def _branching(seen: Observed) -> float | None:
    value = fano(seen, 5 * SECOND)
    return None if value is None else 1.0 - max(value, 1.0) ** -0.5


def _spread(seen: Observed) -> float | None:
    total = float(seen.weight.sum())
    return ratio(float(((seen.ask - seen.bid) * seen.weight).sum()) / total, seen.bp) if total else None


def _one_tick(seen: Observed) -> float | None:
    return ratio(float(seen.weight[seen.ask - seen.bid == 1].sum()), float(seen.weight.sum()))


def touch_lots(seen: Observed) -> Ints:
    """Lots at the best prices after each message, both sides."""
    return np.concatenate((seen.bid_lots, seen.ask_lots))


def _touch_in_orders(seen: Observed) -> float | None:
    if not len(seen.parent_lots) or not len(seen.ts):
        return None
    return ratio(float(np.median(touch_lots(seen))), float(seen.parent_lots.mean()))


def _touch_range(seen: Observed) -> float | None:
    low, high = np.percentile(touch_lots(seen), (10, 90)) if len(seen.ts) else (0, 0)
    return ratio(float(high), float(low))


def depth_profile(seen: Observed) -> Floats:
    """Median lots within each of DEPTH_BP of the own best, over both sides."""
    if not len(seen.depth):
        return np.full(len(DEPTH_BP), np.nan)
    found: Floats = np.median(seen.depth.reshape(-1, len(DEPTH_BP)), axis=0)
    return found


def _depth_in_touch(bp: float) -> Callable[[Observed], float | None]:
    def of(seen: Observed) -> float | None:
        profile = depth_profile(seen)
        return ratio(float(profile[DEPTH_BP.index(bp)]), float(profile[0]))

    return of


def _volatility(seen: Observed) -> float | None:
    moves = returns_bp(seen, SECOND)
    return float(np.sqrt((moves * moves).mean())) if len(moves) >= SAMPLES_MIN else None


def _still(seen: Observed) -> float | None:
    moves = returns_bp(seen, SECOND)
    return float((moves == 0).mean()) if len(moves) >= SAMPLES_MIN else None


def _variance_ratio(seen: Observed) -> float | None:
    one, ten = returns_bp(seen, SECOND), returns_bp(seen, 10 * SECOND)
    if len(ten) < SAMPLES_MIN:
        return None
    return ratio(float((ten * ten).mean()), 10 * float((one * one).mean()))


def response(seen: Observed, horizon_ns: int) -> float | None:
    """Mean move of the mid in a market order's direction, from before it to `horizon_ns` later; bp."""
    if not len(seen.parent_ts) or not len(seen.ts):
        return None
    kept = (seen.parent_ts > seen.ts[0]) & (seen.parent_ts < seen.ts[-1] - horizon_ns) & (seen.parent_sign != 0)
    if int(kept.sum()) < SAMPLES_MIN:
        return None
    ts, sign = seen.parent_ts[kept], seen.parent_sign[kept]
    before = seen.mid[np.searchsorted(seen.ts, ts, "left") - 1]
    after = seen.mid[np.searchsorted(seen.ts, ts + horizon_ns, "right") - 1]
    return float((sign * (after - before)).mean()) / seen.bp


def _impact(seen: Observed) -> float | None:
    moved, volatility = response(seen, SECOND), _volatility(seen)
    return None if moved is None or volatility is None else ratio(moved, volatility)


def _rate(seen: Observed) -> float | None:
    return ratio(float(len(seen.parent_ts)), seen.seconds)


def _prints(seen: Observed) -> float | None:
    return float(seen.parent_prints.mean()) if len(seen.parent_prints) else None


def _gap_variation(seen: Observed) -> float | None:
    gaps = np.diff(seen.parent_ts)
    return ratio(float(gaps.std()), float(gaps.mean())) if len(gaps) >= SAMPLES_MIN else None


def _size_range(seen: Observed) -> float | None:
    if len(seen.parent_lots) < 100:
        return None
    middle, high = np.percentile(seen.parent_lots, (50, 99))
    return ratio(float(high), float(middle))


def shares_behind(seen: Observed, cancelled: bool) -> Floats:
    """Share of the placements or cancellations at most each of DEPTH_BP behind the own best, of those within 20 bp."""
    wanted = seen.change_lots < 0 if cancelled else seen.change_lots > 0
    behind = seen.change_ticks[wanted]
    within = [float((behind <= bp * seen.bp).sum()) for bp in DEPTH_BP] if len(behind) else [0.0] * len(DEPTH_BP)
    whole = within[DEPTH_BP.index(20.0)]
    return np.array(within) / whole if whole else np.full(len(DEPTH_BP), np.nan)


def _share_behind(cancelled: bool, bp: float) -> Callable[[Observed], float | None]:
    def of(seen: Observed) -> float | None:
        found = float(shares_behind(seen, cancelled)[DEPTH_BP.index(bp)])
        return found if np.isfinite(found) else None

    return of


def hazard(seen: Observed, low: float, high: float) -> float | None:
    """Share of the lots standing between two distances (bp behind the own best) that is cancelled in a second."""
    if not len(seen.depth):
        return None
    cells = seen.depth[:, :, DEPTH_BP.index(high)] - seen.depth[:, :, DEPTH_BP.index(low)]
    behind = seen.change_ticks / seen.bp
    gone = -seen.change_lots[(seen.change_lots < 0) & (behind > low) & (behind <= high)].sum()
    return ratio(float(gone) / max(seen.seconds, 1e-9), float(cells.sum(axis=1).mean()))


def _hazard_slope(seen: Observed) -> float | None:
    near, far = hazard(seen, 0.0, 2.0), hazard(seen, 5.0, 20.0)
    return None if near is None or far is None else ratio(near, far)


def _emptied(seen: Observed) -> float | None:
    near = (seen.change_lots < 0) & (seen.change_ticks <= 20 * seen.bp)
    return ratio(float((near & seen.change_emptied).sum()), float(near.sum()))


FACTS = (
    Fact("spread_bp", "Touch", "mean spread over time, bp", _spread),
    Fact("one_tick", "Touch", "share of time with a spread of one tick", _one_tick),
    Fact("touch_in_orders", "Touch", "median lots at the touch, in mean market orders", _touch_in_orders),
    Fact("touch_range", "Touch", "lots at the touch: 90th over 10th percentile", _touch_range),
    Fact("depth_1bp", "Touch", "lots within 1 bp, in touches", _depth_in_touch(1.0)),
    Fact("depth_10bp", "Touch", "lots within 10 bp, in touches", _depth_in_touch(10.0)),
    Fact("volatility", "Returns", "volatility of a second, bp", _volatility),
    Fact("still", "Returns", "share of seconds without a move", _still),
    Fact("kurtosis", "Returns", "kurtosis of a second's moves", lambda s: kurtosis(returns_bp(s, SECOND))),
    Fact("kurtosis_10s", "Returns", "kurtosis of the moves of 10 s", lambda s: kurtosis(returns_bp(s, 10 * SECOND))),
    Fact("tail", "Returns", "Hill exponent of a second's moves", lambda s: hill(np.abs(returns_bp(s, SECOND)))),
    Fact("memory", "Returns", "autocorrelation of moves, 1 s", lambda s: autocorrelation(returns_bp(s, SECOND), 1)),
    Fact("variance_ratio", "Returns", "variance of 10 s over 10 times that of 1 s", _variance_ratio),
    Fact("clusters", "Returns", "autocorrelation of absolute moves of 100 ms, lags 1 to 10",
         lambda s: mean_autocorrelation(np.abs(returns_bp(s, 100 * MS)), 1, 10)),
    Fact("clusters_1s", "Returns", "autocorrelation of absolute moves of 1 s, lags 1 to 5",
         lambda s: mean_autocorrelation(np.abs(returns_bp(s, SECOND)), 1, 5)),
    Fact("orders", "Trades", "market orders a second", _rate),
    Fact("prints", "Trades", "trades of a market order", _prints),
    Fact("gaps", "Trades", "deviation over mean of the time between market orders", _gap_variation),
    Fact("fano_100ms", "Trades", "variance over mean of market orders in 100 ms", lambda s: fano(s, 100 * MS)),
    Fact("fano_1s", "Trades", "variance over mean of market orders in 1 s", lambda s: fano(s, SECOND)),
    Fact("branching", "Trades", "branching ratio: 1 - 1 / root of the Fano factor of 5 s", _branching),
    Fact("signs_1", "Trades", "autocorrelation of signs, lag 1", lambda s: autocorrelation(signs(s), 1)),
    Fact("signs_10", "Trades", "autocorrelation of signs, lags 8 to 12",
         lambda s: mean_autocorrelation(signs(s), 8, 12)),
    Fact("signs_50", "Trades", "autocorrelation of signs, lags 31 to 70",
         lambda s: mean_autocorrelation(signs(s), 31, 70)),
    Fact("impact", "Trades", "move with a market order after 1 s, in volatilities of a second", _impact),
    Fact("size_tail", "Trades", "Hill exponent of the lots of market orders", lambda s: hill(s.parent_lots)),
    Fact("size_range", "Trades", "lots of market orders: 99th percentile over median", _size_range),
    Fact("changes", "Orders", "changes of levels a second", lambda s: ratio(float(len(s.change_lots)), s.seconds)),
    Fact("placed_1bp", "Orders", "share of placements within 1 bp of the own best", _share_behind(False, 1.0)),
    Fact("placed_5bp", "Orders", "share of placements within 5 bp", _share_behind(False, 5.0)),
    Fact("cancelled_1bp", "Orders", "share of cancellations within 1 bp", _share_behind(True, 1.0)),
    Fact("cancelled_5bp", "Orders", "share of cancellations within 5 bp", _share_behind(True, 5.0)),
    Fact("hazard", "Orders", "cancelled in a second, of the lots within 2 bp", lambda s: hazard(s, 0.0, 2.0)),
    Fact("hazard_slope", "Orders", "the same over that of 5 to 20 bp", _hazard_slope),
    Fact("emptied", "Orders", "share of cancellations that leave a level empty", _emptied),
)
"""Every fact, in the order of tables. Shares of placements and cancellations are of those within 20 bp."""


BANDS: dict[str, tuple[float, float]] = {
    "spread_bp": (0.0028, 0.054), "one_tick": (0.97, 1.0), "touch_in_orders": (4.7, 58), "touch_range": (10, 153),
    "depth_1bp": (0.94, 4.8), "depth_10bp": (14, 108),
    "volatility": (0.25, 2.0), "still": (0.41, 0.83), "kurtosis": (3.4, 72), "kurtosis_10s": (1.3, 22),
    "tail": (1.4, 7.0), "memory": (-0.12, 0.2), "variance_ratio": (0.51, 2.8), "clusters": (-0.01, 0.089),
    "clusters_1s": (-0.01, 0.17),
    "orders": (1.9, 24), "prints": (1.8, 6.0), "gaps": (0.93, 3.0), "fano_100ms": (1.4, 11), "fano_1s": (3.2, 39),
    "branching": (0.6, 0.91), "signs_1": (0.14, 0.57), "signs_10": (0.02, 0.21), "signs_50": (-0.05, 0.11),
    "impact": (0.14, 1.3), "size_tail": (0.61, 2.1), "size_range": (79, 495),
    "changes": (270, 1750), "placed_1bp": (0.07, 0.31), "placed_5bp": (0.46, 0.74), "cancelled_1bp": (0.06, 0.27),
    "cancelled_5bp": (0.44, 0.73), "hazard": (0.42, 5.5), "hazard_slope": (1.3, 15), "emptied": (0.05, 0.92),
}
"""What a large liquid coin shows: the range of six Binance recordings (docs/market.md), widened, then rounded outwards:
by half for what scales, threefold for kurtosis, by 0.05 for shares and correlations (but one_tick by 0.02, clusters and
signs_50 by 0.03, clusters_1s by 0.04)."""


def inside(name: str, value: float | None) -> bool | None:
    """Whether a fact lies in its band; None where it is unknown."""
    return None if value is None else BANDS[name][0] <= value <= BANDS[name][1]


def measure(seen: Observed) -> dict[str, float | None]:
    """Every fact of an instrument by name."""
    return {fact.name: fact.of(seen) for fact in FACTS}
