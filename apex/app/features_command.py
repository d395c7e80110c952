"""`apex features`: features of a tape as columns of a file, and fits of the models that some of them need."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apex.app.console import Outcome, pairs, progress, stamp, table
from apex.domain.errors import ConfigError
from apex.store.tape import Tape

if TYPE_CHECKING:
    from rich.console import Console

FITS = ("microprice", "hawkes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("tape", nargs="?", metavar="TAPE", help="a tape file")
    parser.add_argument("--out", metavar="FILE", help="ends in .parquet, .arrow or .csv; of a fit, .json")
    parser.add_argument("--features", metavar="A,B:5s,...",
                        help="names with parameters, as in ofi:5s or mlofi.2:levels=10 (a broad choice)")
    when = parser.add_mutually_exclusive_group()
    when.add_argument("--every", metavar="D", help="a row at each multiple of a duration, such as 100ms")
    when.add_argument("--on", choices=("message", "trade"), help="a row after each message (default) or trade")
    parser.add_argument("--instrument", action="append", metavar="SYMBOL", help="only this instrument (repeatable)")
    parser.add_argument("--fit", choices=FITS, help="fit a model to the tape instead, for later data")
    parser.add_argument("--list", action="store_true", help="what features there are")


def run(args: argparse.Namespace) -> Outcome:
    """List, fit, or write."""
    if args.list:
        return _list()
    if args.tape is None:
        raise ConfigError("no tape is named", "TAPE", "apex features TAPE --out FILE, or apex features --list")
    if args.out is None and args.fit is None:
        raise ConfigError("no file is named", "--out", "Write --out features.parquet")
    with Tape.open(args.tape) as tape:
        return _fit(tape, args) if args.fit else _write(tape, args)


def _write(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex.app.features import Run, write

    names = None if args.features is None else [name.strip() for name in args.features.split(",")]
    job = Run(tape, names, every=args.every, on=args.on, instrument=args.instrument or ())
    with progress("features", len(tape.batches)) as advance:
        value = write(job, Path(args.out), advance)

    def text(console: Console) -> None:
        console.print(pairs("", [("rows", value["rows"]), ("first", stamp(value["first_ts"])),
                                 ("last", stamp(value["last_ts"])), ("file", value["out"])]))
        console.print(table("", ("feature", "known", "unknown"),
                            [(name, value["rows"] - lost, lost) for name, lost in value["undefined"].items()]))

    return Outcome(value, text)


def _fit(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex.app import features
    from apex.research import microprice
    from apex.research.saved import save

    if args.features is not None or args.every is not None or args.on is not None:
        raise ConfigError("a fit chooses its own features", "--fit", "Leave --features, --every and --on out")
    if args.out is not None and Path(args.out).suffix != ".json":
        raise ConfigError(f"a model is JSON, not {Path(args.out).suffix or 'a file without suffix'}", "--out",
                          "End it in .json")
    wanted = args.instrument or ()
    model = features.fit_microprice(tape, wanted) if args.fit == "microprice" else features.fit_hawkes(tape, wanted)
    if args.out is not None:
        save(model, args.out)
    value: dict[str, Any] = {"fit": args.fit, "out": args.out}
    value |= {field: getattr(model, field) for field in model.__struct_fields__}
    if args.fit == "hawkes":
        value["features"] = [model.feature(part) for part in ("buy", "sell", "skew", "branching")]

    def text(console: Console) -> None:
        if args.fit == "microprice":
            console.print(table("Micro-price", ("spread, ticks", "imbalance", "visits", "shift, ticks"),
                                [tuple(row.values()) for row in microprice.describe(model)]))
        else:
            console.print(pairs("Hawkes", [(name, str(x)) for name, x in value.items() if name not in ("fit", "out")]))

    return Outcome(value, text)


def _list() -> Outcome:
    from apex.app.features import described

    value = described()

    def text(console: Console) -> None:
        console.print(table("Features", ("names", "parameters and defaults"), [
            ("  ".join(row["names"]), "  ".join(f"{p['name']}={_default(p)}" for p in row["parameters"]))
            for row in value]))

    return Outcome(value, text)


def _default(parameter: dict[str, Any]) -> str:
    """A parameter's default as it is written in a name."""
    value = parameter["default"]
    if parameter["kind"] != "duration":
        return "FILE" if value is None else f"{value:g}"
    for unit, size in (("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
                       ("ms", 1_000_000), ("us", 1_000)):
        if value % size == 0:
            return f"{value // size}{unit}"
    return f"{value}ns"
