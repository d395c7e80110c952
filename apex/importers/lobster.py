"""LOBSTER's message and order-book files (NASDAQ, order by order) to a tape.

A message file lists the events inside the N best levels; its order-book file has these levels after each message.
Orders from before the first message, and those sent while their price was out of sight, have no submission: they are
seeded from the order-book file as anonymous orders, and what happens to unknown orders happens to the anonymous ones at
their price. The code cites the numbers of docs/decisions/012-orders-and-queues.md (L1 to L5).

Source: LOBSTER, sample files' readme (2013) and lobsterdata.com, "data structure".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, SIDES, pack
from apex._core.l3 import L3Book
from apex.domain.decimals import scaled
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument
from apex.importers.common import Advance, check_out, size_of, step_of
from apex.importers.lobster_files import (
    ADDED,
    CROSS,
    DELETED,
    EXECUTED,
    HALT,
    HIDDEN,
    PRICE_PLACES,
    REDUCED,
    Day,
    Messages,
    Source,
    days_of,
    messages_of,
    table,
    tick_of,
)
from apex.importers.orders import OrderSummary
from apex.store.writer import TapeWriter

VENUE = "nasdaq"
ANONYMOUS = 1 << 63
"""Ids of anonymous orders begin here."""
CHUNK_ROWS = 1 << 16
BUY, SELL = SIDES["BUY"], SIDES["SELL"]
_ADD, _DELETE, _EXECUTE, _TRADE = (KINDS[n] for n in ("ORDER_ADD", "ORDER_DELETE", "ORDER_EXECUTE", "TRADE"))
_BOTH = FLAGS["AT_VENUE"] | FLAGS["AT_LOCAL"]
_LAST, _SNAPSHOT, _NOT_MARKET = FLAGS["LAST_IN_BATCH"], FLAGS["SNAPSHOT"], FLAGS["NOT_MARKET"]

Levels = list[tuple[int, int]]
"""(ticks, lots) of a side, best first."""


def import_lobster(
    files: list[Path], out: Path, *, tick: Sequence[str] = (), lot: Sequence[str] = (), advance: Advance | None = None,
) -> OrderSummary:
    """Import message files with their order-book files, of one symbol.

    Parameters
    ----------
    files : list of Path
        SYMBOL_DATE_START_END_message_N.csv, ..._orderbook_N.csv, or zip archives of them; several days join.
    out : Path
        The tape, replaced on success.
    tick, lot : sequence of "[SYMBOL=]STEP"
        Empty: the exact gcd of all prices, and 1.

    Raises
    ------
    InputError
        Names file and line.
    """
    check_out(files, out)
    days = days_of(files)
    symbols = sorted({day.symbol for day in days})
    if len(symbols) > 1:
        raise InputError(f"{symbols[1]} is not {symbols[0]}", str(files[-1]), "Import each symbol to a tape of its own",
                         "symbol")
    given = step_of(tick, "--tick", symbols[0]), step_of(lot, "--lot", symbols[0])
    read = [(day, messages_of(day)) for day in days]
    step = given[0] or tick_of(read)
    instrument = Instrument(symbols[0], VENUE, step, given[1] or "1", "spot", base=symbols[0], quote="USD")
    summary, total, done = OrderSummary(synced=True), sum(size_of(path) for path in files), 0
    with TapeWriter(out, [instrument], source="lobster", synced_from_start=True) as tape:
        for number, (day, messages) in enumerate(read):
            Session(day, messages, instrument, summary, tape, first=number == 0).run()
            done += total // len(read)
            if advance is not None:
                advance(done)
    summary.finish([instrument], tape.header)
    return summary


class Session:
    """One day's messages to rows, beside a book that follows them.

    Parameters
    ----------
    first : bool
        Whether the tape begins with this day; else its books are cleared first.
    """

    def __init__(self, day: Day, messages: Messages, instrument: Instrument, summary: OrderSummary, tape: TapeWriter,
                 *, first: bool) -> None:
        self.day, self.messages, self.summary, self.tape = day, messages, summary, tape
        self.units = (_units(instrument.tick, PRICE_PLACES, "--tick"), _units(instrument.lot, 0, "--lot"))
        self.book = L3Book()
        self.first, self.halted = first, False
        self.rows: list[tuple[int, ...]] = []
        self.anonymous = ANONYMOUS
        ids, last = np.unique(messages.id[::-1], return_index=True)
        self.last_row = dict(zip(ids.tolist(), (len(messages.id) - 1 - last).tolist(), strict=True))
        self.sight: dict[int, int | None] = {BUY: None, SELL: None}
        self.at = 0
        self.now = int(messages.time[0])

    def run(self) -> None:
        """All messages."""
        m, summary = self.messages, self.summary
        price, size = self._grid(m.price, m.kind != HALT, 0), self._grid(m.size, m.kind != HALT, 1)
        columns = zip(m.time.tolist(), m.kind.tolist(), m.id.tolist(), size.tolist(), price.tolist(), m.side.tolist(),
                      strict=True)
        orderbook = None if self.day.orderbook is None else self._recorded(self.day.orderbook)
        for self.at, (self.now, kind, id, lots, ticks, side) in enumerate(columns):
            recorded = next(orderbook, None) if orderbook is not None else None
            if self.at == 0:
                self._begin(recorded, kind, lots, ticks, side)
            begun = len(self.rows)
            try:
                self._message(kind, id, side, ticks, lots)
            except (ValueError, MemoryError) as error:       # the book's words for what it cannot hold
                raise InputError(str(error), f"{self.day.messages[0]}, message {self.at + 1}", "The line is damaged",
                                 "order") from None
            summary.messages += 1
            if recorded is not None:
                self._compare(recorded)
            elif orderbook is not None:
                self._unequal()
            if len(self.rows) > begun:
                self._close()
                summary.crossed_books += self.book.book.crossed or self.book.book.locked
        if orderbook is not None and next(orderbook, None) is not None:
            self._unequal()
        self._flush(0)

    def _unequal(self) -> NoReturn:
        assert self.day.orderbook is not None
        raise InputError("the order-book file has not one row a message", self.day.orderbook[0],
                         "Give the two files of one request", "rows")

    def _grid(self, values: NDArray[np.int64], here: NDArray[np.bool_], which: int) -> NDArray[np.int64]:
        """Steps of a column's values; off the grid is an error that names the line."""
        unit = self.units[which]
        count, rest = np.divmod(values * unit[1], unit[0])
        bad = here & (rest != 0)
        if bad.any():
            raise InputError(f"{('price', 'size')[which]} {values[bad][0]} is off the grid",
                             f"{self.day.messages[0]}, message {int(np.flatnonzero(bad)[0]) + 1}",
                             f"Correct {('--tick', '--lot')[which]}, or leave it away")
        return np.where(here, count, values)

    def _recorded(self, source: Source) -> Iterator[tuple[Levels, Levels]]:
        """Bids and asks of each row of the order-book file."""
        (tick, per_tick), (lot, per_lot) = self.units
        row = 0
        for rows in table(source):
            there = rows[:, 1::2] > 0                # an empty level has no size, and a price that is none
            prices, price_rest = np.divmod(np.where(there, rows[:, ::2], 0) * per_tick, tick)
            sizes, size_rest = np.divmod(np.where(there, rows[:, 1::2], 0) * per_lot, lot)
            if price_rest.any() or size_rest.any():
                at = row + int(np.flatnonzero((price_rest | size_rest).any(axis=1))[0]) + 1
                raise InputError("a value off the grid", f"{source[0]}, row {at}",
                                 "Correct --tick and --lot, or leave them away", "off_grid")
            self.levels = there.shape[1] // 2
            whole = bool(there.all())
            for price, size in zip(prices.tolist(), sizes.tolist(), strict=True):
                bids = list(zip(price[1::2], size[1::2], strict=True))
                asks = list(zip(price[::2], size[::2], strict=True))
                yield (bids, asks) if whole else ([x for x in bids if x[1]], [x for x in asks if x[1]])
            row += len(rows)

    # ---- messages ----------------------------------------------------------------------------------------------------

    def _begin(self, recorded: tuple[Levels, Levels] | None, kind: int, lots: int, ticks: int, side: int) -> None:
        """L1: the book before the first message, which is the first recorded row without it, as anonymous orders."""
        seeds: list[tuple[int, int, int]] = []
        if recorded is not None:
            for one, levels in zip((BUY, SELL), recorded, strict=True):
                change = {ADDED: -lots, REDUCED: lots, DELETED: lots, EXECUTED: lots}.get(kind, 0)
                there = dict(levels)
                if one == side and change:
                    there[ticks] = there.get(ticks, 0) + change
                seeds += [(one, price, count) for price, count in there.items() if count > 0]
                shown = [price for price, count in there.items() if count > 0]
                if len(levels) == self.levels and shown:
                    self.sight[one] = min(shown) if one == BUY else max(shown)
        if seeds:
            self.summary.snapshots += 1
            self._row(KINDS["SNAPSHOT_BEGIN"], 0, 0, 0, 0)
            for one, price, count in seeds:
                self._anonymous(one, price, count)
        elif not self.first:
            self._row(KINDS["BOOK_CLEAR"], 0, 0, 0, 0)
        if self.rows:
            self._close()

    def _message(self, kind: int, id: int, side: int, ticks: int, lots: int) -> None:
        if kind == ADDED:
            self.summary.unknown_orders += self.book.order(id) is not None
            self.book.add(id, side, ticks, lots)
            self._row(_ADD, id, side, ticks, lots)
        elif kind in (REDUCED, DELETED, EXECUTED):
            self.summary.trades += kind == EXECUTED
            self._take(_EXECUTE if kind == EXECUTED else _DELETE, id, side, ticks, lots)
        elif kind in (HIDDEN, CROSS):                # L4: no order of the book; a cross has no aggressor
            self.summary.trades += 1
            self.summary.hidden_executions += kind == HIDDEN
            aggressor = 0 if kind == CROSS else SELL if side == BUY else BUY
            self._row(_TRADE, 0, aggressor, ticks, lots, _NOT_MARKET if kind == CROSS else 0)
        else:
            self._halt(ticks)

    def _take(self, kind: int, id: int, side: int, ticks: int, lots: int) -> None:
        """L2: lots off an order; of an unknown one: off those at its price that it may be, or that are gone."""
        order = self.book.order(id)
        if order is not None:
            self._off(kind, id, side, ticks, min(lots, order[2]))
            lots -= order[2]
            self.summary.excess_lots += max(lots, 0)
            return
        self.summary.unknown_orders += 1
        for other, there in self._candidates(side, ticks):
            if lots <= 0:
                return
            some = min(there, lots)
            self._off(kind, other, side, ticks, some)
            lots -= some
            if other < ANONYMOUS and some < there:   # it is gone; the rest is somebody else's
                self._off(_DELETE, other, side, ticks, there - some)
                self._anonymous(side, ticks, there - some)
        if lots > 0:
            self.summary.unknown_lots += lots
            if kind == _EXECUTE:
                self._row(_EXECUTE, id, side, ticks, lots)

    def _candidates(self, side: int, ticks: int) -> list[tuple[int, int]]:
        """Orders at a price that an unknown one may be: the anonymous, oldest first, then those that no later message
        names, newest first."""
        queue = self.book.queue(side, ticks)
        gone = [(id, lots) for id, lots in queue if id < ANONYMOUS and self.last_row[id] <= self.at]
        return [entry for entry in queue if entry[0] >= ANONYMOUS] + gone[::-1]

    def _halt(self, price: int) -> None:
        """L5: trading stops (-1): the venue takes no orders; quotes only (0); trading goes on (1) with what rests."""
        self.summary.halts += price < 0
        if price < 0 and not self.halted:
            self.halted = True
            self._row(KINDS["LINK_DOWN"], 0, 0, 0, 0)
        elif price > 0 and self.halted:
            self.halted = False
            self._row(KINDS["LINK_UP"], 0, 0, 0, 0)
            orders = [(id, side, ticks, lots) for side in (BUY, SELL) for ticks, _ in self.book.book.levels(side)
                      for id, lots in self.book.queue(side, ticks)]
            if orders:
                self._row(KINDS["SNAPSHOT_BEGIN"], 0, 0, 0, 0)
            for order in orders:
                self._row(_ADD, *order, _SNAPSHOT)

    # ---- the recorded book -------------------------------------------------------------------------------------------

    def _compare(self, recorded: tuple[Levels, Levels]) -> None:
        """L3: the book against the recorded row; levels that have just come into sight are taken from it."""
        revealed = wrong = False
        for side, levels in zip((BUY, SELL), recorded, strict=True):
            full = len(levels) == self.levels
            ours = self.book.book.levels(side, self.levels if full else -1)
            if ours != levels:
                seen, disagree = self._adopt(side, dict(levels), full)
                revealed, wrong = revealed or seen, wrong or disagree
            self.sight[side] = levels[-1][0] if full else None
        self.summary.book_rows += 1
        self.summary.book_rows_wrong += wrong
        self.summary.book_rows_revealed += revealed and not wrong
        self.summary.book_rows_equal += not revealed and not wrong

    def _adopt(self, side: int, levels: dict[int, int], full: bool) -> tuple[bool, bool]:
        """Make one side's levels the recorded ones; whether any that changed was out of sight, or in sight, before."""
        revealed = wrong = False
        sight, end = self.sight[side], (min if side == BUY else max)(levels) if full and levels else None
        here = {ticks: lots for ticks, lots in self.book.book.levels(side)
                if end is None or (ticks >= end if side == BUY else ticks <= end)}
        for ticks in sorted(levels.keys() | here.keys()):
            want, have = levels.get(ticks, 0), here.get(ticks, 0)
            if want == have:
                continue
            if sight is not None and (ticks < sight if side == BUY else ticks > sight):
                revealed = True
                self.summary.levels_revealed += 1
            else:
                wrong = True
            if want > have:
                self._anonymous(side, ticks, want - have)
            else:
                self._reduce(side, ticks, have - want)
        return revealed, wrong

    def _reduce(self, side: int, ticks: int, lots: int) -> None:
        """Orders that went while their price was out of sight: first those that no later message names, the newest
        first, then anonymous ones, then any."""
        queue = self.book.queue(side, ticks)[::-1]
        gone = [e for e in queue if e[0] < ANONYMOUS and self.last_row[e[0]] <= self.at]
        rest = [e for e in queue if e[0] >= ANONYMOUS]
        for id, there in [*gone, *rest, *(e for e in queue if e not in gone and e not in rest)]:
            if lots <= 0:
                return
            some = min(there, lots)
            lots -= some
            self._off(_DELETE, id, side, ticks, some)
            if id < ANONYMOUS and some < there:
                self._off(_DELETE, id, side, ticks, there - some)
                self._anonymous(side, ticks, there - some)

    # ---- rows --------------------------------------------------------------------------------------------------------

    def _anonymous(self, side: int, ticks: int, lots: int) -> None:
        """A new anonymous order, which was there before it came into sight."""
        self.book.add(self.anonymous, side, ticks, lots)
        self._row(_ADD, self.anonymous, side, ticks, lots, _SNAPSHOT)
        self.anonymous += 1

    def _off(self, kind: int, id: int, side: int, ticks: int, lots: int) -> None:
        self.book.delete(id, lots)
        self._row(kind, id, side, ticks, lots)

    def _row(self, kind: int, id: int, side: int, ticks: int, lots: int, flags: int = 0) -> None:
        self.summary.order_updates += _ADD <= kind <= _EXECUTE
        self.rows.append((self.now, self.now, self.at + 1, id, ticks, lots, 0, 0, flags | _BOTH, kind, side))

    def _close(self) -> None:
        """The last row ends its message."""
        row = self.rows[-1]
        self.rows[-1] = (*row[:8], row[8] | _LAST, *row[9:])
        self._flush(CHUNK_ROWS)

    def _flush(self, least: int) -> None:
        if self.rows and len(self.rows) >= least:
            self.tape.append(*pack(np.array(self.rows, EVENT_DTYPE)))
            self.rows.clear()


def _units(step: str, places: int, option: str) -> tuple[int, int]:
    """A step as (numerator, denominator) of the file's unit, 10**-places: value * denominator // numerator steps."""
    size, own = scaled(step)
    if size <= 0:
        raise ConfigError(f"{step!r} is not > 0", option, "Give a positive decimal")
    up, down = max(own - places, 0), max(places - own, 0)
    return size * 10**down, 10**up
