"""Messages of many instruments to rows of one tape: grids, books' sync, closing of messages.

A recording is read twice by the same code. First a sheet learns from a sample which instruments there are, and their
grids: the exact common divisors of all prices and of all quantities. Then a sheet writes; where the sample was too
small, it says so (Unsure), and the first reading goes over everything.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from apex._core.book import Book
from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, SIDES, pack
from apex.domain.errors import InputError
from apex.domain.instrument import Instrument
from apex.importers.common import FeedSummary, FrameProblem
from apex.importers.grid import Draft, Facts, Grid, Key, Steps, Unsure, decimal, nearest
from apex.store.tape import TapeWriter

Level = Sequence[Any]
"""A price and a quantity as written; more fields are not looked at."""
BUY, SELL, NO_SIDE = SIDES["BUY"], SIDES["SELL"], SIDES["NO_SIDE"]
NOT_MARKET = FLAGS["NOT_MARKET"]
HISTORY = FLAGS["SNAPSHOT"] | NOT_MARKET
"""Flags of trades from before the subscription."""
CHUNK_ROWS, HELD_ROWS = 1 << 16, 1 << 18
"""Rows that are handed on at once, and as many where a snapshot waits for its venue time."""
RATE_PLACES = 12
_LEVEL, _BEGIN, _TRADE, _QUOTE, _MARK, _GAP, _DOWN = (KINDS[name] for name in (
    "BOOK_LEVEL", "SNAPSHOT_BEGIN", "TRADE", "QUOTE", "MARK", "LINK_GAP", "LINK_DOWN"))


class Sheet:
    """Takes messages and makes rows of them.

    Parameters
    ----------
    steps : Steps
        Of the command line.
    tape : TapeWriter, optional
        With `instruments`, as `instruments()` of a sheet that learned gives them: write. Without: learn.
    guessed : bool
        Whether they were learned from a sample only.
    synced : bool
        Whether books are in sync without a snapshot.

    Attributes
    ----------
    now : int
        Local time of the message, ns; the reader of the recording sets it.
    learning : bool
    summary : FeedSummary
    """

    def __init__(self, steps: Steps, tape: TapeWriter | None = None, instruments: Sequence[Instrument] = (),
                 guessed: bool = False, synced: bool = False) -> None:
        self.steps, self.tape, self.guessed, self.synced = steps, tape, guessed, synced
        self.learning = tape is None
        self.drafts: dict[Key, Draft] = {}
        self.summary = FeedSummary(channels={})
        self.now = 0
        self._known = {x.key: (number, x) for number, x in enumerate(instruments)}
        self.books = [Book(synced=synced) for _ in instruments]
        self._clocks: dict[str, int] = {}
        self._open: dict[int, int] = {}
        self._clear()

    def _clear(self) -> None:
        self._heads: list[tuple[int, int, int, int, int, int]] = []
        self._flags: list[int] = []
        self._sides: list[int] = []
        self._prices: list[int] = []
        self._lots: list[int] = []
        self._aux: dict[int, int] = {}

    def draft(self, venue: str, symbol: str, facts: Facts) -> Draft:
        """The instrument of this name; made when it is first asked for."""
        key = (venue, symbol, facts.kind)
        draft = self.drafts.get(key)
        if draft is None:
            number, known = self._known.get(key, (-1, None))
            tick, lot = self.steps.of(Instrument(symbol, venue, "1", "1", facts.kind).called)
            guessed = self.guessed and tick is None, self.guessed and lot is None
            if known:
                tick, lot = known.tick, known.lot
            draft = Draft(venue, symbol, facts, Grid(tick, guessed[0]), Grid(lot, guessed[1]), number)
            draft.synced = self.synced
            self.drafts[key] = draft
        return draft

    def instruments(self) -> list[Instrument]:
        """Those that have rows, with their grids."""
        found = [draft.instrument() for draft in self.drafts.values() if draft.used]
        self.steps.check(found)
        return found

    # ---- messages --------------------------------------------------------------------------------------------------

    def snapshot(self, draft: Draft, ts: int, sequence: int, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """A whole book, which may be empty.

        Without a time (0) it takes that of the first delta it joins, but none later than the latest that the venue had
        shown until then: the next delta of a quiet book is long after.
        """
        self.summary.snapshots += 1
        self.summary.snapshot_levels += len(bids) + len(asks)
        draft.held = None if ts else len(self._heads)
        ts = self._forward(draft, ts) if ts else self._clocks.get(draft.venue, 0)
        draft.synced, draft.last = True, sequence
        self._put(draft, _BEGIN, ts, sequence, [(NO_SIDE, 0, 0)], 0)
        self._levels(draft, ts, sequence, bids, asks, FLAGS["SNAPSHOT"])

    def more_of_snapshot(self, draft: Draft, ts: int, sequence: int, bids: Sequence[Level],
                         asks: Sequence[Level]) -> None:
        """Further levels of the snapshot that has begun."""
        self.summary.snapshot_levels += len(bids) + len(asks)
        self._levels(draft, self._forward(draft, ts), sequence, bids, asks, FLAGS["SNAPSHOT"])

    def update(self, draft: Draft, ts: int, sequence: int, bids: Sequence[Level], asks: Sequence[Level],
               count: int | None = None) -> None:
        """Changes of a book in sync; `count`: as how many of the venue's entries they count, where not as their own."""
        self.summary.level_updates_applied += len(bids) + len(asks) if count is None else count
        draft.last = sequence
        ts = self._forward(draft, ts)
        if draft.held is not None:
            self._join(draft, draft.held, ts)
        self._levels(draft, ts, sequence, bids, asks, 0)

    def _join(self, draft: Draft, at: int, ts: int) -> None:
        """Give a snapshot without a time the venue time of the delta that joins it, if that is before the clock's."""
        draft.held = None
        while at < len(self._heads) and self._heads[at][4] == draft.number and self._heads[at][5] in (_BEGIN, _LEVEL):
            local, clock, sequence, count, number, kind = self._heads[at]
            self._heads[at] = local, min(ts, clock or ts), sequence, count, number, kind
            self._flags[at] = self._flags[at] & ~FLAGS["NO_VENUE_TIME"] | FLAGS["AT_VENUE"]
            at += 1

    def gap(self, draft: Draft, ts: int, sequence: int) -> None:
        """A break of the venue's rule: the book is out of sync."""
        self.summary.sequence_gaps += 1
        draft.synced, draft.held = False, None
        self._put(draft, _GAP, self._forward(draft, ts), sequence, [(NO_SIDE, 0, 0)], 0)

    def checked(self, draft: Draft, right: bool, ts: int, sequence: int) -> None:
        """A checksum of the book was compared; a wrong one is a break of the venue's rule."""
        if right:
            self.summary.checksums_right += 1
        else:
            self.summary.checksums_wrong += 1
            self.gap(draft, ts, sequence)

    def down(self, draft: Draft) -> None:
        """The connection was lost: the book is out of sync."""
        draft.synced, draft.held = False, None
        self._put(draft, _DOWN, draft.clock, draft.last, [(NO_SIDE, 0, 0)], 0)

    def trade(self, draft: Draft, ts: int, sequence: int, side: int, price: Any, quantity: Any, flags: int = 0) -> None:
        """A trade; `side` is the aggressor's. One of no quantity is left out."""
        ticks, lots = draft.price[price], draft.lots[quantity]
        if lots < 0:
            raise FrameProblem(f"a trade of {quantity}", "The line is damaged", "quantity")
        if lots == 0:
            self.summary.ignored_messages += 1
            return
        self.summary.trades += 1
        self.heard(draft, ts)
        if flags & FLAGS["SNAPSHOT"]:
            self.summary.history_trades += 1
        self._put(draft, _TRADE, ts, sequence, [(side, ticks, lots)], flags)

    def quote(self, draft: Draft, ts: int, sequence: int, bid: Level, ask: Level) -> None:
        """Best bid and ask as [price, quantity]: no row for a price that is empty or 0, 0 lots if none are told."""
        rows = []
        for side, (price, quantity, *_) in ((BUY, bid), (SELL, ask)):
            if price is not None and price != "" and (ticks := draft.price[price]):
                rows.append((side, ticks, draft.lots[quantity] if quantity not in (None, "") else 0))
        self._put(draft, _QUOTE, ts, sequence, rows, 0)

    def mark(self, draft: Draft, ts: int, mark: Any, index: Any, rate: Any, next_ns: int) -> None:
        """Mark and index price, funding rate and the time of the next funding (0: none)."""
        self.summary.mark_prices += 1
        if self.learning:
            draft.used = True
            return
        first, second = draft.price.mark(mark), draft.price.mark(index)
        at = len(self._prices)
        self._put(draft, _MARK, ts, 0, [(NO_SIDE, *first), (NO_SIDE, *second)], 0)
        self._aux[at] = nearest(rate, RATE_PLACES)
        self._aux[at + 1] = next_ns

    def _forward(self, draft: Draft, ts: int) -> int:
        """Venue time of a book message: never before that of the one before, since books are read in their order."""
        if ts < draft.clock:
            self.summary.venue_time_steps_back += 1
            return draft.clock
        draft.clock = ts
        self.heard(draft, ts)
        return ts

    def heard(self, draft: Draft, ts: int) -> None:
        """A venue has shown a time: its clock is at least there."""
        if ts > self._clocks.get(draft.venue, 0):
            self._clocks[draft.venue] = ts

    def _levels(self, draft: Draft, ts: int, sequence: int, bids: Sequence[Level], asks: Sequence[Level],
                flags: int) -> None:
        price, lots = draft.price, draft.lots
        prices = [price[level[0]] for level in bids] + [price[level[0]] for level in asks]
        sizes = [lots[level[1]] for level in bids] + [lots[level[1]] for level in asks]
        if not prices:
            return
        if min(sizes) < 0:
            raise FrameProblem("a level with a negative quantity", "The line is damaged", "quantity")
        draft.used = draft.has_book = True
        if self.learning:
            return
        self._sides += [BUY] * len(bids)
        self._sides += [SELL] * len(asks)
        self._prices += prices
        self._lots += sizes
        self._head(draft, _LEVEL, ts, sequence, len(prices), flags)

    def _put(self, draft: Draft, kind: int, ts: int, sequence: int, rows: list[tuple[int, int, int]],
             flags: int) -> None:
        if not rows:
            return
        draft.used = True
        if kind in (_BEGIN, _GAP, _DOWN):
            draft.has_book = True
        if self.learning:
            return
        for side, ticks, lots in rows:
            self._sides.append(side)
            self._prices.append(ticks)
            self._lots.append(lots)
        self._head(draft, kind, ts, sequence, len(rows), flags)

    def _head(self, draft: Draft, kind: int, ts: int, sequence: int, count: int, flags: int) -> None:
        """Close a batch over the last `count` rows."""
        if draft.number < 0:
            raise Unsure
        if not 0 <= sequence < 1 << 64:
            raise FrameProblem(f"a sequence number of {sequence}", "The line is damaged", "sequence")
        self._open[draft.number] = len(self._heads)
        self._heads.append((self.now, ts, sequence, count, draft.number, kind))
        self._flags.append(flags | FLAGS["AT_LOCAL"] | (FLAGS["AT_VENUE"] if ts else FLAGS["NO_VENUE_TIME"]))

    # ---- what comes out --------------------------------------------------------------------------------------------

    def end(self) -> None:
        """The venue's message is whole: its last row of each instrument closes it."""
        for at in self._open.values():
            self._flags[at] |= FLAGS["LAST_IN_BATCH"]
        self._open.clear()
        if len(self._prices) >= CHUNK_ROWS:
            waits = any(draft.held is not None for draft in self.drafts.values())
            if not waits or len(self._prices) >= HELD_ROWS:
                self.flush()

    def flush(self) -> None:
        """Hand the rows so far to the tape, and follow them in the books."""
        if self.tape is None or not self._heads:
            return
        for draft in self.drafts.values():
            draft.held = None                        # who waits no longer keeps the clock's time
        local, ts, sequence, counts, numbers, kinds = zip(*self._heads, strict=True)
        count = np.array(counts, np.int64)
        events = np.zeros(int(count.sum()), EVENT_DTYPE)
        for name, column in (("ts_local_ns", local), ("ts_exchange_ns", ts), ("sequence", sequence),
                             ("instrument", numbers), ("kind", kinds)):
            events[name] = np.repeat(np.array(column, EVENT_DTYPE[name]), count)
        flags = np.array(self._flags, np.uint16)
        events["flags"] = np.repeat(flags & ~np.uint16(FLAGS["LAST_IN_BATCH"]), count)
        events["flags"][np.cumsum(count) - 1] = flags
        events["side"], events["price_ticks"], events["quantity_lots"] = self._sides, self._prices, self._lots
        for at, value in self._aux.items():
            events["aux"][at] = value
        self._clear()
        packed = pack(events)
        self.tape.append(*packed)
        for number, book in enumerate(self.books):
            book.apply(*packed, instrument=number)

    def finish(self) -> FeedSummary:
        """Write what is left; the summary but for what the closed tape knows."""
        self.end()
        self.flush()
        self.summary.crossed_books = sum(book.crossed_messages for book in self.books)
        with_book = [draft for draft in self.drafts.values() if draft.has_book]
        self.summary.synced = bool(with_book) and all(draft.synced for draft in with_book)
        return self.summary


def convert(read: Callable[[Sheet, bool], None], out: Path, steps: Steps, source: str, where: str, *,
            synced: bool = False) -> FeedSummary:
    """Read a recording to a tape: a sample to learn from, then everything.

    Parameters
    ----------
    read : callable
        Gives a sheet the messages of the sample (True) or all.
    source : str
        For the tape's header.
    where : str
        For the error when there is nothing.
    synced : bool
        Whether books are in sync without a snapshot.

    Raises
    ------
    InputError
        If there is no message that a tape holds.
    """
    for sample in (True, False):
        learning = Sheet(steps, synced=synced)
        read(learning, sample)
        instruments = learning.instruments()
        if not instruments:
            continue
        try:
            with TapeWriter(out, instruments, source=source, synced_from_start=synced) as tape:
                sheet = Sheet(steps, tape, instruments, sample, synced)
                read(sheet, False)
                summary = sheet.finish()
        except Unsure:
            continue
        summary.finish(instruments, tape.header)
        return summary
    raise InputError("no message of a book, a trade or a ticker", where, "Give a recording with at least one")


class FullBook:
    """Books that come whole each time, as the changes from one to the next."""

    def __init__(self) -> None:
        self.sides: tuple[dict[Any, Any], dict[Any, Any]] = ({}, {})

    def change(self, bids: Sequence[Level], asks: Sequence[Level]) -> list[list[Level]]:
        """What bids and asks must be told to become these: levels gone first, with quantity 0."""
        found: list[list[Level]] = []
        new = tuple({level[0]: level[1] for level in side} for side in (bids, asks))
        for before, after in zip(self.sides, new, strict=True):
            gone: list[Level] = [(price, 0) for price in before if price not in after]
            found.append(gone + [(p, q) for p, q in after.items() if before.get(p) != q])
        self.sides = (new[0], new[1])
        return found

    def apply(self, bids: Sequence[Level], asks: Sequence[Level]) -> None:
        """Take over changes that were told as such."""
        for side, levels in zip(self.sides, (bids, asks), strict=True):
            for price, quantity, *_ in levels:
                if decimal(quantity)[0]:
                    side[price] = quantity
                else:
                    side.pop(price, None)


def of_full_books(sheet: Sheet, draft: Draft, book: FullBook, ts: int, sequence: int, bids: Sequence[Level],
                  asks: Sequence[Level]) -> None:
    """A venue's message that is the whole book: the first begins it on the tape, later ones are the changes they make.

    Each counts as a snapshot. Changes keep the place of orders in queues and the features of the book, which a new
    beginning would not.
    """
    changes = book.change(bids, asks)
    if draft.synced:
        sheet.summary.snapshots += 1
        sheet.summary.snapshot_levels += len(bids) + len(asks)
        sheet.update(draft, ts, sequence, changes[0], changes[1], 0)
    else:
        sheet.snapshot(draft, ts, sequence, bids, asks)
