"""Walls, clusters and the spoofing score against plain Python, and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from apex._core.book import Book
from apex._core.features import Features
from tests.core.assembly import BUY, SELL
from tests.core.histories import MS, Event, feed, history, stream
from tests.core.test_features_touch import SECOND, SEEDS, same
from tests.oracles import features_shape as batch

WALL = [f"wall.{side}_{what}" for side in ("bid", "ask")
        for what in ("count", "price", "lots", "age", "strength", "distance")]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("k", "value", "persist"), [(2.0, 0.0, 0), (1.5, 4e5, 900)])
def test_walls(seed: int, k: float, value: float, persist: int) -> None:
    """Lost otherwise: walls that are none, or that have stood for a moment only."""
    events = history(seed, 600)
    got = stream(events, *(f"{name}:100:{k}:{value}:0.0:{persist}ms:300ms" for name in WALL))
    want = batch.walls(events, 100, k, value, 0.0, persist * MS, 300 * MS, 1.0)
    for column in range(12):
        same(got[:, column], want[:, column], 0.05)


def test_walls_are_measured_by_the_traded_value() -> None:
    """Lost otherwise: walls of a dead market and of a busy one by the same measure. Hours of some minutes' trades."""
    events = history(5, 700, waits=(0, 20, 1000, 120_000))
    got = stream(events, *(f"{name}:100:1.5:10000:2.0:0s:60s" for name in WALL))
    want = batch.walls(events, 100, 1.5, 1e4, 2.0, 0, 60 * SECOND, 1.0)
    assert np.nanmax(want[:, 0]) > 0
    without = batch.walls(events, 100, 1.5, 1e4, 0.0, 0, 60 * SECOND, 1.0)
    assert np.nansum(want[:, 0]) < np.nansum(without[:, 0])
    for column in range(12):
        same(got[:, column], want[:, column], 0.05)


def test_equal_levels_have_no_wall() -> None:
    """Lost otherwise: a wall measured by a deviation of zero. One other size gives the mean deviation its say."""
    book = Book()
    for n in range(20):
        book.set(BUY, 1000 - n, 10)
        book.set(SELL, 1001 + n, 10)
    book.set(SELL, 1010, 1000)
    features = Features(asked=("wall.ask_count:1000:4:0:0:0s:0s", "wall.ask_price:1000:4:0:0:0s:0s"))
    features.message(book, 1)
    assert features.value("wall.ask_count:1000:4:0:0:0s:0s") == 0
    book.set(SELL, 1012, 11)
    features.message(book, 2)
    assert features.value("wall.ask_price:1000:4:0:0:0s:0s") == 1010


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("band", "bandwidth"), [(100.0, 5.0), (60.5, 2.5)])
def test_clusters(seed: int, band: float, bandwidth: float) -> None:
    """Lost otherwise: support where nothing rests."""
    events = history(seed, 600)
    parts = [f"{what}{n}" for what in ("price", "lots", "distance") for n in range(1, 6)]
    for family, buying in (("support", True), ("resistance", False)):
        got = stream(events, *(f"{family}.{p}:{band}:{bandwidth}:2s:250ms" for p in parts))
        want = batch.clusters(events, buying, band, bandwidth, 2 * SECOND, 250 * MS)
        for column in range(15):
            same(got[:, column], want[:, column], 0.3 if column % 5 == 0 else -1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("levels", "band"), [(20, 50.0), (6, 20.0)])
def test_spoofing(seed: int, levels: int, band: float) -> None:
    """Lost otherwise: honest size called a spoof, or the other way round."""
    events = history(seed, 2500, waits=(0, 1, 5, 20, 200), deep=60)
    got = stream(events, f"spoofing.bid:{levels}:{band}:5s:100ms", f"spoofing.ask:{levels}:{band}:5s:100ms")
    want = batch.spoofing(events, levels, band, 5 * SECOND, 100 * MS)
    assert np.unique(got[np.isfinite(got)]).size > 20
    same(got, want, 0.2)


def test_a_spoof_by_hand() -> None:
    """Lost otherwise: a score that does not know its own example. Large bids come, buys lift the ask, the bids go."""
    plain = tuple((1000 - n, 10) for n in range(10)), tuple((1001 + n, 10) for n in range(10))
    features = Features(asked=("spoofing.bid", "spoofing.ask"))
    ts = 0
    for _ in range(6):
        large = ((1000, 10), (999, 510), *plain[0][2:])
        for event in (Event(ts, "book", *plain), Event(ts + 200 * MS, "book", large, plain[1]),
                      Event(ts + 250 * MS, "trade", side=BUY, ticks=1001, lots=5),
                      Event(ts + 300 * MS, "book", *plain)):
            feed(features, event)
        ts += 400 * MS
    assert features.value("spoofing.bid") == pytest.approx(np.exp(-0.1))
    assert np.isnan(features.value("spoofing.ask"))


@pytest.mark.parametrize("name", ["wall.bid_count:0", "wall.bid_count:100:0.5", "support:0", "support:2000",
                                  "support:50:60", "resistance:50:5:0s", "spoofing.bid:1", "spoofing.bid:40",
                                  "spoofing.bid:20:0", "spoofing.bid:20:50:0s", "spoofing.bid:20:50:5s:0s"])
def test_what_makes_no_feature_is_refused(name: str) -> None:
    """Lost otherwise: a table that is written outside."""
    with pytest.raises(ValueError, match=r"need|must be"):
        Features(asked=(name,))
