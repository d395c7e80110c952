"""Features of several levels against their batch definitions."""

from __future__ import annotations

import numpy as np
import pytest

from apex._core.book import Book
from apex._core.features import Features
from tests.core.assembly import BUY, SELL
from tests.core.histories import MS, history, stream
from tests.core.test_features_touch import SEEDS, same
from tests.oracles import features_levels as batch


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("levels", "window", "decay"), [(1, 200, 0.0), (5, 1000, 0.0), (12, 3000, 0.3)])
def test_multi_level_order_flow(seed: int, levels: int, window: int, decay: float) -> None:
    """Lost otherwise: flow that is booked on the wrong level when one appears or goes."""
    events = history(seed, 700, deep=30)
    want = batch.level_flow(events, levels, window * MS, decay)
    got = stream(events, *(f"{name}:{levels}:{window}ms:{decay}" for name in want))
    for k, column in enumerate(want.values()):
        same(got[:, k], column)


def test_the_first_level_is_order_flow() -> None:
    """Lost otherwise: two features that should be one and are not."""
    got = stream(history(4, 800), "mlofi.1:6:800ms", "ofi:800ms")
    np.testing.assert_array_equal(got[:, 0], got[:, 1])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("levels", "decay"), [(1, 0.0), (4, 0.0), (32, 0.5)])
def test_level_imbalance(seed: int, levels: int, decay: float) -> None:
    """Lost otherwise: an imbalance whose weights are those of other levels."""
    events = history(seed, 1000)
    same(stream(events, f"level_imbalance:{levels}:{decay}")[:, 0], batch.level_imbalance(events, levels, decay))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("every", [0, 100, 3000])
def test_looks_at_the_book(seed: int, every: int) -> None:
    """Lost otherwise: depth, slope, elasticity or impact of another book than the one at the time they say."""
    events, scale = history(seed, 900), 0.02
    e = f"{every}ms"
    names = [*(f"depth{p}:30:{e}" for p in ("", ".bid", ".ask", ".imbalance")),
             *(f"slope{p}:40:{e}" for p in ("", ".bid", ".ask")),
             *(f"elasticity{p}:6:{e}" for p in ("", ".bid", ".ask")),
             *(f"impact.{p}:{n}:{e}" for n in (5e4, 3e5) for p in ("buy", "sell"))]
    got = stream(events, *names, scale=scale)
    ns = every * MS
    want = np.hstack([batch.depth(events, 30, ns, scale), batch.slope(events, 40, ns), batch.elasticity(events, 6, ns),
                      batch.impact(events, 5e4, ns, scale), batch.impact(events, 3e5, ns, scale)])
    for k in range(len(names)):
        same(got[:, k], want[:, k], 0.3)


def test_impact_by_hand() -> None:
    """Lost otherwise: the cost of a trade computed with shares where money was meant. 95 of money at 10, then at 11."""
    book = Book()
    for side, tick, lots in ((BUY, 9, 100), (SELL, 10, 4), (SELL, 11, 100)):
        book.set(side, tick, lots)
    features = Features(asked=("impact.buy:95:0s", "impact.sell:95:0s", "depth:100000:0s", "impact.buy:2000:0s"))
    features.message(book, 1)
    assert features.value("impact.buy:95:0s") == pytest.approx(95 / (4 + 55 / 11) / 9.5 - 1)
    assert features.value("impact.sell:95:0s") == pytest.approx(9 / 9.5 - 1)
    assert features.value("depth:100000:0s") == 900 + 40 + 1100
    assert np.isnan(features.value("impact.buy:2000:0s"))


def test_inverse_contracts_have_their_own_value() -> None:
    """Lost otherwise: a depth in money that is the square of the price off, on every coin-margined contract."""
    book = Book()
    for side, tick, lots in ((BUY, 999, 7), (SELL, 1001, 3)):
        book.set(side, tick, lots)
    features = Features(asked=("depth:100:0s",), value_scale=0.0, value_lot=100.0)
    features.message(book, 1)
    assert features.value("depth:100:0s") == 1000.0


def test_a_touch_alone_has_no_depth() -> None:
    """Lost otherwise: a depth of zero where the book was never seen."""
    features = Features(asked=("depth:10:0s", "mlofi.1:3:1ns", "mlofi.2:3:1ns"))
    features.book(100, 5, 101, 5, 1)
    features.book(100, 8, 101, 5, 2)
    assert np.isnan(features.value("depth:10:0s"))
    assert (features.value("mlofi.1:3:1ns"), features.value("mlofi.2:3:1ns")) == (3.0, 0.0)


@pytest.mark.parametrize("name", ["mlofi:0", "mlofi:33", "mlofi:5:1s:-1", "level_imbalance:0", "depth:0", "slope:-1",
                                  "elasticity:1", "impact.buy:0"])
def test_what_makes_no_feature_is_refused(name: str) -> None:
    """Lost otherwise: an index outside the levels that were copied."""
    with pytest.raises(ValueError, match="must be"):
        Features(asked=(name,))
