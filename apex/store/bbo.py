"""Best bid and offer of a tape's books at given times, from depth events only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from apex._core.book import Book
from apex._core.events import FLAGS, KINDS, SIDES
from apex._core.l3 import L3Book
from apex.store.layout import Array
from apex.store.tape import Tape

_CHUNK = 1 << 15
_DEPTH = [KINDS[name] for name in ("BOOK_LEVEL", "BOOK_CLEAR", "SNAPSHOT_BEGIN", "ORDER_ADD", "ORDER_MODIFY",
                                   "ORDER_DELETE", "ORDER_EXECUTE")]


class Touch(NamedTuple):
    """The touch of one book; ticks and lots are None where a side is empty.

    A book is not `synced` before the first depth event, also on a tape that was in sync from its start: of one with
    quotes and trades alone nothing is known.
    """

    ts: int
    bid_ticks: int | None
    bid_lots: int | None
    ask_ticks: int | None
    ask_lots: int | None
    bid_levels: int
    ask_levels: int
    synced: bool


def touches(tape: Tape, instrument: int, times: Sequence[int],
            advance: Callable[[int], None] = lambda done: None) -> list[Touch]:
    """The touch after every event with local time <= each of `times`, in the order given.

    Parameters
    ----------
    tape : Tape
    instrument : int
        Index in the tape's table.
    times : sequence of int
        Recorded local times, UTC ns, in any order.
    advance : callable
        Told the number of messages done.

    Complexity: one pass over the tape up to the latest time.
    """
    reader = L3Book(synced=bool(tape.header.get("synced_from_start")))
    book = reader.book
    found: dict[int, Touch] = {}
    seen = False
    wanted = sorted(set(times))
    for start, stop in _slices(tape, instrument, wanted):
        if isinstance(stop, Mark):
            found[stop.ts] = _touch(book, stop.ts, seen)
            continue
        reader.apply(tape.batches[:stop], tape.levels, tape.rows, instrument=instrument, start=start)
        seen = seen or _has_depth(tape.batches[start:stop], instrument)
        tape.release(start)
        advance(stop)
    return [found[ts] for ts in times]


class Mark(NamedTuple):
    """A place between two slices where a time was asked for."""

    ts: int


def _slices(tape: Tape, instrument: int, wanted: list[int]) -> Iterator[tuple[int, int | Mark]]:
    """Ranges of batches to apply, with a Mark after the last event of each wanted time.

    Local time is in order within an instrument's local view only, so the cuts are looked for there.
    """
    at = 0
    for start in range(0, len(tape.batches), _CHUNK):
        if at == len(wanted):
            return
        chunk = tape.batches[start:start + _CHUNK]
        mine = np.flatnonzero((chunk["instrument"] == instrument) & ((chunk["flags"] & FLAGS["AT_LOCAL"]) != 0))
        ts = chunk["ts_local_ns"][mine]
        low = start
        while at < len(wanted) and len(ts) and wanted[at] < ts[-1]:
            cut = start + int(mine[np.searchsorted(ts, wanted[at], "right")])
            if cut > low:
                yield low, cut
                low = cut
            yield cut, Mark(wanted[at])
            at += 1
        if at < len(wanted):
            yield low, start + len(chunk)
    for left in wanted[at:]:
        yield len(tape.batches), Mark(left)


def _has_depth(batches: Array, instrument: int) -> bool:
    """Whether a message tells us something of the instrument's book."""
    ours = (batches["instrument"] == instrument) & ((batches["flags"] & FLAGS["AT_LOCAL"]) != 0)
    return bool(np.isin(batches["kind"][ours], _DEPTH).any())


def _touch(book: Book, ts: int, seen: bool) -> Touch:
    bid, ask = book.bid_ticks, book.ask_ticks
    return Touch(
        ts, bid, None if bid is None else book.quantity(SIDES["BUY"], bid),
        ask, None if ask is None else book.quantity(SIDES["SELL"], ask),
        book.level_count(SIDES["BUY"]), book.level_count(SIDES["SELL"]), book.synced and seen,
    )
