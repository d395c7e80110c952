"""Numbers and codes as people read them: used by the page and by the screen, so that both say the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
"""What stands where a value is undefined."""
WIDE = Context(prec=60)


def words(reason: str) -> str:
    """A reason code as people read it.

    >>> words("POST_ONLY_WOULD_CROSS")
    'post only would cross'
    """
    return reason.replace("_", " ").replace("-", " ").strip().lower()


def plural(count: int, word: str) -> str:
    """A count and its word.

    >>> plural(1, "order"), plural(3448, "order")
    ('1 order', '3,448 orders')
    """
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def counted(reasons: Mapping[str, int] | None) -> list[tuple[str, int]]:
    """Reasons by falling count, then by name; those that never happened left out."""
    return sorted(((name, n) for name, n in (reasons or {}).items() if n), key=lambda pair: (-pair[1], pair[0]))


def places_of(amounts: Iterable[str | None]) -> int:
    """Decimal places at which amounts stand under each other: five digits of the largest, 2 to 8 places.

    >>> places_of(["7.30156632", "0.69505"]), places_of(["365078.3"]), places_of(["0.00123"])
    (4, 2, 7)
    """
    largest = max((abs(Decimal(a)) for a in amounts if a is not None), default=Decimal(0))
    return min(8, max(2, 4 - largest.adjusted())) if largest else 2


def amount(text: str | None, places: int | None = None) -> str:
    """A decimal string with thousands separators, rounded to `places`, half away from zero (None: as it stands).

    >>> amount("-4537.86632", 2), amount("0.25", 1), amount("0.0020"), amount(None)
    ('−4,537.87', '0.3', '0.0020', '–')
    """
    if text is None:
        return NOTHING
    value = Decimal(text)
    if places is not None:  # as browsers round, so that a page's plots and tables agree
        value = value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, WIDE)
    shown = f"{value:,f}"
    if not shown.strip("-0.,"):
        shown = shown.lstrip("-")
    return shown.replace("-", MINUS)


def percent(share: float | None) -> str:
    """A fraction in percent.

    >>> percent(0.0652), percent(None)
    ('6.5%', '–')
    """
    return NOTHING if share is None else f"{share:.1%}".replace("-", MINUS)


def ratio(value: float | None) -> str:
    """A ratio to three significant digits.

    >>> ratio(2.99958), ratio(0.01484)
    ('3.00', '0.0148')
    """
    if value is None:
        return NOTHING
    shown = f"{value:#.3g}"
    return (f"{value:,.0f}" if "e" in shown else shown.rstrip(".")).replace("-", MINUS)


def duration(ns: float | None) -> str:
    """A duration in the unit that fits it.

    >>> duration(13_584_310), duration(345e9), duration(3660e9), duration(0)
    ('13.6 ms', '5 min 45 s', '1 h 1 min', '0 s')
    """
    if ns is None:
        return NOTHING
    if abs(ns) < 0.5:
        return "0 s"
    if abs(ns) >= 119.5e9:
        minutes, seconds = divmod(round(ns / 1e9), 60)
        if minutes < 60:
            return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
        hours, minutes = divmod(round(ns / 60e9), 60)
        days, rest = divmod(hours, 24)
        return f"{days} d {rest} h" if days else f"{hours} h {minutes} min"
    for size, unit in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if abs(ns) >= 0.9995 * size:
            return f"{ns / size:.3g} {unit}" if abs(ns) < 999.5 * size else f"{ns / size:,.0f} {unit}"
    return f"{ns:.0f} ns"


def size(count: int | None) -> str:
    """Bytes in MB of 10^6.

    >>> size(61_865_984)
    '61.9 MB'
    """
    return NOTHING if count is None else f"{count / 1e6:,.1f} MB"


def moment(ns: int) -> str:
    """A UTC time to the second."""
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def title(summary: Mapping[str, Any]) -> str:
    """What ran: the strategy's class, or the scripted orders."""
    if summary.get("schedule"):
        return "Scripted orders"
    return str(summary.get("strategy") or "No strategy").rpartition(":")[2]


def fee(share: float) -> str:
    """A fee in percent, exact; a rebate has a minus.

    >>> fee(0.0002), fee(-0.00005), fee(0.0)
    ('0.02%', '−0.005%', '0%')
    """
    return f"{Decimal(repr(share)) * 100:f}".rstrip("0").rstrip(".").replace("-", MINUS) + "%"


def limit(name: str, value: Any) -> str:
    """A risk limit as people read it.

    >>> limit("price_collar", 0.1), limit("position_max", None)
    ('0.1 of mid', 'none')
    """
    unit = {"price_collar": " of mid", "fat_finger_multiple": " x touch"}.get(name, "")
    return "none" if value is None else f"{value:g}{unit}" if isinstance(value, float) else f"{value}{unit}"
