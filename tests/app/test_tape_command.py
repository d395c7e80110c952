"""`apex tape`: the keys and types that scripts rely on, and the answers to mistakes."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from apex._core.events import EVENT_DTYPE
from apex.importers.binance import import_binance
from tests.app.commands import Call, call
from tests.importers.recordings import START_NS, frames, lines, write
from tests.importers.test_binance_rules import plainly
from tests.store import markets

DECIMAL = re.compile(r"-?(0|[1-9]\d*)(\.\d*[1-9])?")
HASH = re.compile(r"[0-9a-f]{64}")
FOUND = lines(frames("usdm", 1, 300), 1)


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tape of a small recording."""
    folder = tmp_path_factory.mktemp("tape")
    import_binance([write(folder / "r", FOUND)], folder / "t.tape", tick=["0.1"], lot=["0.001"])
    return folder / "t.tape"


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A tape of two instruments."""
    markets.write(tmp_path / "two.tape", markets.joined(markets.market(3, 200, 2)))
    return tmp_path / "two.tape"


def good(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """The value of a command that succeeds and says nothing else."""
    done = call(capsys, *words, "--json")
    assert (done.code, done.err) == (0, "")
    return done.value


def test_info(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a key or a type that scripts read."""
    found = good(capsys, "tape", "info", tape)
    plain = plainly(FOUND, "usdm")
    assert (found["version"], found["rows"], found["source"]) == (1, len(plain.rows), "binance")
    assert (found["first_ts"], found["last_ts"]) == (min(r[1] for r in plain.rows), max(r[1] for r in plain.rows))
    assert HASH.fullmatch(found["content_hash"])
    assert found["instruments"] == [{"symbol": "BTCUSDT", "venue": "binance-usdm", "tick": "0.1", "lot": "0.001",
                                     "kind": "linear", "multiplier": "1", "base": "BTC", "quote": "USDT"}]
    assert found["kinds"] == {k: sum(r[7] == k for r in plain.rows) for k in found["kinds"]}
    assert sum(found["kinds"].values()) == found["rows"]


def test_bbo_at_times_in_the_order_asked(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: answers that belong to other questions."""
    times = [int(line[:19]) for line in FOUND]
    asked = [times[200], times[50], 0, times[200], times[-1] + 5, times[120]]
    found = good(capsys, "tape", "bbo", tape, *(word for ts in asked for word in ("--at", ts)))
    assert [f["ts"] for f in found] == asked
    assert found[0] == found[3]
    for answer in found:
        assert list(answer) == ["ts", "instrument", "bid", "bid_quantity", "ask", "ask_quantity", "bid_levels",
                                "ask_levels", "synced"]
        plain = plainly([line for line in FOUND if int(line[:19]) <= answer["ts"]], "usdm")
        top = plain.top()
        for name, value, step in (("bid", top[0], "0.1"), ("bid_quantity", top[1], "0.001"), ("ask", top[2], "0.1"),
                                  ("ask_quantity", top[3], "0.001")):
            if value is None:
                assert answer[name] is None
            else:
                assert DECIMAL.fullmatch(answer[name])
                assert Decimal(answer[name]) == value * Decimal(step)
        assert (answer["bid_levels"], answer["ask_levels"]) == (len(plain.bids.levels), len(plain.asks.levels))
        assert answer["synced"] is plain.synced
        assert answer["instrument"] == "BTCUSDT"


def test_bbo_final_is_after_the_last_event(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a final book that lacks the last messages."""
    found = good(capsys, "tape", "bbo", tape, "--final")
    last = int(FOUND[-1][:19])
    assert found == good(capsys, "tape", "bbo", tape, "--at", last)
    assert found[0]["ts"] == last


def test_bbo_of_instruments(two: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: one instrument's book under another's name."""
    every = good(capsys, "tape", "bbo", two, "--final")
    assert [f["instrument"] for f in every] == ["BTCUSDT", "ETHUSDT"]
    for index, name, full in ((0, "BTCUSDT", "binance-usdm:BTCUSDT"), (1, "ETHUSDT", "binance-spot:ETHUSDT")):
        for word in (name, full, str(index)):
            assert good(capsys, "tape", "bbo", two, "--final", "--instrument", word) == [every[index]]
    done = call(capsys, "tape", "bbo", two, "--final", "--instrument", "XRPUSDT", "--json")
    assert (done.code, done.error["where"]) == (2, "--instrument")
    assert "binance-spot:ETHUSDT" in done.error["do"]


def test_head(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: rows whose decimals, names or order are not the tape's."""
    found = good(capsys, "tape", "head", tape, "-n", 100, "--start", 5)
    plain = plainly(FOUND, "usdm").rows[5:105]
    assert len(found) == 100
    for row, expected in zip(found, plain, strict=True):
        assert set(EVENT_DTYPE.names or ()) < set(row)
        assert (row["ts_exchange_ns"], row["ts_local_ns"], row["sequence"]) == expected[:3]
        assert (row["price_ticks"], row["quantity_lots"], row["kind_name"]) == (expected[3], expected[4], expected[7])
        assert set(row["flag_names"].split("|")) == set(expected[6])
        if row["price"] is not None:
            assert DECIMAL.fullmatch(row["price"])
            assert Decimal(row["price"]) == expected[3] * Decimal("0.1")
    assert len(good(capsys, "tape", "head", tape)) == 20
    assert good(capsys, "tape", "head", tape, "--start", 10**9) == []
    for bad in (["-n", "-1"], ["--start", "-5"], ["-n", "x"], ["-n", "1.5"]):
        assert call(capsys, "tape", "head", tape, "--json", *bad).code == 2


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_export_is_what_pandas_reads(suffix: str, tape: Path, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the way from a tape to everybody's own tools."""
    out = tmp_path / f"t.{suffix}"
    rows = good(capsys, "tape", "export", tape, "--out", out)["rows"]
    found = pd.read_csv(out) if suffix == "csv" else pd.read_parquet(out)
    plain = plainly(FOUND, "usdm").rows
    assert len(found) == rows == len(plain)
    assert found["price_ticks"].tolist() == [row[3] for row in plain]
    assert found["kind_name"].tolist() == [row[7] for row in plain]


@pytest.mark.parametrize(("out", "code"), [("t.xlsx", 2), ("t", 2), ("absent/t.csv", 4), ("folder.csv", 4)])
def test_export_to_places_that_do_not_fit(out: str, code: int, tape: Path, tmp_path: Path,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the difference between a wrong name and a wrong place."""
    (tmp_path / "folder.csv").mkdir()
    done = call(capsys, "tape", "export", tape, "--out", tmp_path / out, "--json")
    assert (done.code, done.error["where"]) == (code, str(tmp_path / out))


def test_verify_has_three_answers(tape: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: exit 0 for a sound tape, 1 for a changed one, 3 for one that cannot be read."""
    assert good(capsys, "tape", "verify", tape) == {
        "hash_ok": True, "violations": 0, "violations_by": {}, "details": [],
        "content_hash": good(capsys, "tape", "info", tape)["content_hash"]}
    whole, bad = tape.read_bytes(), tmp_path / "bad.tape"
    bad.write_bytes(whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:])
    done = call(capsys, "tape", "verify", bad, "--json")
    assert (done.code, done.value["hash_ok"]) == (1, False)
    assert "not what it claims" in done.err
    assert call(capsys, "tape", "verify", bad, "--json", "-q").err == ""
    bad.write_bytes(whole[:-1])
    done = call(capsys, "tape", "verify", bad, "--json")
    assert (done.code, done.error["code"], done.error["where"]) == (3, "tape_truncated", str(bad))


@pytest.mark.parametrize(("words", "code", "where"), [
    (["tape", "bbo", "TAPE"], 2, "apex tape bbo"), (["tape", "bbo", "TAPE", "--final", "--at", "5"], 2, "--at"),
    (["tape", "bbo", "TAPE", "--at", "x"], 2, "--at"), (["tape", "bbo", "TAPE", "--at", "1.5"], 2, "--at"),
    (["tape", "bbo", "TAPE", "--at", str(2**63)], 2, "--at"), (["tape", "info"], 2, "apex tape info"),
    (["tape", "inof", "TAPE"], 2, "ACTION"), (["tape"], 2, "apex tape"), (["tape", "info", "absent"], 3, "absent"),
    (["tape", "info", "."], 3, "."), (["tape", "info", "TAPE", "--fianl"], 2, "apex tape info"),
])
def test_mistakes(words: list[str], code: int, where: str, tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an answer to a mistyped command that says what to write instead."""
    done = call(capsys, *(tape if word == "TAPE" else word for word in words), "--json")
    assert (done.code, done.error["where"]) == (code, where)


def test_without_json_people_read_tables(tape: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the commands' output for people; nothing else is promised of it."""
    def shown(*words: object) -> Call:
        done = call(capsys, *words)
        assert (done.code, done.err) == (0, "")
        return done

    assert "BTCUSDT" in shown("tape", "info", tape).out
    assert "2024-08-0" in shown("tape", "bbo", tape, "--at", START_NS + 10**9).out
    assert "BOOK_LEVEL" in shown("tape", "head", tape, "-n", 300).out
    assert "right" in shown("tape", "verify", tape).out
