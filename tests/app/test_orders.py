"""Recordings of orders through the commands: import, look, replay with a fifo queue."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from apex.app import cli
from tests.importers.dbn_files import mbo, metadata, trade, write

NAME = "XYZ_2012-06-21_34200000_57600000_{}_2.csv"
MESSAGES = """34200.1,1,70,40,1000000,1
34200.2,1,71,40,1010000,-1
34201.0,1,72,40,1000000,1
34202.0,4,70,40,1000000,1
34203.0,4,72,25,1000000,1
34204.0,3,71,40,1010000,-1
"""


def apex(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = cli.main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def tape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(NAME.format("message"), MESSAGES)
    code, summary = apex(capsys, "import", "lobster", str(tmp_path / "x.zip"), "--out", str(tmp_path / "t"), "--tick",
                         "0.01")
    assert code == 0
    assert (summary["messages"], summary["order_updates"], summary["trades"], summary["synced"]) == (6, 6, 2, True)
    assert summary["instruments"] == [{"symbol": "XYZ", "venue": "nasdaq", "tick": "0.01", "lot": "1"}]
    return tmp_path / "t"


def orders(path: Path) -> Path:
    """Our buy of 30 between the venue's orders 70 and 72."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("ts", "id", "side", "price", "quantity", "tif", "cancel_ts"))
        writer.writerow((1_340_285_400_500_000_000, 1, "buy", "100", "30", "GTC", ""))
    return path


def test_fifo_fills_what_was_behind(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: the queue of the command line, or its fill at the wrong execution."""
    schedule, out = orders(tmp_path / "o.csv"), tmp_path / "out"
    words = ("replay", str(tape), "--orders", str(schedule), "--out", str(out))
    code, result = apex(capsys, *words, "--queue", "fifo")
    assert (code, result["fills"], result["position"], result["queue"]) == (0, 1, {"XYZ": "25"}, "fifo")
    assert "25" in (out / "orders.csv").read_text().splitlines()[1]
    code, result = apex(capsys, *words)
    assert (code, result["position"], result["queue"]) == (0, {"XYZ": "25"}, "risk-averse")
    code, result = apex(capsys, *words, "--queue", "fifo", "--fill-mode", "compat")
    assert (code, result["position"]) == (0, {"XYZ": "30"})


def test_fifo_needs_orders(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a replay of levels that never fills, and nobody is told why."""
    levels = write(tmp_path / "x.dbn", metadata("mbp-1", {7: "ESZ9"}), trade("A", 100, 1, touch=(100, 5, 101, 5)))
    assert apex(capsys, "import", "databento", str(levels), "--out", str(tmp_path / "l"))[0] == 0
    for words in ((str(tmp_path / "l"),), (str(tape), str(tmp_path / "l"))):
        code, answer = apex(capsys, "replay", *words, "--queue", "fifo")
        assert code == 2
        assert "glbx:ESZ9 holds levels" in answer["error"]["what"]
    code, answer = apex(capsys, "replay", str(tape), "--queue", "fifo", "--fill-mode", "compat", "--partial-fills")
    assert (code, answer["error"]["where"]) == (2, "--partial-fills")
    assert apex(capsys, "replay", str(tape), str(tmp_path / "l"), "--queue", "fifo", "--instrument", "XYZ")[0] == 0


def test_databento_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: instruments of one file under names that nobody can ask for."""
    path = write(tmp_path / "x.dbn.zst", metadata("mbo", {7: "ESZ9", 8: "NQZ9"}),
                 *(mbo("A", "BA"[n % 2], n, 100 + n % 2, 5, flags=32, instrument=7 + n // 3) for n in range(1, 6)))
    code, summary = apex(capsys, "import", "databento", str(path), "--out", str(tmp_path / "t"), "--tick", "NQZ9=0.25")
    assert (code, summary["names"]) == (0, ["glbx:ESZ9", "glbx:NQZ9"])
    code, touch = apex(capsys, "tape", "bbo", str(tmp_path / "t"), "--final", "--instrument", "NQZ9")
    assert (code, touch[0]["bid"], touch[0]["ask"]) == (0, "25", "25.25")
    code, answer = apex(capsys, "import", "databento", str(path), "--out", str(tmp_path / "t"), "--symbol", "X")
    assert (code, answer["error"]["where"]) == (2, "--symbol")
