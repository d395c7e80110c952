"""The pages of docs/strategies: complete, and what the replays of the recordings give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tools.pages import recordings, run

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs" / "strategies"
SHARED = {"__init__", "quoting", "schedule", "maker"}
"""Modules that are no strategy of a paper."""
PLOT_BYTES_MAX = 150_000


def names() -> list[str]:
    return [p.stem for p in sorted((ROOT / "apex" / "strategies").glob("*.py")) if p.stem not in SHARED]


@pytest.mark.parametrize("name", names())
def test_every_strategy_has_its_page(name: str) -> None:
    """Lost otherwise: a strategy without its source, its replays, or its place in the index."""
    page = (DOCS / f"{name}.md").read_text("utf-8")
    assert "Source: " in page
    assert f"apex/strategies/{name}.py" in page
    assert f"]({name}.png)" in page
    assert "apex replay " in page
    assert 10_000 < (DOCS / f"{name}.png").stat().st_size < PLOT_BYTES_MAX
    assert f"({name}.md)" in (DOCS / "README.md").read_text("utf-8")
    assert "Source: " in (ROOT / "apex" / "strategies" / f"{name}.py").read_text("utf-8")


@pytest.mark.recordings
def test_figures_are_what_the_replays_give(data_file: Callable[[str], Path], tmp_path: Path,
                                           monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: pages that praise or blame an engine of last year; `make pages` writes them anew."""
    for recording in recordings.ALL:
        for file in recording.files:
            monkeypatch.setattr(recordings, "DATA", data_file(f"ticks/binance/{file}").parent)
    monkeypatch.setattr(recordings, "TAPES", tmp_path)
    monkeypatch.setattr(recordings, "_facts", {})
    assert run.main(["--check"]) == 0, capsys.readouterr().err
