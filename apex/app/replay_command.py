"""`apex replay`: tapes and a strategy in, one screen and one report out."""

from __future__ import annotations

import argparse
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from apex.app import signals
from apex.app.console import Outcome, progress, time_ns
from apex.app.options import ReplayOptions, options_from
from apex.app.replay import open_tapes, run_replay
from apex.domain.errors import ConfigError, InputError

TEXT = ("fill_mode", "queue", "order_latency", "response_latency", "cancel_latency", "amend_latency", "latency",
        "base_latency", "maker_fee", "taker_fee", "cash", "limits", "orders")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    replay_arguments(parser)
    parser.add_argument("--orders", metavar="FILE.csv", help="replay a schedule of orders instead of a strategy")
    parser.add_argument("--out", metavar="DIR", help="folder for report.html, result.json and Parquet tables")


def replay_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the tapes, the strategy and what a replay's result depends on: for every command that replays."""
    parser.add_argument("tapes", nargs="+", metavar="TAPE", help="tape files; several are several instruments")
    parser.add_argument("--strategy", metavar="MODULE:CLASS", help="looked up in the working directory first")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a strategy parameter")
    parser.add_argument("--config", metavar="FILE", help="TOML with these options and a [params] table")
    parser.add_argument("--signals", metavar="FILE", help="TOML of [[scores]] and [[signals]] that call the strategy")
    parser.add_argument("--from", dest="start", type=time_ns, metavar="NS", help="first recorded local time")
    parser.add_argument("--to", dest="stop", type=time_ns, metavar="NS", help="last recorded local time")
    parser.add_argument("--instrument", action="append", metavar="SYMBOL", help="only this instrument (repeatable)")
    parser.add_argument("--fill-mode", choices=("strict", "compat"), help="rules of the venue (strict)")
    parser.add_argument("--queue", metavar="MODEL", help="risk-averse (default), power-prob:N, power-prob2:N, "
                                                         "power-prob3:N, log-prob, log-prob2; fifo on tapes of orders")
    for name, text in (("order", "to place, and to cancel or amend unless given (0)"), ("response", "of replies (0)"),
                       ("cancel", "to cancel"), ("amend", "to amend")):
        parser.add_argument(f"--{name}-latency", metavar="D", help=f"latency {text}, for example 5ms")
    parser.add_argument("--latency", metavar="FILE", help="recorded order latencies, CSV or npz")
    parser.add_argument("--base-latency", metavar="D", help="smallest feed latency after a shift")
    parser.add_argument("--feed-shift", type=time_ns, metavar="NS", help="added to every local time (computed)")
    parser.add_argument("--partial-fills", action="store_true", default=None, help="compat: fill in parts")
    parser.add_argument("--maker-fee", metavar="F", help="fraction; negative is a rebate (0)")
    parser.add_argument("--taker-fee", metavar="F", help="fraction (0)")
    parser.add_argument("--cash", metavar="AMOUNT", help="cash at the start (0)")
    parser.add_argument("--limits", metavar="FILE", help="TOML of risk limits")
    parser.add_argument("--venue", metavar="FILE", help="TOML of funding, fee tables, liquidation, halts, impact")


def _value(pair: str) -> tuple[str, Any]:
    """A --set pair; the value is a TOML literal."""
    name, equals, text = pair.partition("=")
    if not equals or not name.isidentifier():
        raise ConfigError(f"{pair!r} is not name=value", "--set", "Write for example --set width=5")
    try:
        found = tomllib.loads(f"x = {text}")
        if len(found) > 1:
            raise tomllib.TOMLDecodeError("more than one value")
        return name, found["x"]
    except tomllib.TOMLDecodeError:
        raise ConfigError(f"{text!r} is no TOML literal", f"--set {name}",
                          f"Quote text: --set {name}='\"{text}\"'") from None


def _config(path: str) -> dict[str, Any]:
    """Options from a TOML file; keys are the options' names with `_`."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        found = {**tomllib.loads(text, parse_float=Decimal), "params": tomllib.loads(text).get("params", {})}
    except OSError as error:
        raise ConfigError(f"cannot read the configuration: {error.strerror}", path, "Give a readable file") from None
    except ValueError as error:  # of UTF-8 and of TOML, both
        raise ConfigError(f"not TOML: {error}", path, "Correct the file") from None
    known = {*ReplayOptions.__struct_fields__, "strategy"}
    for key in found:
        if key not in known:
            import difflib

            near = difflib.get_close_matches(key, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"The keys are: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown key {key!r}", f"{path}: {key}", hint)
    if not isinstance(found.get("strategy", ""), str):
        raise ConfigError("a strategy is named by text", f"{path}: strategy", 'Write strategy = "module:Class"')
    try:
        options_from({key: value for key, value in found.items() if key != "strategy"})
    except ConfigError as error:
        raise ConfigError(error.what, f"{path}: {error.where}", error.do) from None
    return found


def options_of(args: argparse.Namespace) -> tuple[ReplayOptions, str | None]:
    """Options of the command line over those of the configuration file, and the strategy's name."""
    chosen = _config(args.config) if args.config else {}
    strategy = args.strategy or chosen.pop("strategy", None)
    chosen.pop("strategy", None)
    for name in (*TEXT, "venue", "start", "stop", "feed_shift", "partial_fills"):
        if getattr(args, name) is not None:
            chosen[name] = getattr(args, name)
    if args.instrument:
        chosen["instrument"] = args.instrument
    if args.signals is not None:
        chosen |= signals.read(args.signals)
    values = [_value(pair) for pair in args.set]
    twice = next((name for k, (name, _) in enumerate(values) if name in dict(values[:k])), None)
    if twice is not None:
        raise ConfigError(f"{twice} is given twice", f"--set {twice}", "Give each parameter once")
    chosen["params"] = {**chosen.get("params", {}), **dict(values)}
    return options_from(chosen), strategy


def run(args: argparse.Namespace) -> Outcome:
    """Replay and report."""
    options, strategy = options_of(args)
    if strategy is not None and options.orders is not None:
        raise ConfigError("--strategy and --orders exclude each other", "--orders", "Give one of them")
    if options.params and strategy is None:
        raise ConfigError("--set needs a strategy", "--set", "Add --strategy module:Class")
    out = Path(args.out) if args.out else None
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out} is not a folder", "--out", "Name a folder, or a new one")
    tapes = open_tapes(args.tapes)
    try:
        total = sum(t.row_count for t in tapes)
        with progress("replay", total) as advance:
            result = run_replay(tapes, strategy, options, advance)
    finally:
        for tape in tapes:
            tape.close()
    if out is not None:
        result.report(out)

    def text(console: Any) -> None:
        from apex.research import screen

        page = None if out is None else out / "report.html"
        drawn = screen.draw(result, console.width, page, plain=console.options.ascii_only)
        console.print(drawn, soft_wrap=True)

    return Outcome(result.document, text)
