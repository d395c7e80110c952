"""Incremental features against their batch definitions, golden values, warm-up and look-ahead."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.features import NAMES, Features
from tests.core.assembly import BUY, SELL, START, Hooks, Run, message, snapshot
from tests.oracles import features as batch

WINDOW, STEP, STEPS = 1000, 250, 4


def history(seed: int, count: int, *, broken: float = 0.02) -> pd.DataFrame:
    """A touch that wanders: rows at rising times, a few of them with an empty side or crossed."""
    rng = np.random.default_rng(seed)
    ts = START + np.cumsum(rng.choice((0, 1, 20, 60, 400, 9000), count, p=(0.1, 0.2, 0.3, 0.3, 0.09, 0.01)))
    bid = 1000 + np.cumsum(rng.choice((-1, 0, 0, 0, 1), count))
    return pd.DataFrame({
        "bid": bid, "bid_lots": rng.integers(1, 50, count), "ask": bid + rng.integers(1, 4, count),
        "ask_lots": rng.integers(1, 50, count), "valid": rng.random(count) >= broken,
    }, index=ts.astype(np.int64))


def stream(book: pd.DataFrame, features: Features) -> dict[str, Any]:
    """Every feature after every update."""
    out: dict[str, list[float]] = {name: [] for name in NAMES}
    for ts, row in zip(book.index, book.itertuples(index=False), strict=True):
        features.book(row.bid, row.bid_lots, row.ask, row.ask_lots, int(ts), bool(row.valid))
        for name, values in out.items():
            values.append(features.value(name))
    return {name: np.array(values) for name, values in out.items()}


def compared(book: pd.DataFrame, *, window: int = WINDOW, step: int = STEP, steps: int = STEPS) -> dict[str, Any]:
    got = stream(book, Features(ofi_window_ns=window, step_ns=step, steps=steps))
    np.testing.assert_array_equal(got["imbalance"], batch.imbalance(book))
    np.testing.assert_allclose(got["weighted_mid"], batch.weighted_mid(book), rtol=1e-12)
    np.testing.assert_array_equal(got["ofi"], batch.order_flow(book, window))
    np.testing.assert_allclose(got["volatility"], batch.volatility(book, step, steps), rtol=1e-9, atol=1e-15)
    assert np.isnan(got["trade_sign"]).all()
    return got


@pytest.mark.parametrize("seed", range(4))
def test_stream_equals_batch(seed: int) -> None:
    """Lost otherwise: features that drift from what was studied, a rounding at a time."""
    got = compared(history(seed, 5000))
    for name in ("imbalance", "weighted_mid", "ofi", "volatility"):
        assert np.isfinite(got[name]).mean() > 0.9, name


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 40), st.sampled_from((0.0, 0.3)), st.sampled_from((1, 30, 5000)),
       st.sampled_from((1, 7, 300)), st.integers(1, 3))
def test_any_stream_equals_batch(seed: int, count: int, broken: float, window: int, step: int, steps: int) -> None:
    """The same for every window, on short histories with many holes."""
    compared(history(seed, count, broken=broken), window=window, step=step, steps=steps)


def test_order_flow_of_the_paper() -> None:
    """Lost otherwise: both definitions wrong in the same way. Golden vector 16.D: e = 4, 11, -5."""
    book = pd.DataFrame({"bid": [100, 100, 101, 100], "bid_lots": [10, 12, 5, 7], "ask": [101, 101, 102, 102],
                         "ask_lots": [8, 6, 9, 9], "valid": True}, index=[1, 2, 3, 4])
    assert list(batch.flow(book)[1:]) == [4, 11, -5]
    got = stream(book, Features(ofi_window_ns=1))["ofi"]
    assert list(got[1:]) == [4, 11, -5]
    assert np.isnan(got[0])
    assert list(stream(book, Features(ofi_window_ns=3))["ofi"][3:]) == [10]


def test_values_by_hand() -> None:
    """Lost otherwise: an imbalance upside down, which earns the opposite of what it should."""
    features = Features(step_ns=10, steps=2)
    features.book(100, 3, 102, 1, 1)
    assert (features.value("imbalance"), features.value("weighted_mid")) == (0.75, 101.5)
    features.book(110, 5, 112, 5, 15)  # grid point 10 has mid 101, grid point 20 has 111
    features.book(100, 5, 102, 5, 25)
    assert np.isnan(features.value("volatility"))
    features.book(100, 5, 102, 5, 31)  # grid point 30 has 101
    assert features.value("volatility") == pytest.approx(np.sqrt(2) * np.log(111 / 101), rel=1e-12)


def test_nan_is_warm_up_and_nothing_else() -> None:
    """Lost otherwise: a strategy that trades on a number that means nothing, or waits for one that never comes."""
    book = history(9, 3000, broken=0.0)
    got = stream(book, Features(ofi_window_ns=WINDOW, step_ns=STEP, steps=STEPS))
    since = book.index - book.index[0]
    assert not np.isnan(got["imbalance"]).any()
    np.testing.assert_array_equal(np.isnan(got["ofi"]), since < WINDOW)
    first_grid = (int(book.index[0]) // STEP + 1) * STEP
    np.testing.assert_array_equal(np.isnan(got["volatility"]), book.index <= first_grid + STEPS * STEP)


def test_a_gap_forgets_the_book() -> None:
    """Lost otherwise: order flow across a gap, where the change is of days and not of one update."""
    features = Features(ofi_window_ns=WINDOW, step_ns=STEP, steps=STEPS)
    stream(history(1, 500), features)
    features.trade(BUY, 1000, 1, START + 10**9)
    features.gap()
    assert all(np.isnan(features.value(n)) for n in NAMES if n != "trade_sign")
    assert features.value("trade_sign") == 1.0
    book = history(2, 500)
    after, fresh = stream(book, features), stream(book, Features(ofi_window_ns=WINDOW, step_ns=STEP, steps=STEPS))
    for name in NAMES:
        if name != "trade_sign":
            np.testing.assert_array_equal(after[name], fresh[name])


@pytest.mark.parametrize("seed", range(3))
def test_trade_signs_equal_lee_and_ready(seed: int) -> None:
    """Lost otherwise: buyers taken for sellers where a venue does not say who took."""
    rng = np.random.default_rng(seed)
    book = history(seed, 2000)
    at = np.sort(rng.choice(book.index.to_numpy(), 1500) + rng.integers(0, 2, 1500))
    near = book.bid.to_numpy()[np.searchsorted(book.index, at, "right") - 1]
    trades = pd.DataFrame({"side": rng.choice((0, 0, 0, BUY, SELL), 1500), "ticks": near + rng.integers(-1, 4, 1500)},
                          index=at)
    want = batch.trade_sign(trades, book)
    features, got, n = Features(), [], 0
    for ts, trade in zip(trades.index, trades.itertuples(index=False), strict=True):
        while n < len(book) and book.index[n] <= ts:
            row = book.iloc[n]
            features.book(int(row.bid), int(row.bid_lots), int(row.ask), int(row.ask_lots), int(book.index[n]),
                          bool(row.valid))
            n += 1
        features.trade(int(trade.side), int(trade.ticks), 1, int(ts))
        got.append(features.value("trade_sign"))
    np.testing.assert_array_equal(got, want)
    assert np.isfinite(want).mean() > 0.99


def test_too_many_updates_in_a_window_are_counted() -> None:
    """Lost otherwise: an order flow that is silently of a shorter window than it says."""
    features = Features(ofi_window_ns=10**9)
    most, more = 65_536, 100
    for n in range(1 + most + more):
        features.book(100, 10 + n % 7, 101, 5, START + n)
    assert features.ofi_forgotten == more
    features.book(100, 10, 101, 5, START + 10**9)
    assert features.value("ofi") == 10 - (10 + (more + 1) % 7)  # the sum telescopes from the oldest that is kept


@pytest.mark.parametrize("wrong", [{"ofi_window_ns": 0}, {"step_ns": 0}, {"steps": 0}, {"steps": 5000}])
def test_windows_of_nothing_are_refused(wrong: dict[str, int]) -> None:
    """Lost otherwise: a division by nothing, or a ring that is read outside."""
    with pytest.raises(ValueError, match="windows"):
        Features(**wrong)
    with pytest.raises(ValueError, match="no feature 'rsi'"):
        Features().value("rsi")
    with pytest.raises(ValueError, match="0 and 0 lots"):
        Features().book(1, 0, 2, 0, 1)


def recorded(events: Any, stop: int | None = None) -> list[tuple[int, ...]]:
    """Every feature of both instruments at every 50 ns of a replay."""
    seen: list[tuple[int, ...]] = []

    def on_start(view: Any) -> None:
        for name in NAMES:
            view.feature(name)
        view.every("50ns")

    def on_timer(view: Any) -> None:
        seen.append((view.now, *(repr(view[i].feature(n)) for i in (0, 1) for n in NAMES)))

    Run(events, [Hooks(on_start=on_start, on_timer=on_timer)], count=2, stop=stop).run()
    return seen


def test_no_feature_looks_ahead() -> None:
    """Lost otherwise: a backtest that earns what nobody could. The future cut off, the past is the same."""
    rng = np.random.default_rng(4)
    made = [snapshot(START, [(100, 5)], [(103, 5)], instrument=i, delay=3) for i in (0, 1)]
    for n in range(3000):
        ts, i = START + 10 * n + int(rng.integers(0, 10)), int(rng.integers(0, 2))
        side = int(rng.integers(1, 3))
        ticks = int(rng.integers(99, 102)) if side == BUY else int(rng.integers(102, 105))
        kind, lots = ("TRADE", 2) if rng.random() < 0.3 else ("BOOK_LEVEL", int(rng.integers(0, 9)))
        made.append(message(kind, ts, [(side, ticks, lots)], instrument=i, delay=3))
    whole = np.concatenate(made)
    seen = recorded(whole)
    assert len(seen) > 500
    assert len({x[1:] for x in seen}) > 300
    for cut in (777, 1500, 2900):
        kept = whole[whole["ts_exchange_ns"] <= START + 10 * cut]
        part = recorded(kept)
        end = int(kept["ts_local_ns"].max())
        assert part == [x for x in seen if x[0] <= end]
