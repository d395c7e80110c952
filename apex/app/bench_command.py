"""`apex bench`: the checkout's benchmarks, with the peers' environments beside ours."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apex.app.console import QUIET, Outcome, note, table
from apex.domain.errors import ApexError, ConfigError

if TYPE_CHECKING:
    from rich.console import Console

class BenchmarkFailed(ApexError):
    """Ours could not be measured, or sides of a benchmark disagree on the result."""

    exit_code = 1
    code = "benchmark"


UNITS = {"ns": (1.0, "ns"), "s": (1.0, "s"), "bytes": (1e-6, "MB")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks (all): see `apex bench --list`")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and end")
    parser.add_argument("--short", action="store_true", help="fewer rounds, shorter inputs: what CI runs")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed by more than 15 %%")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds of each side (5; with --short 3)")
    parser.add_argument("--save", metavar="FILE", help="pytest-benchmark JSON (build/bench/TIME.json)")


def checkout() -> Path:
    """The checkout that the working directory lies in. Raises ConfigError outside one."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "benchmarks" / "driver.py").is_file() and (folder / "apex" / "_core").is_dir():
            return folder
    raise ConfigError("this is no checkout of APEX: there is no folder benchmarks/ here", str(Path.cwd()),
                      "Benchmarks are not part of the package: run in a checkout, after make build")


def run(args: argparse.Namespace) -> Outcome:
    """Run benchmarks, save them, and show the rows."""
    root = checkout()
    sys.path.insert(0, str(root))
    driver, saving = (importlib.import_module(f"benchmarks.{name}") for name in ("driver", "saving"))
    if args.list:
        return Outcome(list(driver.MODULES), "\n".join(driver.MODULES))
    for name in args.names:
        if name not in driver.MODULES:
            raise ConfigError(f"no benchmark {name!r}", "NAME", f"The benchmarks are: {', '.join(driver.MODULES)}")
    if args.rounds is not None and args.rounds < 1:
        raise ConfigError("at least one round is needed", "--rounds", "Give 1 or more")
    try:
        outcomes = driver.run(args.names, args.short, args.rounds, _teller())
    except (driver.Unequal, driver.Failed) as error:
        raise BenchmarkFailed(str(error), "apex bench", "Run this benchmark alone with -v") from error
    rows = driver.rows(outcomes)
    saved = saving.save(outcomes, root, Path(args.save) if args.save else None, short=args.short)
    missed = [row for row in rows if row["held"] is False]
    note(f"saved {saved}")
    return Outcome(rows, lambda console: _show(console, rows, missed, saving.machine_line(root)),
                   1 if args.check and missed else 0)


def _teller() -> Any:
    """What tells people which round runs: one line that is written over, on a terminal only."""
    if QUIET.get() or not sys.stderr.isatty():
        return lambda text: None

    def tell(text: str) -> None:
        sys.stderr.write(f"\r\x1b[2K{text}")
        sys.stderr.flush()

    return tell


def _show(console: Console, rows: list[dict[str, Any]], missed: list[dict[str, Any]], machine: str) -> None:
    """The table for people."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[2K")
    lines: list[tuple[str, ...]] = []
    before = ""
    for row in rows:
        unit, name = row["unit"], _name(row)
        ours = (name, _amount(row["median"], unit), _tail(row), f"<= {_amount(row['limit'], unit)}")
        lines.append((*(("", "", "", "") if name == before else ours), row["peer"] or "-",
                      _amount(row["peer_median"], unit), _ratio(row), _verdict(row)))
        before = name
    console.print(table("", ("benchmark", "median", "tail", "target", "peer", "its median", "ratio", ""), lines))
    for text in sorted({f"{row['name']}: {row['reason']}" for row in rows if row["reason"]}):
        console.print(text)
    console.print(machine)
    if missed:
        console.print(f"{len(missed)} of {sum(row['held'] is not None for row in rows)} targets missed by more "
                      "than 15 %")


def _name(row: dict[str, Any]) -> str:
    return f"{row['name']}, {row['case']}" if row["case"] else str(row["name"])


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    factor, text = UNITS[unit]
    return f"{value * factor:,.4g} {text}" if value * factor < 1000 else f"{value * factor:,.0f} {text}"


def _tail(row: dict[str, Any]) -> str:
    if row["p99"] is not None:
        return f"p99 {_amount(row['p99'], row['unit'])}"
    return "-" if row["max"] is None else f"max {_amount(row['max'], row['unit'])}"


def _ratio(row: dict[str, Any]) -> str:
    found = "-" if row["ratio"] is None else f"{row['ratio']:.1f}x"
    return found if row["ratio_least"] is None else f"{found}, >= {row['ratio_least']:g}x"


def _verdict(row: dict[str, Any]) -> str:
    if row["reached"] is None:
        return ""
    if row["reached"]:
        return "reached"
    return "missed by < 15 %" if row["held"] else "missed"
