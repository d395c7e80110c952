"""Instruments while their recordings are read: decimals to ticks and lots, and the grids found or given."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import gcd
from typing import Any, NamedTuple

from apex.domain.decimals import plain, scaled
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument, Kind
from apex.importers.common import FrameProblem, step_of

Key = tuple[str, str, str]
"""Venue, symbol and kind."""
PLACES_MAX = 18
UNITS_MAX = 1 << 60
CACHE_MAX = 1 << 16
POWERS = [10**places for places in range(64)]
MARK_PLACES = 8
TEXT_MAX = 80
_DECIMAL = re.compile(r"-?\d{1,40}(\.\d{1,40})?")
_FLOAT = re.compile(r"-?\d{1,40}(\.\d{1,40})?[eE][+-]?\d{1,2}")


def decimal(text: str | int) -> tuple[int, int]:
    """Mantissa and places of a number as a venue writes it: text, JSON integer, or the text of a JSON float.

    >>> decimal("0.0250"), decimal("1.5e-05"), decimal(7)
    ((25, 3), (15, 6), (7, 0))

    Raises
    ------
    FrameProblem
        If it is no decimal number.
    """
    text = str(text)
    whole, _, part = text.partition(".")
    part = part.rstrip("0")
    if (whole.isdecimal() and text.isascii() and len(text) <= TEXT_MAX and (part.isdecimal() or not part)) \
            or _DECIMAL.fullmatch(text):
        return int(whole + part), len(part)
    if _FLOAT.fullmatch(text):
        return scaled(f"{Decimal(text):f}")
    raise FrameProblem(f"{text[:40]!r} is not a decimal number", "The line is damaged", "number")


def nearest(text: str | int, places: int) -> int:
    """A decimal in 10**-places, to the nearest, halves away from zero; a FrameProblem beyond 2^60 of them."""
    value, own = decimal(text)
    size = 10 ** max(own - places, 0)
    count = (2 * abs(value) * 10 ** max(places - own, 0) + size) // (2 * size)
    if count > UNITS_MAX:
        raise FrameProblem(f"{text} is more than 2^60 units of 10^-{places}", "The line is damaged", "wide")
    return int(count if value >= 0 else -count)


class Unsure(Exception):
    """What a sample of the recording taught does not hold for all of it."""


class Grid(dict[Any, int]):
    """Text of a decimal -> its count of steps; without a step yet, its count of 10**-18, and their common divisor.

    Parameters
    ----------
    step : str, optional
        The step.
    guessed : bool
        Whether the step is only that of a sample: a value off the grid is Unsure then, else a FrameProblem.
    """

    def __init__(self, step: str | None = None, guessed: bool = False) -> None:
        super().__init__()
        self.step, self.guessed = step, guessed
        self.size, self.places = scaled(step) if step else (1, PLACES_MAX)
        self.common = 0

    def __missing__(self, text: Any) -> int:
        value, places = decimal(text)
        if self.step is None:
            if places > PLACES_MAX:
                raise FrameProblem(f"{text} has more than {PLACES_MAX} decimals", "Remove the line", "number")
            count = value * POWERS[PLACES_MAX - places]
            self.common = gcd(self.common, count)
        else:
            finer = self.places - places
            count, rest = (divmod(value * POWERS[finer], self.size) if finer >= 0
                           else divmod(value, self.size * 10**-finer))
            if rest and self.guessed:
                raise Unsure
            if rest:
                raise FrameProblem(f"{text} is not a multiple of {self.step}",
                                   "Leave --tick and --lot away to have them found, or correct them", "off_grid")
            if abs(count) > UNITS_MAX:
                raise FrameProblem(f"{text} is more than 2^60 steps of {self.step}", "Give a coarser step", "wide")
        if len(self) >= CACHE_MAX:
            self.clear()
        self[text] = int(count)
        return int(count)

    def mark(self, text: str | int) -> tuple[int, int]:
        """A price off the grid: its nearest tick (halves up), and what is left of it in 10**-8 of the quote."""
        value = nearest(text, MARK_PLACES)
        top = max(self.places, MARK_PLACES)
        size = self.size * 10 ** (top - self.places)
        count = (value * 10 ** (top - MARK_PLACES) + size // 2) // size
        if abs(count) > UNITS_MAX:
            raise FrameProblem(f"{text} is more than 2^60 steps of {self.step}", "Give a coarser step", "wide")
        return count, value - count * size // 10 ** (top - MARK_PLACES)

    def found(self, venues_own: str = "") -> str:
        """The step: the common divisor of everything seen and of the venue's own step, where that is known."""
        if self.step is not None:
            return self.step
        common = self.common
        if venues_own:
            value, places = decimal(venues_own)
            common = gcd(common, value * 10 ** (PLACES_MAX - places)) if places <= PLACES_MAX else common
        return plain(common, PLACES_MAX) if common else "1"


class Facts(NamedTuple):
    """What a venue's list of instruments says of one; steps may be empty."""

    kind: Kind = "spot"
    multiplier: str = "1"
    base: str = ""
    quote: str = ""
    tick: str = ""
    lot: str = ""


class Draft:
    """An instrument while its recording is read.

    Attributes
    ----------
    price, lots : Grid
    number : int
        Its index on the tape; -1 while learning.
    synced : bool
        Whether deltas are applied.
    last : int
        The venue's number of the last book message taken.
    clock : int
        Venue time of that message, ns; 0 without one.
    held : int or None
        Where the sheet has a snapshot that still waits for its venue time.
    source : str
        The connection that its book comes from.
    """

    def __init__(self, venue: str, symbol: str, facts: Facts, price: Grid, lots: Grid, number: int) -> None:
        self.venue, self.symbol, self.facts, self.number = venue, symbol, facts, number
        self.price, self.lots = price, lots
        self.key: Key = (venue, symbol, facts.kind)
        self.synced = self.used = self.has_book = False
        self.last = self.clock = 0
        self.held: int | None = None
        self.source = ""

    def instrument(self) -> Instrument:
        """The instrument with the grid found."""
        f = self.facts
        return Instrument(self.symbol, self.venue, self.price.found(f.tick), self.lots.found(f.lot), f.kind,
                          f.multiplier, f.base, f.quote)


class Steps:
    """`--tick` and `--lot` of several instruments: `[SYMBOL=]STEP`; SYMBOL is symbol or venue:symbol[:kind]."""

    def __init__(self, tick: Sequence[str], lot: Sequence[str]) -> None:
        self.given = (("--tick", tick), ("--lot", lot))

    def of(self, called: Iterable[str]) -> tuple[str | None, str | None]:
        """Tick and lot for an instrument of these names, None where none is given."""
        called = list(called)
        found: list[str | None] = []
        for option, values in self.given:
            mine = [v for v in values if v.rpartition("=")[0] in ("", *called)]
            name = next((n for n in reversed(called) if any(v.rpartition("=")[0] == n for v in mine)), "")
            found.append(step_of([v for v in mine if v.rpartition("=")[0] in ("", name)], option, name))
        return found[0], found[1]

    def check(self, instruments: Sequence[Instrument]) -> None:
        """Refuse steps of an instrument that the recording does not have."""
        known = {name for x in instruments for name in x.called}
        for option, values in self.given:
            for value in values:
                name = value.rpartition("=")[0]
                if name and name not in known:
                    raise ConfigError(f"{option} of {name}, which the recording does not have", option,
                                      f"It has: {', '.join(x.called[1] for x in instruments) or 'nothing'}")
