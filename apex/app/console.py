"""What a command gives back, and how it looks: outcome, tables, progress. Rich is imported when something is drawn."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.text import Text

PROGRESS_AFTER_S = 2.0
FOLDED = 12
"""A column of words may become so narrow before a table is taken apart."""
_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{9}")
QUIET: ContextVar[bool] = ContextVar("QUIET", default=False)
"""Whether notes and progress bars are off (-q)."""


class Outcome(NamedTuple):
    """What a command's `run` returns.

    Attributes
    ----------
    value : any
        What --json prints; numpy scalars and arrays are allowed, NaN becomes null.
    text : callable taking a rich Console, str, or None
        What people see without --json.
    exit_code : int
        0, or 1 when what the command checks does not hold.
    """

    value: Any
    text: Callable[[Console], None] | str | None
    exit_code: int = 0


def common_options(parser: argparse.ArgumentParser) -> None:
    """Options that every command has, at every level of the command line."""
    for names, text in ((("--json",), "print one JSON value and nothing else on stdout"),
                        (("-v", "--verbose"), "show a traceback with errors"),
                        (("-q", "--quiet"), "no progress, no notes")):
        parser.add_argument(*names, action="store_true", default=argparse.SUPPRESS, help=text)


def time_ns(text: str) -> int:
    """A time of the command line, for argparse: UTC ns in 64 bits."""
    value = int(text)
    if not -(1 << 63) <= value < 1 << 63:
        raise argparse.ArgumentTypeError(f"{text} is no time in ns: it does not fit 64 bits")
    return value


def console(stderr: bool = False) -> Console:
    """A console for people; plain where the stream is no terminal."""
    from rich.console import Console

    class Quiet(Console):
        """Leaves a closed pipe to the command line, which ends quietly; rich's own way is exit code 1."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    made = Quiet(stderr=stderr, highlight=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = 120
    return made


def note(text: str) -> None:
    """One line on stderr for people; nothing with -q."""
    if not QUIET.get():
        print(text, file=sys.stderr)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], whole: int = 0,
          keys: Sequence[int] = ()) -> RenderableType:
    """A table in the one style of APEX: numbers to the right, rules only under the head.

    Numbers, times and the first `whole` columns never wrap. What is too wide for the screen becomes several tables, one
    below the other, each with the columns `keys`, which tell its rows apart: the first one, or the `whole` ones, unless
    given.
    """
    return _Table(title, columns, [[_cell(value) for value in row] for row in rows], [
        bool(rows) and all(_is_number(row[index]) for row in rows) for index in range(len(columns))],
        whole, keys or range(min(max(whole, 1), len(columns))))


class _Table:
    """Columns of text; how many tables they are is known when the width is."""

    def __init__(self, title: str, columns: Sequence[str], rows: list[list[Text]], numeric: list[bool],
                 whole: int, keys: Sequence[int]) -> None:
        self.title, self.columns, self.rows, self.numeric = title, columns, rows, numeric
        self.whole, self.keys = whole, list(keys)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        if self.title:
            yield Text(self.title, "bold")
        for part in min(self._parts(options.max_width, False), self._parts(options.max_width, True), key=len):
            yield self._table(part, options.max_width)

    def _firm(self, index: int) -> bool:
        """Whether a column's cells must stay on one line."""
        return index < self.whole or self.numeric[index] or any(_STAMP.fullmatch(row[index].plain) for row in self.rows)

    def _width(self, index: int, stacked: bool) -> int:
        """Least width of a column, its gap included; `stacked` heads are wrapped."""
        cells = max((len(row[index]) for row in self.rows), default=0)
        if not self._firm(index):
            return min(max(cells, len(self.columns[index])), FOLDED) + 2
        return max(cells, *map(len, self.columns[index].split() if stacked else [self.columns[index]])) + 2

    def _parts(self, width: int, stacked: bool) -> list[list[int]]:
        """Columns of each table."""
        room = width - sum(self._width(index, stacked) for index in self.keys)
        parts, left = [list(self.keys)], room
        for index in (index for index in range(len(self.columns)) if index not in self.keys):
            if self._width(index, stacked) > left and len(parts[-1]) > len(self.keys):
                parts.append(list(self.keys))
                left = room
            parts[-1].append(index)
            left -= self._width(index, stacked)
        return [sorted(part) for part in parts]

    def _table(self, part: list[int], width: int) -> RenderableType:
        from rich import box
        from rich.table import Table

        made = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="dim", padding=(0, 1, 0, 0))
        stacked = sum(self._width(index, False) for index in part) > width
        for index in part:
            firm = self._firm(index)
            head = self.columns[index]
            lines = textwrap.wrap(head, self._width(index, True) - 2) if stacked and firm else [head]
            made.add_column("\n".join(lines), justify="right" if self.numeric[index] else "left", overflow="fold",
                            no_wrap=firm)
        for row in self.rows:
            made.add_row(*(row[index] for index in part))
        return made


def pairs(title: str, rows: Sequence[tuple[str, object]]) -> RenderableType:
    """Names and values, one a line."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in rows:
        made.add_row(name, _cell(value))
    return Group(Text(title, "bold"), made) if title else made


def stamp(ts_ns: int | None) -> str:
    """UTC time of a nanosecond stamp: 2024-08-08 00:01:02.123456789."""
    if ts_ns is None:
        return "-"
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}"
    except (OverflowError, OSError, ValueError):
        return str(ts_ns)


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value != "" and value.lstrip("-\N{MINUS SIGN}").replace(".", "", 1).replace(",", "").isdigit()
    return value is None or isinstance(value, int | float)


def _cell(value: object) -> Text:
    from rich.text import Text

    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, int):
        return Text(f"{value:,}")
    if isinstance(value, float):
        return Text(f"{value:,.6g}")
    return Text("-" if value is None else str(value))


@contextmanager
def progress(name: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, only on a terminal and only once two seconds have passed.

    Yields
    ------
    callable
        Takes how much is done so far (not how much more), in the unit of `total`.
    """
    if QUIET.get() or not sys.stderr.isatty():
        yield lambda done: None
        return
    began = time.monotonic()
    bar: Any = None
    task: Any = None

    def advance(done: int) -> None:
        nonlocal bar, task
        if bar is None:
            if time.monotonic() - began < PROGRESS_AFTER_S:
                return
            bar = _bar()
            task = bar.add_task(name, total=total)
            bar.start()
        bar.update(task, completed=done)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()


def _bar() -> Any:
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
                    TimeRemainingColumn(), console=console(stderr=True), transient=True)
