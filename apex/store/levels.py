"""A tape of orders as a tape of levels and trades: what a feed by price would have told of the same market."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, pack, unpack
from apex._core.l3 import L3Book, totals
from apex.domain.errors import InputError
from apex.domain.instrument import names
from apex.store.layout import Array, row_chunks
from apex.store.tape import Tape
from apex.store.writer import TapeWriter

Advance = Callable[[int], None]
_LEVEL, _ADD, _EXECUTE, _BEGIN = (
    KINDS[name] for name in ("BOOK_LEVEL", "ORDER_ADD", "ORDER_EXECUTE", "SNAPSHOT_BEGIN"))
_LAST, _SNAPSHOT, _NOT_MARKET = (np.uint16(FLAGS[name]) for name in ("LAST_IN_BATCH", "SNAPSHOT", "NOT_MARKET"))
_BOTH = FLAGS["AT_LOCAL"] | FLAGS["AT_VENUE"]
_MIN = int(np.iinfo(np.int64).min)


def as_levels(tape: Tape, out: Path, advance: Advance = lambda done: None) -> dict[str, Any]:
    """Write the tape with its books of orders as books of levels; its header.

    Each change of an order becomes the new totals of the levels that it changes, an execution a trade before them, in
    the same message. A snapshot tells each level once. Other rows, and instruments with levels, stay as they are.

    Parameters
    ----------
    advance : callable
        Told the batches done.

    Raises
    ------
    InputError
        Where orders came to us in another order than the venue's: a total is true at one place in one order only.
    """
    wanted = {i: L3Book() for i in tape.order_books()}
    venue = dict.fromkeys(wanted, _MIN)
    with TapeWriter(out, tape.instruments, source=tape.header["source"], seed=tape.header["seed"],
                    synced_from_start=tape.header["synced_from_start"]) as writer:
        for rows in _whole_messages(tape, advance):
            for i, last in venue.items():
                venue[i] = _venue_time(tape, rows[rows["instrument"] == i], i, last)
            writer.append(*pack(_told(rows, wanted)))
    return writer.header


def _whole_messages(tape: Tape, advance: Advance) -> Iterator[Array]:
    """Rows of the tape, cut only where no instrument has a message open."""
    kept = np.zeros(0, EVENT_DTYPE)
    for begin, end in row_chunks(tape.batches):
        kept = np.concatenate((kept, unpack(tape.batches[begin:end], tape.levels, tape.rows)))
        cut = len(kept)
        for i in range(len(tape.instruments)):
            mine = np.flatnonzero(kept["instrument"] == i)
            closed = np.flatnonzero(kept["flags"][mine] & _LAST)
            open_from = int(closed[-1]) + 1 if len(closed) else 0
            if open_from < len(mine):
                cut = min(cut, int(mine[open_from]))
        if cut:
            yield kept[:cut]
            kept = kept[cut:]
        tape.release(begin)
        advance(end)
    if len(kept):
        yield kept


def _venue_time(tape: Tape, rows: Array, instrument: int, last: int) -> int:
    """The last venue time of an instrument's orders, which must not go back nor be known on one side only."""
    rows = rows[(rows["kind"] >= _ADD) & (rows["kind"] <= _EXECUTE)]
    times = np.concatenate(([last], rows["ts_exchange_ns"]))
    timed = (rows["flags"] & FLAGS["NO_VENUE_TIME"] == 0).all()
    if not timed or (rows["flags"] & _BOTH != _BOTH).any() or (times[1:] < times[:-1]).any():
        raise InputError(f"orders of {names(tape.instruments)[instrument]} were received in another order than the "
                         "venue's", str(tape.path), "Replay the tape of orders itself", "venue_order")
    return int(times[-1])


def _told(rows: Array, books: dict[int, L3Book]) -> Array:
    """Whole messages with the orders of `books` told as levels."""
    made, places = [], []
    others = np.flatnonzero(~np.isin(rows["instrument"], list(books)))
    made.append(rows[others])
    places.append(others)
    for i, book in books.items():
        mine = np.flatnonzero(rows["instrument"] == i)
        theirs = rows[mine]
        found, source = totals(book, theirs)
        found, source = _once(found, source, theirs)
        found["flags"] = _closed(found["flags"], source, theirs["flags"])
        made.append(found)
        places.append(mine[source])
    order = np.argsort(np.concatenate(places), kind="stable")
    return np.concatenate(made)[order]


def _messages(flags: Array) -> Array:
    """Number of the message of each row, from 0."""
    return np.cumsum(np.concatenate(([0], (flags[:-1] & _LAST) != 0)))


def _once(found: Array, source: Array, rows: Array) -> tuple[Array, Array]:
    """Of a snapshot's levels the last total only; orders that come into sight later are changes of levels."""
    message = _messages(rows["flags"])
    whole = np.isin(message, message[rows["kind"] == _BEGIN])[source]
    level = found["kind"] == _LEVEL
    found["flags"][level & ~whole] &= ~_SNAPSHOT
    found["flags"][level] &= ~_NOT_MARKET
    inside = np.flatnonzero(level & whole)
    if not len(inside):
        return found, source
    keys = np.stack((message[source[inside]], found["side"][inside].astype(np.int64), found["price_ticks"][inside]))
    last = np.ones(len(inside), np.bool_)
    by = np.lexsort((inside, *keys[::-1]))
    last[by[:-1]] = (keys[:, by[1:]] != keys[:, by[:-1]]).any(axis=0)
    keep = np.ones(len(found), np.bool_)
    keep[inside[~last]] = False
    return found[keep], source[keep]


def _closed(flags: Array, source: Array, before: Array) -> Array:
    """Flags with LAST_IN_BATCH on the last row that is left of each message."""
    message = _messages(before)[source]
    ends = np.concatenate((message[1:] != message[:-1], [True]))[:len(message)]
    return np.where(ends, flags | _LAST, flags & ~_LAST)
