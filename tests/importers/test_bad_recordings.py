"""Recordings that are damaged, mixed up or strange: an error that names file and line, and nothing left behind."""

from __future__ import annotations

import gzip
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from apex.domain.errors import InputError
from apex.importers.binance import import_binance
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.app.commands import call
from tests.importers.recordings import START_NS, Stream, frames, lines, text
from tests.importers.test_binance_codec import mutated
from tests.importers.test_binance_rules import timed

FOUND = lines(frames("usdm", 2, 120), 2)
OTHER = lines(frames("spot", 2, 20), 2)
WHOLE = b"".join(line + b"\n" for line in FOUND)
NOISE = b"".join(line + b"\n" for line in timed([Stream("usdm", n).ticker() for n in range(3000)]))


def at(number: int, line: bytes) -> bytes:
    """The recording with line `number` (from 1) replaced."""
    return b"".join(part + b"\n" for part in [*FOUND[:number - 1], line, *FOUND[number:]])


def stamped(number: int, frame: bytes) -> bytes:
    """The recording with another frame at line `number`."""
    return at(number, FOUND[number - 1].partition(b" ")[0] + b" " + frame)


def in_us(line: bytes) -> bytes:
    """A line with its time in microseconds."""
    return line[:16] + line[19:]


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1:]


PACKED = gzip.compress(NOISE, mtime=0)
ZST = zstandard.compress(NOISE)
DEPTH, TRADE = text(Stream("usdm", 1).depth()), text(Stream("usdm", 1).trade())
TICKER = text(Stream("usdm", 1).ticker())
SNAPSHOT = {"lastUpdateId": 5, "E": 1723161256501, "T": 1723161256493, "bids": [], "asks": []}

CASES: dict[str, tuple[bytes, str, int]] = {
    "empty": (b"", "input", 0),
    "a symbol without end": (WHOLE.replace(b"BTCUSDT", b"BTC" * 60 + b"USDT"), "symbol", 1),
    "blank lines only": (b"\n \n\r\n", "input", 0),
    "empty gzip": (gzip.compress(b""), "input", 0),
    "truncated gzip": (PACKED[:len(PACKED) // 2], "input", -1),
    "gzip cut in its trailer": (PACKED[:-3], "input", -1),
    "gzip of ten bytes": (PACKED[:10], "input", 1),
    "corrupt gzip": (flipped(PACKED, len(PACKED) // 2), "", -1),
    "gzip with a wrong checksum": (flipped(PACKED, len(PACKED) - 8), "input", -1),
    "gzip with a tail": (PACKED + b"tail", "input", -1),
    "truncated zstandard": (ZST[:len(ZST) // 2], "input", -1),
    "corrupt zstandard": (flipped(ZST, len(ZST) // 2), "", -1),
    "zip": (b"PK\x03\x04" + bytes(100), "input", 0),
    "binary": (bytes(range(256)) * 40, "local_time", 1),
    "a tape": (b"APEXTAPE" + bytes(4096), "local_time", 1),
    "no local time": (at(20, b'{"a":1}'), "local_time", 20),
    "local time of 13 digits": (at(20, b"1723161255000 {}"), "local_time", 20),
    "no space": (at(20, FOUND[19].replace(b" ", b"", 1)), "local_time", 20),
    "no JSON": (stamped(20, b"hello"), "json", 20),
    "a frame without its end": (stamped(20, FOUND[19].partition(b" ")[2][:-1]), "json", 20),
    "a list": (stamped(20, b"[1]"), "json", 20),
    "no frame": (at(20, FOUND[19][:19] + b" "), "local_time", 20),
    "invalid UTF-8": (stamped(20, b'{"e":"\xff\xfe"}'), "json", 20),
    "nested without end": (stamped(20, b'{"a":' * 5000), "json", 20),
    "last line cut": (WHOLE[:-20], "json", len(FOUND)),
    "time goes back": (at(60, FOUND[3]), "order", 60),
    "microseconds among nanoseconds": (at(60, in_us(FOUND[59])), "mixed_time", 60),
    "another symbol": (at(60, FOUND[59].replace(b"BTCUSDT", b"ETHUSDT").replace(b"btcusdt", b"ethusdt")), "symbol", 60),
    "another symbol, one stream": (stamped(60, text(Stream("usdm", 1).depth()).replace(b"BTC", b"ETH")), "symbol", 60),
    "another market": (stamped(60, text(Stream("spot", 1).depth())), "market", 60),
    "another market's ticker": (stamped(60, text(Stream("spot", 1).ticker())), "market", 60),
    "a number in quotes": (stamped(60, text(Stream("usdm", 1).depth()).replace(b'"U":', b'"U":"1"}')), "json", 60),
    "a level without quotes": (stamped(60, DEPTH.replace(b'"b":[', b'"b":[[1,2],').replace(b",]", b"]")), "form", 60),
    "bids that are no list": (stamped(60, DEPTH.replace(b'"b":[', b'"b":"","z":[')), "form", 60),
    "an id that is a fraction": (stamped(60, DEPTH.replace(b'"u":', b'"u":0.5,"z":')), "form", 60),
    "a trade without its side": (stamped(60, TRADE.replace(b'"m":', b'"m":1,"z":')), "form", 60),
    "a price without quotes": (stamped(60, TICKER.replace(b'"b":"', b'"b":1,"z":"')), "form", 60),
    "a price of no digits": (stamped(60, TICKER.replace(b'"b":"', b'"b":"x')), "form", 60),
    "a negative price": (stamped(60, TICKER.replace(b'"b":"', b'"b":"-')), "form", 60),
    "a price of thirty digits": (stamped(60, TICKER.replace(b'"b":"', b'"b":"' + b"9" * 30)), "form", 60),
    "a snapshot without levels": (stamped(60, text(SNAPSHOT)), "empty_snapshot", 60),
    "no symbol anywhere": (b'1723161255000000000 {"result":null,"id":1}\n', "input", 0),
}
"""Content, the error's code ("": any), and the line it names (0: none; -1: one that is not known beforehand)."""


@pytest.mark.parametrize("name", CASES)
def test_the_error_names_file_and_line_and_leaves_nothing(name: str, tmp_path: Path,
                                                          capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a traceback, a half-written tape, or an older tape destroyed by a failed import."""
    content, code, line = CASES[name]
    path, out = tmp_path / "recording", tmp_path / "out.tape"
    path.write_bytes(content)
    out.write_bytes(b"an older tape")
    done = call(capsys, "import", "binance", path, "--out", out, "--json")
    assert done.code == 3
    assert done.error["code"] == code or not code
    if line > 0:
        assert done.error["where"] == f"{path}:{line}"
    elif line < 0:
        assert done.error["where"].startswith(f"{path}:")
        assert int(done.error["where"].rpartition(":")[2]) > 1
    else:
        assert str(path) in done.error["where"]
    assert out.read_bytes() == b"an older tape"
    assert sorted(os.listdir(tmp_path)) == ["out.tape", "recording"]


def test_the_same_without_json_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a person who must read JSON, or a script whose pipe gets an error as data."""
    (tmp_path / "r").write_bytes(CASES["no JSON"][0])
    done = call(capsys, "import", "binance", tmp_path / "r", "--out", tmp_path / "t")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("apex: not JSON")
    assert f"where: {tmp_path / 'r'}:20" in done.err
    assert "do:" in done.err


@pytest.mark.parametrize(("second", "code", "line"), [
    (WHOLE.replace(b"BTCUSDT", b"ETHUSDT").replace(b"btcusdt", b"ethusdt"), "symbol", 1),
    (b"".join(line + b"\n" for line in OTHER), "symbol", 1),
    (b"".join(in_us(line) + b"\n" for line in FOUND), "mixed_time", 1),
    (b"".join(line + b"\n" for line in FOUND[5:]), "order", 1),
    (b"", "input", 0),
])
def test_files_that_do_not_go_together(second: bytes, code: str, line: int, tmp_path: Path,
                                       capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: two markets, two clocks or the same minutes twice on one tape."""
    (tmp_path / "a").write_bytes(WHOLE)
    (tmp_path / "b").write_bytes(second)
    done = call(capsys, "import", "binance", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "t", "--json")
    assert (done.code, done.error["code"]) == (3, code)
    places = [f"{tmp_path / name}:{line}" if line else str(tmp_path / name) for name in "ab"]
    assert done.error["where"] in places
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


@pytest.mark.parametrize(("options", "exit_code", "code", "where"), [
    (["--tick", "0.5"], 3, "off_grid", ":"), (["--lot", "0.002", "--tick", "0.1"], 3, "off_grid", ":"),
    (["--tick", "x"], 2, "usage", "--tick"), (["--tick", "0"], 2, "usage", "--tick"),
    (["--tick=-1"], 2, "usage", "--tick"), (["--lot", "1e-3"], 2, "usage", "--lot"),
    (["--lot", "=0.1"], 2, "usage", "--lot"), (["--tick", "ETHUSDT=0.1"], 2, "usage", "--tick"),
    (["--tick", "0.0000000001", "--lot", "0.001"], 3, "input", "recording"),
    (["--market", "spot"], 3, "market", ":1"), (["--market", "cm"], 3, "market", ":1"),
    (["--market", "moon"], 2, "usage", "--market"), (["--symbol", "BTCUSDT"], 2, "usage", "--symbol"),
    (["--lott", "1"], 2, "usage", "apex import"),
])
def test_options_that_do_not_fit(options: list[str], exit_code: int, code: str, where: str, tmp_path: Path,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a wrong tick that silently scales every price, and the difference of usage and input for scripts."""
    (tmp_path / "recording").write_bytes(WHOLE)
    done = call(capsys, "import", "binance", tmp_path / "recording", "--out", tmp_path / "t", "--json", *options)
    assert (done.code, done.error["code"]) == (exit_code, code)
    assert where in done.error["where"]
    assert os.listdir(tmp_path) == ["recording"]


def test_given_steps_are_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: --tick and --lot, with and without the symbol, the finer of them, and their part in the hash."""
    (tmp_path / "r").write_bytes(WHOLE)
    hashes = set()
    for options in (["--tick", "0.1"], ["--tick", "BTCUSDT=0.1", "--lot", "0.001"], [], ["--lot", "0.0010"]):
        done = call(capsys, "import", "binance", tmp_path / "r", "--out", tmp_path / "t", "--json", *options)
        hashes.add(done.value["content_hash"])
    assert len(hashes) == 1
    done = call(capsys, "import", "binance", tmp_path / "r", "--out", tmp_path / "t", "--json", "--tick", "9",
                "--tick", "BTCUSDT=0.05")
    assert done.value["instruments"] == [{"symbol": "BTCUSDT", "venue": "binance-usdm", "tick": "0.05", "lot": "0.001"}]
    assert done.value["content_hash"] not in hashes


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_out_over_its_own_input(link: Callable[[str, str], None] | None, tmp_path: Path,
                                capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the recording."""
    path = tmp_path / "r"
    path.write_bytes(WHOLE)
    out = path if link is None else tmp_path / "linked"
    if link is not None:
        link(str(path), str(out))
    done = call(capsys, "import", "binance", path, "--out", out, "--json")
    assert (done.code, done.error["where"]) == (3, str(out))
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize("target", ["absent/x.tape", ".", "r/x.tape", ""])
def test_places_that_cannot_hold_a_tape(target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: the word that the place is the trouble (exit 4), not the recording."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r").write_bytes(WHOLE)
    done = call(capsys, "import", "binance", "r", "--out", target, "--json")
    assert (done.code, done.error["code"]) == (4, "environment")
    assert done.error["where"] == str(Path(target))
    assert os.listdir(tmp_path) == ["r"]


@pytest.mark.parametrize(("path", "what"), [("absent", "No such file"), (".", "folder"), (os.devnull, "pipe")])
def test_what_is_no_file(path: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a traceback for a mistyped name."""
    done = call(capsys, "import", "binance", path, "--out", tmp_path / "t", "--json")
    assert (done.code, done.error["where"]) == (3, path)
    assert what in done.error["what"]


def test_the_same_file_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: every event twice on the tape."""
    path = tmp_path / "r"
    path.write_bytes(WHOLE)
    done = call(capsys, "import", "binance", path, path, "--out", tmp_path / "t", "--json")
    assert (done.code, done.error["where"]) == (2, str(path))


def survives(content: bytes, folder: Path) -> bool:
    """Whether a recording imports; if so its tape verifies, if not nothing is left and the file is named."""
    path, out = folder / "recording", folder / "t.tape"
    path.write_bytes(content)
    failed: InputError | None = None
    try:
        import_binance([path], out)
    except InputError as error:
        failed = error
    if failed is not None:
        assert str(path) in failed.where
        assert os.listdir(folder) == ["recording"]
        return False
    with Tape.open(out) as tape:
        assert verify(tape).ok
    out.unlink()
    return True


def damage(seed: int, rounds: int, folder: Path) -> int:
    """Mutate recordings, plain and compressed; how many were still good."""
    rng, good = random.Random(seed), 0
    for number in range(rounds):
        market = rng.choice(["spot", "usdm", "cm"])
        content = b"".join(line + b"\n" for line in lines(frames(market, rng.randrange(9), 30)))
        for _ in range(rng.choice([1, 2, 20])):
            content = mutated(content, rng)
        if number % 4 == 0:
            content = mutated(gzip.compress(content), rng)
        elif number % 4 == 1:
            content = mutated(zstandard.compress(content), rng)
        good += survives(content, folder)
    return good


def test_damaged_recordings_give_only_the_documented_error(tmp_path: Path) -> None:
    """Lost: a traceback, a hang or a stray file for a kind of damage that nobody thought of."""
    good = damage(1, 400, tmp_path)
    assert 10 < good < 390


@pytest.mark.long
def test_damaged_recordings_at_length(tmp_path: Path) -> None:
    """Lost: the same for rarer damage."""
    damage(int(os.environ.get("APEX_SEED", "1")), 60_000, tmp_path)


def test_nothing_is_printed_but_the_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: warnings or progress between a script and its JSON."""
    (tmp_path / "r").write_bytes(WHOLE)
    done = call(capsys, "import", "binance", tmp_path / "r", "--out", tmp_path / "t", "--json")
    found: dict[str, Any] = done.value
    assert (done.code, done.err, sys.stdout.isatty()) == (0, "", False)
    assert found["messages"] == len(FOUND)
    assert int(FOUND[0][:19]) >= START_NS
