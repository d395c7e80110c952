"""`apex latency`: order latencies modelled from a tape's feed latencies, as `apex replay --latency` takes them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from apex.app.build import feed_shift
from apex.app.console import Outcome, pairs, progress, table, time_ns
from apex.app.options import LATENCIES, options_from
from apex.app.replay import open_tapes
from apex.domain.errors import ConfigError
from apex.domain.limits import duration_ns
from apex.research.latencies import Modelled, Samples, leg, model, quantiles, sample
from apex.research.text import duration
from apex.store.files import AtomicFile, disk_errors
from apex.store.tape import Tape

SUFFIXES = (".csv", ".npz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("tapes", nargs="+", metavar="TAPE", help="tape files; those of the replay, for the same shift")
    parser.add_argument("--out", required=True, metavar="FILE", help="ends in .csv or .npz")
    parser.add_argument("--entry", default="1,0", metavar="A,B", help="to the venue: A * feed latency + B (1,0)")
    parser.add_argument("--response", default="1,0", metavar="C,D", help="back from it: C * feed latency + D (1,0)")
    parser.add_argument("--every", default="1s", metavar="D", help="one row an interval, from its last message (1s)")
    parser.add_argument("--instrument", action="append", metavar="SYMBOL", help="only this instrument (repeatable)")
    parser.add_argument("--fill-mode", choices=("strict", "compat"), default="strict",
                        help="of the replay, for the default of --base-latency (strict)")
    parser.add_argument("--base-latency", metavar="D", help="of the replay")
    parser.add_argument("--feed-shift", type=time_ns, metavar="NS", help="of the replay")


def run(args: argparse.Namespace) -> Outcome:
    """Model, write and report."""
    out, every_ns = Path(args.out), _interval(args.every)
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"the suffix {out.suffix!r} names no format", "--out", f"End it in {' or '.join(SUFFIXES)}")
    entry, response = leg(args.entry, "--entry"), leg(args.response, "--response")
    options = options_from({name: value for name in ("fill_mode", "base_latency", "feed_shift")
                            if (value := getattr(args, name)) is not None})
    tapes = open_tapes(args.tapes)
    try:
        shift = feed_shift(tapes, options)
        wanted = _wanted(tapes, args.instrument or [])
        found: Samples = {}
        with progress("latency", len(tapes)) as advance:
            for number, (tape, indices) in enumerate(zip(tapes, wanted, strict=True), 1):
                sample(tape, indices, every_ns, shift, found)
                advance(number)
    finally:
        for tape in tapes:
            tape.close()
    made = model(found, entry, response)
    _write(made, out)
    value = _value(made, args, shift, every_ns)
    return Outcome(value, lambda console: _show(console, value))


def _interval(text: str) -> int:
    try:
        every = duration_ns(text)
    except ConfigError as error:
        raise ConfigError(error.what, "--every", error.do) from None
    if every == 0:
        raise ConfigError("an interval of 0", "--every", "Give for example 1s")
    return every


def _wanted(tapes: list[Tape], names: list[str]) -> list[list[int]]:
    """Indices of the instruments that were asked for, of each tape; all of them when none was."""
    keys = [[(x.symbol, f"{x.venue}:{x.symbol}") for x in tape.instruments] for tape in tapes]
    every = sorted({name for tape in keys for pair in tape for name in pair})
    for name in names:
        if name not in every:
            raise ConfigError(f"no instrument matches {name}", "--instrument", f"The tapes hold: {', '.join(every)}")
    return [[i for i, pair in enumerate(tape) if not names or set(pair) & set(names)] for tape in keys]


def _write(made: Modelled, out: Path) -> None:
    with AtomicFile(out) as file, disk_errors(out):
        if out.suffix == ".npz":
            with open(file.temp, "wb") as binary:
                np.savez_compressed(binary, data=made.table)
            return
        with open(file.temp, "w", encoding="utf-8") as stream:
            stream.write(",".join(LATENCIES) + "\n")
            for row in made.table.tolist():
                stream.write(",".join(map(str, row[:len(LATENCIES)])) + "\n")


def _value(made: Modelled, args: argparse.Namespace, shift: int, every_ns: int) -> dict[str, Any]:
    rows = made.table
    return {
        "rows": len(rows), "out": args.out, "feed_shift_ns": shift, "every_ns": every_ns, "entry": args.entry,
        "response": args.response, "held_back": made.held_back,
        "first_ts": int(rows["req_ts"][0]), "last_ts": int(rows["req_ts"][-1]),
        "feed_latency_ns": quantiles(made.feed_ns),
        "entry_latency_ns": quantiles(rows["exch_ts"] - rows["req_ts"]),
        "response_latency_ns": quantiles(rows["resp_ts"] - rows["exch_ts"]),
        "round_trip_ns": quantiles(rows["resp_ts"] - rows["req_ts"]),
    }


def _said(model: str) -> str:
    """`4,250us` as 4 x feed + 250us."""
    factor, _, offset = (part.strip() for part in model.partition(","))
    if offset in ("", "0"):
        return f"{factor} x feed"
    return f"{factor} x feed {f'- {offset[1:]}' if offset[0] == '-' else f'+ {offset}'}"


def _show(console: Any, value: dict[str, Any]) -> None:
    names = {"feed_latency_ns": "feed", "entry_latency_ns": f"entry: {_said(value['entry'])}",
             "response_latency_ns": f"response: {_said(value['response'])}", "round_trip_ns": "round trip"}
    columns = list(value["feed_latency_ns"])
    shift = value["feed_shift_ns"]
    console.print(f"Wrote {value['out']}", markup=False, soft_wrap=True)
    console.print(pairs("", [
        ("rows", value["rows"]), ("one each", duration(value["every_ns"])),
        ("feed shift", f"{duration(shift)}: a replay must have the same" if shift else duration(0)),
        ("held back", value["held_back"]),
    ]))
    rows = [(said, *(duration(value[name][column]) for column in columns)) for name, said in names.items()]
    console.print(table("", ("latency", *columns), rows))
