"""The files of a replay: whole or absent, with one set of numbers, readable anywhere."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import apex
from apex.app.cli import main
from apex.app.replay import ReplayResult
from apex.domain.errors import ApexError
from apex.domain.instrument import Instrument
from apex.research.page import embed, page
from apex.research.plots import plot_data
from apex.research.report import plain
from tests.research.conftest import DELAYS
from tests.research.strategies import Busy, Far, Silent

FILES = {"report.html", "result.json", "orders.parquet", "fills.parquet", "equity.parquet"}


class Page(HTMLParser):
    """The numbers, scripts and references of a page; fails on tags that do not close in order."""

    VOID = frozenset({"meta", "link", "br", "input", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.numbers: list[tuple[str, str, str]] = []
        self.references: list[str] = []
        self.embedded: dict[str, Any] = {}
        self.text = ""
        self.stack: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.references += [v or "" for k, v in attrs if k in ("src", "href", "action", "data", "srcset", "poster")]
        if tag not in self.VOID:
            self.stack.append((tag, given))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        tag, given = self.stack[-1] if self.stack else ("", {})
        if tag == "script":
            if given.get("type") == "application/json":
                self.embedded[given["id"] or ""] = json.loads(data)
        elif tag != "style":
            self.text += data
            if given.get("data-key"):
                self.numbers.append((given["data-key"] or "", given["data-value"] or "", data))


def at(document: Any, pointer: str) -> Any:
    """The value under a JSON pointer; None where there is none."""
    for key in pointer.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        document = document.get(key) if isinstance(document, dict) else None
    return document


def test_page_and_json_hold_the_same_numbers(any_result: ReplayResult, tmp_path: Path) -> None:
    """Lost otherwise: a page that says something else than the JSON beside it."""
    assert any_result.report(tmp_path) == tmp_path / "report.html"
    assert {p.name for p in tmp_path.iterdir()} == FILES
    known = json.loads((tmp_path / "result.json").read_text("utf-8"))
    shown = Page((tmp_path / "report.html").read_text("utf-8"))
    assert shown.embedded["summary"] == known
    assert any_result.document == known
    assert {k: known[k] for k in any_result.summary} == json.loads(json.dumps(any_result.summary))
    assert len(shown.numbers) > 60
    for pointer, exact, text in shown.numbers:
        value = at(known, pointer)
        assert json.loads(exact) == value, pointer
        assert (text == "–") == (value is None), pointer
        if isinstance(value, int) and not isinstance(value, bool) and not pointer.endswith(("_ns", "bytes", "/at")) \
                and "_ns/" not in pointer:
            assert text.replace(",", "") == str(value), pointer
    seen = {pointer for pointer, _, _ in shown.numbers}
    assert {f"/position/{symbol}" for symbol in known["position"]} <= seen
    for reasons in ("blocked_by", "unfilled_by"):
        assert {f"/{reasons}/{reason}" for reason in known[reasons]} <= seen
    assert {"/net_pnl", "/gross_pnl", "/fees", "/spread_captured", "/inventory_pnl", "/max_drawdown_money"} <= seen
    assert all(name in shown.text for name in known["limits"])
    assert all(name in shown.text for name in known["params"])
    assert known["result_hash"] in shown.text


def test_page_needs_nothing_from_outside(result: ReplayResult, tmp_path: Path) -> None:
    """Lost otherwise: a report that is empty on a plane, or that tells a server who reads it."""
    text = result.report(tmp_path).read_text("utf-8")
    assert Page(text).references == ["data:,"]
    assert not re.findall(r"(?:https?:)?//[\w-]+\.\w+|@import|url\(", text)
    assert "default-src 'none'" in text
    assert "Leon Sorokin" in text  # the licence of the plotting library goes with it
    assert len(text) < 1_000_000


def test_tables_are_the_frames(any_result: ReplayResult, tmp_path: Path) -> None:
    """Lost otherwise: Parquet files that differ from what Python shows, or lack a column that scripts read."""
    any_result.report(tmp_path)
    for name in ("orders", "fills", "equity"):
        found = pd.read_parquet(tmp_path / f"{name}.parquet")
        frame = getattr(any_result, name)
        pd.testing.assert_frame_equal(found[list(frame.columns)], frame, check_dtype=False)
    fills = pd.read_parquet(tmp_path / "fills.parquet")
    assert list(fills.columns[:9]) == ["ts_venue", "ts_local", "id", "instrument", "side", "price_ticks", "quantity",
                                       "maker", "fee"]
    assert {name: str(kind) for name, kind in fills.dtypes.items() if name in (
        "ts_venue", "ts_local", "id", "price_ticks", "maker")} == {
        "ts_venue": "int64", "ts_local": "int64", "id": "int64", "price_ticks": "int64", "maker": "bool"}


@pytest.mark.parametrize("strategy", [Silent, Far, None], ids=str)
def test_a_run_without_trades_has_a_report(idle: Callable[[Any], ReplayResult], strategy: Any, tmp_path: Path) -> None:
    """Lost otherwise: a crash, or NaN, just when a person most needs to read why."""
    done = idle(strategy)
    text = done.report(tmp_path).read_text("utf-8")
    shown = Page(text)
    assert "Why so little happened" in shown.text
    assert done.document["diagnosis"][0].replace("`", "") in shown.text
    assert "No order was filled." in shown.text
    for word in ("NaN", "nan", "Infinity"):
        assert word not in json.dumps(shown.embedded)
        assert word not in re.findall(r"\w+", shown.text)
    assert len(pd.read_parquet(tmp_path / "fills.parquet")) == 0
    assert "price_ticks" in pd.read_parquet(tmp_path / "fills.parquet").columns


def test_names_cannot_break_out_of_the_page(tapes: Callable[..., Path], tmp_path: Path) -> None:
    """Lost otherwise: a strategy, a parameter or a tape whose name runs as a script in the reader's browser."""
    evil = "</script><script>alert(1)</script><b x='\"&"
    strange = (Instrument(evil, "v<i>", "0.1", "0.001", base=evil, quote="<u>"),)
    tape = tmp_path / "a.tape"
    shutil.copy(tapes(6, 20_000), tape)
    named: Any = type(evil, (Busy,), {})
    result = apex.replay(tape, named, **DELAYS)
    known = {**result.document, "strategy": evil, "params": {evil: evil}, "tapes": [evil], "diagnosis": [evil],
             "notes": [evil], "unfilled_by": {evil: 3}, "position": {evil: "1"}, "limits": {evil: evil},
             "result_hash": evil}  # fmt: skip
    renamed = result.equity.rename(columns=lambda c: c.replace("AAAUSDT", evil))
    plots = plot_data(result.orders, result.fills.assign(instrument=evil), renamed, strange)
    text = page(known, plots, list(strange), (1, 2))
    shown = Page(text)
    assert text.lower().count("<script") == 3
    assert shown.embedded["summary"] == known
    assert shown.embedded["plots"] == plots
    assert "alert(1)" in shown.text
    assert not re.search(r"<(?:b|u|i) ?x?[^>]*'", text)
    assert json.loads(embed(evil)) == evil


def test_a_second_run_replaces_the_first(tapes: Callable[..., Path], tmp_path: Path) -> None:
    """Lost otherwise: files of two runs in one folder, read as one."""
    csv = tmp_path / "orders-in.csv"
    ts = int(apex.Tape.open(tapes()).header["first_ts"]) + 5 * 10**9
    csv.write_text(f"ts,id,side,price,quantity,tif,cancel_ts\n{ts},7,buy,,0.002,,\n{ts},9,sell,90000,0.001,GTC,\n")
    out = tmp_path / "out"
    first = apex.replay(tapes(), orders=str(csv), out=out, **DELAYS)
    assert {p.name for p in out.iterdir()} == {*FILES, "orders.csv"}
    assert (out / "orders.csv").read_text().splitlines()[1].startswith("7,filled,")
    assert "Scripted orders on AAAUSDT" in (out / "report.html").read_text("utf-8")
    assert set(pd.read_parquet(out / "fills.parquet")["id"]) == {7}
    with (out / "result.json").open(encoding="utf-8") as old:
        second = apex.replay(tapes(), Busy, out=out, **DELAYS)
        assert json.loads(old.read())["result_hash"] == first.summary["result_hash"]
    assert {p.name for p in out.iterdir()} == FILES
    found = json.loads((out / "result.json").read_text("utf-8"))["result_hash"]
    assert found == second.summary["result_hash"] != first.summary["result_hash"]


def test_a_failed_write_leaves_the_old_files(result: ReplayResult, tmp_path: Path) -> None:
    """Lost otherwise: half a report after a full disk, taken for a whole one."""
    result.report(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    (tmp_path / "equity.parquet").unlink()
    (tmp_path / "equity.parquet").mkdir()
    (tmp_path / "equity.parquet" / "x").touch()
    with pytest.raises(ApexError, match=r"could not write equity\.parquet"):
        result.report(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == FILES
    assert (tmp_path / "report.html").read_bytes() == before["report.html"]
    file = tmp_path / "report.html" / "below"
    with pytest.raises(ApexError, match="could not make the folder"):
        result.report(file)


def test_json_holds_plain_finite_values() -> None:
    """Lost otherwise: a result.json that a strict reader refuses."""
    given = {"a": float("nan"), "b": [np.float64("inf"), np.int64(3)], 4: Path("x"), "c": (True, None, np.bool_(True))}
    assert plain(given) == {"a": None, "b": [None, 3], "4": "x", "c": [True, None, True]}


def test_a_run_repeats_to_the_byte(tapes: Callable[..., Path], tmp_path: Path) -> None:
    """Lost otherwise: two reports of one run that cannot be compared."""
    texts = []
    for name in ("a", "b"):
        apex.replay(tapes(), Busy, out=tmp_path / name, **DELAYS)
        known = json.loads((tmp_path / name / "result.json").read_text("utf-8"))
        for measured in ("seconds", "ns_per_event", "events_per_second", "peak_rss_bytes"):
            del known[measured]
        texts.append(known)
    assert texts[0] == texts[1]
    for table in ("orders", "fills", "equity"):
        first, second = ((tmp_path / name / f"{table}.parquet").read_bytes() for name in ("a", "b"))
        assert first == second


def test_the_command_prints_what_it_writes(
    tapes: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lost otherwise: --json, result.json and the screen as three truths."""
    words = ["replay", str(tapes()), "--strategy", "tests.research.strategies:Busy", "--out", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    written = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert printed == written
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert written["result_hash"] in shown
    assert str(tmp_path / "report.html") in shown


def test_notes_say_what_to_doubt(tapes: Callable[..., Path], result: ReplayResult) -> None:
    """Lost otherwise: a reader who takes zero latency, no fees or hopeful fills for the market."""
    doubted = "\n".join(apex.replay(tapes(), Busy).document["notes"])
    assert "latency was 0" in doubted
    assert "No fees" in doubted
    said = "\n".join(result.document["notes"])
    assert "latency was 0" not in said
    assert "No fees" not in said
    assert f"{result.document['metrics']['optimistic_fills']['count']} fills" in said
    assert "valued at the mid" in said


def test_two_currencies_are_not_silently_added(tapes: Callable[..., Path]) -> None:
    """Lost otherwise: dollars and bitcoins in one sum without a word."""
    euro = Instrument("BBBEUR", "generated", "0.1", "0.001", base="BBB", quote="EUR")
    result = apex.replay([tapes(6, 20_000), tapes(7, 20_000, (euro,))], Busy, **DELAYS)
    assert any("EUR, USDT are added as they stand" in note for note in result.document["notes"])
