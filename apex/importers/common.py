"""What all importers share: compressed files read in pieces, the summary, and errors that name file and line."""

from __future__ import annotations

import os
import queue
import stat
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from apex.domain.decimals import scaled
from apex.domain.errors import ApexError, ConfigError, EnvironmentProblem, InputError
from apex.domain.instrument import Instrument, names

PIECE = 1 << 20
"""Bytes of text that are decoded at once."""
READ = 1 << 18
_AHEAD = 4
_ZSTD_STEP = 1 << 14
_DAMAGED_STEP = 64
_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"

Advance = Callable[[int], None]
"""Told how many bytes of the input files are done."""


class ImportSummary(msgspec.Struct):
    """What an import found. The names are the keys of `apex import --json`.

    Attributes
    ----------
    messages : int
        Input lines (or rows) that are not empty.
    level_updates, level_updates_applied : int
        Entries of bids and asks in all delta messages; those that a synced book took.
    trades, book_tickers, snapshots : int
        Messages of that kind.
    sequence_gaps : int
        Breaks of the venue's rule: rows LINK_GAP on the tape.
    crossed_books : int
        Synced messages after which bid >= ask.
    synced : bool
        Whether the book is in sync at the end.
    clock_defects, feed_min_ns : int
        Rows with local < venue time; min(local - venue), None without a row that has both.
    checksums_right, checksums_wrong : int
        Of venues that send them.
    mark_prices, slow_path_messages, ignored_messages : int
        Mark prices; frames in another than the known form, read slowly; frames that a tape does not hold, which are
        those of other streams and trades of no quantity.
    instruments : list
        Symbol, venue, tick and lot.
    content_hash : str
        The tape's.
    """

    messages: int = 0
    level_updates: int = 0
    level_updates_applied: int = 0
    trades: int = 0
    book_tickers: int = 0
    snapshots: int = 0
    sequence_gaps: int = 0
    crossed_books: int = 0
    synced: bool = False
    clock_defects: int = 0
    feed_min_ns: int | None = None
    checksums_right: int = 0
    checksums_wrong: int = 0
    mark_prices: int = 0
    slow_path_messages: int = 0
    ignored_messages: int = 0
    instruments: list[dict[str, str]] = []
    content_hash: str = ""

    def finish(self, instruments: list[Instrument], header: dict[str, Any]) -> None:
        """Take over what the closed tape knows."""
        self.instruments = [{"symbol": i.symbol, "venue": i.venue, "tick": i.tick, "lot": i.lot} for i in instruments]
        self.clock_defects, self.feed_min_ns = header["clock_defects"], header["feed_min_ns"]
        self.content_hash = header["content_hash"]


class FeedSummary(ImportSummary):
    """What is found besides in recordings of several channels, which may be of several instruments.

    Attributes
    ----------
    received_messages, channels
        Messages of the sockets, and how many of them each channel brought (recordings that hold more than messages).
    snapshot_levels, history_trades : int
        Levels of the snapshots; trades from before the subscription (rows SNAPSHOT | NOT_MARKET).
    ticker_bbo_eq, ticker_bbo_ne : int
        Tickers whose best bid and ask are those of the book then, and others (Coinbase, where both share a socket).
    venue_time_steps_back : int
        Book messages whose venue time was before that of the book's message before; they take that one's.
    names : list
        What the instruments are called: venue:symbol[:kind].
    """

    received_messages: int = 0
    channels: dict[str, int] = {}
    snapshot_levels: int = 0
    history_trades: int = 0
    ticker_bbo_eq: int = 0
    ticker_bbo_ne: int = 0
    venue_time_steps_back: int = 0
    names: list[str] = []

    def finish(self, instruments: list[Instrument], header: dict[str, Any]) -> None:
        """Take over what the closed tape knows."""
        super().finish(instruments, header)
        self.names = names(instruments)


class FrameProblem(ValueError):
    """A frame that cannot be used; `do` says what helps, `code` is a short name. The caller adds file and line."""

    def __init__(self, what: str, do: str, code: str = "form") -> None:
        super().__init__(what)
        self.do, self.code = do, code


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn an OSError of an input file into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
            raise InputError(f"cannot read the recording: {error.strerror}", str(path), "Name a file") from None
        raise EnvironmentProblem(f"cannot read the recording: {error.strerror}", str(path),
                                 "Check permissions and the disk") from None


def size_of(path: Path) -> int:
    """Bytes of a regular file, as it lies on the disk."""
    with reading(path):
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise InputError("a folder is no recording", str(path), "Name its files")
        if not stat.S_ISREG(found.st_mode):
            raise InputError("recordings are read twice, so a pipe cannot be imported", str(path),
                             "Save it to a file first")
    return found.st_size


def pieces(path: Path, advance: Advance | None = None) -> Iterator[bytes]:
    """The decompressed text of a file (gzip, zstandard or plain, by its first bytes), piece by piece.

    Parameters
    ----------
    advance : callable, optional
        Told the bytes of the file read so far.

    Raises
    ------
    InputError
        Truncated or damaged compression; its text says so and the caller knows the line.
    """
    with reading(path), path.open("rb", buffering=0) as stream:
        head = stream.read(4)
        stream.seek(0)
        if head[:2] == _GZIP:
            yield from _gzip(_raw(stream, advance), path)
        elif head == _ZSTD:
            yield from _zstd(_raw(stream, advance), path)
        elif head == _ZIP:
            raise InputError("a zip archive is no recording of lines", str(path), "Unpack it, or use gzip or zstandard")
        else:
            yield from _raw(stream, advance, PIECE)


def lines(path: Path, limit: int | None = None, advance: Advance | None = None) -> Iterator[tuple[int, bytes]]:
    """Number and text of the lines that are not blank, of the first `limit` bytes."""
    number, rest, used = 0, b"", 0
    try:
        for piece in pieces(path, advance):
            parts = (rest + piece).split(b"\n")
            rest = parts.pop()
            used += len(piece)
            for part in parts:
                number += 1
                if part.strip():
                    yield number, part.strip()
            if limit is not None and used >= limit:
                return
    except ApexError as error:
        raise at_line(error, path, number + 1) from None
    if rest.strip():
        yield number + 1, rest.strip()


def at_line(error: ApexError, path: Path, line: int) -> ApexError:
    """An error of a file's compression, which knows no lines: the first line that could not be read."""
    if isinstance(error, InputError) and error.where == str(path):
        error.where = f"{path}:{line}"
    return error


def _raw(stream: Any, advance: Advance | None, size: int = READ) -> Iterator[bytes]:
    done = 0
    while piece := stream.read(size):
        yield piece
        done += len(piece)
        if advance is not None:
            advance(done)


def _gzip(raw: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """All members of a gzip file."""
    inflater = zlib.decompressobj(31)
    begun = False
    for piece in raw:
        rest = piece
        while rest:
            if inflater.eof:                         # another member, or zeros that pad the end
                if begun and not rest.strip(b"\0"):
                    break
                inflater, begun = zlib.decompressobj(31), False
            begun = True
            try:
                yield from _inflate(inflater, rest)
            except zlib.error as error:
                raise InputError(f"damaged gzip: {error}", str(path), "Copy the file again from its source") from None
            rest = inflater.unused_data
    if not inflater.eof:
        raise InputError("truncated gzip: the file ends within its compressed data", str(path),
                         "Copy the file again from its source, or cut it to whole lines")


def _inflate(inflater: Any, data: bytes) -> Iterator[bytes]:
    """The text of a read; where it is damaged, all text up to there, then zlib.error."""
    while data:
        before = inflater.copy()
        try:
            text = inflater.decompress(data, PIECE)
        except zlib.error:
            for start in range(0, len(data), _DAMAGED_STEP):
                yield before.decompress(data[start:start + _DAMAGED_STEP])
            raise
        if text:
            yield text
        data = b"" if inflater.eof else inflater.unconsumed_tail   # at the end the tail is in unused_data too


def _zstd(raw: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """All frames of a zstandard file."""
    import zstandard

    frame = zstandard.ZstdDecompressor().decompressobj()
    try:
        for piece in raw:
            rest = piece
            while rest:
                if frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                step, rest = rest[:_ZSTD_STEP], rest[_ZSTD_STEP:]   # text before damage comes out step by step
                if text := frame.decompress(step):
                    yield text
                rest = frame.unused_data + rest
    except zstandard.ZstdError as error:
        raise InputError(f"damaged zstandard: {error}", str(path), "Copy the file again from its source") from None
    if not frame.eof:
        raise InputError("truncated zstandard: the file ends within its compressed data", str(path),
                         "Copy the file again from its source, or cut it to whole lines")


@contextmanager
def ahead(source: Iterator[bytes]) -> Iterator[Iterator[bytes]]:
    """Read a few pieces ahead in a thread, so that inflating and decoding overlap."""
    line: queue.Queue[bytes | BaseException | None] = queue.Queue(_AHEAD)
    stopped = threading.Event()

    def put(item: bytes | BaseException | None) -> bool:
        while not stopped.is_set():
            try:
                line.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for piece in source:
                if not put(piece):
                    return
            put(None)
        except BaseException as error:  # the reader of the queue raises it
            put(error)

    def read() -> Iterator[bytes]:
        while (item := line.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item

    thread = threading.Thread(target=work, name="inflate", daemon=True)
    thread.start()
    try:
        yield read()
    finally:
        stopped.set()
        thread.join()


def check_out(files: list[Path], out: Path) -> None:
    """Refuse to write a tape over one of its own recordings."""
    for path in files:
        if out.exists() and path.exists() and os.path.samefile(path, out):
            raise InputError("the tape would replace the recording it is made from", str(out),
                             "Name another file with --out")


def step_of(values: Sequence[str], option: str, symbol: str) -> str | None:
    """The step of a symbol among `[SYMBOL=]STEP`: its own wins over one without a symbol; None when there is none.

    >>> step_of(["0.1", "ETHUSDT=0.01"], "--tick", "ETHUSDT")
    '0.01'
    """
    chosen: dict[str, str] = {}
    for value in values:
        name, equals, step = value.rpartition("=")
        if equals and not name:
            raise ConfigError(f"{value!r} names no symbol", option, f"Write {option} SYMBOL=0.1 or {option} 0.1")
        try:
            positive = scaled(step)[0] > 0
        except ConfigError as error:
            raise ConfigError(error.what, option, error.do) from None
        if not positive:
            raise ConfigError(f"{step!r} is not > 0", option, "Give a positive decimal")
        if name not in ("", symbol):
            raise ConfigError(f"{option} of {name}, but the recording is of {symbol}", option,
                              f"Write {option} {symbol}={step}")
        chosen[name] = step
    return chosen.get(symbol) or chosen.get("")
