"""`apex sweep`: a replay for each point of a grid of parameters, over processes, one row a run."""

from __future__ import annotations

import argparse
from decimal import Decimal
from typing import Any

from apex.app.console import Outcome, note, progress, table
from apex.app.replay_command import options_of, replay_arguments
from apex.app.sweep import PARTS, RUNS_LIMIT, RUNS_MAX, Sweep, run_sweep
from apex.app.sweep_table import checked_out, write
from apex.domain.errors import ConfigError
from apex.research import grid, text

SHOWN = 20
"""Runs on the screen."""
ERRORS_SHOWN = 5
TOLD_RUNS, TOLD_ROWS = 100, 100_000_000
"""A sweep of more says so before it begins."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    replay_arguments(parser)
    parser.set_defaults(orders=None)
    parser.add_argument("--grid", nargs="+", action="extend", default=[], metavar="NAME=VALUES",
                        help="values of parameters: a=1:10 b=0.1,0.2 c=1:100:5 (after the tapes)")
    parser.add_argument("--workers", type=int, metavar="W", help="processes (one a processor)")
    parser.add_argument("--max-runs", type=int, default=RUNS_MAX, metavar="N",
                        help=f"refuse a grid of more runs ({RUNS_MAX:,})")
    parser.add_argument("--yes", action="store_true", help=f"however many runs it makes, up to {RUNS_LIMIT:,}")
    parser.add_argument("--out", metavar="FILE", help="one row a run: ends in .csv or .parquet")


def _axes(pairs: list[str]) -> dict[str, list[Any]]:
    axes: dict[str, list[Any]] = {}
    for pair in pairs:
        name, equals, values = pair.partition("=")
        if not equals or not name.isidentifier():
            raise ConfigError(f"{pair!r} is not name=values", "--grid",
                              "Give the tapes first, then for example --grid a=1:10 b=0.1,0.2")
        if name in axes:
            raise ConfigError(f"parameter {name} is given twice", "--grid", "Give all its values once: a=1:5,10")
        axes[name] = grid.axis(values, f"--grid {name}")
    if not axes:
        raise ConfigError("no grid given", "--grid", "Give for example --grid a=1:10 b=0.1,0.2")
    return axes


def run(args: argparse.Namespace) -> Outcome:
    """Sweep and report."""
    axes = _axes(args.grid)
    options, strategy = options_of(args)
    if strategy is None:
        raise ConfigError("a sweep needs a strategy", "--strategy", "Add --strategy module:Class")
    out = None if args.out is None else checked_out(args.out)

    def started(runs: int, rows: int, workers: int) -> None:
        if runs > TOLD_RUNS or runs * rows > TOLD_ROWS:
            note(f"{text.plural(runs, 'run')} of {text.plural(rows, 'event')}, {workers} at a time")

    with progress("sweep", PARTS) as advance:
        found = run_sweep(args.tapes, strategy, axes, options, workers=args.workers,
                          max_runs=None if args.yes else args.max_runs, progress=advance, started=started)
    if out is not None:
        write(found.rows, out)
    return Outcome(_value(found, args.out), lambda console: _show(console, found, args.out), 1 if found.errors else 0)


def _value(found: Sweep, out: str | None) -> dict[str, Any]:
    return {
        "count": len(found.rows), "errors": found.errors, "strategy": found.strategy, "tapes": found.tapes,
        "grid": found.axes, "workers": found.workers, "seconds": found.seconds,
        "runs_per_second": len(found.rows) / found.seconds, "peak_pss_bytes": found.peak_pss_bytes, "out": out,
        "runs": found.rows,
    }


def best(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Runs with a result, by falling net P&L; equal ones in the grid's order."""
    return sorted((row for row in rows if row["error"] is None), key=lambda row: -Decimal(row["net_pnl"]))


def _show(console: Any, found: Sweep, out: str | None) -> None:
    """The best runs and what went wrong, for people."""
    ranked = best(found.rows)
    shown = ranked[:SHOWN]
    names = list(found.axes)
    places = text.places_of([row["net_pnl"] for row in shown])
    heads = (*names, "run", "orders", "fills", "net P&L", "fees", "drawdown", "result")
    lines = [(*(row["params"][name] for name in names), row["run"], row["orders"], row["fills"],
              *(text.amount(row[name], places) for name in ("net_pnl", "fees", "max_drawdown_money")),
              row["result_hash"][:8]) for row in shown]
    memory = "" if found.peak_pss_bytes is None else f", {text.size(found.peak_pss_bytes)} of memory in all"
    console.print(f"{found.strategy.rpartition(':')[2]} on {', '.join(found.tapes)}: "
                  f"{text.plural(len(found.rows), 'run')} in {text.duration(found.seconds * 1e9)}, "
                  f"{len(found.rows) / found.seconds:.3g} a second{memory}\n")
    if shown:
        title = "By net P&L" + (f", the first {SHOWN} of {len(ranked):,}" if len(ranked) > SHOWN else "")
        console.print(table(title, heads, lines, keys=(len(names),)))
        if len(ranked) > 1:
            console.print(f"The best of {len(ranked):,} is partly luck: try its parameters on another tape.")
    for row in [r for r in found.rows if r["error"]][:ERRORS_SHOWN]:
        said = ", ".join(f"{name}={value!r}" for name, value in row["params"].items())
        console.print(f"run {row['run']} ({said}): {row['error']['what']}\n  where: {row['error']['where']}",
                      markup=False, soft_wrap=True)
    if found.errors:
        console.print(f"{text.plural(found.errors, 'run')} gave no result.")
    if out is not None:
        console.print(f"All rows: {out}", markup=False, soft_wrap=True)
