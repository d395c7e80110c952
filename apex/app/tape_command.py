"""`apex tape`: look at a tape, its book at a time, its rows; export it; check it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from apex.app.console import Outcome, common_options, note, pairs, progress, stamp, table, time_ns
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument
from apex.store.tape import Tape

if TYPE_CHECKING:
    from rich.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        common_options(sub)
        sub.add_argument("tape", metavar="TAPE", help="a tape file")
        return sub

    action("info", "what the tape holds")
    bbo = action("bbo", "best bid and offer of the depth events at a time")
    when = bbo.add_mutually_exclusive_group(required=True)
    when.add_argument("--final", action="store_true", help="after the last event")
    when.add_argument("--at", type=time_ns, action="append", metavar="NS",
                      help="recorded local time, UTC ns (repeatable)")
    bbo.add_argument("--instrument", metavar="I", help="symbol, venue:symbol or index (all)")
    head = action("head", "the first rows")
    head.add_argument("-n", "--count", type=int, default=20, metavar="N", help="how many rows (20)")
    head.add_argument("--start", type=int, default=0, metavar="ROW", help="first row (0)")
    export = action("export", "all rows to Parquet or CSV")
    export.add_argument("--out", required=True, metavar="FILE", help="ends in .parquet or .csv")
    action("verify", "recompute the content hash and check every rule of sequence")


def run(args: argparse.Namespace) -> Outcome:
    """Open the tape and do the action."""
    actions = {"info": _info, "bbo": _bbo, "head": _head, "export": _export, "verify": _verify}
    with Tape.open(args.tape) as tape:
        return actions[args.action](tape, args)


def _name(instruments: list[Instrument], index: int) -> str:
    """The symbol, with its venue where the symbol alone does not say which."""
    x = instruments[index]
    same = sum(other.symbol == x.symbol for other in instruments)
    return x.symbol if same == 1 else f"{x.venue}:{x.symbol}"


def _info(tape: Tape, args: argparse.Namespace) -> Outcome:
    header = tape.header
    size = tape.path.stat().st_size
    value = {
        "version": header["version"], "rows": tape.row_count, "messages": len(tape.batches),
        "first_ts": header["first_ts"], "last_ts": header["last_ts"],
        "instruments": header["instruments"], "content_hash": tape.content_hash, "kinds": header["kinds"],
        "source": header["source"], "seed": header["seed"], "synced_from_start": header["synced_from_start"],
        "feed_min_ns": header["feed_min_ns"], "clock_defects": header["clock_defects"],
        "in_venue_order": tape.venue_order is None, "currencies": header["currencies"], "bytes": size,
    }

    def text(console: Console) -> None:
        first, last = value["first_ts"], value["last_ts"]
        span = None if first is None else (last - first) / 1e9
        console.print(pairs(tape.path.name, [
            ("format version", value["version"]), ("source", value["source"]), ("rows", tape.row_count),
            ("messages", value["messages"]), ("first", stamp(first)), ("last", stamp(last)), ("seconds", span),
            ("smallest feed latency, ns", value["feed_min_ns"]), ("clock defects", value["clock_defects"]),
            ("file", f"{size:,} bytes, {size / max(tape.row_count, 1):.1f} a row"),
            ("content hash", tape.content_hash),
        ]))
        console.print()
        console.print(table("Instruments", ("symbol", "venue", "kind", "tick", "lot", "multiplier", "base", "quote"),
                            [(x.symbol, x.venue, x.kind, x.tick, x.lot, x.multiplier, x.base, x.quote)
                             for x in tape.instruments]))
        console.print(table("Rows by kind", ("kind", "rows"), list(header["kinds"].items())))

    return Outcome(value, text)


def _chosen(tape: Tape, wanted: str | None) -> list[int]:
    """Indices of the instruments that `--instrument` names."""
    every = list(range(len(tape.instruments)))
    if wanted is None:
        return every
    names = [(str(i), x.symbol, f"{x.venue}:{x.symbol}") for i, x in enumerate(tape.instruments)]
    for place in (2, 1, 0):
        found = [i for i in every if names[i][place] == wanted]
        if found:
            return found
    known = ", ".join(name for _, _, name in names)
    raise ConfigError(f"the tape has no instrument {wanted!r}", "--instrument", f"It has: {known}")


def _bbo(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex.store.bbo import touches

    chosen = _chosen(tape, args.instrument)
    times = [tape.header["last_ts"] or 0] if args.final else args.at
    by_instrument = []
    for index in chosen:
        with progress("bbo", len(tape.batches)) as advance:
            by_instrument.append(touches(tape, index, times, advance))
    value: list[dict[str, Any]] = []
    for at in range(len(times)):
        for index, found in zip(chosen, by_instrument, strict=True):
            touch, x = found[at], tape.instruments[index]
            value.append({
                "ts": touch.ts, "instrument": _name(tape.instruments, index),
                "bid": None if touch.bid_ticks is None else x.price(touch.bid_ticks),
                "bid_quantity": None if touch.bid_lots is None else x.quantity(touch.bid_lots),
                "ask": None if touch.ask_ticks is None else x.price(touch.ask_ticks),
                "ask_quantity": None if touch.ask_lots is None else x.quantity(touch.ask_lots),
                "bid_levels": touch.bid_levels, "ask_levels": touch.ask_levels, "synced": touch.synced,
            })

    def text(console: Console) -> None:
        columns = ("time, UTC", "instrument", "bid quantity", "bid", "ask", "ask quantity", "bid levels", "ask levels",
                   "synced")
        console.print(table("", columns, [
            (stamp(v["ts"]), v["instrument"], v["bid_quantity"], v["bid"], v["ask"], v["ask_quantity"], v["bid_levels"],
             v["ask_levels"], v["synced"]) for v in value]))

    return Outcome(value, text)


def _head(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex._core.events import EVENT_DTYPE, KINDS, SIDES
    from apex.store.export import PRICED, SIZED, flag_names

    if args.count < 0 or args.start < 0:
        raise ConfigError("rows are counted from 0", "--count, --start", "Give 0 or more")
    kinds = {code: name for name, code in KINDS.items()}
    sides = {code: name for name, code in SIDES.items()}
    value: list[dict[str, Any]] = []
    for row in tape.events(args.start, args.start + args.count):
        x = tape.instruments[int(row["instrument"])]
        kind = kinds.get(int(row["kind"]), "?")
        value.append({
            **{name: int(row[name]) for name in EVENT_DTYPE.names or ()},
            "symbol": x.symbol, "kind_name": kind, "side_name": sides.get(int(row["side"]), "?"),
            "flag_names": flag_names(int(row["flags"])),
            "price": x.price(int(row["price_ticks"])) if kind in PRICED else None,
            "quantity": x.quantity(int(row["quantity_lots"])) if kind in SIZED else None,
        })

    def text(console: Console) -> None:
        console.print(table("", ("row", "local time, UTC", "venue +us", "kind", "side", "price", "quantity",
                                 "sequence", "symbol", "flags"), [
            (args.start + i, stamp(v["ts_local_ns"]),
             None if not v["ts_exchange_ns"] else (v["ts_exchange_ns"] - v["ts_local_ns"]) / 1e3,
             v["kind_name"], v["side_name"] if v["side"] else None, v["price"], v["quantity"], str(v["sequence"]),
             v["symbol"], _short(v["flag_names"])) for i, v in enumerate(value)]))

    return Outcome(value, text)


def _short(flags: str) -> str:
    """Flags for a narrow column: "last snapshot venue local"."""
    return flags.lower().replace("_in_batch", "").replace("at_", "").replace("|", " ")


def _export(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex.store.export import export

    with progress("export", tape.row_count) as advance:
        rows = export(tape, args.out, advance)
    return Outcome({"rows": rows, "out": args.out}, f"{rows:,} rows to {args.out}")


def _verify(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex.store.verify import verify

    with progress("verify", tape.row_count) as advance:
        verdict = verify(tape, advance)
    value = verdict.value()
    if not verdict.ok:
        note("the tape is not what it claims to be: import the recording again")

    def text(console: Console) -> None:
        console.print(pairs("", [("rows", tape.row_count), ("content hash", "right" if verdict.hash_ok else "WRONG"),
                                 ("violations", value["violations"])]))
        if value["details"]:
            console.print(table("Broken rules", ("rule", "what", "count", "first message"),
                                [tuple(d.values()) for d in value["details"]]))

    return Outcome(value, text, 0 if verdict.ok else 1)
