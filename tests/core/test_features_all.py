"""What holds for every feature: no look-ahead, no effect of reading, gaps, names, limits; and ranks of windows."""

from __future__ import annotations

import os
import random
from array import array
from bisect import insort
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.feature import RankedWindow, duration_ns
from apex._core.features import FEATURES, NAMES, Features, parse
from tests.core.assembly import START
from tests.core.histories import MS, Event, feed, history

SHORT = {
    "ofi": "300ms", "ofi_decayed": "300ms", "volatility": "50ms:5", "realised": "50ms:5", "spread_stats": "40ms:7:0.6",
    "size_stats": "40ms:7:0.6", "mlofi": "10:300ms:0.2", "depth": "50:60ms", "slope": "50:60ms", "elasticity": "8:60ms",
    "impact": "50000:60ms", "wall": "100:1.5:0:0.1:200ms:100ms", "support": "100:5:1s:100ms",
    "resistance": "100:5:1s:100ms", "spoofing": "20:50:2s:60ms", "trade_flow": "300ms", "effective_spread": "9",
    "roll": "9", "vpin": "200:5", "vpin_bulk": "200:5:150ms", "kyle": "60ms:300ms", "hasbrouck": "60ms:300ms",
    "amihud": "100ms:4", "corwin_schultz": "100ms:4", "whale": "2s:20:500ms:1.0:0.5:5s",
}
"""Parameters that make every family warm within seconds."""
TRADES_ONLY = {"trade_sign", "trade_flow", "roll", "vpin", "vpin_bulk", "hawkes", "hawkes_pair", "amihud",
               "corwin_schultz", "whale"}
TABLE = [[-0.4, -0.2, 0.2, 0.4], [-0.9, -0.3, 0.3, 0.9]]


def names(families: Any = FEATURES) -> list[str]:
    """Every part of every family, with short parameters."""
    found = []
    for family in families:
        for part in FEATURES[family].parts:
            tail = f":{SHORT[family]}" if family in SHORT else ""
            found.append((f"{family}.{part}" if part else family) + tail)
    return found


def made() -> Features:
    features = Features(asked=())
    features.ask("microprice", model=TABLE)
    for name in names():
        features.ask(name)
    return features


def values(features: Features, wanted: list[str]) -> list[float]:
    return [features.value(name) for name in wanted]


def watched(events: list[Event], wanted: list[str], features: Features | None = None, reads: int = 0) -> Any:
    """Values after each event; with `reads`, brought to its time, and time is advanced at random between events."""
    rng, one, out = random.Random(reads), features or made(), []
    for n, event in enumerate(events):
        if reads and n and event.ts > events[n - 1].ts and rng.random() < 0.5:
            one.advance(rng.randint(events[n - 1].ts, event.ts))
        feed(one, event)
        if reads:
            one.advance(event.ts)
        out.append(values(one, wanted))
    return np.array(out)


@pytest.mark.parametrize("seed", range(2))
def test_every_feature_comes_to_know_something(seed: int) -> None:
    """Lost otherwise: the tests below, which would hold of features that are never warm."""
    wanted = names()
    seen = watched(history(seed, 3000, waits=(0, 1, 5, 20, 80)), wanted)
    rare = {n for n, column in zip(wanted, seen.T, strict=True) if not np.isfinite(column).any()}
    assert all(n.split(":")[0][:-1].rstrip("0123456789").endswith(("price", "lots", "distance")) for n in rare), rare
    constant = {n for n, column in zip(wanted, seen.T, strict=True) if len(set(column[np.isfinite(column)])) < 2}
    assert constant - rare <= {"hawkes_pair.branching"}, constant


@pytest.mark.parametrize("seed", range(2))
def test_no_feature_looks_ahead(seed: int) -> None:
    """Lost otherwise: a backtest that earns what nobody could. The future is another, the past is the same."""
    wanted = names()
    events = history(seed, 900, waits=(0, 1, 5, 20, 80), gaps=0.002)
    seen = watched(events, wanted)
    for cut in (120, 500, 899):
        other = history(seed + 100, 50, waits=(0, 1, 5))
        later = [Event(**{**e.__dict__, "ts": e.ts - START + events[cut - 1].ts}) for e in other]
        np.testing.assert_array_equal(watched(events[:cut] + later, wanted)[:cut], seen[:cut])


@pytest.mark.parametrize("seed", range(2))
def test_reading_changes_no_later_value(seed: int) -> None:
    """Lost otherwise: a strategy that looks more often trades otherwise, and no result can be repeated."""
    wanted = names()
    events = history(seed, 1200, waits=(0, 1, 5, 20, 80, 400), gaps=0.002)
    np.testing.assert_array_equal(watched(events, wanted, reads=1), watched(events, wanted, reads=2))


def test_reading_brings_windows_to_the_present() -> None:
    """Lost otherwise: order flow of a minute ago, read as that of the last second."""
    features = Features(asked=("ofi:10ns", "ofi_decayed:10ns", "trade_flow:10ns", "hawkes:1:0.5:1", "mlofi:1:10ns",
                               "volatility:10ns:1"))
    for ts, lots in ((1, 5), (20, 9)):
        features.book(100, lots, 101, 5, ts)
    features.trade(1, 101, 3, 20)
    features.trade(1, 101, 3, 31)
    features.advance(35)
    assert values(features, ["ofi:10ns", "mlofi:1:10ns", "trade_flow:10ns"]) == [0.0, 0.0, 3.0]
    assert features.value("ofi_decayed:10ns") == pytest.approx(4 * np.exp(-1.5))
    assert features.value("volatility:10ns:1") == 0.0
    features.advance(10**9 + 31)
    assert features.value("hawkes:1:0.5:1") == pytest.approx(1 + 0.5 * 2 * np.exp(-1), rel=1e-7)
    assert features.value("trade_flow:10ns") == 0.0


def test_a_gap_forgets_the_book_and_nothing_else() -> None:
    """Lost otherwise: a change of days counted as one update; or volume that was traded, forgotten with the book."""
    book_names = names(f for f in FEATURES if f not in TRADES_ONLY)
    trade_names = names(TRADES_ONLY)
    features = made()
    watched(history(1, 1500, waits=(0, 1, 5, 20)), ["imbalance"], features)
    before = values(features, trade_names)
    features.gap()
    lasting = {"effective_spread", "effective_spread.mean"}  # of trades that have been
    for name, value in zip(book_names, values(features, book_names), strict=True):
        assert np.isnan(value) or name.split(":")[0] in lasting, name
    assert values(features, trade_names) == pytest.approx(before, nan_ok=True, rel=0)
    only_book = [e for e in history(2, 500, waits=(0, 1, 5, 20)) if e.kind == "book"]
    later = [Event(**{**e.__dict__, "ts": e.ts + 10**12}) for e in only_book]
    checked = [n for n in book_names if n.split(":")[0] not in lasting and "wall" not in n]
    np.testing.assert_array_equal(watched(later, checked, features), watched(later, checked))


def test_nan_is_warm_up_and_nothing_else() -> None:
    """Lost otherwise: a strategy that waits for a value that never comes. Valid books only, warm-up by the clock."""
    events = history(5, 1500, waits=(1, 5, 20), broken=0.0)
    since = np.array([e.ts for e in events]) - events[0].ts
    first = events[0].ts
    grid = (first // (50 * MS) + 1) * 50 * MS - first
    warm: dict[str, int] = {
        "imbalance": 0, "weighted_mid": 0, "touch.mid": 0, "level_imbalance": 0, "depth:50:60ms": 0,
        "ofi:300ms": 300 * MS, "ofi.scaled:300ms": 300 * MS, "ofi_decayed:300ms": 300 * MS,
        "mlofi.10:10:300ms:0.2": 300 * MS,
        "volatility:50ms:5": grid + 5 * 50 * MS + 1, "realised.bipower:50ms:5": grid + 5 * 50 * MS + 1,
        "spread_stats.mean:50ms:7": grid + 6 * 50 * MS + 1,
    }
    seen = watched(events, list(warm), Features(asked=list(warm)))
    for name, column in zip(warm, seen.T, strict=True):
        np.testing.assert_array_equal(np.isnan(column), since < warm[name], err_msg=name)


def test_a_feature_asked_for_later_begins_then() -> None:
    """Lost otherwise: a grid that is filled with what the mid is now, for hours that nobody listened."""
    events = history(6, 900, waits=(0, 1, 5, 20), broken=0.0)
    late = Features(asked=())
    for event in events[:400]:
        feed(late, event)
    wanted = [n for n in names() if not n.startswith(("microprice", "wall"))]
    for name in wanted:
        late.ask(name)
    fresh = Features(asked=wanted)
    got, want = watched(events[400:], wanted, late), watched(events[400:], wanted, fresh)
    known = np.isfinite(got) & np.isfinite(want)
    assert known.mean() > 0.5
    exact = [k for k, n in enumerate(wanted) if n.split(":")[0] in ("ofi", "mlofi", "trade_flow", "vpin", "roll")]
    np.testing.assert_array_equal(got[:, exact], want[:, exact])


def test_only_what_is_asked_for_is_computed() -> None:
    """Lost otherwise: the price of forty features for one."""
    features = Features(asked=("imbalance",))
    features.book(100, 3, 101, 1, 1)
    assert features.value("imbalance") == 0.75
    assert features.slot_count == len(NAMES)
    assert np.isnan(features.value("weighted_mid"))
    features.book(100, 3, 101, 1, 2)
    assert features.value("weighted_mid") == 100.75


@pytest.mark.parametrize(("text", "parameters", "want"), [
    ("ofi", {}, ("ofi", "", (10**9,))), ("ofi:5s", {}, ("ofi", "", (5 * 10**9,))),
    ("ofi", {"window": "5s"}, ("ofi", "", (5 * 10**9,))), ("ofi:window=5s", {}, ("ofi", "", (5 * 10**9,))),
    ("ofi", {"window": 7}, ("ofi", "", (7,))), ("mlofi.2:10:window=1ms", {}, ("mlofi", "2", (10, 10**6, 0.0))),
    ("mlofi", {"levels": 3, "decay": 1}, ("mlofi", "", (3, 10**9, 1.0))),
    ("microprice.shift", {"model": [[1, 2]]}, ("microprice", "shift", (((1.0, 2.0),),))),
])  # fmt: skip
def test_names(text: str, parameters: dict[str, Any], want: Any) -> None:
    """Lost otherwise: two ways to write a feature that give two different ones."""
    assert parse(text, parameters) == want


@pytest.mark.parametrize(("text", "parameters", "word"), [
    ("rsi", {}, "no feature 'rsi'"), ("mlofi.11", {}, "no feature 'mlofi.11'"), ("touch", {}, "no feature 'touch'"),
    ("ofi:5s:6s", {}, "more than the 1 parameters"), ("ofi:5s", {"window": "5s"}, "twice"),
    ("ofi", {"span": "5s"}, "no parameter 'span'"), ("ofi:5 s", {}, "no duration"), ("mlofi:x", {}, "no integer"),
    ("depth:wide", {}, "no number"), ("microprice", {}, "needs its parameter model"),
    ("microprice", {"model": 3}, "no table"),
])  # fmt: skip
def test_names_that_mean_nothing(text: str, parameters: dict[str, Any], word: str) -> None:
    """Lost otherwise: a typing mistake that computes something else."""
    with pytest.raises(ValueError, match=word):
        parse(text, parameters)


def test_one_feature_by_two_names_is_one() -> None:
    """Lost otherwise: windows held twice; and a name of NAMES that is not where signals look for it."""
    features = Features(asked=())
    assert features.ask("ofi:1s") == features.ask("ofi") == NAMES["ofi"]
    assert features.ask("ofi:1000ms") == NAMES["ofi"]
    assert features.ask("ofi", window="1s") == NAMES["ofi"]
    assert features.ask("ofi.scaled") not in NAMES.values()
    first = features.ask("microprice", model=TABLE)
    assert features.ask("microprice") == first
    assert features.ask("microprice", model=[[0.0]]) != first


def test_there_is_an_end_to_features() -> None:
    """Lost otherwise: a write behind the table of values."""
    with pytest.raises(ValueError, match="more than 128 different"):
        Features(asked=[f"ofi:{n + 1}ns" for n in range(129)])
    with pytest.raises(ValueError, match="more than 256 features"):
        Features(asked=[f"mlofi.{part}:10:{n + 1}ns" for n in range(26) for part in range(1, 11)])


def test_a_full_window_is_counted() -> None:
    """Lost otherwise: a window that is silently shorter than it says."""
    features = Features(asked=("mlofi.1:1:1h", "trade_flow:1h"))
    for n in range(65_537 + 30):
        features.book(100, 10 + n % 7, 101, 5, START + n)
        features.trade(1, 101, 1, START + n)
    assert features.forgotten == 30 + 31
    features.book(100, 10, 101, 5, START + duration_ns("1h"))
    assert features.value("mlofi.1:1:1h") == 10 - (10 + 31 % 7)


# ---- ranks -----------------------------------------------------------------------------------------------------------

def compared(window: RankedWindow, kept: list[float]) -> None:
    """Everything that ranks give, against a sorted list."""
    window._check()
    assert len(window) == len(kept)
    if not kept:
        assert np.isnan(window.median())
        return
    assert [window.at(k) for k in range(0, len(kept), 1 + len(kept) // 20)] == kept[::1 + len(kept) // 20]
    middle = float(np.median(kept))
    assert window.median() == middle
    assert window.deviation() == pytest.approx(float(np.median(np.abs(np.array(kept) - middle))), rel=1e-12, abs=1e-300)
    for q in (0.0, 0.31, 0.995, 1.0):
        assert window.quantile(q) == pytest.approx(float(np.quantile(kept, q)), rel=1e-12, abs=1e-300)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.integers(0, 6).map(float), st.floats(-1e6, 1e6)), max_size=60), st.integers(0, 2**32))
def test_ranks_equal_a_sorted_list(numbers: list[float], seed: int) -> None:
    """Lost otherwise: medians of other values than those in the window; many equal ones among them."""
    rng, window, kept = random.Random(seed), RankedWindow(60), []
    for x in numbers:
        insort(kept, x + 0.0)
        window.add(x + 0.0)
        if rng.random() < 0.4:
            window.drop(kept.pop(rng.randrange(len(kept))))
        compared(window, kept)


@pytest.mark.parametrize(("kind", "size"), [("normal", 5000), ("rising", 3000), ("few", 3000)])
def test_ranks_of_long_windows(kind: str, size: int) -> None:
    """Lost otherwise: blocks that are lost or split wrongly, after hours. The window slides over its whole size."""
    rng, window, kept, order = random.Random(3), RankedWindow(size), [], []
    for n in range(3 * size):
        x = {"normal": rng.gauss(0, 1), "rising": n + rng.random(), "few": float(rng.randrange(4))}[kind]
        if len(order) == size:
            old = order.pop(0)
            window.drop(old)
            kept.remove(old)
        window.add(x)
        insort(kept, x)
        order.append(x)
        if n % 397 == 0:
            compared(window, kept)
    while order:
        old = order.pop(rng.randrange(len(order)))
        window.drop(old)
        kept.remove(old)
        if len(order) % 397 == 0:
            compared(window, kept)


def test_ranks_refuse_what_they_cannot_do() -> None:
    """Lost otherwise: a NaN that is never found again, or a write outside the store."""
    window = RankedWindow(2)
    window.add(1.0)
    window.add(2.0)
    for action, error in ((lambda: window.add(3.0), ValueError), (lambda: window.drop(1.5), KeyError),
                          (lambda: window.drop(9.0), KeyError), (lambda: window.at(2), IndexError),
                          (lambda: window.quantile(1.1), ValueError), (lambda: RankedWindow(0), ValueError)):
        with pytest.raises(error):
            action()
    window.drop(1.0)
    with pytest.raises(ValueError, match="NaN"):
        window.add(float("nan"))


# ---- long ------------------------------------------------------------------------------------------------------------

@pytest.mark.long
def test_ten_million_updates_leave_no_drift() -> None:
    """Lost otherwise: a running sum that is a little further off after every day. The same end of history, after 1e7
    updates and after nothing: what has a window is equal to 1e-9. VPIN, whose buckets' places are of all history, is
    equal to that of cumulative volumes."""
    seed = int(os.environ.get("APEX_SEED", "1"))
    rng = np.random.default_rng(seed)
    count = 10_000_000
    wanted = [n for n in names() if n.split(":")[0].split(".")[0] in {
        "imbalance", "ofi", "ofi_decayed", "volatility", "realised", "spread_stats", "size_stats", "mlofi",
        "trade_flow", "effective_spread", "roll", "kyle", "hasbrouck", "amihud", "corwin_schultz", "whale", "hawkes",
        "hawkes_pair"}
        and "jump_z" not in n and "two_scale" not in n]
    old = Features(asked=[*wanted, "vpin:200:5"])
    steps = rng.integers(1, 3, 1 << 16) * 100_000
    moves = rng.choice((-1, 0, 0, 0, 0, 0, 0, 0, 0, 1), 1 << 16)
    lots = rng.lognormal(4, 2, 1 << 16).astype(np.int64) + 1
    sides = rng.integers(1, 3, 1 << 16)
    tail: list[tuple[int, ...]] = []
    traded = array("q")
    ts, mid = START, 1_000_000
    for n in range(count):
        k = n & 0xFFFF if n % 3 else (n * 7) & 0xFFFF
        ts, mid = ts + int(steps[k]), mid + int(moves[k])
        row = (n % 4, ts, mid, int(lots[k]), int(lots[(k + 1) & 0xFFFF]), int(sides[k]))
        _update(old, row)
        if n % 4 == 3:
            traded.append(row[3] if row[5] == 1 else -row[3])
        if n >= count - 200_000:
            tail.append(row)
    new = Features(asked=wanted)
    for row in tail:
        _update(new, row)
    for name in wanted:
        a, b = old.value(name), new.value(name)
        assert a == pytest.approx(b, rel=1e-9), name
        assert np.isfinite(a), name
    assert old.value("vpin:200:5") == pytest.approx(_vpin(np.array(traded), 200, 5), rel=1e-12)


def _vpin(signed: Any, volume: int, buckets: int) -> float:
    """Of the last whole buckets, from the lots bought up to each of their borders."""
    lots = np.abs(signed)
    total, bought = np.cumsum(lots), np.cumsum(np.where(signed > 0, lots, 0))
    borders = (total[-1] // volume - np.arange(buckets, -1, -1)) * volume
    place = np.searchsorted(total, borders)
    up_to = bought[place] - np.where(signed[place] > 0, total[place] - borders, 0)
    return float(np.abs(2 * np.diff(up_to) - volume).sum() / (buckets * volume))


def _update(features: Features, row: tuple[int, ...]) -> None:
    """A trade every fourth time, else a touch."""
    kind, ts, mid, a, b, side = row
    if kind == 3:
        features.trade(side, mid + side % 2, a, ts)
    else:
        features.book(mid, a, mid + 1, b, ts)
