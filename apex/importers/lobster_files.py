"""LOBSTER's files: names, archives, and messages as columns."""

from __future__ import annotations

import re
import zipfile
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from itertools import islice
from math import gcd
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex._core.events import SIDES
from apex.domain.decimals import plain
from apex.domain.errors import InputError
from apex.importers.common import pieces, reading, size_of

PRICE_PLACES = 4
"""Prices are integers of 10**-4 dollars."""
TABLE_ROWS = 4096
SECOND = 1_000_000_000
ADDED, REDUCED, DELETED, EXECUTED, HIDDEN, CROSS, HALT = 1, 2, 3, 4, 5, 6, 7
"""Types of messages."""
_NAME = re.compile(r"(?P<symbol>[A-Za-z0-9.\-]+)_(?P<date>\d{4}-\d{2}-\d{2})_\d+_\d+_(?P<what>message|orderbook)_\d+\b")

Read = Callable[[], Iterator[bytes]]
Source = tuple[str, Read]
"""What a file is called in errors, and its text piece by piece."""


class Day(NamedTuple):
    """The files of one symbol and day; the order-book file may be absent."""

    symbol: str
    date: str
    messages: Source
    orderbook: Source | None


class Messages(NamedTuple):
    """A message file as columns: time in UTC ns, sizes and prices in the file's units, side BUY or SELL."""

    time: NDArray[np.int64]
    kind: NDArray[np.int64]
    id: NDArray[np.int64]
    size: NDArray[np.int64]
    price: NDArray[np.int64]
    side: NDArray[np.int64]


@contextmanager
def lines(source: Source) -> Iterator[Iterator[tuple[int, bytes]]]:
    """Lines of a file with their numbers; a line that is no row of integers is an error that names it."""
    at = [0]

    def walk() -> Iterator[tuple[int, bytes]]:
        rest = b""
        for piece in source[1]():
            parts = (rest + piece).split(b"\n")
            rest = parts.pop()
            for part in parts:
                at[0] += 1
                if part.strip():
                    yield at[0], part
        if rest.strip():
            at[0] += 1
            yield at[0], rest

    try:
        yield walk()
    except (ValueError, OverflowError) as error:
        raise _no_row(error, source, at[0]) from None


def _no_row(error: object, source: Source, line: int) -> InputError:
    return InputError(f"not a row of LOBSTER's: {error}", f"{source[0]}:{line}",
                      "The line is damaged, or the file is of another format", "form")


def table(source: Source) -> Iterator[NDArray[np.int64]]:
    """Rows of an order-book file, some thousand at a time, (rows, 4 * levels)."""
    width = 0
    with lines(source) as found:
        while chunk := list(islice(found, TABLE_ROWS)):
            width = width or chunk[0][1].count(b",") + 1
            yield _integers(chunk, width, source)


def _integers(chunk: list[tuple[int, bytes]], width: int, source: Source) -> NDArray[np.int64]:
    try:
        values = np.array(list(map(int, b",".join(line for _, line in chunk).split(b","))), np.int64)
        if width % 4 == 0 and all(line.count(b",") == width - 1 for _, line in chunk):
            return values.reshape(len(chunk), width)
    except (ValueError, OverflowError):
        pass                                         # the line is looked for
    for number, line in chunk:
        try:
            row = np.array([int(value) for value in line.split(b",")], np.int64)
        except (ValueError, OverflowError) as error:
            raise _no_row(error, source, number) from None
        if len(row) != width or width % 4:
            raise _no_row(f"{len(row)} columns, where four a level are needed", source, number)
    raise AssertionError("a chunk of sound lines is a table")


def days_of(files: list[Path]) -> list[Day]:
    """The files by symbol and day."""
    found: dict[tuple[str, str], dict[str, Source]] = {}
    for path in files:
        size_of(path)
        for name, read in _members(path):
            match = _NAME.match(name.rpartition("/")[2])
            if match is None:
                if len(files) == 1 and path.suffix == ".zip":
                    continue                         # a readme in an archive
                raise InputError(f"the name {name!r} tells no symbol and date", str(path),
                                 "Keep LOBSTER's names: SYMBOL_2012-06-21_34200000_57600000_message_5.csv", "name")
            day = found.setdefault((match["date"], match["symbol"]), {})
            if match["what"] in day:
                raise InputError(f"a second {match['what']} file of {match['symbol']} on {match['date']}", str(path),
                                 "Give each file once", "twice")
            day[match["what"]] = (str(path) if name == path.name else f"{path}:{name}", read)
    for (when, symbol), day in found.items():
        if "message" not in day:
            raise InputError(f"no message file of {symbol} on {when}", day["orderbook"][0],
                             "Give the message file beside the order-book file")
    if not found:
        raise InputError("no message file in the archive", str(files[0]), "Give LOBSTER's own archive")
    return [Day(symbol, when, day["message"], day.get("orderbook"))
            for (when, symbol), day in sorted(found.items())]


def _members(path: Path) -> list[Source]:
    """Names and readers of a file, or of an archive's members."""
    with reading(path), path.open("rb") as stream:
        if stream.read(4) != b"PK\x03\x04":
            return [(path.name, lambda: pieces(path))]
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
    except zipfile.BadZipFile as error:
        raise InputError(f"damaged zip: {error}", str(path), "Copy the file again from its source") from None
    return [(name, lambda name=name: _unzipped(path, name)) for name in names]  # type: ignore[misc]


def _unzipped(path: Path, name: str) -> Iterator[bytes]:
    try:
        with reading(path), zipfile.ZipFile(path) as archive, archive.open(name) as stream:
            while piece := stream.read(1 << 18):
                yield piece
    except (zipfile.BadZipFile, EOFError, ValueError) as error:
        raise InputError(f"damaged zip: {error}", f"{path}:{name}", "Copy the file again from its source") from None


def messages_of(day: Day) -> Messages:
    """All messages of a day."""
    columns = [array("q") for _ in range(6)]
    start = midnight(day.date)
    before = 0
    with lines(day.messages) as found:
        for _, line in found:
            time, kind, id, size, price, direction = line.split(b",")[:6]
            whole, _, part = time.partition(b".")
            at = int(whole) * SECOND + int(part[:9].ljust(9, b"0"))
            row = (start + at, int(kind), int(id), int(size), int(price), int(direction))
            if at < before:
                raise ValueError("time goes back")
            if not ADDED <= row[1] <= HALT or row[5] not in (1, -1) or (row[1] != HALT and row[3] <= 0) or row[2] < 0:
                raise ValueError("type 1 to 7, id >= 0, size > 0 and direction 1 or -1 are known")
            before = at
            for column, value in zip(columns, row, strict=True):
                column.append(value)
    if not columns[0]:
        raise InputError("an empty message file", day.messages[0], "Give a file with at least one message")
    made = [np.frombuffer(column, np.int64) for column in columns]
    return Messages(made[0], made[1], made[2], made[3], made[4],
                    np.where(made[5] == 1, SIDES["BUY"], SIDES["SELL"]))


def midnight(day: str) -> int:
    """UTC ns of a date's midnight in New York: LOBSTER's times count from it. US rule of 2007 and later.

    >>> midnight("2012-06-21") // 10**9, midnight("2012-12-21") // 10**9
    (1340251200, 1356066000)
    """
    when = date.fromisoformat(day)
    march, november = date(when.year, 3, 8), date(when.year, 11, 1)
    begins = march + timedelta((6 - march.weekday()) % 7)            # second Sunday of March
    ends = november + timedelta((6 - november.weekday()) % 7)        # first Sunday of November
    hours = 4 if begins <= when < ends else 5                        # between 0 and 2 h of the two days themselves
    return ((when - date(1970, 1, 1)).days * 24 + hours) * 3600 * SECOND


def tick_of(read: list[tuple[Day, Messages]]) -> str:
    """The gcd of all prices, of messages and order-book rows."""
    step = 0
    for day, messages in read:
        step = gcd(step, int(np.gcd.reduce(np.where(messages.kind != HALT, messages.price, 0))))
        if day.orderbook is not None:
            for rows in table(day.orderbook):
                step = gcd(step, int(np.gcd.reduce(np.where(rows[:, 1::2] > 0, rows[:, ::2], 0), axis=None)))
    return plain(step, PRICE_PLACES) if step else "0.01"
