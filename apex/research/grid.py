"""Grids of parameters: text of the command line to values, and values to points in one fixed order."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from decimal import Context, Decimal, localcontext
from math import prod
from typing import Any

from apex.domain.errors import ConfigError

VALUES_MAX = 1_000_000
"""Values of one parameter."""

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(?::({_NUMBER}))?", re.ASCII)
DIGITS_MAX = 20
"""Characters of a number in a range."""
EXACT = Context(prec=3 * DIGITS_MAX)

Axes = Mapping[str, list[Any]]


def axis(text: str, where: str = "--grid") -> list[Any]:
    """The values of one parameter: between commas `low:high` and `low:high:step`, both ends included, or TOML literals.

    >>> axis("1:10:4"), axis("0.1:0.3:0.1"), axis("5,10:12"), axis('"a","b"'), axis("3:1:-1")
    ([1, 5, 9], [0.1, 0.2, 0.3], [5, 10, 11, 12], ['a', 'b'], [3, 2, 1])

    A range of whole numbers gives integers; one with a decimal point gives floats, each the one nearest to its decimal.

    Raises
    ------
    ConfigError
        For what is no value, a range without values, a value given twice, or more than a million values.
    """
    found: list[Any] = []
    for part in [text] if _quoted(text) else text.split(","):
        match = _RANGE.fullmatch(part.strip())
        found += _literals(part, where) if match is None else _range(match, where)
    return checked(found, where)


def checked(values: Iterable[Any], where: str) -> list[Any]:
    """Values of a parameter as a list without repetitions; numpy's scalars as Python's."""
    out = [v.item() if hasattr(v, "item") else v for v in values]
    if not out:
        raise ConfigError("a parameter without values", where, "Give at least one value")
    if len(out) > VALUES_MAX:
        raise ConfigError(f"{len(out):,} values of one parameter", where, f"Give at most {VALUES_MAX:,}")
    seen: set[tuple[type, str]] = set()
    for value in out:
        key = (type(value), repr(value))
        if key in seen:
            raise ConfigError(f"value {value!r} appears twice", where, "Give each value once")
        seen.add(key)
    return out


def count(axes: Axes) -> int:
    """How many points a grid has."""
    return prod(len(values) for values in axes.values())


def points(axes: Axes) -> Iterator[dict[str, Any]]:
    """Every combination, the last parameter changing fastest.

    >>> list(points({"a": [1, 2], "b": [3, 4]}))
    [{'a': 1, 'b': 3}, {'a': 1, 'b': 4}, {'a': 2, 'b': 3}, {'a': 2, 'b': 4}]
    """
    for values in itertools.product(*axes.values()):
        yield dict(zip(axes, values, strict=True))


def _quoted(text: str) -> bool:
    """Whether a comma in the text may belong to a value: then it holds literals only, no ranges."""
    return any(mark in text for mark in "\"'[{")


def _literals(text: str, where: str) -> list[Any]:
    try:
        values: list[Any] = tomllib.loads(f"x = [{text}]")["x"] if text.strip() else []
        if not values:
            raise ValueError
    except (ValueError, RecursionError):
        raise ConfigError(f"{text!r} is no value", where,
                          'Write for example a=1:10 b=0.1,0.2 c=1:100:5 name=\'"x","y"\'') from None
    return values


def _range(match: re.Match[str], where: str) -> list[Any]:
    if any(len(part) > DIGITS_MAX for part in match.groups("")):
        raise ConfigError(f"a number of {match[0]!r} is too long", where, "Give shorter numbers")
    low, high, step = (Decimal(part) for part in match.groups("1"))
    if step == 0:
        raise ConfigError(f"the step of {match[0]!r} is 0", where, "Give another step")
    with localcontext(EXACT):
        number = int((high - low) // step) + 1 if (high - low) / step >= 0 else 0
        if not 1 <= number <= VALUES_MAX:
            raise ConfigError(f"the range {match[0]!r} has {number:,} values", where,
                              f"Give 1 to {VALUES_MAX:,} values")
        values = [low + i * step for i in range(number)]
    return [float(v) for v in values] if "." in match[0] else [int(v) for v in values]
