"""What happened on a tape's instrument, as arrays: touches, depth, parent trades, orders placed and cancelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex._core.book import Book
from apex._core.events import FLAGS, KINDS, SIDES
from apex._core.l3 import L3Book
from apex.store.tape import Tape

ROWS_MAX = 5_000_000
"""Rows of a tape that are looked at unless more are asked for."""

DEPTH_BP = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Distances from the own best at which depth is sampled; 0 is the touch."""

MS = 1_000_000
SECOND = 1_000_000_000
_BUY, _SELL = SIDES["BUY"], SIDES["SELL"]
_LEVEL, _TRADE, _BEGIN = KINDS["BOOK_LEVEL"], KINDS["TRADE"], KINDS["SNAPSHOT_BEGIN"]
_ADD, _MODIFY, _DELETE, _EXECUTE = (KINDS[f"ORDER_{name}"] for name in ("ADD", "MODIFY", "DELETE", "EXECUTE"))
_ORDERS = (_ADD, _MODIFY, _DELETE, _EXECUTE)
_NO_TRADE = FLAGS["KEEPS_BOOK"] | FLAGS["NOT_MARKET"]
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
        Market orders: trades of one side within one millisecond. Sign +1 buys, -1 sells; 0 where it is not known.
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
    kinds = batches["kind"][mine]
    by_order = bool(np.isin(kinds, _ORDERS).any())
    depth_at = mine[np.isin(kinds, _ORDERS) if by_order else kinds == _LEVEL]
    touch, weight, depth = _touches(tape, batches, instrument, depth_at, by_order, advance)
    levels, trades = _Rows.of_levels(tape, batches, mine[kinds == _LEVEL]), _market_trades(tape, batches, mine)
    if by_order:
        levels, executed = _totals(tape, batches, depth_at, mine[kinds == _BEGIN])
        trades = trades.joined(executed)
    changes = _changes(batches, mine[kinds == _BEGIN], levels, trades, touch)
    at = touch[:, 0]
    return Observed(
        tape.instruments[instrument].symbol, int(ends[count - 1]) if count else 0, _times(batches)[at], touch[:, 1],
        touch[:, 2], touch[:, 3], touch[:, 4], weight, depth, *_parents(batches, trades), *changes,
    )


class _Rows(NamedTuple):
    """Rows of one kind: the batch, side, tick and lots of each, in order."""

    owner: Ints
    side: Ints
    tick: Ints
    lots: Ints

    @staticmethod
    def of_levels(tape: Tape, batches: NDArray[Any], at: Ints) -> _Rows:
        """Those of batches of levels."""
        counts = batches["count"][at].astype(np.int64)
        owner = np.repeat(at, counts)
        place = batches["first"][owner] + np.arange(len(owner)) - np.repeat(np.cumsum(counts) - counts, counts)
        levels = tape.levels[place]
        return _Rows(owner, levels["side"].astype(np.int64), levels["price_ticks"].astype(np.int64),
                     levels["quantity_lots"].astype(np.int64))

    def joined(self, other: _Rows) -> _Rows:
        """Both, by their batches."""
        order = np.argsort(np.concatenate((self.owner, other.owner)), kind="stable")
        return _Rows(*(np.concatenate(pair)[order] for pair in zip(self, other, strict=True)))


def _times(batches: NDArray[Any]) -> Ints:
    """Venue times; local ones where the venue gave none."""
    untimed = (batches["flags"] & FLAGS["NO_VENUE_TIME"]) != 0
    found: Ints = np.where(untimed, batches["ts_local_ns"], batches["ts_exchange_ns"])
    return found


def _touches(tape: Tape, batches: NDArray[Any], instrument: int, depth_at: Ints, by_order: bool,
             advance: Callable[[int], None]) -> tuple[Ints, Ints, Floats]:
    """(batch, bid, ask, bid lots, ask lots) after each depth message, how long each stood, and samples of depth."""
    synced = bool(tape.header.get("synced_from_start"))
    feed: Book | L3Book = L3Book(synced=synced) if by_order else Book(synced=synced)
    book = feed.book if isinstance(feed, L3Book) else feed
    last = (batches["flags"][depth_at] & FLAGS["LAST_IN_BATCH"]) != 0
    times = _times(batches)
    found: list[tuple[int, int, int, int, int]] = []
    depth: list[list[list[int]]] = []
    since, sample_at = 0, 0
    for at in depth_at[last].tolist():
        feed.apply(batches[:at + 1], tape.levels, tape.rows, instrument=instrument, start=since)
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


def _market_trades(tape: Tape, batches: NDArray[Any], mine: Ints) -> _Rows:
    """Market trades; the side is the aggressor's."""
    market = (batches["kind"][mine] == _TRADE) & ((batches["flags"][mine] & FLAGS["NOT_MARKET"]) == 0)
    return _Rows.of_levels(tape, batches, mine[market])


def _totals(tape: Tape, batches: NDArray[Any], at: Ints, snapshots: Ints) -> tuple[_Rows, _Rows]:
    """What a stream of orders says of levels: totals after each message where they changed; and its trades."""
    counts = batches["count"][at].astype(np.int64)
    owners = np.repeat(at, counts)
    place = batches["first"][owners] + np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = tape.rows[place]
    names = ("kind", "side", "price_ticks", "quantity_lots", "order_id", "flags")
    epochs = np.searchsorted(snapshots, owners, "right").tolist()
    orders: dict[int, tuple[int, int, int]] = {}
    totals: dict[tuple[int, int], int] = {}
    changed: dict[tuple[int, int], None] = {}
    levels: list[tuple[int, int, int, int]] = []
    trades: list[tuple[int, int, int, int]] = []
    epoch = epochs[0] if epochs else 0
    for owner, now, (kind, side, tick, lots, order_id, flags) in zip(
            owners.tolist(), epochs, zip(*(rows[n].tolist() for n in names), strict=True), strict=True):
        if now != epoch:
            orders, totals, epoch = {}, {}, now
        was_side, was_tick, was = orders.pop(order_id, (side, tick, 0))
        if kind == _EXECUTE and not flags & _NO_TRADE:
            met = side or was_side
            trades.append((owner, _BUY + _SELL - met if met else 0, tick, lots))
        left = lots if kind in (_ADD, _MODIFY) else was if flags & FLAGS["KEEPS_BOOK"] else was - (lots or was)
        side, tick = (side or was_side, tick) if kind in (_ADD, _MODIFY) else (was_side, was_tick)
        if left > 0:
            orders[order_id] = (side, tick, left)
        for key, change in (((was_side, was_tick), -was), ((side, tick), max(left, 0))):
            totals[key] = totals.get(key, 0) + change
            changed[key] = None
        if flags & FLAGS["LAST_IN_BATCH"]:
            levels += [(owner, *key, totals[key]) for key in changed]
            changed = {}
    made = (np.array(found, np.int64).reshape(-1, 4).T for found in (levels, trades))
    first, second = (_Rows(*columns) for columns in made)
    return first, second


def _parents(batches: NDArray[Any], trades: _Rows) -> tuple[Ints, Ints, Ints, Ints]:
    """Parent orders: time, sign, lots, prints."""
    ms = _times(batches)[trades.owner] // MS
    if not len(ms):
        none = np.zeros(0, np.int64)
        return none, none, none, none
    starts = np.flatnonzero(np.concatenate(([True], (np.diff(ms) != 0) | (np.diff(trades.side) != 0))))
    prints = np.diff(np.concatenate((starts, [len(ms)])))
    side = trades.side[starts]
    sign = (side == _BUY).astype(np.int64) - (side == _SELL)
    return ms[starts] * MS, sign, np.add.reduceat(trades.lots, starts), prints


def _changes(batches: NDArray[Any], snapshots: Ints, levels: _Rows, trades: _Rows,
             touch: Ints) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """What was placed and cancelled: lots, ticks behind the own best, and whether a level began or ended by it.

    A level's total before a message is its total after the last message that named it; what traded there in between
    is added back. Levels of snapshots, and those before the second touch, only tell totals.
    """
    resting = trades._replace(side=_BUY + _SELL - trades.side)
    owner, side, tick, lots = (np.concatenate(pair) for pair in zip(levels, resting, strict=True))
    is_depth = np.arange(len(owner)) < len(levels.owner)
    epoch = np.searchsorted(snapshots, owner, "right")
    order = np.lexsort((is_depth, owner, tick, side, epoch))     # an execution comes before the total it leaves
    owner, is_depth, side, tick, lots = owner[order], is_depth[order], side[order], tick[order], lots[order]
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
