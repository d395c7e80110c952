"""`apex bench` and the driver of the benchmarks: what it measures, compares, tells and keeps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apex._core.events import FLAGS, pack
from apex.app.cli import main
from apex.store.tape import Tape, TapeWriter
from apex.store.verify import verify
from benchmarks import driver, inputs, saving
from benchmarks.convert import convert
from benchmarks.model import Benchmark, Measured, Outcome, Side
from benchmarks.workers import NATIVE, OURS, ROOT, Failed, Missing, Worker, Workers, interpreter
from tests.store.markets import BTC, market

FACES = "tests.app.bench_faces"


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    with Workers() as made:
        yield made


def side(face: str = "Steady", peer: str = "", env: str = OURS, *, fresh: bool = False, samples: bool = False,
         **args: Any) -> Side:
    return Side(peer, env, FACES, face, {"value": 1.0, **args}, fresh, samples)


def measure(workers: Workers, *sides: Side, rounds: int = 3, **terms: Any) -> Outcome:
    return driver.run_one(Benchmark("x", "ns", "event", 10.0, sides, **terms), workers, rounds, lambda text: None)


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = main(["bench", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


# ---- the command -----------------------------------------------------------------------------------------------------

def test_outside_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a traceback for everybody who installed the package without its benchmarks."""
    monkeypatch.chdir(tmp_path)
    code, answer = bench(capsys)
    assert code == 2
    assert "checkout" in answer["error"]["what"]


def test_it_runs_from_a_folder_of_the_checkout(monkeypatch: pytest.MonkeyPatch,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a command that only works in the top folder, and names that scripts rely on."""
    monkeypatch.chdir(ROOT / "apex" / "app")
    assert bench(capsys, "--list") == (0, [
        "book_l2_usdm", "book_l2_spot", "book_l3", "decode_mix", "decode_ticker", "decode_depth", "replay_noop",
        "replay_maker", "replay_memory", "replay_l3", "features_touch", "features_trades", "features_all", "signals_20",
        "import_plain", "import_gzip", "generate", "startup"])


@pytest.mark.parametrize("words", [["book_l4"], ["startup", "--rounds", "0"]])
def test_wrong_words_are_usage_errors(words: list[str], monkeypatch: pytest.MonkeyPatch,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a misspelt name that measures nothing and succeeds."""
    monkeypatch.chdir(ROOT)
    assert bench(capsys, *words)[0] == 2


def test_startup_is_measured_and_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: the keys of a row that scripts rely on, and the file that pytest-benchmark compares."""
    monkeypatch.chdir(ROOT)
    out = tmp_path / "kept" / "startup.json"
    code, rows = bench(capsys, "startup", "--short", "--rounds", "1", "--save", str(out))
    assert code == 0
    assert {(row["name"], row["case"], row["unit"]) for row in rows} == {
        ("startup", "import apex", "s"), ("startup", "apex --help", "s")}
    for row in rows:
        assert row["median"] > 0
        assert {"p99", "max", "peer", "peer_median", "ratio", "reason"} <= row.keys()
    text = subprocess.run([sys.executable, "-m", "pytest_benchmark", "compare", str(out), "--columns=median,rounds"],
                          capture_output=True, text=True, timeout=60, check=True).stdout
    assert "startup import apex[apex]" in text


def test_the_book_is_the_same_in_every_engine(data_file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Lost otherwise: speed of a book that is wrong. The driver compares best and level counts of all sides that are
    here, the two C++ books among them."""
    data_file("ticks/binance/usdm_btcusdt_20240808.gz")
    monkeypatch.chdir(ROOT)
    code, rows = bench(capsys, "book_l2_usdm", "--short", "--rounds", "1", "--save", str(tmp_path / "x.json"))
    assert code == 0
    assert [row["peer"] for row in rows] == ["nautilus", "sortedcontainers", "C++ std::map", "C++ fixed window"], rows
    for row in rows:
        assert row["p99"] >= row["median"] > 0
        assert (row["ratio"] is None) == (row["reason"] is not None)


# ---- rounds ----------------------------------------------------------------------------------------------------------

def test_values_are_medians_of_the_rounds_of_each_side(workers: Workers) -> None:
    """Lost otherwise: figures of one side under the name of another, or a ratio upside down."""
    outcome = measure(workers, side(value=2.0), side(peer="slow", env=NATIVE, value=9.0), least={"slow": 4.0})
    row, = driver.rows([outcome])
    assert (row["median"], row["peer"], row["peer_median"], row["ratio"]) == (2.0, "slow", 9.0, 4.5)
    assert (row["held"], row["rounds"], row["max"], row["p99"]) == (True, 3, 2.0, None)
    assert [len(one.values) for one in outcome.sides] == [3, 3]


def test_a_side_keeps_its_process_unless_it_wants_a_new_one(workers: Workers) -> None:
    """Lost otherwise: memory of one replay counted with the remains of another, or a peer compiled anew each round."""
    kept, new = measure(workers, side("Process"), side("Process", "new", fresh=True)).sides
    assert len(set(kept.values)) == 1
    assert len(set(new.values)) == 3


def test_sides_that_disagree_end_the_benchmark(workers: Workers) -> None:
    """Lost otherwise: a ratio between engines that did different work."""
    with pytest.raises(driver.Unequal, match="fills: apex has 3, other has 4"):
        measure(workers, side(facts={"fills": 3}), side(peer="other", env=NATIVE, facts={"fills": 4, "more": 1}))


def test_rounds_that_disagree_end_the_benchmark(workers: Workers) -> None:
    """Lost otherwise: a state that leaks from round to round, measured as if it were the same work."""
    with pytest.raises(driver.Unequal, match="fills was 1, now 2"):
        measure(workers, side("Drifting"))


def test_a_peer_that_cannot_be_measured_has_a_reason(workers: Workers) -> None:
    """Lost otherwise: one missing peer that hides the others, or a check that passes because nothing was measured."""
    outcome = measure(workers, side(), side(peer="absent", env="absent"), side("Failing", "broken", NATIVE),
                      side(peer="good", env=NATIVE), least={"absent": 2.0, "good": 0.5})
    absent, broken, good = driver.rows([outcome])
    assert (absent["peer_median"], absent["ratio"], absent["held"]) == (None, None, False)
    assert "make peers" in absent["reason"]
    assert (broken["peer_median"], broken["held"], broken["reason"]) == (None, None, "RuntimeError: no such library")
    assert (good["ratio"], good["held"], good["reason"]) == (1.0, True, None)


def test_ours_must_be_measured(workers: Workers) -> None:
    """Lost otherwise: a defect of ours told as a missing peer."""
    with pytest.raises(Failed, match="no such library"):
        measure(workers, side("Failing"))


def test_a_worker_that_dies_is_told() -> None:
    """Lost otherwise: a run that waits for ever for a peer that crashed."""
    with Workers() as own, pytest.raises(Failed, match="ended with code 3"):
        measure(own, side("Dying"))


def test_a_missing_environment_names_the_remedy() -> None:
    """Lost otherwise: a half-made environment that is measured."""
    with pytest.raises(Missing, match="make peers"):
        interpreter("absent")
    with pytest.raises(Missing):
        Worker("absent")


# ---- targets ---------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("median", "peer", "least", "held"), [
    (10.0, 30.0, {}, True), (11.5, 30.0, {}, True), (11.6, 30.0, {}, False),
    (100.0, 341.0, {"p": 4.0}, True), (100.0, 339.0, {"p": 4.0}, False),
])
def test_a_target_is_missed_beyond_15_percent(median: float, peer: float, least: dict[str, float], held: bool) -> None:
    """Lost otherwise: the gate of CI. A ratio decides where there is one, whatever the figure."""
    benchmark = Benchmark("x", "ns", "event", 10.0, (side(), side(peer="p")), least)
    outcome = Outcome(benchmark, [Measured(benchmark.sides[0], [median]), Measured(benchmark.sides[1], [peer])])
    assert driver.rows([outcome])[0]["held"] is held


def test_a_figure_is_held_by_its_best_round_but_reached_by_its_median() -> None:
    """Lost otherwise: a gate that fails for another program, or a table prettier than the truth."""
    benchmark = Benchmark("x", "s", "process", 10.0, (side(),))
    row, = driver.rows([Outcome(benchmark, [Measured(benchmark.sides[0], [9.0, 30.0, 31.0])])])
    assert (row["held"], row["reached"], row["median"]) == (True, False, 30.0)
    row, = driver.rows([Outcome(benchmark, [Measured(benchmark.sides[0], [9.0, 10.0, 31.0])])])
    assert (row["held"], row["reached"]) == (True, True)


def test_a_missing_input_is_a_row_that_is_not_held() -> None:
    """Lost otherwise: CI without its recordings, all green."""
    row, = driver.rows([Outcome(Benchmark("x", "ns", "event", 10.0, ()), [], "no recording")])
    assert (row["median"], row["peer"], row["ratio"], row["held"], row["reason"]) == (
        None, None, None, False, "no recording")


def test_check_decides_the_exit_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
                                     tmp_path: Path) -> None:
    """Lost otherwise: a missed target that CI does not see, or one that fails people who only look."""
    missed = Outcome(Benchmark("x", "ns", "event", 1.0, (side(),)), [Measured(side(), [2.0], [2.0])])
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(driver, "run", lambda *words: [missed])
    words = ["startup", "--save", str(tmp_path / "x.json")]
    assert bench(capsys, *words)[0] == 0
    assert bench(capsys, *words, "--check")[0] == 1


# ---- statistics and files --------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("count", "p99"), [(999, None), (1000, 989.0), (2000, 1979.0)])
def test_p99_needs_a_thousand_samples(workers: Workers, count: int, p99: float | None) -> None:
    """Lost otherwise: a percentile of a handful of rounds, told as if it were one."""
    one, = measure(workers, side(samples=True, count=count)).sides
    assert (one.p99, one.max) == (p99, float(count - 1))


def test_statistics_are_those_of_the_rounds() -> None:
    """Lost otherwise: figures that differ between our table and pytest-benchmark's."""
    found = saving.stats([4.0, 1.0, 2.0, 3.0, 100.0])
    assert (found["min"], found["median"], found["max"], found["mean"], found["rounds"]) == (1.0, 3.0, 100.0, 22.0, 5)
    assert (found["q1"], found["q3"], found["iqr"], found["outliers"], found["hd15iqr"]) == (2.0, 4.0, 2.0, "1;1", 4.0)


def test_saved_figures_are_seconds_with_their_facts(tmp_path: Path) -> None:
    """Lost otherwise: nanoseconds read as seconds, or a result without machine, build and commit."""
    one = Measured(side(), [3.0, 1.0, 2.0], [4.0, 4.0, 4.0], facts={"rows": 7}, notes={"cpu": [5.0]})
    path = saving.save([Outcome(Benchmark("x", "ns", "event", 1.0, (side(),)), [one])], ROOT, tmp_path / "x.json",
                       short=True)
    found = json.loads(path.read_text("utf-8"))
    entry, = found["benchmarks"]
    assert (entry["name"], entry["stats"]["median"], entry["extra_info"]["facts"]) == ("x[apex]", 2e-9, {"rows": 7})
    assert (entry["extra_info"]["wall_median"], entry["extra_info"]["cpu"]) == (4e-9, 5e-9)
    assert "-O" in found["machine_info"]["compiler_flags"]
    assert found["machine_info"]["peers"]["hftbacktest"] == "2.4.4"
    assert found["commit_info"]["id"]


# ---- inputs ----------------------------------------------------------------------------------------------------------

def test_a_repeated_tape_holds_every_row_again(tmp_path: Path) -> None:
    """Lost otherwise: ns an event of a tape with fewer events than are counted, or with times that go back."""
    one, many = tmp_path / "one.tape", tmp_path / "many.tape"
    with TapeWriter(one, [BTC], source="test") as writer:
        for rows in market(5, 300):
            writer.append(*pack(rows))
    inputs.loop(one, many, 3)
    period = inputs.period_ns(one)
    with Tape.open(one) as a, Tape.open(many) as b:
        first, all_rows = a.events(), b.events()
        assert verify(b).ok
    assert len(all_rows) == 3 * len(first)
    third = first.copy()
    third["ts_local_ns"] += 2 * period
    third["ts_exchange_ns"][(third["flags"] & FLAGS["NO_VENUE_TIME"]) == 0] += 2 * period
    assert np.array_equal(all_rows[2 * len(first):], third)


def test_converted_rows_are_split_as_the_converter_does(tmp_path: Path) -> None:
    """Lost otherwise: replays of rows that hftbacktest's converter does not make, on a machine without it."""
    deltas = [(20, 3, '[["1.5","2.0"]]', "[]"), (21, 5, "[]", '[["1.7","0"]]'), (22, 4, '[["1.4","1.0"]]', "[]")]
    lines = [f'{local * 10**6} {{"stream":"x","data":{{"e":"depthUpdate","T":{venue},"b":{bids},"a":{asks}}}}}'
             for local, venue, bids, asks in deltas]
    lines += ['23000000 {"stream":"x","data":{"e":"trade","T":24,"X":"MARKET","m":true,"p":"1.5","q":"3"}}',
              '23000000 {"stream":"x","data":{"e":"trade","T":24,"X":"NA","m":true,"p":"1.5","q":"3"}}',
              '24000000 {"stream":"x","data":{"e":"bookTicker","T":24}}']
    (tmp_path / "lines").write_text("\n".join(lines))
    rows = convert(tmp_path / "lines")
    both, venue, local = 3 << 30, 1 << 31, 1 << 30
    assert rows["ev"].tolist() == [
        1 | 1 << 29 | both, 1 | 1 << 29 | venue, 1 | 1 << 28 | both, 1 | 1 << 29 | local, 2 | 1 << 28 | both]
    assert (rows["local_ts"] // 10**6).tolist() == [21, 23, 22, 23, 24]      # 1 ms later, as the trade needs
    assert rows["px"].tolist() == [1.5, 1.4, 1.7, 1.4, 1.5]


def test_inputs_are_made_again_when_their_source_is_newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: a tape of an older importer measured as today's."""
    monkeypatch.setattr(inputs, "FOLDER", tmp_path / "made")
    source, calls = tmp_path / "source", []
    source.write_text("a")

    def make(out: Path) -> None:
        calls.append(out)
        out.write_text(source.read_text())

    assert inputs.made("x", [source], make).read_text() == "a"
    assert inputs.made("x", [source], make).read_text() == "a"
    assert len(calls) == 1
    source.write_text("b")
    later = inputs.made("x", [source], make).stat().st_mtime_ns + 10**9
    os.utime(source, ns=(later, later))
    assert inputs.made("x", [source], make).read_text() == "b"
    assert len(list((tmp_path / "made").iterdir())) == 1
