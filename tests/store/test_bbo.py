"""Best bid and offer at given times, and exports: against plain books and the rows themselves."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import apex.store.bbo
from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, SIDES, pack
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument
from apex.store.bbo import Touch, touches
from apex.store.export import PRICED, SIZED, export
from apex.store.tape import Tape, TapeWriter
from tests.oracles.book import BUY, SELL, DictBook
from tests.store.markets import BOTH, PAIR, START, joined, market, message, write


def plainly(events: NDArray[Any], instrument: int, ts: int) -> Touch:
    """The touch by a dict book that reads every row up to a time."""
    book, synced = DictBook(), False
    for row in events[(events["instrument"] == instrument) & ((events["flags"] & FLAGS["AT_LOCAL"]) != 0)]:
        if row["ts_local_ns"] > ts:
            break
        kind = int(row["kind"])
        if kind == KINDS["SNAPSHOT_BEGIN"]:
            book, synced = DictBook(), True
        elif kind == KINDS["LINK_GAP"]:
            synced = False
        elif kind == KINDS["BOOK_LEVEL"] and synced:
            book.set(int(row["side"]), int(row["price_ticks"]), int(row["quantity_lots"]))
    bid, ask = book.best(BUY), book.best(SELL)
    bids, asks = book.sides[BUY], book.sides[SELL]
    return Touch(ts, bid, None if bid is None else bids[bid], ask, None if ask is None else asks[ask], len(bids),
                 len(asks), synced)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(0, 120), st.data())
def test_touches_are_those_of_a_plain_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, count: int,
                                           data: st.DataObject) -> None:
    """Lost: a book one message too old or too new, times out of order, or two instruments in one book."""
    monkeypatch.setattr(apex.store.bbo, "_CHUNK", data.draw(st.sampled_from([1, 3, 17, 1 << 15])))
    events = joined(market(seed, count, 2))
    write(tmp_path / "t", events)
    local = events["ts_local_ns"]
    near = st.sampled_from(sorted({int(t) + d for t in local for d in (-1, 0, 1)}))
    times = data.draw(st.lists(near | st.integers(0, 2 * START), max_size=6))
    with Tape.open(tmp_path / "t") as tape:
        for instrument in (0, 1):
            assert touches(tape, instrument, times) == [plainly(events, instrument, ts) for ts in times]


def test_rows_of_the_venue_alone_do_not_reach_our_book(tmp_path: Path) -> None:
    """Lost: a book that knows what only the venue knows yet, from tapes whose rows are split in two."""
    write(tmp_path / "t", joined([
        message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
        message("BOOK_LEVEL", START, [(1, 100, 5, 0), (2, 101, 5, 0)], flags=BOTH | FLAGS["SNAPSHOT"]),
        message("BOOK_LEVEL", START + 5, [(1, 100, 7, 0)], flags=FLAGS["AT_VENUE"]),
        message("BOOK_LEVEL", START + 9, [(2, 101, 8, 0)], flags=FLAGS["AT_LOCAL"]),
    ]))
    with Tape.open(tmp_path / "t") as tape:
        found = touches(tape, 0, [START + 9, START + 8])
    assert [(t.bid_lots, t.ask_lots) for t in found] == [(5, 8), (5, 5)]


def test_a_book_without_depth_events_is_not_in_sync(tmp_path: Path) -> None:
    """Lost: a tape of quotes and trades alone whose book is said to be in sync, and is empty."""
    quotes = [message("QUOTE", START, [(1, 100, 5, 0), (2, 101, 5, 0)]), message("TRADE", START + 1, [(1, 101, 1, 0)])]
    other = [message("BOOK_LEVEL", START + 5, [(1, 100, 5, 0)], instrument=1),
             message("BOOK_LEVEL", START + 7, [(1, 100, 5, 0)], flags=FLAGS["AT_VENUE"])]
    write(tmp_path / "t", joined(quotes + other), synced_from_start=True)
    with Tape.open(tmp_path / "t") as tape:
        assert [t.synced for t in touches(tape, 0, [START, START + 9])] == [False, False]
        assert [t.synced for t in touches(tape, 1, [START + 4, START + 5, START + 9])] == [False, True, True]


# ---- export ---------------------------------------------------------------------------------------------------------


def read(path: Path) -> pd.DataFrame:
    """A table as pandas reads it."""
    if path.suffix == ".csv":
        return pd.read_csv(path, dtype={"price": str, "quantity": str, "sequence": np.uint64, "order_id": np.uint64})
    return pd.read_parquet(path)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_exports_are_the_tape(suffix: str, tmp_path: Path) -> None:
    """Lost: a table for pandas whose integers, names or decimals are not the tape's."""
    events = joined(market(8, 500, 2))
    events["sequence"][3] = 2**64 - 1
    write(tmp_path / "t", events)
    out = tmp_path / f"t.{suffix}"
    with Tape.open(tmp_path / "t") as tape:
        assert export(tape, out) == len(events)
    found = read(out)
    assert list(found.columns) == [*(EVENT_DTYPE.names or ()), "kind_name", "side_name", "symbol", "price", "quantity"]
    for name in EVENT_DTYPE.names or ():
        assert (found[name].to_numpy().astype(EVENT_DTYPE[name]) == events[name]).all(), name
    names = {code: name for name, code in KINDS.items()}
    sides = {code: name for name, code in SIDES.items()}
    assert found["kind_name"].tolist() == [names[k] for k in events["kind"].tolist()]
    assert found["side_name"].tolist() == [sides[s] for s in events["side"].tolist()]
    assert found["symbol"].tolist() == [PAIR[i].symbol for i in events["instrument"].tolist()]
    decimals = (("price", "tick", "price_ticks", PRICED), ("quantity", "lot", "quantity_lots", SIZED))
    for column, step, source, kinds in decimals:
        for value, row, kind in zip(found[column], events, found["kind_name"], strict=True):
            if kind not in kinds:
                assert pd.isna(value)
                continue
            exact = int(row[source]) * Decimal(getattr(PAIR[int(row["instrument"])], step))
            assert Decimal(value) == exact
            if suffix == "csv":
                assert value == f"{exact.normalize():f}" or exact == 0


def test_exports_hold_the_largest_numbers(tmp_path: Path) -> None:
    """Lost: prices beyond 64 bits of their decimal places wrap."""
    wide = Instrument("WIDE", "x", "0.000000000001", "1000000")
    rows = message("TRADE", START, [(1, 1 << 60, 1 << 60, 0), (2, -(1 << 60), 1, 0)])
    with TapeWriter(tmp_path / "t", [wide], source="test") as writer:
        writer.append(*pack(rows))
    for suffix in ("parquet", "csv"):
        with Tape.open(tmp_path / "t") as tape:
            export(tape, tmp_path / f"t.{suffix}")
        found = read(tmp_path / f"t.{suffix}")
        assert [Decimal(p) for p in found["price"]] == [Decimal(1 << 60).scaleb(-12), -Decimal(1 << 60).scaleb(-12)]
        assert Decimal(found["quantity"][0]) == (1 << 60) * 10**6


def test_an_empty_tape_exports_its_columns(tmp_path: Path) -> None:
    """Lost: a script that fails on the one day without trades."""
    write(tmp_path / "t", joined([]))
    for suffix in ("parquet", "csv"):
        with Tape.open(tmp_path / "t") as tape:
            assert export(tape, tmp_path / f"t.{suffix}") == 0
        assert len(read(tmp_path / f"t.{suffix}")) == 0
        assert "price" in read(tmp_path / f"t.{suffix}").columns


def test_a_table_never_replaces_its_tape(tmp_path: Path) -> None:
    """Lost: the tape, when it happens to be called .csv."""
    path = tmp_path / "tape.csv"
    write(path, joined(market(1, 5)))
    before = path.read_bytes()
    with Tape.open(path) as tape, pytest.raises(ConfigError, match="replace"):
        export(tape, path)
    assert path.read_bytes() == before
