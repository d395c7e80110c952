"""`apex sweep`: one row a run, the same for any number of processes, and nothing half-done after trouble."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import apex
from apex.app import sweep as sweeping
from apex.app.generate_command import generate
from apex.app.options import ReplayOptions
from apex.app.sweep_worker import NUMBERS, Job, prepare
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument
from apex.store.tape import Tape
from tests.app.commands import Call, call
from tests.app.sweep_strategies import Maker
from tests.app.test_trouble import MAIN, finish
from tests.store.markets import BTC

ROOT = Path(__file__).resolve().parents[2]
MAKER = "tests.app.sweep_strategies:Maker"
GRID = ["--grid", "away=3:0:-1", "lots=1,2"]
MEASURED = {"ns_per_event", "events_per_second", "seconds", "peak_rss_bytes"}
SAME = {"maker_fee", "taker_fee", "start_ts", "end_ts", "feed_shift_ns", "partial_fills", "requests_denied_by",
        "halts"}
"""Numbers of a summary that a row leaves out: of the machine, of the options and of the tape, and of other requests."""


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tape of one linear instrument."""
    path = tmp_path_factory.mktemp("sweep") / "lively.tape"
    generate(path, 3, 60_000, [BTC], 600_000)
    return path


@pytest.fixture(scope="module")
def rows(tape: Path) -> list[dict[str, Any]]:
    """A sweep by one worker."""
    found = sweeping.run_sweep([tape], MAKER, {"away": [3, 2, 1, 0], "lots": [1, 2]}, ReplayOptions(), workers=1)
    return found.rows


def good(done: Call) -> dict[str, Any]:
    """The value of a command that succeeds and prints nothing else."""
    assert (done.code, done.err) == (0, ""), done
    found: dict[str, Any] = done.value
    return found


def test_a_row_is_what_the_replay_gives(tape: Path, rows: list[dict[str, Any]]) -> None:
    """Lost: numbers of a sweep that a replay with the same parameters does not have."""
    assert [(row["params"]["away"], row["params"]["lots"]) for row in rows] == [
        (away, lots) for away in (3, 2, 1, 0) for lots in (1, 2)]
    assert [row["run"] for row in rows] == list(range(8))
    for row in rows:
        summary = apex.replay(tape, MAKER, params=row["params"]).summary
        assert {name: row[name] for name in NUMBERS} == {name: summary[name] for name in NUMBERS}
        assert row["params"] == summary["params"]
        assert row["error"] is None
    assert len({row["result_hash"] for row in rows}) == 8
    assert all(row["fills"] > 0 for row in rows)


def test_no_number_of_the_summary_is_forgotten(tape: Path) -> None:
    """Lost: a new number of the summary, which a sweep would leave out in silence."""
    summary = apex.replay(tape, MAKER).summary
    numbers = {name for name, value in summary.items() if isinstance(value, (int, float)) or name.endswith("_by")}
    assert numbers - set(NUMBERS) - MEASURED - SAME == {"would_have_denied_by"}


@pytest.mark.parametrize("workers", [2, 5, 11])
def test_any_number_of_workers_gives_the_same(workers: int, tape: Path, rows: list[dict[str, Any]], tmp_path: Path,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: results that depend on the machine; files that differ by a byte."""
    words = ["sweep", tape, "--strategy", MAKER, *GRID, "--workers"]
    found = good(call(capsys, *words, workers, "--out", tmp_path / "many.csv", "--json"))
    assert found["runs"] == json.loads(json.dumps(rows))
    assert found["workers"] == min(workers, 8)
    good(call(capsys, *words, 1, "--out", tmp_path / "one.csv", "--json"))
    assert (tmp_path / "many.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_what_the_command_tells(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the count, the grid and the speed of a sweep."""
    found = good(call(capsys, "sweep", tape, "--strategy", MAKER, *GRID, "--set", "size=2.0", "--json"))
    assert (found["count"], found["errors"], found["strategy"], found["tapes"]) == (8, 0, MAKER, [tape.name])
    assert found["grid"] == {"away": [3, 2, 1, 0], "lots": [1, 2]}
    assert found["seconds"] > 0
    assert found["runs_per_second"] == pytest.approx(8 / found["seconds"])
    assert found["peak_pss_bytes"] > 1_000_000
    assert all(row["params"]["size"] == 2.0 for row in found["runs"])


def test_options_of_the_replay_are_taken(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: latency, fees, limits and configuration, in silence."""
    (tmp_path / "c.toml").write_text(f'strategy = "{MAKER}"\ntaker_fee = 0.001\n[params]\nlots = 2\n', encoding="utf-8")
    (tmp_path / "limits.toml").write_text('order_quantity_max = "0.001"\n', encoding="utf-8")
    options = ["--order-latency", "30ms", "--maker-fee", "0.0001", "--cash", "5", "--queue", "log-prob"]
    found = good(call(capsys, "sweep", tape, "--config", tmp_path / "c.toml", "--grid", "away=0,1", *options, "--json"))
    for row, away in zip(found["runs"], (0, 1), strict=True):
        same = apex.replay(tape, MAKER, params={"away": away, "lots": 2}, order_latency="30ms", maker_fee="0.0001",
                           taker_fee="0.001", cash=5, queue="log-prob")
        assert row["result_hash"] == same.summary["result_hash"]
    denied = good(call(capsys, "sweep", tape, "--strategy", MAKER, "--grid", "lots=1,2", "--limits",
                       tmp_path / "limits.toml", "--json"))["runs"]
    assert [row["denied"] > 0 for row in denied] == [False, True]


def test_a_run_that_raises_is_a_row(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the other runs, or the word that one gave no result."""
    done = call(capsys, "sweep", tape, "--strategy", MAKER, "--grid", "away=0:3", "--set", "bad=2", "--out",
                tmp_path / "t.csv", "--json")
    assert (done.code, done.err) == (1, "")
    assert (done.value["count"], done.value["errors"]) == (4, 1)
    for row in done.value["runs"]:
        if row["params"]["away"] == 2:
            assert "away is 2" in row["error"]["what"]
            assert "tape position" in row["error"]["where"]
            assert row["error"]["code"] == "strategy"
            assert "on_timer" in row["error"]["do"]
            assert all(row[name] is None for name in NUMBERS)
        else:
            assert row["error"] is None
            assert row["orders"] > 0
    table = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text(encoding="utf-8"))))
    assert [row["net_pnl"] == "" for row in table] == [False, False, True, False]
    assert "away is 2" in table[2]["error"]
    shown = call(capsys, "sweep", tape, "--strategy", MAKER, "--grid", "away=0:3", "--set", "bad=2")
    assert shown.code == 1
    assert "away is 2" in shown.out
    assert "1 run gave no result" in shown.out


def test_the_table_as_csv_and_parquet(tape: Path, rows: list[dict[str, Any]], tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: exact money in CSV, numbers in Parquet, or a column under another's name."""
    for suffix in ("csv", "parquet"):
        good(call(capsys, "sweep", tape, "--strategy", MAKER, *GRID, "--out", tmp_path / f"t.{suffix}", "--json"))
    text = list(csv.DictReader(io.StringIO((tmp_path / "t.csv").read_text(encoding="utf-8"))))
    table = pd.read_parquet(tmp_path / "t.parquet")
    assert list(table.columns) == list(text[0])
    assert list(table.columns)[:6] == ["run", "away", "lots", "size", "param_fills", "bad"]
    for row, line, (_, entry) in zip(rows, text, table.iterrows(), strict=True):
        assert (line["away"], line["net_pnl"], line["fills"]) == (
            str(row["params"]["away"]), row["net_pnl"], str(row["fills"]))
        assert line["param_fills"] == entry["param_fills"] == row["params"]["fills"]
        assert line[f"position:{BTC.symbol}"] == row["position"][BTC.symbol]
        assert entry["net_pnl"] == float(row["net_pnl"])
        assert entry["result_hash"] == row["result_hash"]
        for name in ("denied_by", "unfilled_by", "blocked_by"):
            told = {key: int(line[f"{name}:{key}"]) for key in {k for r in rows for k in r[name]}}
            assert told == {key: row[name].get(key, 0) for key in told}
    assert str(table["fills"].dtype) == "int64"
    assert str(table["net_pnl"].dtype) == "float64"
    assert table["error"].isna().all()


def test_from_python(tape: Path, rows: list[dict[str, Any]]) -> None:
    """Lost: the same table in a notebook."""
    found = apex.sweep(tape, Maker, grid={"away": range(3, -1, -1), "lots": np.array([1, 2])}, workers=2)
    assert list(found["result_hash"]) == [row["result_hash"] for row in rows]
    assert list(found["net_pnl"]) == [float(row["net_pnl"]) for row in rows]
    assert found["error"].isna().all()
    assert found.attrs["workers"] == 2
    again = apex.sweep([str(tape)], MAKER, grid={"away": "3:0:-1", "lots": "1,2"}, params={"size": 3.0}, max_runs=8)
    assert list(again["result_hash"]) == list(found["result_hash"])
    assert set(again["size"]) == {3.0}
    raised = apex.sweep(tape, Maker, grid={"away": [1, 2]}, params={"bad": 1}, workers=1)
    assert [text is None for text in raised["error"]] == [False, True]
    assert raised["fills"].isna().tolist() == [True, False]


class Hidden:
    """Holds a class that no module holds under its name."""

    class Inner(apex.Strategy):
        pass


@pytest.mark.parametrize(("strategy", "what"), [
    (Hidden.Inner, "cannot be imported"), (Maker(), "no strategy class"), (int, "no strategy class"),
    (type("Made", (apex.Strategy,), {"__module__": "__main__"}), "main program"), ("nowhere:X", "cannot import"),
    (type("Maker", (apex.Strategy,), {"__module__": "tests.app.sweep_strategies"}), "cannot be imported"),
])
def test_a_strategy_that_workers_cannot_import(strategy: Any, what: str, tape: Path) -> None:
    """Lost: the reason, before any process begins."""
    with pytest.raises(ConfigError, match=what) as caught:
        apex.sweep(tape, strategy, grid={"away": [1]})
    assert caught.value.do


@pytest.mark.parametrize(("given", "where"), [
    ({}, "grid"), ({"away": 1}, "grid away"), ({"away": []}, "grid away"), ({"away": b"12"}, "grid away"),
    ({"away": "x"}, "grid away"), ({"away": [1, 1]}, "grid away"), ({"nothing": [1]}, "--grid, at nothing=1"),
    ({"lots": [1], "away": [1, 51]}, "--grid, at lots=1, away=51"),
])
def test_mistakes_in_a_grid_from_python(given: Any, where: str, tape: Path) -> None:
    """Lost: an answer instead of hours of runs at wrong values."""
    with pytest.raises(ConfigError) as caught:
        apex.sweep(tape, Maker, grid=given)
    assert caught.value.where == where


@pytest.mark.parametrize(("words", "where", "what"), [
    ([], "--grid", "no grid"), (["--grid", "away"], "--grid", "not name=values"),
    (["--grid", "a b=1"], "--grid", "not name=values"), (["--grid", "away=1", "away=2"], "--grid", "given twice"),
    (["--grid", "awya=1:2"], "--grid, at awya=1", "unknown parameter 'awya'"),
    (["--grid", "away=49:60"], "--grid, at away=51", "outside 0..50"),
    (["--grid", "away=1:"], "--grid away", "no value"),
    (["--grid", "away=1", "--set", "away=2"], "--grid away", "both set and swept"),
    (["--grid", "size=1:200", "lots=1:200"], "--grid", "40,000 runs, more than 10,000"),
    (["--grid", "size=1:5", "--max-runs", "4"], "--grid", "5 runs, more than 4"),
    (["--grid", "size=1:1000", "lots=1:1001", "--yes"], "--grid", "1,001,000 runs, more than 1,000,000"),
    (["--grid", "size=1:1000", "lots=1:1001", "--max-runs", "9999999"], "--grid", "more than 1,000,000"),
    (["--grid", "away=1", "--workers", "0"], "--workers", "0 workers"),
    (["--grid", "away=1", "--out", "t.txt"], "--out", "suffix"),
    (["--grid", "away=1", "--queue", "best"], "--queue", "unknown"),
    (["--grid", "away=1", "--instrument", "X"], "--instrument", "no instrument"),
    (["--grid", "away=1", "--orders", "o.csv"], "apex sweep", "unrecognized"),
    (["--grid", "size=1", "lots=[1]"], "--grid, at size=1, lots=[1]", "no int"),
])
def test_mistakes_on_the_command_line(words: list[str], where: str, what: str, tape: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the number of runs, the option or the value that is wrong, with exit 2 and before the first run."""
    done = call(capsys, "sweep", tape, "--strategy", MAKER, *words, "--json")
    assert (done.code, done.error["where"]) == (2, where)
    assert what in done.error["what"]
    assert done.err == ""


def test_mistakes_around_a_sweep(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: exit codes of an absent tape, strategy or folder."""
    assert call(capsys, "sweep", tape, "--grid", "a=1", "--json").error["where"] == "--strategy"
    assert call(capsys, "sweep", "--grid", "a=1", tape, "--strategy", MAKER, "--json").error["where"] in (
        "--grid", "apex sweep")
    words = ["--strategy", MAKER, "--grid", "away=1", "--json"]
    absent = call(capsys, "sweep", tmp_path / "no.tape", *words)
    assert (absent.code, absent.error["where"]) == (3, str(tmp_path / "no.tape"))
    out = call(capsys, "sweep", tape, *words, "--out", tmp_path / "no" / "t.csv")
    assert (out.code, out.error["code"]) == (4, "environment")
    (tmp_path / "c.toml").write_text('orders = "o.csv"\n', encoding="utf-8")
    done = call(capsys, "sweep", tape, *words, "--config", tmp_path / "c.toml")
    assert (done.code, done.error["where"]) == (2, "orders")


def test_a_large_sweep_says_so_first(tape: Path, monkeypatch: pytest.MonkeyPatch,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: how many runs there will be, before hours of them."""
    from apex.app import sweep_command

    monkeypatch.setattr(sweep_command, "TOLD_RUNS", 3)
    words = ["sweep", tape, "--strategy", MAKER, "--grid", "away=0:3", "--workers", "2"]
    done = call(capsys, *words, "--json")
    assert done.err == f"4 runs of {Tape.open(tape).row_count:,} events, 2 at a time\n"
    assert done.value["count"] == 4
    assert call(capsys, *words, "--json", "-q").err == ""


def test_a_tape_replaced_meanwhile_is_refused(tape: Path) -> None:
    """Lost: rows of two tapes in one table."""
    with Tape.open(tape) as opened:
        right = opened.content_hash
    assert prepare(Job((str(tape),), (right,), MAKER, ReplayOptions()))({"away": 1}, lambda done: None)["events"] > 0
    with pytest.raises(InputError, match="replaced"):
        prepare(Job((str(tape),), ("0" * 64,), MAKER, ReplayOptions()))


def test_workers_import_neither_pandas_nor_pyarrow(tape: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: 100 MB in every process."""
    monkeypatch.chdir(tmp_path)
    found = apex.sweep(tape, "tests.app.sweep_strategies:Modules", grid={"n": range(6)}, workers=2)
    assert found["error"].isna().all()
    assert "pandas" in sys.modules
    files = list(tmp_path.glob("modules*.json"))
    assert len(files) == 6
    for file in files:
        assert str(os.getpid()) != file.name.split(".")[1]
        held = {name.partition(".")[0] for name in json.loads(file.read_text(encoding="utf-8"))}
        assert "numpy" in held
        assert not held & {"pandas", "pyarrow", "rich", "orjson", "pytest"}


def test_memory_does_not_grow_with_the_runs(tape: Path) -> None:
    """Lost: a sweep of a thousand runs; each left its engine behind, 1.4 MB, until the collector happened to come."""
    few, many = (apex.sweep(tape, MAKER, grid={"lots": range(1, runs + 1)}, workers=1).attrs["peak_pss_bytes"]
                 for runs in (4, 44))
    assert many < few + 15_000_000


def test_what_a_strategy_prints_stays_off_stdout(tape: Path) -> None:
    """Lost: a JSON value with a strategy's words before it."""
    words = ["sweep", tape, "--strategy", "tests.app.sweep_strategies:Prints", "--grid", "n=1:3", "--json"]
    done = subprocess.run([sys.executable, "-m", "apex", *map(str, words)], cwd=ROOT, capture_output=True, check=True,
                          timeout=60)
    assert json.loads(done.stdout)["count"] == 3
    assert done.stderr.count(b"hello") == 3


def begun(tape: Path, folder: Path, *more: object) -> tuple[subprocess.Popen[bytes], list[int]]:
    """A sweep in a process group of its own whose two workers are at work, and their process ids."""
    words = ["sweep", tape, "--strategy", "tests.app.sweep_strategies:Endless", "--grid", "n=1:9", "--workers", "2",
             *more]
    process = subprocess.Popen([sys.executable, "-c", MAIN, "-1", *map(str, words)], cwd=folder, process_group=0,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stderr is not None
    lines = [process.stderr.readline().split() for _ in range(2)]
    assert [line[:1] for line in lines] == [[b"begun"]] * 2, lines
    return process, [int(line[1]) for line in lines]


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle(number: signal.Signals, expected: int, tape: Path, tmp_path: Path) -> None:
    """Lost: processes that go on after Ctrl-C, their tracebacks, or a table of half the runs."""
    process, workers = begun(tape, tmp_path, "--out", tmp_path / "t.csv")
    process.send_signal(number)
    code, printed, err = finish(process)
    assert (code, printed) == (expected, b""), err
    assert b"Traceback" not in err
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert os.listdir(tmp_path) == []


def test_ctrl_c_reaches_the_whole_group(tape: Path, tmp_path: Path) -> None:
    """Lost: what a terminal does: it sends the signal to every process, not to the command alone."""
    process, _ = begun(tape, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    assert finish(process) == (130, b"", b"apex: interrupted\n")


def test_a_killed_command_leaves_no_worker(tape: Path, tmp_path: Path) -> None:
    """Lost: processes that compute for nobody, when the command itself is killed."""
    process, _ = begun(tape, tmp_path)
    process.kill()
    _, _, err = finish(process)    # ends when the last worker has closed its stderr
    assert b"Traceback" not in err


@pytest.mark.long
def test_eight_runs_of_a_long_tape_fit_400_mb(tmp_path: Path) -> None:
    """Lost: many runs beside each other on a machine of normal size. Memory is measured from outside too."""
    seed = int(os.environ.get("APEX_SEED", "1"))
    path = tmp_path / "long.tape"
    generate(path, seed, 15_000_000, [Instrument("SIM1USDT", "generated", "0.1", "0.001", quote="USDT")], 600_000)
    words = ["sweep", path, "--strategy", "apex.strategies.maker:Maker", "--grid", "half_spread_ticks=10:80:10",
             "--order-latency", "5ms", "--workers", "8", "--json", "-q"]
    process = subprocess.Popen([sys.executable, "-m", "apex", *map(str, words)], cwd=ROOT, stdout=subprocess.PIPE)
    peak = 0
    while True:
        try:
            out, _ = process.communicate(timeout=0.2)
            break
        except subprocess.TimeoutExpired:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
            peak = max(peak, sum(sweeping._pss(int(pid)) for pid in (process.pid, *children)))
    found = json.loads(out)
    assert (found["count"], found["errors"], found["workers"]) == (8, 0, 8)
    assert all(row["events"] == 15_000_000 for row in found["runs"])
    assert 0 < max(peak, found["peak_pss_bytes"]) <= 400_000_000
