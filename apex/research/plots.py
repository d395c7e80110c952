"""The data of the report's plots: few enough points for one HTML file, and no extreme lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apex.domain.instrument import Instrument
from apex.research.metrics import fill_times, response_times

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

POINTS_MAX = 20_000
"""Points of all plots together; beyond, each bucket of a series keeps its lowest and its highest."""
BINS = 48


def decimate(columns: Sequence[np.ndarray[Any, Any]], rows_max: int) -> np.ndarray[Any, Any]:
    """Rows to keep: the first, the last, and every bucket's lowest and highest row of each column.

    Parameters
    ----------
    columns : sequence of float arrays of one length
        NaN is never an extreme.
    rows_max : int
        At most this many rows are kept (>= 2 + 2 * len(columns)).

    Returns
    -------
    int64 array, strictly increasing
    """
    import numpy as np

    count = len(columns[0])
    if count <= rows_max:
        return np.arange(count)
    buckets = max(1, (rows_max - 2) // (2 * len(columns)))
    width = -(-count // buckets)
    buckets = -(-count // width)
    start = np.arange(buckets) * width
    kept = [np.array([0, count - 1])]
    for column in columns:
        for filler, pick in ((np.inf, np.argmin), (-np.inf, np.argmax)):
            padded = np.full(buckets * width, filler)
            padded[:count] = np.where(np.isnan(column), filler, column)
            kept.append(start + pick(padded.reshape(buckets, width), axis=1))
    rows = np.unique(np.concatenate(kept))
    return rows[rows < count]


def _short(values: np.ndarray[Any, Any], digits: int = 10) -> list[float | None]:
    """Floats of so many significant digits, for a small file; NaN is None."""
    return [None if v != v else float(f"{v:.{digits}g}") for v in values.tolist()]


def _series(frame: pd.DataFrame, names: dict[str, str], start: int, rows_max: int) -> dict[str, Any]:
    """Columns of the grid over ms since `start`, decimated together; `total` rows there were."""
    columns = {label: frame[name].to_numpy().astype("f8") for label, name in names.items()}
    rows = decimate(list(columns.values()), rows_max)
    ts = (frame["ts"].to_numpy().astype("i8")[rows] - start) // 10**6
    return {"total": len(frame), "t": ts.tolist(), **{label: _short(values[rows]) for label, values in columns.items()}}


def _markers(fills: pd.DataFrame, start: int, rows_max: int) -> dict[str, Any]:
    """Fills of one instrument as columns; when too many, the extreme prices of each stretch of a side."""
    import numpy as np

    total = len(fills)
    if total > rows_max:
        kept = []
        for side in ("buy", "sell"):
            rows = np.flatnonzero(fills["side"].to_numpy() == side)
            if len(rows):
                part = decimate([fills["price"].to_numpy().astype("f8")[rows]], max(4, rows_max // 2))
                kept.append(rows[part])
        fills = fills.iloc[np.sort(np.concatenate(kept))]
    return {
        "total": total,
        "t": ((fills["ts_local"].to_numpy().astype("i8") - start) // 10**6).tolist(),
        "price": _short(fills["price"].to_numpy().astype("f8")),
        "quantity": _short(fills["quantity"].to_numpy().astype("f8")),
        "buy": (fills["side"].to_numpy() == "buy").astype(int).tolist(),
        "maker": fills["maker"].to_numpy().astype(int).tolist(),
        "optimistic": fills["optimistic"].to_numpy().astype(int).tolist(),
    }


def histogram(times: np.ndarray[Any, Any]) -> dict[str, Any] | None:
    """Durations (int64 ns) in bins up to their 99.9th percentile; None when there are none.

    Bins are of equal width, or of equal ratio (`even` False) when the slowest is over 30 times the fastest; then what
    took no time has the first bin, from 0. `slower` counts what lies beyond the last edge.
    """
    import numpy as np

    if not len(times):
        return None
    low, high = int(times.min()), int(np.percentile(times, 99.9, method="inverted_cdf"))
    slower = int((times > high).sum())
    if low == high:
        return {"edges": [low, high], "counts": [len(times) - slower], "slower": slower, "even": True}
    least = int(times[times > 0].min())
    even = high / least <= 30
    if even:
        edges = np.linspace(low, high, BINS + 1)
    elif low > 0:
        edges = np.geomspace(low, high, BINS + 1)
    else:
        edges = np.concatenate(([0.0], np.geomspace(least, high, BINS)))
    edges[0], edges[-1] = low, high
    counts, _ = np.histogram(times, edges)
    return {"edges": _short(edges, 15), "counts": counts.tolist(), "slower": slower, "even": even}


def plot_data(
    orders: pd.DataFrame, fills: pd.DataFrame, equity: pd.DataFrame, instruments: Sequence[Instrument]
) -> dict[str, Any]:
    """All plots' data, ready for JSON: times in ms since `start` (ms UTC), values as floats."""
    start = int(equity["ts"].iloc[0]) if len(equity) else 0
    start -= start % 10**6
    share = max(40, POINTS_MAX // 2 // max(1, len(instruments)))
    per_instrument = [
        {
            "symbol": instrument.symbol,
            "base": instrument.base,
            "price": _series(equity, {"mid": f"mid:{instrument.symbol}"}, start, share * 2 // 5),
            "inventory": _series(equity, {"position": f"position:{instrument.symbol}"}, start, share // 5),
            "fills": _markers(fills[fills["instrument"] == instrument.symbol], start, share * 2 // 5),
        }
        for instrument in instruments
    ]
    return {
        "start": start // 10**6,
        "equity": _series(equity, {"net": "net_pnl", "gross": "gross_pnl"}, start, POINTS_MAX // 4),
        "drawdown": _series(equity, {"drawdown": "drawdown"}, start, POINTS_MAX // 4),
        "instruments": per_instrument,
        "ack": histogram(response_times(orders)),
        "fill": histogram(fill_times(fills, orders)),
    }
