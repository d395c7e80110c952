"""The P&L of two replays' orders, order by order, in fractions and from the tables that people read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import Any


def intents(orders: Any) -> list[tuple[Any, ...]]:
    """What each order asked for, and how many like it came before."""
    seen: Counter[tuple[Any, ...]] = Counter()
    out = []
    for row in orders.to_dict("records"):
        asked = tuple(row[n] for n in ("ts_local", "instrument", "side", "type", "tif", "price_ticks", "quantity"))
        out.append((*asked, seen[asked]))
        seen[asked] += 1
    return out


def worth(fills: Any, closing: dict[str, Fraction], multiplier: dict[str, Fraction]) -> dict[str, Fraction]:
    """Spread, inventory, fees and net of some fills at closing mids; floats are taken as they print."""
    spread = gross = fees = Fraction(0)
    for row in fills.to_dict("records"):
        sign = (1 if row["side"] == "buy" else -1) * multiplier[row["instrument"]]
        price, quantity = Fraction(str(row["price"])), Fraction(str(row["quantity"]))
        if row["mid"] == row["mid"]:
            spread += sign * quantity * (Fraction(str(row["mid"])) - price)
        gross += sign * quantity * (closing[row["instrument"]] - price)
        fees += Fraction(str(row["fee"]))
    return {"spread_captured": spread, "inventory_pnl": gross - spread, "fees": fees, "net_pnl": gross - fees}


def same_fills(one: Any, other: Any) -> bool:
    """Whether two orders filled alike, fees apart."""
    names = ["ts_venue", "ts_local", "price_ticks", "quantity", "maker"]
    return bool(one[names].values.tolist() == other[names].values.tolist())


def causes(a: Any, b: Any, closing: Iterable[dict[str, Fraction]], multiplier: dict[str, Fraction]) -> dict[str, Any]:
    """Number of orders and B - A of each cause, for two replay results."""
    ends = list(closing)
    sides = [dict(zip(intents(r.orders), r.orders["id"].tolist(), strict=True)) for r in (a, b)]
    out: dict[str, Any] = {name: Counter() for name in ("only_in_a", "only_in_b", "other_fills", "same_fills")}
    for asked in {*sides[0], *sides[1]}:
        parts = [r.fills[r.fills["id"] == ids.get(asked, -1)] for r, ids in zip((a, b), sides, strict=True)]
        if asked not in sides[1]:
            cause = "only_in_a"
        elif asked not in sides[0]:
            cause = "only_in_b"
        else:
            cause = "same_fills" if same_fills(*parts) else "other_fills"
        left, right = (worth(p, end, multiplier) for p, end in zip(parts, ends, strict=True))
        gap = {name: right[name] - left[name] for name in left}
        out[cause]["orders"] += cause != "same_fills" or any(gap.values())
        out[cause].update(gap)
    return out
