"""`apex why`: what happened at a time of a replay, and why."""

from __future__ import annotations

import argparse
import calendar
import re
import time
from typing import Any

from apex.app.console import Outcome, stamp, time_ns
from apex.domain.errors import ConfigError
from apex.research import text
from apex.research.runs import read_run
from apex.research.why import COUNT, why

_ISO = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:Z|\+00:00)?", re.ASCII)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("run", metavar="RUN_DIR", help="the --out folder of a replay")
    parser.add_argument("time", type=moment, metavar="TIME", help="on the replay's clock: UTC ns, or ISO 8601 in UTC")
    parser.add_argument("-n", "--count", type=int, default=COUNT, metavar="N", help=f"orders and fills shown ({COUNT})")


def moment(words: str) -> int:
    """UTC ns of a time: an integer, or ISO 8601 without a zone or with Z.

    >>> moment("2024-08-08T00:01:02.5Z"), moment("1723075262500000000")
    (1723075262500000000, 1723075262500000000)
    """
    if words.lstrip("-").isdecimal():
        return time_ns(words)
    found = _ISO.fullmatch(words.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{words!r} is no time: give UTC ns, or for example 2024-08-08T00:01:02.5")
    try:
        seconds = calendar.timegm(time.strptime(f"{found[1]} {found[2]}", "%Y-%m-%d %H:%M:%S"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{words!r} is no time: no such day or hour") from None
    return time_ns(str(seconds * 10**9 + int((found[3] or "0").ljust(9, "0"))))


def run(args: argparse.Namespace) -> Outcome:
    """Look it up and tell."""
    if not 1 <= args.count <= 1000:
        raise ConfigError(f"{args.count} rows", "--count", "Give 1 to 1000")
    found = read_run(args.run)
    start, end, shift = (found.result[name] for name in ("start_ts", "end_ts", "feed_shift_ns"))
    if not start <= args.time <= end:
        shifted = f"; its clock is the recorded local time + {text.duration(shift)}" if shift else ""
        raise ConfigError(f"{stamp(args.time)} lies outside the run: {stamp(start)} to {stamp(end)}{shifted}", "TIME",
                          f"Give a time from {start} to {end}")
    told = why(found, args.time, args.count)
    value = {"run": args.run, "time": stamp(args.time), **told}

    def show(console: Any) -> None:
        since = f"{text.duration(args.time - start)} after the start" if args.time > start else "the start"
        console.print(f"{value['time']} UTC, {since} of {args.run}", markup=False, soft_wrap=True)
        for line in told["said"]:
            console.print(f"- {line}", markup=False, soft_wrap=True)

    return Outcome(value, show)
