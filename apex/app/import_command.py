"""`apex import`: recordings of other systems to a tape."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from apex.app.console import Outcome, pairs, progress, table
from apex.domain.errors import ConfigError

if TYPE_CHECKING:
    from apex.domain.instrument import Kind
    from apex.importers.common import ImportSummary

FORMATS = {
    "binance": "raw lines of Binance streams, spot, USD-M and COIN-M",
    "cryptofeed": "recordings of cryptofeed, any number of venues and instruments",
    "csv": "tables of trades, quotes or levels, columns named with --columns",
    "databento": ".dbn.zst of MBO, MBP-1, TBBO and trades, any number of instruments",
    "hftbacktest": "npz and npy event arrays",
    "lobster": "message and order-book files of LOBSTER, or zip archives of them",
    "tardis": "CSV of Tardis: incremental_book_L2, book_snapshot_N, trades, quotes, derivative_ticker",
}
MARKETS: dict[str, Kind] = {"spot": "spot", "usdm": "linear", "cm": "inverse"}
USES = {
    "binance": {"tick", "lot", "market"},
    "cryptofeed": {"tick", "lot"},
    "csv": {"tick", "lot", "market", "symbol", "columns"},
    "databento": {"tick", "lot"},
    "hftbacktest": {"tick", "lot", "market", "symbol"},
    "lobster": {"tick", "lot"},
    "tardis": {"tick", "lot", "market", "symbol"},
}
"""Which options a format takes."""
INSTEAD = {
    "symbol": "Leave --symbol away: the symbol comes from the messages, or the file's name",
    "market": "Leave --market away: it comes from the messages",
    "columns": "Leave --columns away: the format has its own names",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("format", choices=FORMATS, metavar="FORMAT",
                        help="; ".join(f"{name}: {text}" for name, text in FORMATS.items()))
    parser.add_argument("files", nargs="+", metavar="FILE", help="any order; .gz, .zst too; of one symbol, but for "
                                                                 "cryptofeed and databento")
    parser.add_argument("--out", required=True, metavar="TAPE", help="the tape to write")
    parser.add_argument("--tick", action="append", metavar="[SYMBOL=]STEP",
                        help="price step (hftbacktest, csv: needed; others: found)")
    parser.add_argument("--lot", action="append", metavar="[SYMBOL=]STEP", help="quantity step, likewise")
    parser.add_argument("--market", choices=MARKETS, help="binance, tardis: else found; hftbacktest: usdm; csv: spot")
    parser.add_argument("--symbol", metavar="NAME",
                        help="hftbacktest, csv: the instrument (the file's stem); tardis: the one to take")
    parser.add_argument("--columns", metavar="FIELD=COL,...",
                        help="csv: where fields are: ts, ts_venue, price, quantity, side, kind, snapshot, bid, "
                             "bid_quantity, ask, ask_quantity, sequence")


def run(args: argparse.Namespace) -> Outcome:
    """Import and say what was found."""
    files, out = [Path(name) for name in args.files], Path(args.out)
    double = {path for path in files if files.count(path) > 1}
    if double:
        raise ConfigError("the same file twice", str(double.pop()), "Name each file once")
    for option, instead in INSTEAD.items():
        if getattr(args, option) and option not in USES[args.format]:
            raise ConfigError(f"{args.format} takes no --{option}", f"--{option}", instead)
    total = sum(path.stat().st_size for path in files if path.is_file())
    steps = {"tick": args.tick or (), "lot": args.lot or ()}
    with progress("import", total) as advance:
        summary = _READERS[args.format](args, files, out, {**steps, "advance": advance})
    value = msgspec.to_builtins(summary)
    return Outcome(value, lambda console: _show(console, value, out))


def _binance(args: argparse.Namespace, files: list[Path], out: Path, common: dict[str, Any]) -> ImportSummary:
    from apex.importers.binance import import_binance

    return import_binance(files, out, market=args.market, **common)


def _cryptofeed(args: argparse.Namespace, files: list[Path], out: Path, common: dict[str, Any]) -> ImportSummary:
    from apex.importers.cryptofeed import import_cryptofeed

    return import_cryptofeed(files, out, **common)


def _csv(args: argparse.Namespace, files: list[Path], out: Path, common: dict[str, Any]) -> ImportSummary:
    from apex.importers.csv import import_csv

    return import_csv(files, out, columns=args.columns or "", symbol=args.symbol,
                      kind=MARKETS[args.market or "spot"], **common)


def _databento(args: argparse.Namespace, files: list[Path], out: Path, common: dict[str, Any]) -> ImportSummary:
    from apex.importers.databento import import_databento

    return import_databento(files, out, **common)


def _lobster(args: argparse.Namespace, files: list[Path], out: Path, common: dict[str, Any]) -> ImportSummary:
    from apex.importers.lobster import import_lobster

    return import_lobster(files, out, **common)


def _npz(args: argparse.Namespace, files: list[Path], out: Path, common: dict[str, Any]) -> ImportSummary:
    from apex.importers.hftbacktest import import_hftbacktest

    return import_hftbacktest(files, out, symbol=args.symbol, kind=MARKETS[args.market or "usdm"], **common)


def _tardis(args: argparse.Namespace, files: list[Path], out: Path, common: dict[str, Any]) -> ImportSummary:
    from apex.importers.tardis import import_tardis

    return import_tardis(files, out, symbol=args.symbol, kind=MARKETS[args.market] if args.market else None, **common)


_READERS = {"binance": _binance, "cryptofeed": _cryptofeed, "csv": _csv, "databento": _databento, "hftbacktest": _npz,
            "lobster": _lobster, "tardis": _tardis}


def _show(console: Any, value: dict[str, Any], out: Path) -> None:
    """The summary for people."""
    grids = value["instruments"]
    rows: list[tuple[str, object]] = [] if len(grids) != 1 else [
        ("instrument", f"{grids[0]['symbol']} ({grids[0]['venue']}), tick {grids[0]['tick']}, lot {grids[0]['lot']}")]
    rows += [
        ("messages", value["messages"]),
        ("level updates", f"{value['level_updates']:,}, {value['level_updates_applied']:,} applied"),
        ("trades", value["trades"]), ("book tickers", value["book_tickers"]), ("snapshots", value["snapshots"]),
    ]
    for name, text in (("mark_prices", "mark prices"), ("history_trades", "of the trades, from before the recording"),
                       ("slow_path_messages", "read by the slow path"),
                       ("ignored_messages", "ignored (streams that a tape does not hold)"),
                       ("order_updates", "changes of orders"), ("unknown_orders", "of orders that are not known"),
                       ("hidden_executions", "hidden executions"), ("halts", "trading halts"),
                       ("book_rows", "recorded states of the book"), ("book_rows_equal", "equal to the book"),
                       ("book_rows_revealed", "unlike it where levels came into sight"),
                       ("book_rows_wrong", "UNLIKE it elsewhere"),
                       ("sequence_steps_back", "steps back of the venue's sequence"),
                       ("checksums_right", "checksums right"), ("checksums_wrong", "checksums WRONG"),
                       ("ticker_bbo_eq", "tickers equal to the book"), ("ticker_bbo_ne", "tickers unlike the book"),
                       ("venue_time_steps_back", "steps back of the venue's time")):
        if value.get(name):
            rows.append((text, value[name]))
    with_book = value["level_updates"] or value["snapshots"]
    rows += [("sequence gaps", value["sequence_gaps"]), ("crossed books", value["crossed_books"]),
             ("in sync at the end", value["synced"] if with_book else "no book in it")]
    if value["feed_min_ns"] is not None:
        rows.append(("least local - venue time", f"{value['feed_min_ns'] / 1e6:,.3f} ms"))
    if value["clock_defects"]:
        rows.append(("clock defects", f"{value['clock_defects']:,} rows were received before they were sent, by the "
                                      "recorded clocks; replay shifts local times"))
    rows.append(("content hash", value["content_hash"]))
    console.print(pairs(f"Wrote {out}", rows))
    if len(grids) > 1:
        console.print(table("Instruments", ("name", "tick", "lot"),
                            [(name, x["tick"], x["lot"]) for name, x in zip(value["names"], grids, strict=True)]))
