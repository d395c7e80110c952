"""Hawkes: likelihood and intensity of the golden vector, gradients, and fits of simulated processes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apex._core.features import Features
from apex._core.features_trades import excitation
from apex.domain.errors import InputError
from apex.research import hawkes

GOLDEN = np.array([0.0, 1.0, 1.5, 3.0])


def test_the_golden_vector() -> None:
    """Lost otherwise: fits and features of another process than the literature's. Methods 16.E."""
    got = hawkes.intensity(GOLDEN, GOLDEN, 0.5, 0.8, 1.2)
    np.testing.assert_allclose(got, [0.5, 0.7409553695, 1.0712884195, 0.7266724512], rtol=1e-9)
    assert hawkes.log_likelihood(GOLDEN, 4.0, 0.5, 0.8, 1.2) == pytest.approx(-5.6523562968, abs=1e-9)


def test_excitation_equals_its_sum() -> None:
    """Lost otherwise: gradients that send the search elsewhere. Value and derivative, term by term."""
    rng = np.random.default_rng(0)
    events, times = np.sort(rng.random(50)) * 9, np.sort(rng.random(30)) * 10
    out = np.zeros((30, 2))
    excitation(times, events, 1.7, out)
    for t, (value, slope) in zip(times, out, strict=True):
        age = t - events[events < t]
        assert value == pytest.approx(np.exp(-1.7 * age).sum(), rel=1e-12)
        assert slope == pytest.approx(-(age * np.exp(-1.7 * age)).sum(), rel=1e-9, abs=1e-12)
    with pytest.raises(ValueError, match="row of two"):
        excitation(times, events, 1.7, np.zeros((29, 2)))


@pytest.mark.parametrize("side", [0, 1])
def test_the_gradient_is_the_slope(side: int) -> None:
    """Lost otherwise: a minimum that is none."""
    rng = np.random.default_rng(1)
    streams = [np.sort(rng.random(40)) * 20, np.sort(rng.random(60)) * 20]
    theta = np.log([0.7, 0.5, 0.3, 2.0])
    value, slope = hawkes._one(theta, streams, side, 21.0)
    for k in range(4):
        up, down = (hawkes._one(theta + d * np.eye(4)[k], streams, side, 21.0)[0] for d in (1e-5, -1e-5))
        assert slope[k] == pytest.approx((up - down) / 2e-5, rel=1e-5, abs=1e-6)
    alone = hawkes._one(np.log([0.7, 0.5, 2.0]), [streams[0]], 0, 21.0)[0]
    assert alone == pytest.approx(-hawkes.log_likelihood(streams[0], 21.0, 0.7, 0.5, 2.0), rel=1e-12)
    assert math.isfinite(value)


def simulated(rng: np.random.Generator, mu: Any, alpha: Any, beta: float, end: float) -> list[Any]:
    """Ogata's thinning."""
    size = len(mu)
    alpha = np.array(alpha).reshape(size, size)
    t, excited = 0.0, np.zeros(size)
    out: list[list[float]] = [[] for _ in range(size)]
    while True:
        bound = float((mu + alpha @ excited).sum())
        wait = rng.exponential(1 / bound)
        t, excited = t + wait, excited * math.exp(-beta * wait)
        if t > end:
            return [np.array(x) for x in out]
        rates = mu + alpha @ excited
        if rng.random() * bound < rates.sum():
            side = int(rng.choice(size, p=rates / rates.sum()))
            out[side].append(t)
            excited[side] += 1


def test_a_fit_finds_its_process(tmp_path: Path) -> None:
    """Lost otherwise: parameters that are not those of the data. Seeded; within a fifth of the truth."""
    pytest.importorskip("scipy", reason="fits need the extra `research`")
    events, = simulated(np.random.default_rng(4), np.array([0.8]), [1.5], 2.5, 4000.0)
    model = hawkes.fit(events)
    assert [*model.mu, *model.alpha, model.beta] == pytest.approx([0.8, 1.5, 2.5], rel=0.2)
    assert model.branching == pytest.approx(0.6, abs=0.05)
    assert model.log_likelihood >= hawkes.log_likelihood(events - events[0], events[-1] - events[0], 0.8, 1.5, 2.5)
    again = hawkes.fit(events, start=model)
    assert again.log_likelihood == pytest.approx(model.log_likelihood, rel=1e-6)
    features = Features(asked=(model.feature(),))
    features.trade(1, 100, 1, 10**9)
    assert features.value(model.feature()) == pytest.approx(model.mu[0] + model.alpha[0])
    buys, sells = simulated(np.random.default_rng(5), np.array([0.5, 0.7]), [0.9, 0.3, 0.2, 1.1], 2.0, 4000.0)
    pair = hawkes.fit_pair(buys, sells)
    assert [*pair.mu, *pair.alpha, pair.beta] == pytest.approx([0.5, 0.7, 0.9, 0.3, 0.2, 1.1, 2.0], rel=0.35)
    features.ask(pair.feature("skew"))


def test_what_cannot_be_fitted() -> None:
    """Lost otherwise: a branching ratio of one, under which every trade causes the next for ever."""
    pytest.importorskip("scipy", reason="fits need the extra `research`")
    for few in (np.zeros(0), np.arange(10.0)):
        with pytest.raises(InputError, match="too few"):
            hawkes.fit(few)
    rng = np.random.default_rng(6)
    bursts = np.sort(np.concatenate([1000 * 2.0**k + np.sort(rng.random(40 * 2**k)) * 0.01 for k in range(6)]))
    with pytest.raises(InputError, match="branching"):
        hawkes.fit(bursts)
    assert hawkes.seconds(np.array([5, 5, 10**9 + 5])).tolist() == [0.0, 1.0]
