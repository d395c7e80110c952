"""What happened on a tape's instrument, as arrays: touches, depth, parent trades, orders placed and cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.book import Book
from apex._core.events import FLAGS, KINDS, SIDES
from apex.store.tape import Tape

ROWS_MAX = 5_000_000
"""Rows of a tape that are looked at unless more are asked for."""

DEPTH_BP = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Distances from the own best at which depth is sampled; 0 is the touch."""

MS = 1_000_000
SECOND = 1_000_000_000
_BUY, _SELL = SIDES["BUY"], SIDES["SELL"]
_LEVEL, _TRADE, _BEGIN = KINDS["BOOK_LEVEL"], KINDS["TRADE"], KINDS["SNAPSHOT_BEGIN"]
_STEP = 1 << 12

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Observed:
    """One instrument of a tape, from its snapshot on. Times are the venue's, UTC ns.

    Attributes
    ----------
    symbol : str
    rows : int
        Rows of the tape that were looked at, of all instruments.
    ts, bid, ask, bid_lots, ask_lots : int64, one for each depth message
        The touch after the message.
    weight : int64
        How long each touch stood, ns; 0 before a gap and for the last.
    depth : float64, shape (samples, 2, len(DEPTH_BP))
        Lots within DEPTH_BP of the own best, bids then asks, about once a second.
    parent_ts, parent_sign, parent_lots, parent_prints : int64
        Market orders: trades of one side within one millisecond. Sign +1 buys.
    change_lots : int64
        Every change of a level, market trades taken out: > 0 placed, < 0 cancelled.
    change_ticks : int64
        How far behind the own best the level was before the message; < 0 improved on it.
    change_emptied : bool
        The level was left empty, or was made.
    """

    symbol: str
    rows: int
    ts: Ints
    bid: Ints
    ask: Ints
    bid_lots: Ints
    ask_lots: Ints
    weight: Ints
    depth: Floats
    parent_ts: Ints
    parent_sign: Ints
    parent_lots: Ints
    parent_prints: Ints
    change_lots: Ints
    change_ticks: Ints
    change_emptied: NDArray[np.bool_]

    @property
    def seconds(self) -> float:
        """Length in venue time."""
        return float(self.ts[-1] - self.ts[0]) / SECOND if len(self.ts) else 0.0

    @property
    def mid(self) -> Floats:
        """Mid price after each depth message, ticks."""
        return (self.bid + self.ask) / 2.0

    @property
    def bp(self) -> float:
        """Ticks in a basis point of the mean mid; NaN without a book."""
        return float(self.mid.mean()) / 1e4 if len(self.ts) else float("nan")


def observe(tape: Tape, instrument: int = 0, *, rows_max: int = ROWS_MAX,
            advance: Callable[[int], None] = lambda done: None) -> Observed:
    """Read an instrument's first rows.

    Parameters
    ----------
    tape : Tape
    instrument : int
        Index in the tape's table.
    rows_max : int
        Whole messages within so many rows of the tape are looked at.
    advance : callable
        Told the number of batches done.

    Complexity: memory grows with the rows that are looked at.
    """
    batches = tape.batches
    ends = np.cumsum(batches["count"], dtype=np.int64)
    count = int(np.searchsorted(ends, rows_max, "right"))
    batches = batches[:count]
    mine = np.flatnonzero(batches["instrument"] == instrument)
    depth_at = mine[batches["kind"][mine] == _LEVEL]
    touch, weight, depth = _touches(tape, batches, instrument, depth_at, advance)
    trades = _trades(tape, batches, mine)
    changes = _changes(tape, batches, mine, touch)
    at = touch[:, 0]
    return Observed(
        tape.instruments[instrument].symbol, int(ends[count - 1]) if count else 0,
        _times(batches)[at], touch[:, 1], touch[:, 2], touch[:, 3], touch[:, 4], weight, depth, *trades, *changes,
    )


def _times(batches: NDArray[Any]) -> Ints:
    """Venue times; local ones where the venue gave none."""
    untimed = (batches["flags"] & FLAGS["NO_VENUE_TIME"]) != 0
    found: Ints = np.where(untimed, batches["ts_local_ns"], batches["ts_exchange_ns"])
    return found


def _touches(tape: Tape, batches: NDArray[Any], instrument: int, depth_at: Ints,
             advance: Callable[[int], None]) -> tuple[Ints, Ints, Floats]:
    """(batch, bid, ask, bid lots, ask lots) after each depth message, how long each stood, and samples of depth."""
    book = Book(synced=bool(tape.header.get("synced_from_start")))
    last = (batches["flags"][depth_at] & FLAGS["LAST_IN_BATCH"]) != 0
    times = _times(batches)
    found: list[tuple[int, int, int, int, int]] = []
    depth: list[list[list[int]]] = []
    since, sample_at = 0, 0
    for at in depth_at[last].tolist():
        book.apply(batches[:at + 1], tape.levels, tape.rows, instrument=instrument, start=since)
        since = at + 1
        bid, ask = book.bid_ticks, book.ask_ticks
        if not book.synced or bid is None or ask is None:
            continue
        found.append((at, bid, ask, book.quantity(_BUY, bid), book.quantity(_SELL, ask)))
        if times[at] >= sample_at:
            sample_at = int(times[at]) + SECOND
            widths = [int(bp * (bid + ask) / 2e4) for bp in DEPTH_BP]
            depth.append([[book.volume_within(side, width) for width in widths] for side in (_BUY, _SELL)])
        if len(found) % _STEP == 0:
            advance(at)
    touch = np.array(found, np.int64).reshape(-1, 5)
    ts = times[touch[:, 0]]
    weight = np.zeros(len(ts), np.int64)
    gaps = np.flatnonzero((batches["instrument"] == instrument) & (batches["kind"] == KINDS["LINK_GAP"]))
    whole = np.diff(np.searchsorted(gaps, touch[:, 0])) == 0
    weight[:-1] = np.where(whole, np.maximum(np.diff(ts), 0), 0)
    return touch, weight, np.array(depth, np.float64).reshape(-1, 2, len(DEPTH_BP))


def _spread_rows(batches: NDArray[Any], at: Ints) -> tuple[Ints, Ints]:
    """(batch, place in the levels) of each row of the batches at `at`."""
    counts = batches["count"][at].astype(np.int64)
    owner = np.repeat(at, counts)
    inside = np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
    return owner, batches["first"][owner].astype(np.int64) + inside


def _market_trades(batches: NDArray[Any], mine: Ints) -> Ints:
    flags, kinds = batches["flags"][mine], batches["kind"][mine]
    found: Ints = mine[(kinds == _TRADE) & ((flags & FLAGS["NOT_MARKET"]) == 0)]
    return found


def _trades(tape: Tape, batches: NDArray[Any], mine: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    """Parent orders: time, sign, lots, prints."""
    owner, place = _spread_rows(batches, _market_trades(batches, mine))
    ms = _times(batches)[owner] // MS
    side, lots = tape.levels["side"][place].astype(np.int64), tape.levels["quantity_lots"][place]
    if not len(ms):
        none = np.zeros(0, np.int64)
        return none, none, none, none
    begins = np.concatenate(([True], (np.diff(ms) != 0) | (np.diff(side) != 0)))
    starts = np.flatnonzero(begins)
    prints = np.diff(np.concatenate((starts, [len(ms)])))
    return ms[starts] * MS, np.where(side[starts] == _BUY, 1, -1), np.add.reduceat(lots, starts), prints


def _changes(tape: Tape, batches: NDArray[Any], mine: Ints, touch: Ints) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """What was placed and cancelled: lots, ticks behind the own best, and whether a level began or ended by it.

    A level's total before a message is its total after the last message that named it; what traded there in between
    is added back. Levels of snapshots, and those before the second touch, only tell totals.
    """
    depth, place = _spread_rows(batches, mine[batches["kind"][mine] == _LEVEL])
    trade, trade_place = _spread_rows(batches, _market_trades(batches, mine))
    snapshots = mine[batches["kind"][mine] == _BEGIN]
    owner = np.concatenate((depth, trade))
    levels = tape.levels[np.concatenate((place, trade_place))]
    is_depth = np.arange(len(owner)) < len(depth)
    side = np.where(is_depth, levels["side"], _BUY + _SELL - levels["side"].astype(np.int64)).astype(np.int64)
    epoch = np.searchsorted(snapshots, owner, "right")
    order = np.lexsort((owner, levels["price_ticks"], side, epoch))
    owner, is_depth, side = owner[order], is_depth[order], side[order]
    tick, lots = levels["price_ticks"][order].astype(np.int64), levels["quantity_lots"][order]
    level = np.cumsum((np.diff(tick, prepend=-1) != 0) | (np.diff(side, prepend=0) != 0)
                      | (np.diff(epoch[order], prepend=-1) != 0))
    traded = np.cumsum(np.where(is_depth, 0, lots))
    level, traded, owner, side, tick, lots = (x[is_depth] for x in (level, traded, owner, side, tick, lots))
    known_before = np.diff(level, prepend=0) == 0
    before = np.where(known_before, np.concatenate(([0], lots))[:-1], 0)
    taken = np.where(known_before, np.diff(traded, prepend=0), 0)
    own = np.searchsorted(touch[:, 0], owner, "left") - 1    # the touch before this message
    known = (own >= 0) & ((batches["flags"][owner] & FLAGS["SNAPSHOT"]) == 0)
    change = (lots - before + taken)[known]
    best = touch[np.maximum(own, 0)][known]
    behind = np.where(side[known] == _BUY, best[:, 1] - tick[known], tick[known] - best[:, 2])
    emptied = (np.where(change > 0, before[known], lots[known])) == 0
    real = change != 0
    return change[real], behind[real], emptied[real]
