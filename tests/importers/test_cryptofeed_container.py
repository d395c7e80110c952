"""The container of cryptofeed's recordings: order, parts, and what is said of damage."""

from __future__ import annotations

import gzip
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
import zstandard

from apex.domain.errors import ApexError, InputError
from apex.importers.cryptofeed import import_cryptofeed
from tests.app.commands import call
from tests.importers.feeds import SAMPLES, START, Feed, Imported, imported
from tests.importers.test_cryptofeed_rules import bybit, delta

MS = START * 1000


def old(feed: Feed) -> list[str]:
    """The lines of a feed in the older format."""
    made = []
    for line in feed.lines:
        entry = json.loads(line)
        stamp = f"{entry['ts']}"
        made.append({"connect": f"{entry.get('addr')} <-> {stamp}", "recv": f"{stamp}: {entry.get('data')}",
                     "http": f"{entry.get('url')} -> {stamp}: {entry.get('data')}"}[entry["t"]])
    return made


def some() -> Feed:
    """A snapshot by REST between deltas."""
    feed = Feed("binance").got(delta("AB", 1, 5, None, [["1.0", "9"]], [], 1))
    feed.rest("https://api.binance.com/api/v3/depth?symbol=AB", {"lastUpdateId": 5, "bids": [["1.0", "1"]], "asks": []})
    return feed.got(*(delta("AB", u, u, None, [["1.0", str(u)]], [], u) for u in range(6, 12)))


def test_both_formats_and_compressions_give_one_tape(tmp_path: Path) -> None:
    """Lost: a format, or times that differ in their last digits because they went through a double."""
    feed = some()
    text = "".join(line + "\n" for line in feed.lines)
    raw = "configuration: {\"l2_book\":[]}\n\n" + "".join(line + "\n" for line in old(feed)) + "x <- 1.5: {}\n"
    (tmp_path / "a.jsonl").write_text(text)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "c.jsonl.zst").write_bytes(zstandard.compress(text.encode()))
    (tmp_path / "d.raw.gz").write_bytes(gzip.compress(raw.encode()))
    (tmp_path / "e.ws.0").write_text(raw.replace(": {\"stream", ": b'{\"stream").replace("}}\n", "}}'\n"))
    hashes = {import_cryptofeed([tmp_path / name], tmp_path / "t.tape").content_hash
              for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.raw.gz", "e.ws.0")}
    assert len(hashes) == 1


def test_lines_are_merged_by_time_and_connections_kept_in_order(tmp_path: Path) -> None:
    """Lost: a snapshot by REST that stands before everything in the file, taken before the deltas that it follows."""
    feed = some()
    rest = [line for line in feed.lines if '"http"' in line]
    first = [json.dumps({"t": "header", "format": 2, "exchange": "BINANCE"})]
    snapshot = bybit("snapshot", 5, [["7", "1"]], [])
    snapshot["data"]["s"] = "CD"
    other = Feed("bybit", "V.ws.2", START + 0.005).got(snapshot)
    mixed = [*first, *rest, *(line for line in feed.lines if '"http"' not in line), *other.lines]
    (tmp_path / "mixed").write_text("\n".join(mixed))
    found = Imported([tmp_path / "mixed"], tmp_path / "t.tape")
    assert found.rows(symbol="AB") == imported(feed, tmp_path).rows(symbol="AB")
    assert found.events["ts_local_ns"].tolist() == sorted(found.events["ts_local_ns"].tolist())
    assert {x.venue for x in found.instruments} == {"binance-spot", "bybit"}
    assert (found.summary.messages, found.summary.received_messages) == (len(mixed), 8)


def test_parts_of_a_recording_go_on_in_each_other(tmp_path: Path) -> None:
    """Lost: the second part of an older recording, which does not repeat the address; given in any order."""
    lines = old(some())
    (tmp_path / "BINANCE.ws.1.0").write_text("\n".join(lines[:5]) + "\n")
    (tmp_path / "BINANCE.ws.1.1").write_text("\n".join(lines[5:]) + "\n")
    (tmp_path / "whole").write_text("\n".join(lines) + "\n")
    parts = import_cryptofeed([tmp_path / "BINANCE.ws.1.1", tmp_path / "BINANCE.ws.1.0"], tmp_path / "t.tape")
    assert parts.content_hash == import_cryptofeed([tmp_path / "whole"], tmp_path / "u.tape").content_hash
    with pytest.raises(InputError, match="before its address") as error:
        import_cryptofeed([tmp_path / "BINANCE.ws.1.1"], tmp_path / "t.tape")
    assert error.value.where == f"{tmp_path / 'BINANCE.ws.1.1'}:1"


def broken(lines: list[str], at: int, line: str) -> list[str]:
    return [*lines[:at], line, *lines[at + 1:]]


CASES: dict[str, tuple[str, str, int]] = {
    "cut off": ('{"t":"recv","conn":"V.ws.1","ts":1786310000.03,"data":"{\\"stream', "json", 4),
    "no json within": ('{"t":"recv","conn":"V.ws.1","ts":1786310000.03,"data":"{nothing"}', "json", 4),
    "no line at all": ("something else", "line", 4),
    "an unknown kind": ('{"t":"read","conn":"V.ws.1","ts":1786310000.03}', "line", 4),
    "no time": ('{"t":"recv","conn":"V.ws.1","data":"{}"}', "line", 4),
    "clock set back": ('{"t":"recv","conn":"V.ws.1","ts":1786309999.5,"data":"{}"}', "order", 4),
    "no address": ('{"t":"recv","conn":"V.ws.9","ts":1786310000.03,"data":"{}"}', "connection", 4),
    "a foreign address": ('{"t":"connect","conn":"V.ws.9","ts":1786310000.03,"addr":"wss://ws.x.com"}', "venue", 4),
    "a price that is none": ('{"t":"recv","conn":"V.ws.1","ts":1786310000.03,"data":' + json.dumps(json.dumps(
        delta("AB", 6, 6, None, [["1,5", "1"]], []))) + "}", "number", 4),
    "a field missing": ('{"t":"recv","conn":"V.ws.1","ts":1786310000.03,"data":' + json.dumps(json.dumps(
        {"e": "depthUpdate", "s": "AB", "b": [], "a": []})) + "}", "form", 4),
    "a negative quantity": ('{"t":"recv","conn":"V.ws.1","ts":1786310000.03,"data":' + json.dumps(json.dumps(
        delta("AB", 6, 6, None, [["1.5", "-1"]], []))) + "}", "quantity", 4),
    "a time that is none": ('{"t":"recv","conn":"V.ws.1","ts":1786310000.03,"data":' + json.dumps(json.dumps(
        {"e": "aggTrade", "s": "AB", "p": "1", "q": "1", "m": True, "a": 1, "T": "soon"})) + "}", "time", 4),
}


@pytest.mark.parametrize("name", CASES)
def test_damage_is_named_with_file_and_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an error that nobody can find in a file of a million lines, or a tape half made."""
    line, code, at = CASES[name]
    path = tmp_path / "feed.jsonl"
    path.write_text("\n".join(broken(some().lines, 3, line)) + "\n")
    (tmp_path / "t.tape").write_text("before")
    done = call(capsys, "import", "cryptofeed", path, "--out", tmp_path / "t.tape", "--json")
    assert (done.code, done.error["code"], done.error["where"]) == (3, code, f"{path}:{at}")
    assert (tmp_path / "t.tape").read_text() == "before"
    assert sorted(os.listdir(tmp_path)) == ["feed.jsonl", "t.tape"]


def test_given_steps_that_do_not_fit_name_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a wrong --tick found by somebody else, later."""
    path = some().write(tmp_path / "feed.jsonl")
    done = call(capsys, "import", "cryptofeed", path, "--out", tmp_path / "t", "--tick", "0.3", "--json")
    assert (done.code, done.error["code"], done.error["where"]) == (3, "off_grid", f"{path}:3")
    done = call(capsys, "import", "cryptofeed", path, "--out", tmp_path / "t", "--symbol", "AB", "--json")
    assert (done.code, done.error["where"]) == (2, "--symbol")


@pytest.mark.parametrize("text", ["", '{"t":"header","format":2}\n'])
def test_nothing_to_import(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an empty tape for an empty or foreign file."""
    (tmp_path / "x").write_text(text)
    done = call(capsys, "import", "cryptofeed", tmp_path / "x", "--out", tmp_path / "t", "--json")
    assert (done.code, done.error["code"]) == (3, "input")
    assert str(tmp_path / "x") in done.error["where"]


def test_truncated_compression_names_the_line(tmp_path: Path) -> None:
    """Lost: half a recording that passes for the whole."""
    data = gzip.compress("".join(line + "\n" for line in some().lines).encode())
    (tmp_path / "x.gz").write_bytes(data[:-20])
    with pytest.raises(InputError, match="truncated gzip") as error:
        import_cryptofeed([tmp_path / "x.gz"], tmp_path / "t")
    assert error.value.where.startswith(f"{tmp_path / 'x.gz'}:")


def test_the_screen_tells_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the summary for people, of a tape of several instruments."""
    feed = Feed("bybit").got(bybit("snapshot", 5, [["1", "1"]], [["2", "1"]]), {"topic": "kline.1.AB", "data": []})
    other = bybit("snapshot", 5, [["3", "1"]], [])
    other["data"]["s"] = "CD"
    path = feed.got(other).write(tmp_path / "feed.jsonl")
    done = call(capsys, "import", "cryptofeed", path, "--out", tmp_path / "t")
    assert (done.code, done.err) == (0, "")
    assert all(text in done.out for text in ("bybit:AB", "bybit:CD", "ignored", "snapshots"))
    shown = call(capsys, "tape", "bbo", tmp_path / "t", "--final", "--json")
    assert [(x["instrument"], x["bid"], x["ask"]) for x in shown.value] == [
        ("bybit:AB", "1", "2"), ("bybit:CD", "3", None)]
    for name, wanted in (("CD", "3"), ("bybit:CD", "3"), ("bybit:CD:linear", "3"), ("1", "3"), ("bybit:AB", "1")):
        one = call(capsys, "tape", "bbo", tmp_path / "t", "--final", "--instrument", name, "--json").value
        assert [x["bid"] for x in one] == [wanted], name


def junk(value: Any, rng: random.Random) -> Any:
    """A message with one thing in it changed."""
    if isinstance(value, dict) and value:
        key = rng.choice(list(value))
        if rng.random() < 0.2:
            return {k: v for k, v in value.items() if k != key}
        return {**value, key: junk(value[key], rng)}
    if isinstance(value, list) and value:
        at = rng.randrange(len(value))
        return [*value[:at], junk(value[at], rng), *value[at + 1:]]
    return rng.choice([None, "", "x", "-1", "1e5", "99999999999999999999999999", -1, 0, 1e300, 10**30, True, [], {},
                       "0", [["1", "2"]], {"b": 1}, "\u0661", "1970-01-01T00:00:00Z"])


@pytest.mark.parametrize("seed", range(5))
def test_damaged_messages_only_raise_errors_with_a_place(seed: int, tmp_path: Path) -> None:
    """Lost: a traceback, or a hang, on a message that a venue or a disk has mangled."""
    rng, refused = random.Random(seed), []
    for venue, messages in SAMPLES.items():
        Imported([Feed(venue).got(*messages).write(tmp_path / "sound")], tmp_path / "t.tape")
        for _ in range(12):
            feed = Feed(venue).got(*(junk(m, rng) if rng.random() < 0.3 else m for m in messages))
            try:
                import_cryptofeed([feed.write(tmp_path / "feed.jsonl")], tmp_path / "t.tape")
            except ApexError as error:
                refused.append(error)
    assert len(refused) > 10
    assert all(error.where and error.do for error in refused)
