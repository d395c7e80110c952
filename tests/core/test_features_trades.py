"""Features of trades against their batch definitions, golden values and warm-up."""

from __future__ import annotations

import numpy as np
import pytest

from apex._core.features import Features
from tests.core.assembly import BUY, SELL
from tests.core.histories import MS, history, stream
from tests.core.test_features_touch import SECOND, SEEDS, same
from tests.oracles import features_trades as batch


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("window", [1, 500, 4000])
def test_trade_flow(seed: int, window: int) -> None:
    """Lost otherwise: trades that still count when their time is over."""
    events = history(seed, 1000)
    got = stream(events, *(f"trade_flow{p}:{window}ms" for p in ("", ".buy", ".sell")))
    same(got, batch.flow(events, window * MS))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [1, 30])
def test_effective_spread(seed: int, count: int) -> None:
    """Lost otherwise: a cost measured against a quote that the trade itself made."""
    events = history(seed, 1200)
    for name, column in batch.effective_spread(events, count).items():
        same(stream(events, f"{name}:{count}")[:, 0], column)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", [2, 5, 100])
def test_roll(seed: int, count: int) -> None:
    """Lost otherwise: a covariance of the wrong pairs."""
    events = history(seed, 1200)
    same(stream(events, f"roll:{count}")[:, 0], batch.roll(events, count))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("volume", "buckets"), [(1, 3), (97, 5), (400, 10)])
def test_vpin(seed: int, volume: int, buckets: int) -> None:
    """Lost otherwise: trades that are not split where a bucket ends."""
    events = history(seed, 1500)
    same(stream(events, f"vpin:{volume}:{buckets}")[:, 0], batch.vpin(events, volume, buckets))


@pytest.mark.parametrize("seed", SEEDS)
def test_vpin_of_the_trailing_volume(seed: int) -> None:
    """Lost otherwise: buckets whose size knows the future."""
    events = history(seed, 2500, waits=(0, 5, 20, 80))
    horizon = 14_400 * MS
    same(stream(events, "vpin:0:10:14400ms")[:, 0], batch.automatic_vpin(events, 10, horizon), 0.3)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("volume", "bar"), [(300, 700), (50, 5000)])
def test_bulk_vpin(seed: int, volume: int, bar: int) -> None:
    """Lost otherwise: bars classified by a deviation that they do not yet know."""
    events = history(seed, 2000)
    same(stream(events, f"vpin_bulk:{volume}:6:{bar}ms")[:, 0], batch.bulk_vpin(events, volume, 6, bar * MS))


def test_one_trade_fills_many_buckets() -> None:
    """Lost otherwise: an hour in a loop over buckets that leave the ring at once."""
    features = Features(asked=("vpin:1:4",))
    features.trade(SELL, 100, 2, 1)
    features.trade(BUY, 100, 10**15, 2)
    assert features.value("vpin:1:4") == 1.0


@pytest.mark.parametrize("seed", SEEDS)
def test_hawkes(seed: int) -> None:
    """Lost otherwise: an intensity that forgets at another rate than it was fitted with."""
    events = history(seed, 700)
    same(stream(events, "hawkes:0.7:1.5:2.5")[:, 0], batch.hawkes(events, 0.7, 1.5, 2.5))
    names = [f"hawkes_pair.{p}:0.7:0.4:1.5:0.2:0.5:1.1:2.5" for p in ("buy", "sell", "skew")]
    same(stream(events, *names), batch.hawkes_pair(events, (0.7, 0.4), (1.5, 0.2, 0.5, 1.1), 2.5))


def test_hawkes_of_the_golden_vector() -> None:
    """Lost otherwise: both definitions wrong in the same way. Golden vector 16.E, just before each event."""
    features, seen = Features(asked=("hawkes:0.5:0.8:1.2",)), []
    for t in (0, 1, 1.5, 3):
        now = int(1e9 + t * 1e9)
        features.book(100, 1, 101, 1, now)
        seen.append(features.value("hawkes:0.5:0.8:1.2"))
        features.trade(BUY, 100, 1, now)
    assert np.isnan(seen[0])
    np.testing.assert_allclose(seen[1:], [0.7409553695, 1.0712884195, 0.7266724512], rtol=1e-9)
    features.ask("hawkes_pair.branching:1:1:0.6:0.2:0.2:0.6:1")
    features.trade(BUY, 100, 1, int(9e9))
    assert features.value("hawkes_pair.branching:1:1:0.6:0.2:0.2:0.6:1") == pytest.approx(0.8)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("family", "power"), [("kyle", 1.0), ("kyle", 0.5), ("kyle", 0.7), ("hasbrouck", 0.5)])
def test_price_impact(seed: int, family: str, power: float) -> None:
    """Lost otherwise: volume of one interval matched with the move of another."""
    events = history(seed, 2000)
    names = [f"{family}{p}:300ms:2s:{power}" for p in ("", ".r2")]
    want = batch.price_impact(events, 300 * MS, 2 * SECOND, power, family == "hasbrouck", 0.5)
    same(stream(events, *names, scale=0.5), want)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("bar", "bars"), [(200, 1), (1000, 8)])
def test_measures_of_bars(seed: int, bar: int, bars: int) -> None:
    """Lost otherwise: bars that end when the next trade comes, an hour too late."""
    events = history(seed, 1500)
    got = stream(events, f"amihud:{bar}ms:{bars}", f"corwin_schultz:{bar}ms:{bars}", scale=0.01)
    same(got, batch.bar_measures(events, bar * MS, bars, 0.01))


WHALE = [f"whale{p}" for p in ("", ".direction", ".confidence", ".z", ".flag", ".count", ".net")]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("count", "horizon", "q", "times"), [(10, 300, 0.9, 0.0), (40, 20_000, 0.0, 0.0),
                                                              (25, 2000, 0.5, 3.0)])
def test_whales(seed: int, count: int, horizon: int, q: float, times: float) -> None:
    """Lost otherwise: a large order that counts as its own usual, or its children one by one."""
    events = history(seed, 2000)
    tail = f":3s:{count}:{horizon}ms:2.0:{q}:60s:{times}"
    got = stream(events, *(name + tail for name in WHALE))
    want = batch.whales(events, 3 * SECOND, count, horizon * MS, 2.0, q, 60 * SECOND, times)
    assert np.nanmax(want[:, 5]) >= 2
    assert set(want[np.isfinite(want[:, 1]), 1]) == {-1.0, 0.0, 1.0}
    same(got, want)


@pytest.mark.parametrize("name", [
    "trade_flow:0s", "effective_spread:0", "roll:1", "vpin:-1", "vpin:5:0", "vpin:5:5:1us", "vpin_bulk:5:5:0s",
    "hawkes:0", "hawkes:1:2:1", "hawkes_pair.buy:1:1:1:1:1:1:1", "kyle:2s:1s", "kyle:1s:1m:2", "amihud:0s",
    "amihud:1s:0", "whale:0s", "whale:1s:0", "whale:1s:5:1s:3:1.5",
])
def test_what_makes_no_feature_is_refused(name: str) -> None:
    """Lost otherwise: a process that explodes, or a ring of nothing."""
    with pytest.raises(ValueError, match=r"must be|need|branching"):
        Features(asked=(name,))
