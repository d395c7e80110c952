"""Integrated order flow: the first component, its sign and its scale."""

from __future__ import annotations

import numpy as np
import pytest

from apex.domain.errors import InputError
from apex.research.orderflow import integrated_weights


def test_the_first_component_carries_the_most_variance() -> None:
    """Lost otherwise: a combination that is no better than the first level. No other direction varies more."""
    rng = np.random.default_rng(0)
    common = rng.normal(size=5000)
    flows = np.outer(common, [3, 2, -1, 0.5]) + rng.normal(size=(5000, 4)) * 0.4
    flows[10, 2] = np.nan
    weights = integrated_weights(flows)
    assert np.abs(weights).sum() == pytest.approx(1.0)
    assert weights[0] > 0 > weights[2]
    clean = flows[np.isfinite(flows).all(axis=1)]
    best = (clean @ weights).var() / (weights**2).sum()
    for _ in range(200):
        other = rng.normal(size=4)
        assert (clean @ other).var() / (other**2).sum() <= best * (1 + 1e-9)


@pytest.mark.parametrize("flows", [[], [[1.0, 2.0]], [[1.0, 1.0]] * 9, [[np.nan, 1.0]] * 9])
def test_flows_that_do_not_vary_have_none(flows: list[list[float]]) -> None:
    """Lost otherwise: weights of nothing."""
    with pytest.raises(InputError, match="vary"):
        integrated_weights(flows)
