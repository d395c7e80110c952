"""Writing a tape: rows stream through checks, hash and spools; the file appears whole or not at all."""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import numpy as np

from apex._core.events import BATCH_DTYPE, ENCODINGS, EVENT_DTYPE, FLAGS, KINDS, LEVEL_DTYPE, unpack
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument
from apex.store.files import AtomicFile, disk_errors, spool, write_all
from apex.store.layout import (
    ALIGN,
    CHUNK_ROWS,
    MAGIC,
    PREAMBLE,
    SECTIONS,
    VERSION,
    Array,
    currencies,
    described,
    instrument_table,
    row_chunks,
    venue_order,
)
from apex.store.rules import WORDS, Rules

_ENTRIES_MAX = 1 << 32
_JOBS_MAX = 2
_COPY = 1 << 20
_KINDS = {code: name for name, code in KINDS.items()}


class Summary:
    """What the header says about all rows, gathered chunk by chunk."""

    def __init__(self) -> None:
        self.rows = self.clock_defects = 0
        self.kinds = np.zeros(256, np.int64)
        self.feed_min_ns: int | None = None
        self.first_ts: int | None = None
        self.last_ts: int | None = None
        self.in_venue_order = True
        self._venue_last = int(np.iinfo(np.int64).min)

    def add(self, batches: Array) -> None:
        """Take in a chunk of batches; times count where the local view has the row."""
        flags, count = batches["flags"], batches["count"].astype(np.int64)
        self.rows += int(count.sum())
        self.kinds += np.bincount(batches["kind"], count, 256).astype(np.int64)
        venue = batches["ts_exchange_ns"][(flags & FLAGS["AT_VENUE"]) != 0]
        if len(venue):
            sorted_here = bool((venue[1:] >= venue[:-1]).all()) and int(venue[0]) >= self._venue_last
            self.in_venue_order &= sorted_here
            self._venue_last = max(self._venue_last, int(venue[-1]))
        local = (flags & FLAGS["AT_LOCAL"]) != 0
        ts = batches["ts_local_ns"][local]
        if len(ts):
            low, high = int(ts.min()), int(ts.max())
            self.first_ts = low if self.first_ts is None else min(self.first_ts, low)
            self.last_ts = high if self.last_ts is None else max(self.last_ts, high)
        both = local & ((flags & FLAGS["NO_VENUE_TIME"]) == 0)
        delay = batches["ts_local_ns"][both] - batches["ts_exchange_ns"][both]
        if len(delay):
            least = int(delay.min())
            self.feed_min_ns = least if self.feed_min_ns is None else min(self.feed_min_ns, least)
            if least < 0:
                self.clock_defects += int(count[both][delay < 0].sum())

    def header(self) -> dict[str, Any]:
        """Its part of the header."""
        return {
            "row_count": self.rows, "first_ts": self.first_ts, "last_ts": self.last_ts,
            "feed_min_ns": self.feed_min_ns, "clock_defects": self.clock_defects,
            "kinds": {_KINDS.get(int(k), f"kind {k}"): int(self.kinds[k]) for k in np.flatnonzero(self.kinds)},
        }


class TapeWriter:
    """Writes a tape; use as a context manager. Memory does not grow with the tape.

    The bytes go to a temporary file beside `path`, which is synced and renamed by `close`. An error, Ctrl-C, or leaving
    the `with` block by an exception removes it and leaves an older tape at `path` as it was.

    Parameters
    ----------
    path : path
        The tape; replaced on success.
    instruments : sequence of Instrument
        The table that the rows' `instrument` indexes.
    source : str
        Where the events come from, for people: "binance", "generated".
    synced_from_start : bool
        Whether books are in sync without a snapshot.
    seed : int, optional
        Seed of a generated tape.

    Raises
    ------
    EnvironmentProblem
        Disk full, no permission, no folder.
    """

    def __init__(self, path: str | Path, instruments: Sequence[Instrument], *, source: str,
                 synced_from_start: bool = False, seed: int | None = None) -> None:
        self.path = Path(path)
        self.instruments = list(instruments)
        if not self.instruments:
            raise ConfigError("a tape needs at least one instrument", str(self.path), "Name the symbol")
        self.header: dict[str, Any] = {"source": source, "seed": seed, "synced_from_start": synced_from_start}
        self._rules = Rules(len(self.instruments), sequence=False)
        self._summary = Summary()
        self._digest = blake2b(digest_size=32)
        self._counts = dict.fromkeys(SECTIONS, 0)
        self._pending: list[tuple[Array, Array, Array]] = []
        self._pending_rows = 0
        self._jobs: deque[Future[None]] = deque()
        self._spools: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, "tape")
        self._file = AtomicFile(self.path)
        try:
            self._spools = {name: spool(self.path) for name in ("batches", "rows")}
            os.lseek(self._file.fd, ALIGN, os.SEEK_SET)
        except BaseException:
            self.abort()
            raise

    def append(self, batches: Array, levels: Array, rows: Array) -> None:
        """Add events as `events.pack` returns them: `first` counts from 0 in the given arrays. They are copied.

        Raises
        ------
        InputError
            If an event breaks a rule of the tape (`apex.store.rules.WORDS`).
        EnvironmentProblem
            If the disk refuses.
        TypeError
            If an array has another dtype.
        """
        for array, dtype in ((batches, BATCH_DTYPE), (levels, LEVEL_DTYPE), (rows, EVENT_DTYPE)):
            if array.dtype != dtype:
                raise TypeError(f"append: an array of {dtype} is needed, not {array.dtype}")
        if self._file.fd < 0:
            raise ValueError("append: the tape is closed")
        self._pending.append((batches.copy(), levels.copy(), rows.copy()))
        self._pending_rows += len(levels) + len(rows)
        if self._pending_rows >= CHUNK_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Check what is pending and hand it to the thread that hashes and writes."""
        if not self._pending:
            return
        parts, self._pending, self._pending_rows = self._pending, [], 0
        level, row = 0, 0
        for batches, levels, rows in parts:
            is_level = batches["encoding"] == ENCODINGS["LEVELS"]
            batches["first"] += np.where(is_level, level, row).astype(np.uint32)
            level, row = level + len(levels), row + len(rows)
        joined = parts[0] if len(parts) == 1 else tuple(np.concatenate(column) for column in zip(*parts, strict=True))
        batches, levels, rows = joined
        del parts
        self._check(batches, levels, rows)
        self._summary.add(batches)
        for start, stop in row_chunks(batches):
            self._submit(unpack(batches[start:stop], levels, rows), ())
        for name, array in (("levels", levels), ("rows", rows)):
            self._counts[name] += len(array)
            if self._counts[name] >= _ENTRIES_MAX:
                raise InputError(f"more than 2^32 {name} on one tape", str(self.path), "Split the recording in two")
        is_level = batches["encoding"] == ENCODINGS["LEVELS"]
        bases = (self._counts["levels"] - len(levels), self._counts["rows"] - len(rows))
        batches["first"] += np.where(is_level, *bases).astype(np.uint32)
        self._counts["batches"] += len(batches)
        self._submit(None, ((self._file.fd, levels), (self._spools["batches"], batches), (self._spools["rows"], rows)))

    def _check(self, batches: Array, levels: Array, rows: Array) -> None:
        rules = self._rules
        base = rules.batches
        rules.levels = rules.rows = 0  # `first` counts within the chunk here
        found = rules.check(batches, levels, rows)
        tiled = rules.levels == int(batches["count"][batches["encoding"] == ENCODINGS["LEVELS"]].sum())
        if not tiled or (len(batches) and rules.levels + rules.rows != int(batches["count"].sum(dtype=np.int64))):
            raise ValueError("append: levels or rows that no batch has")
        if found:
            rule, at, _ = found[0]
            entry = batches[at - base]
            index = int(entry["instrument"])
            symbol = self.instruments[index].symbol if index < len(self.instruments) else f"instrument {index}"
            where = f"{self.header['source']}, message {at} of {symbol}, local time {int(entry['ts_local_ns'])}"
            raise InputError(f"{WORDS[rule]}", where, "Check that the recording is whole and in order", f"tape_{rule}")

    def _submit(self, events: Array | None, writes: tuple[tuple[int, Array], ...]) -> None:
        """Queue a piece of work for the thread; at most a few wait, so memory stays bounded."""
        while len(self._jobs) > _JOBS_MAX:
            self._wait()
        self._jobs.append(self._thread.submit(self._work, events, writes))

    def _work(self, events: Array | None, writes: tuple[tuple[int, Array], ...]) -> None:
        if events is not None:
            self._digest.update(events.data)
        for fd, array in writes:
            if len(array):
                write_all(fd, array.data)

    def _wait(self) -> None:
        with disk_errors(self.path):
            self._jobs.popleft().result()

    def close(self) -> None:
        """Write what is left, put the sections together, sync and rename. The header is in `header` afterwards."""
        if self._file.fd < 0:
            return
        try:
            self._flush()
            while self._jobs:
                self._wait()
            self._digest.update(instrument_table(self.instruments))
            with disk_errors(self.path):
                self._assemble()
            self._file.commit()
        finally:
            self.abort()

    def _assemble(self) -> None:
        """Sections after the levels, then the header, then the preamble that makes the file a tape."""
        fd = self._file.fd
        offsets = {"levels": ALIGN}
        for name in ("batches", "rows"):
            offsets[name] = _pad(fd)
            _copy(self._spools[name], fd)
        offsets["venue_order"] = _pad(fd)
        if not self._summary.in_venue_order:
            self._counts["venue_order"] = self._counts["batches"]
            mapped = mmap.mmap(self._spools["batches"], 0, access=mmap.ACCESS_READ)
            for part in venue_order(np.frombuffer(mapped, BATCH_DTYPE)):
                write_all(fd, part.data)
        sections = {name: {"offset": offsets[name], "count": self._counts[name], "itemsize": dtype.itemsize,
                           "dtype": described(dtype)} for name, dtype in SECTIONS.items()}
        self.header = {
            "format": "apex-tape", "version": VERSION, **self.header, **self._summary.header(),
            "content_hash": self._digest.hexdigest(), "currencies": currencies(self.instruments),
            "instruments": [msgspec.to_builtins(x) for x in self.instruments], "sections": sections,
        }
        text = msgspec.json.encode(self.header)
        at = _pad(fd)
        write_all(fd, text)
        start = PREAMBLE.pack(MAGIC, VERSION, 0, at, len(text), blake2b(text, digest_size=32).digest())
        os.lseek(fd, 0, os.SEEK_SET)
        write_all(fd, start)

    def abort(self) -> None:
        """Remove everything that was written; harmless after `close`."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._jobs.clear()
        self._pending = []
        for fd in self._spools.values():
            os.close(fd)
        self._spools = {}
        self._file.abort()

    def __enter__(self) -> TapeWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


def _pad(fd: int) -> int:
    """Zeros up to the next section; its offset."""
    at = os.lseek(fd, 0, os.SEEK_END)
    at = max(at, ALIGN)
    end = (at + ALIGN - 1) // ALIGN * ALIGN
    os.ftruncate(fd, end)
    return os.lseek(fd, end, os.SEEK_SET)


def _copy(source: int, target: int) -> None:
    """Append a whole spool."""
    os.lseek(source, 0, os.SEEK_SET)
    while part := os.read(source, _COPY):
        write_all(target, part)
