"""Every number of a report, computed a second time from the tables alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apex
from apex.app.replay import ReplayResult
from apex.domain.instrument import Instrument
from apex.importers.binance import import_binance
from apex.research.metrics import performance
from tests.oracles import metrics as oracle
from tests.research.conftest import DELAYS, FEES, instrument
from tests.research.strategies import Busy, Silent

UNIT = Fraction(1, 10**8)


def terms_of(instruments: list[Instrument]) -> list[oracle.Terms]:
    return [oracle.Terms(i.symbol, Fraction(i.tick), Fraction(i.lot), Fraction(i.multiplier)) for i in instruments]


def check_money(result: ReplayResult) -> None:
    """P&L, turnover and closed trades against exact fractions."""
    summary, found = result.summary, result.document["metrics"]
    terms = terms_of(result.instruments)
    gross, spread, inventory, fees, net = (
        Decimal(summary[k]) for k in ("gross_pnl", "spread_captured", "inventory_pnl", "fees", "net_pnl"))
    assert gross == spread + inventory
    assert net == gross - fees
    value = Fraction()
    closed: list[Fraction] = []
    open_cost = open_fees = Fraction()
    for t in terms:
        rows = oracle.exact_fills(result.fills, t)
        closed += oracle.closed_trades(rows)
        lots, cost, paid = oracle.open_part(rows)
        open_cost, open_fees = open_cost + cost, open_fees + paid
        assert Decimal(summary["position"][t.label]) == Decimal(lots) * Decimal(str(float(t.lot)))
        mid = Fraction(str(result.equity[f"mid:{t.label}"].iloc[-1]))
        value += lots * t.lot * mid * t.multiplier
    assert abs(Fraction(net) - (sum(closed) + value - open_cost - open_fees)) <= len(terms) * UNIT
    bought = oracle.turnover(result.fills, terms)
    assert Fraction(found["turnover"]["bought"]) == bought["bought"]
    assert Fraction(found["turnover"]["sold"]) == bought["sold"]
    assert Fraction(found["turnover"]["value"]) == bought["bought"] + bought["sold"]
    assert Fraction(fees) == sum((f for t in terms for _, _, f in oracle.exact_fills(result.fills, t)), Fraction())
    check_trips(found["round_trips"], closed)


def check_trips(found: dict[str, Any], closed: list[Fraction]) -> None:
    """Closed trades: a part rounds to a unit, so that a trade within 3 units of zero may fall to either side."""
    close = sum(1 for pnl in closed if abs(pnl) <= 3 * UNIT)
    wins, losses = [p for p in closed if p > 0], [-p for p in closed if p < 0]
    assert found["count"] == len(closed)
    assert abs(found["wins"] - len(wins)) <= close
    assert abs(found["losses"] - len(losses)) <= close
    assert abs(Fraction(found["net_pnl"]) - sum(closed, Fraction())) <= 3 * UNIT * max(1, len(closed))
    assert (found["win_rate"] is None) == (not closed)
    if closed:
        assert found["win_rate"] == found["wins"] / len(closed)
        assert abs(Fraction(found["expectancy"]) - sum(closed, Fraction()) / len(closed)) <= 4 * UNIT
    won, lost, wrong = sum(wins, Fraction()), sum(losses, Fraction()), 3 * UNIT * len(closed)
    if lost > wrong:
        assert (won - wrong) / (lost + wrong) <= found["profit_factor"] <= (won + wrong) / (lost - wrong)
    if not found["losses"]:
        assert found["profit_factor"] is None


def check_times(result: ReplayResult) -> None:
    """Exposure, drawdown, markout and latencies against pandas."""
    found, terms = result.document["metrics"], terms_of(result.instruments)
    fills, orders, equity = result.fills, result.orders, result.equity
    held = oracle.exposure(equity, terms)
    assert float(found["exposure"]["mean"]) == pytest.approx(held["mean"], rel=1e-9, abs=1e-7)
    assert float(found["exposure"]["max"]) == pytest.approx(held["max"], rel=1e-9, abs=1e-7)
    assert found["exposure"]["time_in_market"] == pytest.approx(held["time_in_market"], rel=1e-12)
    for t in terms:
        position = equity[f"position:{t.label}"]
        seen = found["inventory"][t.label]
        assert (float(seen["low"]), float(seen["high"])) == (position.min(), position.max())
        seconds = oracle.held_seconds(equity)
        mean = float((position.abs() * seconds).sum() / seconds.sum())
        assert float(seen["mean_abs"]) == pytest.approx(mean, abs=1e-8)
    fall = oracle.drawdown(equity)
    assert float(found["drawdown"]["max"]) == pytest.approx(fall["max"], abs=1e-8)
    assert found["drawdown"]["max"] == result.summary["max_drawdown_money"]
    assert found["drawdown"]["at"] == fall["at"]
    assert found["drawdown"]["longest_seconds"] == pytest.approx(fall["longest_seconds"])
    assert found["drawdown"]["under_water_at_end"] == fall["under_water_at_end"]
    for seconds in (0, 1, 10, 60):
        expected = oracle.markout(fills, equity, terms, seconds)
        assert found["markout_bps"][f"{seconds}s"] == (None if expected is None else pytest.approx(expected, rel=1e-9))
    sent = orders[orders["status"] != "denied"]
    assert found["order_to_fill"] == len(sent) / len(fills)
    answered = sent[sent["ts_ack"] > 0]
    waits = [(answered["ts_ack"] - answered["ts_local"]).tolist()]
    first = {row.id: row.ts_local for row in fills.iloc[::-1].itertuples()}
    waits.append([int(first[row.id] - row.ts_local) for row in sent.itertuples() if row.id in first])
    for name, values in zip(("response_latency_ns", "time_to_fill_ns"), waits, strict=True):
        assert found[name] == {"count": len(values), "max": max(values), **{
            f"p{p}": oracle.nearest_rank(values, p) for p in (50, 90, 99)}}
    for name in ("maker", "optimistic"):
        count = sum(1 for flag in fills[name] if flag)
        assert found[f"{name}_fills"] == {"count": count, "share": count / len(fills)}


def check_grid(result: ReplayResult) -> None:
    """The engine's grid of one second, from fills and mids alone."""
    fills, equity = result.fills, result.equity
    total = pd.Series(0.0, index=equity.index)
    spread, fees = total.copy(), total.copy()
    for t in terms_of(result.instruments):
        rows = fills[fills["instrument"] == t.label]
        signed = rows["quantity"] * rows["side"].map({"buy": 1.0, "sell": -1.0})
        seen = np.searchsorted(rows["ts_local"].to_numpy(), equity["ts"].to_numpy(), side="right")

        def summed(values: pd.Series, seen: Any = seen) -> np.ndarray:
            return np.concatenate(([0.0], values.cumsum().to_numpy()))[seen]

        position = summed(signed)
        assert np.allclose(position, equity[f"position:{t.label}"], atol=1e-9)
        total += position * equity[f"mid:{t.label}"].fillna(0) - summed(signed * rows["price"])
        spread += summed(signed * (rows["mid"] - rows["price"]))
        fees += summed(rows["fee"])
    assert np.allclose(total, equity["gross_pnl"], atol=1e-6)
    assert np.allclose(spread, equity["spread_captured"], atol=1e-6)
    assert np.allclose(fees, equity["fees"], atol=1e-7)
    raw = result.equity_rows
    assert (raw["net"] == raw["gross"] - raw["fees"]).all()
    assert equity["ts"].is_monotonic_increasing
    assert (equity["ts"].iloc[:-1] % 10**9 == 0).all()


def test_money_is_what_the_fills_say(any_result: ReplayResult) -> None:
    """Lost otherwise: P&L that does not follow from the fills, and nobody who notices."""
    assert any_result.summary["fills"] > 200
    check_money(any_result)


def test_times_and_shares_are_what_the_tables_say(any_result: ReplayResult) -> None:
    """Lost otherwise: exposure, drawdown, markout or latency that only look plausible."""
    check_times(any_result)


def test_grid_is_what_the_fills_say(any_result: ReplayResult) -> None:
    """Lost otherwise: every plot and the drawdown stand on a grid that nothing else confirms."""
    check_grid(any_result)


@pytest.mark.recordings
def test_a_recording(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost otherwise: what generated markets lack: a shifted clock, bursts, prices of several digits."""
    import_binance([data_file("ticks/binance/usdm_btcusdt_20240808.gz")], tmp_path / "a.tape")
    result = apex.replay(tmp_path / "a.tape", Busy, **FEES, **DELAYS)
    assert result.summary["fills"] > 100
    check_money(result)
    check_times(result)
    check_grid(result)


def test_counts_add_up(any_result: ReplayResult) -> None:
    """Lost otherwise: signals = orders + blocked, and a reason for each order that did not fill."""
    s, orders = any_result.summary, any_result.orders
    assert s["signals"] == s["orders"] + s["blocked"]
    assert sum(s["blocked_by"].values()) == s["blocked"]
    assert sum(s["unfilled_by"].values()) == s["unfilled"]
    assert s["denied"] == sum(s["denied_by"].values()) == (orders["status"] == "denied").sum() > 0
    assert s["denied_by"] == orders[orders["status"] == "denied"]["reason"].value_counts().to_dict()
    open_orders = orders[(orders["status"] != "denied") & (orders["reason"] != "")]
    assert s["unfilled_by"] == open_orders["reason"].value_counts().to_dict()
    short = orders["filled"] < orders["quantity"] - 1e-9
    assert (short == (orders["reason"] != "")).all()


def test_two_venues_of_one_symbol_stay_apart(both: ReplayResult) -> None:
    """Lost otherwise: the second BTCUSDT of a run hides the first, positions, mids and all."""
    assert list(both.summary["position"]) == ["one:AAAUSDT", "two:AAAUSDT"]
    assert set(both.fills["instrument"]) == {"one:AAAUSDT", "two:AAAUSDT"}


def frame_of(fills: list[tuple[int, int, int]], tick: str, lot: str) -> pd.DataFrame:
    """Fills of (signed lots, ticks, fee in cash units) as a result's table has them."""
    return pd.DataFrame({
        "ts_local": pd.Series(range(len(fills)), dtype="i8"), "id": pd.Series(range(len(fills)), dtype="i8"),
        "instrument": pd.Series(["AAAUSDT"] * len(fills), dtype="str"),
        "side": pd.Series(["buy" if lots > 0 else "sell" for lots, _, _ in fills], dtype="str"),
        "price_ticks": pd.Series([ticks for _, ticks, _ in fills], dtype="i8"),
        "quantity": pd.Series([float(abs(lots) * Fraction(lot)) for lots, _, _ in fills], dtype="f8"),
        "maker": pd.Series([True] * len(fills), dtype="bool"),
        "fee": pd.Series([fee / 1e8 for _, _, fee in fills], dtype="f8"),
        "price": pd.Series([float(ticks * Fraction(tick)) for _, ticks, _ in fills], dtype="f8"),
        "mid": pd.Series([math.nan] * len(fills), dtype="f8"),
        "optimistic": pd.Series([False] * len(fills), dtype="bool"),
    })


EMPTY_GRID = pd.DataFrame({name: pd.Series(dtype="i8" if name == "ts" else "f8") for name in (
    "ts", "net_pnl", "gross_exposure", "position:AAAUSDT", "mid:AAAUSDT")})
SIGNED = st.tuples(st.integers(-9, 9).filter(bool), st.integers(1, 5000), st.integers(-10_000, 10_000))


@settings(deadline=None, max_examples=200)
@given(st.lists(SIGNED, max_size=40), st.sampled_from([("0.1", "0.001"), ("0.00001", "3"), ("2.5", "0.0007")]))
def test_closed_trades_by_average_cost(fills: list[tuple[int, int, int]], grid: tuple[str, str]) -> None:
    """Lost otherwise: win rate and profit factor of fills that reduce, close or turn a position."""
    given_instrument = Instrument("AAAUSDT", "x", grid[0], grid[1])
    frame = frame_of(fills, *grid)
    found = performance(frame, EMPTY_GRID, [given_instrument])
    rows = oracle.exact_fills(frame, terms_of([given_instrument])[0])
    check_trips(found["round_trips"], oracle.closed_trades(rows))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(-50, 50), min_size=1, max_size=60))
def test_drawdown_walks_the_grid(net: list[int]) -> None:
    """Lost otherwise: the longest and the deepest fall of curves that touch their peak again, or end below it."""
    grid = pd.DataFrame({"ts": np.arange(len(net)) * 10**9, "net_pnl": np.array(net, "f8"),
                         "gross_exposure": 0.0, "position:AAAUSDT": 0.0, "mid:AAAUSDT": 1.0})
    found = performance(frame_of([], "0.1", "0.001"), grid, [instrument("AAAUSDT")])["drawdown"]
    expected = oracle.drawdown(grid)
    assert Decimal(found["max"]) == Decimal(expected["max"])
    assert {k: found[k] for k in ("at", "longest_seconds", "under_water_at_end")} == {
        k: expected[k] for k in ("at", "longest_seconds", "under_water_at_end")}


def test_markout_looks_at_the_first_second_at_or_after() -> None:
    """Lost otherwise: a mid from after the time asked for, where the grid has that very time."""
    fills = frame_of([(1, 1000, 0)], "0.1", "0.001").assign(ts_local=5 * 10**9)
    grid = pd.DataFrame({"ts": np.arange(20) * 10**9, "net_pnl": 0.0, "gross_exposure": 0.0, "position:AAAUSDT": 0.0,
                         "mid:AAAUSDT": 100.0 + np.arange(20)})  # fmt: skip
    found = performance(fills, grid, [instrument("AAAUSDT")])["markout_bps"]
    assert found == {"0s": None, "1s": pytest.approx(600.0), "10s": pytest.approx(1500.0), "60s": None}


def test_only_answered_orders_have_a_response() -> None:
    """Lost otherwise: an order still in flight at the end with a response latency of minus fifty years."""
    orders = pd.DataFrame({"ts_local": [10, 20, 30], "ts_ack": [17, 0, 0], "id": [1, 2, 3],
                           "status": ["canceled", "open", "denied"]})  # fmt: skip
    found = performance(frame_of([], "0.1", "0.001"), EMPTY_GRID, [instrument("AAAUSDT")], orders)
    assert found["response_latency_ns"] == {"count": 1, "p50": 7, "p90": 7, "p99": 7, "max": 7}


def nulls(value: Any, path: str = "") -> list[str]:
    """Paths of what is undefined."""
    if isinstance(value, dict):
        return [found for key, inner in value.items() for found in nulls(inner, f"{path}/{key}")]
    return [path] if value is None else []


def test_what_is_undefined_is_null(idle: Callable[[Any], ReplayResult]) -> None:
    """Lost otherwise: NaN or a made-up zero where there is nothing to divide by."""
    found = idle(Silent).document["metrics"]
    assert found["turnover"] == {"value": "0", "bought": "0", "sold": "0", "fills": 0}
    assert set(nulls(found)) == {
        "/round_trips/win_rate", "/round_trips/profit_factor", "/round_trips/average_win", "/round_trips/average_loss",
        "/round_trips/expectancy", "/drawdown/at", "/optimistic_fills/share", "/maker_fills/share",
        *(f"/markout_bps/{s}s" for s in (0, 1, 10, 60)), "/order_to_fill",
        *(f"/{k}/{p}" for k in ("time_to_fill_ns", "response_latency_ns") for p in ("p50", "p90", "p99", "max"))}
    none = performance(frame_of([], "0.1", "0.001"), EMPTY_GRID, [instrument("AAAUSDT")])
    assert none["exposure"] == {"mean": None, "max": None, "time_in_market": None}
    assert set(none["drawdown"].values()) == {None}
