"""Two replays beside each other: the first decision that differs, and what made the gap between their P&Ls.

A decision is an order (what was asked for, and whether the gate let it go) or a fill. Orders of two runs are the same
when time, instrument, side, type, time in force, price and quantity are; an amended order stands with what it was
amended to. The gap is always B - A. By cause: each order's fills are valued at the run's last mid, so that their sum is
the run's P&L.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from apex.domain.decimals import MONEY_SCALE, money, plain, scaled
from apex.domain.instrument import Instrument
from apex.research.lookup import SPLIT
from apex.research.runs import SETTINGS, Run, last_mid2

if TYPE_CHECKING:
    import pandas as pd

INTENT = ("ts_local", "instrument", "side", "type", "tif", "price_ticks", "lots")
"""What makes two orders the same."""
ANSWER = ("ts_ack", "ts_done", "ts_venue", "status", "reason", "filled_lots")
"""What became of an order."""
FILL = ("ts_venue", "ts_local", "order", "instrument", "side", "price_ticks", "lots", "maker")
CAUSES = ("only_in_a", "only_in_b", "other_fills", "same_fills", "rest")
"""Orders of one run only; the same orders with other fills; with the same fills, but other fees or another closing mid;
and what the rounding of fills leaves."""
PARTS = ("spread_captured", "inventory_pnl", "fees", "net_pnl")


class Tally(NamedTuple):
    """What an order's fills were, and what they came to in cash units."""

    fills: tuple[tuple[Any, ...], ...] = ()
    spread: int = 0
    gross: int = 0
    fees: int = 0


def compare(a: Run, b: Run) -> dict[str, Any]:
    """What differs between two replays, ready for JSON.

    Returns
    -------
    dict
        equal, result_hash, settings (name, a, b of those that differ), first_difference (kind `order` or `fill`, ts,
        differs, a, b; None when every order and every fill is the same), first_answer (the same of an acknowledgement
        or an end), orders and fills (counts), pnl (a, b, gap), gap_by_cause.
    """
    hashes = {"a": a.result["result_hash"], "b": b.result["result_hash"]}
    tables = _numbered(a), _numbered(b)
    decision, answer = first_decision(a, b, *tables), first_answer(a, b)
    counts, causes = by_cause(a, b)
    pnl: dict[str, Any] = {"a": {n: a.result[n] for n in SPLIT}, "b": {n: b.result[n] for n in SPLIT}}
    pnl["gap"] = {name: _less(pnl["b"][name], pnl["a"][name]) for name in SPLIT}
    rest = {part: _less(pnl["gap"][part], *(causes[cause][part] for cause in CAUSES[:-1])) for part in PARTS}
    causes["rest"] = {"orders": 0, **rest}
    return {
        "equal": hashes["a"] == hashes["b"] and decision is None and answer is None,
        "result_hash": hashes, "settings": settings(a.result, b.result), "first_difference": decision,
        "first_answer": answer, "orders": counts, "fills": {"a": len(a.fills), "b": len(b.fills)}, "pnl": pnl,
        "gap_by_cause": causes,
    }


def _less(amount: str, *others: str) -> str:
    """Exact difference of decimal strings."""
    units = int(Decimal(amount).scaleb(MONEY_SCALE)) - sum(int(Decimal(x).scaleb(MONEY_SCALE)) for x in others)
    return money(units)


def settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The settings that differ; one a parameter and a limit."""
    flat = []
    for result in (a, b):
        own: dict[str, Any] = {}
        for name in SETTINGS:
            value = result.get(name)
            own.update({f"{name}.{k}": v for k, v in value.items()} if isinstance(value, Mapping) else {name: value})
        flat.append(own)
    names = dict.fromkeys([*flat[0], *flat[1]])
    return [{"name": name, "a": flat[0].get(name), "b": flat[1].get(name)}
            for name in names if flat[0].get(name) != flat[1].get(name)]


# ---- the first difference --------------------------------------------------------------------------------------------


def _numbered(run: Run) -> pd.DataFrame:
    """The fills with the place of their order among the run's orders, from 0."""
    place = {order: number for number, order in enumerate(run.orders["id"].tolist())}
    return run.fills.assign(order=[place.get(order, -1) for order in run.fills["id"].tolist()])


def _first(a: pd.DataFrame, b: pd.DataFrame, columns: Sequence[str]) -> int | None:
    """The first row that differs in one of the columns, or that only one has."""
    import numpy as np

    both = min(len(a), len(b))
    differs = np.zeros(both, bool)
    for name in columns:
        differs |= a[name].to_numpy()[:both] != b[name].to_numpy()[:both]
    if differs.any():
        return int(differs.argmax())
    return None if len(a) == len(b) else both


def _shown(table: pd.DataFrame, at: int, columns: Sequence[str], instruments: Sequence[Instrument]) -> Any:
    """A row for JSON: times, and decimals instead of ticks and lots; None beyond the end."""
    if at >= len(table):
        return None
    row = {name: value.item() if hasattr(value := table[name].iloc[at], "item") else value for name in columns}
    instrument = next((x for x in instruments if x.symbol == row["instrument"]), None)
    if instrument is not None:
        market = row.get("type") == "market"
        row["price"] = None if market else instrument.price(row.pop("price_ticks"))
        row["quantity"] = instrument.quantity(row.pop("lots"))
        row.pop("price_ticks", None)
        if "filled_lots" in row:
            row["filled"] = instrument.quantity(row.pop("filled_lots"))
    return {"number": at, **row}


def first_decision(a: Run, b: Run, fills_a: pd.DataFrame, fills_b: pd.DataFrame) -> dict[str, Any] | None:
    """The first order or fill, in order of time, that is not the same in both."""
    asked = (*INTENT, "denied")
    found = []
    for kind, left, right, columns in (("fill", fills_a, fills_b, FILL), ("order", a.orders, b.orders, asked)):
        at = _first(left, right, columns)
        if at is None:
            continue
        rows = [t.iloc[at] for t in (left, right) if at < len(t)]
        ts = min(int(row["ts_local"]) for row in rows)
        place = at if kind == "order" else min(int(row["order"]) for row in rows)
        differs = [n for n in columns if len(rows) == 2 and rows[0][n] != rows[1][n]]
        own = (*INTENT, "id", "status", "reason") if kind == "order" else FILL
        found.append((ts, place, kind == "order", {
            "kind": kind, "ts": ts, "differs": differs, "a": _shown(left, at, own, a.instruments),
            "b": _shown(right, at, own, b.instruments)}))
    if not found:
        return None
    if len(found) == 2 and found[0][0] == found[1][0]:  # one time: a fill of an earlier order came before the order
        fill, order = found
        return (fill if fill[1] < order[1] else order)[3]
    return min(found, key=lambda entry: entry[0])[3]


def first_answer(a: Run, b: Run) -> dict[str, Any] | None:
    """The first acknowledgement or end, in order of time, that differs between orders that are the same in both."""
    import numpy as np

    same = _first(a.orders, b.orders, INTENT)
    both = len(a.orders) if same is None else same
    when = np.full(both, np.iinfo(np.int64).max)
    differs = np.zeros(both, bool)
    for name in ANSWER:
        left, right = (run.orders[name].to_numpy()[:both] for run in (a, b))
        other = left != right
        differs |= other
        if name in ("ts_ack", "ts_done"):
            both_known = np.where((left > 0) & (right > 0), np.minimum(left, right), np.maximum(left, right))
            when = np.where(other, np.minimum(when, both_known), when)
    if not differs.any():
        return None
    done = [run.orders["ts_done"].to_numpy()[:both] for run in (a, b)]
    when = np.where(differs, np.minimum(when, np.maximum(*done)), np.iinfo(np.int64).max)
    at = int(when.argmin())
    rows = a.orders.iloc[at], b.orders.iloc[at]
    own = (*INTENT, "id", *ANSWER)
    return {"kind": "answer", "ts": int(when[at]), "differs": [n for n in ANSWER if rows[0][n] != rows[1][n]],
            "a": _shown(a.orders, at, own, a.instruments), "b": _shown(b.orders, at, own, b.instruments)}


# ---- the gap ---------------------------------------------------------------------------------------------------------


def by_cause(a: Run, b: Run) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """Counts of orders, and the gap B - A by cause, without the rest."""
    tallies = [_tallies(run) for run in (a, b)]
    places = [_places(run) for run in (a, b)]
    counts = {"a": len(a.orders), "b": len(b.orders), "same": 0, "only_in_a": 0, "only_in_b": 0, "other_fills": 0}
    sums = {cause: Counter[str]() for cause in CAUSES[:-1]}
    for key in dict.fromkeys([*places[0], *places[1]]):
        left, right = (tallies[i].get(places[i].get(key, -1), Tally()) for i in (0, 1))
        if key not in places[1]:
            cause = "only_in_a"
        elif key not in places[0]:
            cause = "only_in_b"
        else:
            counts["same"] += 1
            cause = "same_fills" if left.fills == right.fills else "other_fills"
        if cause in counts:
            counts[cause] += 1
        spread, gross, fees = right.spread - left.spread, right.gross - left.gross, right.fees - left.fees
        sums[cause].update(orders=cause != "same_fills" or bool(spread or gross or fees), spread_captured=spread,
                           inventory_pnl=gross - spread, fees=fees, net_pnl=gross - fees)
    return counts, {cause: {"orders": total["orders"], **{part: money(total[part]) for part in PARTS}}
                    for cause, total in sums.items()}


def _places(run: Run) -> dict[tuple[Any, ...], int]:
    """Id of every order by what it asked for, and how many like it came before."""
    seen: Counter[tuple[Any, ...]] = Counter()
    out = {}
    columns = (run.orders[name].tolist() for name in INTENT)
    for intent, order in zip(zip(*columns, strict=True), run.orders["id"].tolist(), strict=True):
        out[(*intent, seen[intent])] = order
        seen[intent] += 1
    return out


def _tallies(run: Run) -> dict[int, Tally]:
    """What the fills of each order came to; amounts round down once an order."""
    value = {x.symbol: (*x.value, last_mid2(run, i)) for i, x in enumerate(run.instruments)}
    grouped: dict[int, list[tuple[Any, ...]]] = {}
    names = ("id", "instrument", "side", "mid2", "fee_units", "ts_local", "ts_venue", "price_ticks", "lots", "maker")
    for order, *fill in zip(*(run.fills[name].tolist() for name in names), strict=True):
        grouped.setdefault(order, []).append(tuple(fill))
    out = {}
    for order, fills in grouped.items():
        spread = quanta = 0
        num, den, last = value[fills[0][0]]
        for _, side, mid2, _, _, _, ticks, lots, _ in fills:
            signed = lots if side == "buy" else -lots
            quanta += signed * (last - 2 * ticks)
            spread += signed * (mid2 - 2 * ticks) * num // (2 * den) if mid2 else 0
        out[order] = Tally(tuple(fill[4:] for fill in fills), spread, quanta * num // (2 * den),
                           sum(fill[3] for fill in fills))
    return out


def price_of(instrument: Instrument, ticks2: int) -> str:
    """Decimal string of half-ticks.

    >>> price_of(Instrument("S", "v", "0.1", "1"), 5)
    '0.25'
    """
    size, places = scaled(instrument.tick)
    return plain(ticks2 * size * 5, places + 1)
