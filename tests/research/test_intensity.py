"""The fit of trade arrivals: against simulated arrivals, its own likelihood, and a plain reader of a recording."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, log, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from apex._core.events import KINDS, pack
from apex.domain.errors import InputError
from apex.importers.binance import import_binance
from apex.research.intensity import farthest_trades, fit, intensity, rates, volatility
from apex.store.tape import Tape, TapeWriter
from tests.app.commands import call

DECIMALS = st.floats(0.1, 200.0)


def simulated(a: float, k: float, interval: float, count: int, seed: int) -> np.ndarray:
    """The farthest of Poisson arrivals whose distances fall off exponentially, -inf without one."""
    draw = np.random.default_rng(seed)
    return np.array([draw.exponential(1 / k, n).max() if n else -inf for n in draw.poisson(a * interval, count)])


def likelihood(farthest: np.ndarray, a: float, k: float, interval: float, least: float) -> float:
    """Log of the density of every interval: -d/dD of exp(-a t exp(-k D)), or its value at `least`."""
    total = 0.0
    for d in farthest.tolist():
        if d > least:
            total += log(a * interval * k) - k * d - a * interval * exp(-k * d)
        else:
            total -= a * interval * exp(-k * least)
    return total


@pytest.mark.parametrize(("a", "k", "interval", "least"), [(3.0, 0.05, 0.1, 0.0), (0.5, 0.03, 0.1, 1.0),
                                                           (20.0, 1.5, 1.0, 0.5), (0.2, 0.01, 5.0, 20.0)])
def test_it_finds_what_was_put_in(a: float, k: float, interval: float, least: float) -> None:
    """Lost otherwise: a biased fit, for example one that takes many arrivals of an interval for one."""
    farthest = simulated(a, k, interval, 60_000, seed=5)
    found_a, found_k = fit(farthest, interval, least)
    assert found_k == pytest.approx(k, rel=0.03)
    assert found_a == pytest.approx(a, rel=0.04)


@settings(max_examples=60, deadline=None)
@given(st.lists(DECIMALS, min_size=2, max_size=60), st.integers(0, 200), st.floats(0.0, 0.09), st.floats(0.01, 10.0))
def test_it_is_the_greatest_likelihood(seen: list[float], blind: int, least: float, interval: float) -> None:
    """Lost otherwise: a root of the wrong equation, which still looks plausible."""
    assume(blind or max(seen) > 1.01 * min(seen))
    farthest = np.array(seen + [-inf] * blind)
    a, k = fit(farthest, interval, least)
    best = likelihood(farthest, a, k, interval, least)
    for other_a, other_k in ((a * 1.01, k), (a * 0.99, k), (a, k * 1.01), (a, k * 0.99), (a * 1.1, k * 1.1)):
        assert likelihood(farthest, other_a, other_k, interval, least) <= best + 1e-9 * abs(best)


def test_too_little_is_refused() -> None:
    """Lost otherwise: an endless search, or a k of infinity, from a stretch without trades."""
    for farthest in ([], [-inf] * 5, [3.0, -inf], [2.0, 2.0]):
        with pytest.raises(ValueError, match="do not tell"):
            fit(np.array(farthest), 0.1)


def test_rates_are_counted() -> None:
    """Lost otherwise: a table beside the fit that counts intervals for trades."""
    found = rates(np.array([5.0, 1.0, -inf, 3.0]), 2.0, [0.0, 1.0, 4.0, 9.0])
    assert found == pytest.approx([-log(1 / 4) / 2, -log(2 / 4) / 2, -log(3 / 4) / 2, 0.0])
    assert rates(np.array([5.0]), 2.0, [1.0]) == [inf]


def test_the_farthest_trade_of_each_side() -> None:
    """Lost otherwise: sellers' trades counted for the ask, or an interval without a mid counted as quiet."""
    mids = np.array([100.5, nan, 102.0])
    place, price = np.array([0, 0, 0, 1, 2, 2]), np.array([101, 103, 97, 500, 101, 104])
    buy = np.array([True, True, False, True, False, True])
    assert farthest_trades(mids, place, price, buy).tolist() == [2.5, 2.0, 3.5, 1.0]
    assert farthest_trades(mids, place[:0], price[:0], buy[:0]).tolist() == [-inf] * 4


def test_volatility_by_hand() -> None:
    """Lost otherwise: a volatility of another unit of time."""
    assert volatility(np.array([0.0, 3.0, -1.0]), 10**9) == pytest.approx(((9 + 16) / 2) ** 0.5)
    assert volatility(np.arange(21) * 0.5, 10**8) == pytest.approx(5.0)
    assert volatility(np.array([0.0, 8.0]), 4 * 10**9) == pytest.approx(4.0)
    assert np.isnan(volatility(np.array([1.0]), 10**9))


@pytest.mark.recordings
def test_a_recording_by_a_plain_reader(data_file: Callable[[str], Path], tmp_path: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: trades put into the wrong interval, or a mid read a moment late."""
    path = tmp_path / "btc.tape"
    import_binance([data_file("ticks/binance/usdm_btcusdt_20230404.dat.gz")], path)
    with Tape.open(path) as tape:
        found, events = intensity(tape), tape.events()
    first, last = int(events["ts_local_ns"].min()), int(events["ts_local_ns"].max())
    count = (last - first) // 10**8
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    mids, spreads = [], []
    farthest = [[-inf] * count, [-inf] * count]
    synced, at = False, 0
    for row in events.tolist():
        event = dict(zip(events.dtype.names or (), row, strict=True))
        while at < count and event["ts_local_ns"] > first + at * 10**8:
            both = synced and bids and asks
            mids.append((max(bids) + min(asks)) / 2 if both else nan)
            spreads.append(min(asks) - max(bids) if both else nan)
            at += 1
        if event["kind"] == KINDS["SNAPSHOT_BEGIN"]:
            synced, bids, asks = True, {}, {}
        elif event["kind"] == KINDS["BOOK_LEVEL"]:
            side = bids if event["side"] == 1 else asks
            side[event["price_ticks"]] = event["quantity_lots"]
            if not event["quantity_lots"]:
                del side[event["price_ticks"]]
        elif event["kind"] == KINDS["TRADE"] and at and at - 1 < count and event["ts_local_ns"] < first + count * 10**8:
            place = (event["ts_local_ns"] - first) // 10**8
            sign = 1 if event["side"] == 1 else -1
            distance = sign * (event["price_ticks"] - mids[place]) if place < len(mids) else nan
            farthest[event["side"] - 1][place] = max(farthest[event["side"] - 1][place], distance)
    known = [i for i, mid in enumerate(mids) if mid == mid]
    flat = np.array([farthest[side][i] for side in (0, 1) for i in known])
    least = float(np.nanmedian(spreads))
    assert (found.least, found.intervals, found.seen) == (least, len(flat), int((flat > least).sum()))
    assert (found.a, found.k) == pytest.approx(fit(flat, 0.1, least), rel=1e-9)
    told = call(capsys, "intensity", path, "--json").value
    assert (told["instrument"], told["a"], told["k"], told["sigma"]) == ("BTCUSDT", found.a, found.k, found.sigma)
    shown = call(capsys, "intensity", path)
    assert f"--set a={found.a:.6g} --set k={found.k:.6g} --set sigma={found.sigma:.6g}" in shown.out
    assert call(capsys, "intensity", path, "--instrument", 3, "--json").error["where"] == "--instrument"
    assert call(capsys, "intensity", path, "--interval", "1us", "--json").error["where"] == "--interval"
    assert call(capsys, "intensity", path, "--to", first + 10**9, "--json").code == 3


def test_an_empty_stretch_is_refused(tmp_path: Path, tapes: Callable[..., Path]) -> None:
    """Lost otherwise: numpy's warnings instead of a word on what is missing."""
    with Tape.open(tapes()) as tape:
        with pytest.raises(InputError, match="shorter than one interval"):
            intensity(tape, stop=0)
        with pytest.raises(InputError, match="shorter than one interval"):
            intensity(tape, start=int(tape.batches["ts_local_ns"].max()) + 1)
        start = int(tape.batches["ts_local_ns"][0])
        with pytest.raises(InputError, match="intervals saw a trade"):
            intensity(tape, start=start, stop=start + 2 * 10**8)


@pytest.mark.parametrize("book", ["l2", "l3"])
def test_time_beyond_the_recording_does_not_count(book: str, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: rates diluted by hours that nobody recorded, or all memory taken by their intervals."""
    path = tmp_path / "t.tape"
    assert call(capsys, "generate", "--scenario", "btc", "--seed", 3, "--events", 60_000, "--book", book, "--out",
                path, "--json").code == 0
    whole = call(capsys, "intensity", path, "--json").value
    assert whole["seen"] > 20
    for words in (("--from", 0), ("--to", 2**62), ("--from", 0, "--to", 2**62)):
        assert call(capsys, "intensity", path, *words, "--json").value == whole


def test_unknown_aggressors_are_no_sellers(tapes: Callable[..., Path], tmp_path: Path) -> None:
    """Lost otherwise: a rate of sells that are only trades whose side nobody told."""
    with Tape.open(tapes()) as tape:
        rows = tape.events()
        some = np.flatnonzero(rows["kind"] == KINDS["TRADE"])[::3]
        rows["side"][some] = 0
        for name, kept in (("unknown", rows), ("without", np.delete(rows, some))):
            with TapeWriter(tmp_path / name, tape.instruments, source="test") as out:
                out.append(*pack(kept))
    with Tape.open(tmp_path / "unknown") as unknown, Tape.open(tmp_path / "without") as without:
        span = {"start": int(rows["ts_local_ns"][0]), "stop": int(rows["ts_local_ns"][-1])}
        assert intensity(unknown, **span) == intensity(without, **span)
