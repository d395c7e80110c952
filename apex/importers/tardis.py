"""CSV of Tardis to a tape: incremental_book_L2, book_snapshot_N, trades, quotes, derivative_ticker; one instrument.

Rules (docs.tardis.dev, "Downloadable CSV files"):

1. Times are microseconds; rows of one local_timestamp are one message.
2. incremental_book_L2: amounts are absolute, 0 removes. A row with is_snapshot after one without discards the book.
3. book_snapshot_N: each row is the whole top of the book, told as the changes it makes.
4. `side` of trades is the aggressor's, or unknown.
5. A cell may be empty: the venue did not say.

Files are merged by local time; at one time trades come before books, which show what the trades took.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import NamedTuple

from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Kind
from apex.importers.common import Advance, FeedSummary, FrameProblem, check_out, lines, size_of
from apex.importers.grid import Draft, Facts, Steps, decimal
from apex.importers.moments import us
from apex.importers.sheet import BUY, NO_SIDE, SELL, FullBook, Level, Sheet, convert, of_full_books

SAMPLE = 4096
"""Messages from which instruments and grids are found first."""
SIDES = {"buy": BUY, "sell": SELL, "bid": BUY, "ask": SELL, "unknown": NO_SIDE, "": NO_SIDE}
TRUTH = {"true": True, "false": False}
SPOT = {
    "ascendex", "binance", "binance-us", "binance-jersey", "binance-dex", "bitfinex", "bitflyer", "bitstamp",
    "bybit-spot", "coinbase", "crypto-com", "gate-io", "gemini", "hitbtc", "huobi", "kraken", "kucoin", "okcoin",
    "okex", "poloniex", "serum", "upbit",
}
INVERSE = {"binance-delivery", "bitmex", "cryptofacilities", "deribit", "huobi-dm", "huobi-dm-swap"}
FORMS = {
    "trades": {"id", "side", "price", "amount"},
    "incremental_book_L2": {"is_snapshot", "side", "price", "amount"},
    "book_snapshot": {"asks[0].price", "asks[0].amount", "bids[0].price", "bids[0].amount"},
    "quotes": {"ask_amount", "ask_price", "bid_price", "bid_amount"},
    "derivative_ticker": {"mark_price", "index_price", "funding_rate", "funding_timestamp"},
}
"""Name of a table -> its own columns; in the order of messages at one local time."""
COMMON = {"exchange", "symbol", "timestamp", "local_timestamp"}


class Table(NamedTuple):
    """A file: its form and where its columns are."""

    path: Path
    form: str
    rank: int
    columns: dict[str, int]


class Message(NamedTuple):
    """Rows of one local time; compared by time, form and file."""

    local: int
    rank: int
    number: int
    lines: list[int]
    rows: list[list[str]]


def import_tardis(
    files: list[Path], out: Path, *, tick: Sequence[str] = (), lot: Sequence[str] = (), symbol: str | None = None,
    kind: Kind | None = None, advance: Advance | None = None,
) -> FeedSummary:
    """Import tables of one instrument.

    Parameters
    ----------
    files : list of Path
        Any tables, in any order; their headers say what they are. Plain, gzip or zstandard.
    out : Path
        The tape, replaced on success.
    tick, lot : sequence of "[SYMBOL=]STEP"
        Empty: the exact common divisor of all prices (quantities), marks apart.
    symbol : str, optional
        The one to take from tables of several; without it another symbol is an error.
    kind : {"spot", "linear", "inverse"}, optional
        Else by the exchange's name: its spot market, known inverse ones, linear.

    Raises
    ------
    InputError
        Names file and line.
    ConfigError
        For two tables of books, or a step of another symbol.
    """
    check_out(files, out)
    tables = [_table(path) for path in files]
    books = {table.form for table in tables} & {"incremental_book_L2", "book_snapshot"}
    if len(books) > 1:
        raise ConfigError(f"two tables of one book: {' and '.join(sorted(books))}", str(files[0]), "Give one of them")
    total = sum(size_of(path) for path in files)
    counted: list[int] = []

    def read(sheet: Sheet, sample: bool) -> None:
        reader = Reader(tables, sheet, symbol, kind)
        found = _merged(tables, None if sheet.learning or advance is None else _progress(advance, total))
        for message in islice(found, SAMPLE if sample else None):
            reader.take(message)
        counted[:] = [reader.rows]

    summary = convert(read, out, Steps(tick, lot), "tardis", str(files[0]))
    summary.messages = counted[0]
    return summary


def _progress(advance: Advance, total: int) -> Callable[[int, int], None]:
    """Sums up how far each file is read."""
    done: dict[int, int] = {}

    def told(number: int, here: int) -> None:
        done[number] = here
        advance(min(sum(done.values()), total))

    return told


def _table(path: Path) -> Table:
    """Look at a file's header."""
    size_of(path)
    number, line = next(lines(path, 1 << 16), (0, b""))
    names = line.decode("utf-8", "replace").split(",")
    for rank, (form, own) in enumerate(FORMS.items()):
        if number == 1 and {*own, *COMMON} <= set(names) and len(set(names)) == len(names):
            return Table(path, form, rank, {name: at for at, name in enumerate(names)})
    raise InputError("no header of a table of Tardis", f"{path}:{max(number, 1)}",
                     f"Give CSV files of Tardis: {', '.join(FORMS)}")


def _merged(tables: list[Table], told: Callable[[int, int], None] | None) -> Iterator[Message]:
    """Messages of all tables by local time."""
    return heapq.merge(*(_messages(table, number, told) for number, table in enumerate(tables)),
                       key=lambda message: message[:3])


def _messages(table: Table, number: int, told: Callable[[int, int], None] | None) -> Iterator[Message]:
    """Messages of one table; local time must not go back."""
    at, width, last = table.columns["local_timestamp"], len(table.columns), 0

    def rows() -> Iterator[tuple[str, int, list[str]]]:
        found = lines(table.path, None, None if told is None else lambda done: told(number, done))
        for line, text in islice(found, 1, None):
            cells = text.decode("utf-8", "replace").split(",")
            if len(cells) != width:
                raise InputError(f"{len(cells)} cells under {width} names", f"{table.path}:{line}",
                                 "The line is damaged", "form")
            yield cells[at], line, cells

    for text, group in groupby(rows(), key=lambda row: row[0]):
        taken = list(group)
        line = taken[0][1]
        try:
            local = us(text)
        except FrameProblem as problem:
            raise InputError(str(problem), f"{table.path}:{line}", problem.do, problem.code) from None
        if local < last:
            raise InputError("local time goes back", f"{table.path}:{line}", "Sort the table by local_timestamp",
                             "order")
        last = local
        yield Message(local, table.rank, number, [at for _, at, _ in taken], [cells for _, _, cells in taken])


class Reader:
    """Gives messages to a sheet."""

    def __init__(self, tables: list[Table], sheet: Sheet, symbol: str | None, kind: Kind | None) -> None:
        self.tables, self.sheet, self.symbol, self.kind = tables, sheet, symbol, kind
        self.rows = 0
        self.draft: Draft | None = None
        self.book, self.in_snapshot = FullBook(), False
        self.takers: dict[str, Callable[[Draft, Table, list[list[str]]], None]] = {
            "trades": self._trades, "incremental_book_L2": self._levels, "book_snapshot": self._books,
            "quotes": self._quotes, "derivative_ticker": self._tickers,
        }

    def take(self, message: Message) -> None:
        """One message; errors get file and line."""
        table = self.tables[message.number]
        self.sheet.now = message.local
        self.rows += len(message.rows)
        mine = [row for line, row in zip(message.lines, message.rows, strict=True) if self._is_mine(table, row, line)]
        self.sheet.summary.ignored_messages += len(message.rows) - len(mine)
        if not mine or self.draft is None:
            return
        try:
            self.takers[table.form](self.draft, table, mine)
        except FrameProblem as problem:
            raise InputError(str(problem), _culprit(table, message), problem.do, problem.code) from None
        except (KeyError, ValueError) as error:
            raise InputError(f"a cell that is not understood: {error}", _culprit(table, message), "The line is damaged",
                             "form") from None
        self.sheet.end()

    def _is_mine(self, table: Table, row: list[str], line: int) -> bool:
        exchange, symbol = row[table.columns["exchange"]], row[table.columns["symbol"]]
        if self.symbol is not None and symbol != self.symbol:
            return False
        if self.draft is None:
            kind = self.kind or ("spot" if exchange in SPOT else "inverse" if exchange in INVERSE else "linear")
            self.draft = self.sheet.draft(exchange, symbol, Facts(kind))
        if (exchange, symbol) != (self.draft.venue, self.draft.symbol):
            raise InputError(f"{exchange}:{symbol} is not {self.draft.venue}:{self.draft.symbol} as before",
                             f"{table.path}:{line}",
                             "Import each instrument to a tape of its own, or choose one with --symbol", "symbol")
        return True

    def _times(self, table: Table, rows: list[list[str]]) -> int:
        return max(us(row[table.columns["timestamp"]]) for row in rows)

    def _levels(self, draft: Draft, table: Table, rows: list[list[str]]) -> None:
        """Rule 2."""
        sheet, c = self.sheet, table.columns
        side, price, amount = c["side"], c["price"], c["amount"]
        for snapshot, run in groupby(rows, key=lambda row: TRUTH[row[c["is_snapshot"]].lower()]):
            taken = list(run)
            ts = self._times(table, taken)
            sides = [SIDES[row[side]] for row in taken]
            if NO_SIDE in sides:
                raise ValueError("a level without a side")
            bids, asks = ([(row[price], row[amount]) for row, at in zip(taken, sides, strict=True) if at == wanted]
                          for wanted in (BUY, SELL))
            if not snapshot:
                sheet.summary.level_updates += len(taken)
                if draft.synced:
                    sheet.update(draft, ts, 0, bids, asks)
            elif self.in_snapshot:
                sheet.more_of_snapshot(draft, ts, 0, bids, asks)
            else:
                sheet.snapshot(draft, ts, 0, bids, asks)
            self.in_snapshot = snapshot

    def _books(self, draft: Draft, table: Table, rows: list[list[str]]) -> None:
        """Rule 3."""
        c = table.columns
        for row in rows:
            sides: list[list[Level]] = []
            for name in ("bids", "asks"):
                places = (c.get(f"{name}[{i}].price") for i in range(len(c)))
                prices = [(row[at], row[c[f"{name}[{i}].amount"]]) for i, at in enumerate(places) if at is not None]
                sides.append([level for level in prices if level[0]])
            of_full_books(self.sheet, draft, self.book, us(row[c["timestamp"]]), 0, sides[0], sides[1])

    def _trades(self, draft: Draft, table: Table, rows: list[list[str]]) -> None:
        """Rule 4."""
        c = table.columns
        for row in rows:
            own = row[c["id"]]
            number = int(own) if own.isdecimal() and len(own) < 19 else 0        # some are no numbers
            self.sheet.trade(draft, us(row[c["timestamp"]]), number, SIDES[row[c["side"]]], row[c["price"]],
                             row[c["amount"]])

    def _quotes(self, draft: Draft, table: Table, rows: list[list[str]]) -> None:
        c = table.columns
        for row in rows:
            self.sheet.summary.book_tickers += 1
            self.sheet.quote(draft, us(row[c["timestamp"]]), 0, (row[c["bid_price"]], row[c["bid_amount"]]),
                             (row[c["ask_price"]], row[c["ask_amount"]]))

    def _tickers(self, draft: Draft, table: Table, rows: list[list[str]]) -> None:
        """Rule 5: without a mark price there is nothing for the tape."""
        c = table.columns
        for row in rows:
            mark, index = row[c["mark_price"]], row[c["index_price"]]
            if not mark:
                self.sheet.summary.ignored_messages += 1
                continue
            funding = row[c["funding_timestamp"]]
            self.sheet.mark(draft, us(row[c["timestamp"]]), mark, index or mark, row[c["funding_rate"]] or 0,
                            us(funding) if funding else 0)


def _culprit(table: Table, message: Message) -> str:
    """File and line of the first row of a message whose cells are not what they should be; else of its first row."""
    words = {"exchange", "symbol", "id"}
    for line, row in zip(message.lines, message.rows, strict=True):
        for name, at in table.columns.items():
            cell = row[at]
            try:
                sound = (cell in SIDES and (cell != "" or table.form == "trades") if name == "side" else
                         cell.lower() in TRUTH if name == "is_snapshot" else
                         name in words or not cell or decimal(cell)[0] >= 0 or "rate" in name)
            except FrameProblem:
                sound = False
            if not sound:
                return f"{table.path}:{line}"
    return f"{table.path}:{message.lines[0]}"
