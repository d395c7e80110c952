"""Performance of a replay from its tables alone, in plain pandas and fractions: the oracle of apex.research.metrics."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any, NamedTuple

import pandas as pd


class Terms(NamedTuple):
    """An instrument's label and its grid."""

    label: str
    tick: Fraction
    lot: Fraction
    multiplier: Fraction = Fraction(1)


def exact_fills(fills: pd.DataFrame, terms: Terms) -> list[tuple[int, Fraction, Fraction]]:
    """Signed lots, value and fee of an instrument's fills, in order and exact."""
    rows = fills[fills["instrument"] == terms.label]
    out = []
    for row in rows.itertuples():
        lots = round(row.quantity / float(terms.lot))
        value = row.price_ticks * terms.tick * lots * terms.lot * terms.multiplier
        out.append((lots if row.side == "buy" else -lots, value, Fraction(round(row.fee * 1e8), 10**8)))
    return out


def turnover(fills: pd.DataFrame, terms: list[Terms]) -> dict[str, Fraction]:
    """Value bought and sold."""
    every = [row for t in terms for row in exact_fills(fills, t)]
    return {"bought": sum((v for lots, v, _ in every if lots > 0), Fraction()),
            "sold": sum((v for lots, v, _ in every if lots < 0), Fraction())}


def closed_trades(rows: list[tuple[int, Fraction, Fraction]]) -> list[Fraction]:
    """Net P&L of every fill that closes, by the average cost of what is open, one lot after the other."""
    out = []
    position, cost, fees = 0, Fraction(), Fraction()
    for lots, value, fee in rows:
        side = 1 if lots > 0 else -1
        price, paid = value / abs(lots), fee / abs(lots)
        gain, closes = Fraction(), False
        average, entry = (cost / abs(position), fees / abs(position)) if position else (Fraction(), Fraction())
        for _ in range(abs(lots)):
            if position * side < 0:
                closes = True
                gain += (price - average) * -side - entry - paid
                cost, fees, position = cost - average, fees - entry, position + side
            else:
                cost, fees, position = cost + price, fees + paid, position + side
        if closes:
            out.append(gain)
    return out


def open_part(rows: list[tuple[int, Fraction, Fraction]]) -> tuple[int, Fraction, Fraction]:
    """Lots left open, their cost with its sign, and the fees paid for them."""
    position, cost, fees = 0, Fraction(), Fraction()
    for lots, value, fee in rows:
        sign = 1 if lots > 0 else -1
        if position * lots >= 0:
            position, cost, fees = position + lots, cost + sign * value, fees + fee
        elif abs(lots) <= abs(position):
            left = Fraction(abs(position) - abs(lots), abs(position))
            position, cost, fees = position + lots, cost * left, fees * left
        else:
            rest = Fraction(abs(lots) - abs(position), abs(lots))
            position, cost, fees = position + lots, sign * value * rest, fee * rest
    return position, cost, fees


def held_seconds(equity: pd.DataFrame) -> pd.Series:
    """How long each grid row holds."""
    times = equity["ts"].tolist()
    return pd.Series([(after - ts) / 1e9 for ts, after in zip(times, [*times[1:], times[-1]], strict=True)])


def exposure(equity: pd.DataFrame, terms: list[Terms]) -> dict[str, float]:
    """From positions and mids, not from the column."""
    gross = sum((equity[f"position:{t.label}"] * equity[f"mid:{t.label}"].fillna(0) * float(t.multiplier)).abs()
                for t in terms)
    inside = pd.concat([equity[f"position:{t.label}"] != 0 for t in terms], axis=1).any(axis=1)
    held = held_seconds(equity)
    return {"mean": float((gross * held).sum() / held.sum()), "max": float(gross.max()),
            "time_in_market": float(held[inside].sum() / held.sum())}


def drawdown(equity: pd.DataFrame) -> dict[str, Any]:
    """By walking the grid."""
    peak, peak_ts, worst, at, longest = 0.0, int(equity["ts"].iloc[0]), 0.0, None, 0
    under = False
    for ts, net in zip(equity["ts"], equity["net_pnl"], strict=True):
        if net >= peak:
            if under:
                longest = max(longest, ts - peak_ts)
            peak, peak_ts, under = net, ts, False
            continue
        under = True
        longest = max(longest, ts - peak_ts)
        if peak - net > worst:
            worst, at = peak - net, ts
    return {"max": worst, "at": at, "longest_seconds": longest / 1e9, "under_water_at_end": under}


def markout(fills: pd.DataFrame, equity: pd.DataFrame, terms: list[Terms], seconds: int) -> float | None:
    """Value-weighted, by a join on time."""
    gain = value = 0.0
    for t in terms:
        rows = fills[fills["instrument"] == t.label].copy()
        rows["due"] = rows["ts_local"] + seconds * 10**9
        grid = equity[["ts", f"mid:{t.label}"]].rename(columns={f"mid:{t.label}": "later"})
        joined = pd.merge_asof(rows.sort_values("due"), grid, left_on="due", right_on="ts", direction="forward")
        if not seconds:
            joined["later"] = joined["mid"]
        joined = joined.dropna(subset=["later"])
        sign = joined["side"].map({"buy": 1, "sell": -1})
        gain += float((sign * (joined["later"] - joined["price"]) * joined["quantity"]).sum() * t.multiplier)
        value += float((joined["price"] * joined["quantity"]).sum() * t.multiplier)
    return gain / value * 1e4 if value else None


def nearest_rank(values: list[int], percent: float) -> int:
    """The smallest value that at least so many percent of all do not exceed."""
    return sorted(values)[max(0, math.ceil(percent / 100 * len(values)) - 1)]
