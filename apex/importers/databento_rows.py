"""Databento's records to canonical rows, with a book of each instrument that follows them.

The code cites the numbers of docs/decisions/012-orders-and-queues.md (D1 to D6).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.book import Book
from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, SIDES, pack
from apex._core.l3 import L3Book
from apex.domain.decimals import scaled
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument
from apex.importers.dbn import (
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_MBP,
    F_SNAPSHOT,
    F_TOB,
    NO_PRICE,
    PRICE_PLACES,
    RTYPES,
    Reader,
)
from apex.importers.orders import OrderSummary

Array = NDArray[Any]
Key = tuple[int, int]
"""Publisher and instrument number."""
_BOTH = FLAGS["AT_VENUE"] | FLAGS["AT_LOCAL"]
_LAST, _SNAPSHOT = FLAGS["LAST_IN_BATCH"], FLAGS["SNAPSHOT"]
_TRADE, _LEVEL, _BEGIN, _CLEAR, _GAP = (KINDS[n] for n in (
    "TRADE", "BOOK_LEVEL", "SNAPSHOT_BEGIN", "BOOK_CLEAR", "LINK_GAP"))
_ADD, _MODIFY, _DELETE, _EXECUTE = (KINDS[n] for n in ("ORDER_ADD", "ORDER_MODIFY", "ORDER_DELETE", "ORDER_EXECUTE"))
_BUY, _SELL = SIDES["BUY"], SIDES["SELL"]


def codes_of(records: Array) -> Array:
    """Publisher and instrument number of each record as one integer."""
    code: Array = records["publisher"].astype(np.uint64) << np.uint64(32)
    return code | records["instrument"].astype(np.uint64)


class Sheet:
    """Records to rows, with a book of each instrument that follows them.

    Parameters
    ----------
    schema : str
    keys, instruments : list
        In the order of the tape's table.
    """

    def __init__(self, schema: str, keys: list[Key], instruments: list[Instrument]) -> None:
        self.schema, self.count = schema, len(keys)
        self._codes = np.array([publisher << 32 | number for publisher, number in keys], np.uint64)
        grids = [(scaled(x.tick), scaled(x.lot)) for x in instruments]
        self._ticks = np.array([_units(t, PRICE_PLACES, x.tick) for (t, _), x in zip(grids, instruments, strict=True)])
        self._lots = np.array([_units(q, 0, x.lot) for (_, q), x in zip(grids, instruments, strict=True)])
        self.orders = [L3Book(synced=False) for _ in keys] if schema == "mbo" else []
        self.books = [Book(synced=False) for _ in keys] if schema in ("mbp-1", "tbbo") else []
        self.summary = OrderSummary()
        self._in_snapshot = np.zeros(self.count, np.bool_)
        self._bad = np.zeros(self.count, np.bool_)
        self._sequence = np.zeros(self.count, np.int64)
        self._touch = np.zeros((self.count, 4), np.int64)      # bid price and size, ask price and size; size 0 = none
        self._seen = np.zeros(self.count, np.bool_)
        self._taker: tuple[int, int, int] = (-1, 0, 0)         # instrument, ts_event and order of the last trade

    def read(self, reader: Reader, path: Path) -> Iterator[tuple[Array, Array, Array]]:
        """Packed rows of one file, piece by piece. A piece ends where local time moves on, so that it ends messages."""
        kept: Array | None = None
        self._in_snapshot[:] = False                 # D4: a file opens with one of its own
        for rtype, records in reader.runs():
            if rtype != RTYPES[self.schema]:
                self.summary.ignored_messages += len(records)
                continue
            whole = records if kept is None else np.concatenate((kept, records.astype(kept.dtype, copy=False)))
            done = int(np.searchsorted(whole["ts_recv"], whole["ts_recv"][-1], "left"))
            kept = whole[done:].copy()
            if done:
                yield self._rows(whole[:done], path)
        if kept is not None and len(kept):
            yield self._rows(kept, path)

    def _rows(self, records: Array, path: Path) -> tuple[Array, Array, Array]:
        summary = self.summary
        instrument = np.searchsorted(self._codes, codes_of(records))
        back = np.diff(records["ts_recv"].astype(np.int64)) < 0
        if back.any():
            raise InputError("local time goes back", f"{path}, record {summary.messages + int(back.argmax()) + 2}",
                             "Give Databento's own files: their records are in the order of ts_recv", "order")
        self._steps_back(records, instrument)
        place = f"{path}, records {summary.messages + 1} to {summary.messages + len(records)}"
        summary.messages += len(records)
        parts = self._orders(records, instrument, place) if self.schema == "mbo" else self._best(
            records, instrument, place)
        events = _closed(parts, self.count)
        packed = pack(events)
        books: Sequence[L3Book | Book] = self.orders or self.books
        for number, book in enumerate(books):
            book.apply(*packed, instrument=number)
        kinds = np.bincount(events["kind"], minlength=256)
        summary.order_updates += int(kinds[_ADD:_EXECUTE + 1].sum())
        summary.level_updates += int(kinds[_LEVEL])
        summary.level_updates_applied = summary.level_updates
        summary.trades += int(kinds[_TRADE])
        summary.snapshots += int(kinds[_BEGIN])
        summary.sequence_gaps += int(kinds[_GAP])
        return packed

    def finish(self) -> None:
        """What the books tell at the end."""
        summary = self.summary
        totals = [order.book for order in self.orders] or self.books
        summary.unknown_orders = sum(book.unknown + book.repeated for book in self.orders)
        summary.crossed_books = sum(book.crossed_messages for book in totals)
        summary.synced = bool(totals) and all(book.synced for book in totals)

    def _steps_back(self, records: Array, instrument: NDArray[np.intp]) -> None:
        """D6: the venue's sequence never goes back, but in snapshots."""
        for number in range(self.count):
            mine = np.flatnonzero(instrument == number)
            if not len(mine):
                continue
            sequence = records["sequence"][mine].astype(np.int64)
            before = np.concatenate(([self._sequence[number]], sequence[:-1]))
            snapshot = (records["flags"][mine] & F_SNAPSHOT) != 0
            self.summary.sequence_steps_back += int(((sequence < before) & ~snapshot).sum())
            self.summary.snapshot_steps_back += int(((sequence < before) & snapshot).sum())
            self._sequence[number] = sequence[-1]

    def _grid(self, values: Array, units: Array, instrument: Array, here: Array, what: str, place: str) -> Array:
        """Steps of values where `here`, 0 elsewhere."""
        size = units[instrument]
        count, rest = np.divmod(np.where(here, values, 0).astype(np.int64), size)
        if rest.any():
            at = int(np.flatnonzero(rest)[0])
            raise InputError(f"{what} {int(values[at])} is off the grid", place,
                             "Leave --tick and --lot away, or correct them", "off_grid")
        return count

    def _common(self, records: Array, instrument: Array) -> Array:
        """Rows with what all have: times, instrument, sequence; the flag of the last record of an event."""
        events = np.zeros(len(records), EVENT_DTYPE)
        events["ts_exchange_ns"], events["ts_local_ns"] = records["ts_event"], records["ts_recv"]
        events["sequence"], events["instrument"] = records["sequence"], instrument
        events["flags"] = _BOTH | np.where((records["flags"] & F_LAST) != 0, _LAST, 0)
        return events

    # ---- orders ------------------------------------------------------------------------------------------------------

    def _orders(self, records: Array, instrument: Array, place: str) -> Array:
        """D1: A, M, C, F are rows of an order, T is a trade, R clears, and what has no order is left out."""
        action = records["action"]
        events = self._common(records, instrument)
        kind = np.zeros(len(records), np.uint8)
        for code, which in ((b"A", _ADD), (b"M", _MODIFY), (b"C", _DELETE), (b"F", _EXECUTE), (b"T", _TRADE),
                            (b"R", _CLEAR)):
            kind[action == code] = which
        side = _side(records["side"])
        is_order = kind >= _ADD
        kind[is_order & (records["order_id"] == 0)] = 0
        kind[((kind == _ADD) & (side == 0)) | ((records["flags"] & (F_TOB | F_MBP)) != 0)] = 0
        kind[(records["size"] == 0) & ((kind == _ADD) | (kind == _EXECUTE) | (kind == _TRADE))] = 0
        priced = (kind != 0) & (kind != _CLEAR) & (records["price"] != NO_PRICE)
        events["kind"], events["side"] = kind, np.where(kind == _CLEAR, 0, side)
        events["order_id"] = np.where(kind >= _ADD, records["order_id"], 0)
        events["price_ticks"] = self._grid(records["price"], self._ticks, instrument, priced, "price", place)
        events["quantity_lots"] = self._grid(records["size"], self._lots, instrument, kind != _CLEAR, "size", place)
        events["flags"][kind == _EXECUTE] |= FLAGS["KEEPS_BOOK"]
        events["flags"][self._takers(records, instrument, kind)] |= FLAGS["NOT_MARKET"]
        snapshot = ((records["flags"] & F_SNAPSHOT) != 0) & (kind == _ADD)
        events["flags"][snapshot] |= _SNAPSHOT
        self.summary.ignored_messages += int((kind == 0).sum())
        return self._bounds(events, snapshot, (records["flags"] & F_MAYBE_BAD_BOOK) != 0)

    def _takers(self, records: Array, instrument: Array, kind: Array) -> Array:
        """D3: fills of the aggressor itself: of the order that the last trade of the same event names."""
        trade = np.flatnonzero(kind == _TRADE)
        last = np.zeros(len(records), np.int64)
        last[trade] = trade + 1
        last = np.maximum.accumulate(last) - 1
        known = np.maximum(last, 0)
        first = last < 0
        before = self._taker
        whose = np.where(first, before[2], records["order_id"][known])
        when = np.where(first, before[1], records["ts_event"][known])
        where = np.where(first, before[0], instrument[known])
        if len(trade):
            at = trade[-1]
            self._taker = int(instrument[at]), int(records["ts_event"][at]), int(records["order_id"][at])
        found: Array = (kind == _EXECUTE) & (whose == records["order_id"]) & (when == records["ts_event"]) & (
            where == instrument)
        return found

    def _bounds(self, events: Array, snapshot: Array, bad: Array) -> Array:
        """D4 and D5: where an instrument's snapshot begins, and where a gap does; rows of no kind go."""
        begins, gaps = np.zeros(len(events), np.bool_), np.zeros(len(events), np.bool_)
        cleared = events["kind"] == _CLEAR
        for number in range(self.count):
            mine = np.flatnonzero((events["instrument"] == number) & (events["kind"] != 0))
            if not len(mine):
                continue
            before = np.concatenate(([self._in_snapshot[number]], snapshot[mine][:-1]))
            after_clear = np.concatenate(([False], cleared[mine][:-1]))
            follows = np.concatenate((snapshot[mine][1:], [False]))
            fresh = np.concatenate(((events["kind"][mine] == _ADD)[1:], [False]))
            begins[mine] = snapshot[mine] & ~before & ~after_clear
            opens = mine[cleared[mine] & (follows | fresh)]
            events["kind"][opens] = _BEGIN           # a cleared book is a known one
            following = mine[np.concatenate(([False], np.isin(mine, opens)[:-1]))]
            events["flags"][following] |= _SNAPSHOT
            was_bad = np.concatenate(([self._bad[number]], bad[mine][:-1]))
            gaps[mine] = bad[mine] & ~was_bad
            self._in_snapshot[number], self._bad[number] = snapshot[mine][-1], bad[mine][-1]
        places = np.flatnonzero(begins | gaps)
        added = np.zeros(len(places), EVENT_DTYPE)
        for name in ("ts_exchange_ns", "ts_local_ns", "sequence", "instrument"):
            added[name] = events[name][places]
        added["kind"], added["flags"] = np.where(gaps[places], _GAP, _BEGIN), _BOTH
        return np.insert(events, places, added)

    # ---- best prices and trades --------------------------------------------------------------------------------------

    def _best(self, records: Array, instrument: Array, place: str) -> Array:
        """D2: a trade, then the changes of a book of one level a side."""
        events = self._common(records, instrument)
        trades = (records["action"] == b"T") & (records["size"] > 0)
        events["kind"] = np.where(trades, _TRADE, 0)
        events["side"] = _side(records["side"])
        priced = trades & (records["price"] != NO_PRICE)
        events["price_ticks"] = self._grid(records["price"], self._ticks, instrument, priced, "price", place)
        events["quantity_lots"] = self._grid(records["size"], self._lots, instrument, trades, "size", place)
        self.summary.ignored_messages += 0 if self.books else int((~trades).sum())
        if not self.books:
            return events
        touch = np.zeros((len(records), 4), np.int64)
        for n, name in enumerate(("bid", "ask")):
            there = (records[f"{name}_price"] != NO_PRICE) & (records[f"{name}_size"] > 0)
            touch[:, 2 * n] = self._grid(records[f"{name}_price"], self._ticks, instrument, there, "price", place)
            touch[:, 2 * n + 1] = self._grid(records[f"{name}_size"], self._lots, instrument, there, "size", place)
        return self._changes(events, touch, instrument)

    def _changes(self, events: Array, touch: Array, instrument: Array) -> Array:
        """Six rows a record: trade, begin of the book, old bid gone, bid, old ask gone, ask; some are of no kind."""
        made = np.repeat(events, 6)
        rows = made.reshape(len(events), 6)
        rows["flags"] &= np.uint16(0xFFFF ^ _LAST)
        for name in ("kind", "side", "price_ticks", "quantity_lots"):
            rows[name][:, 1:] = 0
        for number in range(self.count):
            mine = np.flatnonzero(instrument == number)
            if not len(mine):
                continue
            now = touch[mine]
            before = np.vstack((self._touch[number], now[:-1]))
            first, there = np.zeros(len(mine), np.bool_), (now[:, 1] > 0) | (now[:, 3] > 0)
            if not self._seen[number] and there.any():
                first[there.argmax()] = self._seen[number] = True
            rows["kind"][mine, 1] = np.where(first, _BEGIN, 0)
            for n, side in enumerate((_BUY, _SELL)):
                price, size = now[:, 2 * n], now[:, 2 * n + 1]
                old, had = before[:, 2 * n], before[:, 2 * n + 1]
                gone = (had > 0) & ((old != price) | (size == 0))
                moved = (size > 0) & ((old != price) | (had != size) | first)
                for column, change, ticks, lots in ((2 + 2 * n, gone, old, 0), (3 + 2 * n, moved, price, size)):
                    rows["kind"][mine, column] = np.where(change, _LEVEL, 0)
                    rows["side"][mine, column] = side
                    rows["price_ticks"][mine, column], rows["quantity_lots"][mine, column] = ticks, lots
            rows["flags"][mine[first], 2:] |= _SNAPSHOT
            self._touch[number] = now[-1]
        shown = rows["kind"] != 0
        last = 5 - shown[:, ::-1].argmax(axis=1)
        ends = np.flatnonzero((events["flags"] & _LAST) != 0)
        rows["flags"][ends, last[ends]] |= _LAST     # where no row is shown it is on one that goes
        return made


def _side(letters: Array) -> Array:
    return np.where(letters == b"B", _BUY, np.where(letters == b"A", _SELL, 0)).astype(np.uint8)


def _units(step: tuple[int, int], places: int, text: str) -> int:
    """A step in units of 10**-places."""
    if step[1] > places:
        raise ConfigError(f"{text!r} is finer than the recording's unit", "--tick, --lot", "Give a coarser step")
    return int(step[0] * 10 ** (places - step[1]))


def _closed(events: Array, instruments: int) -> Array:
    """Rows of a kind, with LAST_IN_BATCH where an instrument's times change; the rows end all messages."""
    events = np.ascontiguousarray(events[events["kind"] != 0])
    for number in range(instruments):
        mine = np.flatnonzero(events["instrument"] == number)
        if len(mine):
            local, venue = events["ts_local_ns"][mine], events["ts_exchange_ns"][mine]
            last = np.concatenate(((local[1:] != local[:-1]) | (venue[1:] != venue[:-1]), [True]))
            events["flags"][mine[last]] |= _LAST
    return events
