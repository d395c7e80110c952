"""Exact decimals: text to scaled integers and back, without floats."""

from __future__ import annotations

import re
from math import gcd

from apex.domain.errors import ConfigError

MONEY_SCALE = 8
"""Decimal places of cash: one unit is 10^-8 of the currency."""

DIGITS_MAX = 1000
"""Characters of a decimal: far more than any account holds, far fewer than Python refuses."""

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)


def scaled(text: str) -> tuple[int, int]:
    """Mantissa and decimal places of a decimal string, shortest form.

    >>> scaled("0.0010")
    (1, 3)
    >>> scaled("250")
    (250, 0)

    Raises
    ------
    ConfigError
        If `text` is no plain decimal.
    """
    if len(text) > DIGITS_MAX or not _DECIMAL.fullmatch(text):
        raise ConfigError(f"{text[:40]!r} is not a decimal number", "decimal", "Write it like 0.001")
    whole, _, part = text.partition(".")
    part = part.rstrip("0")
    return int((whole or "0") + part) if whole not in ("-", "+") else int(whole + "0" + part), len(part)


def units(text: str, step: str) -> int:
    """How many steps make the decimal `text`, exactly.

    >>> units("61800.30", "0.1")
    618003

    Raises
    ------
    ConfigError
        If `text` is not on the grid of `step`.
    """
    (value, places), (size, step_places) = scaled(text), scaled(step)
    top = max(places, step_places)
    count, rest = divmod(value * 10 ** (top - places), size * 10 ** (top - step_places))
    if rest:
        raise ConfigError(f"{text} is not a multiple of {step}", "decimal", f"Use a multiple of {step}")
    return int(count)


def plain(mantissa: int, places: int) -> str:
    """Decimal string of mantissa * 10**-places without trailing zeros or exponent.

    >>> plain(-1250, 3)
    '-1.25'
    """
    sign, digits = ("-" if mantissa < 0 else ""), str(abs(mantissa)).rjust(places + 1, "0")
    if places == 0:
        return sign + digits
    part = digits[-places:].rstrip("0")
    return sign + digits[:-places] + ("." + part if part else "")


def of_units(count: int, step: str) -> str:
    """Decimal string of `count` steps: the inverse of `units`.

    >>> of_units(618003, "0.1")
    '61800.3'
    """
    size, places = scaled(step)
    return plain(count * size, places)


def money(amount: int) -> str:
    """Decimal string of cash units.

    >>> money(-150000000)
    '-1.5'
    """
    return plain(amount, MONEY_SCALE)


def grid(values: list[str]) -> str:
    """The coarsest step on which all decimals lie: their exact gcd.

    >>> grid(["61800.30", "0.70"])
    '0.1'
    """
    parts = [scaled(v) for v in values]
    top = max((p for _, p in parts), default=0)
    common = 0
    for value, places in parts:
        common = gcd(common, value * 10 ** (top - places))
    return plain(common, top)


