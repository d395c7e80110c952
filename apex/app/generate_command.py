"""`apex generate`: a market from order flow, decided by a seed and a scenario, to a tape."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from apex._core.market import INSTRUMENTS_MAX, PRICE_TICKS_MAX, PRICE_TICKS_MIN, ROWS_MIN, Market
from apex.app.console import Outcome, pairs, progress, stamp
from apex.domain.decimals import of_units, scaled
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument
from apex.domain.scenario import SHIPPED, Scenario, load
from apex.store.writer import TapeWriter

ROWS_MAX = (1 << 32) - 1
"""What fits on one tape."""
CHUNK = 1 << 16
GRID: dict[str, Any] = {"instruments": 1, "tick": "0.1", "lot": "0.001", "price": "60000"}
"""Options that a scenario replaces, and their defaults without one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--seed", type=int, required=True, metavar="N", help="decides the whole market; 0 to 2^64 - 1")
    parser.add_argument("--events", type=int, required=True, metavar="M", help="rows of the tape, snapshots included")
    parser.add_argument("--out", required=True, metavar="TAPE", help="the tape to write")
    parser.add_argument("--scenario", metavar="NAME", help=f"{', '.join(shipped())}, or a TOML file of "
                        "your own; without it a plain market, thin enough for a demo's quotes")
    parser.add_argument("--book", choices=("l2", "l3"), default="l2", help="rows are levels and trades, or, of a "
                        "scenario, single orders with ids (l2)")
    parser.add_argument("--instruments", type=int, metavar="N", help="markets beside each other (1)")
    parser.add_argument("--tick", metavar="STEP", help="price step (0.1)")
    parser.add_argument("--lot", metavar="STEP", help="quantity step (0.001)")
    parser.add_argument("--price", metavar="PRICE", help="where prices begin (60000)")


def run(args: argparse.Namespace) -> Outcome:
    """Generate and say what came out."""
    given = {name: getattr(args, name) for name in GRID if getattr(args, name) is not None}
    scenario = None if args.scenario in (None, "default") else find(args.scenario)
    if scenario is None and args.book == "l3":
        raise ConfigError("the plain market has no single orders", "--book", "Choose a scenario, for example btc")
    if scenario is None:
        instruments, ticks = _instruments(**GRID | given)
    elif given:
        raise ConfigError("the scenario says which instruments there are", f"--{next(iter(given))}",
                          "Leave the option out, or write a scenario of your own")
    else:
        instruments = list(scenario.instruments)
    if not 0 <= args.seed < 1 << 64:
        raise ConfigError(f"seed {args.seed} is not in 0 .. 2^64 - 1", "--seed", "Give for example --seed 7")
    least = ROWS_MIN * len(instruments)
    if not least <= args.events <= ROWS_MAX:
        raise ConfigError(f"{args.events} events: a tape of {len(instruments)} instrument(s) has {least:,} to "
                          f"{ROWS_MAX:,}", "--events", "Give for example --events 1000000")
    with progress("generate", args.events) as advance:
        if scenario is None:
            header = generate(Path(args.out), args.seed, args.events, instruments, ticks, advance=advance)
        else:
            header = generate_scenario(Path(args.out), args.seed, args.events, scenario, by_order=args.book == "l3",
                                       advance=advance)
    value = {
        "events": header["row_count"], "content_hash": header["content_hash"], "seed": args.seed,
        "scenario": scenario.name if scenario else "default", "book": args.book,
        "kinds": header["kinds"], "first_ts": header["first_ts"], "last_ts": header["last_ts"],
        "instruments": [{"symbol": i.symbol, "venue": i.venue, "tick": i.tick, "lot": i.lot} for i in instruments],
    }
    return Outcome(value, lambda console: _show(console, value, args.out))


def generate(out: Path, seed: int, rows: int, instruments: Sequence[Instrument], price_ticks: int, *,
             chunk: int = CHUNK, advance: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Write a market to a tape; memory does not grow with it.

    Parameters
    ----------
    out : Path
        The tape, replaced on success.
    seed, rows, price_ticks
        See `apex._core.market.Market`; every instrument begins at the same price.
    chunk : int
        Rows generated at once; changes nothing on the tape.
    advance : callable
        Told the number of rows done.

    Returns
    -------
    dict
        The tape's header.
    """
    market = Market(seed, rows, [price_ticks] * len(instruments))
    return _write(out, market, instruments, "generate", seed, chunk, advance)


def generate_scenario(out: Path, seed: int, rows: int, scenario: Scenario, *, by_order: bool = False,
                      chunk: int = CHUNK, advance: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Write a scenario's market to a tape, as levels and trades or `by_order`; as `generate`."""
    market = Market(seed, rows, scenario.price_ticks, scenario.rules, scenario.news, by_order)
    return _write(out, market, scenario.instruments, f"generate {scenario.name}", seed, chunk, advance)


def _write(out: Path, market: Market, instruments: Sequence[Instrument], source: str, seed: int, chunk: int,
           advance: Callable[[int], None]) -> dict[str, Any]:
    rows = market.rows_left
    with TapeWriter(out, instruments, source=source, seed=seed) as tape:
        while market.rows_left:
            try:
                tape.append(*market.take(chunk))
            except ValueError as error:
                raise ConfigError(str(error), "--scenario", "Give makers something to do: orders they place, or "
                                  "cancellations where orders stand") from None
            advance(rows - market.rows_left)
    return tape.header


def shipped() -> list[str]:
    """Names of the scenarios that come with APEX."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find(name: str) -> Scenario:
    """A scenario that comes with APEX by its name, or one by the path of its file.

    Raises
    ------
    ConfigError
        If there is none of that name, or its file is wrong.
    """
    if name.endswith(".toml"):
        return load(Path(name))
    path = SHIPPED / f"{name}.toml"
    if name not in shipped():
        known = sorted(["default", *shipped()])
        near = difflib.get_close_matches(name, known, 1)
        remedy = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known)}; or name a .toml file"
        raise ConfigError(f"there is no scenario {name!r}", "--scenario", remedy)
    return load(path)


def _instruments(instruments: int, tick: str, lot: str, price: str) -> tuple[list[Instrument], int]:
    """The instruments and their first price in ticks; errors name the option."""
    if not 1 <= instruments <= INSTRUMENTS_MAX:
        raise ConfigError(f"{instruments} instruments: give 1 to {INSTRUMENTS_MAX}", "--instruments")
    for option, text in (("--tick", tick), ("--lot", lot), ("--price", price)):
        try:
            positive = scaled(text)[0] > 0
        except ConfigError as error:
            error.where = option
            raise
        if not positive:
            raise ConfigError(f"{text!r} is not > 0", option, "Give a positive decimal")
    made = [Instrument(f"SIM{i + 1}USDT", "generated", tick, lot, base=f"SIM{i + 1}", quote="USDT")
            for i in range(instruments)]
    try:
        ticks = made[0].ticks(price)
    except ConfigError as error:
        error.where = "--price"
        raise
    if not PRICE_TICKS_MIN <= ticks <= PRICE_TICKS_MAX:
        low, high = of_units(PRICE_TICKS_MIN, tick), of_units(PRICE_TICKS_MAX, tick)
        raise ConfigError(f"a price of {price} with ticks of {tick}: only {low} to {high} can be generated", "--price",
                          "Change --price or --tick")
    return made, ticks


def _show(console: Any, value: dict[str, Any], out: str) -> None:
    """The summary for people."""
    names = [i["symbol"] for i in value["instruments"]]
    console.print(pairs(f"Wrote {out}", [
        ("scenario", value["scenario"]), ("seed", str(value["seed"])),
        ("events", value["events"]),
        ("instruments", ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")),
        ("trades", value["kinds"].get("TRADE", 0) + value["kinds"].get("ORDER_EXECUTE", 0)),
        ("from", stamp(value["first_ts"])), ("to", stamp(value["last_ts"])),
        ("market time", f"{(value['last_ts'] - value['first_ts']) / 1e9:,.1f} s"),
        ("content hash", value["content_hash"]),
    ]))
