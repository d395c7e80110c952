"""The container of cryptofeed's recordings: both formats, lines merged by local time.

Version 3, JSON lines: `{"t": "header" | "http" | "connect" | "send" | "recv", "conn", "ts": <seconds>, "addr", "url",
"data"}`. The connections may lie one after the other, answers of REST before all; so lines are sorted by time.

Older: `configuration: {...}`, `<address> <-> <seconds>` a connection, `<address> <- <seconds>: <json>` sent by us,
`<url> -> <seconds>: <body>` an answer of REST, `<seconds>: <json>` received.

Source: cryptofeed `raw_data_collection.py` (`AsyncFileCallback`), and the recordings in its `sample_data`.
"""

from __future__ import annotations

import ast
import mmap
import os
import re
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import msgspec
import numpy as np

from apex.domain.errors import InputError
from apex.importers.common import FrameProblem, lines, size_of
from apex.importers.moments import seconds
from apex.store.files import disk_errors, spool, write_all

RECEIVED, HTTP, CONNECT, UNUSED = 0, 1, 2, 3
_KINDS = {b"recv": RECEIVED, b"http": HTTP, b"connect": CONNECT, b"header": UNUSED, b"send": UNUSED}
_ARROWS = {None: RECEIVED, b"->": HTTP, b"<->": CONNECT, b"<-": UNUSED}
_ENTRY = re.compile(rb'\{\s*"t"\s*:\s*"(\w+)"(?:\s*,\s*"conn"\s*:\s*"([^"\\]*)"\s*,\s*"ts"\s*:\s*([0-9.]+))?')
_OLD = re.compile(rb"(?:\S+ (<->|<-|->) )?(\d+(?:\.\d+)?)(?:: |$)")
_PART = re.compile(r"(\.\d+)?(\.raw|\.txt|\.log)?(\.gz|\.zst)?$")
_BLOCK, _HEAD = 1 << 20, 1 << 16
_FILE_SHIFT = 40
_FORMAT = "Give recordings of cryptofeed: JSON lines with t, conn and ts, or `<seconds>: <json>` lines"


class Line(NamedTuple):
    """One line.

    Attributes
    ----------
    kind : int
        RECEIVED, HTTP or CONNECT.
    address : str
        Of the server or of the answer; empty for what was received.
    text : str or bytes
        The message.
    place : int
        File and line, for `Recording.where`.
    """

    ts_ns: int
    kind: int
    connection: str
    address: str
    text: str | bytes
    place: int


class _Entry(msgspec.Struct):
    data: str = ""
    addr: str = ""
    url: str = ""


class Recording:
    """Lines of all files in order of local time; use as a context manager, iterate as often as needed.

    The text lies in a nameless file beside the tape; in memory are some 40 bytes a line.

    Parameters
    ----------
    files : list of Path
    beside : Path
        Where the nameless file goes.
    advance : callable
        Told the share of the files that is read.

    Attributes
    ----------
    messages : int
        Lines that are not blank.
    """

    def __init__(self, files: list[Path], beside: Path, advance: Callable[[float], None]) -> None:
        self.files = files
        self.messages = 0
        self._beside = beside
        self._names: list[str] = []
        self._last: dict[int, int] = {}
        self._times, self._offsets, self._places = array("q"), array("q"), array("q")
        self._sizes, self._owners, self._kinds = array("l"), array("i"), array("b")
        self._end = 0
        self._fd = spool(beside)
        self._map: mmap.mmap | None = None
        try:
            total, base = sum(size_of(path) for path in files), 0
            for number in self._by_first_time():
                self._file(number, base, lambda done: advance(done / max(total, 1)))
                base += size_of(files[number])
            self._order = np.argsort(np.frombuffer(self._times, np.int64), kind="stable")
            if self._end:
                self._map = mmap.mmap(self._fd, self._end, access=mmap.ACCESS_READ)
        except BaseException:
            self.close()
            raise

    def _by_first_time(self) -> list[int]:
        """Files in the order of the first local times of their connections; files without one first."""
        firsts = []
        for number, path in enumerate(self.files):
            stamps = ((at, _stamp(line)) for at, line in lines(path, _HEAD))
            at, first = next(((at, stamp[1]) for at, stamp in stamps if stamp and stamp[0] in (RECEIVED, CONNECT)),
                             (0, b"0"))
            firsts.append((self._time(first, f"{path}:{at}"), number))
        return [number for _, number in sorted(firsts)]

    def _file(self, number: int, base: int, advance: Callable[[int], None]) -> None:
        """Index one file."""
        path, block, messages = self.files[number], bytearray(), self.messages
        own = str(path.with_name(_PART.sub("", path.name)))      # parts of one recording go on in each other
        for at, line in lines(path, None, lambda done: advance(base + done)):
            self.messages += 1
            stamp = _stamp(line)
            if stamp is None:
                raise InputError("a line of no known form", f"{path}:{at}", _FORMAT, "line")
            if stamp[0] == UNUSED:
                continue
            kind, connection = stamp[0], self._name(own if stamp[2] is None else stamp[2].decode("utf-8", "replace"))
            ts = self._time(stamp[1], f"{path}:{at}")
            if kind != HTTP:
                if ts < self._last.get(connection, 0):
                    raise InputError("local time goes back within a connection", f"{path}:{at}",
                                     "A clock that was set back needs two recordings: cut the file there", "order")
                self._last[connection] = ts
            self._times.append(ts)
            self._kinds.append(kind)
            self._owners.append(connection)
            self._offsets.append(self._end + len(block))
            self._sizes.append(len(line))
            self._places.append(number << _FILE_SHIFT | at)
            block += line
            if len(block) >= _BLOCK:
                self._spool(block)
        self._spool(block)
        if self.messages == messages:
            raise InputError("an empty recording", str(path), "Give a recording with at least one line")

    def _spool(self, block: bytearray) -> None:
        with disk_errors(self._beside):
            write_all(self._fd, bytes(block))
        self._end += len(block)
        block.clear()

    def _name(self, name: str) -> int:
        if name not in self._names:
            self._names.append(name)
        return self._names.index(name)

    def _time(self, text: bytes, where: str) -> int:
        try:
            return seconds(text.decode())
        except FrameProblem as problem:
            raise InputError(str(problem), where, problem.do, problem.code) from None

    def __len__(self) -> int:
        return len(self._times)

    def __iter__(self) -> Iterator[Line]:
        decode = msgspec.json.Decoder(_Entry).decode
        for at in self._order.tolist():
            offset, place, kind = self._offsets[at], self._places[at], self._kinds[at]
            text = self._map[offset:offset + self._sizes[at]] if self._map else b""
            name = self._names[self._owners[at]]
            if text[:1] != b"{":
                yield Line(self._times[at], kind, name, *_parts(kind, text), place)
                continue
            try:
                entry = decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise InputError(f"not JSON: {error}", self.where(place),
                                 "The line is damaged: record again, or remove it", "json") from None
            yield Line(self._times[at], kind, name, entry.url or entry.addr, entry.data, place)

    def where(self, place: int) -> str:
        """File and line of a line's place."""
        return f"{self.files[place >> _FILE_SHIFT]}:{place & (1 << _FILE_SHIFT) - 1}"

    def close(self) -> None:
        """Give the nameless file back."""
        if self._map is not None:
            self._map.close()
            self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _stamp(line: bytes) -> tuple[int, bytes, bytes | None] | None:
    """Kind, time and connection (None: the file's own) of a line of either format; None for one of neither."""
    if line[:1] == b"{":
        found = _ENTRY.match(line)
        kind = _KINDS.get(found[1]) if found else None
        if found is None or kind is None or (kind != UNUSED and found[3] is None):
            return None
        return kind, found[3] or b"0", found[2]
    if line.startswith(b"configuration:"):
        return UNUSED, b"0", None
    old = _OLD.match(line)
    return None if old is None else (_ARROWS[old[1]], old[2], None)


def _parts(kind: int, line: bytes) -> tuple[str, str | bytes]:
    """Address and message of an older line."""
    if kind == CONNECT:
        return line.partition(b" <-> ")[0].decode("utf-8", "replace"), b""
    if kind == HTTP:
        url, _, rest = line.partition(b" -> ")
        return url.decode("utf-8", "replace"), rest.partition(b": ")[2].partition(b" header: ")[0]
    text = line.partition(b": ")[2]
    return "", _unquoted(text) if text[:2] in (b"b'", b'b"') else text


def _unquoted(text: bytes) -> bytes:
    """A message in Python's form of bytes, which the older format has of venues that compress."""
    try:
        found = ast.literal_eval(text.decode("ascii"))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return found if isinstance(found, bytes) else text
