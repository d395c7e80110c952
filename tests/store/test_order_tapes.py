"""Tapes of orders: rules, best prices, cuts and exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from apex._core.events import FLAGS, KINDS, pack
from apex._core.l3 import L3Book
from apex.domain.errors import InputError
from apex.store.bbo import touches
from apex.store.edit import cut
from apex.store.export import export
from apex.store.tape import Tape, TapeWriter
from apex.store.verify import verify
from tests.core.test_orders import OrderMarket, order_rows
from tests.oracles.book import BUY, SELL
from tests.oracles.l3 import ListBook
from tests.store.markets import BOTH, BTC, ETH, START, joined, message

LAST = FLAGS["LAST_IN_BATCH"]


def write(path: Path, events: Any, *, synced: bool = False) -> Path:
    with TapeWriter(path, [BTC, ETH], source="test", synced_from_start=synced) as writer:
        writer.append(*pack(events))
    return path


def order(kind: str, id: int, side: int, ticks: int, lots: int, *, ts: int = START, flags: int = BOTH) -> Any:
    made = message(f"ORDER_{kind}", ts, [(side, ticks, lots, 0)], flags=flags)
    made["order_id"] = id
    return made


@pytest.mark.parametrize("seed", range(3))
def test_books_and_cuts(seed: int, tmp_path: Path) -> None:
    """Lost otherwise: best prices of a tape of orders, or a part that begins with other queues than the whole has."""
    events = order_rows(OrderMarket(seed, 600).data)
    end = int(events["ts_local_ns"][-1])
    events = np.concatenate([events, message("TRADE", end + 9, [(BUY, 5, 1, 0)], instrument=1)])
    path = write(tmp_path / "t", events)
    times = np.unique(events["ts_local_ns"])[:-1]
    with Tape.open(path) as tape:
        assert verify(tape).ok
        assert tape.order_books() == {0}
        chosen = times[::11].tolist()
        found = touches(tape, 0, chosen)
        at = int(times[len(times) // 2])
        whole = L3Book(synced=False)
        whole.apply(tape.batches, tape.levels, tape.rows)
        cut(tape, tmp_path / "part", at, None)
    book, synced, want = ListBook(), False, {}
    for e in events:
        kind = next(name for name, code in KINDS.items() if code == e["kind"])
        if kind == "SNAPSHOT_BEGIN":
            book, synced = ListBook(), True
        elif kind == "LINK_GAP":
            synced = False
        elif kind == "BOOK_CLEAR":
            book.clear(int(e["side"]), int(e["price_ticks"]) if e["flags"] & FLAGS["CLEAR_TO"] else None)
        elif kind.startswith("ORDER_") and synced:
            word = "fill" if e["flags"] & FLAGS["KEEPS_BOOK"] else kind.removeprefix("ORDER_").lower()
            book.row(word, int(e["order_id"]), int(e["side"]), int(e["price_ticks"]), int(e["quantity_lots"]))
        best = [book.totals.best(side) for side in (BUY, SELL)]
        want[int(e["ts_local_ns"])] = (*best, *(len(book.totals.sides[side]) for side in (BUY, SELL)))
    assert [(t.bid_ticks, t.ask_ticks, t.bid_levels, t.ask_levels) for t in found] == [want[ts] for ts in chosen]
    with Tape.open(tmp_path / "part") as part:
        assert verify(part).ok
        again = L3Book(synced=False)
        again.apply(part.batches, part.levels, part.rows)
    for side in (BUY, SELL):
        assert again.book.levels(side) == whole.book.levels(side)
        for ticks, _ in whole.book.levels(side):
            assert again.queue(side, ticks) == whole.queue(side, ticks)


@pytest.mark.parametrize(("rule", "events"), [
    ("order", order("ADD", 0, BUY, 100, 5)), ("order", order("DELETE", 0, BUY, 1 << 40, 5)),
    ("trade_quantity", order("ADD", 1, BUY, 100, 0)), ("trade_quantity", order("EXECUTE", 1, BUY, 100, 0)),
    ("quantity", order("MODIFY", 1, BUY, 100, -1)), ("side", order("ADD", 1, 0, 100, 5)),
    ("mixed_book", joined([order("ADD", 1, BUY, 100, 5), message("BOOK_LEVEL", START, [(BUY, 100, 5, 0)])])),
])
def test_rules_of_order_rows(rule: str, events: Any, tmp_path: Path) -> None:
    """Lost otherwise: orders that no replay can follow."""
    with pytest.raises(InputError) as caught:
        write(tmp_path / "t", events)
    assert caught.value.code == f"tape_{rule}"


def test_a_snapshot_of_orders_is_one(tmp_path: Path) -> None:
    """Lost otherwise: sound tapes of orders that verify refuses, or empty snapshots that it takes."""
    begin = message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False)
    for flags, ok in ((BOTH | FLAGS["SNAPSHOT"], True), (BOTH, False)):
        with Tape.open(write(tmp_path / "t", joined([begin, order("ADD", 1, BUY, 100, 5, flags=flags)]))) as tape:
            assert verify(tape).ok == ok


def test_export_has_their_prices(tmp_path: Path) -> None:
    """Lost otherwise: columns that are empty for a market by order."""
    path = write(tmp_path / "t", joined([order("ADD", 1, BUY, 100, 5), order("EXECUTE", 1, BUY, 100, 5)]), synced=True)
    with Tape.open(path) as tape:
        export(tape, tmp_path / "t.parquet")
    table = pq.read_table(tmp_path / "t.parquet").to_pydict()
    assert [str(x) for x in table["price"]] == ["10.00", "10.00"]
    assert table["kind_name"] == ["ORDER_ADD", "ORDER_EXECUTE"]
    assert table["order_id"] == [1, 1]
