"""`apex intensity`: how often trades arrive at which distance from the mid, for the parameters of market makers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apex.app.console import Outcome, time_ns
from apex.domain.errors import ConfigError
from apex.store.tape import Tape

if TYPE_CHECKING:
    from rich.console import Console

    from apex.research.intensity import Intensity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("tape", metavar="TAPE")
    parser.add_argument("--from", dest="start", type=time_ns, metavar="NS", help="first recorded local time")
    parser.add_argument("--to", dest="stop", type=time_ns, metavar="NS", help="up to this recorded local time")
    parser.add_argument("--instrument", type=int, default=0, metavar="I", help="place in the tape's table (0)")
    parser.add_argument("--interval", default="100ms", metavar="D", help="how often the mid is read (100ms)")


def _interval(text: str) -> int:
    from apex._core.engine import duration_ns

    try:
        found: int = duration_ns(text)
    except ValueError as error:
        raise ConfigError(str(error), "--interval", "Write for example 100ms") from None
    if not 10**6 <= found <= 60 * 10**9:
        raise ConfigError(f"{text} is not between 1ms and 60s", "--interval", "Write for example 100ms")
    return found


def run(args: argparse.Namespace) -> Outcome:
    """Fit and print."""
    from apex.research.intensity import intensity

    with Tape.open(Path(args.tape)) as tape:
        if not 0 <= args.instrument < len(tape.instruments):
            raise ConfigError(f"the tape has no instrument {args.instrument}", "--instrument",
                              f"It has {len(tape.instruments)}, counted from 0")
        found = intensity(tape, args.instrument, args.start, args.stop, _interval(args.interval))
        symbol = tape.instruments[args.instrument].symbol
    value: dict[str, Any] = {"instrument": symbol, **found._asdict()}
    return Outcome(value, lambda console: _show(console, symbol, found))


def _show(console: Console, symbol: str, found: Intensity) -> None:
    """The fit, and beside each distance the rate as counted and as fitted."""
    from rich.table import Table

    console.print(f"{symbol}: trades reach a distance of d ticks {found.a:.4g} exp(-{found.k:.4g} d) times a second,\n"
                  f"each side; the mid's standard deviation over a second is {found.sigma:.4g} ticks. Fitted to\n"
                  f"{found.seen:,} of {found.intervals:,} intervals, those with a trade beyond {found.least:g} ticks.",
                  soft_wrap=True)  # fmt: skip
    table = Table("distance, ticks", "counted, 1/s", "fitted, 1/s", box=None)
    for column in table.columns:
        column.justify = "right"
    for distance, rate in zip(found.distances, found.rates, strict=True):
        table.add_row(f"{distance:.1f}", f"{rate:.4f}", f"{found.rate(distance):.4f}")
    console.print(table)
    console.print(f"--set a={found.a:.6g} --set k={found.k:.6g} --set sigma={found.sigma:.6g}", soft_wrap=True)
