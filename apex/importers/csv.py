"""Tables of trades, quotes or levels of one instrument to a tape; `--columns` says which column is what.

A row is a quote where bid and ask are named, a level where `snapshot` or `kind` say so, else a trade. Rows of the same
times are one message. Where only `ts` is named it is both times. Levels of a table without a snapshot are those of a
book that is in sync from the start.
"""

from __future__ import annotations

import csv
import difflib
import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument, Kind
from apex.importers.common import Advance, FeedSummary, FrameProblem, check_out, lines, size_of, step_of
from apex.importers.grid import Draft, Facts, Steps
from apex.importers.moments import any_time
from apex.importers.sheet import BUY, NO_SIDE, SELL, Level, Sheet
from apex.store.tape import TapeWriter

FIELDS = ("ts", "ts_venue", "price", "quantity", "side", "buyer_maker", "kind", "snapshot", "bid", "bid_quantity",
          "ask", "ask_quantity", "sequence")
SIDES = {
    **dict.fromkeys(("buy", "bid", "b", "1", "long"), BUY),
    **dict.fromkeys(("sell", "ask", "a", "s", "offer", "-1", "short"), SELL),
}
KINDS = {
    **dict.fromkeys(("trade", "t", "print", "match"), "trade"),
    **dict.fromkeys(("quote", "q", "bbo", "ticker"), "quote"),
    **dict.fromkeys(("level", "l2", "book", "depth", "set", "update", "delta", "change"), "level"),
    **dict.fromkeys(("snapshot", "snap"), "snapshot"),
}
TRUTH = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False, "": False}
NEEDED = {"trade": ("price", "quantity"), "quote": ("bid", "ask"), "level": ("price", "quantity", "side"),
          "snapshot": ("price", "quantity", "side")}
EXAMPLE = "Write --columns ts=COL,price=COL,quantity=COL,side=COL"


class Row(NamedTuple):
    """What a line says; compared by time and file."""

    local: int
    file: int
    line: int
    venue: int
    kind: str
    cells: dict[str, str]


def import_csv(
    files: list[Path], out: Path, *, columns: str, tick: Sequence[str], lot: Sequence[str], symbol: str | None = None,
    kind: Kind = "spot", advance: Advance | None = None,
) -> FeedSummary:
    """Import tables of one instrument.

    Parameters
    ----------
    files : list of Path
        Comma-separated with a header line, plain, gzip or zstandard; merged by local time.
    out : Path
        The tape, replaced on success.
    columns : str
        FIELD=COL, separated by commas. FIELD is one of FIELDS; COL is a column's name, or its number from 0 (then the
        header may be missing), or for `kind` one of KINDS itself. A field that is not named is the column of its own
        name, if there is one.
    tick, lot : sequence of "[SYMBOL=]STEP"
        Needed.
    symbol : str, optional
        Default: the first file's name without its suffixes.

    Raises
    ------
    InputError
        Names file and line.
    ConfigError
        For columns that there are not, or without tick or lot.
    """
    check_out(files, out)
    name = symbol or files[0].name.removesuffix(".gz").removesuffix(".zst").removesuffix(".csv")
    steps = step_of(tick, "--tick", name), step_of(lot, "--lot", name)
    if None in steps:
        raise ConfigError("the grid of a table must be given", "--lot" if steps[0] else "--tick",
                          "Give both, for example --tick 0.01 --lot 0.001")
    wanted = parse_columns(columns)
    total, done = sum(size_of(path) for path in files), dict[int, int]()

    def told(number: int, here: int) -> None:
        done[number] = here
        if advance is not None:
            advance(min(sum(done.values()), total))

    def rows(told: Callable[[int, int], None] | None = None) -> Iterator[Row]:
        return heapq.merge(*(_rows(path, number, wanted, told) for number, path in enumerate(files)),
                           key=lambda row: row[:2])

    synced = not any(row.kind == "snapshot" for row in rows())
    instrument = Instrument(name, "csv", str(steps[0]), str(steps[1]), kind)
    with TapeWriter(out, [instrument], source="csv", synced_from_start=synced) as tape:
        sheet = Sheet(Steps(tick, lot), tape, [instrument], synced=synced)
        messages = _read(rows(told), sheet, files, sheet.draft("csv", name, Facts(kind)))
        summary = sheet.finish()
    summary.messages = messages
    summary.finish([instrument], tape.header)
    return summary


def parse_columns(text: str) -> dict[str, str]:
    """`ts=time,price=px` as a dict.

    Raises
    ------
    ConfigError
        For an unknown field, one named twice, or a part without its column.
    """
    found: dict[str, str] = {}
    for part in text.split(",") if text else []:
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise ConfigError(f"{part!r} names no column", "--columns", EXAMPLE)
        if field not in FIELDS:
            near = difflib.get_close_matches(field, FIELDS, 1)
            raise ConfigError(f"no field {field!r}", "--columns",
                              f"Did you mean {near[0]}?" if near else f"The fields are: {', '.join(FIELDS)}")
        if field in found:
            raise ConfigError(f"field {field!r} twice", "--columns", "Name each field once")
        found[field] = column
    return found


def _places(header: list[str], wanted: dict[str, str], path: Path) -> tuple[dict[str, int], str | None]:
    """Where each field is, and the kind of all rows if it is given as a word."""
    places: dict[str, int] = {}
    word: str | None = None
    for field in FIELDS:
        column = wanted.get(field, field)
        if column in header:
            places[field] = header.index(column)
        elif field in wanted and column.isdecimal() and int(column) < len(header):
            places[field] = int(column)
        elif field == "kind" and field in wanted and column.lower() in KINDS:
            word = KINDS[column.lower()]
        elif field in wanted:
            raise ConfigError(f"{path} has no column {column!r}", "--columns", f"It has: {', '.join(header)}")
    if "ts" not in places:
        raise ConfigError(f"{path} has no column for the time", "--columns", EXAMPLE)
    return places, word


def _rows(path: Path, number: int, wanted: dict[str, str], told: Callable[[int, int], None] | None) -> Iterator[Row]:
    """Rows of one file; local time must not go back."""
    found = lines(path, None, None if told is None else lambda done: told(number, done))
    line, first = next(found, (0, b""))
    if not line:
        raise InputError("an empty table", str(path), "Give a table with at least one row")
    try:
        header = _cells(first)
    except FrameProblem as error:
        raise InputError(str(error), f"{path}:{line}", error.do, error.code) from None
    places, word = _places(header, wanted, path)
    if all(column.isdecimal() for column in wanted.values() if column.lower() not in KINDS) and wanted:
        try:
            any_time(header[places["ts"]].strip())   # no header: the columns are numbers, and this is a row
        except FrameProblem:
            pass
        else:
            found = _again(line, first, found)
    kind = word or ("quote" if {"bid", "ask"} <= places.keys() else "level" if "snapshot" in places else "trade")
    last = 0
    for line, text in found:
        try:
            row = _row(_cells(text), places, kind, number, line)
        except (FrameProblem, KeyError, IndexError) as error:
            do = error.do if isinstance(error, FrameProblem) else "The line is damaged"
            what = str(error) if isinstance(error, FrameProblem) else f"a cell that is not understood: {error}"
            raise InputError(what, f"{path}:{line}", do, "form") from None
        missing = [field for field in NEEDED[row.kind] if field not in places]
        if missing:
            raise ConfigError(f"a {row.kind} needs {' and '.join(missing)}", "--columns", EXAMPLE)
        if row.local < last:
            raise InputError("local time goes back", f"{path}:{line}", "Sort the table by its local time", "order")
        last = row.local
        yield row


def _again(line: int, first: bytes, rest: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    yield line, first
    yield from rest


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode("utf-8-sig", "replace")]), [])
    except csv.Error as error:
        raise FrameProblem(f"a line that is no CSV: {error}", "The line is damaged") from None


def _row(cells: list[str], places: dict[str, int], kind: str, number: int, line: int) -> Row:
    named = {field: cells[at].strip() for field, at in places.items()}
    local = any_time(named["ts"])
    venue = any_time(named["ts_venue"]) if named.get("ts_venue") else local
    if "kind" in named:
        kind = KINDS[named["kind"].lower()]
    if "snapshot" in named and TRUTH[named["snapshot"].lower()]:
        kind = "snapshot"
    return Row(local, number, line, venue, kind, named)


def _read(rows: Iterator[Row], sheet: Sheet, files: list[Path], draft: Draft) -> int:
    """All rows, message by message; how many there were."""
    count, in_snapshot = 0, False
    for key, group in groupby(rows, key=lambda row: (row.local, row.venue, row.kind)):
        taken = list(group)
        count += len(taken)
        sheet.now, venue, kind = key
        where = f"{files[taken[0].file]}:{taken[0].line}"
        try:
            _message(sheet, draft, venue, kind, taken, in_snapshot)
        except FrameProblem as problem:
            raise InputError(str(problem), where, problem.do, problem.code) from None
        if kind in ("level", "snapshot"):
            in_snapshot = kind == "snapshot"
        sheet.end()
    return count


def _message(sheet: Sheet, draft: Draft, venue: int, kind: str, rows: list[Row], in_snapshot: bool) -> None:
    numbers = [row.cells.get("sequence", "") for row in rows]
    sequence = int(numbers[0]) if numbers[0].isdecimal() and len(numbers[0]) < 19 else 0
    if kind == "quote":
        for row in rows:
            sheet.summary.book_tickers += 1
            c = row.cells
            sheet.quote(draft, venue, sequence, (c["bid"], c.get("bid_quantity")), (c["ask"], c.get("ask_quantity")))
        return
    if kind == "trade":
        for row, number in zip(rows, numbers, strict=True):
            own = int(number) if number.isdecimal() and len(number) < 19 else 0
            sheet.trade(draft, venue, own, _aggressor(row), row.cells["price"], row.cells["quantity"])
        return
    sides: dict[int, list[Level]] = {BUY: [], SELL: []}
    for row in rows:
        side = SIDES.get(row.cells["side"].lower(), NO_SIDE)
        if side == NO_SIDE:
            raise FrameProblem(f"{row.cells['side']!r} is no side", f"Use one of {', '.join(SIDES)}", "side")
        sides[side].append((row.cells["price"], row.cells["quantity"]))
    if kind == "level":
        sheet.summary.level_updates += len(rows)
        if draft.synced:
            sheet.update(draft, venue, sequence, sides[BUY], sides[SELL])
    elif in_snapshot:
        sheet.more_of_snapshot(draft, venue, sequence, sides[BUY], sides[SELL])
    else:
        sheet.snapshot(draft, venue, sequence, sides[BUY], sides[SELL])


def _aggressor(row: Row) -> int:
    """Side of a trade: `side` as it stands, or the other one than the maker's."""
    if "buyer_maker" in row.cells:
        word = row.cells["buyer_maker"].lower()
        if word not in TRUTH:
            raise FrameProblem(f"{word!r} is neither true nor false", "Correct the cell", "side")
        return SELL if TRUTH[word] else BUY
    word = row.cells.get("side", "").lower()
    if word and word not in SIDES and word not in ("unknown", "none", "0"):
        raise FrameProblem(f"{word!r} is no side", f"Use one of {', '.join(SIDES)}", "side")
    return SIDES.get(word, NO_SIDE)
