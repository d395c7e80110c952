"""Scenarios of the market generator: what a person writes in TOML, and the whole numbers the generator works with."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from apex._core.market import INSTRUMENTS_MAX, NEWS_RULES, PRICE_TICKS_MAX, PRICE_TICKS_MIN, QUANTILES, RULES
from apex.domain import scenario_keys as keys
from apex.domain.decimals import of_units
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument

CHILDREN_MAX = Decimal("0.95")
"""Largest number of events that one may call for: at 1 it would not end."""

KERNELS = RULES["heat_ns"][0]
INSTRUMENT = {"symbol": "SIM1USDT", "venue": "generated", "tick": "0.1", "lot": "0.001", "price": "60000",
              "kind": "linear", "base": "", "quote": ""}
"""Keys of an instrument and their defaults."""

SHIPPED = Path(__file__).resolve().parents[1] / "scenarios"
"""The scenarios that come with APEX."""
_GUIDE = f"See the comments in {SHIPPED / 'btc.toml'}"


@dataclass(frozen=True)
class Scenario:
    """A market to generate.

    Attributes
    ----------
    name, title : str
    instruments : tuple of Instrument
    price_ticks : tuple of int
        Where each begins.
    rules : tuple of dict
        Numbers and tables of each, as `apex._core.market.Market` takes them.
    news : dict or None
        Those of news that all instruments hear.
    """

    name: str
    title: str
    instruments: tuple[Instrument, ...]
    price_ticks: tuple[int, ...]
    rules: tuple[dict[str, Any], ...]
    news: dict[str, Any] | None


class _File:
    """A file's tables; errors name the key."""

    def __init__(self, where: str) -> None:
        self.where = where

    def wrong(self, what: str, key: str, do: str = _GUIDE) -> ConfigError:
        return ConfigError(what, f"{self.where}: {key}", do)

    def known(self, given: Any, names: Sequence[str], key: str) -> dict[str, Any]:
        """The table itself, when it is one and all its keys are known."""
        if not isinstance(given, dict):
            raise self.wrong(f"{key} is no table", key)
        for name in given:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1)
                do = f"Did you mean {near[0]}?" if near else f"The keys are: {', '.join(names)}"
                raise self.wrong(f"unknown key {name!r}", f"{key}.{name}".lstrip("."), do)
        return given

    def read(self, table: Mapping[str, Any], section: str, key: str, reader: keys.Reader,
             bp: Decimal = keys.RATE) -> Any:
        """A value of a table, read."""
        where = f"{section}.{key}"
        if key not in table:
            raise self.wrong(f"{where} is missing", where)
        try:
            return reader(table[key], bp)
        except ValueError as error:
            raise self.wrong(str(error), where) from None

    def within(self, values: Sequence[int], low: int, high: int, key: str) -> None:
        """The generator can count with these."""
        if not all(low <= x <= high for x in values):
            raise self.wrong(f"out of range: the generator counts with {low} to {high} here, not {min(values)} to "
                             f"{max(values)}", key)

    def children(self, section: str, key: str, *values: Decimal) -> None:
        """Events call for less than one event each, so that it ends."""
        if min(values) < 0 or sum(values) > CHILDREN_MAX:
            raise self.wrong(f"an event calls for {sum(values)} more", f"{section}.{key}",
                             f"Stay within 0 and {CHILDREN_MAX}")

    def rules(self, given: Mapping[str, Any], bp: Decimal) -> dict[str, Any]:
        """The rules of one instrument, from its sections."""
        found: dict[str, Any] = {"jump_q8": keys.whole(bp * 256)}
        for section, names in keys.SECTIONS.items():
            found |= keys.ABSENT.get(section, {})
            if section not in given and section in keys.ABSENT:
                continue
            table = self.known(given.get(section, {}), (*names, *keys.TABLES_OF.get(section, ())), section)
            for key, (rule, reader) in names.items():
                if key in table or section != "coupling":
                    found[rule] = self.read(table, section, key, reader, bp)
        found |= self.excitement(given["arrivals"].get("excitement"))
        found |= self.waves(given["fair"].get("waves"), found["heat_ns"][0])
        for rule, (count, low, high) in RULES.items():
            self.within([found[rule]] if count == 1 else found[rule], low, high, keys.key_of(rule))
        for rule, (low, high) in QUANTILES.items():
            self.within(found[rule], low, high, keys.key_of(rule))
        return found

    def excitement(self, given: Any) -> dict[str, Any]:
        """How market orders call for market orders."""
        section = "arrivals.excitement"
        if not isinstance(given, list) or len(given) != KERNELS:
            raise self.wrong(f"{KERNELS} time scales are needed", section)
        rows = [self.known(row, ("lasts", "same", "other"), section) for row in given]
        lasts = [self.lasting(row, section) for row in rows]
        same = [self.read(row, section, "same", keys.number) for row in rows]
        other = [self.read(row, section, "other", keys.number) for row in rows]
        self.children("arrivals", "excitement", *same, *other)
        return {"heat_ns": lasts, "self_gain": [keys.gain(n, ns) for n, ns in zip(same, lasts, strict=True)],
                "cross_gain": [keys.gain(n, ns) for n, ns in zip(other, lasts, strict=True)]}

    def lasting(self, row: Mapping[str, Any], section: str) -> int:
        """How long an excitement lasts."""
        lasts: int = self.read(row, section, "lasts", keys.duration)
        self.within([lasts], *RULES["news_ns"][1:], key=f"{section}.lasts")
        return lasts

    def waves(self, given: Any, fast_ns: int) -> dict[str, Any]:
        """How news calls for news, and for market orders within the fastest time scale."""
        section = "fair.waves"
        row = self.known(given, ("lasts", "children", "orders"), section)
        lasts, children = self.lasting(row, section), self.read(row, section, "children", keys.number)
        self.children(section, "children", children)
        orders = self.read(row, section, "orders", keys.number)
        return {"news_ns": lasts, "news_gain": keys.gain(children, lasts), "alarm_gain": keys.gain(orders, fast_ns)}

    def news(self, given: Any) -> dict[str, Any]:
        """The news that all instruments hear."""
        row = self.known(given, ("per_second", "lasts", "children", "jumps"), "news")
        lasts, children = self.lasting(row, "news"), self.read(row, "news", "children", keys.number)
        self.children("news", "children", children)
        found = {"rate": self.read(row, "news", "per_second", keys.per_second), "gain_ns": lasts,
                 "gain": keys.gain(children, lasts), "jump": self.read(row, "news", "jumps", keys.jumps)}
        for rule, (_, low, high) in NEWS_RULES.items():
            self.within([found[rule]], low, high, "news")
        self.within(found["jump"], *QUANTILES["jump"], key="news.jumps")
        return found

    def instrument(self, given: Any, number: int) -> tuple[Instrument, int]:
        """An instrument and the ticks it begins at."""
        key = f"instruments[{number}]"
        row = self.known(given, (*INSTRUMENT, *keys.SECTIONS), key)
        text: dict[str, Any] = INSTRUMENT | {name: row[name] for name in INSTRUMENT if name in row}
        for name, value in text.items():
            if not isinstance(value, str):
                raise self.wrong(f"{value!r} is no text", f"{key}.{name}", f'Write {name} = "{value}"')
        price = text.pop("price")
        if text["kind"] not in ("spot", "linear", "inverse"):
            raise self.wrong(f"{text['kind']!r} is no kind", f"{key}.kind", "Write spot, linear or inverse")
        try:
            made = Instrument(**text)
            ticks = made.ticks(price)
        except ConfigError as error:
            raise self.wrong(error.what, key, error.do) from None
        if not PRICE_TICKS_MIN <= ticks <= PRICE_TICKS_MAX:
            low, high = of_units(PRICE_TICKS_MIN, made.tick), of_units(PRICE_TICKS_MAX, made.tick)
            raise self.wrong(f"a price of {price} with ticks of {made.tick}: only {low} to {high} can be generated",
                             f"{key}.price", "Change price or tick")
        return made, ticks

    def partner(self, name: Any, names: list[str], ticks: list[int], number: int) -> int:
        """Number, from 1, of the instrument whose price another one watches."""
        key = f"instruments[{number}].coupling.partner"
        if name not in names or names.index(name) == number:
            raise self.wrong(f"there is no other instrument {name!r}", key, f"There are: {', '.join(names)}")
        if ticks[names.index(name)] != ticks[number]:
            raise self.wrong(f"{name} begins at another price in ticks", key, "Partners are one coin on two venues")
        return names.index(name) + 1


def scenario(given: Mapping[str, Any], name: str, where: str) -> Scenario:
    """A scenario from the tables of its file.

    An instrument's own sections replace single keys of the file's.

    Raises
    ------
    ConfigError
        For an unknown or missing key, or a value that is not what it should be; `where` names the file and the key.
    """
    file = _File(where)
    file.known(given, ("title", "news", "instruments", *keys.SECTIONS), "")
    rows = given.get("instruments", [{}])
    if not isinstance(rows, list) or not 1 <= len(rows) <= INSTRUMENTS_MAX:
        raise file.wrong(f"1 to {INSTRUMENTS_MAX} instruments are needed", "instruments", "Write [[instruments]]")
    made = [file.instrument(row, number) for number, row in enumerate(rows)]
    instruments, ticks = [x for x, _ in made], [x for _, x in made]
    names = [f"{x.venue}:{x.symbol}" for x in instruments]
    if len(set(names)) < len(names):
        raise file.wrong("two instruments have one symbol and venue", "instruments", "Name them apart")
    rules = []
    for number, row in enumerate(rows):
        sections = {s: {**_table(file, given, s), **_table(file, row, s)} for s in keys.SECTIONS
                    if s in given or s in row}
        rules.append(file.rules(sections, Decimal(ticks[number]) / 10**4))
        partner = sections.get("coupling", {}).get("partner")
        if partner is not None:
            rules[-1]["partner"] = file.partner(partner, names, ticks, number)
    news = file.news(given["news"]) if "news" in given else None
    if news is None and any(rule["beta"] for rule in rules):
        raise file.wrong("coupling.beta needs news that all instruments hear", "coupling.beta", "Write a table [news]")
    return Scenario(name, str(given.get("title", name)), tuple(instruments), tuple(ticks), tuple(rules), news)


def _table(file: _File, given: Mapping[str, Any], section: str) -> dict[str, Any]:
    """A section, empty where there is none."""
    found = given.get(section, {})
    return file.known(found, tuple(found) if isinstance(found, dict) else (), section)


def load(path: Path) -> Scenario:
    """Read a scenario's file; with `base`, over the sections of that scenario, which is beside it or came with APEX.

    Raises
    ------
    ConfigError
        For a file that cannot be read, and as `scenario`.
    """
    given = _tables(path)
    base = given.pop("base", None)
    if base is not None:
        where, places = f"{path}: base", [folder / f"{base}.toml" for folder in (path.parent, SHIPPED)]
        below = next((place for place in places if place.exists()), None)
        if not isinstance(base, str) or below is None:
            raise ConfigError(f"there is no scenario {base!r} to build on", where, f"Put {base}.toml beside it")
        lower = _tables(below)
        if "base" in lower:
            raise ConfigError(f"{base} builds on another scenario itself", where, f"Write base = {lower['base']!r}")
        both = {s: {**lower[s], **given[s]} for s in keys.SECTIONS if isinstance(given.get(s), dict) and s in lower}
        given = {**lower, **given, **both}
    return scenario(given, path.stem, str(path))


def _tables(path: Path) -> dict[str, Any]:
    """The tables of a file, with exact decimals."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise ConfigError(f"cannot read the scenario: {error.strerror or error}", str(path),
                          "Name a TOML file") from None
    except ValueError as error:  # of UTF-8 and of TOML, both
        raise ConfigError(f"the scenario is no TOML: {error}", str(path), _GUIDE) from None
