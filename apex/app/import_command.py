"""`apex import`: recordings of other systems to a tape."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from apex.app.console import Outcome, pairs, progress
from apex.domain.errors import ConfigError

if TYPE_CHECKING:
    from apex.domain.instrument import Kind
    from apex.importers.common import Advance, ImportSummary

FORMATS = {"binance": "raw lines of Binance streams, spot, USD-M and COIN-M", "hftbacktest": "npz and npy event arrays"}
MARKETS: dict[str, Kind] = {"spot": "spot", "usdm": "linear", "cm": "inverse"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT",
                        help="; ".join(f"{name}: {text}" for name, text in FORMATS.items()))
    parser.add_argument("files", nargs="+", metavar="FILE", help="of one symbol, any order; .gz, .zst too")
    parser.add_argument("--out", required=True, metavar="TAPE", help="the tape to write")
    parser.add_argument("--tick", action="append", metavar="[SYMBOL=]STEP",
                        help="price step (binance: found; hftbacktest: needed)")
    parser.add_argument("--lot", action="append", metavar="[SYMBOL=]STEP", help="quantity step, likewise")
    parser.add_argument("--market", choices=MARKETS, help="binance: else from the messages; hftbacktest: usdm")
    parser.add_argument("--symbol", metavar="NAME", help="hftbacktest: the instrument (the file's stem)")


def run(args: argparse.Namespace) -> Outcome:
    """Import and say what was found."""
    files, out = [Path(name) for name in args.files], Path(args.out)
    double = {path for path in files if files.count(path) > 1}
    if double:
        raise ConfigError("the same file twice", str(double.pop()), "Name each file once")
    total = sum(path.stat().st_size for path in files if path.is_file())
    with progress("import", total) as advance:
        summary = _binance(args, files, out, advance) if args.format == "binance" else _npz(args, files, out, advance)
    value = msgspec.to_builtins(summary)
    return Outcome(value, lambda console: _show(console, value, out))


def _binance(args: argparse.Namespace, files: list[Path], out: Path, advance: Advance) -> ImportSummary:
    from apex.importers.binance import import_binance

    if args.symbol:
        raise ConfigError("the symbol comes from the messages", "--symbol", "Leave --symbol away")
    return import_binance(files, out, market=args.market, tick=args.tick or (), lot=args.lot or (),
                          advance=advance)


def _npz(args: argparse.Namespace, files: list[Path], out: Path, advance: Advance) -> ImportSummary:
    from apex.importers.hftbacktest import import_hftbacktest

    return import_hftbacktest(files, out, tick=args.tick or (), lot=args.lot or (), symbol=args.symbol,
                              kind=MARKETS[args.market or "usdm"], advance=advance)


def _show(console: Any, value: dict[str, Any], out: Path) -> None:
    """The summary for people."""
    grid = value["instruments"][0]
    rows: list[tuple[str, object]] = [
        ("instrument", f"{grid['symbol']} ({grid['venue']}), tick {grid['tick']}, lot {grid['lot']}"),
        ("messages", value["messages"]),
        ("level updates", f"{value['level_updates']:,}, {value['level_updates_applied']:,} applied"),
        ("trades", value["trades"]), ("book tickers", value["book_tickers"]), ("snapshots", value["snapshots"]),
    ]
    for name, text in (("mark_prices", "mark prices"), ("slow_path_messages", "read by the slow path"),
                       ("ignored_messages", "ignored (streams that a tape does not hold)")):
        if value[name]:
            rows.append((text, value[name]))
    rows += [("sequence gaps", value["sequence_gaps"]), ("crossed books", value["crossed_books"]),
             ("in sync at the end", value["synced"])]
    if value["feed_min_ns"] is not None:
        rows.append(("least local - venue time", f"{value['feed_min_ns'] / 1e6:,.3f} ms"))
    if value["clock_defects"]:
        rows.append(("clock defects", f"{value['clock_defects']:,} rows were received before they were sent, by the "
                                      "recorded clocks; replay shifts local times"))
    rows.append(("content hash", value["content_hash"]))
    console.print(pairs(f"Wrote {out}", rows))
