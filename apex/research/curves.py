"""The curves of a market's stylised facts: few points, ready for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex.research import facts
from apex.research.observe import DEPTH_BP, MS, SECOND, Floats, Observed
from apex.research.plots import decimate

POINTS = 60
"""Points of a distribution."""
PATH_POINTS = 600
WINDOWS_MS = (50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
"""Windows in which market orders are counted."""

Curve = dict[str, list[float]]


def _curve(x: NDArray[Any], y: NDArray[Any]) -> Curve:
    kept = np.isfinite(x) & np.isfinite(y)
    return {"x": [float(f"{v:.5g}") for v in x[kept]], "y": [float(f"{v:.5g}") for v in y[kept]]}


def _beyond(values: NDArray[Any]) -> Curve:
    """Share of the positive values that are at least x, at x of equal ratio."""
    found = np.sort(values[values > 0]).astype(float)
    if len(found) < facts.SAMPLES_MIN or found[0] == found[-1]:
        return {"x": [], "y": []}
    x = np.geomspace(found[0], found[-1], POINTS)
    return _curve(x, (len(found) - np.searchsorted(found, x * (1 - 1e-9), "left")) / len(found))


def _in_units(values: NDArray[Any], unit: float) -> Floats:
    return values / unit if len(values) and unit > 0 else np.zeros(0)


def _spread(seen: Observed) -> Curve:
    """Share of time that the spread is wider than x basis points."""
    ticks, place = np.unique(seen.ask - seen.bid, return_inverse=True)
    held = np.bincount(place, seen.weight, len(ticks)) if len(ticks) else np.zeros(0)
    if not held.sum():
        return {"x": [], "y": []}
    wider = 1 - np.cumsum(held) / held.sum()
    rows = decimate([wider], 2 * POINTS)
    kept = rows[wider[rows] > 1e-9]
    return _curve(ticks[kept] / seen.bp, wider[kept])


def _correlogram(values: NDArray[Any], lags: NDArray[Any], unit: float = 1.0) -> Curve:
    found = [facts.autocorrelation(values, int(lag)) for lag in lags]
    return _curve(lags * unit, np.array([np.nan if v is None else v for v in found], np.float64))


def _path(seen: Observed) -> Curve:
    """Move of the mid since the beginning, bp, by seconds."""
    if not len(seen.ts):
        return {"x": [], "y": []}
    moved = (seen.mid - seen.mid[0]) / seen.bp
    rows = decimate([moved], PATH_POINTS)
    return _curve((seen.ts[rows] - seen.ts[0]) / SECOND, moved[rows])


def curves(seen: Observed) -> dict[str, Curve]:
    """All curves by name: spread, depth, moves, clusters, signs, gaps, sizes, fano, placed, cancelled, path."""
    moves = facts.returns_bp(seen, SECOND)
    gaps = np.diff(seen.parent_ts)
    profile = facts.depth_profile(seen)
    fano = [facts.fano(seen, window * MS) for window in WINDOWS_MS]
    behind = np.array(DEPTH_BP[1:7])
    return {
        "path": _path(seen),
        "spread": _spread(seen),
        "depth": _curve(np.array(DEPTH_BP[1:]), (profile / profile[0])[1:]),
        "moves": _beyond(_in_units(np.abs(moves), float(moves.std()) if len(moves) else 0.0)),
        "clusters": _correlogram(np.abs(facts.returns_bp(seen, 100 * MS)), np.arange(1, 51), 0.1),
        "signs": _correlogram(facts.signs(seen), np.unique(np.geomspace(1, 200, 30).astype(int))),
        "gaps": _beyond(_in_units(gaps, float(gaps.mean()) if len(gaps) else 0.0)),
        "sizes": _beyond(_in_units(seen.parent_lots, float(np.median(seen.parent_lots)) if len(seen.parent_lots)
                                   else 0.0)),
        "fano": _curve(np.array(WINDOWS_MS) / 1e3, np.array([np.nan if v is None else v for v in fano], np.float64)),
        "placed": _curve(behind, facts.shares_behind(seen, False)[1:7]),
        "cancelled": _curve(behind, facts.shares_behind(seen, True)[1:7]),
    }
