"""Rules of the simulated venue beyond matching: funding, fee tables, liquidation, halts, impact."""

from __future__ import annotations

import csv
import tomllib
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from apex._core.account import MarginAccount
from apex._core.events import KINDS
from apex._core.fees import Fees
from apex._core.impact import Impact
from apex._core.ledger import Ledger
from apex.app import options as opt
from apex.domain.decimals import MONEY_SCALE, scaled
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument

TEXT_KEYS = ("maintenance", "fee", "y", "daily_volatility", "daily_volume", "beta", "maker", "taker", "volume",
             "volume_30d")
"""Keys whose numbers are taken as exact text."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
INT64_MAX = 2**63 - 1


class Liquidation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One cross-margin account: maintenance margin and fee as fractions of a position's value."""

    maintenance: str
    fee: str = "0"


class Halt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A time without matching, [start, stop) in venue ns; an empty instrument means all."""

    start: int
    stop: int
    instrument: str = ""


class ImpactRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Parameters of apex._core.impact.Impact; `daily_volume` in the instrument's quantity, `decay` a duration."""

    model: Literal["square-root", "propagator"]
    daily_volatility: str
    daily_volume: str
    y: str = "0.7"
    decay: str = "1m"
    beta: str = "0.5"
    instrument: str = ""


class VenueRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `--venue FILE` or the configuration's [venue] holds; all of it is off unless given.

    Attributes
    ----------
    funding : str
        "none", "tape" (what MARK rows announce), or a CSV of ts, rate, mark (may be empty) and, if several, instrument.
    fees : str or None
        A TOML of dated fee tables; it replaces --maker-fee and --taker-fee from its first date on.
    volume_30d : str
        Money traded in the 30 days before the run.
    liquidation : Liquidation or None
    halts : list of Halt
    halt_orders : {"reject", "queue"}
    impact : list of ImpactRule
        The first whose instrument fits.
    own_orders : {"hidden", "visible"}
        Whether what our takers took stays away from a level.
    """

    funding: str = "none"
    fees: str | None = None
    volume_30d: str = "0"
    liquidation: Liquidation | None = None
    halts: list[Halt] = []
    halt_orders: Literal["reject", "queue"] = "reject"
    impact: list[ImpactRule] = []
    own_orders: Literal["hidden", "visible"] = "hidden"


def _texts(value: Any, key: str = "") -> Any:
    """Numbers under TEXT_KEYS as exact text."""
    if isinstance(value, Mapping):
        return {name: _texts(part, name) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(part, key) for part in value]
    if key in TEXT_KEYS and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return f"{Decimal(repr(value)) if isinstance(value, float) else Decimal(value):f}"
    return value


def read_rules(given: Mapping[str, Any] | str | None) -> VenueRules:
    """Rules from a file's path, a mapping, or nothing.

    Raises
    ------
    ConfigError
        For a file that cannot be read, an unknown key or a value of another kind.
    """
    where = "--venue" if given is None or isinstance(given, Mapping) else str(given)
    if isinstance(given, str):
        given = _toml(Path(given), "the venue's rules")
    found = _texts(dict(given or {}))
    if isinstance(found.get("impact"), dict):
        found["impact"] = [found["impact"]]
    try:
        return msgspec.convert(found, VenueRules)
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `$.")
        raise ConfigError(what, f"{where}: {place.rstrip('`')}" if place else where,
                          f"The keys are: {', '.join(VenueRules.__struct_fields__)}") from None


def _toml(path: Path, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"cannot read {what}: {error.strerror or error}", str(path), "Name a TOML file") from None
    except ValueError as error:
        raise ConfigError(f"{what}: no TOML: {error}", str(path), "Correct the file") from None


def _moment(value: Any, where: str) -> int:
    """UTC ns of a TOML date, date-time or integer."""
    if type(value) is int:
        found = int(value)
    elif isinstance(value, date):                     # a datetime is one too
        at = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        found = (at - EPOCH) // timedelta(microseconds=1) * 1000
    else:
        raise ConfigError(f"{value!r} is no date", where, "Write from = 2024-01-01")
    if abs(found) > INT64_MAX:
        raise ConfigError(f"{value} does not fit 64 bits of nanoseconds", where, "Give a date from 1678 to 2262")
    return found


def _tables(value: Any, where: str) -> list[Mapping[str, Any]]:
    """A list of TOML tables, or nothing else."""
    if not isinstance(value, list) or not all(isinstance(x, Mapping) for x in value):
        raise ConfigError("this is no list of tables", where, "Write [[schedule]] and [[schedule.tiers]]")
    return value


def _text(value: Any, where: str) -> str:
    """A number as _texts leaves it."""
    if not isinstance(value, str):
        raise ConfigError(f"{value!r} is no number", where, "Write for example 0.0002")
    return value


def fee_rows(path: Path, venue: str) -> list[tuple[int, int, int, int]]:
    """Rows of a venue's fee tables: (since ns, 30-day volume, maker, taker), in order.

    The file holds [[schedule]] entries: from, maker, taker, an optional venue, and [[schedule.tiers]] of volume, maker,
    taker with rising volumes.
    """
    rows = []
    entries = _texts(_toml(path, "the fee table")).get("schedule", [])
    for number, entry in enumerate(_tables(entries, f"{path}: schedule"), 1):
        where = f"{path}: schedule {number}"
        if unknown := set(entry) - {"from", "maker", "taker", "venue", "tiers"}:
            raise ConfigError(f"unknown key {min(unknown)!r}", where, "The keys are: from, venue, maker, taker, tiers")
        if entry.get("venue", venue) != venue:
            continue
        since = _moment(entry.get("from"), where)
        for tier in ({"volume": "0", **entry}, *_tables(entry.get("tiers", []), f"{where}: tiers")):
            try:
                volume, maker, taker = (_text(tier[key], f"{where}: {key}") for key in ("volume", "maker", "taker"))
            except KeyError as missing:
                raise ConfigError(f"{missing.args[0]} is missing", where, "Give volume, maker and taker") from None
            rows.append((since, opt.amount(volume, where), opt.fraction(maker, where), opt.fraction(taker, where)))
    if not rows or rows != sorted(rows, key=lambda r: r[:2]):
        raise ConfigError(f"no table for {venue}" if not rows else "tables or tiers are out of order", str(path),
                          "Give [[schedule]] entries by date, tiers by volume")
    return rows


def _rest(price: str, instrument: Instrument) -> tuple[int, int]:
    """Nearest tick of a mark price, and what is left in 1e-8 of quote."""
    (value, places), tick = scaled(price), instrument.tick_1e8
    exact: int = value * 10 ** max(MONEY_SCALE - places, 0) // 10 ** max(places - MONEY_SCALE, 0)
    if not tick:
        return instrument.ticks(price), 0
    ticks = (exact + tick // 2) // tick
    return ticks, exact - ticks * tick


def funding_rows(path: Path, instruments: list[Instrument]) -> list[list[tuple[int, int, int, int]]]:
    """Given fundings of each instrument: (ts, rate in 1e-12, mark ticks or 0, rest), in order of time."""
    out: list[list[tuple[int, int, int, int]]] = [[] for _ in instruments]
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if not {"ts", "rate"} <= set(reader.fieldnames or ()):
                raise InputError("columns missing: ts, rate", str(path), "The header must be ts,rate,mark")
            for line in reader:
                where = f"{path}:{reader.line_num}"
                names = [i.symbol for i in instruments]
                name = line.get("instrument") or (names[0] if len(names) == 1 else "")
                if name not in names:
                    raise InputError(f"instrument {name!r} is not on the tapes", where, f"Use: {', '.join(names)}")
                ts, (ticks, rest) = int(line["ts"]), (0, 0)
                if line.get("mark"):
                    ticks, rest = _rest(line["mark"], instruments[names.index(name)])
                    if not 0 < ticks <= INT64_MAX:           # 0 would mean: none is given
                        raise InputError(f"a mark of {line['mark']} is no price", where, "Give one of a tick or more")
                if abs(ts) > INT64_MAX:
                    raise InputError(f"{ts} does not fit 64 bits of nanoseconds", where, "Give UTC ns")
                out[names.index(name)].append((ts, opt.fraction(line["rate"], where), ticks, rest))
    except OSError as error:
        raise ConfigError(f"cannot read fundings: {error.strerror or error}", str(path), "Name a CSV file") from None
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"no row of ts, rate, mark: {error}", str(path), "Give integers of ns and decimals") from None
    for rows, instrument in zip(out, instruments, strict=True):
        times = sorted(row[0] for row in rows)
        if twice := next((a for a, b in pairwise(times) if a == b), None):
            raise InputError(f"two fundings of {instrument.symbol} at {twice}", str(path), "Give each once")
    return [sorted(rows) for rows in out]


def _marked(sources: list[tuple[int, int, tuple[Any, ...]]], place: int) -> bool:
    """Whether a stream has mark prices."""
    _, index, arrays = sources[place]
    batches = arrays[0]
    return bool(np.any((batches["kind"] == KINDS["MARK"]) & (batches["instrument"] == index)))


def _impact(rules: VenueRules, instrument: Instrument) -> Impact | None:
    rule = next((r for r in rules.impact if r.instrument in ("", instrument.symbol)), None)
    if rule is None:
        return None
    mantissa, places = scaled(instrument.lot)
    try:
        numbers = [float(x) for x in (rule.y, rule.daily_volatility, rule.daily_volume, rule.beta)]
        if not all(isfinite(x) for x in numbers):
            raise ValueError("y, daily_volatility, daily_volume and beta of impact must be finite")
        return Impact(rule.model, numbers[0], numbers[1], numbers[2] * 10**places / mantissa,
                      opt.duration(rule.decay, "impact.decay"), numbers[3])
    except ValueError as error:
        raise ConfigError(str(error), "impact", "Give y, daily_volatility, daily_volume as decimals") from None


def venue_options(rules: VenueRules, instruments: list[Instrument],
                  sources: list[tuple[int, int, tuple[Any, ...]]]) -> list[dict[str, Any]]:
    """Arguments of each instrument's SimVenue.

    Raises
    ------
    ConfigError
        Where a rule needs mark prices that a tape does not have.
    """
    given: list[list[tuple[int, int, int, int]]] | None = None
    if rules.funding not in ("none", "tape"):
        given = funding_rows(Path(rules.funding), instruments)
    symbols = [x.symbol for x in instruments]
    for where, named in (("halts", rules.halts), ("impact", rules.impact)):
        for rule in named:
            if rule.instrument not in ("", *symbols):
                raise ConfigError(f"no instrument {rule.instrument!r}", where,
                                  f"The instruments are: {', '.join(symbols)}")
    made = []
    for place, instrument in enumerate(instruments):
        pays = rules.funding != "none" and instrument.kind != "spot"
        if (rules.liquidation or (pays and given is None)) and not _marked(sources, place):
            raise ConfigError(f"the tape of {instrument.symbol} has no mark prices", "--venue",
                              "Liquidation and funding by the tape need MARK rows; fundings can be given as a CSV")
        halts = [(h.start, h.stop) for h in rules.halts if h.instrument in ("", instrument.symbol)]
        flat = [ts for pair in halts for ts in pair]
        if sorted(set(flat)) != flat:
            raise ConfigError("halts must follow each other, each with its stop after its start", "halts", "Sort them")
        made.append({
            "funding": (given[place] or None if given is not None else []) if pays else None, "halts": halts,
            "queue_orders": rules.halt_orders == "queue", "impact": _impact(rules, instrument),
            "visible": rules.own_orders == "visible",
        })
    return made


def fee_tables(rules: VenueRules, instruments: list[Instrument]) -> list[Fees] | None:
    """The fee tables of each instrument; those of one venue share their volume."""
    if rules.fees is None:
        return None
    tables: dict[str, Fees] = {}
    volume = opt.amount(rules.volume_30d, "volume_30d")
    if volume < 0:
        raise ConfigError(f"a volume of {rules.volume_30d}", "volume_30d", "Give 0 or more")
    for instrument in instruments:
        if instrument.venue not in tables:
            tables[instrument.venue] = Fees(fee_rows(Path(rules.fees), instrument.venue), volume)
    return [tables[i.venue] for i in instruments]


def margin_account(rules: VenueRules, ledger: Ledger, cash: int) -> MarginAccount | None:
    """The account that the venue watches, if it does."""
    if rules.liquidation is None:
        return None
    try:
        return MarginAccount(ledger, cash, opt.fraction(rules.liquidation.maintenance, "liquidation.maintenance"),
                             opt.fraction(rules.liquidation.fee, "liquidation.fee"))
    except ValueError as error:
        raise ConfigError(str(error), "liquidation", 'Write maintenance = "0.004"') from None


def impact_cost(impact: Impact | None, instrument: Instrument) -> int:
    """What impact has cost, in cash units."""
    if impact is None:
        return 0
    num, den = instrument.value
    return round(impact.paid_inverse * num / den) if instrument.kind == "inverse" else impact.paid * num // den
