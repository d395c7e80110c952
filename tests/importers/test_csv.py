"""Tables of columns: every form against csv and Decimal, and what is said of a wrong map or a damaged row."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from apex._core.events import FLAGS, KINDS
from apex.domain.errors import ConfigError
from apex.importers.csv import import_csv, parse_columns
from apex.store.bbo import touches
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.app.commands import call

_KIND = {code: name for name, code in KINDS.items()}
T = 1_600_000_000


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """(kind, local ns, venue ns, side, price, quantity, sequence, closes its message) of every row."""
    with Tape.open(path) as tape:
        assert verify(tape).ok
        x = tape.instruments[0]
        return [(_KIND[int(r["kind"])], int(r["ts_local_ns"]), int(r["ts_exchange_ns"]), " BS"[int(r["side"])],
                 x.price(int(r["price_ticks"])), x.quantity(int(r["quantity_lots"])), int(r["sequence"]),
                 bool(r["flags"] & FLAGS["LAST_IN_BATCH"])) for r in tape.events()]


def made(folder: Path, text: str, columns: str, **options: Any) -> list[tuple[Any, ...]]:
    """Rows of a table."""
    path = folder / "table.csv"
    path.write_text(text)
    import_csv([path], folder / "t.tape", columns=columns, **{"tick": ["0.5"], "lot": ["0.1"], **options})
    return rows_of(folder / "t.tape")


def test_trades_in_every_unit_of_time(tmp_path: Path) -> None:
    """Lost: trades at a thousandth of their time, or their sides."""
    units = (("", "buy"), ("000", "S"), ("000000", ""), ("000000000", "-1"))
    text = "when,px,amount,who,id\n" + "".join(
        f"{T}{unit},{100 + i}.5,0.{i + 1},{side},{i}\n" for i, (unit, side) in enumerate(units))
    found = made(tmp_path, text, "ts=when,price=px,quantity=amount,side=who,sequence=id")
    assert found == [("TRADE", T * 10**9, T * 10**9, side, f"{100 + i}.5", f"0.{i + 1}", i, i == 3)
                     for i, side in enumerate("BS S")]


def test_times_as_text_and_two_clocks(tmp_path: Path) -> None:
    """Lost: the feed's latency, where a table has both times; or a date without its zone."""
    text = ("ts,ts_venue,price,quantity,buyer_maker\n2020-09-13T12:26:40.5Z,2020-09-13 12:26:40.25+00:00,1,1,true\n"
            "1600000041.000000001,1600000040.75,1,2,false\n")
    assert [(row[1] - T * 10**9, row[2] - T * 10**9, row[3]) for row in made(tmp_path, text, "")] == [
        (500_000_000, 250_000_000, "S"), (41_000_000_001, 40_750_000_000, "B")]


def test_levels_with_and_without_snapshots(tmp_path: Path) -> None:
    """Lost: a book that never gets in sync, since no snapshot ever comes; or deltas before the first that does come."""
    text = f"ts,side,price,quantity\n{T},bid,1,2\n{T},ask,2,3\n{T + 1},b,1,0\n"
    found = made(tmp_path, text, "kind=level")
    assert [(row[0], *row[3:6], row[7]) for row in found] == [
        ("BOOK_LEVEL", "B", "1", "2", False), ("BOOK_LEVEL", "S", "2", "3", True), ("BOOK_LEVEL", "B", "1", "0", True)]
    with Tape.open(tmp_path / "t.tape") as tape:
        assert tape.header["synced_from_start"]
        assert touches(tape, 0, [T * 10**9 + 1])[0].bid_ticks == 2
    text = (f"ts,side,price,quantity,first\n{T},bid,9,9,false\n{T + 1},bid,1,2,true\n{T + 2},ask,2,3,True\n"
            f"{T + 2},bid,1,5,0\n{T + 3},bid,1,7,1\n")
    found = made(tmp_path, text, "snapshot=first")
    assert [(row[0], *row[3:6]) for row in found] == [
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1", "2"), ("BOOK_LEVEL", "S", "2", "3"),
        ("BOOK_LEVEL", "B", "1", "5"), ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1", "7")]


def test_one_table_of_several_kinds(tmp_path: Path) -> None:
    """Lost: the order of trades and levels of one recording in one table."""
    text = f"ts,kind,side,price,quantity\n{T},snap,b,1,2\n{T},TRADE,buy,2,1\n{T},set,a,2,0.5\n"
    assert [row[0] for row in made(tmp_path, text, "")] == ["SNAPSHOT_BEGIN", "BOOK_LEVEL", "TRADE", "BOOK_LEVEL"]


def test_columns_by_number_without_a_header(tmp_path: Path) -> None:
    """Lost: tables without names, whose first row would be taken for them."""
    found = made(tmp_path, f"{T},x,7,0.3\n{T + 1},y,8,0.4\n", "ts=0,price=2,quantity=3")
    assert [(row[4], row[5]) for row in found] == [("7", "0.3"), ("8", "0.4")]
    assert [row[4] for row in made(tmp_path, f"a,b,c,d\n{T},x,7,0.3\n", "ts=0,price=2,quantity=3")] == ["7"]


def test_several_files_merge_by_local_time(tmp_path: Path) -> None:
    """Lost: months of one symbol given in any order."""
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(f"ts,price,quantity\n{T},1,1\n{T + 9},1,3\n".encode()))
    (tmp_path / "a.csv").write_text(f'ts,price,quantity\n"{T + 5}","1",2\n')
    summary = import_csv([tmp_path / "a.csv", tmp_path / "b.csv.gz"], tmp_path / "t", columns="", tick=["1"], lot=["1"])
    assert [row[5] for row in rows_of(tmp_path / "t")] == ["1", "2", "3"]
    assert (summary.messages, summary.trades, summary.instruments) == (
        3, 3, [{"symbol": "a", "venue": "csv", "tick": "1", "lot": "1"}])


@pytest.mark.recordings
def test_forex_quotes_are_those_of_the_table(data_file: Callable[[str], Path], tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: quotes without quantities, which is how the foreign exchange market is told."""
    path = data_file("ticks/forex/truefx_usdjpy-ticks.csv.gz")
    done = call(capsys, "import", "csv", path, "--out", tmp_path / "t", "--columns", "ts=timestamp", "--tick", "0.001",
                "--lot", "1", "--symbol", "USDJPY", "--json")
    assert (done.code, done.value["book_tickers"], done.value["messages"]) == (0, 1000, 1000)
    found = rows_of(tmp_path / "t")
    wanted = []
    with gzip.open(path, "rt") as stream:
        for row in csv.DictReader(stream):
            at = round(datetime.fromisoformat(row["timestamp"]).timestamp() * 1e6) * 1000
            wanted += [("QUOTE", at, "B", Decimal(row["bid"])), ("QUOTE", at, "S", Decimal(row["ask"]))]
    assert [(row[0], row[1], row[3], Decimal(row[4])) for row in found] == wanted
    assert {row[5] for row in found} == {"0"}


@pytest.mark.recordings
def test_binances_depth_tables_are_read_by_their_names(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost: a public form of depth data, a snapshot and its updates in two files."""
    files = [data_file(f"ticks/tardis/binance-spot_btcusdt-depth-{name}.csv") for name in ("snap", "update")]
    summary = import_csv(files, tmp_path / "t", symbol="BTCUSDT", tick=["0.1"], lot=["0.001"],
                         columns="ts=timestamp,kind=update_type,quantity=qty,sequence=last_update_id")
    assert (summary.snapshots, summary.snapshot_levels, summary.level_updates) == (1, 100, 100)
    sides: dict[str, dict[Decimal, Decimal]] = {"b": {}, "a": {}}
    for file in files:
        for row in csv.DictReader(file.read_text().splitlines()):
            side = sides[row["side"]]
            side[Decimal(row["price"])] = Decimal(row["qty"])
            if not Decimal(row["qty"]):
                del side[Decimal(row["price"])]
    with Tape.open(tmp_path / "t") as tape:
        touch = touches(tape, 0, [tape.header["last_ts"]])[0]
        x = tape.instruments[0]
        assert Decimal(x.price(touch.bid_ticks or 0)) == max(sides["b"])
        assert Decimal(x.price(touch.ask_ticks or 0)) == min(sides["a"])
        assert (touch.bid_levels, touch.ask_levels) == (len(sides["b"]), len(sides["a"]))


@pytest.mark.parametrize(("text", "what"), [
    ("price", "names no column"), ("price=", "names no column"), ("prise=px", "no field"),
    ("ts=a,ts=b", "twice"),
])
def test_a_wrong_map_is_refused(text: str, what: str) -> None:
    """Lost: a column taken for another, silently."""
    with pytest.raises(ConfigError, match=what):
        parse_columns(text)
    if text.startswith("prise"):
        with pytest.raises(ConfigError) as error:
            parse_columns(text)
        assert error.value.do == "Did you mean price?"


BAD = {
    "no such column": ("ts,price,quantity", f"{T},1,1", "quantity=size", 2, "--columns"),
    "no time": ("when,price,quantity", f"{T},1,1", "", 2, "--columns"),
    "no quantity": ("ts,price", f"{T},1", "", 2, "--columns"),
    "no side of a level": ("ts,price,quantity", f"{T},1,1", "kind=level", 2, "--columns"),
    "off the grid": ("ts,price,quantity", f"{T},1.3,1", "", 3, "table.csv:2"),
    "no number": ("ts,price,quantity", f"{T},one,1", "", 3, "table.csv:2"),
    "no date": ("ts,price,quantity", "monday,1,1", "", 3, "table.csv:2"),
    "a short row": ("ts,price,quantity", f"{T},1", "", 3, "table.csv:2"),
    "a time of five thousand digits": ("ts,price,quantity", f"{'9' * 5_000},1,1", "", 3, "table.csv:2"),
    "a carriage return": ("ts,price,quantity", f"{T},1\r,1", "", 3, "table.csv:2"),
    "a carriage return in the header": ("ts,pr\rice,quantity", f"{T},1,1", "", 3, "table.csv:1"),
    "an unknown side": ("ts,price,quantity,side", f"{T},1,1,up", "", 3, "table.csv:2"),
    "an unknown kind": ("ts,price,quantity,kind", f"{T},1,1,what", "", 3, "table.csv:2"),
    "neither true nor false": ("ts,price,quantity,snapshot,side", f"{T},1,1,maybe,b", "", 3, "table.csv:2"),
    "time goes back": ("ts,price,quantity", f"{T},1,1\n{T - 1},1,1", "", 3, "table.csv:3"),
    "nothing": ("", "", "", 3, "table.csv"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_tables_name_the_place(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an error without its line, or a tape of half a table."""
    header, row, columns, code, where = BAD[name]
    (tmp_path / "table.csv").write_text(f"{header}\n{row}\n".lstrip())
    done = call(capsys, "import", "csv", tmp_path / "table.csv", "--out", tmp_path / "t", "--tick", "0.5", "--lot", "1",
                "--columns", columns, "--json")
    assert done.code == code
    assert done.error["where"].endswith(where)
    assert not (tmp_path / "t").exists()


def test_the_grid_must_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a guessed grid for a table that may be of three trades."""
    (tmp_path / "table.csv").write_text(f"ts,price,quantity\n{T},1,1\n")
    words = ("import", "csv", tmp_path / "table.csv", "--out", tmp_path / "t", "--json")
    done = call(capsys, *words, "--tick", "0.5")
    assert (done.code, done.error["where"]) == (2, "--lot")
    done = call(capsys, *words, "--tick", "table=0.5", "--lot", "1")
    assert (done.code, done.value["instruments"][0]["symbol"]) == (0, "table")
