"""What is traded: its grid, its money and its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import gcd
from typing import Literal

import msgspec

from apex.domain.decimals import MONEY_SCALE, of_units, scaled, units
from apex.domain.errors import ConfigError

Kind = Literal["spot", "linear", "inverse"]


class Instrument(msgspec.Struct, frozen=True):
    """One instrument of one venue.

    Attributes
    ----------
    symbol, venue : str
        The venue's own symbol, and the venue's name ("binance-usdm").
    tick, lot : str
        Price and quantity steps, decimal strings > 0.
    kind : {"spot", "linear", "inverse"}
        What a position is worth: quantity times price, or contracts over price.
    multiplier : str
        Units of base (linear) or of quote (inverse) per contract.
    base, quote : str
        Currencies; may be empty when a recording does not say.
    """

    symbol: str
    venue: str
    tick: str
    lot: str
    kind: Kind = "linear"
    multiplier: str = "1"
    base: str = ""
    quote: str = ""

    def __post_init__(self) -> None:
        for name in ("tick", "lot", "multiplier"):
            value = getattr(self, name)
            if scaled(value)[0] <= 0:
                raise ConfigError(f"{name} {value!r} of {self.symbol} is not > 0", name, "Give a positive decimal")

    def ticks(self, price: str) -> int:
        """Integer ticks of a decimal price; ConfigError off the grid."""
        return units(price, self.tick)

    def lots(self, quantity: str) -> int:
        """Integer lots of a decimal quantity; ConfigError off the grid."""
        return units(quantity, self.lot)

    def price(self, ticks: int) -> str:
        """Decimal string of a price in ticks."""
        return of_units(ticks, self.tick)

    def quantity(self, lots: int) -> str:
        """Decimal string of a quantity in lots."""
        return of_units(lots, self.lot)

    @property
    def value(self) -> tuple[int, int]:
        """Numerator and denominator of one tick times one lot in cash units (10^-8 of quote).

        Inverse: of one lot at a price of one tick, in 10^-8 of the coin.
        """
        (t, tp), (q, qp), (m, mp) = scaled(self.tick), scaled(self.lot), scaled(self.multiplier)
        num, den = t * q * m * 10**MONEY_SCALE, 10 ** (tp + qp + mp)
        if self.kind == "inverse":
            num, den = q * m * 10 ** (MONEY_SCALE + tp), t * 10 ** (qp + mp)
        common = gcd(num, den)
        return num // common, den // common

    @property
    def money(self) -> str:
        """Currency of its accounts: quote, or the coin of an inverse contract."""
        return self.base if self.kind == "inverse" else self.quote

    @property
    def tick_1e8(self) -> int:
        """A tick in 10^-8 of quote, 0 where it is no whole number of them."""
        mantissa, places = scaled(self.tick)
        return mantissa * 10 ** (MONEY_SCALE - places) if places <= MONEY_SCALE else 0

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two instruments the same: venue, symbol and kind."""
        return self.venue, self.symbol, self.kind

    @property
    def called(self) -> tuple[str, str, str]:
        """What a person may call it, shortest first: symbol, venue:symbol, venue:symbol:kind."""
        return self.symbol, f"{self.venue}:{self.symbol}", f"{self.venue}:{self.symbol}:{self.kind}"


def labels(instruments: Sequence[Instrument]) -> list[str]:
    """What each instrument is called within a run: the shortest of its names that no other has.

    >>> labels([Instrument("A", "x", "1", "1"), Instrument("A", "y", "1", "1"), Instrument("B", "x", "1", "1")])
    ['x:A', 'y:A', 'B']
    """
    return _shortest(instruments, 0)


def names(instruments: Sequence[Instrument]) -> list[str]:
    """What each instrument of a tape of several is called: venue:symbol, and :kind where a venue has the symbol twice.

    >>> names([Instrument("A", "x", "1", "1"), Instrument("A", "x", "1", "1", "spot"), Instrument("B", "x", "1", "1")])
    ['x:A:linear', 'x:A:spot', 'x:B']
    """
    return _shortest(instruments, 1)


def _shortest(instruments: Sequence[Instrument], first: int) -> list[str]:
    seen = Counter(name for i in instruments for name in i.called)
    return [next((name for name in i.called[first:] if seen[name] == 1), i.called[-1]) for i in instruments]
