"""Parameters of strategies: types, bounds, and what a person is told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex.domain.errors import ConfigError
from apex.domain.params import Params, bound


class Genome(Params):
    """One of each kind."""

    width: int = bound(5, low=1, high=50)
    weight: float = bound(0.5, low=-1, high=1)
    name: str = "a"
    loud: bool = False
    steps: int = 3


class Finer(Genome):
    """A subclass adds and changes."""

    depth: int = bound(2, low=0, high=9)
    steps: int = 4


class Needs(Params):
    """One without a default."""

    size: int


@given(st.integers(-100, 100), st.floats(-3, 3))
def test_bounds_hold(width: int, weight: float) -> None:
    """Lost: a search that leaves its range, or a person who does."""
    inside = 1 <= width <= 50 and -1 <= weight <= 1
    if inside:
        made = Genome(width=width, weight=weight)
        assert (made.width, made.weight) == (width, weight)
    else:
        with pytest.raises(ConfigError, match=r"outside (1\.\.50|-1\.\.1)"):
            Genome(width=width, weight=weight)


@pytest.mark.parametrize(("name", "value", "text"), [
    ("width", "5", "no int"), ("width", 5.0, "no int"), ("width", True, "no int"), ("width", None, "no int"),
    ("weight", "0.5", "no float"), ("weight", True, "no float"), ("weight", float("nan"), "outside"),
    ("name", 5, "no str"),
    ("loud", 1, "no bool"), ("steps", 2**63, "64 bits"), ("steps", -(2**63) - 1, "64 bits"), ("widht", 5, "unknown"),
])
def test_values_that_do_not_fit(name: str, value: Any, text: str) -> None:
    """Lost: a parameter that is silently another number; the name of the one that is wrong."""
    with pytest.raises(ConfigError, match=text) as caught:
        Genome(**{name: value})
    assert (caught.value.where, caught.value.exit_code) == ("--set", 2)
    assert name in caught.value.what


def test_unknown_names_get_a_guess_or_the_list() -> None:
    """Lost: what was meant."""
    with pytest.raises(ConfigError) as caught:
        Genome(wdth=5)
    assert caught.value.do == "Did you mean width?"
    with pytest.raises(ConfigError) as caught:
        Genome(zzz=5)
    assert "width" in caught.value.do
    with pytest.raises(ConfigError) as caught:
        Params(zzz=5)
    assert "none" in caught.value.do


def test_integers_are_floats_where_floats_are_asked_for() -> None:
    """Lost: --set weight=1 as an error."""
    made = Genome(weight=1)
    assert (made.weight, type(made.weight)) == (1.0, float)


def test_defaults_fields_bounds_and_text() -> None:
    """Lost: the genome that a search walks, in the order of its definition; subclasses."""
    assert Genome().as_dict() == {"width": 5, "weight": 0.5, "name": "a", "loud": False, "steps": 3}
    assert Genome.bounds() == {"width": (1, 50), "weight": (-1, 1)}
    assert repr(Genome(width=7)) == "Genome(width=7, weight=0.5, name='a', loud=False, steps=3)"
    assert Finer().as_dict()["steps"] == 4
    assert list(Finer.bounds()) == ["width", "weight", "depth"] or set(Finer.bounds()) == {"width", "weight", "depth"}


def test_a_parameter_without_default_must_be_given() -> None:
    """Lost: a None where the strategy counts on a number."""
    with pytest.raises(ConfigError, match="size has no default"):
        Needs()
    assert Needs(size=4).size == 4


def test_parameters_are_fixed_for_a_run() -> None:
    """Lost: a strategy that changes what the report says it ran with."""
    made = Genome()
    with pytest.raises(AttributeError, match="fixed"):
        made.width = 6


def test_a_default_outside_its_bounds_is_a_mistake_of_the_author() -> None:
    """Lost: a genome whose first individual is dead."""
    with pytest.raises(ValueError, match="outside"):
        bound(0, low=1, high=2)
