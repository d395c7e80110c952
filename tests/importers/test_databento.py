"""Databento's recordings against plain Python and against each other, and small files by hand."""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apex._core.events import FLAGS, KINDS
from apex._core.l3 import L3Book
from apex.domain.errors import ApexError
from apex.importers.databento import import_databento
from apex.importers.dbn import Reader
from apex.importers.orders import OrderSummary
from apex.store.bbo import touches
from apex.store.tape import Tape
from apex.store.verify import verify
from tests.importers.dbn_files import NO_PRICE, T0, mbo, metadata, other, trade, write
from tests.oracles.book import BUY, SELL, DictBook

FOLDER = "l3/databento/"
MBO_24, MBO_25 = (f"{FOLDER}esh4-glbx-mdp3-202312{day}.mbo.dbn.zst" for day in (24, 25))
MBP = FOLDER + "futures_mbp-1_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
TRADES = FOLDER + "futures_trades_2024-07-01T23-58_2024-07-02T00-02.dbn.zst"
BARS = FOLDER + "futures_ohlcv-1m_2024-07-01T23-40_2024-07-02T00-10.dbn.zst"
NAMES = {code: name for name, code in KINDS.items()}
Files = Callable[[str], Path]


def records(path: Path) -> list[dict[str, Any]]:
    """All records as plain dicts."""
    return [dict(zip(array.dtype.names, row, strict=True)) for _, array in Reader(path).runs()
            for row in array.tolist()]


def taken(path: Path) -> tuple[Any, OrderSummary, L3Book]:
    """Rows of a tape and its book."""
    with Tape.open(path) as tape:
        assert verify(tape).ok
        book = L3Book(synced=False)
        book.apply(tape.batches, tape.levels, tape.rows)
        book._check()
        return tape.events(), OrderSummary(), book


@pytest.mark.recordings
def test_the_snapshot_of_a_day(data_file: Files, tmp_path: Path) -> None:
    """Lost otherwise: the book that a session begins with."""
    summary = import_databento([data_file(MBO_24)], tmp_path / "t")
    assert (summary.messages, summary.order_updates, summary.snapshots, summary.synced) == (8725, 8725, 1, True)
    assert (summary.snapshot_steps_back, summary.sequence_steps_back, summary.unknown_orders) == (1684, 0, 0)
    assert summary.instruments == [{"symbol": "ESH4", "venue": "glbx", "tick": "0.25", "lot": "1"}]
    _, _, book = taken(tmp_path / "t")
    assert len(book) == 8725
    assert book.book.bid_ticks < book.book.ask_ticks  # type: ignore[operator]


@pytest.mark.recordings
def test_a_day_of_orders_against_plain_python(data_file: Files, tmp_path: Path) -> None:
    """Lost otherwise: orders with sizes that were never theirs, ids that nobody knows, or an L2 book unlike the orders.

    Each record of the session by dicts; best prices and their lots after each event.
    """
    rows = records(data_file(MBO_25))
    summary = import_databento([data_file(MBO_25)], tmp_path / "t")
    actions = Counter(r["action"] for r in rows)
    assert actions == {b"A": 29216, b"C": 17999, b"M": 12233, b"T": 2973, b"F": 6371}
    assert (summary.messages, summary.trades) == (68_792, 2973)
    assert summary.order_updates == 68_792 - 2973
    assert (summary.sequence_gaps, summary.sequence_steps_back, summary.snapshot_steps_back) == (0, 0, 1684)
    events, _, ours = taken(tmp_path / "t")
    orders: dict[int, list[int]] = {}
    levels = DictBook()
    unknown, want, taker, own = Counter[bytes](), {}, (0, 0), 0
    for r in rows:
        id, side, ticks = r["order_id"], BUY if r["side"] == b"B" else SELL, r["price"] // 250_000_000
        changed = set()
        if r["action"] == b"T":
            taker = r["ts_event"], id
        own += r["action"] == b"F" and taker == (r["ts_event"], id)
        if r["action"] in (b"C", b"M", b"F") and id not in orders:
            unknown[r["action"]] += 1
            continue
        if r["action"] in (b"C", b"M"):
            before = orders.pop(id)
            left = before[2] - r["size"] if r["action"] == b"C" else r["size"]
            assert left >= 0
            assert r["action"] == b"M" or (before[:2] == [side, ticks])
            changed.add((before[0], before[1], -before[2]))
            if left:
                orders[id] = [before[0], ticks, left]
                changed.add((before[0], ticks, left))
        elif r["action"] == b"A":
            assert id not in orders
            orders[id] = [side, ticks, r["size"]]
            changed.add((side, ticks, r["size"]))
        for one, price, more in changed:
            levels.set(one, price, levels.sides[one].get(price, 0) + more)
            assert levels.sides[one].get(price, 0) >= 0
        want[r["ts_recv"]] = [(levels.best(s), levels.sides[s].get(levels.best(s), 0)) for s in (BUY, SELL)]
    assert unknown == {b"F": 7}                      # of the opening auction
    assert summary.unknown_orders == 7
    assert {id: list(ours.order(id) or ()) for id in orders} == orders
    assert len(ours) == len(orders) == 11_217
    with Tape.open(tmp_path / "t") as tape:
        times = sorted(want)[1::7]
        for touch in touches(tape, 0, times):
            assert [(touch.bid_ticks, touch.bid_lots), (touch.ask_ticks, touch.ask_lots)] == want[touch.ts]
    opening = next(r["ts_recv"] for r in rows if r["action"] == b"T")
    crossed = [ts for ts, (bid, ask) in want.items() if bid[0] >= ask[0]]  # type: ignore[operator]
    assert max(crossed) <= opening, "the book is crossed before the opening auction only"
    assert summary.crossed_books > 0
    marked = events[(events["kind"] == KINDS["ORDER_EXECUTE"]) & (events["flags"] & FLAGS["NOT_MARKET"] != 0)]
    assert len(marked) == own == 107


@pytest.mark.recordings
def test_two_days_join(data_file: Files, tmp_path: Path) -> None:
    """Lost otherwise: the second day's snapshot put on top of the first day's orders."""
    summary = import_databento([data_file(MBO_25), data_file(MBO_24)], tmp_path / "t")
    assert (summary.messages, summary.snapshots, summary.unknown_orders) == (8725 + 68_792, 2, 7)
    _, _, book = taken(tmp_path / "t")
    assert len(book) == 11_217


@pytest.mark.recordings
def test_best_prices_are_the_recorded_ones(data_file: Files, tmp_path: Path) -> None:
    """Lost otherwise: a book of best prices that misses a change."""
    rows = records(data_file(MBP))
    summary = import_databento([data_file(MBP)], tmp_path / "t")
    assert (summary.messages, summary.trades, summary.crossed_books, summary.synced) == (2288, 120, 0, True)
    want = {r["ts_recv"]: (r["bid_price"] // 250_000_000, r["bid_size"], r["ask_price"] // 250_000_000, r["ask_size"])
            for r in rows}
    with Tape.open(tmp_path / "t") as tape:
        found = touches(tape, 0, list(want))
    assert [(t.bid_ticks, t.bid_lots, t.ask_ticks, t.ask_lots, t.bid_levels, t.ask_levels) for t in found] == [
        (*touch, 1, 1) for touch in want.values()]


@pytest.mark.recordings
def test_trades_of_three_files_agree(data_file: Files, tmp_path: Path) -> None:
    """Lost otherwise: trades of best prices that are not the trades, or bars that are not of these trades."""
    summary = import_databento([data_file(TRADES)], tmp_path / "trades")
    import_databento([data_file(MBP)], tmp_path / "mbp")
    assert (summary.messages, summary.trades) == (120, 120)
    found = []
    for name in ("trades", "mbp"):
        with Tape.open(tmp_path / name) as tape:
            events = tape.events()
            mine = events[events["kind"] == KINDS["TRADE"]]
            mine["flags"] &= 0xFFFF ^ FLAGS["LAST_IN_BATCH"]
            found.append(mine)
    assert np.array_equal(*found)
    bars: dict[int, list[Any]] = defaultdict(list)
    for e in found[0]:
        bars[int(e["ts_exchange_ns"]) // 60_000_000_000 * 60_000_000_000].append(e)
    recorded = {r["ts_event"]: r for r in records(data_file(BARS)) if r["instrument"] == 118 and r["ts_event"] in bars}
    assert len(recorded) == len(bars) == 4
    for minute, mine in bars.items():
        prices, bar = [int(e["price_ticks"]) for e in mine], recorded[minute]
        assert [x * 250_000_000 for x in (prices[0], max(prices), min(prices), prices[-1])] == [
            bar[n] for n in ("open", "high", "low", "close")]
        assert sum(int(e["quantity_lots"]) for e in mine) == bar["volume"]


# ---- by hand ---------------------------------------------------------------------------------------------------------

ONE = metadata("mbo", {7: "ESZ9"})


def rows(tmp_path: Path, *parts: bytes, **options: Any) -> tuple[list[tuple[Any, ...]], OrderSummary]:
    """Rows as (kind, id, side, ticks, lots, ns after T0, flags that matter)."""
    summary = import_databento([write(tmp_path / "x.dbn.zst", *parts)], tmp_path / "t", **options)
    with Tape.open(tmp_path / "t") as tape:
        assert verify(tape).ok
        events = tape.events()
    letters = {"SNAPSHOT": "s", "NOT_MARKET": "n", "KEEPS_BOOK": "k", "LAST_IN_BATCH": "l"}
    return [(NAMES[int(e["kind"])], int(e["order_id"]), int(e["side"]), int(e["price_ticks"]), int(e["quantity_lots"]),
             int(e["ts_exchange_ns"]) - T0, "".join(c for n, c in letters.items() if e["flags"] & FLAGS[n]))
            for e in events], summary


def test_actions(tmp_path: Path) -> None:
    """Lost otherwise: an action read as another, or a message that does not end where the venue's does."""
    found, summary = rows(
        tmp_path, ONE,
        mbo("A", "B", 1, 100, 5, flags=32), mbo("A", "A", 2, 104, 5, flags=32 | 128),
        mbo("A", "B", 3, 101, 4, ts=10), mbo("M", "B", 3, 102, 6, ts=20), mbo("C", "B", 3, 102, 2, ts=30),
        mbo("T", "A", 9, 102, 3, ts=40, flags=0), mbo("F", "B", 3, 102, 3, ts=40, flags=0),
        mbo("C", "B", 3, 102, 3, ts=40, recv=50),
        mbo("T", "A", 2, 102, 1, ts=60, flags=0), mbo("F", "A", 2, 102, 1, ts=60, flags=0),
        mbo("F", "B", 3, 102, 1, ts=60, flags=0), mbo("C", "B", 3, 102, 1, ts=60, flags=0),
        mbo("M", "A", 2, 102, 4, ts=60), mbo("N", "N", 0, 102, 1, ts=70), mbo("A", "N", 5, 102, 1, ts=70),
        mbo("A", "B", 0, 102, 1, ts=70), mbo("A", "B", 6, 102, 1, ts=70, flags=16 | 128), other())
    assert found == [
        ("SNAPSHOT_BEGIN", 0, 0, 0, 0, 0, ""), ("ORDER_ADD", 1, BUY, 100, 5, 0, "s"),
        ("ORDER_ADD", 2, SELL, 104, 5, 0, "sl"), ("ORDER_ADD", 3, BUY, 101, 4, 10, "l"),
        ("ORDER_MODIFY", 3, BUY, 102, 6, 20, "l"), ("ORDER_DELETE", 3, BUY, 102, 2, 30, "l"),
        ("TRADE", 0, SELL, 102, 3, 40, ""), ("ORDER_EXECUTE", 3, BUY, 102, 3, 40, "kl"),
        ("ORDER_DELETE", 3, BUY, 102, 3, 40, "l"),
        ("TRADE", 0, SELL, 102, 1, 60, ""), ("ORDER_EXECUTE", 2, SELL, 102, 1, 60, "nk"),
        ("ORDER_EXECUTE", 3, BUY, 102, 1, 60, "k"), ("ORDER_DELETE", 3, BUY, 102, 1, 60, ""),
        ("ORDER_MODIFY", 2, SELL, 102, 4, 60, "l")]
    assert (summary.messages, summary.ignored_messages, summary.trades, summary.unknown_orders) == (17, 5, 2, 0)
    assert (summary.feed_min_ns, summary.clock_defects) == (5, 0)


def test_clears_snapshots_and_gaps(tmp_path: Path) -> None:
    """Lost otherwise: a book that stays lost after the venue told it anew, or a lost one that counts as known."""
    found, summary = rows(
        tmp_path, ONE,
        mbo("A", "B", 1, 100, 5, ts=1), mbo("R", "N", 0, NO_PRICE, 0, ts=2), mbo("A", "B", 2, 100, 5, ts=3),
        mbo("R", "N", 0, NO_PRICE, 0, ts=4), mbo("C", "B", 2, 100, 5, ts=5),
        mbo("A", "B", 3, 100, 5, ts=6, flags=4 | 128), mbo("A", "B", 4, 100, 5, ts=7, flags=4 | 128),
        mbo("R", "N", 0, NO_PRICE, 0, ts=8, flags=32),
        mbo("A", "B", 5, 100, 5, ts=8, flags=32), mbo("A", "B", 6, 101, 5, ts=8, flags=32 | 128))
    assert [(r[0], r[1], r[5], r[6]) for r in found] == [
        ("ORDER_ADD", 1, 1, "l"), ("SNAPSHOT_BEGIN", 0, 2, "l"), ("ORDER_ADD", 2, 3, "sl"), ("BOOK_CLEAR", 0, 4, "l"),
        ("ORDER_DELETE", 2, 5, "l"), ("LINK_GAP", 0, 6, ""), ("ORDER_ADD", 3, 6, "l"), ("ORDER_ADD", 4, 7, "l"),
        ("SNAPSHOT_BEGIN", 0, 8, ""), ("ORDER_ADD", 5, 8, "s"), ("ORDER_ADD", 6, 8, "sl")]
    assert (summary.sequence_gaps, summary.snapshots, summary.synced) == (1, 2, True)
    _, _, book = taken(tmp_path / "t")
    assert (len(book), book.book.levels(BUY)) == (2, [(101, 5), (100, 5)])


def test_instruments_are_apart(tmp_path: Path) -> None:
    """Lost otherwise: orders of one instrument in the book of another, or a trade's fill taken for another's."""
    found, summary = rows(
        tmp_path, metadata("mbo", {7: "ESZ9", 8: "NQZ9"}),
        mbo("A", "B", 1, 100, 5, flags=32), mbo("A", "B", 1, 7, 2, flags=32, instrument=8),
        mbo("T", "A", 1, 100, 1, ts=5, flags=0), mbo("F", "B", 1, 7, 1, ts=5, flags=0, instrument=8),
        mbo("C", "B", 1, 100, 5, ts=6), mbo("A", "B", 2, 3, 1, ts=6, instrument=9))
    assert [x["symbol"] for x in summary.instruments] == ["ESZ9", "NQZ9", "9"]
    assert summary.names == ["glbx:ESZ9", "glbx:NQZ9", "glbx:9"]
    assert [r[6] for r in found if r[0] == "ORDER_EXECUTE"] == ["kl"]
    assert [r[0] for r in found].count("SNAPSHOT_BEGIN") == 2
    assert summary.synced is False                   # 9 never had a snapshot


def test_publishers_are_apart(tmp_path: Path) -> None:
    """Lost otherwise: one book of two venues that share a dataset."""
    parts = [mbo("A", "B", 1, 100, 5, flags=32, publisher=p) for p in (1, 2)]
    head = metadata("mbo", {7: "X"}, dataset="DBEQ.BASIC")
    _, summary = rows(tmp_path, head, *parts, tick=["dbeq-1:X=0.25", "0.125"])
    assert [(x["venue"], x["tick"]) for x in summary.instruments] == [("dbeq-1", "0.25"), ("dbeq-2", "0.125")]


def test_best_prices_by_hand(tmp_path: Path) -> None:
    """Lost otherwise: a level that stays when the best price moves away from it, or one of no size."""
    none = (0, 0, 0, 0)
    found, summary = rows(
        tmp_path, metadata("mbp-1", {7: "X"}),
        trade("N", 0, 0, action="A", touch=none), trade("N", 0, 0, ts=1, action="A", touch=(100, 5, 0, 0)),
        trade("N", 0, 0, ts=2, action="A", touch=(100, 5, 104, 3)), trade("A", 100, 2, ts=3, touch=(100, 5, 104, 3)),
        trade("N", 0, 0, ts=4, action="C", touch=(100, 3, 104, 3)),
        trade("N", 0, 0, ts=5, action="M", touch=(102, 1, 103, 9)), trade("N", 0, 0, ts=6, action="R", touch=none))
    assert [r[:6] for r in found] == [
        ("SNAPSHOT_BEGIN", 0, 0, 0, 0, 1), ("BOOK_LEVEL", 0, BUY, 100, 5, 1), ("BOOK_LEVEL", 0, SELL, 104, 3, 2),
        ("TRADE", 0, SELL, 100, 2, 3), ("BOOK_LEVEL", 0, BUY, 100, 3, 4), ("BOOK_LEVEL", 0, BUY, 100, 0, 5),
        ("BOOK_LEVEL", 0, BUY, 102, 1, 5), ("BOOK_LEVEL", 0, SELL, 104, 0, 5), ("BOOK_LEVEL", 0, SELL, 103, 9, 5),
        ("BOOK_LEVEL", 0, BUY, 102, 0, 6), ("BOOK_LEVEL", 0, SELL, 103, 0, 6)]
    assert [r[6] for r in found][:2] == ["", "sl"]
    assert (summary.level_updates, summary.trades, summary.synced) == (9, 1, True)


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize("inverse", [False, True])
def test_versions_of_the_format(version: int, inverse: bool, tmp_path: Path) -> None:
    """Lost otherwise: files of another year, whose metadata and records are longer."""
    head = metadata("mbo", {7: "ESZ9", 8: "A-LONG.SYMBOL"}, version=version, ts_out=True, inverse=inverse)
    found, summary = rows(tmp_path, head, *(mbo("A", "B", n, 100, 5, ts=n, instrument=7 + n % 2, ts_out=True)
                                            for n in range(1, 4)))
    assert [r[1] for r in found] == [1, 2, 3]
    assert summary.names == ["glbx:ESZ9", "glbx:A-LONG.SYMBOL"]


def test_pieces_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: a tape that depends on how many bytes are read at once."""
    parts = [mbo("A", "BA"[n % 2], n, 100 + n % 5, 5, ts=n // 3, flags=128 if n % 3 == 2 else 0) for n in range(1, 200)]
    parts += [mbo("T", "A", 1, 100, 2, ts=90, flags=0), mbo("F", "B", 1, 100, 2, ts=90, flags=0)]
    path = write(tmp_path / "x.dbn", ONE, *parts)
    hashes = set()
    for size in (57, 200, 1 << 20):
        monkeypatch.setattr("apex.importers.common.PIECE", size)
        hashes.add(import_databento([path], tmp_path / "t").content_hash)
    assert len(hashes) == 1


TWO = metadata("mbo", {7: "ESZ9"}, version=2)
GOOD = mbo("A", "B", 1, 100, 5)


@pytest.mark.parametrize(("data", "words"), [
    (b"", "no DBN file"), (b"nothing of the kind", "no DBN file"), (b"DBN\x09" + ONE[4:] + GOOD, "DBN version 9"),
    (ONE[:60], "metadata is cut off"), (ONE + GOOD[:30], "ends within a record, 30 bytes"),
    (ONE, "no records"), (ONE + other(), "no records"), (ONE + b"\x04\xa0" + GOOD[2:], "has 16 bytes, not 56"),
    (metadata("ohlcv-1m", {7: "X"}), "schema ohlcv-1m is not imported"),
    (ONE[:8 + 100 + 4] + struct.pack("<I", 1 << 20) + ONE[8 + 108:] + GOOD, "ends within its symbols"),
    (TWO[:8 + 45] + bytes(2) + TWO[8 + 47:] + GOOD, "symbols have no length"),
    (ONE + mbo("A", "B", 1, 100, 5, recv=9) + mbo("A", "B", 2, 100, 5, recv=3), "local time goes back"),
])
def test_damage(data: bytes, words: str, tmp_path: Path) -> None:
    """Lost otherwise: a traceback, or a tape of half a recording."""
    (tmp_path / "t").write_text("an older tape")
    with pytest.raises(ApexError, match=words):
        import_databento([write(tmp_path / "x.dbn", data)], tmp_path / "t")
    assert (tmp_path / "t").read_text() == "an older tape"


def test_wrong_files_and_grids(tmp_path: Path) -> None:
    """Lost otherwise: two schemas on one tape, or prices on a grid that somebody misspelt."""
    one = write(tmp_path / "a.dbn", ONE, GOOD)
    two = write(tmp_path / "b.dbn", metadata("trades", {7: "ESZ9"}), trade("A", 100, 1))
    with pytest.raises(ApexError, match="is not mbo of GLBX"):
        import_databento([one, two], tmp_path / "t")
    for options, words in (({"tick": ["30"]}, "price 25000000000 is off"), ({"lot": ["2"]}, "size 5 is off"),
                           ({"tick": ["NQ=1"]}, "does not have"), ({"lot": ["0.5"]}, "finer than")):
        with pytest.raises(ApexError, match=words):
            import_databento([one], tmp_path / "t", **options)
    with pytest.raises(ApexError, match="would replace"):
        import_databento([one], one)
