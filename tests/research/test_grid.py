"""Grids of parameters: ranges, literals, order, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex.domain.errors import ConfigError
from apex.research.grid import VALUES_MAX, axis, checked, count, points


@pytest.mark.parametrize(("text", "values"), [
    ("1:4", [1, 2, 3, 4]), ("1:100:5", list(range(1, 101, 5))), ("5", [5]), ("-5:5:5", [-5, 0, 5]),
    ("10:1:-3", [10, 7, 4, 1]), ("0.1,0.2", [0.1, 0.2]), ("0.1:0.5:0.1", [0.1, 0.2, 0.3, 0.4, 0.5]),
    ("1.0:3", [1.0, 2.0, 3.0]), ("1:3,7,20:22", [1, 2, 3, 7, 20, 21, 22]), ("true,false", [True, False]),
    ('"a","b,c"', ["a", "b,c"]), ("'1:3'", ["1:3"]), ("[1,2],[3]", [[1, 2], [3]]), (" 1 , 2 ", [1, 2]),
    ("1e3,2", [1000.0, 2]), ("1:1", [1]), ("1_000", [1000]),
])
def test_values_of_a_parameter(text: str, values: list[Any]) -> None:
    """Lost: runs at values that nobody asked for, integers as floats, or a range without its end."""
    found = axis(text)
    assert found == values
    assert [type(v) for v in found] == [type(v) for v in values]


@pytest.mark.parametrize(("text", "what"), [
    ("", "no value"), ("1,", "no value"), (",1", "no value"), ("1,,2", "no value"), ("a", "no value"),
    ("1:", "no value"), ("1:2:3:4", "no value"), ("3:1", "0 values"), ("1:3:-1", "0 values"), ("1:2:0", "step"),
    ("1,1", "twice"), ("1:3,2", "twice"), ("1:1000001", "1,000,001 values"), ("1:" + "9" * 30, "too long"),
    ("0:1:0.0000001", "values"), ("[" * 5000, "no value"), ("1:3,\"x\"", "no value"), ("nan,nan", "twice"),
])
def test_what_is_no_value(text: str, what: str) -> None:
    """Lost: a mistyped grid that runs for hours, or ends the command with a traceback."""
    with pytest.raises(ConfigError, match=what) as caught:
        axis(text, "--grid a")
    assert caught.value.where == "--grid a"
    assert caught.value.do


@given(st.integers(-10**6, 10**6), st.integers(0, 300), st.integers(1, 10**6), st.integers(0, 6))
def test_ranges_are_exact_decimals(low: int, steps: int, step: int, places: int) -> None:
    """Lost: 0.30000000000000004, or a last value that a float's error cuts off."""
    scale = Decimal(1).scaleb(-places)
    wanted = [(low + i * step) * scale for i in range(steps + 1)]
    text = ":".join(f"{v:f}" for v in (wanted[0], wanted[-1], step * scale))
    found = axis(text)
    assert found == [float(v) if "." in text else int(v) for v in wanted]


def test_points_in_order_and_their_number() -> None:
    """Lost: rows in another order than the grid says; a count that is not the number of runs."""
    axes = {"a": [2, 1], "b": [5], "c": [0, 1, 2]}
    found = list(points(axes))
    assert found == [{"a": a, "b": 5, "c": c} for a in (2, 1) for c in (0, 1, 2)]
    assert list(found[0]) == ["a", "b", "c"]
    assert count(axes) == len(found) == 6
    assert count({"a": range(10**6), "b": range(10**6)}) == 10**12  # type: ignore[dict-item]


def test_values_from_python() -> None:
    """Lost: numpy's integers, which no parameter of type int takes."""
    found = checked(np.arange(3), "grid a")
    assert found == [0, 1, 2]
    assert all(type(v) is int for v in found)
    assert checked((0.5, np.float64(0.25)), "grid a") == [0.5, 0.25]
    with pytest.raises(ConfigError, match="without values"):
        checked([], "grid a")
    with pytest.raises(ConfigError, match="1,000,001 values"):
        checked(range(VALUES_MAX + 1), "grid a")
