"""Tapes of orders told as levels: the same books, trades and fills."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apex
from apex._core.book import Book
from apex._core.events import FLAGS, KINDS, pack
from apex._core.l3 import L3Book
from apex.domain.errors import InputError
from apex.importers.databento import import_databento
from apex.importers.lobster import import_lobster
from apex.store import levels
from apex.store.levels import as_levels
from apex.store.tape import Tape, TapeWriter
from apex.store.verify import verify
from tests.core.assembly import Run
from tests.core.test_matching import QUEUES, Sender
from tests.core.test_orders import OrderMarket, order_rows
from tests.oracles.book import BUY, SELL
from tests.store.markets import BOTH, BTC, ETH, START, joined, message
from tests.store.test_order_tapes import order, write

SEEN = BOTH | FLAGS["SNAPSHOT"]
NAMES = {code: name for name, code in KINDS.items()}


def told(path: Path) -> list[tuple[str, int, int, int, str]]:
    """Rows of the tape as levels: (kind, side, ticks, lots, flags that matter)."""
    with Tape.open(path) as tape:
        as_levels(tape, path.with_suffix(".levels"))
    with Tape.open(path.with_suffix(".levels")) as tape:
        events = tape.events()
    letters = {"SNAPSHOT": "s", "NOT_MARKET": "n", "KEEPS_BOOK": "k", "LAST_IN_BATCH": "l"}
    return [(NAMES[int(e["kind"])], int(e["side"]), int(e["price_ticks"]), int(e["quantity_lots"]),
             "".join(c for n, c in letters.items() if e["flags"] & FLAGS[n])) for e in events]


def same_books(orders: Path, by_level: Path, times: list[int]) -> None:
    """Both tapes' books, whole, after each of these local times."""
    with Tape.open(orders) as one, Tape.open(by_level) as other:
        assert verify(other).ok
        assert other.order_books() == set()
        first, second = L3Book(synced=False), Book(synced=False)
        at = [0, 0]
        for ts in times:
            at[0] = first.apply(one.batches, one.levels, one.rows, start=at[0], until=ts)
            at[1] = second.apply(other.batches, other.levels, other.rows, start=at[1], until=ts)
            for side in (BUY, SELL):
                assert first.book.levels(side) == second.levels(side)
            assert first.book.synced == second.synced


@pytest.mark.parametrize("seed", range(4))
def test_books_and_fills_are_the_same(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: a strategy that is tried on levels and meets another market than the orders made.

    Some rows at a time, so that messages lie across the cuts.
    """
    monkeypatch.setattr(levels, "row_chunks", lambda batches: ((i, min(i + 7, len(batches)))
                                                               for i in range(0, len(batches), 7)))
    market = OrderMarket(seed, 900)
    events = order_rows(market.data)
    end = int(events["ts_local_ns"][-1])
    trade = message("TRADE", end, [(BUY, 5, 1, 0)], instrument=1)
    path = write(tmp_path / "t", np.concatenate([events, trade]))
    with Tape.open(path) as tape:
        header = as_levels(tape, tmp_path / "levels")
    assert not any(name.startswith("ORDER_") for name in header["kinds"])
    same_books(path, tmp_path / "levels", np.unique(events["ts_local_ns"]).tolist())
    with Tape.open(tmp_path / "levels") as tape:
        rows = tape.events()
    assert (rows[-1]["instrument"], rows[-1]["kind"]) == (1, KINDS["TRADE"])
    traded = [e for e in events if e["kind"] == KINDS["TRADE"] or (
        e["kind"] == KINDS["ORDER_EXECUTE"] and not e["flags"] & FLAGS["KEEPS_BOOK"])]
    mine = rows[(rows["kind"] == KINDS["TRADE"]) & (rows["instrument"] == 0)]
    for name in ("ts_exchange_ns", "price_ticks", "quantity_lots", "sequence"):
        assert mine[name].tolist() == [e[name] for e in traded]
    plain = OrderMarket(seed, 900, plain=True)
    path = write(tmp_path / "plain", order_rows(plain.data))
    with Tape.open(path) as tape:
        as_levels(tape, tmp_path / "levels")
        events = tape.events()
    with Tape.open(tmp_path / "levels") as tape:
        rows = tape.events()
    for queue, power in QUEUES:
        fills = [Run(e, [Sender(plain.todo)], queue=queue, power=power).run().fills for e in (events, rows)]
        assert len(fills[0]) > 0
        for name in set(fills[0].dtype.names) - {"row"}:
            assert np.array_equal(fills[0][name], fills[1][name]), (queue, name)


def test_messages(tmp_path: Path) -> None:
    """Lost otherwise: a snapshot whose levels come many times over, a trade after the level it takes from, a message
    without an end, or an order come into sight that is taken for a snapshot."""
    begin = message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False)
    opening = [begin, *(order("ADD", n, BUY, 100 - n // 2, 5, flags=SEEN) for n in range(1, 4)),
               order("ADD", 9, SELL, 104, 7, flags=SEEN)]
    for row in opening[1:-1]:
        row["flags"] &= 0xFFFF ^ FLAGS["LAST_IN_BATCH"]
    trade = message("TRADE", START + 4, [(SELL, 100, 2, 0)], last=False)
    rows = [
        order("ADD", 4, BUY, 101, 3, ts=START + 1, flags=SEEN), order("EXECUTE", 4, BUY, 101, 3, ts=START + 2),
        order("MODIFY", 1, BUY, 102, 6, ts=START + 3), order("MODIFY", 1, BUY, 102, 6, ts=START + 3),
        trade, order("EXECUTE", 2, BUY, 99, 2, ts=START + 4, flags=BOTH | FLAGS["KEEPS_BOOK"]),
        order("EXECUTE", 77, SELL, 103, 1, ts=START + 5, flags=BOTH | FLAGS["NOT_MARKET"]),
        order("EXECUTE", 9, SELL, 104, 1, ts=START + 6, flags=BOTH | FLAGS["NOT_MARKET"]),
        message("BOOK_CLEAR", START + 7, [(SELL, 0, 0, 0)]), order("DELETE", 9, SELL, 104, 0, ts=START + 8),
        order("DELETE", 3, BUY, 99, 0, ts=START + 9)]
    for n, row in enumerate([*opening, *rows]):
        row["sequence"] = max(0, n - len(opening) + 1) if n != len(opening) + 5 else n - len(opening)
    assert told(write(tmp_path / "t", joined([*opening, *rows]))) == [
        ("SNAPSHOT_BEGIN", 0, 0, 0, ""), ("BOOK_LEVEL", BUY, 100, 5, "s"), ("BOOK_LEVEL", BUY, 99, 10, "s"),
        ("BOOK_LEVEL", SELL, 104, 7, "sl"), ("BOOK_LEVEL", BUY, 101, 3, "l"),
        ("TRADE", SELL, 101, 3, ""), ("BOOK_LEVEL", BUY, 101, 0, "l"),
        ("BOOK_LEVEL", BUY, 100, 0, ""), ("BOOK_LEVEL", BUY, 102, 6, "l"), ("TRADE", SELL, 100, 2, "l"),
        ("TRADE", BUY, 103, 1, "nl"), ("TRADE", BUY, 104, 1, "n"), ("BOOK_LEVEL", SELL, 104, 6, "l"),
        ("BOOK_CLEAR", SELL, 0, 0, "l"), ("BOOK_LEVEL", BUY, 99, 5, "l")]


@pytest.mark.parametrize("change", ["order", "side", "time"])
def test_two_orders_of_time_are_refused(change: str, tmp_path: Path) -> None:
    """Lost otherwise: totals that the venue's view of the tape never had."""
    rows = [order("ADD", 1, BUY, 100, 5), order("ADD", 2, BUY, 100, 5, ts=START + 5)]
    if change == "order":
        rows[1]["ts_exchange_ns"] = rows[0]["ts_exchange_ns"] - 1
    elif change == "side":
        rows[1]["flags"] &= 0xFFFF ^ FLAGS["AT_VENUE"]
    else:
        rows[1]["flags"] = FLAGS["AT_LOCAL"] | FLAGS["NO_VENUE_TIME"] | FLAGS["LAST_IN_BATCH"]
        rows[1]["ts_exchange_ns"] = 0
    with pytest.raises(InputError, match="binance-usdm:BTCUSDT were received in another order"):
        told(write(tmp_path / "t", joined(rows), synced=True))
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_a_tape_of_levels_stays(tmp_path: Path) -> None:
    """Lost otherwise: a tape that is damaged by a conversion it does not need."""
    rows = [message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
            message("BOOK_LEVEL", START, [(BUY, 100, 5, 0)], flags=SEEN),
            message("TRADE", START + 1, [(SELL, 100, 1, 0)])]
    with TapeWriter(tmp_path / "t", [BTC, ETH], source="test") as writer:
        writer.append(*pack(joined(rows)))
    with Tape.open(tmp_path / "t") as tape:
        assert as_levels(tape, tmp_path / "out")["content_hash"] == tape.content_hash


@pytest.mark.recordings
@pytest.mark.parametrize(("name", "reader"), [
    ("l3/lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip", import_lobster),
    ("l3/databento/esh4-glbx-mdp3-20231225.mbo.dbn.zst", import_databento)])
def test_a_day_as_levels(name: str, reader: Any, tmp_path: Path, data_file: Callable[[str], Path]) -> None:
    """Lost otherwise: that a real day told as levels is the same market: every fill of a strategy the same."""
    reader([data_file(name)], tmp_path / "t")
    with Tape.open(tmp_path / "t") as tape:
        as_levels(tape, tmp_path / "levels")
        times = np.unique(tape.batches["ts_local_ns"])[::997].tolist()
    same_books(tmp_path / "t", tmp_path / "levels", times)
    params = {"half_spread_ticks": 1, "skew_ticks": 1, "interval": "1s"}
    runs = [apex.replay(tmp_path / which, "apex.strategies.maker:Maker", queue="power-prob:2", order_latency="1ms",
                        params=params) for which in ("t", "levels")]
    one, other = (run.fill_rows for run in runs)
    assert len(one) > 50
    for field in set(one.dtype.names) - {"row"}:
        assert np.array_equal(one[field], other[field]), field
    assert runs[0].order_rows.tobytes() == runs[1].order_rows.tobytes()


def test_features_are_the_same(tmp_path: Path) -> None:
    """Lost otherwise: features of a market by order that miss its trades, or that have no row after its messages."""
    path = write(tmp_path / "t", order_rows(OrderMarket(3, 1500, plain=True).data))
    with Tape.open(path) as tape:
        as_levels(tape, tmp_path / "levels")
    names = ["imbalance", "ofi", "trade_sign"]
    one, other = (apex.features(which, names, on="message").groupby("ts").last()
                  for which in (path, tmp_path / "levels"))
    assert len(other) > 50
    assert one.loc[other.index].equals(other)
    executions = int((order_rows(OrderMarket(3, 1500, plain=True).data)["kind"] == KINDS["ORDER_EXECUTE"]).sum())
    assert len(apex.features(path, names, on="trade")) == executions > 20
