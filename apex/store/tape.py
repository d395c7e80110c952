"""Tapes: recorded events as aligned arrays in one file. Layout and rules: docs/tape-format.md."""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from apex._core.events import ENCODINGS, EVENT_DTYPE, KINDS, unpack
from apex.domain.errors import InputError
from apex.domain.instrument import Instrument
from apex.store.layout import (
    CHUNK_ROWS,
    PREAMBLE,
    SECTIONS,
    Array,
    instrument_table,
    read_header,
    row_chunks,
)
from apex.store.writer import TapeWriter

__all__ = ["Tape", "TapeWriter", "content_hash"]

_ORDERS = [KINDS[name] for name in ("ORDER_ADD", "ORDER_MODIFY", "ORDER_DELETE", "ORDER_EXECUTE")]
_RELEASE_BATCHES = 1 << 14
_NEAR = 1 << 12
"""Batches looked at for the place of one in a section."""


class Tape:
    """A tape opened for reading, memory-mapped; made by `Tape.open`.

    Attributes
    ----------
    path : Path
    header : dict
        The JSON header (docs/tape-format.md): source, seed, synced_from_start, feed_min_ns, clock_defects, ...
    instruments : list of Instrument
    batches : BATCH_DTYPE, levels : LEVEL_DTYPE, rows : EVENT_DTYPE
        Read-only views of the file; they stay valid after `close` as long as they are kept.
    venue_order : uint32 array, or None
        Permutation of the batches by venue time; None when they lie in that order.
    row_count : int
    content_hash : str
        BLAKE2b-256, hex, as stored; `apex tape verify` recomputes it.
    """

    def __init__(self, path: Path, header: dict[str, Any], mapped: mmap.mmap | None) -> None:
        self.path, self.header, self._map = path, header, mapped
        self.instruments = msgspec.convert(header["instruments"], list[Instrument])
        self.row_count: int = header["row_count"]
        self.content_hash: str = header["content_hash"]
        self.batches, self.levels, self.rows = (self._section(n) for n in ("batches", "levels", "rows"))
        self.venue_order = self._section("venue_order") if header["sections"]["venue_order"]["count"] else None
        self._released = 0
        self._index: Array | None = None

    @classmethod
    def open(cls, path: str | Path) -> Tape:
        """Open a tape and check its frame (not its content: see `apex.store.verify`).

        Raises
        ------
        InputError
            If the file is absent, empty, no tape, truncated, damaged in its header, or of a newer version.
        """
        path = Path(path)
        if sys.byteorder != "little":
            raise InputError("tapes are little-endian, this machine is not", str(path), "Use a little-endian machine")
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise InputError(f"cannot open the tape: {error.strerror}", str(path), "Check the path") from error
        try:
            size = os.fstat(fd).st_size
            header = read_header(path, fd, size)
            mapped = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise InputError(f"cannot read the tape: {error.strerror}", str(path), "Name a readable file") from error
        finally:
            os.close(fd)
        mapped.madvise(mmap.MADV_SEQUENTIAL)
        return cls(path, header, mapped)

    def order_books(self) -> set[int]:
        """Instruments whose books are made of orders, not of levels. One pass over the batches where there are any."""
        if not any(name.startswith("ORDER_") for name in self.header["kinds"]):
            return set()
        found: set[int] = set()
        for start in range(0, len(self.batches), CHUNK_ROWS):
            part = self.batches[start:start + CHUNK_ROWS]
            found.update(np.unique(part["instrument"][np.isin(part["kind"], _ORDERS)]).tolist())
        return found

    def _section(self, name: str) -> Array:
        place = self.header["sections"][name]
        if not place["count"] or self._map is None:
            return np.zeros(0, SECTIONS[name])
        return np.frombuffer(self._map, SECTIONS[name], place["count"], place["offset"])

    def events(self, start: int = 0, stop: int | None = None) -> Array:
        """Canonical rows [start, stop) of the tape, EVENT_DTYPE; a copy.

        Complexity: O(stop - start), after one pass over the batches on first use.
        """
        stop = self.row_count if stop is None else min(stop, self.row_count)
        start = max(start, 0)
        if start >= stop:
            return np.zeros(0, EVENT_DTYPE)
        if self._index is None:
            sums = [np.add.reduce(self.batches["count"][i:i + 4096], dtype=np.int64)
                    for i in range(0, len(self.batches), 4096)]
            self._index = np.concatenate(([0], np.cumsum(sums, dtype=np.int64)))
        low = (int(np.searchsorted(self._index, start, "right")) - 1) * 4096
        high = min(int(np.searchsorted(self._index, stop, "left")) * 4096, len(self.batches))
        base = int(self._index[low // 4096])
        ends = np.cumsum(self.batches["count"][low:high], dtype=np.int64) + base
        first = int(np.searchsorted(ends, start, "right"))
        last = int(np.searchsorted(ends, stop, "left")) + 1
        skip = start - (int(ends[first - 1]) if first else base)
        found = unpack(self.batches[low + first:low + last], self.levels, self.rows)
        return found[skip:skip + stop - start]

    def chunks(self, rows_max: int = CHUNK_ROWS) -> Iterator[Array]:
        """All canonical rows in order, about `rows_max` at a time; pages behind are released."""
        for start, stop in row_chunks(self.batches, rows_max):
            yield unpack(self.batches[start:stop], self.levels, self.rows)
            self.release(stop)

    def release(self, batch: int) -> None:
        """Give back the mapped pages of the batches before `batch`; reading them again is allowed and costs a fault."""
        if batch < self._released:
            self._released = 0
        if self._map is None or batch - self._released < _RELEASE_BATCHES:
            return
        places = self.header["sections"]
        since, self._released = self._released, batch
        for name, code in ENCODINGS.items():
            section = places[name.lower()]
            if section["count"]:
                first, last = (self._position(at, code) for at in (since, batch))
                self._drop(section, first, last)
        self._drop(places["batches"], max(0, since - _NEAR), batch)  # with those that `_position` has read again
        if self.venue_order is not None:
            self._drop(places["venue_order"], since, batch)

    def _position(self, batch: int, code: int) -> int:
        """First entry of a section that no batch before `batch` has, or a place somewhat earlier."""
        near = self.batches[max(0, batch - _NEAR):batch]
        mine = np.flatnonzero(near["encoding"] == code)
        return int(near["first"][mine[-1]]) if len(mine) else 0

    def _drop(self, place: dict[str, Any], first: int, last: int) -> None:
        item = place["itemsize"]
        low = (place["offset"] + first * item) // mmap.PAGESIZE * mmap.PAGESIZE
        high = (place["offset"] + last * item) // mmap.PAGESIZE * mmap.PAGESIZE
        if self._map is not None and high > low:
            self._map.madvise(mmap.MADV_DONTNEED, low, high - low)

    def gaps(self) -> Iterator[Array]:
        """Bytes between the sections; zeros in a sound file."""
        if self._map is None:
            return
        end = PREAMBLE.size
        for place in self.header["sections"].values():
            yield np.frombuffer(self._map, np.uint8, place["offset"] - end, end)
            end = place["offset"] + place["count"] * place["itemsize"]
        header_at = PREAMBLE.unpack_from(self._map)[3]
        yield np.frombuffer(self._map, np.uint8, header_at - end, end)

    def close(self) -> None:
        """Let go of the file. Arrays that somebody still holds keep it mapped until they are gone."""
        mapped, self._map = self._map, None
        empty = {name: np.zeros(0, dtype) for name, dtype in SECTIONS.items()}
        self.batches, self.levels, self.rows = empty["batches"], empty["levels"], empty["rows"]
        self.venue_order = None
        if mapped is not None:
            try:
                mapped.close()
            except BufferError:
                return  # the mapping closes itself with the last array

    def __enter__(self) -> Tape:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def content_hash(tape: Tape) -> str:
    """BLAKE2b-256, hex, recomputed over the canonical rows and the instrument table."""
    digest = blake2b(digest_size=32)
    for part in tape.chunks():
        digest.update(part.data)
    digest.update(instrument_table(tape.instruments))
    return digest.hexdigest()
