"""Keys of a scenario: which rule of the market generator each sets, and how its value becomes whole numbers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

from apex._core.market import CELLS_OF_TABLE
from apex.domain.errors import ConfigError
from apex.domain.limits import duration_ns

RATE = Decimal(1 << 48) / 10**9
"""One event a second, in the generator's unit of a rate."""

PLACES_MAX = 30
"""Digits before and zeros after the point of a number; the generator counts with less."""

_EXACT = Context(prec=28)

Reader = Callable[[Any, Decimal], Any]
"""Takes a TOML value and the ticks of a basis point, gives whole numbers; ValueError says what is wrong."""


def number(value: Any, bp: Decimal = RATE) -> Decimal:
    """A number of a TOML file, exact."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError(f"{value!r} is no number")
    found = Decimal(value)
    if not found.is_finite():
        raise ValueError(f"{value} is not finite")
    if found and not -PLACES_MAX <= found.adjusted() <= PLACES_MAX:
        raise ValueError(f"{found:.0e} is out of range: beyond 30 digits")
    return found


def whole(value: Decimal) -> int:
    """The nearest whole number."""
    return int(value.to_integral_value())


def duration(value: Any, bp: Decimal = RATE) -> int:
    """Nanoseconds."""
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is no duration")
    try:
        return duration_ns(value)
    except ConfigError as error:
        raise ValueError(error.what) from None


def gain(children: Decimal, lasts_ns: int) -> int:
    """What an event adds to a rate that fades within `lasts_ns`, for so many more events on average."""
    return whole(children * (1 << 48) / lasts_ns)


def quantiles(knots: Any, unit: Decimal) -> list[int]:
    """A table of quantiles through knots (share, value), geometric between them (of the value and one `unit`).

    >>> quantiles([[0, 0], [Decimal("0.5"), 0], [1, 15]], Decimal(1))[::256]
    [0, 0, 0, 3, 15]

    Raises
    ------
    ValueError
        If the knots are not pairs that rise from share 0 to share 1, with values that do not fall.
    """
    if not isinstance(knots, list) or not all(isinstance(k, list) and len(k) == 2 for k in knots):
        raise ValueError("knots are written [[share, value], ...]")
    shares, values = [number(k[0]) for k in knots], [number(k[1]) for k in knots]
    if len(knots) < 2 or shares[0] != 0 or shares[-1] != 1 or sorted(set(shares)) != shares:
        raise ValueError("the shares of the knots do not rise from 0 to 1")
    if sorted(values) != values or values[0] < 0:
        raise ValueError("the values of the knots fall, or are negative")
    out, at = [], 0
    logs = [_EXACT.ln(value * unit + 1) for value in values]
    for cell in range(CELLS_OF_TABLE + 1):
        share = Decimal(cell) / CELLS_OF_TABLE
        while shares[at + 1] < share:
            at += 1
        part = _EXACT.divide(share - shares[at], shares[at + 1] - shares[at])
        value = _EXACT.exp(_EXACT.fma(logs[at + 1] - logs[at], part, logs[at])) - 1
        out.append(int((value + Decimal("1e-9")).to_integral_value(ROUND_FLOOR)))
    return out


def _times(unit: int | Decimal) -> Reader:
    """A number in whole parts of a unit."""
    return lambda value, bp: whole(number(value) * unit)


def _times_bp(parts: int) -> Reader:
    """Basis points in parts of a tick."""
    return lambda value, bp: whole(number(value) * bp * parts)


def _three(reader: Reader) -> Reader:
    """One value for calm, busy and stormy times, or one for each."""

    def read(value: Any, bp: Decimal) -> list[Any]:
        values = value if isinstance(value, list) else [value] * 3
        if len(values) != 3:
            raise ValueError(f"{len(values)} values: give one, or three for calm, busy and stormy times")
        return [reader(x, bp) for x in values]

    return read


def _leaving(value: Any, bp: Decimal) -> int:
    """The rate at which something ends that lasts so long on average."""
    lasts = duration(value)
    if lasts < 1_000_000:
        raise ValueError(f"{value} is too short: 1ms at least")
    return max(1, whole((1 << 48) / Decimal(lasts)))


def _lots(value: Any, bp: Decimal) -> list[int]:
    """Sizes in lots; the generator adds one to what it draws."""
    return [max(0, x - 1) for x in quantiles(value, Decimal(1))]


def _distances(value: Any, bp: Decimal) -> list[int]:
    """Distances in basis points, in ticks."""
    return quantiles(value, bp)


def jumps(value: Any, bp: Decimal = RATE) -> list[int]:
    """Sizes of jumps in basis points, in 2^-20."""
    return quantiles(value, Decimal(1 << 20))


_SHARE = _times(256)
per_second = _times(RATE)

SECTIONS: dict[str, dict[str, tuple[str, Reader]]] = {
    "arrivals": {
        "depth_messages": ("depth_rate", _three(per_second)),
        "market_orders": ("market_rate", _three(_times(RATE / 2))),
        "regimes": ("leave_rate", _three(_leaving)),
        "parents": ("parent_rate", _three(_leaving)),
        "parent_lean": ("parent_lean", _SHARE),
        "echo": ("echo", _SHARE),
    },
    "fair": {
        "news": ("news_rate", _three(per_second)),
        "jumps": ("jump", jumps),
        "jump_scale": ("jump_scale", _three(_times(16))),
        "giveback": ("giveback", _SHARE),
        "impact": ("impact", _SHARE),
        "flow_lean": ("lean_flow", _times(1 << 15)),
        "book_lean": ("lean_book", _times(1 << 15)),
        "informed": ("informed_rate", per_second),
        "informed_lots": ("informed_lots", _times(1)),
    },
    "orders": {
        "place": ("place_distance", _distances),
        "cancel": ("cancel_distance", _distances),
        "limit_lots": ("limit_lots", _lots),
        "touch_lots": ("touch_lots", _lots),
        "market_lots": ("market_lots", _lots),
        "burst": ("burst_mean", _times(1)),
        "placing": ("placing", _SHARE),
        "crowd": ("crowd", _times(1)),
        "notice": ("notice", _SHARE),
        "tighten": ("tighten", _SHARE),
        "hurry": ("hurry", per_second),
        "touch_orders": ("touch_orders", _times(1)),
        "follow": ("follow", _SHARE),
        "reach": ("reach", _times_bp(1)),
        "spread_max": ("spread_max", _times(1)),
    },
    "crash": {
        "at": ("crash_ns", duration),
        "fall": ("crash_fall_ns", duration),
        "rest": ("crash_rest_ns", duration),
        "recover": ("crash_recover_ns", duration),
        "depth": ("crash_depth", _times(1 << 16)),
        "back": ("crash_back", _SHARE),
        "sells": ("crash_rate", per_second),
        "placing": ("crash_placing", _SHARE),
        "tighten": ("crash_tighten", _SHARE),
    },
    "coupling": {
        "beta": ("beta", _SHARE),
        "lag": ("lag_ns", duration),
        "watch": ("watch", _SHARE),
        "band": ("band_q8", _times_bp(256)),
    },
}
"""Keys of a scenario's sections: the rule that each sets, and how it is read."""

TABLES_OF = {"arrivals": ("excitement",), "fair": ("waves",), "coupling": ("partner",)}
"""Keys of sections that are read by themselves."""

ABSENT: dict[str, dict[str, int]] = {
    "crash": {"crash_ns": 0, "crash_fall_ns": 1_000_000, "crash_rest_ns": 1_000_000, "crash_recover_ns": 1_000_000,
              "crash_depth": 0, "crash_back": 0, "crash_rate": 0, "crash_placing": 1, "crash_tighten": 0},
    "coupling": {"beta": 0, "lag_ns": 0, "partner": 0, "watch": 0, "band_q8": 256},
}
"""Sections that may be absent, and their rules then. Each key of [coupling] may be absent too."""


def key_of(rule: str) -> str:
    """The section and key that set a rule."""
    return next((f"{section}.{key}" for section, keys in SECTIONS.items() for key, (name, _) in keys.items()
                 if name == rule), rule)
