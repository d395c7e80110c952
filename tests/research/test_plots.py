"""What the plots draw: few enough points, and no extreme lost."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apex
from apex.app.replay import ReplayResult
from apex.research import plots
from apex.research.plots import decimate, histogram, plot_data
from tests.research.conftest import DELAYS
from tests.research.strategies import Busy

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=400)


@settings(deadline=None)
@given(VALUES, st.integers(6, 60))
def test_no_interval_loses_its_extremes(values: list[float], rows_max: int) -> None:
    """Lost otherwise: a plot that hides the worst second of the run."""
    column = np.array(values)
    rows = decimate([column], rows_max)
    assert len(rows) <= rows_max
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0
    assert rows[-1] == len(values) - 1
    width = 1 if len(values) <= rows_max else -(-len(values) // max(1, (rows_max - 2) // 2))
    for start in range(0, len(values), width):
        bucket = column[start:start + width]
        kept = column[rows[(rows >= start) & (rows < start + width)]]
        if not np.isnan(bucket).all():
            assert np.nanmin(kept) == np.nanmin(bucket)
            assert np.nanmax(kept) == np.nanmax(bucket)


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**10) | st.sampled_from([0, 1, 7_000_000]), min_size=1, max_size=300))
def test_every_duration_falls_into_one_bin(times: list[int]) -> None:
    """Lost otherwise: orders that a distribution leaves out or counts twice."""
    bins = histogram(np.array(times, dtype="i8"))
    assert bins is not None
    assert sum(bins["counts"]) + bins["slower"] == len(times)
    assert bins["edges"][0] == min(times)
    assert len(bins["edges"]) == len(bins["counts"]) + 1
    if len(bins["counts"]) > 1:
        assert (np.diff(bins["edges"]) > 0).all()
    assert bins["slower"] <= len(times) // 1000


def test_stragglers_are_counted_beyond_the_edge() -> None:
    """Lost otherwise: one order of an hour that squeezes all others into one bin, or goes unmentioned."""
    bins = histogram(np.array([5_000_000 + i for i in range(5_000)] + [3_600 * 10**9] * 2, dtype="i8"))
    assert bins is not None
    assert bins["slower"] == 5
    assert bins["edges"][-1] == 5_004_996


def test_nothing_has_no_distribution() -> None:
    """Lost otherwise: an empty plot with an axis of made-up values."""
    assert histogram(np.zeros(0, dtype="i8")) is None


def test_plots_end_where_the_tables_end(both: ReplayResult) -> None:
    """Lost otherwise: plots and tables of one report that disagree."""
    drawn = plot_data(both.orders, both.fills, both.equity, both.instruments)
    assert drawn["equity"]["net"][-1] == pytest.approx(float(both.summary["net_pnl"]), abs=1e-8)
    assert drawn["equity"]["gross"][-1] == pytest.approx(float(both.summary["gross_pnl"]), abs=1e-8)
    assert max(drawn["drawdown"]["drawdown"]) == pytest.approx(float(both.summary["max_drawdown_money"]), abs=1e-8)
    assert sum(len(i["fills"]["t"]) for i in drawn["instruments"]) == both.summary["fills"]
    for entry in drawn["instruments"]:
        held = float(both.summary["position"][entry["symbol"]])
        assert entry["inventory"]["position"][-1] == pytest.approx(held)
        own = both.fills[both.fills["instrument"] == entry["symbol"]]
        assert entry["fills"]["price"] == pytest.approx(own["price"].tolist())
        assert entry["fills"]["buy"] == (own["side"] == "buy").astype(int).tolist()
        at = [drawn["start"] + t for t in entry["fills"]["t"]]
        assert at == (own["ts_local"] // 10**6).tolist()
    assert "NaN" not in json.dumps(drawn)


def test_a_long_run_is_thinned_and_says_so(tapes: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: reports of tens of megabytes, or thinned plots that pass for whole ones."""
    result = apex.replay(tapes(), Busy, **DELAYS)
    monkeypatch.setattr(plots, "POINTS_MAX", 200)
    drawn = plot_data(result.orders, result.fills, result.equity, result.instruments)
    entry = drawn["instruments"][0]
    shown = [drawn["equity"], drawn["drawdown"], entry["price"], entry["inventory"], entry["fills"]]
    assert sum(len(series["t"]) for series in shown) <= 200
    assert [series["total"] for series in shown] == [len(result.equity)] * 4 + [len(result.fills)]
    assert len(entry["fills"]["t"]) < len(result.fills)
    assert max(drawn["drawdown"]["drawdown"]) == pytest.approx(float(result.summary["max_drawdown_money"]), abs=1e-8)
    assert min(entry["fills"]["price"]) == result.fills["price"].min()
    assert max(entry["fills"]["price"]) == result.fills["price"].max()
