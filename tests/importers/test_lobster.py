"""LOBSTER's recordings row by row, and small files by hand."""

from __future__ import annotations

import gzip
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apex._core.events import FLAGS, KINDS
from apex._core.l3 import L3Book
from apex.domain.errors import ApexError
from apex.importers.lobster import ANONYMOUS, import_lobster
from apex.importers.orders import OrderSummary
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.oracles.book import BUY, SELL

AAPL = "LOBSTER_SampleFile_AAPL_2012-06-21_1.zip"
AMZN = "LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"
HEAD = "AAPL_2012-06-21_34200000_57600000_{}_10.head.csv"
NAME = "XYZ_2012-06-21_34200000_57600000_{}_2.csv"
NAMES = {code: name for name, code in KINDS.items()}


def rows_of_text(text: bytes) -> list[list[bytes]]:
    return [line.split(b",") for line in text.splitlines() if line.strip()]


def parts(path: Path) -> tuple[list[list[bytes]], list[list[bytes]]]:
    """Messages and order-book rows of an archive, as text."""
    with zipfile.ZipFile(path) as archive:
        read = {n: archive.read(n) for n in archive.namelist()}
    return (rows_of_text(next(t for n, t in read.items() if "message" in n)),
            rows_of_text(next(t for n, t in read.items() if "orderbook" in n)))


def recorded(row: list[bytes], side: int, unit: int) -> list[tuple[int, int]]:
    """Levels of a side, in ticks of `unit` of the file's."""
    start = 2 if side == BUY else 0
    pairs = [(int(row[i]), int(row[i + 1])) for i in range(start, len(row), 4)]
    return [(price // unit, size) for price, size in pairs if size]


@pytest.mark.recordings
@pytest.mark.parametrize(("names", "count", "unit"), [
    ([AMZN], 155_935, 50), ([AAPL], 118_497, 50), ([HEAD.format("orderbook"), HEAD.format("message")], 999, 100)])
def test_the_book_is_the_recorded_one_after_every_message(
        names: list[str], count: int, unit: int, data_file: Callable[[str], Path], tmp_path: Path) -> None:
    """Lost otherwise: a replay of a market that was not the recorded one.

    The tape's book against every row of the order-book file, all levels; and what trades, adds and takes in all.
    """
    files = [data_file(f"l3/lobster/{name}") for name in names]
    if files[0].suffix == ".zip":
        messages, rows = parts(files[0])
    else:
        messages, rows = rows_of_text(files[1].read_bytes()), rows_of_text(files[0].read_bytes())
    summary = import_lobster(files, tmp_path / "t")
    assert (summary.messages, summary.book_rows, len(rows)) == (count, count, count)
    assert summary.book_rows_equal + summary.book_rows_revealed == count
    assert (summary.book_rows_wrong, summary.unknown_lots, summary.excess_lots, summary.crossed_books) == (0, 0, 0, 0)
    kinds = Counter(int(m[1]) for m in messages)
    assert summary.trades == kinds[4] + kinds[5]
    assert summary.hidden_executions == kinds[5]
    levels = len(rows[0]) // 4
    with Tape.open(tmp_path / "t") as tape:
        assert verify(tape).ok
        batches, book = tape.batches, L3Book()
        ends = np.searchsorted(batches["sequence"], np.arange(1, count + 1), "right").tolist()
        at, equal = 0, 0
        for row, end in zip(rows, ends, strict=True):
            if end > at:
                book.apply(batches[:end], tape.levels, tape.rows, start=at)
                at = end
            equal += all(book.book.levels(side, levels) == recorded(row, side, unit) for side in (BUY, SELL))
        assert equal == count
        assert (book.unknown, book.repeated, book.excess, book.book.negatives) == (0, 0, 0, 0)
        book._check()
        events = tape.events()
    for kind, codes in (("ORDER_EXECUTE", (4,)), ("TRADE", (5,))):
        mine = events[events["kind"] == KINDS[kind]]
        assert mine["quantity_lots"].sum() == sum(int(m[3]) for m in messages if int(m[1]) in codes)
    sent = events[(events["kind"] == KINDS["ORDER_ADD"]) & (events["order_id"] < ANONYMOUS)]
    assert sent["order_id"].tolist() == [int(m[2]) for m in messages if int(m[1]) == 1]


# ---- by hand ---------------------------------------------------------------------------------------------------------

BIDS_ASKS = "1010000,7,1000000,5,1020000,9,990000,6"
Rows = list[tuple[str, int, int, int, int, str]]


def write(folder: Path, messages: str, orderbook: str | None = None, name: str = NAME) -> list[Path]:
    made = []
    for what, text in (("message", messages), ("orderbook", orderbook)):
        if text is not None:
            made.append(folder / name.format(what))
            made[-1].write_text("\n".join(line.strip() for line in text.strip().splitlines()) + "\n")
    return made


def imported(tmp_path: Path, messages: str, orderbook: str | None = None, **options: Any) -> tuple[Rows, OrderSummary]:
    """Rows as (kind, id, side, ticks, lots, flags that matter), anonymous ids from -1 downwards."""
    summary = import_lobster(write(tmp_path, messages, orderbook), tmp_path / "t", **options)
    with Tape.open(tmp_path / "t") as tape:
        assert verify(tape).ok
        events = tape.events()
    found = []
    for e in events:
        id = int(e["order_id"])
        flags = "|".join(n for n in ("SNAPSHOT", "NOT_MARKET", "LAST_IN_BATCH") if e["flags"] & FLAGS[n])
        found.append((NAMES[int(e["kind"])], ANONYMOUS - 1 - id if id >= ANONYMOUS else id, int(e["side"]),
                      int(e["price_ticks"]), int(e["quantity_lots"]), flags))
    return found, summary


LAST, SIGHT, SEEN = "LAST_IN_BATCH", "SNAPSHOT", "SNAPSHOT|LAST_IN_BATCH"
SEEDED: Rows = [
    ("SNAPSHOT_BEGIN", 0, 0, 0, 0, ""), ("ORDER_ADD", -1, BUY, 100, 5, SIGHT), ("ORDER_ADD", -2, BUY, 99, 6, SIGHT),
    ("ORDER_ADD", -3, SELL, 101, 7, SIGHT), ("ORDER_ADD", -4, SELL, 102, 9, SEEN)]


def test_every_kind_of_message(tmp_path: Path) -> None:
    """Lost otherwise: a type of message read as another."""
    rows, summary = imported(tmp_path, """
        34200.5,5,0,3,1000000,1
        34200.6,1,77,4,1000000,1
        34200.6,2,77,1,1000000,1
        34200.7,4,77,2,1000000,1
        34200.7,3,77,1,1000000,1
        34200.8,6,0,50,1010000,-1
        34200.9,4,99,7,1010000,-1""", """
        1010000,7,1000000,5,1020000,9,990000,6
        1010000,7,1000000,9,1020000,9,990000,6
        1010000,7,1000000,8,1020000,9,990000,6
        1010000,7,1000000,6,1020000,9,990000,6
        1010000,7,1000000,5,1020000,9,990000,6
        1010000,7,1000000,5,1020000,9,990000,6
        1020000,9,1000000,5,1030000,2,990000,6""", tick=["1"])
    assert rows[:5] == SEEDED
    assert [r[:5] for r in rows[5:]] == [
        ("TRADE", 0, SELL, 100, 3), ("ORDER_ADD", 77, BUY, 100, 4), ("ORDER_DELETE", 77, BUY, 100, 1),
        ("ORDER_EXECUTE", 77, BUY, 100, 2), ("ORDER_DELETE", 77, BUY, 100, 1), ("TRADE", 0, 0, 101, 50),
        ("ORDER_EXECUTE", -3, SELL, 101, 7), ("ORDER_ADD", -5, SELL, 103, 2)]
    assert rows[10][5] == "NOT_MARKET|LAST_IN_BATCH"
    assert rows[11][5] == ""
    assert rows[12][5] == SEEN
    assert (summary.trades, summary.hidden_executions, summary.unknown_orders) == (4, 1, 1)
    assert (summary.book_rows_equal, summary.book_rows_revealed, summary.levels_revealed) == (6, 1, 1)


def test_the_seed_is_the_book_before_the_first_message(tmp_path: Path) -> None:
    """Lost otherwise: the first order counted twice, or what the first execution took missing."""
    first = {"1": ("1010000,7,1000000,9,1020000,9,990000,6", 5), "4": ("1010000,7,1000000,1,1020000,9,990000,6", 5),
             "3": ("1010000,7,990000,6,1020000,9,980000,8", 4)}
    for kind, (book, lots) in first.items():
        rows, _ = imported(tmp_path, f"34200.5,{kind},77,4,1000000,1", book, tick=["1"])
        assert ("ORDER_ADD", -1 if kind != "3" else -3, BUY, 100, lots, SIGHT) in [
            r if r[5] != SEEN else (*r[:5], SIGHT) for r in rows], kind


def test_levels_that_come_back_into_sight(tmp_path: Path) -> None:
    """Lost otherwise: orders that went unseen stay in the book for ever, or those that stayed lose their place."""
    rows, summary = imported(tmp_path, """
        34200.1,1,70,4,990000,1
        34200.2,1,71,2,990000,1
        34200.3,1,72,3,1005000,1
        34200.4,3,72,3,1005000,1
        34200.5,4,71,2,990000,1""", """
        1010000,7,1000000,5,1020000,9,990000,10
        1010000,7,1000000,5,1020000,9,990000,12
        1010000,7,1005000,3,1020000,9,1000000,5
        1010000,7,1000000,5,1020000,9,990000,8
        1010000,7,1000000,5,1020000,9,990000,6""", tick=["0.5"])
    assert [r[:5] for r in rows[-4:]] == [
        ("ORDER_ADD", 72, BUY, 201, 3), ("ORDER_DELETE", 72, BUY, 201, 3), ("ORDER_DELETE", 70, BUY, 198, 4),
        ("ORDER_EXECUTE", 71, BUY, 198, 2)]
    assert (summary.book_rows_equal, summary.book_rows_revealed, summary.book_rows_wrong) == (4, 1, 0)


def test_an_order_taken_for_gone_turns_up(tmp_path: Path) -> None:
    """Lost otherwise: more lots at a price than the recorded book has, when an order stands for another."""
    rows, summary = imported(tmp_path, """
        34200.1,1,70,4,990000,1
        34200.2,1,72,3,1005000,1
        34200.3,3,72,3,1005000,1
        34200.4,4,500,6,990000,1
        34200.5,4,501,1,990000,1""", """
        1010000,7,1000000,5,1020000,9,990000,10
        1010000,7,1005000,3,1020000,9,1000000,5
        1010000,7,1000000,5,1020000,9,990000,7
        1010000,7,1000000,5,1020000,9,990000,1
        1010000,7,1000000,5,1020000,9,980000,2""", tick=["0.5"])
    assert [r[:5] for r in rows[8:]] == [
        ("ORDER_DELETE", 70, BUY, 198, 3), ("ORDER_DELETE", 70, BUY, 198, 1), ("ORDER_ADD", -5, BUY, 198, 1),
        ("ORDER_EXECUTE", -2, BUY, 198, 6), ("ORDER_EXECUTE", -5, BUY, 198, 1), ("ORDER_ADD", -6, BUY, 196, 2)]
    assert (summary.unknown_lots, summary.book_rows_wrong) == (0, 0)


def test_a_recorded_book_that_disagrees_is_counted(tmp_path: Path) -> None:
    """Lost otherwise: an importer that adopts anything and calls it equal."""
    _, summary = imported(tmp_path, """
        34200.1,1,70,4,1000000,1
        34200.2,1,71,4,1000000,1""", """
        1010000,7,1000000,9,1020000,9,990000,6
        1010000,7,1000000,14,1020000,9,990000,6""")
    assert (summary.book_rows_equal, summary.book_rows_revealed, summary.book_rows_wrong) == (1, 0, 1)


def test_without_an_order_book_file(tmp_path: Path) -> None:
    """Lost otherwise: executions of unknown orders, which are trades all the same."""
    rows, summary = imported(tmp_path, """
        34200.1,1,70,4,1000000,1
        34200.2,4,500,6,990000,1
        34200.3,3,501,6,990000,1
        34200.4,4,70,4,1000000,1""", tick=["1"])
    assert [r[:5] for r in rows] == [("ORDER_ADD", 70, BUY, 100, 4), ("ORDER_EXECUTE", 500, BUY, 99, 6),
                                     ("ORDER_EXECUTE", 70, BUY, 100, 4)]
    assert (summary.unknown_orders, summary.unknown_lots, summary.book_rows, summary.trades) == (2, 12, 0, 2)


def test_a_halt_closes_the_book_until_trading_resumes(tmp_path: Path) -> None:
    """Lost otherwise: fills in a halted market, or a book that stays lost after it."""
    rows, summary = imported(tmp_path, """
        34200.1,1,70,4,1000000,1
        34300.1,7,0,0,-1,-1
        34300.2,1,71,2,1000000,1
        34300.3,7,0,0,0,-1
        34300.4,7,0,0,1,-1
        34300.5,1,72,1,1000000,1""", tick=["1"])
    assert [r[:5] for r in rows] == [
        ("ORDER_ADD", 70, BUY, 100, 4), ("LINK_DOWN", 0, 0, 0, 0), ("ORDER_ADD", 71, BUY, 100, 2),
        ("LINK_UP", 0, 0, 0, 0), ("SNAPSHOT_BEGIN", 0, 0, 0, 0), ("ORDER_ADD", 70, BUY, 100, 4),
        ("ORDER_ADD", 71, BUY, 100, 2), ("ORDER_ADD", 72, BUY, 100, 1)]
    assert summary.halts == 1
    with Tape.open(tmp_path / "t") as tape:
        book = L3Book()
        book.apply(tape.batches, tape.levels, tape.rows)
        assert (book.book.synced, book.queue(BUY, 100)) == (True, [(70, 4), (71, 2), (72, 1)])


def test_times_grids_and_days(tmp_path: Path) -> None:
    """Lost otherwise: nanoseconds, an hour of daylight saving, or a day's orders that live on into the next."""
    summer = write(tmp_path, "34200.017459617,1,70,4,1000050,1")
    winter = write(tmp_path, "34200.5,1,70,4,1000000,1", name=NAME.replace("2012-06-21", "2012-12-21"))
    summary = import_lobster([*winter, *summer], tmp_path / "t")
    assert summary.instruments == [{"symbol": "XYZ", "venue": "nasdaq", "tick": "0.005", "lot": "1"}]
    with Tape.open(tmp_path / "t") as tape:
        events = tape.events()
    assert events["ts_local_ns"].tolist() == [1_340_285_400_017_459_617] + [1_356_100_200_500_000_000] * 2
    assert [NAMES[int(k)] for k in events["kind"]] == ["ORDER_ADD", "BOOK_CLEAR", "ORDER_ADD"]


def test_compressed_files_and_archives_are_the_same(tmp_path: Path) -> None:
    """Lost otherwise: a tape that depends on how its recording was packed."""
    plain = write(tmp_path, "34200.1,1,70,4,1000000,1", "1010000,7,1000000,9,1020000,9,990000,6")
    hashes = {import_lobster(plain, tmp_path / "t").content_hash}
    packed = []
    for path in plain:
        packed.append(path.with_name(path.name + ".gz"))
        packed[-1].write_bytes(gzip.compress(path.read_bytes()))
    hashes.add(import_lobster(packed, tmp_path / "t").content_hash)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("ReadMe.txt", "words")
        for path in plain:
            archive.write(path, f"folder/{path.name}")
    hashes.add(import_lobster([tmp_path / "all.zip"], tmp_path / "t").content_hash)
    assert len(hashes) == 1


BOOK = "1010000,7,1000000,9,1020000,9,990000,6"


@pytest.mark.parametrize(("messages", "orderbook", "where", "words"), [
    ("34200.1,1,70,4,1000000,1\n34200.2,1,7x,4,1000000,1", None, "message_2.csv:2", "invalid literal"),
    ("34200.2,1,70,4,1000000,1\n\n34200.1,1,71,4,1000000,1", None, "message_2.csv:3", "time goes back"),
    ("34200.1,8,70,4,1000000,1", None, "message_2.csv:1", "type 1 to 7"),
    ("34200.1,1,70,0,1000000,1", None, "message_2.csv:1", "size > 0"),
    ("34200.1,1,70,4,1000000", None, "message_2.csv:1", "not enough values"),
    ("", None, "message_2.csv", "empty message file"),
    ("34200.1,1,70,4,1000000,1", f"{BOOK}\n{BOOK}", "orderbook_2.csv", "one row a message"),
    ("34200.1,1,70,4,1000000,1\n34200.1,1,71,4,1000000,1", BOOK, "orderbook_2.csv", "one row a message"),
    ("34200.1,1,70,4,1000000,1", BOOK + ",5", "orderbook_2.csv:1", "9 columns"),
    ("34200.1,1,70,4,1000000,1", BOOK.replace("7", "y"), "orderbook_2.csv:1", "invalid literal"),
])
def test_damage_names_file_and_line(messages: str, orderbook: str | None, where: str, words: str,
                                    tmp_path: Path) -> None:
    """Lost otherwise: an hour's search in a file of a million lines, or a tape of half a recording."""
    (tmp_path / "t").write_text("an older tape")
    with pytest.raises(ApexError, match=words) as caught:
        import_lobster(write(tmp_path, messages, orderbook), tmp_path / "t")
    assert caught.value.where.endswith(where)
    assert (tmp_path / "t").read_text() == "an older tape"
    assert len(list(tmp_path.iterdir())) <= 3


@pytest.mark.parametrize(("options", "words"), [
    ({"tick": ["0.02"]}, "price 1000100 is off the grid"), ({"lot": ["5"]}, "size 4 is off the grid"),
    ({"tick": ["0"]}, "not > 0"), ({"tick": ["ABC=0.01"]}, "of ABC")])
def test_wrong_grids(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    """Lost otherwise: prices rounded to a grid that somebody misspelt."""
    with pytest.raises(ApexError, match=words):
        import_lobster(write(tmp_path, "34200.1,1,70,4,1000100,1"), tmp_path / "t", **options)


def test_wrong_files(tmp_path: Path) -> None:
    """Lost otherwise: symbols mixed on a tape, or a message about anything but the files."""
    one = write(tmp_path, "34200.1,1,70,4,1000000,1", BOOK)
    other = write(tmp_path, "34200.1,1,70,4,1000000,1", name=NAME.replace("XYZ", "ABC"))
    (tmp_path / "plain.csv").write_text("34200.1,1,70,4,1000000,1")
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 nothing")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("ReadMe.txt", "words")
    again = tmp_path / "again"
    again.mkdir()
    cases = [([*one, *other], "is not ABC"), ([tmp_path / "plain.csv"], "tells no symbol"),
             ([one[1]], "no message file"), ([tmp_path / "x.zip"], "damaged zip"),
             ([tmp_path / "empty.zip"], "no message file"),
             ([one[0], *write(again, "34200.1,1,70,4,1000000,1")], "a second message file"),
             ([tmp_path / "absent.csv"], "cannot read"), ([tmp_path], "folder")]
    for files, words in cases:
        with pytest.raises(ApexError, match=words):
            import_lobster(files, tmp_path / "t")
    with pytest.raises(ApexError, match="would replace"):
        import_lobster(one, one[0])
