"""`apex latency`: order latencies from feed latencies, as hftbacktest models them, and a replay that takes the file."""

from __future__ import annotations

import csv
import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import apex
from apex._core.events import FLAGS, pack
from apex.app.options import latency_rows
from apex.domain.errors import ConfigError
from apex.importers.hftbacktest import import_hftbacktest
from apex.research.latencies import leg, quantiles
from apex.store.tape import Tape, TapeWriter
from tests.app.commands import Call, call
from tests.store.markets import BOTH, BTC, ETH, LOCAL_ONLY, START, joined, market, message

SECOND = 10**9


def written(path: Path, messages: list[Any], instruments: Any = (BTC,)) -> Path:
    """A tape of some messages."""
    with TapeWriter(path, list(instruments), source="test") as writer:
        writer.append(*pack(joined(messages)))
    return path


def book(ts: int, **more: Any) -> Any:
    """A message of one level."""
    return message("BOOK_LEVEL", ts, [(1, 999, 5, 0)], **more)


def oracle(paths: list[Path], shift: int, every: int, entry: Any, response: Any, wanted: Any = None) -> list[Any]:
    """Row by row, in fractions: the last row with both times in each interval; nothing overtakes."""
    last: dict[int, tuple[int, int]] = {}
    for path in paths:
        with Tape.open(path) as tape:
            for row in tape.events():
                flags = int(row["flags"])
                if flags & BOTH != BOTH or flags & (FLAGS["NO_VENUE_TIME"] | FLAGS["SNAPSHOT"]):
                    continue
                if wanted is not None and tape.instruments[int(row["instrument"])].symbol not in wanted:
                    continue
                local = int(row["ts_local_ns"]) + shift
                if local // every not in last or last[local // every][0] <= local:
                    last[local // every] = (local, int(row["ts_exchange_ns"]))
    out, before = [], 0
    for key in sorted(last):
        local, venue = last[key]
        there, back = (int(Fraction(a) * (local - venue)) + b for a, b in (entry, response))
        before = max(local + there, before + 1)
        out.append((local, before, before + back))
    return out


def good(done: Call) -> dict[str, Any]:
    """The value of a command that succeeds and prints nothing else."""
    assert (done.code, done.err) == (0, ""), done
    found: dict[str, Any] = done.value
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_rows_are_those_of_the_oracle(seed: int, suffix: str, tmp_path: Path,
                                      capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a latency of another message, of a snapshot, or off by the rounding of a float."""
    path = written(tmp_path / "t.tape", market(seed, 3000, 2), (BTC, ETH))
    out = tmp_path / f"l.{suffix}"
    with Tape.open(path) as tape:
        shift = -int(tape.header["feed_min_ns"]) + 1_000_000
    words = ["--entry", "1.7,5us", "--response", "0.333333333333,77", "--every", "10ms"]
    found = good(call(capsys, "latency", path, "--out", out, *words, "--json"))
    wanted = oracle([path], shift, 10_000_000, ("1.7", 5000), ("0.333333333333", 77))
    assert (found["feed_shift_ns"], found["rows"]) == (shift, len(wanted))
    assert latency_rows(out) == wanted
    one = good(call(capsys, "latency", path, "--out", out, *words, "--instrument", ETH.symbol, "--json"))
    assert latency_rows(out) == oracle([path], shift, 10_000_000, ("1.7", 5000), ("0.333333333333", 77), [ETH.symbol])
    assert one["rows"] <= found["rows"]


def test_several_tapes_are_one_feed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the shift that a replay of all of them has."""
    paths = [written(tmp_path / f"{i}.tape", market(i, 500), (x,)) for i, x in enumerate((BTC, ETH))]
    found = good(call(capsys, "latency", *paths, "--out", tmp_path / "l.csv", "--every", "5ms", "--json"))
    shift = apex.replay(paths).summary["feed_shift_ns"]
    assert found["feed_shift_ns"] == shift > 0
    assert latency_rows(tmp_path / "l.csv") == oracle(paths, shift, 5_000_000, (1, 0), (1, 0))


def test_the_replay_has_these_latencies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a file on another clock than the replay's: latencies of the wrong time, or of years."""
    messages = [message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
                message("BOOK_LEVEL", START, [(1, 1000, 50, 0), (2, 1002, 50, 0)], flags=BOTH | FLAGS["SNAPSHOT"])]
    messages += [book(START + i * 10_000_000, delay=-3_000_000 if i < 300 else 9_000_000) for i in range(1, 700)]
    path = written(tmp_path / "t.tape", messages)
    (tmp_path / "o.csv").write_text(
        "ts,id,side,price,quantity,tif,cancel_ts\n"
        + "".join(f"{START + 4_000_000 + i * SECOND},{i},buy,90,0.001,GTC,\n" for i in range(1, 7)), encoding="utf-8")
    found = good(call(capsys, "latency", path, "--out", tmp_path / "l.npz", "--entry", "2,100us", "--response", "0,3ms",
                      "--json"))
    assert found["feed_shift_ns"] == 4_000_000
    rows = latency_rows(tmp_path / "l.npz")
    assert {there - sent for sent, there, _ in rows} == {2 * 1_000_000 + 100_000, 2 * 13_000_000 + 100_000}
    assert {back - there for _, there, back in rows} == {3_000_000}
    table = apex.replay(path, orders=tmp_path / "o.csv", latency=tmp_path / "l.npz").orders
    wanted = []
    for ts in table["ts_local"]:
        before = max((i for i, row in enumerate(rows) if row[0] <= ts), default=0)
        (x1, e1, _), (x2, e2, _) = rows[before], rows[min(before + 1, len(rows) - 1)]
        l1, l2 = e1 - x1, e2 - x2
        wanted.append(l1 if x2 == x1 else l1 + int((l2 - l1) / (x2 - x1) * (ts - x1)))
    assert len(set(wanted)) > 2
    assert list(table["ts_venue"] - table["ts_local"]) == wanted
    assert set(table["ts_ack"] - table["ts_venue"]) == {3_000_000}


def test_nothing_overtakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a file that the replay refuses, since a later request arrives before an earlier one."""
    path = written(tmp_path / "t.tape", [book(START + i * SECOND, delay=d * SECOND)
                                         for i, d in enumerate((3, 0, 0, 0, 1))])
    found = good(call(capsys, "latency", path, "--out", tmp_path / "l.csv", "--response", "0,1", "--json"))
    assert latency_rows(tmp_path / "l.csv") == [
        (START + i * SECOND, at, at + 1) for i, at in enumerate(
            (START + 3 * SECOND, START + 3 * SECOND + 1, START + 3 * SECOND + 2, START + 3 * SECOND + 3,
             START + 5 * SECOND))]
    assert found["held_back"] == 3


def test_what_the_command_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: percentiles that are not of the rows written."""
    path = written(tmp_path / "t.tape", [book(START + i * SECOND, delay=i * 1000) for i in range(1, 1001)])
    found = good(call(capsys, "latency", path, "--out", tmp_path / "l.csv", "--entry", "2,0", "--response", "1,500us",
                      "--json"))
    assert found["feed_latency_ns"] == {"min": 1000, "p50": 500_000, "p90": 900_000, "p99": 990_000, "p999": 999_000,
                                        "max": 1_000_000}
    assert found["entry_latency_ns"] == {name: 2 * ns for name, ns in found["feed_latency_ns"].items()}
    assert found["response_latency_ns"]["max"] == 1_500_000
    assert found["round_trip_ns"]["p50"] == 3 * 500_000 + 500_000
    assert (found["rows"], found["held_back"], found["every_ns"]) == (1000, 0, SECOND)
    assert (found["first_ts"], found["last_ts"]) == (START + SECOND, START + 1000 * SECOND)
    with (tmp_path / "l.csv").open(encoding="utf-8") as stream:
        assert next(csv.reader(stream)) == ["req_ts", "exch_ts", "resp_ts"]
    shown = call(capsys, "latency", path, "--out", tmp_path / "l.npz")
    assert (shown.code, shown.err) == (0, "")
    assert "round trip" in shown.out
    alone = call(capsys, "latency", path, "--out", tmp_path / "l.npz", "--entry", "2", "--response", "1,")
    assert (alone.code, alone.err) == (0, "")
    assert "entry: 2 x feed " in alone.out
    with np.load(tmp_path / "l.npz") as archive:
        assert archive.files == ["data"]
        assert archive["data"].dtype.names == ("req_ts", "exch_ts", "resp_ts", "_padding")


@given(st.decimals(0, 1000, places=4), st.integers(-10**9, 10**9), st.integers(-10**11, 10**11))
def test_a_leg_is_exact(factor: Any, offset: int, feed: int) -> None:
    """Lost: nanoseconds, by the rounding of floats."""
    assert leg(f"{factor:f},{offset}", "--entry").of(feed) == int(Fraction(str(factor)) * feed) + offset


@pytest.mark.parametrize(("text", "feed", "ns"), [
    ("1", 7, 7), ("0,5ms", 7, 5_000_000), ("2,-3us", 5000, 7000), ("0.29,0", 100, 29), ("1.5", 3, 4), ("1,", 3, 3),
    ("4,5000", 1000, 9000),
])
def test_legs_of_the_command_line(text: str, feed: int, ns: int) -> None:
    """Lost: the offset's unit or sign."""
    assert leg(text, "--entry").of(feed) == ns


@pytest.mark.parametrize("text", ["", ",", "a", "1,5", "-1,0", "1,1,1", "1e3", "1,5x", "nan", "1,0.5", "9999999",
                                  "0." + "1" * 13, "1," + "9" * 30])
def test_no_legs(text: str) -> None:
    """Lost: an answer to a mistyped factor or offset."""
    if text == "1,5":
        assert leg(text, "--entry").offset_ns == 5
        return
    with pytest.raises(ConfigError) as caught:
        leg(text, "--entry")
    assert caught.value.where == "--entry"
    assert caught.value.do


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300))
def test_quantiles_are_values_that_occurred(values: list[int]) -> None:
    """Lost: a percentile between two latencies that never happened."""
    found, ordered = quantiles(np.array(values, np.int64)), sorted(values)
    for name, share in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99)):
        assert found[name] == ordered[max(0, -int(-len(values) * Fraction(str(share)) // 1) - 1)]
    assert (found["min"], found["max"]) == (ordered[0], ordered[-1])


@pytest.mark.parametrize(("words", "code", "where", "what"), [
    (["--out", "l.txt"], 2, "--out", "suffix"), (["--out", "l.csv", "--every", "0s"], 2, "--every", "interval of 0"),
    (["--out", "l.csv", "--every", "x"], 2, "--every", "no"),
    (["--out", "l.csv", "--entry", "x"], 2, "--entry", "factor"),
    (["--out", "l.csv", "--response", "1,-1s"], 2, "--response", "a latency of -"),
    (["--out", "l.csv", "--feed-shift", "-1000000000"], 2, "--entry", "a latency of -"),
    (["--out", "l.csv", "--instrument", "X"], 2, "--instrument", "no instrument"),
    (["--out", "l.csv", "--base-latency", "x"], 2, "--base-latency", "no"), ([], 2, "apex latency", "--out"),
    (["--out", "no/l.csv"], 4, "no/l.csv", "cannot write"),
])
def test_mistakes(words: list[str], code: int, where: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                  capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an answer to a wrong option; a file left behind by one."""
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path / "t.tape", [book(START + i * SECOND) for i in range(5)])
    done = call(capsys, "latency", path, *words, "--json")
    assert (done.code, done.error["where"]) == (code, where)
    assert what in done.error["what"]
    assert os.listdir(tmp_path) == ["t.tape"]


def test_a_tape_without_both_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the reason why there are no latencies."""
    path = written(tmp_path / "t.tape", [message("QUOTE", START, [(1, 999, 3, 0), (2, 1002, 4, 0)], flags=LOCAL_ONLY),
                                         book(START + 5, flags=BOTH | FLAGS["SNAPSHOT"])])
    done = call(capsys, "latency", path, "--out", tmp_path / "l.csv", "--json")
    assert (done.code, done.error["code"]) == (3, "input")
    assert "both times" in done.error["what"]
    early = written(tmp_path / "early.tape", [book(5000, delay=6000)])
    done = call(capsys, "latency", early, "--out", tmp_path / "l.csv", "--feed-shift", "2000", "--json")
    assert (done.code, done.error["what"]) == (3, "a message from before 1970")


def test_hftbacktests_own_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: agreement with `generate_order_latency` of hftbacktest 2.4.4, whose integers these are."""
    kind = np.dtype([("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"),
                     ("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")])
    golden = json.loads((Path(__file__).parent.parent / "golden" / "latency" / "hftbacktest.json").read_text("utf-8"))
    table = np.zeros(len(golden["feed"]), kind)
    for name, column in zip(("ev", "exch_ts", "local_ts", "px", "qty"), zip(*golden["feed"], strict=True), strict=True):
        table[name] = column
    np.savez(tmp_path / "feed.npz", data=table)
    import_hftbacktest([tmp_path / "feed.npz"], tmp_path / "t.tape", tick=["0.1"], lot=["0.001"])
    good(call(capsys, "latency", tmp_path / "t.tape", "--out", tmp_path / "l.csv", "--entry", "4,5000", "--response",
              "3,7000", "--json"))
    assert latency_rows(tmp_path / "l.csv") == [tuple(row) for row in golden["latencies"]]
