"""Tardis's tables against csv and Decimal, the rules on tables written by hand, and what is said of damage."""

from __future__ import annotations

import csv
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from apex._core.book import Book
from apex._core.events import FLAGS, KINDS
from apex.importers.tardis import import_tardis
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.app.commands import call

_KIND = {code: name for name, code in KINDS.items()}
T = 1_600_000_000_000_000
BOOK = "exchange,symbol,timestamp,local_timestamp,is_snapshot,side,price,amount\n"
TRADES = "exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n"
QUOTES = "exchange,symbol,timestamp,local_timestamp,ask_amount,ask_price,bid_price,bid_amount\n"
TICKERS = ("exchange,symbol,timestamp,local_timestamp,funding_timestamp,funding_rate,predicted_funding_rate,"
           "open_interest,last_price,index_price,mark_price\n")
TOPS = "exchange,symbol,timestamp,local_timestamp,asks[0].price,asks[0].amount,bids[0].price,bids[0].amount\n"


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """(kind, local us, venue us, side, price, quantity) of every row."""
    with Tape.open(path) as tape:
        assert verify(tape).ok
        x = tape.instruments[0]
        return [(_KIND[int(r["kind"])], int(r["ts_local_ns"]) // 1000, int(r["ts_exchange_ns"]) // 1000,
                 " BS"[int(r["side"])], x.price(int(r["price_ticks"])), x.quantity(int(r["quantity_lots"])))
                for r in tape.events()]


def table(path: Path, header: str, *rows: str) -> Path:
    path.write_text(header + "".join(f"x,AB,{row}\n" for row in rows))
    return path


def words(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [(row[0], *row[3:]) for row in rows]


def test_tables_merge_by_local_time_trades_first(tmp_path: Path) -> None:
    """Lost: what was known when; or a trade after the level that shows what it took."""
    files = [
        table(tmp_path / "book", BOOK, f"{T},{T + 10},true,bid,1.5,2", f"{T},{T + 10},true,ask,2,3",
              f"{T + 5},{T + 20},false,ask,2,1", f"{T + 6},{T + 20},false,bid,1.5,0", f"{T + 8},{T + 30},true,bid,1,4",
              f"{T + 9},{T + 31},true,ask,3,4", f"{T + 9},{T + 40},false,ask,3,5"),
        table(tmp_path / "trades", TRADES, f"{T + 4},{T + 20},77,buy,2,2", f"{T + 4},{T + 20},u-u,unknown,2,1.5"),
        table(tmp_path / "quotes", QUOTES, f"{T + 1},{T + 15},3,2,1.5,2", f"{T + 2},{T + 16},3,2,,"),
        table(tmp_path / "tickers", TICKERS, f"{T},{T + 12},{T + 99},0.0001,,5,2,1.9,1.75",
              f"{T},{T + 13},,,,5,2,,"),
    ]
    summary = import_tardis(files, tmp_path / "t")
    assert words(rows_of(tmp_path / "t")) == [
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1.5", "2"), ("BOOK_LEVEL", "S", "2", "3"),
        ("MARK", " ", "2", "-12500000"), ("MARK", " ", "2", "-5000000"),
        ("QUOTE", "B", "1.5", "2"), ("QUOTE", "S", "2", "3"), ("QUOTE", "S", "2", "3"),
        ("TRADE", "B", "2", "2"), ("TRADE", " ", "2", "1.5"),
        ("BOOK_LEVEL", "B", "1.5", "0"), ("BOOK_LEVEL", "S", "2", "1"),
        ("SNAPSHOT_BEGIN", " ", "0", "0"), ("BOOK_LEVEL", "B", "1", "4"), ("BOOK_LEVEL", "S", "3", "4"),
        ("BOOK_LEVEL", "S", "3", "5")]
    with Tape.open(tmp_path / "t") as tape:
        events = tape.events()
        assert (events["aux"][events["aux"] != 0]).tolist() == [100_000_000, (T + 99) * 1000]
        assert (events["sequence"][events["kind"] == KINDS["TRADE"]]).tolist() == [77, 0]
        snapshot = events["flags"] & FLAGS["SNAPSHOT"] != 0
        assert snapshot.tolist() == [i in (1, 2, 13, 14) for i in range(16)]
        assert [(x.symbol, x.venue, x.tick, x.lot, x.kind) for x in tape.instruments] == [
            ("AB", "x", "0.5", "0.5", "linear")]
    s = summary
    assert (s.messages, s.snapshots, s.snapshot_levels, s.level_updates, s.trades, s.book_tickers, s.mark_prices,
            s.ignored_messages, s.synced) == (13, 2, 4, 3, 2, 2, 1, 1, True)


def test_changes_before_the_first_snapshot_are_counted_not_taken(tmp_path: Path) -> None:
    """Lost: a book of the few levels that happened to change."""
    path = table(tmp_path / "book", BOOK, f"{T},{T},false,bid,1,2", f"{T},{T + 1},true,bid,2,2")
    summary = import_tardis([path], tmp_path / "t")
    assert (summary.level_updates, summary.level_updates_applied) == (1, 0)
    assert [row[0] for row in rows_of(tmp_path / "t")] == ["SNAPSHOT_BEGIN", "BOOK_LEVEL"]


def test_whole_tops_are_told_as_changes(tmp_path: Path) -> None:
    """Lost: features and queues that begin again with each of ten books a second."""
    path = table(tmp_path / "tops", TOPS, f"{T},{T},3,1,2,1", f"{T + 1},{T + 1},3,1,2.5,1", f"{T},{T + 2},3,4,2.5,1",
                 f"{T + 3},{T + 3},,,2.5,1")
    summary = import_tardis([path], tmp_path / "t")
    assert rows_of(tmp_path / "t") == [
        ("SNAPSHOT_BEGIN", T, T, " ", "0", "0"), ("BOOK_LEVEL", T, T, "B", "2", "1"),
        ("BOOK_LEVEL", T, T, "S", "3", "1"),
        ("BOOK_LEVEL", T + 1, T + 1, "B", "2", "0"), ("BOOK_LEVEL", T + 1, T + 1, "B", "2.5", "1"),
        ("BOOK_LEVEL", T + 2, T + 1, "S", "3", "4"), ("BOOK_LEVEL", T + 3, T + 3, "S", "3", "0")]
    assert (summary.snapshots, summary.venue_time_steps_back) == (4, 1)


@pytest.mark.recordings
@pytest.mark.parametrize(("name", "kind"), [
    ("binance-futures_book_snapshot_25_BTCUSDT.csv", "linear"),
    ("binance-futures_book_snapshot_5_BTCUSDT.csv", "linear"),
    ("bitmex_trades_XBTUSD.csv", "inverse"), ("deribit_incremental_book_L2_BTC-PERPETUAL.csv", "inverse"),
    ("huobi-dm-swap_quotes_BTC-USD.csv", "inverse"),
])
def test_each_table_is_as_csv_reads_it(name: str, kind: str, data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost: a cell of a table of each form taken for another's."""
    path = data_file(f"ticks/tardis/{name}")
    summary = import_tardis([path], tmp_path / "t")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert summary.messages == len(rows)
    with Tape.open(tmp_path / "t") as tape:
        assert verify(tape).ok
        x = tape.instruments[0]
        assert (x.symbol, x.venue, x.kind) == (rows[0]["symbol"], rows[0]["exchange"], kind)
        events = tape.events()
        times = {(int(r["timestamp"]) * 1000, int(r["local_timestamp"]) * 1000) for r in rows}
        assert {(int(e["ts_exchange_ns"]), int(e["ts_local_ns"])) for e in events} == times

        def exact(event: Any) -> tuple[Decimal, Decimal]:
            return Decimal(x.price(int(event["price_ticks"]))), Decimal(x.quantity(int(event["quantity_lots"])))

        if "trades" in name:
            assert [(*exact(e), " BS"[int(e["side"])]) for e in events] == [
                (Decimal(r["price"]), Decimal(r["amount"]), r["side"][0].upper()) for r in rows]
        elif "quotes" in name:
            assert [exact(e) for e in events] == [
                (Decimal(r[f"{side}_price"]), Decimal(r[f"{side}_amount"])) for r in rows for side in ("bid", "ask")]
        elif "incremental" in name:
            levels = events[events["kind"] == KINDS["BOOK_LEVEL"]]
            assert sorted((*exact(e), int(e["side"])) for e in levels) == sorted(
                (Decimal(r["price"]), Decimal(r["amount"]), 1 if r["side"] == "bid" else 2) for r in rows)
        else:
            depth = int(name.split("_")[3])
            for r in rows:
                book = Book(synced=False)
                book.apply(tape.batches, tape.levels, tape.rows, until=int(r["local_timestamp"]) * 1000)
                for side, word in ((1, "bids"), (2, "asks")):
                    wanted = [(Decimal(r[f"{word}[{i}].price"]), Decimal(r[f"{word}[{i}].amount"]))
                              for i in range(depth)]
                    found = [(Decimal(x.price(t)), Decimal(x.quantity(q))) for t, q in book.levels(side)]
                    assert found == wanted


BAD: dict[str, tuple[str, str, list[str], str, int]] = {
    "a foreign header": ("form", "a,b,c\n", [f"{T},{T},1"], "1", 3),
    "another symbol": ("symbol", TRADES, [f"{T},{T},1,buy,1,1", f"{T},{T},1,buy,1,1"], "3", 3),
    "time goes back": ("order", TRADES, [f"{T},{T + 1},1,buy,1,1", f"{T},{T},1,buy,1,1"], "3", 3),
    "a cell too few": ("form", TRADES, [f"{T},{T + 1},1,buy,1"], "2", 3),
    "no number": ("number", TRADES, [f"{T},{T + 1},1,buy,1,x"], "2", 3),
    "an unknown side": ("form", TRADES, [f"{T},{T + 1},1,up,1,1"], "2", 3),
    "no time": ("time", TRADES, [f"{T},soon,1,buy,1,1"], "2", 3),
    "a time of five thousand digits": ("time", TRADES, [f"{'9' * 5_000},{T},1,buy,1,1"], "2", 3),
    "a price of five thousand digits": ("number", TRADES, [f"{T},{T},1,buy,{'9' * 5_000},1"], "2", 3),
    "a level without a side": ("form", BOOK, [f"{T},{T},true,,1,1"], "2", 3),
    "neither true nor false": ("form", BOOK, [f"{T},{T},perhaps,bid,1,1"], "2", 3),
}


@pytest.mark.parametrize("name", BAD)
def test_damage_is_named_with_file_and_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an error that nobody finds in a day's table."""
    code, header, rows, line, exit_code = BAD[name]
    path = table(tmp_path / "x.csv", header, *rows)
    if name == "another symbol":
        path.write_text(path.read_text().replace("x,AB", "x,CD", 1))
    done = call(capsys, "import", "tardis", path, "--out", tmp_path / "t", "--json")
    assert (done.code, done.error["where"]) == (exit_code, f"{path}:{line}")
    assert code in (done.error["code"], "form")
    assert not (tmp_path / "t").exists()


def test_one_symbol_is_chosen_and_two_books_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: grouped tables, which hold many symbols; or a book told twice."""
    path = table(tmp_path / "x.csv", TRADES, f"{T},{T},1,buy,1,1", f"{T},{T},2,buy,3,1")
    path.write_text(path.read_text().replace("x,AB", "x,CD", 1))
    done = call(capsys, "import", "tardis", path, "--out", tmp_path / "t", "--symbol", "AB", "--market", "cm", "--json")
    assert (done.code, done.value["trades"], done.value["ignored_messages"]) == (0, 1, 1)
    with Tape.open(tmp_path / "t") as tape:
        assert tape.instruments[0].kind == "inverse"
    books = [table(tmp_path / "a", BOOK, f"{T},{T},true,bid,1,1"), table(tmp_path / "b", TOPS, f"{T},{T},3,1,2,1")]
    done = call(capsys, "import", "tardis", *books, "--out", tmp_path / "t", "--json")
    assert (done.code, "two tables of one book" in done.error["what"]) == (2, True)
