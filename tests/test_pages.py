"""The pages of docs/strategies: complete, and what the replays of the recordings give."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.commands import call
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
    assert f"({name}.md)" in (DOCS / "index.md").read_text("utf-8")
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


@pytest.mark.recordings
@pytest.mark.parametrize(("name", "row"), [("glft", 7), ("twap", 7)])
def test_the_commands_of_a_page_give_its_figures(name: str, row: int, data_file: Callable[[str], Path], tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: commands that a reader cannot repeat, because of a quote, an option or a name."""
    page = (DOCS / f"{name}.md").read_text("utf-8")
    block = page.partition("```bash\n")[2].partition("```")[0].replace("\\\n", " ")
    here = data_file("ticks/binance/usdm_btcusdt_20240808.gz").parents[2]
    monkeypatch.chdir(tmp_path)
    for line in block.strip().split("\n"):
        words = shlex.split(line.replace("$APEX_DATA", str(here)))
        assert words[0] == "apex"
        told = call(capsys, *words[1:], "--json")
        assert told.code == 0, told.err
    figures = [line for line in page.split("\n") if line.startswith(("| BTC", "| ETH"))][-10:][row]
    shown = told.value
    if name == "glft":
        assert f"| {shown['orders']:,} | {shown['fills']:,} |" in figures
    else:
        assert f"**{shown['tca'][0]['bps']['shortfall']:.2f}**" in figures
