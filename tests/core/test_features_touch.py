"""Features of the touch against their batch definitions, golden values and warm-up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from apex._core.features import Features
from tests.core.assembly import START
from tests.core.histories import MS, history, stream
from tests.oracles import features_touch as batch

SECOND = 1000 * MS
SEEDS = range(3)


def same(got: Any, want: Any, known: float = 0.5) -> None:
    """Equal to 1e-9 of the value (or, where terms cancel, of the column's usual size), NaN at the same places, and
    known often enough for that to mean something."""
    for g, w in zip(np.atleast_2d(np.asarray(got).T), np.atleast_2d(np.asarray(want).T), strict=True):
        usual = np.nanmedian(np.abs(w)) if np.isfinite(w).any() else 0.0
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-9 * usual)
        assert np.isfinite(g).mean() > known


@pytest.mark.parametrize("seed", SEEDS)
def test_touch(seed: int) -> None:
    """Lost otherwise: every number that a strategy reads of the touch."""
    events = history(seed, 1500, broken=0.05)
    want = batch.quote(events)
    got = stream(events, *want)
    for k, (name, column) in enumerate(want.items()):
        same(got[:, k], column), name


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("window", [1, 300, 5000])
def test_order_flow(seed: int, window: int) -> None:
    """Lost otherwise: order flow of another window than it says. The windows are in ms."""
    events = history(seed, 1200)
    want = batch.order_flow(events, window * MS)
    got = stream(events, f"ofi:{window}ms", f"ofi.scaled:{window}ms")
    same(got[:, 0], want["ofi"])
    same(got[:, 1], want["ofi.scaled"])


@pytest.mark.parametrize("seed", SEEDS)
def test_decayed_order_flow(seed: int) -> None:
    """Lost otherwise: a decay that is applied twice, or not at all."""
    events = history(seed, 1200)
    same(stream(events, "ofi_decayed:700ms")[:, 0], batch.decayed_flow(events, 700 * MS))


def same_returns(got: Any, want: dict[str, Any]) -> None:
    """Realised measures, and what stands beside them; two scales, a difference of variances, equal to 1e-9 of them."""
    variance = want["realised.variance"]
    for k, (name, column) in enumerate(want.items()):
        if name != "realised.two_scale":
            same(got[:, k], column, 0.0 if name == "realised.jump_z" else 0.5)
            continue
        moving = ~(variance == 0)
        assert not got[~moving, k].any()
        np.testing.assert_allclose(got[moving, k] / variance[moving], column[moving] / variance[moving], 1e-9, 1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("step", "steps"), [(50, 4), (500, 3), (2000, 10)])
def test_realised_measures(seed: int, step: int, steps: int) -> None:
    """Lost otherwise: jumps taken for volatility, or neighbours of the bipower that are none."""
    events = history(seed, 2000)
    want = batch.returns(events, step * MS, steps)
    got = stream(events, *(f"{name}:{step}ms:{steps}" for name in want))
    same_returns(got, want)


def test_two_scales_see_through_noise() -> None:
    """Lost otherwise: quotes that bounce by a tick, taken for volatility. A walk of known variance, with noise."""
    rng = np.random.default_rng(4)
    name = "realised.two_scale:1ms:4096"
    features = Features(asked=[name, "realised.variance:1ms:4096"])
    walk = 1e6 + rng.normal(0, 2, 4200).cumsum()
    for n, price in enumerate(walk + rng.normal(0, 8, 4200)):
        features.book(round(price), 5, round(price) + 1, 5, START + n * MS)
    true = 4096 * (2e-6) ** 2
    assert features.value("realised.variance:1ms:4096") > 20 * true
    assert features.value(name) == pytest.approx(true, rel=0.25)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("step", "steps", "q"), [(50, 2, 0.0), (100, 40, 0.9), (700, 5, 0.33)])
def test_samples_of_the_touch(seed: int, step: int, steps: int, q: float) -> None:
    """Lost otherwise: a spread that is called wide by the statistics of another time."""
    events = history(seed, 1500)
    want = batch.samples(events, step * MS, steps, q)
    got = stream(events, *(f"{name}:{step}ms:{steps}:{q}" for name in want))
    for k, column in enumerate(want.values()):
        same(got[:, k], column)


def test_a_long_silence_changes_nothing() -> None:
    """Lost otherwise: the shortcut over a silence of many steps that forgets a return or a sample."""
    events = history(3, 300, waits=(0, 5, 20, 20, 2000))
    want = batch.returns(events, 10 * MS, 7) | batch.samples(events, 10 * MS, 7, 0.4)
    got = stream(events, *(f"{name}:10ms:7" + (":0.4" if "stats" in name else "") for name in want))
    same_returns(got, want)


@pytest.mark.parametrize("seed", SEEDS)
def test_micro_price(seed: int) -> None:
    """Lost otherwise: a table read at the wrong state; wider spreads have the weighted mid."""
    rng = np.random.default_rng(seed)
    table = [[float(x) for x in rng.normal(size=7)] for _ in range(3)]
    events = history(seed, 1000)
    features = Features(asked=())
    features.ask("microprice", model=table)
    same(stream(events, "microprice", features=features)[:, 0], batch.micro_price(events, table))


def test_micro_price_is_antisymmetric() -> None:
    """Lost otherwise: a price that leans to one side by how buckets are cut. Mirrored book, mirrored shift, exactly."""
    half = [0.31, 0.2, 0.07]
    table = [[-x for x in half] + half[::-1]]
    features, mirrored = Features(asked=()), Features(asked=())
    for one in (features, mirrored):
        one.ask("microprice.shift", model=table)
    for bid in range(1, 40):
        for ask in range(1, 40):
            features.book(100, bid, 101, ask, 1)
            mirrored.book(100, ask, 101, bid, 1)
            assert features.value("microprice.shift") == -mirrored.value("microprice.shift")


def test_values_by_hand() -> None:
    """Lost otherwise: both definitions wrong in the same way."""
    features = Features(asked=("touch.spread_bp", "imbalance.signed", "ofi.scaled:1ns", "spread_stats.mean:10ns:2"))
    features.book(999, 30, 1001, 10, 5)
    assert features.value("touch.spread_bp") == pytest.approx(20.0)
    assert features.value("imbalance.signed") == 0.5
    features.book(999, 40, 1001, 20, 15)
    assert features.value("ofi.scaled:1ns") == pytest.approx((10 - 10) / 30)
    features.book(999, 40, 1003, 20, 16)   # the ask goes: + its 20 lots
    assert features.value("ofi.scaled:1ns") == pytest.approx(20 / 30)
    features.book(999, 40, 1003, 20, 25)   # samples at 10 and 20: 2 and 4 ticks
    assert features.value("spread_stats.mean:10ns:2") == 3.0


@pytest.mark.parametrize("name", ["ofi:0s", "ofi_decayed:0s", "volatility:0s", "volatility:1s:0", "volatility:1s:5000",
                                  "spread_stats.mean:1s:1", "spread_stats.mean:1s:5:1.5", "microprice"])
def test_what_makes_no_feature_is_refused(name: str) -> None:
    """Lost otherwise: a division by nothing, or a ring that is read outside."""
    with pytest.raises(ValueError, match=r"must be|needs its parameter"):
        Features(asked=(name,))
    for table in ([], [[]], [[1.0], [1.0, 2.0]], [[0.0]] * 17, [[0.0] * 101]):
        with pytest.raises(ValueError, match=r"micro-price"):
            Features(asked=()).ask("microprice", model=table)
