"""hftbacktest's event arrays to a tape: row by row as a plain reader has them, exact grids, and bad arrays refused."""

from __future__ import annotations

import io
import os
import random
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS
from apex.importers import hftbacktest
from apex.importers.hftbacktest import import_hftbacktest
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.app.commands import call
from tests.importers.test_binance_codec import mutated

DTYPE = np.dtype([("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"),
                  ("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")])
VENUE, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH, TRADE, CLEAR, SNAPSHOT, BBO = 1, 2, 3, 4, 5
NAMES = {DEPTH: "BOOK_LEVEL", TRADE: "TRADE", CLEAR: "BOOK_CLEAR", SNAPSHOT: "BOOK_LEVEL", BBO: "QUOTE"}
START = 1_723_161_255_000_000_000
GRID = ["--tick", "0.1", "--lot", "0.001"]


def rows(*found: tuple[int, int, int, float, float]) -> NDArray[Any]:
    """An array of (ev, exch_ts, local_ts, px, qty)."""
    made = np.zeros(len(found), DTYPE)
    for row, values in zip(made, found, strict=True):
        row["ev"], row["exch_ts"], row["local_ts"], row["px"], row["qty"] = values
    return made


def stream(seed: int, count: int) -> NDArray[Any]:
    """Random rows as converters make them: for both sides, or split into one for each; times in order for each side."""
    rng, local, venue, found = random.Random(seed), START, START - 10_000, []
    for _ in range(count):
        local += rng.choice([0, 0, 1000, 50_000])
        seen = rng.choice([VENUE | LOCAL, VENUE | LOCAL, VENUE | LOCAL, VENUE, LOCAL])
        kind = rng.choice([DEPTH, DEPTH, DEPTH, TRADE, SNAPSHOT, BBO, CLEAR])
        side = rng.choice([BUY, SELL]) if kind != CLEAR or rng.random() < 0.7 else 0
        if seen & VENUE:
            venue = max(venue, local - rng.choice([5000, 5000, 9000, -3000]))
        price = float(Decimal(rng.randint(617_900, 618_100)) / 10)
        if kind == CLEAR and rng.random() < 0.3:
            price = rng.choice([float("nan"), float("inf")])
        quantity = float(Decimal(rng.randint(0 if kind != TRADE else 1, 5000)) / 1000)
        found.append((seen | side | kind, venue, local, price, quantity))
    return rows(*found)


def plainly(array: NDArray[Any]) -> list[dict[str, int]]:
    """Every row by the rules of docs, in plain Python."""
    found = []
    for at, row in enumerate(array):
        ev, kind = int(row["ev"]), int(row["ev"]) & 0xFF
        to_end = kind == CLEAR and not (np.isfinite(row["px"]) and ev & (BUY | SELL))
        price = 0 if to_end else Decimal(repr(float(row["px"]))) * 10
        quantity = 0 if kind == CLEAR else Decimal(repr(float(row["qty"]))) * 1000
        flags = (FLAGS["AT_LOCAL"] if ev & LOCAL else 0) | (FLAGS["AT_VENUE"] if ev & VENUE else 0)
        flags |= FLAGS["SNAPSHOT"] if kind == SNAPSHOT else 0
        flags |= FLAGS["CLEAR_TO"] if kind == CLEAR and not to_end else 0
        rest = array[at + 1:]
        if ev & LOCAL:                                   # a message ends where the next row we see has other times
            rest = rest[(rest["ev"] & LOCAL) != 0]
        ends = not len(rest) or (rest[0]["local_ts"], rest[0]["exch_ts"]) != (row["local_ts"], row["exch_ts"])
        ends = ends or bool(int(rest[0]["ev"]) & LOCAL) != bool(ev & LOCAL)
        found.append({
            "kind": KINDS[NAMES[kind]], "side": 1 if ev & BUY else 2 if ev & SELL else 0, "price_ticks": int(price),
            "quantity_lots": int(quantity), "ts_local_ns": int(row["local_ts"]), "ts_exchange_ns": int(row["exch_ts"]),
            "flags": flags | (FLAGS["LAST_IN_BATCH"] if ends else 0), "sequence": 0, "order_id": 0, "aux": 0,
            "instrument": 0})
    return found


def save(path: Path, array: NDArray[Any], *, packed: bool = True) -> Path:
    """An npz of one array named data, as hftbacktest's converters write it."""
    (np.savez_compressed if packed else np.savez)(path, data=array)
    return path


@pytest.mark.parametrize("seed", range(20))
def test_every_row_is_the_plain_readers(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: a row that the venue's or the local side of a replay sees otherwise than hftbacktest would."""
    monkeypatch.setattr(hftbacktest, "CHUNK_ROWS", [1, 2, 7, 1 << 18][seed % 4])
    array = stream(seed, 150)
    summary = import_hftbacktest([save(tmp_path / "a.npz", array, packed=seed % 2 == 0)], tmp_path / "t.tape",
                                 tick=["0.1"], lot=["0.001"])
    expected = plainly(array)
    with Tape.open(tmp_path / "t.tape") as tape:
        found = tape.events()
        assert [dict(zip(EVENT_DTYPE.names or (), row.tolist(), strict=True)) for row in found] == [
            {name: row[name] for name in EVENT_DTYPE.names or ()} for row in expected]
        assert verify(tape).ok
        assert tape.header["synced_from_start"]
        assert [x.symbol for x in tape.instruments] == ["a"]
    kinds = array["ev"] & np.uint64(0xFF)
    assert (summary.messages, summary.trades) == (150, int((kinds == TRADE).sum()))
    assert (summary.level_updates, summary.book_tickers) == (int((kinds == DEPTH).sum()), int((kinds == BBO).sum()))
    assert summary.synced
    runs = np.diff(np.concatenate(([False], kinds == SNAPSHOT)).astype(int))
    assert summary.snapshots == int((runs == 1).sum())


def test_npy_and_several_files_join_by_local_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: parts of a day in the order of the command line."""
    array = stream(3, 200)
    cut = int(np.flatnonzero(np.diff(array["local_ts"]) > 0)[60]) + 1
    np.save(tmp_path / "z.npy", array[:cut])
    save(tmp_path / "a.npz", array[cut:])
    save(tmp_path / "all.npz", array)
    done = call(capsys, "import", "hftbacktest", tmp_path / "a.npz", tmp_path / "z.npy", "--out", tmp_path / "t", *GRID,
                "--symbol", "BTC", "--json")
    whole = call(capsys, "import", "hftbacktest", tmp_path / "all.npz", "--out", tmp_path / "t2", *GRID,
                 "--symbol", "BTC", "--json")
    assert (done.code, done.err) == (0, "")
    assert {**done.value, "snapshots": 0} == {**whole.value, "snapshots": 0}    # a run of rows may be cut in two
    assert done.value["instruments"] == [{"symbol": "BTC", "venue": "hftbacktest", "tick": "0.1", "lot": "0.001"}]


@pytest.mark.parametrize("price", [
    61800.1 + 1e-9, float(np.nextafter(61800.1, 1e9)), 61800.05, float("nan"), 1e300, 2.0**60,
])
def test_doubles_off_the_grid_are_errors(price: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a price that is rounded to a tick because it was nearly one; a wrong --tick that scales all of them."""
    array = stream(1, 40)
    array["ev"][20] = DEPTH | BUY | VENUE | LOCAL
    array["px"][20] = price
    path = save(tmp_path / "a.npz", array)
    done = call(capsys, "import", "hftbacktest", path, "--out", tmp_path / "t", *GRID, "--json")
    assert (done.code, done.error["where"], done.error["do"]) == (3, f"{path}, row 20", "Correct --tick")
    assert os.listdir(tmp_path) == ["a.npz"]


def test_each_double_nearest_to_a_grid_decimal_is_taken(tmp_path: Path) -> None:
    """Lost: prices such as 0.3, which no double is exactly, refused although they are what the venue meant."""
    ticks = np.random.default_rng(2).integers(1, 10**9, 5000)
    array = np.zeros(len(ticks), DTYPE)
    array["ev"], array["local_ts"], array["exch_ts"] = DEPTH | BUY | VENUE | LOCAL, START, START
    for step, exact in (("0.1", Decimal("0.1")), ("0.0005", Decimal("0.0005")), ("0.25", Decimal("0.25")),
                        ("0.00000001", Decimal("1e-8"))):
        array["px"] = [float(int(n) * exact) for n in ticks]
        import_hftbacktest([save(tmp_path / "a.npz", array)], tmp_path / "t", tick=[step], lot=["1"])
        with Tape.open(tmp_path / "t") as tape:
            assert tape.events()["price_ticks"].tolist() == ticks.tolist()


@pytest.mark.parametrize(("options", "where"), [
    ([], "--tick"), (["--tick", "0.1"], "--lot"), (["--lot", "0.1"], "--tick"),
    (["--tick", "x", "--lot", "1"], "--tick"), (["--tick", "OTHER=1", "--lot", "1"], "--tick"),
    (["--market", "x", *GRID], "--market"),
])
def test_grid_must_be_given(options: list[str], where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a guess at the grid from doubles."""
    save(tmp_path / "a.npz", stream(1, 10))
    done = call(capsys, "import", "hftbacktest", tmp_path / "a.npz", "--out", tmp_path / "t", "--json", *options)
    assert (done.code, done.error["code"], done.error["where"]) == (2, "usage", where)


BOTH = VENUE | LOCAL
GOOD = (DEPTH | BUY | BOTH, START, START, 1.0, 1.0)
BAD_ROWS = {
    "local time goes back": (DEPTH | BUY | BOTH, START + 9, START - 1, 1.0, 1.0),
    "venue time goes back": (DEPTH | BUY | BOTH, START - 1, START, 1.0, 1.0),
    "kind": (9 | BUY | BOTH, START, START, 1.0, 1.0),
    "neither side sees": (DEPTH | BUY, START, START, 1.0, 1.0),
    "both sides": (DEPTH | BUY | SELL | BOTH, START, START, 1.0, 1.0),
    "without a side": (DEPTH | BOTH, START, START, 1.0, 1.0),
    "negative quantity": (DEPTH | BUY | BOTH, START, START, 1.0, -1.0),
    "quantity nan": (DEPTH | BUY | BOTH, START, START, 1.0, float("nan")),
    "trade of no quantity": (TRADE | BUY | BOTH, START, START, 1.0, 0.0),
}


@pytest.mark.parametrize("what", BAD_ROWS)
def test_bad_rows_are_named(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: which of 15 million rows is wrong."""
    path = save(tmp_path / "a.npz", rows(GOOD, GOOD, BAD_ROWS[what], GOOD))
    done = call(capsys, "import", "hftbacktest", path, "--out", tmp_path / "t", "--tick", "1", "--lot", "1", "--json")
    assert (done.code, done.error["where"]) == (3, f"{path}, row 2")
    assert what.split()[-1] in done.error["what"] + "nan"
    assert os.listdir(tmp_path) == ["a.npz"]


def npz(**arrays: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


def npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


ARRAY = stream(5, 50)
FLOATS = ARRAY.astype([(n, "<f8") if n == "exch_ts" else (n, ARRAY.dtype[n]) for n in DTYPE.names or ()])
BAD_FILES = {
    "empty": b"",
    "text": b"ts,px\n1,2\n",
    "npy without rows": npy(ARRAY[:0]),
    "two arrays": npz(a=ARRAY, b=ARRAY),
    "no array": zipped("readme.txt", b"hello"),
    "plain floats": npy(np.zeros(9)),
    "two dimensions": npy(ARRAY.reshape(5, 10)),
    "objects": npy(np.array([{"a": 1}], dtype=object)),
    "other fields": npy(ARRAY[["ev", "px"]].copy()),
    "times in doubles": npy(FLOATS),
    "npy cut": npy(ARRAY)[:-9],
    "npy cut in its header": npy(ARRAY)[:40],
    "npz cut": npz(data=ARRAY)[:-30],
    "npz cut early": npz(data=ARRAY)[:100],
    "zip of a cut npy": zipped("data.npy", npy(ARRAY)[:-9]),
    "npz with a changed byte": (lambda b: b[:900] + bytes([b[900] ^ 1]) + b[901:])(npz(data=ARRAY)),
    "header of a future version": b"\x93NUMPY\x09\x00" + npy(ARRAY)[8:],
}


@pytest.mark.parametrize("what", BAD_FILES)
def test_bad_files_are_named_and_leave_nothing(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a traceback for a wrong file, or a tape of the part that could be read."""
    path = tmp_path / "a.npz"
    path.write_bytes(BAD_FILES[what])
    done = call(capsys, "import", "hftbacktest", path, "--out", tmp_path / "t", *GRID, "--json")
    assert (done.code, done.error["code"]) == (3, "input")
    assert done.error["where"].startswith(str(path))
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("seed", range(3))
def test_damaged_archives_give_only_the_documented_error(seed: int, tmp_path: Path,
                                                         capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a traceback for a kind of damage that nobody thought of."""
    rng, refused, path = random.Random(seed), 0, tmp_path / "a.npz"
    packed = io.BytesIO()
    np.savez_compressed(packed, data=ARRAY)
    for whole in (npz(data=ARRAY), packed.getvalue(), npy(ARRAY)):
        for _ in range(60):
            path.write_bytes(mutated(whole, rng))
            done = call(capsys, "import", "hftbacktest", path, "--out", tmp_path / "t", *GRID, "--json")
            if done.code != 0:
                refused += 1
                assert (done.code, str(path) in done.error["where"]) == (3, True), done
                assert os.listdir(tmp_path) == ["a.npz"]
            else:
                (tmp_path / "t").unlink()
    assert refused > 60
