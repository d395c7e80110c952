"""Recordings of cryptofeed, both formats and any number of venues and instruments, to one tape.

The container is read by `recording`, the messages of a venue by the module of its name; `sheet` makes the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from apex.domain.errors import ApexError, InputError
from apex.importers.common import Advance, FeedSummary, FrameProblem, check_out
from apex.importers.cryptofeed.recording import CONNECT, HTTP, Line, Recording
from apex.importers.cryptofeed.servers import server_of, venue_named
from apex.importers.cryptofeed.venue import Venue, decode
from apex.importers.grid import Steps
from apex.importers.sheet import Sheet, convert

SAMPLE = 4096
"""Lines from which instruments and grids are found first."""
NO_SERVER = "Give recordings of Binance, Bybit, Coinbase, Crypto.com, Deribit, Kraken or OKX"


def import_cryptofeed(
    files: list[Path], out: Path, *, tick: Sequence[str] = (), lot: Sequence[str] = (), advance: Advance | None = None,
) -> FeedSummary:
    """Import recordings of cryptofeed to one tape.

    Parameters
    ----------
    files : list of Path
        Format of version 3 (JSON lines) or older ones (`<seconds>: <message>`), plain, gzip or zstandard; any order.
        Messages are merged by local time; those of a connection stay in their order.
    out : Path
        The tape, replaced on success. A nameless copy of the text lies beside it meanwhile.
    tick, lot : sequence of "[SYMBOL=]STEP"
        Where none is given: the exact common divisor of the instrument's prices (quantities), and of the venue's own
        step where the recording holds the venue's list of instruments.
    advance : callable, optional
        Told the bytes of the files that are done.

    Raises
    ------
    InputError
        Names file and line. Nothing is left at `out` then but what was there before.
    ConfigError
        For a step of an instrument that the recording does not have.
    EnvironmentProblem
        Disk full and the like.
    """
    check_out(files, out)
    total = sum(path.stat().st_size for path in files if path.is_file())

    def told(start: float, share: float) -> Callable[[float], None]:
        return lambda done: None if advance is None else advance(int(total * (start + share * done)))

    with Recording(files, out, told(0, 0.4)) as recording:
        def read(sheet: Sheet, sample: bool) -> None:
            count = min(SAMPLE, len(recording)) if sample else len(recording)
            Reader(recording, sheet).read(count, told(0.4, 0.0 if sheet.learning else 0.6))

        summary = convert(read, out, Steps(tick, lot), "cryptofeed", str(files[0]))
    summary.messages = recording.messages
    return summary


class Reader:
    """Gives each line of a recording to its venue.

    Parameters
    ----------
    recording : Recording
    sheet : Sheet
        Learning or writing.
    """

    def __init__(self, recording: Recording, sheet: Sheet) -> None:
        self.recording, self.sheet = recording, sheet
        self.venues: dict[str, Venue] = {}
        self.connections: dict[str, Venue] = {}

    def read(self, count: int, advance: Callable[[float], None]) -> None:
        """The first `count` lines in order of local time."""
        for number, line in enumerate(islice(self.recording, count)):
            self.sheet.now = line.ts_ns
            try:
                self._line(line)
            except FrameProblem as problem:
                raise InputError(str(problem), self.recording.where(line.place), problem.do, problem.code) from None
            except (msgspec.DecodeError, RecursionError) as error:
                raise InputError(f"not JSON: {error}", self.recording.where(line.place),
                                 "The line is damaged: record again, or remove it", "json") from None
            except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
                # what a message of another form does to code that takes its fields as the venue documents them
                raise InputError(f"a message in another form than the venue's: {type(error).__name__} {error}",
                                 self.recording.where(line.place),
                                 "The line is damaged, or of a newer interface of the venue", "form") from None
            except ApexError as error:
                error.where = error.where or self.recording.where(line.place)
                raise
            self.sheet.end()
            if number % 1024 == 0:
                advance(number / count)

    def _line(self, line: Line) -> None:
        if line.kind == HTTP:
            server = server_of(line.address)
            if server is None or not self._venue(server).answer(line.address, line.text):
                self.sheet.summary.ignored_messages += 1
            return
        if line.kind == CONNECT:
            server = server_of(line.address)
            if server is None:
                raise FrameProblem(f"no reader for {line.address[:80]}", NO_SERVER, "venue")
            venue = self._venue(server)
            if self.connections.get(line.connection) is venue:
                venue.disconnected(line.connection)
            self.connections[line.connection] = venue
            venue.connected(line.connection)
            return
        at = self.connections.get(line.connection)
        if at is None:
            raise FrameProblem(f"a message of {line.connection or 'a connection'} before its address",
                               "Give the part of the recording that begins with the connection too", "connection")
        summary = self.sheet.summary
        summary.received_messages += 1
        channel, used = at.receive(line.connection, decode(line.text))
        summary.channels[channel] = summary.channels.get(channel, 0) + 1
        summary.ignored_messages += not used

    def _venue(self, server: str) -> Venue:
        if server not in self.venues:
            self.venues[server] = venue_named(server, self.sheet)
        return self.venues[server]
