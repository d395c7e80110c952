"""Risk limits: what an operator sets in decimals, and what the gate compares in integers."""

from __future__ import annotations

import difflib
import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from apex._core.risk import LOTS_MAX
from apex.domain.decimals import MONEY_SCALE, plain, scaled, units
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument

COLLAR_PLACES = 12
MULTIPLE_PLACES = 6
MONEY_MAX = 1 << 62
"""Largest limit in cash units: sums of two still fit 64 bits."""

ACCOUNT_MAX = (1 << 127) - 1
"""Largest posting of the ledger, in 1 / (value denominator * 10^12) cash units."""

DIGITS_MAX = 40
"""Characters of a limit: more than any that fits 64 bits needs."""

UNIT_NS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
NUMBERS = {"price_collar": COLLAR_PLACES, "fat_finger_multiple": MULTIPLE_PLACES}
MONEY = ("order_value_max", "gross_notional_max", "daily_loss_max", "drawdown_max")
QUANTITIES = ("order_quantity_max", "position_max")
COUNTS = {"open_orders_max": 1 << 31, "messages_per_second_max": 1 << 20}
DURATIONS = ("book_age_max", "duplicate_window")


def duration_ns(text: str) -> int:
    """Nanoseconds of an integer with its unit.

    >>> duration_ns("250ms")
    250000000

    Raises
    ------
    ConfigError
        If `text` is no duration, or does not fit 64 bits.
    """
    found = re.fullmatch(r"(\d{1,19})(ns|us|ms|s|m|h|d)", text, re.ASCII)
    if not found or int(found[1]) * UNIT_NS[found[2]] >= 1 << 63:
        raise ConfigError(f"{text!r} is not a duration", "duration", "Write an integer and its unit: 100ms")
    return int(found[1]) * UNIT_NS[found[2]]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the risk gate; decimals as text, so that they stay exact.

    Attributes
    ----------
    price_collar : str
        Largest distance of an order's price from the mid, as a fraction of the mid, either way.
    fat_finger_multiple : str
        Largest quantity as a multiple of the larger of the two touches' quantities.
    order_value_max, gross_notional_max : str
        Largest value of one order, and of all positions and open orders together; money.
    order_quantity_max, position_max : str or None
        Largest quantity of one order, and of a position either way with the open orders that add to it; rounded down
        to the instrument's lots. None leaves it to the value limits.
    open_orders_max : int
        Open orders of one instrument.
    messages_per_second_max : int
        Orders, amendments and cancellations of all instruments within any second; cancellations are never denied.
    book_age_max, duplicate_window : str
        Durations: the oldest book to trade on, and how long the same order again counts as a duplicate.
    daily_loss_max, drawdown_max : str
        Largest loss since midnight UTC, and largest fall of net P&L from its peak; money.

    Raises
    ------
    ConfigError
        For a value that is no limit of its kind; `where` is its key.
    """

    price_collar: str = "0.1"
    fat_finger_multiple: str = "100"
    order_value_max: str = "100000"
    order_quantity_max: str | None = None
    position_max: str | None = None
    gross_notional_max: str = "1000000"
    open_orders_max: int = 200
    messages_per_second_max: int = 300
    book_age_max: str = "10s"
    duplicate_window: str = "10ms"
    daily_loss_max: str = "10000"
    drawdown_max: str = "10000"

    def __post_init__(self) -> None:
        for key in self.__struct_fields__:
            _validate(key, getattr(self, key))

    @classmethod
    def from_toml(cls, path: Path) -> Limits:
        """Read a file of limits; a key that it lacks keeps its default.

        Raises
        ------
        ConfigError
            For a file that cannot be read, an unknown key, or a value that is no limit of its kind; `where` names the
            file and the key.
        """
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        except OSError as error:
            raise ConfigError(f"cannot read limits: {error.strerror or error}", str(path), "Name a TOML file") from None
        except ValueError as error:  # of UTF-8 and of TOML, both
            raise ConfigError(f"limits are no TOML: {error}", str(path), "Write price_collar = 0.05") from None
        for key in given:
            if key not in cls.__struct_fields__:
                near = difflib.get_close_matches(key, cls.__struct_fields__, n=1)
                do = f"Did you mean {near[0]}?" if near else f"The keys are: {', '.join(cls.__struct_fields__)}"
                raise ConfigError(f"unknown limit {key!r}", f"{path}: {key}", do)
        try:
            return cls(**{key: _exact(key, value) for key, value in given.items()})
        except ConfigError as error:
            raise ConfigError(error.what, f"{path}: {error.where}", error.do) from None

    def integers(self, instrument: Instrument) -> dict[str, int]:
        """The gate's integers for an instrument: fractions in 1e-12 and 1e-6, cash units, lots, nanoseconds.

        Quantities round down to whole lots.

        Raises
        ------
        ConfigError
            If the worst product at these limits would overflow the instrument's accounts.
        """
        out = {key: units(getattr(self, key), plain(1, places)) for key, places in NUMBERS.items()}
        out |= {key: units(getattr(self, key), plain(1, MONEY_SCALE)) for key in MONEY}
        out |= {key: _lots(getattr(self, key), instrument.lot) for key in QUANTITIES}
        out |= {key: getattr(self, key) for key in COUNTS}
        out |= {f"{key}_ns": duration_ns(getattr(self, key)) for key in DURATIONS}
        num, den = instrument.value
        worst = out["gross_notional_max"] + out["order_value_max"]
        if worst > MONEY_MAX or worst * den * 2 * 10**12 > ACCOUNT_MAX:
            raise ConfigError(f"{instrument.symbol} could overflow its accounts at these limits",
                              "gross_notional_max, order_value_max", "Lower the value limits")
        if instrument.kind != "inverse" and LOTS_MAX > out["position_max"] > MONEY_MAX * den // num:
            raise ConfigError(f"{instrument.symbol} could overflow its accounts at these limits", "position_max",
                              "Lower it")
        return out

    def as_dict(self) -> dict[str, Any]:
        """Names and values for JSON, in the file's order: fractions and multiples are numbers, None is no limit."""
        values = {key: getattr(self, key) for key in self.__struct_fields__}
        return {key: float(value) if key in NUMBERS else value for key, value in values.items()}


def _exact(key: str, value: Any) -> Any:
    """A TOML number where a number is asked for, as exact text."""
    if isinstance(value, Decimal) and key in NUMBERS and value.is_finite() and abs(value.adjusted()) < DIGITS_MAX:
        return f"{value:f}"
    return str(value) if type(value) in (int, Decimal) and key in NUMBERS else value


def _validate(key: str, value: Any) -> None:
    if key in COUNTS:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= COUNTS[key]:
            raise ConfigError(f"{value!r} is no integer from 0 to {COUNTS[key]}", key, "Write for example 100")
        return
    if value is None and key in QUANTITIES:
        return
    example = {"book_age_max": '"10s"', "duplicate_window": '"10ms"', "price_collar": "0.05",
               "fat_finger_multiple": "100"}.get(key, '"1000.5"')  # fmt: skip
    if not isinstance(value, str):
        raise ConfigError(f"{value!r} is no {'duration' if key in DURATIONS else 'decimal string'}", key,
                          f"Write for example {key} = {example}")
    try:
        if key in DURATIONS:
            duration_ns(value)
            return
        if len(value) > DIGITS_MAX:
            raise ConfigError(f"{value[:DIGITS_MAX]}... has too many digits", key)
        mantissa, places = scaled(value)
    except ConfigError as error:
        raise ConfigError(error.what, key, f"Write for example {key} = {example}") from None
    most = NUMBERS.get(key, MONEY_SCALE if key in MONEY else places)
    if mantissa < 0 or value.startswith("-"):
        raise ConfigError(f"{value} is negative: a limit is 0 or more", key, f"Write for example {key} = {example}")
    if places > most:
        raise ConfigError(f"{value} has more than {most} decimal places", key, f"Write for example {key} = {example}")
    if mantissa * 10 ** (most - places) > MONEY_MAX and key not in QUANTITIES:
        raise ConfigError(f"{value} is too large to count with", key, f"Write for example {key} = {example}")


def _lots(text: str | None, lot: str) -> int:
    """Whole lots of a quantity, rounded down, at most what the gate can count."""
    if text is None:
        return LOTS_MAX
    (value, places), (size, lot_places) = scaled(text), scaled(lot)
    whole: int = value * 10**lot_places // (size * 10**places)
    return min(LOTS_MAX, whole)
