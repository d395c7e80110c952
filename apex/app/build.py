"""The composition root: the only place that names concrete classes and puts them together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from apex._core.engine import Engine, Strategy
from apex._core.features import Features
from apex._core.ledger import Ledger
from apex._core.replay import ReplayDriver
from apex._core.risk import RiskGate
from apex._core.sampler import Sampler
from apex._core.signals import Signals
from apex._core.simvenue import SimGateway, SimVenue
from apex.app import options as opt
from apex.app.options import ReplayOptions
from apex.app.signals import declare
from apex.app.venue import VenueRules, fee_tables, margin_account, read_rules, venue_options
from apex.domain.decimals import scaled
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument, labels
from apex.domain.limits import Limits
from apex.store.tape import Tape

DAY_NS = 86_400 * 10**9
SPAN_MAX_NS = 400 * DAY_NS
"""Longest run: its equity grid of a second, 70 bytes a row, still fits a small machine."""

Sources = list[tuple[int, int, tuple[Any, ...]]]


class Replay(msgspec.Struct):
    """A replay put together, ready to run."""

    engine: Any
    gate: Any
    driver: Any
    venues: list[Any]
    tapes: list[Tape]
    instruments: list[Instrument]
    strategy: Strategy | None
    options: ReplayOptions
    limits: Limits
    shift_ns: int
    rules: VenueRules
    impacts: list[Any]


def streams(tapes: list[Tape], wanted: tuple[str, ...]) -> tuple[list[Instrument], Sources, list[bool]]:
    """Instruments of the run, where their batches lie, and whether their books begin in sync.

    A symbol that several instruments have is named `venue:symbol`, or `venue:symbol:kind`.
    """
    instruments: list[Instrument] = []
    found: set[str] = set()
    sources: Sources = []
    synced: list[bool] = []
    for number, tape in enumerate(tapes):
        arrays = (tape.batches, tape.levels, tape.rows, tape.venue_order)
        for index, instrument in enumerate(tape.instruments):
            if wanted and not set(instrument.called) & set(wanted):
                continue
            if any(instrument.key == known.key for known in instruments):
                raise ConfigError(f"{instrument.symbol} of {instrument.venue} is on two tapes", str(tape.path),
                                  "Give each instrument once")
            instruments.append(instrument)
            found.update(instrument.called)
            sources.append((number, index, arrays))
            synced.append(bool(tape.header.get("synced_from_start")))
    if absent := [name for name in wanted if name not in found]:
        known = ", ".join(i.symbol for t in tapes for i in t.instruments) or "none"
        raise ConfigError(f"no instrument matches {', '.join(absent)}", "--instrument", f"The tapes hold: {known}")
    if any(i.kind == "inverse" for i in instruments) and len({i.money for i in instruments}) > 1:
        raise ConfigError("an inverse contract is kept in its coin, and there is one account", "--instrument",
                          "Choose instruments of one coin, or run them one by one")
    named = [replace(x, symbol=label) for x, label in zip(instruments, labels(instruments), strict=True)]
    return named, sources, synced


def feed_shift(tapes: list[Tape], options: ReplayOptions) -> int:
    """Nanoseconds added to every local time: 0, or what makes a negative smallest feed latency the base latency."""
    if options.feed_shift is not None:
        if abs(options.feed_shift) > SPAN_MAX_NS:
            raise ConfigError(f"a shift of {options.feed_shift} ns is longer than a year", "--feed-shift",
                              "Give nanoseconds that make up for a clock")
        return options.feed_shift
    base = opt.duration(options.base_latency or ("1ms" if options.fill_mode == "strict" else "0ns"), "--base-latency")
    least: list[int] = [t.header["feed_min_ns"] for t in tapes if t.header.get("feed_min_ns") is not None]
    return 0 if not least or min(least) >= 0 else -min(least) + base


def _venues(instruments: list[Instrument], synced: list[bool], options: ReplayOptions,
            more: list[dict[str, Any]]) -> list[SimVenue]:
    name, power = opt.queue(options.queue)
    place = opt.duration(options.order_latency, "--order-latency")
    legs = (
        place,
        place if options.cancel_latency is None else opt.duration(options.cancel_latency, "--cancel-latency"),
        place if options.amend_latency is None else opt.duration(options.amend_latency, "--amend-latency"),
        opt.duration(options.response_latency, "--response-latency"),
    )
    if legs[3] < 0:
        raise ConfigError("a response cannot take less than no time", "--response-latency", "Give 0 or more")
    rows = None if options.latency is None else opt.latency_rows(Path(options.latency))
    compat = options.fill_mode == "compat"
    return [
        SimVenue(i, scaled(x.lot), queue=name, power=power, compat=compat, partial=options.partial_fills,
                 synced=synced[i], latency=legs, rows=rows, **more[i])
        for i, x in enumerate(instruments)
    ]


def _check_queue(tapes: list[Tape], sources: Sources, options: ReplayOptions) -> None:
    """Refuse a queue of orders where there are none."""
    if opt.queue(options.queue)[0] != "fifo":
        return
    books = [tape.order_books() for tape in tapes]
    for tape, index, _ in sources:
        if index not in books[tape]:
            name = tapes[tape].instruments[index].called[1]
            raise ConfigError(f"fifo follows the venue's own queues, and the tape of {name} holds levels, not orders",
                              "--queue fifo", "Choose another queue model; lobster and databento give tapes of orders")
    if options.fill_mode == "compat" and options.partial_fills:
        raise ConfigError("hftbacktest has no partial fills in a fifo queue", "--partial-fills",
                          "Leave it away, or take --fill-mode strict")


def _grid(instrument: Instrument) -> tuple[int, int, int, int]:
    (tick, tick_places), (lot, lot_places) = scaled(instrument.tick), scaled(instrument.lot)
    return tick, 10**tick_places, lot, 10**lot_places


def _features(instrument: Instrument) -> Features:
    """Features of an instrument, none asked for yet; they know what a trade or a level is worth."""
    (tick, tick_places), (lot, lot_places), (size, size_places) = (
        scaled(x) for x in (instrument.tick, instrument.lot, instrument.multiplier))
    lot_worth = lot * size / 10 ** (lot_places + size_places)
    if instrument.kind == "inverse":
        return Features(asked=(), value_scale=0.0, value_lot=lot_worth)
    return Features(asked=(), value_scale=lot_worth * tick / 10**tick_places)


def build_replay(tapes: list[Tape], strategy: Strategy | None, options: ReplayOptions) -> Replay:
    """Put a replay together.

    Raises
    ------
    ConfigError
        For an option or an instrument that does not fit.
    """
    if options.fill_mode not in ("strict", "compat"):
        raise ConfigError(f"fill mode {options.fill_mode!r} is unknown", "--fill-mode", "Choose strict or compat")
    instruments, sources, synced = streams(tapes, options.instrument)
    maker, taker = opt.fraction(options.maker_fee, "--maker-fee"), opt.fraction(options.taker_fee, "--taker-fee")
    cash = opt.amount(options.cash, "--cash")
    limits = Limits() if options.limits is None else Limits.from_toml(Path(options.limits))
    scripted = options.orders is not None and options.limits is None
    terms = [_terms(x, maker, taker) for x in instruments]
    ledger = Ledger(terms, cash=cash)
    _check_queue(tapes, sources, options)
    compat = options.fill_mode == "compat"
    rules = read_rules(options.venue)
    if compat and rules != VenueRules():
        raise ConfigError("hftbacktest knows no such rules of a venue", "--venue", "Take --fill-mode strict")
    more = venue_options(rules, instruments, sources)
    venues = _venues(instruments, synced, options, more)
    if (account := margin_account(rules, ledger, cash)) is not None:
        for venue in venues:
            venue.watch(account)
    gate = RiskGate(
        [limits.integers(x) for x in instruments], terms, gateway=SimGateway(venues), scripted=scripted,
    )
    features = [_features(x) for x in instruments]
    engine = Engine(
        len(instruments), ledger, gate, Signals(features), features, compat=compat,
        synced=[i for i, s in enumerate(synced) if s], grids=[_grid(x) for x in instruments], cash=cash,
        fees=fee_tables(rules, instruments), visible=rules.own_orders == "visible",
    )
    if strategy is not None:
        view = engine.add_strategy(strategy)
        declare(view, options.scores, options.signals, instruments)
    elif options.scores or options.signals:
        raise ConfigError("signals call a strategy, and there is none", "--signals", "Add --strategy module:Class")
    shift = feed_shift(tapes, options)
    try:
        driver = ReplayDriver(
            engine, venues, sources, shift_ns=shift, compat=compat, start_ns=options.start, stop_ns=options.stop,
        )
    except ValueError as error:
        raise InputError(f"a damaged tape: {error}", ", ".join(str(t.path) for t in tapes),
                         "apex tape verify names the damage; import it again") from error
    if driver.clock_start == np.iinfo(np.int64).max:
        if options.start is not None or options.stop is not None:
            raise ConfigError("no event lies between these times", "--from, --to",
                              "Give recorded local times in ns: apex tape info prints the first and the last")
        raise InputError("the tapes hold no events", str(tapes[0].path), "Import a recording first")
    if driver.end_ns < driver.start_ns:
        raise ConfigError("no event lies between these times", "--from, --to",
                          "Give recorded local times in ns: apex tape info prints the first and the last")
    if driver.end_ns - driver.start_ns > SPAN_MAX_NS:
        raise InputError(f"the run would span {(driver.end_ns - driver.start_ns) // DAY_NS:,} days",
                         ", ".join(str(t.path) for t in tapes),
                         f"A stray time is on a tape, or give --from and --to: at most {SPAN_MAX_NS // DAY_NS:,} days")
    return Replay(engine, gate, driver, venues, tapes, instruments, strategy, options, limits, shift, rules,
                  [x["impact"] for x in more])


def build_sampler(tape: Tape, wanted: list[tuple[str, dict[str, Any]]], instrument: tuple[str, ...], moment: str,
                  every_ns: int) -> tuple[Sampler, list[Instrument], list[Features]]:
    """Put together what writes features of a tape down: the engine's local view, without venue and strategy.

    Raises
    ------
    ConfigError
        For an instrument or a feature that does not fit.
    """
    instruments, sources, synced = streams([tape], instrument)
    terms = [_terms(x, 0, 0) for x in instruments]
    features = [_features(x) for x in instruments]
    engine = Engine(
        len(instruments), Ledger(terms), RiskGate([Limits().integers(x) for x in instruments], terms),
        Signals(features), features, synced=[i for i, s in enumerate(synced) if s],
    )
    places = [-1] * len(tape.instruments)
    for i, (_, index, _) in enumerate(sources):
        places[index] = i
    try:
        sampler = Sampler(engine, sources[0][2], places, wanted, moment=moment, every_ns=every_ns)
    except ValueError as error:
        raise ConfigError(str(error), "--features", "See: apex features --list") from error
    return sampler, instruments, features


def _terms(instrument: Instrument, maker_fee: int, taker_fee: int) -> dict[str, Any]:
    num, den = instrument.value
    return {"value_num": num, "value_den": den, "kind": instrument.kind, "maker_fee": maker_fee,
            "taker_fee": taker_fee, "tick_1e8": instrument.tick_1e8}
