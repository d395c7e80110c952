"""What generated markets look like: btc as the recordings do, every other scenario as its name says."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from apex.app.generate_command import find, generate_scenario
from apex.research import facts
from apex.research.observe import MS, SECOND, Observed, observe
from apex.store.tape import Tape

Measured = dict[str, float | None]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[Observed]]:
    """The instruments of a scenario's market, made and read once for each seed and size."""
    folder = tmp_path_factory.mktemp("scenarios")
    kept: dict[tuple[str, int, int], list[Observed]] = {}

    def make(name: str, seed: int = 1, rows: int = 400_000) -> list[Observed]:
        if (name, seed, rows) not in kept:
            out = folder / "market.tape"
            scenario = find(name)
            generate_scenario(out, seed, rows, scenario)
            with Tape.open(out) as tape:
                kept[name, seed, rows] = [observe(tape, i) for i in range(len(scenario.instruments))]
        return kept[name, seed, rows]

    return make


def fact(seen: Observed, name: str) -> float:
    """A fact that is known."""
    (value,) = (f.of(seen) for f in facts.FACTS if f.name == name)
    assert value is not None
    return value


# ---- btc -------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("seed", [1, 2, 3])
def test_btc_lies_within_the_bands_of_the_recordings(seed: int, seen: Callable[..., list[Observed]]) -> None:
    """Lost otherwise: a market that strategies are tried on, and that is unlike any they will meet."""
    found = facts.measure(seen("btc", seed, 800_000)[0])
    outside = {name: value for name, value in found.items() if not facts.inside(name, value)}
    assert not outside


@pytest.mark.long
def test_any_seed_of_btc_lies_within_the_bands(seen: Callable[..., list[Observed]]) -> None:
    """The same for seeds of the day: the median of every fact, and of single markets all but a few facts."""
    first = int(os.environ.get("APEX_SEED", "1"))
    found = [facts.measure(seen("btc", first + i, 800_000)[0]) for i in range(9)]
    for name in facts.BANDS:
        values = [one[name] for one in found]
        assert facts.inside(name, float(np.median(np.array(values, float)))), name
    outside = [(i, name) for i, one in enumerate(found) for name in one if not facts.inside(name, one[name])]
    assert len(outside) <= 9, outside


def test_the_thinner_touch_breaks_first(seen: Callable[..., list[Observed]]) -> None:
    """Lost otherwise: imbalance and order flow that tell nothing, so that any strategy on them is noise."""
    one = seen("btc", 1, 800_000)[0]
    moves = np.flatnonzero(np.diff(one.mid) != 0)
    imbalance = one.bid_lots / (one.bid_lots + one.ask_lots)
    up = np.diff(one.mid)[moves] > 0
    assert imbalance[moves][up].mean() - imbalance[moves][~up].mean() > 0.1
    assert 0.4 < up.mean() < 0.6


# ---- the others ------------------------------------------------------------------------------------------------------

def test_calm_and_volatile_are_so(seen: Callable[..., list[Observed]]) -> None:
    """Lost otherwise: stress tests on a market without stress."""
    calm, btc, volatile = (seen(name)[0] for name in ("calm", "btc", "volatile"))
    volatility = [fact(x, "volatility") for x in (calm, btc, volatile)]
    assert volatility[0] < 0.6 * volatility[1]
    assert volatility[2] > 3 * volatility[1]
    assert fact(calm, "orders") < 0.7 * fact(btc, "orders") < 0.3 * fact(volatile, "orders")
    assert fact(calm, "still") > 0.75
    assert fact(volatile, "still") < 0.2
    assert fact(calm, "touch_in_orders") > 2 * fact(volatile, "touch_in_orders")


def test_jumps_are_rare_and_large(seen: Callable[..., list[Observed]]) -> None:
    """Lost otherwise: a scenario of gaps over stops without a gap."""
    one = seen("jumps")[0]
    moves = np.abs(facts.returns_bp(one, SECOND))
    assert moves.max() > 10
    assert np.percentile(moves, 80) < 0.1
    assert fact(one, "kurtosis") > 60


def test_illiquid_is_wide_thin_and_slow(seen: Callable[..., list[Observed]]) -> None:
    """Lost otherwise: a strategy that lives on a tick's spread would look fit for small coins."""
    one = seen("illiquid", 1, 200_000)[0]
    assert fact(one, "spread_bp") > 5
    assert fact(one, "one_tick") < 0.3
    assert fact(one, "touch_in_orders") < 2
    assert fact(one, "orders") < 1.5
    assert fact(one, "gaps") > 1.3


def test_a_flash_crash_falls_rests_and_recovers(seen: Callable[..., list[Observed]]) -> None:
    """Lost otherwise: the shape: how deep, when, and how much comes back; and that books thin out and spreads open."""
    one = seen("flash-crash", 1, 700_000)[0]
    seconds = (one.ts - one.ts[0]) / SECOND
    assert seconds[-1] > 200

    def price(at: float) -> float:
        return float(one.mid[np.searchsorted(seconds, at)])

    before, bottom, after = price(29), price(84), price(190)
    depth, back = 1 - bottom / before, (after - bottom) / (before - bottom)
    assert 0.03 < depth < 0.06
    assert 0.4 < back < 0.9
    assert before - price(52) < 0.4 * (before - bottom), "half of the time is less than half of the way: it speeds up"
    assert price(120) - bottom > 0.4 * (after - bottom), "and it comes back faster at first"
    assert 70 < seconds[np.argmin(one.mid)] < 100

    def during(low: float, high: float) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (seconds > low) & (seconds < high)
        return found

    quiet, falling = during(5, 28), during(45, 74)
    spread = one.ask - one.bid
    assert np.average(spread[falling], weights=one.weight[falling]) > 8 * np.average(spread[quiet],
                                                                                     weights=one.weight[quiet])
    assert np.median(one.bid_lots[falling]) < 0.5 * np.median(one.bid_lots[quiet])
    orders = (one.parent_ts - one.ts[0]) / SECOND
    sells = one.parent_sign[(orders > 45) & (orders < 74)]
    assert (sells < 0).mean() > 0.7
    assert ((one.bid > 0) & (one.bid < one.ask)).all()


def grids(first: Observed, second: Observed, step: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Moves of two mids on one grid, bp."""
    times = np.arange(max(first.ts[0], second.ts[0]), min(first.ts[-1], second.ts[-1]), step)
    mids = [one.mid[np.searchsorted(one.ts, times, "right") - 1] / one.bp for one in (first, second)]
    return np.diff(mids[0]), np.diff(mids[1])


def correlation(x: NDArray[np.float64], y: NDArray[np.float64], lag: int = 0) -> float:
    """Of x with y, `lag` places later."""
    if lag < 0:
        return correlation(y, x, -lag)
    return float(np.corrcoef(x[:len(x) - lag], y[lag:])[0, 1])


def test_the_second_venue_follows_the_first(seen: Callable[..., list[Observed]]) -> None:
    """Lost otherwise: lead and lag, and gaps between venues that come and close: what arbitrage is tried on."""
    first, second = seen("two-venues", 1, 900_000)
    x, y = grids(first, second, SECOND)
    assert correlation(x, y) > 0.6
    x, y = grids(first, second, 20 * MS)
    later = sum(correlation(x, y, lag) for lag in range(1, 11))
    sooner = sum(correlation(x, y, -lag) for lag in range(1, 11))
    assert later > 0.3, "moves of the first are in the second within 200 ms"
    assert sooner < 0.3 * later
    times = np.arange(max(first.ts[0], second.ts[0]), min(first.ts[-1], second.ts[-1]), 10 * MS)
    a, b = (np.searchsorted(one.ts, times, "right") - 1 for one in (first, second))
    gap = np.maximum(first.bid[a] - second.ask[b], second.bid[b] - first.ask[a]) / first.bp
    assert 0.01 < (gap > 0.5).mean() < 0.25, "a gap of half a basis point is there, but not for long"
    assert np.abs(first.mid[a] - second.mid[b]).max() / first.bp < 15, "prices stay together"


def test_pairs_are_correlated_and_btc_twice_is_not(seen: Callable[..., list[Observed]]) -> None:
    """Lost otherwise: pairs trading and portfolio limits tried on coins that have nothing to do with each other."""
    x, y = grids(*seen("pairs", 1, 900_000), SECOND)
    assert 0.35 < correlation(x, y) < 0.9
    x, y = grids(*(seen("btc", seed, 800_000)[0] for seed in (1, 2)), SECOND)
    assert abs(correlation(x, y)) < 0.15
