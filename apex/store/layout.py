"""Layout of a tape file: its sections, header, venue order and hash input. In words: docs/tape-format.md."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, FLAGS, LEVEL_DTYPE
from apex.domain.decimals import MONEY_SCALE, plain, scaled
from apex.domain.errors import ApexError, InputError
from apex.domain.instrument import Instrument

Array = NDArray[Any]
Count = Annotated[int, msgspec.Meta(ge=0)]
MAGIC = b"APEXTAPE"
VERSION = 1
ALIGN = 4096
ORDER_DTYPE = np.dtype("<u4")
SECTIONS = {"levels": LEVEL_DTYPE, "batches": BATCH_DTYPE, "rows": EVENT_DTYPE, "venue_order": ORDER_DTYPE}
CHUNK_ROWS = 1 << 16
"""Canonical rows handled at once: 4 MiB."""
PREAMBLE = struct.Struct("<8sIIQQ32s")
"""Magic, version, zero, offset and size of the JSON header, BLAKE2b-256 of the header."""

_FIRST_TIME = int(np.iinfo(np.int64).min)


class Section(msgspec.Struct, frozen=True):
    """Where an array lies in the file, and what its entries are."""

    offset: Count
    count: Count
    itemsize: Count
    dtype: str | list[list[str]]


class Header(msgspec.Struct, frozen=True):
    """The JSON header: what a reader may rely on. Meanings: docs/tape-format.md."""

    format: Literal["apex-tape"]
    version: int
    source: str
    seed: int | None
    synced_from_start: bool
    row_count: Count
    kinds: dict[str, int]
    first_ts: int | None
    last_ts: int | None
    feed_min_ns: int | None
    clock_defects: Count
    content_hash: str
    currencies: dict[str, int]
    instruments: list[Instrument]
    sections: dict[str, Section]


def instrument_table(instruments: list[Instrument]) -> bytes:
    """Canonical JSON of the instruments, as the content hash covers it: sorted keys, shortest decimals."""
    table = [msgspec.to_builtins(x) for x in instruments]
    for entry in table:
        entry.update({key: plain(*scaled(entry[key])) for key in ("tick", "lot", "multiplier")})
    return msgspec.json.encode(table, order="sorted")


def row_chunks(batches: Array, rows_max: int = CHUNK_ROWS) -> Iterator[tuple[int, int]]:
    """Ranges of batches that hold about `rows_max` rows each (one batch at least).

    The batches are looked at 2^16 at a time, so a tape of any length costs no memory.
    """
    start, total = 0, len(batches)
    while start < total:
        ends = np.cumsum(batches["count"][start:start + CHUNK_ROWS], dtype=np.int64)
        stop = start + max(1, int(np.searchsorted(ends, rows_max, "right")))
        yield start, stop
        start = stop


def venue_order(batches: Array, size: int = 1 << 20) -> Iterator[Array]:
    """The stable order of venue time as chunks of batch indices.

    Batches that the venue's view does not have stay behind the one they followed. Memory is that of `size` batches
    and of those that wait for an earlier one, however long the tape.
    """
    carry, bounds, least = _FIRST_TIME, [], []
    for start in range(0, len(batches), size):
        bounds.append(carry)
        keys, carry = _venue_keys(batches[start:start + size], carry)
        least.append(int(keys.min()))
    suffix = np.minimum.accumulate(np.array(least[::-1], np.int64))[::-1]
    held, waiting = np.zeros(0, np.int64), np.zeros(0, ORDER_DTYPE)
    for number, start in enumerate(range(0, len(batches), size)):
        keys, _ = _venue_keys(batches[start:start + size], bounds[number])
        keys = np.concatenate((held, keys))
        index = np.concatenate((waiting, np.arange(start, start + len(keys) - len(held), dtype=ORDER_DTYPE)))
        by = np.argsort(keys, kind="stable")
        keys, index = keys[by], index[by]
        last = number + 1 == len(suffix)
        cut = len(keys) if last else int(np.searchsorted(keys, suffix[number + 1], "right"))
        yield index[:cut]
        held, waiting = keys[cut:], index[cut:]


def _venue_keys(batches: Array, carry: int) -> tuple[Array, int]:
    """Sort keys of a chunk: the venue's time, or the last one before where a batch has none; and the next carry."""
    at = np.flatnonzero((batches["flags"] & FLAGS["AT_VENUE"]) != 0)
    times = np.concatenate((np.array([carry], np.int64), batches["ts_exchange_ns"][at]))
    place = np.zeros(len(batches), np.int64)
    place[at] = 1
    keys = times[np.cumsum(place)]
    return keys, int(times[-1])


def damaged(path: Path, what: str) -> InputError:
    return InputError(f"the tape is damaged: {what}", str(path), "Import the recording again", "tape_damaged")


def read_header(path: Path, fd: int, size: int) -> dict[str, Any]:
    """The JSON header of an open file, after every check of the frame."""
    if size == 0:
        raise InputError("the file is empty", str(path), "Import the recording again", "tape_empty")
    start = os.pread(fd, PREAMBLE.size, 0)
    if start[:8] != MAGIC[:len(start[:8])]:
        raise InputError("this is no APEX tape", str(path), "Make a tape with: apex import FORMAT FILES --out TAPE",
                         "tape_foreign")
    if len(start) < PREAMBLE.size:
        raise _truncated(path, size, None)
    _, version, reserved, offset, length, digest = PREAMBLE.unpack(start)
    if version > VERSION:
        raise InputError(f"the tape has format version {version}; this APEX reads up to {VERSION}", str(path),
                         "Install a newer APEX", "tape_newer")
    if offset + length > size:
        raise _truncated(path, size, offset + length)
    text = os.pread(fd, length, offset)
    if version == 0 or reserved or offset + length != size or blake2b(text, digest_size=32).digest() != digest:
        raise damaged(path, "its header does not match its own checksum")
    try:
        sections = msgspec.json.decode(text, type=Header).sections
    except (msgspec.MsgspecError, ApexError) as error:
        raise damaged(path, f"its header is not as version {version} says: {error}") from error
    end = ALIGN
    for name, dtype in SECTIONS.items():
        place = sections.get(name)
        if place is None or place.itemsize != dtype.itemsize or place.dtype != described(dtype):
            raise damaged(path, f"section {name} is not laid out as version {version} says")
        if place.offset % ALIGN or place.offset < end:
            raise damaged(path, f"section {name} overlaps another")
        end = place.offset + place.count * dtype.itemsize
        if end > offset:
            raise damaged(path, f"section {name} ends beyond the file")
    header: dict[str, Any] = msgspec.json.decode(text)
    return header


def _truncated(path: Path, size: int, full: int | None) -> InputError:
    of = "less than the smallest tape" if full is None else f"{full} were written"
    return InputError(f"the tape is truncated: {size} bytes, {of}", str(path),
                      "Copy the file again, or import the recording again", "tape_truncated")


def described(dtype: np.dtype[Any]) -> list[list[str]] | str:
    """A dtype as JSON that `numpy.dtype` takes back: "<u4", or [[name, type], ...]."""
    return dtype.str if dtype.names is None else [[name, dtype[name].str] for name in dtype.names]


def currencies(instruments: list[Instrument]) -> dict[str, int]:
    """Currencies of the instruments and the decimal places of their cash."""
    return {name: MONEY_SCALE for x in instruments for name in (x.base, x.quote) if name}
