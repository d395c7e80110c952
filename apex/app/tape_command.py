"""`apex tape`: look at a tape, its book at a time, its rows; export it, check it, cut and merge, orders to levels."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apex.app.console import Outcome, common_options, note, pairs, progress, stamp, table, time_ns
from apex.domain.errors import ConfigError
from apex.domain.instrument import labels, names
from apex.store.tape import Tape

if TYPE_CHECKING:
    from rich.console import Console


MANY = {"cryptofeed", "databento"}
"""Sources whose tapes hold instruments of any number of venues."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the actions and their options."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)

    def action(name: str, text: str, count: str | None = None) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        common_options(sub)
        sub.add_argument("tape", metavar="TAPE", nargs=count, help="tape files" if count else "a tape file")
        return sub

    action("info", "what the tape holds")
    bbo = action("bbo", "best bid and offer of the depth events at a time")
    when = bbo.add_mutually_exclusive_group(required=True)
    when.add_argument("--final", action="store_true", help="after the last event")
    when.add_argument("--at", type=time_ns, action="append", metavar="NS",
                      help="recorded local time, UTC ns (repeatable)")
    bbo.add_argument("--instrument", metavar="I", help="symbol, venue:symbol[:kind] or index (all)")
    head = action("head", "the first rows")
    head.add_argument("-n", "--count", type=int, default=20, metavar="N", help="how many rows (20)")
    head.add_argument("--start", type=int, default=0, metavar="ROW", help="first row (0)")
    export = action("export", "all rows to Parquet, Arrow or CSV, or one instrument to hftbacktest's npz")
    export.add_argument("--out", required=True, metavar="FILE", help="ends in .parquet, .arrow, .feather, .csv or .npz")
    export.add_argument("--instrument", metavar="I", help="npz: which one, where the tape has several")
    export.add_argument("--feed-shift", type=_shift, metavar="NS|auto",
                        help="npz: added to local times; auto: what makes a negative least feed latency 0 (0)")
    part = action("cut", "the rows of a span of local time, with the books at its start")
    part.add_argument("--from", dest="start", type=time_ns, metavar="NS", help="first recorded local time")
    part.add_argument("--to", dest="stop", type=time_ns, metavar="NS", help="last recorded local time")
    part.add_argument("--out", required=True, metavar="TAPE", help="the tape to write")
    joined = action("merge", "several tapes as one: several instruments, or parts that follow each other", "+")
    joined.add_argument("--out", required=True, metavar="TAPE", help="the tape to write")
    told = action("levels", "a tape of orders as one of levels and trades, as a feed by price would tell them")
    told.add_argument("--out", required=True, metavar="TAPE", help="the tape to write")
    action("verify", "recompute the content hash and check every rule of sequence")


def run(args: argparse.Namespace) -> Outcome:
    """Open the tape and do the action."""
    actions = {"info": _info, "bbo": _bbo, "head": _head, "export": _export, "cut": _cut,
               "levels": _levels, "verify": _verify}
    if args.action == "merge":
        return _merge(args)
    with Tape.open(args.tape) as tape:
        return actions[args.action](tape, args)


def _shift(text: str) -> int | str:
    """Nanoseconds, or "auto"."""
    return text if text == "auto" else time_ns(text)


def _names(tape: Tape) -> list[str]:
    """What the instruments are called: venue:symbol[:kind] on tapes of formats that bring many, else the shortest."""
    many = MANY & set(tape.header["source"].split("+"))
    return names(tape.instruments) if many else labels(tape.instruments)


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
    called = [(str(i), *x.called) for i, x in enumerate(tape.instruments)]
    for place in (3, 2, 1, 0):
        found = [i for i in every if called[i][place] == wanted]
        if found:
            return found
    known = ", ".join(names(tape.instruments))
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
    called = _names(tape)
    for at in range(len(times)):
        for index, found in zip(chosen, by_instrument, strict=True):
            touch, x = found[at], tape.instruments[index]
            value.append({
                "ts": touch.ts, "instrument": called[index],
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
             v["ask_levels"], v["synced"]) for v in value], keys=(0, 1)))

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

    if args.out.endswith(".npz"):
        return _npz(tape, args)
    if args.instrument is not None or args.feed_shift is not None:
        raise ConfigError("only npz holds one instrument, with shifted times", "--instrument, --feed-shift",
                          "End --out in .npz, or leave them away")
    with progress("export", tape.row_count) as advance:
        rows = export(tape, args.out, advance)
    return Outcome({"rows": rows, "out": args.out}, f"{rows:,} rows to {args.out}")


def _npz(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex.store.npz import export_npz, feed_shift

    chosen = _chosen(tape, args.instrument)
    if len(chosen) != 1:
        raise ConfigError("hftbacktest's array holds one instrument", "--instrument",
                          f"Choose one of: {', '.join(_names(tape)[i] for i in chosen)}")
    shift = feed_shift(tape, chosen[0]) if args.feed_shift == "auto" else args.feed_shift or 0
    with progress("export", tape.row_count) as advance:
        found = export_npz(tape, Path(args.out), chosen[0], shift, advance)
    if (tape.header["feed_min_ns"] or 0) + shift < 0:
        note("some local times are before their venue times: hftbacktest wants --feed-shift auto")
    value = {"rows": found.rows, "out": args.out, "instrument": _names(tape)[chosen[0]], "feed_shift_ns": shift,
             "split_rows": found.split, "left_out": found.left_out}
    without = ", ".join(f"{count:,} {kind}" for kind, count in found.left_out.items())
    return Outcome(value, f"{found.rows:,} rows to {args.out}, {found.split:,} of the tape's in two"
                          + (f"; left out, which the format cannot hold: {without}" if without else ""))


def _written(header: dict[str, Any], out: str) -> Outcome:
    value = {"rows": header["row_count"], "out": out, "first_ts": header["first_ts"], "last_ts": header["last_ts"],
             "instruments": header["instruments"], "content_hash": header["content_hash"]}
    count = len(header["instruments"])
    return Outcome(value, f"{header['row_count']:,} rows of {count} instrument{'s' * (count > 1)} to {out}, "
                          f"{stamp(header['first_ts'])} to {stamp(header['last_ts'])}")


def _cut(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex.store.edit import cut

    _check_out([tape.path], args.out)
    if args.start is None and args.stop is None:
        raise ConfigError("a part needs its times", "--from, --to", "Give one of them, or both")
    with progress("cut", 2 * len(tape.batches)) as advance:
        return _written(cut(tape, Path(args.out), args.start, args.stop, advance), args.out)


def _levels(tape: Tape, args: argparse.Namespace) -> Outcome:
    from apex.store.levels import as_levels

    _check_out([tape.path], args.out)
    with progress("levels", len(tape.batches)) as advance:
        return _written(as_levels(tape, Path(args.out), advance), args.out)


def _merge(args: argparse.Namespace) -> Outcome:
    from apex.store.edit import merge

    paths = [Path(name) for name in args.tape]
    _check_out(paths, args.out)
    with ExitStack() as stack:
        tapes = [stack.enter_context(Tape.open(path)) for path in paths]
        with progress("merge", sum(len(tape.batches) for tape in tapes)) as advance:
            return _written(merge(tapes, Path(args.out), advance), args.out)


def _check_out(paths: list[Path], out: str) -> None:
    """Refuse to write a tape over one that is read."""
    for path in paths:
        if path.exists() and Path(out).exists() and path.samefile(out):
            raise ConfigError("the tape would replace the one it is made from", "--out", "Name another file")


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
