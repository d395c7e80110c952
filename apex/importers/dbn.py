"""Databento's binary encoding (DBN): metadata, and records as numpy arrays. Versions 1 to 3.

Source: the published layout of DBN, docs of databento.com, "Databento Binary Encoding" and "Schemas and data formats".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex.domain.errors import InputError
from apex.importers.common import Advance, pieces

Array = NDArray[Any]
VERSIONS = (1, 2, 3)
SCHEMAS = ("mbo", "mbp-1", "mbp-10", "tbbo", "trades", "ohlcv-1s", "ohlcv-1m", "ohlcv-1h", "ohlcv-1d", "definition",
           "statistics", "status", "imbalance")
PRICE_PLACES = 9
NO_PRICE = (1 << 63) - 1
F_LAST, F_TOB, F_SNAPSHOT, F_MBP, F_MAYBE_BAD_BOOK = 128, 64, 32, 16, 4
_PREFIX = struct.Struct("<4sI")
_FIXED = 100
"""Bytes of the metadata before its lists."""
_SYMBOL_V1 = 22

HEADER = [("length", "u1"), ("rtype", "u1"), ("publisher", "<u2"), ("instrument", "<u4"), ("ts_event", "<u8")]
_EVENT = [("action", "S1"), ("side", "S1"), ("flags", "u1"), ("depth", "u1"), ("ts_recv", "<u8"), ("ts_delta", "<i4"),
          ("sequence", "<u4")]
_BAR = [*HEADER, ("open", "<i8"), ("high", "<i8"), ("low", "<i8"), ("close", "<i8"), ("volume", "<u8")]
_TRADE = [*HEADER, ("price", "<i8"), ("size", "<u4"), *_EVENT]
RECORDS: dict[int, list[tuple[str, str]]] = {
    160: [*HEADER, ("order_id", "<u8"), ("price", "<i8"), ("size", "<u4"), ("flags", "u1"), ("channel", "u1"),
          ("action", "S1"), ("side", "S1"), ("ts_recv", "<u8"), ("ts_delta", "<i4"), ("sequence", "<u4")],
    0: _TRADE,
    1: [*_TRADE, ("bid_price", "<i8"), ("ask_price", "<i8"), ("bid_size", "<u4"), ("ask_size", "<u4"),
        ("bid_count", "<u4"), ("ask_count", "<u4")],
    32: _BAR, 33: _BAR, 34: _BAR, 35: _BAR,
}
"""Fields of the record types that are read: orders, trades, best prices, bars."""
RTYPES = {"mbo": 160, "trades": 0, "mbp-1": 1, "tbbo": 1, "ohlcv-1s": 32, "ohlcv-1m": 33, "ohlcv-1h": 34,
          "ohlcv-1d": 35}


class Metadata(NamedTuple):
    """What a file says of itself.

    Attributes
    ----------
    dataset, schema : str
        "GLBX.MDP3"; a name of SCHEMAS, or "mixed".
    symbols : dict
        Instrument number -> symbol, of all mappings.
    """

    version: int
    dataset: str
    schema: str
    symbols: dict[int, str]


def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("ascii")


def _metadata(version: int, raw: bytes) -> Metadata:
    schema = struct.unpack_from("<H", raw, 16)[0]
    size = _SYMBOL_V1 if version == 1 else struct.unpack_from("<H", raw, 45)[0]
    if size == 0:
        raise struct.error("its symbols have no length")     # and any number of them would fit
    at = _FIXED + 4 + struct.unpack_from("<I", raw, _FIXED)[0]

    def number() -> int:
        nonlocal at
        at += 4
        return int(struct.unpack_from("<I", raw, at - 4)[0])

    def symbol() -> str:
        nonlocal at
        at += size
        if at > len(raw):
            raise struct.error("the metadata ends within its symbols")
        return _text(raw[at - size:at])

    for _ in range(3):                               # symbols asked for, found in part, not found
        for _ in range(number()):
            symbol()
    names: dict[int, set[str]] = {}
    for _ in range(number()):
        asked = symbol()
        for _ in range(number()):
            at += 8                                  # the days from and to
            other = symbol()
            if other.isdigit():
                names.setdefault(int(other), set()).add(asked)
            elif asked.isdigit():
                names.setdefault(int(asked), set()).add(other)
    symbols = {number: min(found) for number, found in names.items()}
    shared = {name for name in symbols.values() if list(symbols.values()).count(name) > 1}
    symbols = {number: f"{name}.{number}" if name in shared else name for number, name in symbols.items()}
    return Metadata(version, _text(raw[:16]), SCHEMAS[schema] if schema < len(SCHEMAS) else "mixed", symbols)


class Reader:
    """A DBN file: `metadata`, and its records run by run.

    Parameters
    ----------
    path : Path
        Zstandard, gzip or plain.
    """

    def __init__(self, path: Path, advance: Advance | None = None) -> None:
        self.path = path
        self._source = pieces(path, advance)
        self._rest = b""
        head = self._take(_PREFIX.size)
        magic, size = _PREFIX.unpack(head) if len(head) == _PREFIX.size else (b"", 0)
        if magic[:3] != b"DBN":
            raise InputError("this is no DBN file", str(path), "Give Databento's .dbn or .dbn.zst files", "foreign")
        if magic[3] not in VERSIONS:
            raise InputError(f"DBN version {magic[3]}; this APEX reads {VERSIONS[0]} to {VERSIONS[-1]}", str(path),
                             "Ask Databento for an older encoding, or install a newer APEX", "newer")
        raw = self._take(size)
        try:
            if len(raw) < size:
                raise struct.error("the metadata is cut off")
            self.metadata = _metadata(magic[3], raw)
        except (struct.error, UnicodeDecodeError) as error:
            raise self._damaged(str(error)) from None

    def _damaged(self, what: str) -> InputError:
        return InputError(f"a damaged DBN file: {what}", str(self.path), "Copy the file again from its source",
                          "damaged")

    def _take(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end of the file."""
        parts = [self._rest]
        have = len(self._rest)
        while have < size and (piece := next(self._source, b"")):
            parts.append(piece)
            have += len(piece)
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]

    def runs(self) -> Iterator[tuple[int, Array]]:
        """Record type and array of each run of records of one type; fields by RECORDS, HEADER's for other types."""
        data = self._rest
        self._rest = b""
        while True:
            at, end = 0, len(data)
            while at + 1 < end and data[at] * 4 <= end - at:
                rtype, array = self._run(data, at)
                at += array.nbytes
                yield rtype, array
            piece = next(self._source, b"")
            if not piece:
                if at < end:
                    raise self._damaged(f"it ends within a record, {end - at} bytes after the last whole one")
                return
            data = data[at:] + piece

    def _run(self, data: bytes, at: int) -> tuple[int, Array]:
        length, rtype = data[at], data[at + 1]
        fields = RECORDS.get(rtype, HEADER)
        least = np.dtype(fields).itemsize
        if length * 4 < least:
            raise self._damaged(f"a record of type {rtype} has {length * 4} bytes, not {least}")
        names, formats = zip(*fields, strict=True)
        offsets = [int(x) for x in np.cumsum([0, *(np.dtype(f).itemsize for f in formats[:-1])])]
        dtype = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": length * 4})
        array = np.frombuffer(data, dtype, (len(data) - at) // (length * 4), at)
        other = (array["length"] != length) | (array["rtype"] != rtype)
        return rtype, array[:int(other.argmax())] if other.any() else array
