"""Options of a replay, validated before anything is opened."""

from __future__ import annotations

import csv
import difflib
import importlib
import inspect
import sys
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from apex._core.engine import Strategy, duration_ns
from apex._core.simvenue import QUEUES
from apex.domain.errors import ConfigError, InputError

POWERED = ("power-prob", "power-prob2", "power-prob3")


class ReplayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a replay's result depends on, besides its tapes and its strategy.

    Durations are strings such as "5ms"; fees are decimal fractions as strings; times are UTC nanoseconds.
    """

    params: dict[str, Any] = {}
    fill_mode: str = "strict"
    queue: str = "risk-averse"
    order_latency: str = "0ns"
    response_latency: str = "0ns"
    cancel_latency: str | None = None
    amend_latency: str | None = None
    latency: str | None = None
    base_latency: str | None = None
    feed_shift: int | None = None
    partial_fills: bool = False
    maker_fee: str = "0"
    taker_fee: str = "0"
    cash: str = "0"
    limits: str | None = None
    start: int | None = None
    stop: int | None = None
    instrument: tuple[str, ...] = ()
    orders: str | None = None


TEXTS = tuple(f for f, kind in ReplayOptions.__annotations__.items() if kind in ("str", "str | None"))


def options_from(given: Mapping[str, Any]) -> ReplayOptions:
    """Options by name, from Python or a file: numbers become exact text, one instrument a tuple of one.

    Raises
    ------
    ConfigError
        For an unknown name, with a guess of what was meant.
    """
    known = ReplayOptions.__struct_fields__
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"The options are: {', '.join(known)}"
            raise ConfigError(f"unknown option {name!r}", "replay", hint)
    chosen = dict(given)
    for name in TEXTS:
        value = chosen.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            chosen[name] = f"{Decimal(repr(value)):f}"
        elif isinstance(value, Decimal):
            chosen[name] = f"{value:f}"
        elif isinstance(value, Path):
            chosen[name] = str(value)
    wanted = chosen.get("instrument", ())
    chosen["instrument"] = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    return ReplayOptions(**chosen)


def duration(text: str, option: str) -> int:
    """Nanoseconds of a duration option."""
    sign = -1 if text.startswith("-") else 1
    try:
        return sign * duration_ns("0ns" if text == "0" else text.removeprefix("-"))
    except ValueError as error:
        raise ConfigError(str(error), option, "Write for example 5ms") from None


def queue(text: str) -> tuple[str, float]:
    """Name and power of a queue model: "power-prob:3" is ("power-prob", 3.0)."""
    name, _, power = text.partition(":")
    if name not in QUEUES:
        raise ConfigError(f"queue model {text!r} is unknown", "--queue", f"Choose one of: {', '.join(QUEUES)}")
    if (name in POWERED) != bool(power):
        raise ConfigError(f"queue model {text!r} {'needs' if name in POWERED else 'takes no'} power", "--queue",
                          f"Write {name}:2" if name in POWERED else f"Write {name}")
    try:
        value = float(power or 1)
    except ValueError:
        value = 0.0
    if not 0 < value < 100:
        raise ConfigError(f"power {power!r} of the queue model is not above 0", "--queue", f"Write {name}:2")
    return name, value


def fraction(text: str, option: str) -> int:
    """A decimal fraction in 1e-12."""
    try:
        value = Decimal(text) * 10**12
        if value != value.to_integral_value() or abs(value) > 10**12:
            raise InvalidOperation
    except InvalidOperation:
        raise ConfigError(f"{text!r} is no fraction between -1 and 1 with at most 12 places", option,
                          "Write for example 0.0002") from None
    return int(value)


def latency_rows(path: Path) -> list[tuple[int, int, int]]:
    """Recorded order latencies: columns req_ts, exch_ts, resp_ts of a CSV or npz, ns on the replay's clock."""
    try:
        if path.suffix == ".npz":
            import numpy as np

            with np.load(path) as archive:
                table = archive[archive.files[0]]
            rows = [(int(r["req_ts"]), int(r["exch_ts"]), int(r["resp_ts"])) for r in table]
        else:
            with path.open(newline="", encoding="utf-8") as stream:
                rows = [(int(r["req_ts"]), int(r["exch_ts"]), int(r["resp_ts"])) for r in csv.DictReader(stream)]
    except (OSError, KeyError, ValueError, IndexError, TypeError) as error:
        raise InputError(f"cannot read order latencies: {error!r}", str(path),
                         "Give columns req_ts,exch_ts,resp_ts in ns, as CSV or npz") from None
    for i in range(1, len(rows)):
        if rows[i][0] <= rows[i - 1][0] or (rows[i][1] > 0 and rows[i][1] <= rows[i - 1][1]):
            raise InputError(f"row {i + 1}: req_ts and exch_ts must increase", str(path), "Sort the rows by req_ts")
    if not rows:
        raise InputError("no latency rows", str(path), "Give at least one row")
    return rows


def find_strategy(name: str) -> type[Strategy]:
    """The class behind "module:Class", looked up in the working directory first."""
    module_name, _, class_name = name.partition(":")
    if not class_name:
        raise ConfigError(f"{name!r} does not name a class", "--strategy", "Write module:Class")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"cannot import {module_name}: {error}", "--strategy",
                          "Run where the module lies, or give its full name") from error
    finally:
        sys.path.remove(here)
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, Strategy)):
        raise ConfigError(f"{class_name} in {module_name} is no subclass of apex.Strategy", "--strategy",
                          "Name a class that derives from apex.Strategy")
    return found
