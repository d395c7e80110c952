"""The rules of a tape, checked in vectors over chunks of batches: by the writer and by verify."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex._core.events import ENCODINGS, FLAGS, KINDS, SIDES

Array = NDArray[Any]
LIMIT = 1 << 60
_NEVER = np.iinfo(np.int64).min
_KNOWN_KIND = np.zeros(256, np.bool_)
_KNOWN_KIND[list(KINDS.values())] = True
_SIDED = np.zeros(256, np.bool_)
_SIDED[[KINDS["BOOK_LEVEL"], KINDS["QUOTE"], KINDS["ORDER_ADD"]]] = True
_ORDERS = np.zeros(256, np.bool_)
_ORDERS[[KINDS[name] for name in ("ORDER_ADD", "ORDER_MODIFY", "ORDER_DELETE", "ORDER_EXECUTE")]] = True
_SIZED = _SIDED | _ORDERS
_SIZED[KINDS["TRADE"]] = True
_UNKNOWN_FLAGS = 0xFFFF & ~sum(FLAGS.values())
_LAST, _SNAPSHOT, _AT_LOCAL = FLAGS["LAST_IN_BATCH"], FLAGS["SNAPSHOT"], FLAGS["AT_LOCAL"]
_AT_VENUE, _NO_TIME = FLAGS["AT_VENUE"], FLAGS["NO_VENUE_TIME"]
_TRADE, _LEVEL, _BEGIN = KINDS["TRADE"], KINDS["BOOK_LEVEL"], KINDS["SNAPSHOT_BEGIN"]
_ADD, _EXECUTE = KINDS["ORDER_ADD"], KINDS["ORDER_EXECUTE"]


class Violation(NamedTuple):
    """A broken rule, the first batch that breaks it, and how many batches, levels or rows do."""

    rule: str
    batch: int
    hits: int


WORDS = {
    "tiling": "batches do not tile the levels and rows in order",
    "instrument": "an instrument index lies outside the table",
    "kind": "an unknown event kind",
    "flags": "unknown flags, or a venue time where NO_VENUE_TIME says there is none",
    "side": "an unknown side, or a book level, quote or new order without one",
    "quantity": "a negative quantity, or one beyond 2^60 lots",
    "trade_quantity": "a trade, a new order or an execution of no quantity",
    "order": "an order without an id",
    "mixed_book": "levels and orders in the book of one instrument",
    "price": "a price beyond 2^60 ticks",
    "padding": "padding that is not zero",
    "row_of_batch": "a row that disagrees with its batch",
    "local_time": "local time goes back within an instrument",
    "unclosed_message": "a message without LAST_IN_BATCH",
    "snapshot_without_levels": "a snapshot that no level and no order follows",
    "venue_order": "the venue order is not the stable order of venue time",
    "row_count": "the number of rows is not the header's",
    "header": "the header's summary is not what the rows give",
}


class Rules:
    """State of the checks over the chunks of one tape, in order.

    Parameters
    ----------
    instruments : int
        Size of the instrument table.
    sequence : bool
        Also check how messages follow each other (unclosed messages, snapshots without levels).
    """

    def __init__(self, instruments: int, *, sequence: bool = True) -> None:
        self.sequence = sequence
        self.instruments = instruments
        self.batches = self.levels = self.rows = 0
        self._local = np.full(instruments, _NEVER, np.int64)
        self._open = np.zeros(instruments, np.bool_)
        self._begun = np.zeros(instruments, np.bool_)
        self._holds = {False: np.zeros(instruments, np.bool_), True: np.zeros(instruments, np.bool_)}

    def check(self, batches: Array, levels: Array, rows: Array) -> list[Violation]:
        """Check a chunk; `levels` and `rows` are exactly those of its batches.

        `first` counts from the start of the tape's sections as this object has seen them.
        """
        found: list[Violation] = []
        self._fields(found, batches, {"LEVELS": len(levels), "ROWS": len(rows)})
        if not any(v.rule in ("tiling", "instrument") for v in found):
            self._levels(found, batches, levels)
            self._rows(found, batches, rows)
            self._books(found, batches)
            self._order(found, batches)
        self.batches += len(batches)
        self.levels += len(levels)
        self.rows += len(rows)
        return found

    def finish(self) -> list[Violation]:
        """What only the end of the tape shows."""
        left = [("unclosed_message", self._open), ("snapshot_without_levels", self._begun)]
        return [Violation(rule, self.batches - 1, int(bad.sum())) for rule, bad in left if self.sequence and bad.any()]

    def _note(self, found: list[Violation], rule: str, bad: Array, owner: Array | None = None) -> None:
        """Record a rule broken where `bad`; `owner` maps its positions to batches of the chunk."""
        if bad.any():
            first = int(bad.argmax())
            batch = first if owner is None else int(owner[first])
            found.append(Violation(rule, self.batches + batch, int(np.count_nonzero(bad))))

    def _fields(self, found: list[Violation], batches: Array, sizes: dict[str, int]) -> None:
        flags, encoding = batches["flags"], batches["encoding"]
        count = batches["count"].astype(np.int64)
        tiled = count <= 0
        for name, start in (("LEVELS", self.levels), ("ROWS", self.rows)):
            mine = np.flatnonzero(encoding == ENCODINGS[name])
            ends = np.cumsum(count[mine]) + start
            tiled[mine] |= (batches["first"][mine] != ends - count[mine]) | (ends > start + sizes[name])
        tiled |= encoding > max(ENCODINGS.values())
        self._note(found, "tiling", tiled)
        self._note(found, "instrument", batches["instrument"] >= self.instruments)
        self._note(found, "kind", ~_KNOWN_KIND[batches["kind"]])
        untimed = (flags & _NO_TIME) != 0
        wrong = (flags & _UNKNOWN_FLAGS) != 0
        wrong |= untimed & ((batches["ts_exchange_ns"] != 0) | ((flags & _AT_VENUE) != 0))
        self._note(found, "flags", wrong)

    def _levels(self, found: list[Violation], batches: Array, levels: Array) -> None:
        if not len(levels):
            return
        mine = np.flatnonzero(batches["encoding"] == ENCODINGS["LEVELS"])
        owner = np.repeat(mine, batches["count"][mine])
        kind = batches["kind"][owner]
        self._note(found, "order", _ORDERS[kind], owner)  # a level holds no id
        self._sizes(found, kind, levels["side"], levels["quantity_lots"], owner)
        self._note(found, "padding", (levels["pad0"] != 0) | (levels["pad1"] != 0), owner)

    def _rows(self, found: list[Violation], batches: Array, rows: Array) -> None:
        if not len(rows):
            return
        mine = np.flatnonzero(batches["encoding"] == ENCODINGS["ROWS"])
        owner = np.repeat(mine, batches["count"][mine])
        self._sizes(found, rows["kind"], rows["side"], rows["quantity_lots"], owner)
        self._note(found, "order", _ORDERS[rows["kind"]] & (rows["order_id"] == 0), owner)
        self._note(found, "price", np.abs(rows["price_ticks"]) > LIMIT, owner)
        last = np.zeros(len(rows), np.bool_)
        last[np.cumsum(batches["count"][mine], dtype=np.int64) - 1] = True
        theirs = batches["flags"][owner]
        bad = rows["flags"] != np.where(last, theirs, theirs & ~np.uint16(_LAST))
        for name in ("ts_exchange_ns", "ts_local_ns", "sequence", "instrument", "kind"):
            bad |= rows[name] != batches[name][owner]
        self._note(found, "row_of_batch", bad, owner)

    def _sizes(self, found: list[Violation], kind: Array, side: Array, lots: Array, owner: Array) -> None:
        sized = _SIZED[kind]
        self._note(found, "side", (side > max(SIDES.values())) | ((side == 0) & _SIDED[kind]), owner)
        self._note(found, "quantity", sized & ((lots < 0) | (lots > LIMIT)), owner)
        needs_lots = (kind == _TRADE) | (kind == _ADD) | (kind == _EXECUTE)
        self._note(found, "trade_quantity", needs_lots & (lots == 0), owner)

    def _books(self, found: list[Violation], batches: Array) -> None:
        """A book is made of levels or of orders."""
        orders = _ORDERS[batches["kind"]]
        for is_orders, mine in ((False, batches["kind"] == _LEVEL), (True, orders)):
            self._holds[is_orders][batches["instrument"][mine]] = True
        both = self._holds[False] & self._holds[True]
        if both.any():
            self._note(found, "mixed_book", both[batches["instrument"]] & (orders | (batches["kind"] == _LEVEL)))

    def _order(self, found: list[Violation], batches: Array) -> None:
        """What follows what, within each instrument, in local order."""
        at = np.flatnonzero((batches["flags"] & _AT_LOCAL) != 0)
        if not len(at):
            return
        instrument = batches["instrument"][at]
        if self.instruments > 1:
            by = np.argsort(instrument, kind="stable")
            at, instrument = at[by], instrument[by]
        starts = np.flatnonzero(np.concatenate(([True], instrument[1:] != instrument[:-1])))
        ends = np.concatenate((starts[1:], [len(at)])) - 1
        owners = instrument[starts]
        ts, kind, flags = batches["ts_local_ns"][at], batches["kind"][at], batches["flags"][at]
        before = np.concatenate((ts[:1], ts[:-1]))
        before[starts] = self._local[owners]
        self._note(found, "local_time", ts < before, at)
        self._local[owners] = ts[ends]
        if not self.sequence:
            return
        opened = (flags & _LAST) == 0
        begins = (kind == _BEGIN) & opened               # one that closes its message is an empty book
        was_open = np.concatenate(([False], opened[:-1]))
        was_open[starts] = self._open[owners]
        self._note(found, "unclosed_message", was_open & (ts != before), at)
        self._open[owners] = opened[ends]
        was_begun = np.concatenate(([False], begins[:-1]))
        was_begun[starts] = self._begun[owners]
        follows = ((kind == _LEVEL) | (kind == _ADD)) & ((flags & _SNAPSHOT) != 0)
        self._note(found, "snapshot_without_levels", was_begun & ~follows, at)
        self._begun[owners] = begins[ends]
