"""The page for those who come from hftbacktest: its two programs run, and trade alike at every step."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tools import examples

PLACES = (".venv-parity", ".venv-peers-hftbacktest")
PAGE = examples.ROOT / "docs" / "start" / "hftbacktest.md"


def peer() -> Path:
    """hftbacktest's Python; without one the test skips, and says how to make it."""
    chosen = [Path(os.environ["HFTBACKTEST_PYTHON"])] if "HFTBACKTEST_PYTHON" in os.environ else []
    for python in (*chosen, *(examples.ROOT / place / "bin" / "python" for place in PLACES)):
        if python.exists():
            return python
    pytest.skip("hftbacktest's environment is absent: make peers (or make parity-short), or set HFTBACKTEST_PYTHON")


def test_both_programs_trade_alike(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Lost otherwise: a page that promises the same fills, and is believed."""
    python = peer()
    market = examples.demo_market(tmp_path_factory.mktemp("market") / "market.tape")
    kept: dict[str, Any] = {}
    for _, outputs in examples.play(PAGE, tmp_path, market, python, keep=kept):
        for what, expected, got in outputs:
            assert examples.matches(expected, got), f"{what}\nshown:\n{expected}\ncame out:\n{got}"
    times, held, count = np.load(tmp_path / "theirs.npy").T
    assert len(times) == 11_005
    assert count[-1] > 700
    fills = kept["run"].fill_rows
    order = np.argsort(fills["ts_local_ns"], kind="stable")
    known = np.searchsorted(fills["ts_local_ns"][order], times, side="right")
    signed = np.where(fills["side"] == 1, fills["quantity_lots"], -fills["quantity_lots"])[order]
    position = np.concatenate(([0], np.cumsum(signed)))
    np.testing.assert_array_equal(known, count)
    np.testing.assert_array_equal(position[known], held)
