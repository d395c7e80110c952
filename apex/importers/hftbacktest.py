"""hftbacktest's event arrays (.npz, .npy) to a tape, one row an event.

Source: hftbacktest 2.4, `hftbacktest/types.py` (event_dtype and the flags, which `apex.store.npz` has). A row of the
local side only whose exch_ts is 0 has no venue time, as the export writes it.
"""

from __future__ import annotations

import errno
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, SIDES, pack
from apex._core.l3 import L3Book
from apex.domain.decimals import scaled
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument, Kind
from apex.importers.common import Advance, ImportSummary, check_out, reading, size_of, step_of
from apex.store.npz import (
    ADD_ORDER_EVENT,
    BUY_EVENT,
    CANCEL_ORDER_EVENT,
    DEPTH_BBO_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXACT,
    EXCH_EVENT,
    FILL_EVENT,
    LOCAL_EVENT,
    MODIFY_ORDER_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
)
from apex.store.writer import TapeWriter

Array = NDArray[Any]
FIELDS = ("ev", "exch_ts", "local_ts", "px", "qty")
KINDS_OF_FIELDS = ("uiiff", "iiiff")
KIND_OF = {
    DEPTH_EVENT: KINDS["BOOK_LEVEL"], TRADE_EVENT: KINDS["TRADE"], DEPTH_CLEAR_EVENT: KINDS["BOOK_CLEAR"],
    DEPTH_SNAPSHOT_EVENT: KINDS["BOOK_LEVEL"], DEPTH_BBO_EVENT: KINDS["QUOTE"],
    ADD_ORDER_EVENT: KINDS["ORDER_ADD"], CANCEL_ORDER_EVENT: KINDS["ORDER_DELETE"],
    MODIFY_ORDER_EVENT: KINDS["ORDER_MODIFY"], FILL_EVENT: KINDS["ORDER_EXECUTE"],
}
ORDERS = (ADD_ORDER_EVENT, CANCEL_ORDER_EVENT, MODIFY_ORDER_EVENT, FILL_EVENT)
CHUNK_ROWS = 1 << 18
DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError, UnicodeDecodeError, struct.error)
"""What zipfile raises for an archive that is damaged, encrypted or packed in a way it does not know."""
BAD_HEADER = (ValueError, SyntaxError, TypeError, LookupError, RecursionError, tokenize.TokenError)
"""What numpy raises for a header that is no header."""


class Grid(NamedTuple):
    """A step m / 10**places."""

    step: int
    places: int
    name: str
    text: str


class Order(NamedTuple):
    """The last times of both sides, for rows that go back."""

    local: int
    venue: int


def import_hftbacktest(
    files: list[Path], out: Path, *, tick: Sequence[str], lot: Sequence[str], symbol: str | None = None,
    kind: Kind = "linear", advance: Advance | None = None,
) -> ImportSummary:
    """Import event arrays of one instrument.

    Parameters
    ----------
    files : list of Path
        .npz with one array, or .npy, of hftbacktest's event dtype; joined by first local time.
    out : Path
        The tape, replaced on success. Its books are in sync from the start, as hftbacktest's are.
    tick, lot : sequence of "[SYMBOL=]STEP"
        Needed; every price and quantity must be the double nearest to a multiple.
    symbol : str, optional
        Default: the first file's stem.

    Raises
    ------
    InputError
        Names the file and the row, counted from 0.
    ConfigError
        Without tick or lot.
    """
    check_out(files, out)
    first = {path: _first_time(path) for path in files}
    chain = sorted(files, key=lambda path: first[path])
    name = symbol or chain[0].name.removesuffix(".npz").removesuffix(".npy")
    steps = step_of(tick, "--tick", name), step_of(lot, "--lot", name)
    if steps[0] is None or steps[1] is None:
        raise ConfigError("hftbacktest's arrays hold doubles, so the grid must be given",
                          "--lot" if steps[0] else "--tick", "Give both, for example --tick 0.1 --lot 0.001")
    instrument = Instrument(name, "hftbacktest", steps[0], steps[1], kind)
    grids = (Grid(*scaled(steps[0]), "price", steps[0]), Grid(*scaled(steps[1]), "quantity", steps[1]))
    summary, book, order, done = ImportSummary(synced=True), L3Book(), Order(-(2**63), -(2**63)), 0
    with TapeWriter(out, [instrument], source="hftbacktest", synced_from_start=True) as tape:
        for path in chain:
            row = 0
            for rows, following, total in _chunks(path):
                events, order = _events(rows, following, grids, order, path, row)
                packed = pack(events)
                tape.append(*packed)
                book.apply(*packed)
                _count(summary, rows, following)
                row += len(rows)
                if advance is not None:
                    advance(done + size_of(path) * row // max(total, 1))
            done += size_of(path)
    summary.crossed_books = book.book.crossed_messages
    summary.finish([instrument], tape.header)
    return summary


def _first_time(path: Path) -> int:
    size_of(path)
    for rows, _, _ in _chunks(path):
        return int(rows["local_ts"][0])
    raise InputError("an empty recording", str(path), "Give an array with at least one event")


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The .npy stream of a file; of an .npz, its array `data`, or its only one."""
    with reading(path), path.open("rb") as stream:
        if stream.read(2) != b"PK":
            stream.seek(0)
            yield stream
            return
        stream.seek(0)
        try:
            with zipfile.ZipFile(stream) as archive:
                names = archive.namelist()
                if "data.npy" not in names and len(names) != 1:
                    raise InputError(f"an archive of {len(names)} arrays", str(path), "Save one array, named data")
                with archive.open("data.npy" if "data.npy" in names else names[0]) as member:
                    yield cast(BinaryIO, member)
        except DAMAGE as error:
            raise InputError(f"damaged npz: {error}", str(path), "Copy the file again from its source") from None
        except OSError as error:
            if error.errno != errno.EINVAL:          # a place within the file that cannot be
                raise
            raise InputError("damaged npz: a place outside the file", str(path),
                             "Copy the file again from its source") from None


def _header(stream: BinaryIO, path: Path) -> tuple[int, np.dtype[Any]]:
    """Count of rows and their dtype."""
    try:
        with warnings.catch_warnings(action="ignore"):   # of headers that Python 2 wrote
            version = np.lib.format.read_magic(stream)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
    except BAD_HEADER as error:
        raise InputError(f"no numpy array: {error}", str(path), "Give .npz or .npy of hftbacktest's events") from None
    kinds = "" if dtype.names is None else "".join(dtype[f].kind for f in FIELDS if f in dtype.names)
    if dtype.hasobject or len(shape) != 1 or kinds not in KINDS_OF_FIELDS:
        raise InputError("the array has not hftbacktest's event dtype", str(path),
                         f"It needs one dimension and the fields {', '.join(FIELDS)} (hftbacktest 2)")
    return int(shape[0]), dtype


def _chunks(path: Path) -> Iterator[tuple[Array, Array, int]]:
    """Rows piece by piece, the row that follows them (none after the last piece), and how many there are in all.

    A row that follows is one that the local side sees, so that `_last` knows how the piece ends.
    """
    with _opened(path) as stream:
        total, dtype = _header(stream, path)
        kept: Array = np.zeros(0, dtype)
        read = 0
        while read < total:
            count = min(CHUNK_ROWS, total - read)
            data = stream.read(count * dtype.itemsize)
            if len(data) != count * dtype.itemsize:
                at = read + len(data) // dtype.itemsize
                raise InputError(f"truncated: {total} rows are announced, {at} are here", f"{path}, row {at}",
                                 "Copy the file again from its source")
            rows = np.concatenate((kept, np.frombuffer(data, dtype)))
            read += count
            if read == total:
                yield rows, rows[:0], total
                return
            local = np.flatnonzero((rows["ev"].astype(np.uint64) & np.uint64(LOCAL_EVENT)) != 0)
            stop = int(local[-1]) if len(local) else len(rows) - 1
            kept = rows[stop:]
            if stop:
                yield rows[:stop], kept[:1], total


def _fail(bad: Array, what: str, path: Path, row: int, do: str) -> None:
    if bad.any():
        raise InputError(what, f"{path}, row {row + int(np.flatnonzero(bad)[0])}", do)


def _events(rows: Array, following: Array, grids: tuple[Grid, Grid], order: Order, path: Path,
            row: int) -> tuple[Array, Order]:
    """The canonical rows of a piece, one each."""
    ev = rows["ev"].astype(np.uint64)
    kind = (ev & np.uint64(0xFF)).astype(np.int64)
    here, there = (ev & np.uint64(LOCAL_EVENT)) != 0, (ev & np.uint64(EXCH_EVENT)) != 0
    buy, sell = (ev & np.uint64(BUY_EVENT)) != 0, (ev & np.uint64(SELL_EVENT)) != 0
    _fail(~np.isin(kind, list(KIND_OF)), "an event kind that a tape does not hold", path, row,
          "Give depth, trade, clear, snapshot, best-quote and order events")
    _fail(~(here | there), "an event that neither side sees", path, row, "Set EXCH_EVENT, LOCAL_EVENT or both")
    _fail(buy & sell, "an event of both sides", path, row, "Set BUY_EVENT or SELL_EVENT")
    orders = np.isin(kind, ORDERS)
    sided = (kind != DEPTH_CLEAR_EVENT) & (kind != TRADE_EVENT) & (~orders | (kind == ADD_ORDER_EVENT))
    _fail(~(buy | sell) & sided, "a level or a new order without a side", path, row, "Set BUY_EVENT or SELL_EVENT")
    order = Order(_ordered(rows["local_ts"], here, order.local, "local", path, row),
                  _ordered(rows["exch_ts"], there, order.venue, "venue", path, row))
    events = np.zeros(len(rows), EVENT_DTYPE)
    clear = kind == DEPTH_CLEAR_EVENT
    price, quantity = np.array(rows["px"], np.float64), np.array(rows["qty"], np.float64)
    whole = clear & (~np.isfinite(price) | ~(buy | sell))  # a side to its end, or both
    price[whole], quantity[clear | (kind == CANCEL_ORDER_EVENT)] = 0.0, 0.0
    events["price_ticks"] = _units(price, grids[0], path, row)
    events["quantity_lots"] = _units(quantity, grids[1], path, row)
    _fail(events["quantity_lots"] < 0, "a negative quantity", path, row, "Correct the row")
    _fail((events["quantity_lots"] == 0) & (kind == TRADE_EVENT), "a trade of no quantity", path, row, "Remove the row")
    events["ts_exchange_ns"], events["ts_local_ns"] = rows["exch_ts"], rows["local_ts"]
    events["kind"] = _table(KIND_OF)[kind]
    events["side"] = np.where(buy, SIDES["BUY"], np.where(sell, SIDES["SELL"], SIDES["NO_SIDE"]))
    flags = np.where(here, FLAGS["AT_LOCAL"], 0) | np.where(there, FLAGS["AT_VENUE"], 0)
    flags |= np.where(kind == DEPTH_SNAPSHOT_EVENT, FLAGS["SNAPSHOT"], 0)
    flags |= np.where(clear & ~whole, FLAGS["CLEAR_TO"], 0) | np.where(kind == FILL_EVENT, FLAGS["KEEPS_BOOK"], 0)
    flags |= np.where(~there & (rows["exch_ts"] == 0), FLAGS["NO_VENUE_TIME"], 0)
    if orders.any():
        _fail(orders & (rows["order_id"] == 0), "an order event without order_id", path, row, "Set order_id")
        events["order_id"] = np.where(orders, rows["order_id"], 0)
    events["flags"] = flags | np.where(_last(rows, here, following), FLAGS["LAST_IN_BATCH"], 0)
    return events, order


def _table(values: dict[int, int]) -> Array:
    table = np.zeros(max(values) + 1, np.uint8)
    table[list(values)] = list(values.values())
    return table


def _ordered(times: Array, seen: Array, before: int, side: str, path: Path, row: int) -> int:
    """The last time of one side; its rows must not go back."""
    at = np.flatnonzero(seen)
    if not len(at):
        return before
    mine = times[at]
    back = np.concatenate(([int(mine[0]) < before], mine[1:] < mine[:-1]))
    if back.any():
        raise InputError(f"{side} time goes back", f"{path}, row {row + int(at[np.flatnonzero(back)[0]])}",
                         "Order the events as hftbacktest's correct_event_order does")
    return int(mine[-1])


def _units(values: Array, grid: Grid, path: Path, row: int) -> Array:
    """Steps of doubles that are each the nearest to a grid decimal.

    k * m and 10**places are exact doubles, so their quotient is the double nearest to the decimal k * m / 10**places.
    """
    scale = float(10**grid.places)
    with np.errstate(over="ignore", invalid="ignore"):
        count = np.rint(values * scale / grid.step)
        fits = np.abs(count) * grid.step < EXACT
        count = np.where(fits, count, 0.0)
        bad = ~fits | ((count * grid.step) / scale != values)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise InputError(f"{grid.name} {float(values[at])!r} is not the double of a multiple of {grid.text}",
                         f"{path}, row {row + at}", f"Correct --{'tick' if grid.name == 'price' else 'lot'}")
    return count.astype(np.int64)


def _last(rows: Array, here: Array, following: Array) -> Array:
    """Where a message ends: the next row of the local side has another pair of times.

    Rows that only the venue sees end where the next row has other times or is seen by the local side.
    """
    seen = (following["ev"].astype(np.uint64) & np.uint64(LOCAL_EVENT)) != 0
    local, venue, here = (np.concatenate(pair) for pair in (
        (rows["local_ts"], following["local_ts"]), (rows["exch_ts"], following["exch_ts"]), (here, seen)))
    last = np.ones(len(local), np.bool_)
    last[:-1] = (local[1:] != local[:-1]) | (venue[1:] != venue[:-1]) | (here[1:] != here[:-1])
    at = np.flatnonzero(here)
    last[at] = True
    last[at[:-1]] = (local[at[1:]] != local[at[:-1]]) | (venue[at[1:]] != venue[at[:-1]])
    return last[:len(rows)]


def _count(summary: ImportSummary, rows: Array, following: Array) -> None:
    kind = (rows["ev"].astype(np.uint64) & np.uint64(0xFF)).astype(np.int64)
    summary.messages += len(rows)
    summary.level_updates += int((kind == DEPTH_EVENT).sum())
    summary.level_updates_applied = summary.level_updates
    summary.trades += int((kind == TRADE_EVENT).sum())
    summary.book_tickers += int((kind == DEPTH_BBO_EVENT).sum())
    ends = np.concatenate((kind, (following["ev"].astype(np.uint64) & np.uint64(0xFF)).astype(np.int64), [0]))
    ends = ends == DEPTH_SNAPSHOT_EVENT                  # runs of snapshot rows are counted at their ends
    summary.snapshots += int((ends[:len(kind)] & ~ends[1:len(kind) + 1]).sum())
