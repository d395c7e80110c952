"""`apex calibrate`: queue model and latencies from own fills, and a band on the P&L that they leave open."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from apex.app.calibrate import DRAWS, HOLD, LEVEL, PARTS, TOLERANCE, Calibration, kept, run_calibration
from apex.app.candidates import ORDERS_MIN
from apex.app.console import Outcome, note, pairs, progress, table
from apex.app.replay import open_tapes
from apex.app.replay_command import options_of, replay_arguments
from apex.domain.errors import InputError
from apex.research import text

SHOWN = 12
WRONG_MAX = 0.2
"""A best candidate that tells more orders wrongly is called a poor one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    replay_arguments(parser)
    parser.set_defaults(orders=None)
    parser.add_argument("--own", required=True, metavar="FILE.csv",
                        help="own orders: the columns of a schedule, filled, any of ts_ack, ts_venue, ts_filled")
    parser.add_argument("--queues", metavar="MODEL,...", help="queue models to try (all, powers 0.5 to 5)")
    parser.add_argument("--latencies", metavar="D,...",
                        help="one-way latencies to try (what the log tells, else 100us to 100ms)")
    parser.add_argument("--tolerance", default=TOLERANCE, metavar="D",
                        help=f"fills further apart in time are other fills ({TOLERANCE})")
    parser.add_argument("--level", type=float, default=LEVEL, metavar="P",
                        help=f"of the test that leaves candidates in play ({LEVEL})")
    parser.add_argument("--draws", type=int, default=DRAWS, metavar="N",
                        help=f"candidates to try in the neighbourhood of the best ({DRAWS})")
    parser.add_argument("--hold", default=HOLD, metavar="D",
                        help=f"with --strategy: how long a fill is held, for what wrongly told orders cost ({HOLD})")
    parser.add_argument("--out", metavar="DIR", help="folder for calibration.json, replay.toml, measured latencies")


def run(args: argparse.Namespace) -> Outcome:
    """Calibrate and report."""
    options, strategy = options_of(args)
    queues = None if args.queues is None else args.queues.split(",")
    latencies = None if args.latencies is None else args.latencies.split(",")
    out = None if args.out is None else Path(args.out)
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out} is not a folder", "--out", "Name a folder, or a new one")
    tapes = open_tapes(args.tapes)
    try:
        with TemporaryDirectory(prefix="apex-") as folder, progress("calibrate", PARTS) as advance:
            found = kept(run_calibration(
                tapes, Path(args.own), strategy, options, folder=Path(folder), queues=queues, latencies=latencies,
                tolerance=args.tolerance, level=args.level, draws=args.draws, hold=args.hold, progress=advance), out)
    finally:
        for tape in tapes:
            tape.close()
    if found.best.wrong > WRONG_MAX:
        note("the best candidate tells many orders wrongly: look at clocks, latencies, and orders that took liquidity")
    return Outcome({**msgspec.to_builtins(found), "out": args.out}, lambda console: _show(console, found, args.out))


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _legs(latency: dict[str, Any]) -> str:
    """Where latencies come from, for people."""
    if latency["from"] == "fills":
        return f"tried, since fewer than {ORDERS_MIN} answers are timed"
    name = "entry_ns" if latency["from"] == "both legs" else "round_trip_ns"
    what = "to the venue" if name == "entry_ns" else "there and back"
    return (f"measured {what}: median {text.duration(latency[name]['p50'])}, "
            f"99 % within {text.duration(latency[name]['p99'])}")


def _show(console: Any, found: Calibration, out: str | None) -> None:
    """The best candidates and the band, for people."""
    best, band = found.best, found.band
    console.print(pairs(f"{text.plural(found.orders, 'own order')}, {_percent(found.filled)} of the lots filled", [
        ("queue model", best.queue), ("latencies", _legs(found.latency)),
        *([] if best.order_latency is None else [
            ("to the venue, back", f"{best.order_latency}, {best.response_latency}")]),
        ("orders told wrongly", _percent(best.wrong)),
        ("orders on which candidates differ", found.told_apart),
        ("candidates in play", f"{found.in_play} of {len(found.candidates)}, at {_percent(band['level'])}"),
        ("net P&L of these", f"{band['parameters_low']} to {band['parameters_high']}, median {band['median']}"),
        ("orders told wrongly add", f"{band['told_wrongly']}, +- {band['told_wrongly_error']}"),
        ("net P&L in all", f"{band['low']} to {band['high']}"),
    ]))
    console.print()
    console.print(table("By likelihood", ("queue", "to the venue", "back", "entry share", "told wrongly", "filled",
                                          "log-likelihood", "in play", "net P&L"), [
        (c.queue, c.order_latency, c.response_latency, c.entry_share, _percent(c.wrong), _percent(c.filled),
         round(c.log_likelihood, 1), c.in_play, c.net_pnl) for c in found.candidates[:SHOWN]]))
    if out is not None:
        console.print(f"Replay with it: apex replay TAPE --config {out}/replay.toml", markup=False, soft_wrap=True)
