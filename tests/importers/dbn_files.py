"""DBN files made by hand, by struct alone: versions 1 to 3, with or without ts_out."""

from __future__ import annotations

import struct
from pathlib import Path

import zstandard

SCHEMAS = {"mbo": 0, "mbp-1": 1, "tbbo": 3, "trades": 4, "ohlcv-1m": 6, "mixed": 0xFFFF}
NO_PRICE = (1 << 63) - 1
NO_TIME = (1 << 64) - 1
T0 = 1_703_545_200_000_000_000


def metadata(schema: str, symbols: dict[int, str], *, version: int = 1, dataset: str = "GLBX.MDP3",
             ts_out: bool = False, inverse: bool = False) -> bytes:
    """A file's beginning. inverse: instrument numbers were asked for, symbols are what they map to."""
    size = 22 if version == 1 else 71

    def text(word: str) -> bytes:
        return word.encode().ljust(size, b"\0")

    head = dataset.encode().ljust(16, b"\0") + struct.pack("<HQQQ", SCHEMAS[schema], T0, T0, 0)
    if version == 1:
        head += struct.pack("<QBBB", NO_TIME, 1, 0, ts_out) + bytes(47)
    else:
        head += struct.pack("<BBBH", 1, 0, ts_out, size) + bytes(53)
    assert len(head) == 100
    asked = [str(number) if inverse else name for number, name in symbols.items()]
    body = struct.pack("<II", 0, len(asked)) + b"".join(map(text, asked)) + struct.pack("<II", 0, 0)
    body += struct.pack("<I", len(asked))
    for name, number, symbol in zip(asked, symbols, symbols.values(), strict=True):
        body += text(name) + struct.pack("<III", 1, 20231225, 20231226) + text(symbol if inverse else str(number))
    return b"DBN" + struct.pack("<BI", version, len(head + body)) + head + body


def _record(rtype: int, instrument: int, ts: int, body: bytes, publisher: int, ts_out: bool) -> bytes:
    body += struct.pack("<Q", ts + 99) if ts_out else b""
    return struct.pack("<BBHIQ", (16 + len(body)) // 4, rtype, publisher, instrument, ts) + body


def mbo(action: str, side: str, id: int, price: int, size: int, *, ts: int = 0, recv: int | None = None,
        flags: int = 128, sequence: int = 1, instrument: int = 7, publisher: int = 1, ts_out: bool = False) -> bytes:
    """An MBO record; times are nanoseconds after T0, prices whole units of 0.25."""
    raw = price * 250_000_000 if price != NO_PRICE else price
    received = T0 + (ts + 5 if recv is None else recv)
    body = struct.pack("<QqIBBccQiI", id, raw, size, flags, 0, action.encode(), side.encode(), received, 1, sequence)
    return _record(160, instrument, T0 + ts, body, publisher, ts_out)


def trade(side: str, price: int, size: int, *, ts: int = 0, flags: int = 128, sequence: int = 1, instrument: int = 7,
          action: str = "T", touch: tuple[int, int, int, int] | None = None, publisher: int = 1) -> bytes:
    """A trades record, or with `touch` (bid price, size, ask price, size) an MBP-1 record."""
    body = struct.pack("<qIccBBQiI", price * 250_000_000, size, action.encode(), side.encode(), flags, 0,
                       T0 + ts + 5, 1, sequence)
    if touch is not None:
        bid, bids, ask, asks = touch
        best = [price * 250_000_000 if size else NO_PRICE for price, size in ((bid, bids), (ask, asks))]
        body += struct.pack("<qqIIII", *best, bids, asks, 1, 1)
    return _record(0 if touch is None else 1, instrument, T0 + ts, body, publisher, False)


def other(instrument: int = 7) -> bytes:
    """A record of a type that no tape holds: a system message."""
    return _record(23, instrument, T0, bytes(304), 1, False)


def write(path: Path, *parts: bytes) -> Path:
    """A .dbn.zst or .dbn file."""
    data = b"".join(parts)
    path.write_bytes(zstandard.ZstdCompressor().compress(data) if path.suffix == ".zst" else data)
    return path
