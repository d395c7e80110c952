"""`apex calibrate` on fills whose venue is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import apex
from apex.app import cli
from apex.app.candidates import Axis, Legs, around, axes, middles, queues_of, spread
from apex.app.generate_command import generate
from apex.app.options import ReplayOptions
from apex.domain.errors import ConfigError, InputError
from apex.importers.lobster import import_lobster
from apex.store.tape import Tape
from tests.app.own import SECOND, log, schedule
from tests.store.markets import BTC

MAKER = "apex.strategies.maker:Maker"
LOBSTER = "l3/lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"
TRUTH: dict[str, Any] = {"queue": "power-prob:2", "order_latency": "4ms", "response_latency": "6ms"}


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A busy market of one instrument, two minutes."""
    path = tmp_path_factory.mktemp("calibrate") / "busy.tape"
    generate(path, 3, 120_000, [BTC], 600_000)
    return path


@pytest.fixture(scope="module")
def orders(tape: Path) -> Path:
    """Own orders, 400."""
    return schedule(tape.parent / "orders.csv", tape, 400, 1)


def test_the_venue_is_found_again(tape: Path, orders: Path, tmp_path: Path) -> None:
    """Lost otherwise: that a fit finds what was there: with its options every order goes as it went."""
    truth = log(tmp_path / "own.csv", tape, orders, arrived=4_000_000, **TRUTH)
    found = apex.calibrate(tape, tmp_path / "own.csv", out=tmp_path / "out")
    assert (found.orders, found.best.wrong, found.latency["from"]) == (400, 0.0, "both legs")
    assert found.latency["entry_ns"]["p50"] == 4_000_000
    assert found.latency["response_ns"]["max"] == 6_000_000
    assert found.best.queue.startswith("power-prob:")
    assert 1.5 < float(found.best.queue.partition(":")[2]) < 3
    assert found.told_apart > 10
    assert found.filled == found.best.filled
    assert 1 < found.in_play < len(found.candidates)
    again = apex.replay(tape, orders=orders, **found.options)
    for name in ("filled_lots", "state", "ts_venue_ns"):
        assert again.order_rows[name].tolist() == truth.order_rows[name].tolist()
    told = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert told["best"]["queue"] == found.best.queue


def test_latencies_from_fills_alone(tape: Path, orders: Path, tmp_path: Path) -> None:
    """Lost otherwise: latencies of a log that has no answers; the way back is what fills took to be heard of."""
    log(tmp_path / "own.csv", tape, orders, forget=("ts_ack",), **TRUTH)
    found = apex.calibrate(tape, tmp_path / "own.csv", queues=["power-prob:2"])
    assert found.latency == {"from": "fills"}
    assert (found.options["queue"], found.options["response_latency"]) == ("power-prob:2", "6000000ns")
    play = [int(c.order_latency.removesuffix("ns")) for c in found.candidates if c.in_play and c.order_latency]
    assert min(play) <= 4_000_000 <= max(play) < 30_000_000
    assert all(c.queue == "power-prob:2" for c in found.candidates), "a model nobody asked for"


def test_a_round_trip_is_split_by_fills(tape: Path, orders: Path, tmp_path: Path) -> None:
    """Lost otherwise: orders that are sent and heard of at the right times and reach the venue at a wrong one."""
    log(tmp_path / "own.csv", tape, orders, **TRUTH)
    found = apex.calibrate(tape, tmp_path / "own.csv", queues=["power-prob:2"], out=tmp_path / "out")
    assert found.latency["round_trip_ns"]["p50"] == 10_000_000
    shares = [c.entry_share for c in found.candidates if c.in_play]
    assert min(shares) <= 0.4 <= max(shares)  # type: ignore[type-var, operator]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["calibration.json", "latency.csv", "replay.toml"]
    assert found.options["latency"] == str(tmp_path / "out" / "latency.csv")


def held(tape: Path, folder: Path, strategy: str | None, seed: int, power: str) -> bool:
    """Whether the band of a log with mistakes holds the P&L under the true venue."""
    truth = {**TRUTH, "queue": f"power-prob:{power}"}
    made = schedule(folder / "s.csv", tape, 400, seed)
    real = log(folder / "own.csv", tape, made, mistakes=0.05, seed=seed, arrived=4_000_000, **truth)
    params = {} if strategy is None else {"params": {"half_spread_ticks": 2}}
    if strategy is not None:
        real = apex.replay(tape, strategy, **params, **truth)
    found = apex.calibrate(tape, folder / "own.csv", strategy, draws=8, **params)
    low, median, high = (Decimal(found.band[name]) for name in ("low", "median", "high"))
    assert low <= median <= high
    assert 0.02 < found.best.wrong < 0.08
    return low <= Decimal(real.summary["net_pnl"]) <= high


def test_bands_hold_the_truth(tape: Path, tmp_path: Path) -> None:
    """Lost otherwise: a band on P&L that says less than it promises, where the log has mistakes."""
    assert sum(held(tape, tmp_path, None, seed, power) for seed, power in enumerate(("0.8", "1.3", "2.4"))) >= 2


@pytest.mark.long
def test_bands_hold_the_truth_of_a_strategy(tape: Path, tmp_path: Path) -> None:
    """Lost otherwise: the same of a strategy, whose P&L differs where own orders do not."""
    found = [held(tape, tmp_path, MAKER, seed, f"{0.7 + seed / 4:.2f}") for seed in range(12)]
    assert sum(found) >= 9


@pytest.mark.recordings
def test_the_venues_own_queues_on_a_recording(tmp_path: Path, data_file: Callable[[str], Path]) -> None:
    """Lost otherwise: fifo among the candidates of a tape of orders, and that it wins where it is the truth."""
    import_lobster([data_file(LOBSTER)], tmp_path / "t")
    made = schedule(tmp_path / "s.csv", tmp_path / "t", 1_000, 1, lots=(1, 50), life=10 * SECOND)
    real = log(tmp_path / "own.csv", tmp_path / "t", made, queue="fifo", arrived=0, maker_fee="0.0001")
    with Tape.open(tmp_path / "t") as opened:
        assert queues_of([opened], ReplayOptions())[0] == "fifo"
    found = apex.calibrate(tmp_path / "t", tmp_path / "own.csv", draws=0, queues=["risk-averse", "fifo", "log-prob"])
    assert (found.best.queue, found.best.wrong) == ("fifo", 0.0)
    assert (found.band["told_wrongly"], found.band["low"]) == ("0", found.best.net_pnl)
    other = apex.calibrate(tmp_path / "t", tmp_path / "own.csv", draws=0, queues=["log-prob"], maker_fee="0.0001")
    assert other.best.wrong > 0
    missing = Decimal(real.summary["net_pnl"]) - Decimal(other.best.net_pnl or "0")
    assert abs(Decimal(other.band["told_wrongly"]) - missing) < Decimal("0.001"), "what wrongly told orders cost"
    assert {other.band["low"], other.band["high"]} >= {other.best.net_pnl}


def test_by_command(tape: Path, orders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a command whose result no replay takes."""
    log(tmp_path / "own.csv", tape, orders, arrived=4_000_000, **TRUTH)
    words = [str(tape), "--own", str(tmp_path / "own.csv")]
    assert cli.main(["calibrate", *words, "--draws", "4", "--out", str(tmp_path / "out"), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["options"]["queue"] == value["best"]["queue"]
    assert cli.main(["replay", str(tape), "--orders", str(orders), "--config", str(tmp_path / "out" / "replay.toml"),
                     "--json"]) == 0
    replayed = json.loads(capsys.readouterr().out)
    assert (replayed["queue"], replayed["net_pnl"]) == (value["best"]["queue"], value["best"]["net_pnl"])
    assert cli.main(["calibrate", *words, "--queues", "risk-averse", "--latencies", "80ms"]) == 0
    captured = capsys.readouterr()
    assert "risk-averse" in captured.out
    assert "80000000ns" in captured.out
    assert cli.main(["calibrate", *words, "--queues", "risk-averse,fifo", "--json"]) == 2
    assert "fifo follows the venue's own queues" in json.loads(capsys.readouterr().out)["error"]["what"]
    maker = ["--strategy", MAKER, "--set", "half_spread_ticks=2"]
    few = ["--queues", "risk-averse,power-prob:2", "--draws", "0"]
    assert cli.main(["calibrate", *words, *few, *maker, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["options"]["latency"] is None, "a table that is gone"
    assert cli.main(["replay", str(tape), *maker, "--queue", "power-prob:2", "--order-latency", "4ms",
                     "--response-latency", "6ms", "--json"]) == 0
    assert value["best"]["net_pnl"] == json.loads(capsys.readouterr().out)["net_pnl"]
    for wrong, where in ((["--queue", "log-prob"], "--queue"), (["--order-latency", "5ms"], "--order-latency"),
                         (["--level", "1"], "--level"), (["--queues", "power-prob"], "--queue"),
                         (["--draws", "-1"], "--draws"), (["--hold", "long"], "--hold"),
                         (["--latencies", "soon"], "--latencies")):
        assert cli.main(["calibrate", *words, *wrong, "--json"]) == 2
        assert json.loads(capsys.readouterr().out)["error"]["where"] == where


@pytest.mark.parametrize(("change", "words"), [
    ({"filled": "9"}, "9 filled of"), ({"filled": "-1"}, "filled of"), ({"filled": "x"}, "x"),
    ({"ts_ack": "5"}, "before the order was sent"), ({"ts_ack": "soon"}, "soon"), ({"ts_filled": "-3"}, "is no time")])
def test_wrong_logs(change: dict[str, str], words: str, tape: Path, orders: Path, tmp_path: Path) -> None:
    """Lost otherwise: a fit to a log that was read as something else."""
    log(tmp_path / "own.csv", tape, orders, **TRUTH)
    with (tmp_path / "own.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    rows[7] |= change
    with (tmp_path / "own.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(InputError, match=words) as caught:
        apex.calibrate(tape, tmp_path / "own.csv")
    assert caught.value.where.endswith("own.csv:9")


def test_logs_that_tell_too_little(tape: Path, orders: Path, tmp_path: Path) -> None:
    """Lost otherwise: numbers from a handful of orders, or from none."""
    lines = orders.read_text(encoding="utf-8").splitlines()
    with pytest.raises(InputError, match="no column filled"):
        apex.calibrate(tape, orders)
    (tmp_path / "few.csv").write_text("\n".join([lines[0] + ",filled", *(line + ",0" for line in lines[1:11])]))
    with pytest.raises(InputError, match="10 orders tell too little"):
        apex.calibrate(tape, tmp_path / "few.csv")
    (tmp_path / "none.csv").write_text(lines[0] + ",filled\n")
    with pytest.raises(InputError, match="no orders"):
        apex.calibrate(tape, tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="own orders are given"):
        apex.calibrate(tape, orders, orders=orders)


def test_neighbourhoods() -> None:
    """Lost otherwise: candidates tried where none can be, or twice, or nowhere near the best."""
    legs = Legs({"order_latency": "1000ns", "response_latency": "1000ns"})
    slow = Legs({"order_latency": "4000ns", "response_latency": "4000ns"})
    points = [("power-prob:1", legs), ("power-prob:2", legs), ("power-prob:4", legs), ("power-prob2:3", legs),
              ("power-prob:2", slow), ("risk-averse", legs)]
    found = axes(points, [False, True, True, False, False, False], 1)
    assert found == [Axis("power", 1, 4), Axis("latency", 1000, 4000)]
    assert [round(v.get("power", v.get("latency", 0)), 3) for v in middles(points[1], found)] == [1.414, 2.828, 2000]
    assert axes(points, [False] * 5 + [True], 5) == []
    values = spread(found, 1, 9)
    assert len({tuple(v.values()) for v in values}) == 8
    assert all(1 < v["power"] < 4 and 1000 < v["latency"] < 4000 for v in values)
    box = around(points, [False, True, True, False, False, False], 1, found)
    assert box[0].low == pytest.approx(2 * 2**-0.25)
    assert box[0].high == 4
