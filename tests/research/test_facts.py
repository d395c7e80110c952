"""Stylised facts: estimators against known distributions, what a small tape holds, recordings within their bands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from apex._core.events import FLAGS, pack
from apex.importers.binance import import_binance
from apex.research import facts
from apex.research.curves import curves
from apex.research.observe import DEPTH_BP, MS, SECOND, Observed, observe
from apex.store.tape import Tape, TapeWriter
from tests.store.markets import BOTH, BTC, LOCAL_ONLY, PAIR, START, message

RNG = np.random.default_rng(7)
NONE = np.zeros(0, np.int64)
CHAINS = {
    "usdm_btcusdt": ("usdm_btcusdt_20240808.gz",),
    "usdm_btcusdt_2023": ("usdm_btcusdt_20230404.dat.gz", "usdm_btcusdt_20230405.dat.gz"),
    "usdm_btcusdt_july": ("usdm_btcusdt_20240718.gz", "usdm_btcusdt_20240719.gz"),
    "usdm_ethusdt": ("usdm_ethusdt_20240718.gz", "usdm_ethusdt_20240719.gz"),
    "spot_btcusdt": ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz"),
    "cm_btcusd": ("cm_btcusd_perp_20240808.gz", "cm_btcusd_perp_20240809.gz"),
}


def parents(ts: np.ndarray, sign: np.ndarray | None = None, lots: np.ndarray | None = None) -> Observed:
    """A market of nothing but market orders."""
    ones = np.ones(len(ts), np.int64)
    empty = np.zeros(0)
    return Observed("X", 0, NONE, NONE, NONE, NONE, NONE, NONE, empty.reshape(0, 2, len(DEPTH_BP)),
                    ts.astype(np.int64), ones if sign is None else sign, ones if lots is None else lots, ones,
                    NONE, NONE, np.zeros(0, np.bool_))


# ---- estimators ------------------------------------------------------------------------------------------------------

def test_autocorrelation_is_that_of_the_definition() -> None:
    """Lost otherwise: clusters and memory of another statistic than readers of the table believe."""
    x = RNG.standard_normal(5_000).cumsum() % 7
    for lag in (1, 3, 20):
        found = facts.autocorrelation(x, lag)
        assert found == pytest.approx(pd.Series(x).autocorr(lag), abs=2e-3)
    assert facts.autocorrelation(np.zeros(100), 1) is None
    assert facts.autocorrelation(np.arange(10.0), 1) is None, "too little to say"


@pytest.mark.parametrize("alpha", [1.0, 1.5, 3.0])
def test_hill_finds_the_exponent_of_a_pareto_tail(alpha: float) -> None:
    """Lost otherwise: tails that look heavier or lighter than they are."""
    sample = RNG.pareto(alpha, 200_000) + 1
    found = facts.hill(sample)
    assert found == pytest.approx(alpha, rel=0.05)
    assert facts.hill(np.concatenate((sample, np.zeros(10**6)))) == found, "what is 0 is no size"


def test_kurtosis_is_that_of_normal_and_of_heavy_tails() -> None:
    """Lost otherwise: a number whose 3 is not that of a normal distribution."""
    assert facts.kurtosis(RNG.standard_normal(10**6)) == pytest.approx(3, abs=0.05)
    assert facts.kurtosis(RNG.laplace(size=10**6)) == pytest.approx(6, abs=0.3)
    assert facts.kurtosis(np.ones(5)) is None


def test_fano_and_gaps_tell_independent_from_clustered_arrivals() -> None:
    """Lost otherwise: the fact that the generator's Hawkes process is there for."""
    even = parents(np.cumsum(RNG.exponential(0.1 * SECOND, 50_000)))
    by_name = facts.measure(even)
    for name in ("gaps", "fano_100ms", "fano_1s"):
        assert by_name[name] == pytest.approx(1, abs=0.06)
    assert by_name["branching"] is not None
    assert by_name["branching"] < 0.05
    # A branching process: each event calls for n more at an exponential delay; Hawkes and Oakes, J. Appl. Prob. 11.
    n, generation = 0.7, np.sort(RNG.uniform(0, 20_000 * SECOND, 20_000))
    every = [generation]
    while len(generation):
        generation = np.repeat(generation, RNG.poisson(n, len(generation)))
        generation = generation + RNG.exponential(0.1 * SECOND, len(generation))
        every.append(generation)
    branching = facts.measure(parents(np.sort(np.concatenate(every))))["branching"]
    assert branching == pytest.approx(n, abs=0.05)


def test_signs_and_sizes() -> None:
    """Lost otherwise: a memory of signs that is that of sizes, or a range from the wrong percentiles."""
    keeps = np.where(RNG.random(100_000) < 0.8, 1, -1).cumprod()     # the next is the same with 0.8
    lots = np.arange(1, 100_001)
    found = facts.measure(parents(np.arange(100_000) * SECOND, keeps, lots))
    assert found["signs_1"] == pytest.approx(0.6, abs=0.02)
    assert found["signs_10"] == pytest.approx(np.mean([0.6**k for k in range(8, 13)]), abs=0.02)
    assert found["size_range"] == pytest.approx(0.99 / 0.5, rel=0.01)
    assert found["orders"] is None, "a market without a book has no length"


def test_moves_of_the_mid() -> None:
    """Lost otherwise: volatility, stillness and variance ratio of another grid, unit or sign."""
    steps = RNG.standard_normal(40_000)
    ts = START + np.arange(40_001) * SECOND
    mid = np.rint(2e6 + 100 * np.concatenate(([0.0], steps.cumsum()))).astype(np.int64)
    base = parents(ts[:-20], np.where(steps[:len(ts) - 20] > 0, 1, -1))
    seen = replace(base, ts=ts, bid=mid - 1, ask=mid + 1, bid_lots=np.full(len(ts), 10), ask_lots=np.full(len(ts), 30),
                   weight=np.append(np.diff(ts), 0))
    found = facts.measure(seen)
    unit = 100 / seen.bp
    assert found["volatility"] == pytest.approx(unit, rel=0.02)
    assert found["variance_ratio"] == pytest.approx(1, abs=0.05)
    assert found["memory"] == pytest.approx(0, abs=0.02)
    assert found["still"] == pytest.approx((np.diff(mid) == 0).mean(), abs=1e-9)
    assert found["spread_bp"] == pytest.approx(2 / seen.bp)
    assert found["one_tick"] == 0
    assert found["touch_in_orders"] == 20
    assert found["touch_range"] == pytest.approx(3)
    response = np.mean(np.where(steps[1:-20] > 0, 1, -1) * np.diff(mid)[1:len(steps) - 20]) / seen.bp
    assert facts.response(seen, SECOND) == pytest.approx(response, rel=0.02), "from before the order to a second after"


def test_a_market_of_nothing_has_no_facts() -> None:
    """Lost otherwise: a division by zero, or zeros that look like measurements."""
    found = facts.measure(parents(NONE))
    assert set(found.values()) == {None}
    assert list(found) == [fact.name for fact in facts.FACTS]
    assert set(facts.BANDS) == set(found)
    drawn = curves(parents(NONE))
    assert all(curve == {"x": [], "y": []} for curve in drawn.values())


# ---- what a tape holds -----------------------------------------------------------------------------------------------

def small(path: Path) -> Path:
    """A tape of two instruments, the first with a snapshot, trades, a gap and a second snapshot."""
    at = START
    snapshot = [(1, 1000, 50, 0), (1, 998, 20, 0), (2, 1001, 40, 0), (2, 1005, 30, 0)]
    made = [message("SNAPSHOT_BEGIN", at, [(0, 0, 0, 0)], last=False),
            message("BOOK_LEVEL", at, snapshot, flags=BOTH | FLAGS["SNAPSHOT"])]

    def depth(ms: int, *rows: tuple[int, int, int]) -> None:
        made.append(message("BOOK_LEVEL", at + ms * MS, [(*row, 0) for row in rows]))

    def trade(ms: int, side: int, ticks: int, lots: int, flags: int = BOTH) -> None:
        made.append(message("TRADE", at + ms * MS, [(side, ticks, lots, 0)], flags=flags))

    depth(10, (1, 1000, 45), (2, 1003, 7))               # 5 cancelled at the touch; 7 placed 2 ticks behind
    trade(20, 1, 1001, 30)                               # two trades of one order
    trade(20, 1, 1001, 4)
    trade(20, 2, 1000, 1, BOTH | FLAGS["NOT_MARKET"])    # a liquidation: no market order
    depth(20, (2, 1001, 10), (1, 1000, 45 + 6))          # 40 - 34 + 4 placed; 6 placed at the bid
    trade(30, 2, 1000, 51)
    depth(30, (1, 1000, 0))                              # all of it traded: neither placed nor cancelled
    depth(40, (1, 999, 9), (2, 1003, 0))                 # placed 1 tick before the bid; 7 cancelled, the level goes
    made.append(message("LINK_GAP", at + 50 * MS, [(0, 0, 0, 0)], flags=LOCAL_ONLY))
    made += [message("SNAPSHOT_BEGIN", at + 2000 * MS, [(0, 0, 0, 0)], last=False),
             message("BOOK_LEVEL", at + 2000 * MS, [(1, 500, 5, 0), (2, 600, 6, 0)], flags=BOTH | FLAGS["SNAPSHOT"])]
    depth(2010, (1, 500, 4))
    made.append(message("TRADE", at + 2020 * MS, [(1, 600, 1, 0)], instrument=1))
    with TapeWriter(path, PAIR, source="test") as tape:
        tape.append(*pack(np.concatenate(made)))
    return path


def test_a_small_tape_is_read_as_it_is(tmp_path: Path) -> None:
    """Lost otherwise: trades counted as cancellations, gaps as time, a snapshot as orders, another's trades as own."""
    with Tape.open(small(tmp_path / "small.tape")) as tape:
        seen, other = observe(tape), observe(tape, 1)
        part = observe(tape, rows_max=8)
    ms = (seen.ts - seen.ts[0]) // MS
    assert ms.tolist() == [0, 10, 20, 30, 40, 2000, 2010]
    assert seen.bid.tolist() == [1000, 1000, 1000, 998, 999, 500, 500]
    assert seen.ask.tolist() == [1001, 1001, 1001, 1001, 1001, 600, 600]
    assert (seen.weight // MS).tolist() == [10, 10, 10, 10, 0, 10, 0]
    assert seen.depth.shape == (2, 2, len(DEPTH_BP))
    assert seen.depth[0, :, 0].tolist() == [50, 40]
    assert seen.depth[0, :, -1].tolist() == [70, 70], "within 50 bp of 1000 ticks lie 5 ticks"
    assert seen.parent_sign.tolist() == [1, -1]
    assert seen.parent_lots.tolist() == [34, 51]
    assert seen.parent_prints.tolist() == [2, 1]
    changes = sorted(zip(seen.change_lots.tolist(), seen.change_ticks.tolist(), seen.change_emptied.tolist(),
                         strict=True))
    assert changes == sorted([(-5, 0, False), (7, 2, True), (4, 0, False), (6, 0, False), (9, -1, True), (-7, 2, True),
                              (-1, 0, False)])
    assert other.parent_lots.tolist() == [1]
    assert len(other.ts) == 0
    assert part.ts.tolist() == seen.ts[:2].tolist()


def test_orders_are_read_as_the_levels_they_make(tmp_path: Path) -> None:
    """Lost otherwise: executions counted as cancellations, deletes of all that is left as nothing, fills twice."""

    def order(ms: int, kind: str, order_id: int, side: int, ticks: int, lots: int, flags: int = BOTH, *,
              last: bool = True) -> np.ndarray:
        row = message(f"ORDER_{kind}", START + ms * MS, [(side, ticks, lots, 0)], flags=flags, last=last)
        row["order_id"] = order_id
        return row

    shot, keeps = BOTH | FLAGS["SNAPSHOT"], BOTH | FLAGS["KEEPS_BOOK"]
    made = [message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
            order(0, "ADD", 1, 1, 1000, 50, shot, last=False), order(0, "ADD", 2, 2, 1001, 40, shot),
            order(10, "ADD", 3, 2, 1003, 7),                 # 7 placed 2 ticks behind
            order(20, "EXECUTE", 2, 2, 1001, 34),            # a buy; 6 stay
            order(30, "MODIFY", 3, 2, 1002, 5),              # 7 cancelled at 1003, 5 placed at 1002
            order(40, "DELETE", 2, 2, 1001, 0),              # all 6 that are left; the touch goes
            order(50, "EXECUTE", 1, 1, 1000, 9, keeps),      # a fill that is told by other rows
            message("TRADE", START + 50 * MS, [(2, 1000, 9, 0)]),
            order(60, "DELETE", 1, 1, 1000, 9)]
    with TapeWriter(tmp_path / "orders.tape", [BTC], source="test") as tape:
        tape.append(*pack(np.concatenate(made)))
    with Tape.open(tmp_path / "orders.tape") as read:
        seen = observe(read)
    assert seen.ask.tolist() == [1001, 1001, 1001, 1001, 1002, 1002, 1002]
    assert seen.bid_lots.tolist() == [50] * 6 + [41]
    assert (seen.parent_sign.tolist(), seen.parent_lots.tolist()) == ([1, -1], [34, 9])
    changes = sorted(zip(seen.change_lots.tolist(), seen.change_ticks.tolist(), seen.change_emptied.tolist(),
                         strict=True))
    assert changes == sorted([(7, 2, True), (-7, 2, True), (5, 1, True), (-6, 0, True)])


def test_orders_of_an_unknown_side_have_no_sign(tmp_path: Path) -> None:
    """Lost otherwise: a venue that names no aggressor shown as one where everybody sells, with a perfect memory."""
    made = [message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
            message("BOOK_LEVEL", START, [(1, 1000, 50, 0), (2, 1001, 40, 0)], flags=BOTH | FLAGS["SNAPSHOT"])]
    made += [message("TRADE", START + 10 * i * MS, [(side, 1000, 2, 0)]) for i, side in enumerate((1, 0, 2, 0, 0), 1)]
    with TapeWriter(tmp_path / "sides.tape", [BTC], source="test") as tape:
        tape.append(*pack(np.concatenate(made)))
    with Tape.open(tmp_path / "sides.tape") as read:
        seen = observe(read)
    assert (seen.parent_sign.tolist(), seen.parent_lots.tolist()) == ([1, 0, -1, 0, 0], [2] * 5)
    ts, sign = START + np.arange(200) * SECOND, RNG.choice([-1, 1], 200)
    known, mixed = facts.measure(parents(ts, sign)), facts.measure(parents(
        np.repeat(ts, 2), np.column_stack((sign, np.zeros(200, np.int64))).ravel(), np.ones(400, np.int64)))
    for name in ("signs_1", "signs_10", "signs_50"):
        assert mixed[name] == known[name]
    assert facts.measure(parents(ts, np.zeros(200, np.int64)))["signs_1"] is None
    assert curves(parents(ts, np.zeros(200, np.int64)))["signs"] == {"x": [], "y": []}


def test_an_execution_takes_its_side_from_its_order(tmp_path: Path) -> None:
    """Lost otherwise: trades of a feed that names the side only when an order is placed, left without a sign."""
    made = [message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
            message("ORDER_ADD", START, [(1, 1000, 50, 0)], flags=BOTH | FLAGS["SNAPSHOT"], last=False),
            message("ORDER_ADD", START, [(2, 1001, 40, 0)], flags=BOTH | FLAGS["SNAPSHOT"]),
            message("ORDER_EXECUTE", START + 20 * MS, [(0, 1001, 30, 0)]),
            message("ORDER_EXECUTE", START + 40 * MS, [(0, 1000, 4, 0)])]
    for row, order_id in zip(made[1:], (1, 2, 2, 77), strict=True):
        row["order_id"] = order_id
    with TapeWriter(tmp_path / "orders.tape", [BTC], source="test") as tape:
        tape.append(*pack(np.concatenate(made)))
    with Tape.open(tmp_path / "orders.tape") as read:
        assert observe(read).parent_sign.tolist() == [1, 0]


@pytest.mark.recordings
@pytest.mark.parametrize("chain", CHAINS)
def test_recordings_lie_within_the_bands(chain: str, data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost otherwise: bands that say something about a market nobody has recorded."""
    out = tmp_path / "recording.tape"
    import_binance([data_file(f"ticks/binance/{name}") for name in CHAINS[chain]], out)
    with Tape.open(out) as tape:
        found = facts.measure(observe(tape))
    assert None not in found.values()
    assert [name for name in found if not facts.inside(name, found[name])] == []


def test_bands_are_no_wider_than_said() -> None:
    """Lost otherwise: a band that anything fits. One of factor 9 * 4 at most, shares and correlations by the tenth."""
    for name, (low, high) in facts.BANDS.items():
        assert low < high
        if name.startswith(("memory", "clusters", "signs")):
            assert high - low < 0.45
        elif low > 0:
            assert high / low < 22, name


def test_the_instrument_is_named(tmp_path: Path) -> None:
    """Lost otherwise: columns of a table that nobody can tell apart."""
    with Tape.open(small(tmp_path / "small.tape")) as tape:
        assert (observe(tape).symbol, observe(tape, 1).symbol) == (BTC.symbol, PAIR[1].symbol)
