from collections.abc import Mapping, Sequence
from typing import Any, Final

from apex._core.features import Features

SHAPES: Final[dict[str, int]]
"""Shapes of a feature in a score."""

class Signals:
    """Threshold rules over features and weighted scores, with hysteresis and cool-down, and combinations of rules.

    A rule fires when its input enters the zone above `above` or below `below`. It fires again only after the input has
    left the zone by more than `hysteresis`, or has entered the other one. A value that is in a zone when it first
    becomes known fires. NaN is no signal and changes nothing. A crossing within `cooldown_ns` of the rule's last
    firing is counted in `cooled` and spent. A rule holds from entering a zone to leaving it; a combination fires when
    it becomes true, and stays what it was while one of its rules is unknown. A quiet rule only serves combinations.

    Parameters
    ----------
    features : list of Features, optional
        Of each instrument: their features can be named, and are asked for. Without, only those of NAMES are known.

    Examples
    --------
    >>> signals, features = Signals(), Features()
    >>> rule = signals.when("imbalance", above=0.6)
    >>> features.book(100, 7, 101, 3, now=1)
    >>> signals.check(features, now=1), signals.check(features, now=1)
    ([0], [])
    """

    rule_count: int
    score_count: int
    cooled: int
    def __init__(self, features: list[Features] | None = None) -> None: ...
    def when(self, feature: str, above: float | None = None, below: float | None = None, hysteresis: float = 0.0,
             cooldown_ns: int = 0, instrument: int = 0, name: str | None = None, quiet: bool = False) -> int:
        """Declare a rule over a feature or score of an instrument; its number. ValueError for what makes no rule."""
    def combine(self, all: Sequence[int | str] = (), any: Sequence[int | str] = (), none: Sequence[int | str] = (),
                cooldown_ns: int = 0, name: str | None = None, quiet: bool = False) -> int:
        """Declare a combination of earlier rules, by number or name: all of `all`, one of `any`, none of `none`."""
    def blend(self, name: str, weights: Mapping[str, float | Mapping[str, Any]], bias: float = 0.0,
              instrument: int = 0) -> None:
        """Declare a score: bias + sum of weight * shaped feature, NaN while a feature that it weighs is.

        A weight is a number, or `{weight, shape, ...}`: `linear` and `clip` give (x - centre) / scale, `clip` within
        +-limit (1); `tanh` gives its tanh; `zscore` gives (x - mean) / deviation, both exponentially weighted over
        `updates` (1000) of the feature, this one included, known after as many, within +-limit (none), and 0 while
        the deviation is 0.
        """
    def value(self, name: str, features: Features, instrument: int = 0) -> float:
        """A score's value."""
    def name(self, rule: int) -> str | None:
        """Name of a rule, None where it has none."""
    def holding(self, which: int | str) -> bool | None:
        """Whether a rule holds, None while its input is unknown."""
    def check(self, features: Features, now: int, instrument: int = 0, dirty: int = 3) -> list[int]:
        """Rules of the instrument that fire at `now`; dirty: 1 the book changed, 2 a trade came, 3 both."""
