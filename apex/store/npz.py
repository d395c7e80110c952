"""One instrument of a tape as hftbacktest's event array (.npz, array `data`).

What the array cannot hold, and what is done:

- SNAPSHOT_BEGIN, LINK_GAP and LINK_DOWN become a clear of both sides: a book that is not known is empty.
- MARK, own orders' rows, timers, commands, scores, and trades with NOT_MARKET are left out, and counted.
- Sequence numbers, order ids and `aux` are lost, and where one message ends and the next of the same times begins.
- A row without a venue time is one of the local side only, with exch_ts 0.
- Where the venue's order is not the local one, rows that are late on the local side are split in two, as hftbacktest's
  `correct_event_order` does: one row of the venue's side, one of ours.

Source: hftbacktest 2.4, `hftbacktest/types.py` (event_dtype and the flags below).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from apex._core.events import FLAGS, KINDS, SIDES, unpack
from apex.domain.decimals import scaled
from apex.domain.errors import ConfigError, InputError
from apex.store.files import AtomicFile, disk_errors
from apex.store.layout import Array, row_chunks
from apex.store.tape import Tape

EXCH_EVENT, LOCAL_EVENT, BUY_EVENT, SELL_EVENT = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH_EVENT, TRADE_EVENT, DEPTH_CLEAR_EVENT, DEPTH_SNAPSHOT_EVENT, DEPTH_BBO_EVENT = 1, 2, 3, 4, 5
ADD_ORDER_EVENT, CANCEL_ORDER_EVENT, MODIFY_ORDER_EVENT, FILL_EVENT = 10, 11, 12, 13
NPZ_DTYPE = np.dtype([("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"),
                      ("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")], align=True)
EXACT = 2**53
"""Integers up to here are doubles exactly."""
CODES = {
    "BOOK_LEVEL": DEPTH_EVENT, "TRADE": TRADE_EVENT, "BOOK_CLEAR": DEPTH_CLEAR_EVENT, "QUOTE": DEPTH_BBO_EVENT,
    "SNAPSHOT_BEGIN": DEPTH_CLEAR_EVENT, "LINK_GAP": DEPTH_CLEAR_EVENT, "LINK_DOWN": DEPTH_CLEAR_EVENT,
}
_CODE = np.zeros(256, np.uint64)
_CODE[[KINDS[name] for name in CODES]] = list(CODES.values())
_UNKNOWN = [KINDS[name] for name in ("SNAPSHOT_BEGIN", "LINK_GAP", "LINK_DOWN")]
_NAMES = {code: name for name, code in KINDS.items()}
_LOCAL, _VENUE = np.uint64(LOCAL_EVENT), np.uint64(EXCH_EVENT)


class Exported(NamedTuple):
    """What an export to npz did.

    Attributes
    ----------
    rows : int
        Of the array.
    split : int
        Rows of the tape that became two.
    left_out : dict
        Kind -> rows of the tape that the array cannot hold.
    """

    rows: int
    split: int
    left_out: dict[str, int]


class _Plan(NamedTuple):
    """Batches in the array's order, and which sides see each."""

    batches: Array
    sides: Array
    split: int
    left_out: dict[str, int]


def export_npz(tape: Tape, out: Path, instrument: int, feed_shift_ns: int = 0,
               advance: Callable[[int], None] = lambda done: None) -> Exported:
    """Write one instrument's market data, whole or not at all.

    Parameters
    ----------
    out : Path
        Ends in .npz.
    instrument : int
        Index in the tape's table.
    feed_shift_ns : int
        Added to all local times.
    advance : callable
        Told the rows done.

    Raises
    ------
    ConfigError
        For the tape's own file.
    InputError
        For a price or a quantity that a double cannot hold.
    EnvironmentProblem
        If the disk refuses.

    Complexity: one pass over the rows; memory of some 40 bytes a message of the instrument.
    """
    if out.exists() and out.samefile(tape.path):
        raise ConfigError("the array would replace its tape", str(out), "Name another file with --out")
    plan = _plan(tape, instrument)
    grid = tape.instruments[instrument]
    steps = scaled(grid.tick), scaled(grid.lot)
    rows, done = int(tape.batches["count"][plan.batches].sum(dtype=np.int64)), 0
    member = zipfile.ZipInfo("data.npy")             # its date is always the same
    member.compress_type = zipfile.ZIP_DEFLATED
    with (AtomicFile(out) as file, disk_errors(out), zipfile.ZipFile(file.temp, "w") as archive,
          archive.open(member, "w", force_zip64=True) as stream):
        np.lib.format.write_array_header_1_0(stream, {
            "descr": np.lib.format.dtype_to_descr(NPZ_DTYPE), "fortran_order": False, "shape": (rows,)})
        for start, stop in row_chunks(tape.batches[plan.batches]):
            chosen = tape.batches[plan.batches[start:stop]]
            events = unpack(chosen, tape.levels, tape.rows)
            sides = np.repeat(plan.sides[start:stop], chosen["count"])
            stream.write(_array(events, sides, steps, feed_shift_ns, out).tobytes())
            done += len(events)
            advance(done)
    return Exported(rows, plan.split, plan.left_out)


def _plan(tape: Tape, instrument: int) -> _Plan:
    """The array's order: that of our side, with what only the venue sees put in where the venue has it."""
    mine = np.flatnonzero(tape.batches["instrument"] == instrument)
    found = tape.batches[mine]
    special = (found["kind"] == KINDS["TRADE"]) & (found["flags"] & FLAGS["NOT_MARKET"] != 0)
    held = (_CODE[found["kind"]] != 0) & ~special
    left_out: dict[str, int] = {}
    for kind, count in zip(found["kind"][~held].tolist(), found["count"][~held].tolist(), strict=True):
        left_out[_NAMES[kind]] = left_out.get(_NAMES[kind], 0) + count
    mine, found = mine[held], found[held]
    here, there = (found["flags"] & FLAGS["AT_LOCAL"]) != 0, (found["flags"] & FLAGS["AT_VENUE"]) != 0
    rank = np.full(len(tape.batches), -1, np.int64)
    order = np.arange(len(tape.batches)) if tape.venue_order is None else np.asarray(tape.venue_order, np.int64)
    rank[order] = np.arange(len(order))
    rank = rank[mine]
    whole = _in_both_orders(rank, here & there)
    late = here & there & ~whole
    ours, theirs = np.flatnonzero(here), np.flatnonzero(there & ~whole)
    places = np.flatnonzero(whole)
    slots = np.searchsorted(rank[places], rank[theirs])
    before = np.concatenate((2 * places - 1, [2 * len(mine)]))[slots]    # just before the next row that both see
    sequence = np.lexsort((np.concatenate((np.zeros(len(ours), np.int64), rank[theirs])),
                           np.concatenate((2 * ours, before))))
    sides = np.concatenate((np.where(whole[ours], _LOCAL | _VENUE, _LOCAL), np.full(len(theirs), _VENUE)))
    split = int(found["count"][late].sum(dtype=np.int64))
    return _Plan(mine[np.concatenate((ours, theirs))[sequence]], sides[sequence], split, left_out)


def _in_both_orders(rank: Array, both: Array) -> Array:
    """Batches of both sides, as many as one of two simple choices gives, that lie in one order for both.

    Those no earlier one outranks, or those no later one is outranked by: an outlier costs only one of the choices.
    """
    at = np.flatnonzero(both)
    ranks = rank[at]
    if not len(at):
        return both
    rising = ranks == np.maximum.accumulate(ranks)
    falling = ranks == np.minimum.accumulate(ranks[::-1])[::-1]
    whole = np.zeros(len(both), np.bool_)
    whole[at] = rising if np.count_nonzero(rising) >= np.count_nonzero(falling) else falling
    return whole


def _array(events: Array, sides: Array, steps: tuple[tuple[int, int], tuple[int, int]], shift: int, out: Path) -> Array:
    """Rows of the array."""
    made = np.zeros(len(events), NPZ_DTYPE)
    side, kind = events["side"], events["kind"]
    code = _CODE[kind]
    code[(kind == KINDS["BOOK_LEVEL"]) & (events["flags"] & FLAGS["SNAPSHOT"] != 0)] = DEPTH_SNAPSHOT_EVENT
    made["ev"] = code | sides | np.where(side == SIDES["BUY"], np.uint64(BUY_EVENT), np.uint64(0)) | np.where(
        side == SIDES["SELL"], np.uint64(SELL_EVENT), np.uint64(0))
    made["exch_ts"], made["local_ts"] = events["ts_exchange_ns"], events["ts_local_ns"] + shift
    clear = code == DEPTH_CLEAR_EVENT
    for field, column, (step, places) in (("px", "price_ticks", steps[0]), ("qty", "quantity_lots", steps[1])):
        count = np.where(clear & (field == "qty"), 0, events[column])
        wide = np.abs(count) > (EXACT - 1) // step
        if wide.any():
            at = int(wide.argmax())
            raise InputError(f"{column} {int(count[at])} is no exact double", str(out),
                             "Export to Parquet, which holds exact decimals")
        made[field] = count * step / float(10**places)
    to_end = clear & ((events["flags"] & FLAGS["CLEAR_TO"] == 0) | np.isin(kind, _UNKNOWN))
    made["px"][to_end] = np.nan
    return made


def feed_shift(tape: Tape, instrument: int) -> int:
    """What makes the smallest feed latency of an instrument 0 where it is negative: hftbacktest needs none below."""
    least = 0
    for start in range(0, len(tape.batches), 1 << 16):
        part = tape.batches[start:start + (1 << 16)]
        flags = part["flags"]
        timed = (part["instrument"] == instrument) & (flags & FLAGS["AT_LOCAL"] != 0) & (
            flags & FLAGS["NO_VENUE_TIME"] == 0)
        delay = (part["ts_local_ns"] - part["ts_exchange_ns"])[timed]
        least = min(least, int(delay.min(initial=0)))
    return -least
