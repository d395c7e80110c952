from collections.abc import Mapping

from apex._core.features import Features

class Signals:
    """Threshold rules over features and weighted scores, with hysteresis and cool-down.

    A rule fires when its input enters the zone above `above` or below `below`. It fires again only after the input has
    left the zone by more than `hysteresis`, or has entered the other one. A value that is in a zone when it first
    becomes known fires. NaN is no signal and changes nothing. A crossing within `cooldown_ns` of the rule's last
    firing is counted in `cooled` and spent.

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
    def __init__(self) -> None: ...
    def when(self, feature: str, above: float | None = None, below: float | None = None, hysteresis: float = 0.0,
             cooldown_ns: int = 0, instrument: int = 0) -> int:
        """Declare a rule over a feature or score of an instrument; its number. ValueError for what makes no rule."""
    def blend(self, name: str, weights: Mapping[str, float], bias: float = 0.0, instrument: int = 0) -> None:
        """Declare a score: bias + sum of weight * feature, NaN while a feature that it weighs is."""
    def value(self, name: str, features: Features, instrument: int = 0) -> float:
        """A score's value."""
    def check(self, features: Features, now: int, instrument: int = 0, dirty: int = 3) -> list[int]:
        """Rules of the instrument that fire at `now`; dirty: 1 the book changed, 2 a trade came, 3 both."""
