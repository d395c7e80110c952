"""Quotes and plans against the formulas of their papers, computed apart."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import isclose

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex.domain.errors import ConfigError
from apex.strategies.avellaneda_stoikov import AvellanedaStoikov
from apex.strategies.glft import Glft
from apex.strategies.twap import Twap
from apex.strategies.vwap import Vwap
from tests.oracles import makers

GAMMA = st.floats(1e-5, 1.0)
SIGMA = st.floats(0.0, 500.0)
DEMAND = st.floats(1e-3, 2.0)
UNITS = st.integers(-20, 20)
FEE = st.floats(0.0, 200.0)


def close(found: tuple[float, float], right: tuple[float, float], mid: float) -> bool:
    """Equal to 1e-9 of the distance from the mid, or to the rounding of prices near the mid."""
    return all(isclose(f - mid, r - mid, rel_tol=1e-9, abs_tol=1e-9 * mid) for f, r in zip(found, right, strict=True))


@given(GAMMA, SIGMA, DEMAND, UNITS, st.floats(0.0, 600.0), FEE)
def test_avellaneda_stoikov_is_the_paper(gamma: float, sigma: float, k: float, q: int, left: float, fee: float) -> None:
    """Lost otherwise: a market maker under the paper's name with another risk term, which no replay would show."""
    maker = AvellanedaStoikov(AvellanedaStoikov.Params(gamma=gamma, sigma=sigma, k=k, fee_ticks=fee))
    right = makers.avellaneda_stoikov(600_000.5, q, left, gamma, sigma, k, fee)
    assert close(maker.quotes(600_000.5, q, left), right, 600_000.5)


@given(st.floats(1e-3, 1.0), SIGMA, st.floats(1e-3, 100.0), st.floats(1e-2, 2.0), UNITS, FEE)
def test_glft_is_the_paper(gamma: float, sigma: float, a: float, k: float, q: int, fee: float) -> None:
    """Lost otherwise: a slip in the exponent 1 + k / gamma, which only widens or narrows the lean."""
    maker = Glft(Glft.Params(gamma=gamma, sigma=sigma, a=a, k=k, fee_ticks=fee))
    assert close(maker.quotes(600_000.5, q), makers.glft(600_000.5, q, gamma, sigma, a, k, fee), 600_000.5)


def test_the_papers_own_example() -> None:
    """Lost otherwise: formula and oracle wrong in the same way. The figures are worked by hand from the paper's values.

    gamma 0.1, sigma 2, k 1.5, T - t = 1, mid 100, flat: risk 0.4, 20 ln(1 + 1/15) = 1.29077, so a spread of 1.69077.
    """
    maker = AvellanedaStoikov(AvellanedaStoikov.Params(gamma=0.1, sigma=2.0, k=1.5))
    bid, ask = maker.quotes(100.0, 0, 1.0)
    assert ask - bid == pytest.approx(1.690770, abs=1e-6)
    bid, ask = maker.quotes(100.0, 3, 1.0)
    assert (bid + ask) / 2 == pytest.approx(98.8)


@given(st.integers(-5, 5), FEE)
def test_quotes_lean_against_the_position(q: int, fee: float) -> None:
    """Lost otherwise: a sign error, by which a position grows instead of going back."""
    for maker in (Glft(Glft.Params(fee_ticks=fee)), AvellanedaStoikov(AvellanedaStoikov.Params(fee_ticks=fee))):
        more = (30.0,) if isinstance(maker, AvellanedaStoikov) else ()
        bid, ask = maker.quotes(1000.0, q, *more)
        lower_bid, lower_ask = maker.quotes(1000.0, q + 1, *more)
        mirrored_bid, mirrored_ask = maker.quotes(1000.0, -q, *more)
        assert lower_bid < bid < ask
        assert lower_ask < ask
        assert (2000 - mirrored_ask, 2000 - mirrored_bid) == pytest.approx((bid, ask))


@given(st.integers(1, 10**9), st.integers(1, 300))
def test_twap_is_equal_slices(lots: int, slices: int) -> None:
    """Lost otherwise: slices that differ by more than a lot, or do not add up to the parent order."""
    twap = Twap(Twap.Params(quantity_lots=lots, slices=slices))
    plan = [twap.planned(k) for k in range(slices + 1)]
    steps = {b - a for a, b in pairwise(plan)}
    assert (plan[0], plan[-1]) == (0, lots)
    assert max(steps) - min(steps) <= 1


@given(st.integers(1, 10**9), st.integers(1, 60), st.lists(st.integers(0, 10**6), min_size=1, max_size=40))
def test_vwap_is_the_integral_of_its_profile(lots: int, slices: int, weights: list[int]) -> None:
    """Lost otherwise: a plan that is off where slices and parts of the profile do not line up."""
    if not any(weights):
        weights[0] = 1
    vwap = Vwap(Vwap.Params(quantity_lots=lots, slices=slices, profile=",".join(map(str, weights))))
    for k in range(slices + 1):
        moment = Fraction(k * len(weights), slices)  # in parts of the profile
        share = sum((min(Fraction(1), max(Fraction(0), moment - i)) * w for i, w in enumerate(weights)), Fraction(0))
        assert vwap.planned(k) == lots * share // sum(weights)


@pytest.mark.parametrize("profile", ["", "0", "0,0", "1,", "a", "-1,2", "1.5"])
def test_a_profile_must_be_weights(profile: str) -> None:
    """Lost otherwise: a typing error in a profile that trades everything in the first slice."""
    with pytest.raises(ConfigError, match="no list of weights"):
        Vwap(Vwap.Params(profile=profile))


def test_a_side_must_be_a_side() -> None:
    """Lost otherwise: a misspelt side that fails in the middle of a run."""
    with pytest.raises(ConfigError, match="neither buy nor sell"):
        Twap(Twap.Params(side="long"))


def test_parameters_out_of_bounds_are_refused() -> None:
    """Lost otherwise: a division by a gamma of zero in the middle of a run."""
    for kind in (Glft, AvellanedaStoikov):
        for name in ("gamma", "k"):
            with pytest.raises(ConfigError, match="lies outside"):
                kind.Params(**{name: 0.0})
