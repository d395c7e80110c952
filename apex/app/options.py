"""Options of a replay, validated before anything is opened."""

from __future__ import annotations

import csv
import difflib
import importlib
import inspect
import operator
import sys
import traceback
from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, SupportsIndex

import msgspec

from apex._core.engine import Strategy, duration_ns
from apex._core.simvenue import QUEUES
from apex.domain.decimals import MONEY_SCALE, plain, units
from apex.domain.errors import ConfigError, InputError

Time = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
CASH_MAX = 1 << 62
"""Cash units: sums of two still fit 64 bits."""
LATENCIES = ("req_ts", "exch_ts", "resp_ts")
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
    feed_shift: Time | None = None
    partial_fills: bool = False
    maker_fee: str = "0"
    taker_fee: str = "0"
    cash: str = "0"
    limits: str | None = None
    start: Time | None = None
    stop: Time | None = None
    instrument: tuple[str, ...] = ()
    orders: str | None = None
    scores: tuple[dict[str, Any], ...] = ()
    signals: tuple[dict[str, Any], ...] = ()
    venue: dict[str, Any] | str | None = None


ALIASES = {"from": "start", "to": "stop", "set": "params"}
"""Options whose names on the command line are not those of Python."""
TEXTS = tuple(f for f, kind in ReplayOptions.__annotations__.items() if kind in ("str", "str | None"))


def options_from(given: Mapping[str, Any]) -> ReplayOptions:
    """Options by name, from Python or a file: numbers become exact text, one instrument a tuple of one.

    Raises
    ------
    ConfigError
        For an unknown name, with a guess of what was meant, or for a value of another type.
    """
    known = ReplayOptions.__struct_fields__
    given = {ALIASES.get(name, name): value for name, value in given.items()}
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
    for name in ("start", "stop", "feed_shift"):
        value = chosen.get(name)
        if isinstance(value, SupportsIndex) and not isinstance(value, bool):   # numpy's integers too
            chosen[name] = operator.index(value)
    if isinstance(chosen.get("venue"), Path):
        chosen["venue"] = str(chosen["venue"])
    wanted = chosen.get("instrument", ())
    chosen["instrument"] = (wanted,) if isinstance(wanted, str) else wanted
    try:
        return msgspec.convert(chosen, ReplayOptions)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        raise ConfigError(what, place.rstrip("`") or "replay", "Correct the option's value") from None


LATENCY_MAX_NS = 86_400 * 10**9


def duration(text: str, option: str) -> int:
    """Nanoseconds of a duration option."""
    sign = -1 if text.startswith("-") else 1
    try:
        found = duration_ns("0ns" if text == "0" else text.removeprefix("-"))
    except ValueError as error:
        raise ConfigError(str(error), option, "Write for example 5ms") from None
    if found > LATENCY_MAX_NS:
        raise ConfigError(f"{text} is longer than a day", option, "Write for example 5ms")
    return sign * found


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


def amount(text: str, option: str) -> int:
    """Cash units of a decimal amount."""
    try:
        value = units(text, plain(1, MONEY_SCALE))
    except ConfigError as error:
        raise ConfigError(error.what, option, error.do) from None
    if abs(value) > CASH_MAX:
        raise ConfigError(f"{text} does not fit an account", option, "Give a smaller amount")
    return value


def _latency_table(path: Path) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Place and times of each row."""
    if path.suffix == ".npz":
        import numpy as np

        with path.open("rb") as file, np.load(file) as archive:
            table = archive[archive.files[0]]
        for number, row in enumerate(table):
            yield f"{path}, row {number}", (int(row["req_ts"]), int(row["exch_ts"]), int(row["resp_ts"]))
        return
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        missing = [c for c in LATENCIES if c not in (reader.fieldnames or ())]
        if missing:
            raise InputError(f"columns missing: {', '.join(missing)}", str(path), f"It needs {', '.join(LATENCIES)}")
        for line in reader:
            where = f"{path}:{reader.line_num}"
            try:
                yield where, (int(line["req_ts"]), int(line["exch_ts"]), int(line["resp_ts"]))
            except (ValueError, TypeError):
                raise InputError("a time that is no integer", where, "Give times in ns") from None


def latency_rows(path: Path) -> list[tuple[int, int, int]]:
    """Recorded order latencies: columns req_ts, exch_ts, resp_ts of a CSV or npz, ns on the replay's clock."""
    import zipfile

    rows: list[tuple[int, int, int]] = []
    try:
        for where, row in _latency_table(path):
            if not all(-(1 << 63) <= time < 1 << 63 for time in row):
                raise InputError("a time beyond 64 bits", where, "Give times in ns")
            if rows and (row[0] <= rows[-1][0] or (row[1] > 0 and row[1] <= rows[-1][1])):
                raise InputError("req_ts and exch_ts must increase", where, "Sort the rows by req_ts")
            if row[1] > 0 and not row[0] <= row[1] <= row[2]:
                raise InputError("an order that arrives before it is sent, or is answered before it arrives", where,
                                 "Give req_ts <= exch_ts <= resp_ts, or exch_ts 0 for an order that was lost")
            rows.append(row)
    except OSError as error:
        raise InputError(f"cannot read order latencies: {error.strerror or error}", str(path),
                         "Give a CSV or npz file") from None
    except (KeyError, ValueError, IndexError, TypeError, EOFError, csv.Error, zipfile.BadZipFile) as error:
        raise InputError(f"no order latencies: {error}", str(path),
                         "Give columns req_ts,exch_ts,resp_ts in ns, as CSV or npz") from None
    if not rows:
        raise InputError("no latency rows", str(path), "Give at least one row")
    return rows


def find_strategy(name: str) -> type[Strategy]:
    """The class behind "module:Class", looked up in the working directory first."""
    module_name, _, class_name = name.partition(":")
    if not class_name:
        raise ConfigError(f"{name!r} does not name a class", "--strategy", "Write module:Class")
    here = str(Path.cwd())
    mine = Path(here, f"{module_name}.py")
    if mine.exists() and module_name in sys.stdlib_module_names:
        raise ConfigError(f"{mine.name} has the name of one of Python's own modules", str(mine), "Rename the file")
    if mine.exists() and getattr(sys.modules.get(module_name), "__file__", None) != str(mine):
        sys.modules.pop(module_name, None)  # another folder's
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise ConfigError(f"cannot import {module_name}: {error}", "--strategy",
                          "Run where the module lies, or give its full name") from error
    except SyntaxError as error:
        raise ConfigError(f"cannot import {module_name}: {error.msg}", f"{error.filename}:{error.lineno}",
                          "Correct the line") from error
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        raise ConfigError(f"{module_name} raises {error!r} when it is imported", f"{last.filename}:{last.lineno}",
                          "Correct the module") from error
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)  # what the strategy's hooks import from beside it
    found = getattr(module, class_name, None)
    if not (inspect.isclass(found) and issubclass(found, Strategy)):
        raise ConfigError(f"{class_name} in {module_name} is no subclass of apex.Strategy", "--strategy",
                          "Name a class that derives from apex.Strategy")
    return found
