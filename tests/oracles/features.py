"""Features by their batch definitions (methods 2.1, 2.2, 2.3, 2.7) over whole histories, in pandas and numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def imbalance(book: pd.DataFrame) -> Any:
    """Columns bid, bid_lots, ask, ask_lots, valid, one row an update."""
    return (book.bid_lots / (book.bid_lots + book.ask_lots)).where(book.valid).to_numpy()


def weighted_mid(book: pd.DataFrame) -> Any:
    share = book.bid_lots / (book.bid_lots + book.ask_lots)
    return (share * book.ask + (1 - share) * book.bid).where(book.valid).to_numpy()


def flow(book: pd.DataFrame) -> Any:
    """e_n of Cont, Kukanov and Stoikov; NaN where an update has no valid update right before it."""
    was = book.shift(1)
    e = ((book.bid >= was.bid) * book.bid_lots - (book.bid <= was.bid) * was.bid_lots
         - (book.ask <= was.ask) * book.ask_lots + (book.ask >= was.ask) * was.ask_lots)
    follows = book.valid & book.valid.shift(1, fill_value=False)
    return e.astype(float).where(follows).to_numpy()


def order_flow(book: pd.DataFrame, window_ns: int) -> Any:
    """Sum of e_n over (t - window, t], known once the first valid update lies a window back."""
    e = pd.Series(np.nan_to_num(flow(book)), index=pd.DatetimeIndex(book.index))
    total = e.rolling(pd.Timedelta(window_ns, "ns"), closed="right").sum().round().to_numpy()
    first = book.index[book.valid][0] if book.valid.any() else 1 << 62
    return np.where(book.valid & (book.index - first >= window_ns), total, np.nan)


def volatility(book: pd.DataFrame, step_ns: int, steps: int) -> Any:
    """At each update, from the grid points before it: the mid at a grid point is the last valid one at or before it."""
    good = book[book.valid]
    out = np.full(len(book), np.nan)
    if good.empty:
        return out
    mids = ((good.bid + good.ask) / 2).groupby(level=0).last()
    grid = np.arange((int(mids.index[0]) // step_ns + 1) * step_ns, int(book.index[-1]) + 1, step_ns)
    at = mids.to_numpy()[np.searchsorted(mids.index.to_numpy(), grid, "right") - 1]
    squares = np.diff(np.log(at)) ** 2
    for n, ts in enumerate(book.index):
        known = int(np.searchsorted(grid, ts, "left")) - 1  # returns whose both ends lie before ts
        if known >= steps:
            out[n] = np.sqrt(squares[known - steps:known].sum())
    return out


def trade_sign(trades: pd.DataFrame, book: pd.DataFrame) -> Any:
    """Columns side, ticks: the venue's aggressor; else Lee and Ready, with the last mid strictly before the trade."""
    good = book[book.valid]
    quotes = pd.DataFrame({"ts": good.index, "mid2": (good.bid + good.ask).to_numpy()})
    known = pd.merge_asof(pd.DataFrame({"ts": trades.index, "ticks": trades.ticks.to_numpy()}), quotes, on="ts",
                          allow_exact_matches=False)
    quote = np.sign(2 * known.ticks - known.mid2)
    tick = np.sign(known.ticks.diff()).replace(0, np.nan).ffill()
    rule = quote.where(quote.notna() & (quote != 0), tick)
    given = trades.side.map({1: 1.0, 2: -1.0, 0: np.nan}).to_numpy()
    return np.where(np.isnan(given), rule, given)
