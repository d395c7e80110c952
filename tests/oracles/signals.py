"""Threshold rules and scores in plain Python: every rule as its sentence says it."""

from __future__ import annotations

from math import inf, isnan

FEATURES = ("imbalance", "weighted_mid", "ofi", "volatility", "trade_sign")


class Rule:
    """Fires when its value enters a zone; again once it left it by more than the hysteresis, or enters the other."""

    def __init__(self, source: str, instrument: int, above: float | None, below: float | None, hysteresis: float,
                 cooldown: int) -> None:
        self.source, self.instrument = source, instrument
        self.above = inf if above is None else above
        self.below = -inf if below is None else below
        self.hysteresis, self.cooldown = hysteresis, cooldown
        self.inside = ""
        self.fired: int | None = None
        self.cooled = 0

    def hear(self, x: float, now: int) -> bool:
        """Whether it fires."""
        if isnan(x):
            return False
        where = "above" if x > self.above else "below" if x < self.below else ""
        if where == "":
            left_above = self.inside == "above" and (self.hysteresis == 0 or x < self.above - self.hysteresis)
            left_below = self.inside == "below" and (self.hysteresis == 0 or x > self.below + self.hysteresis)
            if left_above or left_below:
                self.inside = ""
            return False
        if where == self.inside:
            return False
        self.inside = where
        if self.fired is not None and now - self.fired < self.cooldown:
            self.cooled += 1
            return False
        self.fired = now
        return True


def score(bias: float, weights: dict[str, float], values: dict[str, float]) -> float:
    total = bias
    for name in FEATURES:
        if weights.get(name, 0.0) != 0.0:
            total += weights[name] * values[name]
    return total


def changes(source: str, scores: dict[str, dict[str, float]], what: str) -> bool:
    """Whether an update of the book, or a trade, can change an input."""
    names = scores.get(source, {source: 1.0})
    return any((name == "trade_sign") == (what == "trade") for name in names)
