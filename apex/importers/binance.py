"""Raw recordings of Binance streams (`<local time> <frame>` a line) to a tape: spot, USD-M and COIN-M futures."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import NamedTuple

from apex._core.codecs.binance import MARKETS, BinanceCodec
from apex._core.codecs.binance_reader import BinanceReader, RecordingError, scan_steps
from apex.domain.decimals import plain, scaled
from apex.domain.errors import ApexError, ConfigError, InputError
from apex.domain.instrument import Instrument, Kind
from apex.importers.binance_frames import Identity, identity, numbers, ordered, parse
from apex.importers.common import (
    Advance,
    FrameProblem,
    ImportSummary,
    ahead,
    at_line,
    check_out,
    lines,
    pieces,
    size_of,
    step_of,
)
from apex.store.writer import TapeWriter

EXACT_PLACES = 8
SYMBOL_MAX = 40
"""Decimal places of `scan_steps`."""
SAMPLE = 4 << 20
"""Bytes of text from which symbol, market and grid are found first."""
VENUES = {"spot": "binance-spot", "usdm": "binance-usdm", "cm": "binance-coinm"}
KINDS: dict[str, Kind] = {"spot": "spot", "usdm": "linear", "cm": "inverse"}
QUOTES = ("USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USD", "EUR", "TRY", "BRL", "JPY", "GBP", "AUD", "BTC", "ETH", "BNB")
REMEDIES = {
    "off_grid": "Leave --tick and --lot away to have them found, or correct them",
    "order": "Give the lines in the order of their local time; a clock that was set back needs two recordings",
    "mixed_time": "Import recordings in microseconds and in nanoseconds to tapes of their own",
    "local_time": "The line is damaged, or the file is no recording of this format",
}


class Source(NamedTuple):
    """A file of the chain, and its first local time in the unit it is written in."""

    path: Path
    first: int
    size: int


class _OffGrid(Exception):
    """A value off the grid that a sample gave."""


def import_binance(
    files: list[Path], out: Path, *, market: str | None = None, tick: Sequence[str] = (), lot: Sequence[str] = (),
    advance: Advance | None = None,
) -> ImportSummary:
    """Import the recordings of one chain.

    Parameters
    ----------
    files : list of Path
        One symbol of one market, in any order; joined by first local time. Plain, gzip or zstandard.
    out : Path
        The tape, replaced on success.
    market : {"spot", "usdm", "cm"}, optional
        Else from the messages.
    tick, lot : sequence of "[SYMBOL=]STEP"
        Empty: the exact gcd of all prices and quantities.
    advance : callable, optional
        Told the bytes of the files that are done.

    Raises
    ------
    InputError
        Names file and line. Nothing is left at `out` then but what was there before.
    EnvironmentProblem
        Disk full and the like.
    """
    if market is not None and market not in MARKETS:
        raise ConfigError(f"no market {market!r}", "--market", f"Choose one of {', '.join(MARKETS)}")
    check_out(files, out)
    chain = sorted((_source(path) for path in files), key=lambda s: (len(str(s.first)), s.first))
    _check_units(chain)
    who = _identity(chain, market)
    given = step_of(tick, "--tick", who.symbol), step_of(lot, "--lot", who.symbol)
    certain = None not in given
    try:
        return _convert(chain, _instrument(who, _steps(given, chain, who, SAMPLE)), who, out, certain, advance)
    except _OffGrid:
        return _convert(chain, _instrument(who, _steps(given, chain, who, None)), who, out, True, advance)


def _steps(given: tuple[str | None, str | None], chain: list[Source], who: Identity,
           limit: int | None) -> tuple[str, str]:
    """Tick and lot as given, else as found."""
    if given[0] and given[1]:
        return given[0], given[1]
    found = _grid(chain, who, limit)
    return given[0] or found[0], given[1] or found[1]


def _source(path: Path) -> Source:
    """Look at the first line of a file."""
    size = size_of(path)
    number, line = next(lines(path), (0, b""))
    if number == 0:
        raise InputError("an empty recording", str(path), "Give a recording with at least one line")
    time, _, _ = line.partition(b" ")
    if not time.isdigit() or len(time) not in (16, 19):
        raise InputError("a line without a local time in microseconds or nanoseconds", f"{path}:{number}",
                         "Give recordings whose lines are `<local time> <json>`", "local_time")
    return Source(path, int(time), size)


def _check_units(chain: list[Source]) -> None:
    digits = {len(str(s.first)) for s in chain}
    if len(digits) > 1:
        other = next(s for s in chain if len(str(s.first)) != len(str(chain[0].first)))
        raise InputError("local times in microseconds and in nanoseconds are mixed", f"{other.path}:1",
                         REMEDIES["mixed_time"], "mixed_time")


def _identity(chain: list[Source], market: str | None) -> Identity:
    """Symbol and market from the first messages that show them; every file must show the same symbol."""
    found: Identity | None = None
    for source in chain:
        here = _identity_of(source.path, market)
        if found is None:
            found = here
        elif here is not None and here != found:
            raise InputError(f"{here.symbol} ({here.market}) is not {found.symbol} ({found.market}) as before",
                             f"{source.path}:1", "Import each symbol to a tape of its own", "symbol")
    if found is None:
        raise InputError("no message tells the symbol", str(chain[0].path), "Give recordings of Binance streams")
    return found


def _identity_of(path: Path, market: str | None) -> Identity | None:
    for number, line in lines(path, SAMPLE):
        try:
            found = identity(parse(line.partition(b" ")[2]))
        except FrameProblem as problem:
            raise InputError(str(problem), f"{path}:{number}", problem.do, problem.code) from None
        if found is not None:
            if not found.symbol.isascii() or len(found.symbol) > SYMBOL_MAX:
                raise InputError(f"{found.symbol[:SYMBOL_MAX]!r} is no symbol of at most {SYMBOL_MAX} ASCII letters",
                                 f"{path}:{number}", "The line is damaged", "symbol")
            if market is None or market == found.market:
                return found
            pair = found.symbol.split("_")[0] if market == "cm" else ""
            return Identity(found.symbol, market, pair)
    return None


def _grid(chain: list[Source], who: Identity, limit: int | None) -> tuple[str, str]:
    """Tick and lot: the gcd of prices and of quantities, of all lines or of the first `limit` bytes of the chain."""
    codec = BinanceCodec(who.symbol, who.market, who.pair, (1, EXACT_PLACES), (1, EXACT_PLACES))
    price_step = lot_step = used = 0
    odd_prices: list[str] = ["0"]
    odd_lots: list[str] = ["0"]
    for source in chain:
        rest = b""
        try:
            for piece in pieces(source.path):
                data = rest + piece
                price_step, lot_step, eaten, odd = scan_steps(codec, data, price_step, lot_step)
                rest = data[eaten:]
                used += len(piece)
                for frame in odd:
                    prices, lots = numbers(frame, who)
                    odd_prices, odd_lots = [_common(odd_prices + prices)], [_common(odd_lots + lots)]
                if limit is not None and used >= limit:
                    break
        except InputError:
            break                                    # the import finds the damage again, with its line
        if limit is not None and used >= limit:
            break
        price_step, lot_step, _, _ = scan_steps(codec, rest, price_step, lot_step, True)
    tick = _common([plain(price_step, EXACT_PLACES), *odd_prices])
    lot = _common([plain(lot_step, EXACT_PLACES), *odd_lots])
    return (tick if tick != "0" else "1"), (lot if lot != "0" else "1")


def _common(values: list[str]) -> str:
    parts = [scaled(value) for value in values]
    top = max(places for _, places in parts)
    return plain(gcd(*(mantissa * 10 ** (top - places) for mantissa, places in parts)), top)


def _instrument(who: Identity, steps: tuple[str, str]) -> Instrument:
    name = who.pair or who.symbol
    quote = next((q for q in QUOTES if name.endswith(q) and len(name) > len(q)), "")
    base = name[: len(name) - len(quote)] if quote else ""
    multiplier = "1" if who.market != "cm" else "100" if base == "BTC" else "10"
    return Instrument(who.symbol, VENUES[who.market], *steps, KINDS[who.market], multiplier, base, quote)


def _convert(chain: list[Source], instrument: Instrument, who: Identity, out: Path, certain: bool,
             advance: Advance | None) -> ImportSummary:
    """One pass over the chain into a tape; _OffGrid when the grid was only a guess and does not hold."""
    try:
        codec = BinanceCodec(who.symbol, who.market, who.pair, scaled(instrument.tick), scaled(instrument.lot))
    except ValueError as error:
        raise InputError(f"no grid for this recording: {error}", str(chain[0].path), "Give --tick and --lot") from None
    reader = BinanceReader(codec)
    done = 0
    with TapeWriter(out, [instrument], source="binance") as tape:
        for source in chain:
            base = done

            def told(here: int, base: int = base) -> None:
                if advance is not None:
                    advance(base + here)

            _read_file(source.path, reader, who, tape, certain, told)
            done += source.size
        tape.append(*reader.take(final=True))
    if advance is not None:
        advance(done)
    summary = ImportSummary(
        messages=reader.messages, level_updates=reader.level_updates,
        level_updates_applied=reader.level_updates_applied, trades=reader.trades, book_tickers=reader.book_tickers,
        snapshots=reader.snapshots, sequence_gaps=reader.sequence_gaps, crossed_books=reader.crossed_books,
        synced=bool(reader.synced), mark_prices=reader.mark_prices, slow_path_messages=reader.slow_path,
        ignored_messages=reader.ignored,
    )
    summary.finish([instrument], tape.header)
    return summary


def _read_file(path: Path, reader: BinanceReader, who: Identity, tape: TapeWriter, certain: bool,
               advance: Advance) -> None:
    """All lines of one file; errors get its name and the line."""

    def slow(frame: bytes) -> bytes | None:
        return ordered(frame, who)

    reader.begin_file()
    rest = b""
    try:
        with ahead(pieces(path, advance)) as source:
            for piece in source:
                data = rest + piece if rest else piece
                rest = data[reader.feed(data, slow):]
                tape.append(*reader.take())
            reader.feed(rest, slow, True)
            tape.append(*reader.take())
    except RecordingError as error:
        if error.code == "off_grid" and not certain:
            raise _OffGrid from None
        do = REMEDIES.get(error.code, "The line is damaged: record again, or remove it")
        raise InputError(str(error), f"{path}:{error.line}", do, error.code) from None
    except FrameProblem as problem:
        raise InputError(str(problem), f"{path}:{reader.line}", problem.do, problem.code) from None
    except ApexError as error:
        raise at_line(error, path, reader.line + 1) from None
