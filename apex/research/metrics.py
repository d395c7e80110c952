"""Performance of a replay: what its fills and its 1 s equity grid say, in plain numbers.

Money sums in integer cash units (10^-8 of the quote currency) and comes out as decimal strings;
fractions and ratios are floats; durations are integers of ns or seconds. What is undefined is None,
never NaN. Nothing is annualised: a tape of minutes or hours says nothing about a year.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from apex.domain.decimals import MONEY_SCALE, money, scaled
from apex.domain.instrument import Instrument

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

UNIT = 10**MONEY_SCALE
MARKOUT_SECONDS = (1, 10, 60)
"""How long after a fill the mid is looked at again."""


def performance(
    fills: pd.DataFrame,
    equity: pd.DataFrame,
    instruments: Sequence[Instrument],
    orders: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Metrics of one replay.

    Parameters
    ----------
    fills : DataFrame
        One row a fill, in engine order: ts_local (ns), id, instrument (symbol), side ("buy" or
        "sell"), price_ticks, quantity, maker, fee (> 0 is paid), price, mid, optimistic.
    equity : DataFrame
        The 1 s grid: ts (ns), net_pnl, gross_exposure, and `position:SYMBOL`, `mid:SYMBOL`.
    instruments : sequence of Instrument
        Grid and contract value of every symbol.
    orders : DataFrame, optional
        One row an order: ts_local, ts_ack (ns, 0 = none), id, status. Without it the order metrics
        are None.

    Returns
    -------
    dict
        Ready for JSON: see the keys below and the functions of the same names.
    """
    return {
        "turnover": turnover(fills, instruments),
        "exposure": exposure(equity, instruments),
        "inventory": inventory(equity, instruments),
        "round_trips": round_trips(fills, instruments),
        "drawdown": drawdown(equity),
        "optimistic_fills": _share(fills, "optimistic"),
        "maker_fills": _share(fills, "maker"),
        "markout_bps": markout(fills, equity, instruments),
        "order_to_fill": order_to_fill(fills, orders),
        "time_to_fill_ns": time_to_fill(fills, orders),
        "response_latency_ns": response_latency(orders),
    }


def _column(frame: pd.DataFrame, name: str, dtype: str) -> np.ndarray[Any, Any]:
    """A column as a numpy array of one dtype."""
    values: np.ndarray[Any, Any] = frame[name].to_numpy().astype(dtype)
    return values


def _amount(value: float) -> str | None:
    """Decimal string of a float amount, to a cash unit; None when it is not finite."""
    if value != value or value in (float("inf"), float("-inf")):
        return None
    return money(round(value * UNIT))


def _lots(quantities: np.ndarray[Any, Any], instrument: Instrument) -> np.ndarray[Any, Any]:
    """Whole lots of quantities that were made from lots."""
    import numpy as np

    mantissa, places = scaled(instrument.lot)
    whole: np.ndarray[Any, Any] = np.rint(quantities * 10**places / mantissa).astype("i8")
    return whole


def _cash(fills: pd.DataFrame, instrument: Instrument) -> list[tuple[int, int, int]]:
    """Signed lots, value and fee (cash units) of the fills of one instrument, in row order."""
    import numpy as np

    rows = fills[fills["instrument"] == instrument.symbol]
    lots = _lots(_column(rows, "quantity", "f8"), instrument)
    sign = np.where(rows["side"].to_numpy() == "buy", 1, -1)
    fee = np.rint(_column(rows, "fee", "f8") * UNIT).astype("i8")
    num, den = instrument.value
    out = []
    for ticks, count, direction, paid in zip(
        _column(rows, "price_ticks", "i8").tolist(), lots.tolist(), sign.tolist(), fee.tolist(), strict=True
    ):
        out.append((direction * count, (2 * ticks * count * num + den) // (2 * den), paid))
    return out


def turnover(fills: pd.DataFrame, instruments: Sequence[Instrument]) -> dict[str, Any]:
    """Traded value (bought and sold, each once) and the number of fills."""
    bought = sold = 0
    for instrument in instruments:
        for lots, value, _ in _cash(fills, instrument):
            if lots > 0:
                bought += value
            else:
                sold += value
    return {"value": money(bought + sold), "bought": money(bought), "sold": money(sold), "fills": len(fills)}


def _held(ts: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How long each grid row holds: until the next one; the last row holds for nothing."""
    import numpy as np

    return np.diff(ts, append=ts[-1:]).astype("f8")


def exposure(equity: pd.DataFrame, instruments: Sequence[Instrument]) -> dict[str, Any]:
    """Gross exposure in money over the grid: time-weighted mean, greatest, share of time in the market."""
    import numpy as np

    if len(equity) == 0:
        return {"mean": None, "max": None, "time_in_market": None}
    held = _held(_column(equity, "ts", "i8"))
    gross = np.nan_to_num(np.abs(_column(equity, "gross_exposure", "f8")))
    inside = np.zeros(len(equity), dtype=bool)
    for instrument in instruments:
        inside |= _column(equity, f"position:{instrument.symbol}", "f8") != 0
    span = float(held.sum())
    return {
        "mean": _amount(float(gross @ held) / span) if span else None,
        "max": _amount(float(gross.max())),
        "time_in_market": float(held[inside].sum()) / span if span else None,
    }


def inventory(equity: pd.DataFrame, instruments: Sequence[Instrument]) -> dict[str, Any]:
    """Position of each instrument over the grid, in its quantity: lowest, highest, time-weighted mean |position|."""
    import numpy as np

    out: dict[str, Any] = {}
    for instrument in instruments:
        position = _column(equity, f"position:{instrument.symbol}", "f8")
        if not len(position):
            out[instrument.symbol] = {"low": None, "high": None, "mean_abs": None}
            continue
        lots, held = _lots(position, instrument), _held(_column(equity, "ts", "i8"))
        span = float(held.sum())
        out[instrument.symbol] = {
            "low": instrument.quantity(int(lots.min())),
            "high": instrument.quantity(int(lots.max())),
            "mean_abs": _amount(float(np.abs(position) @ held) / span) if span else None,
        }
    return out


def _closed(fills: Sequence[tuple[int, int, int]]) -> list[int]:
    """Net P&L (cash units) of every closing fill, by average cost.

    A closing fill takes the average cost of what it closes and the same part of the entry fees; a
    fill through zero closes first and opens with the rest, its own fee split by lots. Each part
    rounds to a cash unit and the remainder stays with the open position, so nothing is lost:
    closed P&L + open value - open cost - open fees is the account, to the unit.
    """
    closed: list[int] = []
    position = cost = fees = 0  # cost and fees of the open lots
    for lots, value, fee in fills:
        closing = min(abs(lots), abs(position)) if lots * position < 0 else 0
        if closing:
            cost_part = (2 * cost * closing + abs(position)) // (2 * abs(position))
            fee_part = (2 * fees * closing + abs(position)) // (2 * abs(position))
            value_part = (2 * value * closing + abs(lots)) // (2 * abs(lots))
            paid = (2 * fee * closing + abs(lots)) // (2 * abs(lots))
            gain = (value_part - cost_part) * (1 if position > 0 else -1)
            closed.append(gain - fee_part - paid)
            cost, fees, value, fee = cost - cost_part, fees - fee_part, value - value_part, fee - paid
        if closing < abs(lots):
            cost, fees = cost + value, fees + fee
        position += lots
    return closed


def round_trips(fills: pd.DataFrame, instruments: Sequence[Instrument]) -> dict[str, Any]:
    """Closed trades by average cost, net of fees: every fill that reduces a position closes one.

    `win_rate` = wins / count, and a trade of exactly zero is neither a win nor a loss;
    `profit_factor` = sum of wins / sum of losses, None without a loss; `expectancy` = mean net P&L.
    """
    results = [pnl for instrument in instruments for pnl in _closed(_cash(fills, instrument))]
    wins = [pnl for pnl in results if pnl > 0]
    losses = [-pnl for pnl in results if pnl < 0]
    count = len(results)
    return {
        "count": count,
        "wins": len(wins),
        "losses": len(losses),
        "win_rate": len(wins) / count if count else None,
        "profit_factor": sum(wins) / sum(losses) if losses else None,
        "average_win": money(round(sum(wins) / len(wins))) if wins else None,
        "average_loss": money(-round(sum(losses) / len(losses))) if losses else None,
        "expectancy": money(round(sum(results) / count)) if count else None,
        "net_pnl": money(sum(results)),
    }


def drawdown(equity: pd.DataFrame) -> dict[str, Any]:
    """Fall of net P&L below its highest so far on the 1 s grid; the start counts as a peak of 0.

    `longest_seconds` runs from a peak to the row that reaches it again, or to the end.
    """
    import numpy as np

    if len(equity) == 0:
        return {"max": None, "at": None, "longest_seconds": None, "under_water_at_end": None}
    ts, net = _column(equity, "ts", "i8"), _column(equity, "net_pnl", "f8")
    fall = np.maximum(np.maximum.accumulate(net), 0.0) - net
    rows = np.arange(len(net))
    under = fall > 0
    peak = np.maximum.accumulate(np.where(under, 0, rows))
    back = np.flatnonzero(under[:-1] & ~under[1:]) + 1  # rows that reach the peak again
    lengths = ts[rows] - ts[peak]
    longest = int(lengths[under].max(initial=0))
    if len(back):
        longest = max(longest, int((ts[back] - ts[peak[back - 1]]).max()))
    worst = int(fall.argmax())
    return {
        "max": _amount(float(fall[worst])),
        "at": int(ts[worst]) if fall[worst] > 0 else None,
        "longest_seconds": longest / 1e9,
        "under_water_at_end": bool(under[-1]),
    }


def _share(fills: pd.DataFrame, name: str) -> dict[str, Any]:
    """Count and share of the fills whose flag `name` is set."""
    count = int(_column(fills, name, "bool").sum())
    return {"count": count, "share": count / len(fills) if len(fills) else None}


def markout(fills: pd.DataFrame, equity: pd.DataFrame, instruments: Sequence[Instrument]) -> dict[str, Any]:
    """How the mid stood to our price at a fill and later, in 1e-4 of the price, weighted by value.

    side * (mid - price) / price: positive is money made. "0s" is the spread captured at the fill;
    what the later values lose against it is adverse selection. Later mids are the first grid row at
    or after the time; fills without one count in no mean.
    """
    import numpy as np

    ts = _column(equity, "ts", "i8")
    sums = {f"{s}s": [0.0, 0.0] for s in (0, *MARKOUT_SECONDS)}
    for instrument in instruments:
        rows = fills[fills["instrument"] == instrument.symbol]
        if not len(rows) or not len(ts):
            continue
        price, at = _column(rows, "price", "f8"), _column(rows, "ts_local", "i8")
        weight = _column(rows, "quantity", "f8") * float(instrument.multiplier)
        sign = np.where(rows["side"].to_numpy() == "buy", 1.0, -1.0)
        mids = _column(equity, f"mid:{instrument.symbol}", "f8")
        for seconds in (0, *MARKOUT_SECONDS):
            if seconds:
                index = np.searchsorted(ts, at + seconds * 10**9)
                later = np.where(index < len(ts), mids[np.minimum(index, len(ts) - 1)], np.nan)
            else:
                later = _column(rows, "mid", "f8")
            known = np.isfinite(later)
            total = sums[f"{seconds}s"]
            total[0] += float((sign * (later - price) * weight)[known].sum())
            total[1] += float((price * weight)[known].sum())
    return {name: gain / value * 1e4 if value else None for name, (gain, value) in sums.items()}


def order_to_fill(fills: pd.DataFrame, orders: pd.DataFrame | None) -> float | None:
    """Orders sent for each fill; denied ones were not sent."""
    if orders is None or not len(fills):
        return None
    return int((orders["status"].to_numpy() != "denied").sum()) / len(fills)


def _percentiles(values: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Nearest-rank percentiles of integer durations: each is a value that occurred."""
    import numpy as np

    names = {"p50": 50, "p90": 90, "p99": 99, "max": 100}
    if not len(values):
        return {"count": 0, **dict.fromkeys(names)}
    ranks = np.percentile(values, list(names.values()), method="inverted_cdf")
    return {"count": len(values), **{name: int(rank) for name, rank in zip(names, ranks, strict=True)}}


def time_to_fill(fills: pd.DataFrame, orders: pd.DataFrame | None) -> dict[str, Any] | None:
    """From sending an order to hearing of its first fill, ns of the local clock."""
    return None if orders is None else _percentiles(fill_times(fills, orders))


def response_latency(orders: pd.DataFrame | None) -> dict[str, Any] | None:
    """From sending an order to the venue's first answer, ns of the local clock."""
    return None if orders is None else _percentiles(response_times(orders))


def fill_times(fills: pd.DataFrame, orders: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Time from sending to the first fill heard of, for every order that filled, int64 ns."""
    first = fills.groupby("id", sort=False)["ts_local"].min()
    sent = orders.drop_duplicates("id").set_index("id")["ts_local"]
    first, sent = first.align(sent, join="inner")
    times: np.ndarray[Any, Any] = (first - sent).to_numpy().astype("i8")
    return times


def response_times(orders: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Time from sending to the first answer, for every answered order, int64 ns."""
    answered = orders[(orders["ts_ack"] > 0) & (orders["status"] != "denied")]
    times: np.ndarray[Any, Any] = _column(answered, "ts_ack", "i8") - _column(answered, "ts_local", "i8")
    return times
