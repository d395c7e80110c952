"""`apex facts`: stylised facts of tapes, recorded or generated, beside each other and against the bands."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apex.app.console import Outcome, progress, table
from apex.domain.errors import ConfigError
from apex.research.curves import curves
from apex.research.facts import BANDS, FACTS, inside, measure
from apex.research.facts_page import Tape as Column
from apex.research.facts_page import band, page, shown
from apex.research.observe import ROWS_MAX, Observed, observe
from apex.store.files import AtomicFile, disk_errors, write_all
from apex.store.tape import Tape

if TYPE_CHECKING:
    from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("tapes", nargs="+", metavar="TAPE", help="tapes to compare; every instrument is a column")
    parser.add_argument("--out", metavar="FILE", help="write a page with table and plots; ends in .html")
    parser.add_argument("--rows", type=int, default=ROWS_MAX, metavar="N",
                        help=f"rows of each tape to look at ({ROWS_MAX:,})")
    parser.add_argument("--check", action="store_true", help="exit 1 when a fact lies outside its band, or nothing is "
                        "there to measure")


def run(args: argparse.Namespace) -> Outcome:
    """Measure every instrument of every tape."""
    if args.rows < 1:
        raise ConfigError(f"{args.rows} rows are none", "--rows", "Give for example --rows 1000000")
    if args.out is not None and not args.out.endswith(".html"):
        raise ConfigError(f"{args.out} does not end in .html", "--out", "Name a file like facts.html")
    columns, seen_of = [], []
    for path in args.tapes:
        with Tape.open(path) as tape:
            names = _names(tape, Path(path).stem)
            for index, name in enumerate(names):
                with progress(f"facts of {name}", len(tape.batches)) as advance:
                    seen = observe(tape, index, rows_max=args.rows, advance=advance)
                columns.append((name, str(path), str(tape.header["source"]).startswith("generate"), seen))
                seen_of.append(measure(seen))
    value = [_value(*column, found) for column, found in zip(columns, seen_of, strict=True)]
    if args.out is not None:
        drawn = [Column(name, generated, seen.seconds, found, curves(seen))
                 for (name, _, generated, seen), found in zip(columns, seen_of, strict=True)]
        _write(Path(args.out), page(drawn))
    holds = not any(v["outside"] or len(v["unknown"]) == len(v["facts"]) for v in value)
    return Outcome(value, lambda console: _show(console, value, args.out), 1 if args.check and not holds else 0)


def _names(tape: Tape, stem: str) -> list[str]:
    """Names of a tape's columns: the file's, with the instrument where there are several."""
    if len(tape.instruments) == 1:
        return [stem]
    symbols = [x.symbol for x in tape.instruments]
    return [f"{stem} {x.symbol if symbols.count(x.symbol) == 1 else f'{x.venue}:{x.symbol}'}"
            for x in tape.instruments]


def _value(name: str, path: str, generated: bool, seen: Observed, found: dict[str, float | None]) -> dict[str, Any]:
    """One column for --json."""
    return {
        "tape": path, "name": name, "instrument": seen.symbol, "generated": generated, "rows": seen.rows,
        "seconds": seen.seconds,
        "facts": found, "outside": [key for key in found if inside(key, found[key]) is False],
        "unknown": [key for key in found if found[key] is None], "bands": {key: list(BANDS[key]) for key in found},
    }


def _write(out: Path, text: str) -> None:
    with AtomicFile(out) as file, disk_errors(out):
        write_all(file.fd, text.encode())


def _show(console: Console, value: list[dict[str, Any]], out: str | None) -> None:
    """The table for people; what lies outside its band has a mark."""
    rows = []
    for fact in FACTS:
        cells = [shown(v["facts"][fact.name]) + (" *" if fact.name in v["outside"] else "") for v in value]
        rows.append((fact.name, band(fact.name), *cells))
    rows.append(("seconds", "", *(f"{v['seconds']:,.0f}" for v in value)))
    console.print(table("", ("fact", "band", *(v["name"] for v in value)), rows, whole=2))
    if any(v["outside"] for v in value):
        console.print("* outside the band of large liquid coins")
    for v in value:
        if len(v["unknown"]) == len(v["facts"]):
            console.print(f"{v['name']}: nothing to measure", markup=False)
    if out is not None:
        console.print(f"Wrote {out}")
