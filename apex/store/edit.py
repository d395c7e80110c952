"""Tapes from tapes: a part in time, and several put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, SIDES, pack, unpack
from apex._core.l3 import L3Book
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument, names
from apex.store.layout import CHUNK_ROWS, Array, row_chunks
from apex.store.tape import Tape
from apex.store.writer import TapeWriter

_LEVEL, _CLEAR, _BEGIN, _GAP, _DOWN = (KINDS[name] for name in (
    "BOOK_LEVEL", "BOOK_CLEAR", "SNAPSHOT_BEGIN", "LINK_GAP", "LINK_DOWN"))
_ADD = KINDS["ORDER_ADD"]
BOOK_KINDS = [_LEVEL, _CLEAR, _BEGIN, _GAP, _DOWN,
              *(KINDS[name] for name in ("ORDER_ADD", "ORDER_MODIFY", "ORDER_DELETE", "ORDER_EXECUTE"))]
_LOCAL, _VENUE, _LAST = FLAGS["AT_LOCAL"], FLAGS["AT_VENUE"], FLAGS["LAST_IN_BATCH"]
_MAX = int(np.iinfo(np.int64).max)
_MIN = int(np.iinfo(np.int64).min)
Advance = Callable[[int], None]


def cut(tape: Tape, out: Path, start: int | None, stop: int | None,
        advance: Advance = lambda done: None) -> dict[str, Any]:
    """The rows with start <= local time <= stop as a tape of their own; its header.

    An instrument whose book is in sync at `start` begins with a snapshot of it, so that the book of the part is that of
    the whole at every time. The snapshot's local time is `start`, its venue time that of the last book message before,
    but none later than what follows.

    Parameters
    ----------
    start, stop : int or None
        Recorded local times, UTC ns; None: from the beginning, to the end.
    advance : callable
        Told the batches done, up to twice the tape's.

    Complexity: one pass over the batches before `stop`.
    """
    low, high = _MIN if start is None else start, _MAX if stop is None else stop
    if low > high:
        raise ConfigError(f"the part would end at {high}, before it begins at {low}", "--from, --to",
                          "Give the earlier time with --from")
    size, synced = len(tape.batches), bool(tape.header["synced_from_start"])
    if tape.header["first_ts"] is not None and (low > tape.header["last_ts"] or high < tape.header["first_ts"]):
        raise ConfigError(f"nothing of {tape.path} lies in {_span(start, stop)}", "--from, --to",
                          f"Its local times are {tape.header['first_ts']} to {tape.header['last_ts']}")
    states = [_State(synced) for _ in tape.instruments]
    for at in range(0, size, CHUNK_ROWS):
        part = tape.batches[at:at + CHUNK_ROWS]
        _before(part, low, states, tape)
        tape.release(at)
        advance(at)
    with TapeWriter(out, tape.instruments, source=tape.header["source"], seed=tape.header["seed"],
                    synced_from_start=synced) as writer:
        if start is not None:
            for number, state in enumerate(states):
                if state.applied and (state.book.synced or synced):
                    writer.append(*pack(state.opening(number, start)))
        for begin, end in row_chunks(tape.batches):
            part = tape.batches[begin:end]
            mine = (part["ts_local_ns"] >= low) & (part["ts_local_ns"] <= high)
            if mine.any():
                writer.append(*pack(unpack(part[mine], tape.levels, tape.rows)))
            tape.release(begin)
            advance(size + begin)
    return writer.header


def _span(start: int | None, stop: int | None) -> str:
    return " to ".join("the " + word if ts is None else str(ts) for word, ts in (("beginning", start), ("end", stop)))


class _State:
    """Book of an instrument up to the cut, and the numbers of its last message."""

    def __init__(self, synced: bool) -> None:
        self.orders = L3Book(synced=synced)
        self.book = self.orders.book                 # their totals, or the levels of a book without orders
        self.applied = False
        self.sequence = 0
        self.venue, self.next = _MIN, _MAX

    def opening(self, number: int, local: int) -> Array:
        """Rows of a snapshot of the book, its orders front first; of one out of sync, a gap."""
        sides = (SIDES["BUY"], SIDES["SELL"]) if self.book.synced else ()
        whole = len(self.orders) > 0
        levels = [(side, ticks, lots, id) for side in sides for ticks, total in self.book.levels(side)
                  for id, lots in (self.orders.queue(side, ticks) if whole else ((0, total),))]
        rows = np.zeros(1 + len(levels), EVENT_DTYPE)
        rows["ts_local_ns"], rows["sequence"], rows["instrument"] = local, self.sequence, number
        rows["kind"], rows["flags"] = _ADD if whole else _LEVEL, _LOCAL | FLAGS["NO_VENUE_TIME"] | FLAGS["SNAPSHOT"]
        rows["kind"][0], rows["flags"][0] = _BEGIN if self.book.synced else _GAP, _LOCAL | FLAGS["NO_VENUE_TIME"]
        if self.venue > _MIN:
            rows["ts_exchange_ns"] = min(self.venue, self.next)
            rows["flags"] = rows["flags"] & ~np.uint16(FLAGS["NO_VENUE_TIME"]) | np.uint16(_VENUE)
        rows["flags"][-1] |= _LAST
        fields = ("side", "price_ticks", "quantity_lots", "order_id")
        for name, column in zip(fields, zip(*levels, strict=True), strict=False):
            rows[name][1:] = column
        return rows


def _before(part: Array, low: int, states: list[_State], tape: Tape) -> None:
    """Follow the books up to a local time, and see what venue times come after."""
    book_kind = np.isin(part["kind"], BOOK_KINDS)
    earlier = part["ts_local_ns"] < low
    timed = part["flags"] & _VENUE != 0
    for number, state in enumerate(states):
        mine = book_kind & (part["instrument"] == number)
        after = part["ts_exchange_ns"][mine & ~earlier & timed]
        state.next = min(state.next, int(after.min(initial=_MAX)))
        mine &= earlier
        if not mine.any():
            continue
        chosen = part[mine]
        state.orders.apply(chosen, tape.levels, tape.rows, instrument=number)
        state.applied = True
        state.sequence = int(chosen["sequence"][-1])
        state.venue = max(state.venue, int(part["ts_exchange_ns"][mine & timed].max(initial=_MIN)))


# ---- merge -----------------------------------------------------------------------------------------------------------


class _Span(NamedTuple):
    """An instrument on one of the tapes: first and last local time, and whether its book is known from the start."""

    tape: int
    first: int
    last: int
    begins: bool


def merge(tapes: Sequence[Tape], out: Path, advance: Advance = lambda done: None) -> dict[str, Any]:
    """Several tapes as one, by local time; its header. At one time the order of the tapes decides.

    Instruments of the same venue, symbol and kind are one: their parts must not overlap, and are joined. A part that
    neither begins with a snapshot nor was in sync from its start begins with LINK_DOWN, since what lies between is not
    known.

    Parameters
    ----------
    tapes : sequence of Tape
        Opened; at least one.
    advance : callable
        Told the batches done.

    Raises
    ------
    ConfigError
        For parts of an instrument that overlap, or are recorded on different grids.
    """
    table, places = _table(tapes)
    synced = all(tape.header["synced_from_start"] for tape in tapes)
    spans = _spans(tapes, places)
    first = _openings(tapes, spans, places, synced)
    _check_spans(tapes, spans, table)
    sources = sorted({tape.header["source"] for tape in tapes})
    seeds = {tape.header["seed"] for tape in tapes}
    done = 0
    with TapeWriter(out, table, source="+".join(sources), seed=seeds.pop() if len(seeds) == 1 else None,
                    synced_from_start=synced) as writer:
        for events, count in _by_time(tapes, places, first):
            writer.append(*pack(events))
            done += count
            advance(done)
    return writer.header


def _table(tapes: Sequence[Tape]) -> tuple[list[Instrument], list[Array]]:
    """The instruments of all tapes, and where each tape's own are in them."""
    table: list[Instrument] = []
    places = []
    for tape in tapes:
        place = []
        for x in tape.instruments:
            at = next((i for i, known in enumerate(table) if known.key == x.key), len(table))
            if at == len(table):
                table.append(x)
            elif table[at] != x:
                known = table[at]
                raise ConfigError(
                    f"{x.called[1]} is recorded with tick {known.tick}, lot {known.lot}, multiplier {known.multiplier} "
                    f"and with {x.tick}, {x.lot}, {x.multiplier}", str(tape.path),
                    "Import the parts with the same --tick and --lot")
            place.append(at)
        places.append(np.array(place, np.uint32))
    return table, places


def _spans(tapes: Sequence[Tape], places: list[Array]) -> list[list[_Span]]:
    """Of each instrument of the table, its parts."""
    spans: list[list[_Span]] = [[] for _ in range(1 + max(int(p.max(initial=0)) for p in places))]
    for number, tape in enumerate(tapes):
        count = len(tape.instruments)
        first, last = np.full(count, _MAX), np.full(count, _MIN)
        kinds = np.zeros(count, np.int64)
        for at in range(0, len(tape.batches), CHUNK_ROWS):
            part = tape.batches[at:at + CHUNK_ROWS]
            np.minimum.at(first, part["instrument"], part["ts_local_ns"])
            np.maximum.at(last, part["instrument"], part["ts_local_ns"])
            books = part[np.isin(part["kind"], BOOK_KINDS) & (part["flags"] & _LOCAL != 0)]
            seen, where = np.unique(books["instrument"], return_index=True)
            fresh = kinds[seen] == 0
            kinds[seen[fresh]] = books["kind"][where[fresh]]
        for i in range(count):
            if first[i] <= last[i]:
                begins = bool(tape.header["synced_from_start"]) or int(kinds[i]) == _BEGIN
                spans[int(places[number][i])].append(_Span(number, int(first[i]), int(last[i]), begins))
    return spans


def _check_spans(tapes: Sequence[Tape], spans: list[list[_Span]], table: list[Instrument]) -> None:
    for number, parts in enumerate(spans):
        parts = sorted(parts, key=lambda span: (span.first, span.last))
        for one, other in pairwise(parts):
            if other.first < one.last:
                raise ConfigError(f"two parts of {names(table)[number]} overlap", str(tapes[other.tape].path),
                                  "Give each time once: cut one of them with apex tape cut")


def _openings(tapes: Sequence[Tape], spans: list[list[_Span]], places: list[Array], synced: bool) -> list[Array]:
    """Rows that go before the first ones of a tape, for the books of its instruments to stand as they did alone."""
    rows: list[list[Array]] = [[] for _ in tapes]
    for number, parts in enumerate(spans):
        for order, span in enumerate(sorted(parts, key=lambda part: (part.first, part.last))):
            from_start = bool(tapes[span.tape].header["synced_from_start"])
            if from_start and not synced and order == 0:
                kind = _BEGIN                        # an empty book, in sync
            elif order and not span.begins:
                kind = _DOWN
            else:
                continue
            row = np.zeros(1, EVENT_DTYPE)
            row["ts_local_ns"], row["instrument"], row["kind"] = span.first, number, kind
            venue = _first_venue_time(tapes[span.tape], int(np.flatnonzero(places[span.tape] == number)[0]))
            row["flags"] = _LOCAL | _LAST | (FLAGS["NO_VENUE_TIME"] if venue is None else _VENUE)
            row["ts_exchange_ns"] = venue or 0
            rows[span.tape].append(row)
    return [np.concatenate(found) if found else np.zeros(0, EVENT_DTYPE) for found in rows]


def _first_venue_time(tape: Tape, instrument: int) -> int | None:
    """The smallest venue time of an instrument's book messages."""
    least = _MAX
    for at in range(0, len(tape.batches), CHUNK_ROWS):
        part = tape.batches[at:at + CHUNK_ROWS]
        timed = (part["instrument"] == instrument) & (part["flags"] & _VENUE != 0) & np.isin(part["kind"], BOOK_KINDS)
        least = min(least, int(part["ts_exchange_ns"][timed].min(initial=_MAX)))
    return None if least == _MAX else least


def _by_time(tapes: Sequence[Tape], places: list[Array], first: list[Array]) -> Iterator[tuple[Array, int]]:
    """Rows of all tapes by local time, and of how many batches; ties in the order of the tapes.

    A tape's own order is kept: a row that lies behind a later time counts as of that time.
    """
    streams = [_Stream(tape, place, rows) for tape, place, rows in zip(tapes, places, first, strict=True)]
    while any(not stream.ended for stream in streams):
        for stream in streams:
            stream.fill()
        open_ones = [stream for stream in streams if not stream.exhausted]
        limit = min((int(stream.keys[-1]) for stream in open_ones), default=_MAX)
        taken = [stream.take(limit) for stream in streams]
        if all(not len(keys) for _, keys, _ in taken):
            for stream in open_ones:                 # one time fills a whole chunk: look further
                stream.more()
            continue
        keys = np.concatenate([keys for _, keys, _ in taken])
        events = np.concatenate([events for events, _, _ in taken])
        yield events[np.argsort(keys, kind="stable")], sum(count for _, _, count in taken)


class _Stream:
    """A tape's rows with the keys of their order, some at a time."""

    def __init__(self, tape: Tape, place: Array, first: Array) -> None:
        self.tape, self.place = tape, place
        self.chunks = row_chunks(tape.batches)
        self.exhausted = self.ended = False
        self.last = _MIN
        self.batches = 0
        self.opening = {int(row["instrument"]): row for row in first}
        self.events, self.keys = np.zeros(0, EVENT_DTYPE), np.zeros(0, np.int64)

    def fill(self) -> None:
        if not len(self.keys):
            self.more()

    def more(self) -> None:
        """Read a chunk more."""
        span = next(self.chunks, None)
        if span is None:
            self.exhausted, self.ended = True, not len(self.keys)
            return
        part = self.tape.batches[span[0]:span[1]]
        events = unpack(part, self.tape.levels, self.tape.rows)
        events["instrument"] = self.place[events["instrument"]]
        events = self._opened(events)
        local = np.where(events["flags"] & _LOCAL != 0, events["ts_local_ns"], _MIN)
        keys = np.maximum.accumulate(np.concatenate(([self.last], local)))[1:]
        self.last = int(keys[-1])
        self.events, self.keys = np.concatenate((self.events, events)), np.concatenate((self.keys, keys))
        self.batches += span[1] - span[0]
        self.tape.release(span[0])

    def _opened(self, events: Array) -> Array:
        """With the row that goes before an instrument's first."""
        for instrument in list(self.opening):
            at = np.flatnonzero(events["instrument"] == instrument)
            if len(at):
                events = np.insert(events, at[0], self.opening.pop(instrument))
        return events

    def take(self, limit: int) -> tuple[Array, Array, int]:
        """Rows before a time; of an exhausted tape up to it."""
        stop = len(self.keys) if limit == _MAX else int(np.searchsorted(self.keys, limit, "left"))
        events, keys = self.events[:stop], self.keys[:stop]
        self.events, self.keys = self.events[stop:], self.keys[stop:]
        count, self.batches = self.batches, 0
        self.ended = self.exhausted and not len(self.keys)
        return events, keys, count
