"""The short form of fill parity as a test; `make parity-short` and CI run it as a program."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.parity import run


@pytest.mark.parity
def test_short_form_is_equal(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Lost otherwise: that compat mode gives hftbacktest's fills, cancels and positions."""
    if "parity" not in str(request.config.option.markexpr):
        pytest.skip("it needs hftbacktest's environment and a minute: make parity-short, or pytest -m parity")
    cases, found = run.run(run.SHORT, tmp_path / "short")
    assert len(found) == len(cases) > 200
    assert {r.name: r.differences[: run.SHOWN] for r in found if r.differences} == {}


@pytest.mark.long
def test_long_markets_are_equal(tmp_path: Path) -> None:
    """Lost otherwise: what only longer runs meet: many orders at rest, levels far from the touch, rare ties."""
    seed = int(os.environ.get("APEX_SEED", "1"))
    form = run.Form(range(seed, seed + 1), 20_000, 1_000, (), 0, 0)
    _, found = run.run(form, tmp_path / "long")
    assert {r.name: r.differences[: run.SHOWN] for r in found if r.differences} == {}
