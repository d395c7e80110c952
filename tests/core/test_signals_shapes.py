"""Shaped terms of scores and combinations of rules, against plain Python and by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from apex._core.features import Features
from apex._core.signals import Signals
from tests.core.assembly import BUY, START, Hooks, Run, message, snapshot

NAMES = [f"mlofi.{n}:10:1ns" for n in range(1, 6)]


class Shaped:
    """One term in plain Python."""

    def __init__(self, rng: random.Random) -> None:
        self.weight = rng.uniform(-2, 2)
        self.shape = rng.choice(("linear", "clip", "tanh", "zscore"))
        self.given: dict[str, Any] = {"weight": self.weight, "shape": self.shape}
        if self.shape == "zscore":
            self.given["updates"] = self.updates = rng.choice((2, 5, 20))
        else:
            self.given |= {"centre": rng.uniform(-5, 5), "scale": rng.uniform(1, 20)}
        if self.shape in ("clip", "zscore"):
            self.given["limit"] = rng.uniform(0.2, 2)
        self.seen: list[float] = []

    def value(self, x: float) -> float:
        """Of x, which is the last of `seen`; means and variances by their weights, (1 - 1/n)^age."""
        limit = self.given.get("limit", math.inf)
        if self.shape != "zscore":
            x = (x - self.given["centre"]) / self.given["scale"]
            x = math.tanh(x) if self.shape == "tanh" else x
        else:
            if len(self.seen) < self.updates:
                return math.nan
            keep = 1 - 1 / self.updates
            ages = np.arange(len(self.seen) - 1, -1, -1)
            weights = keep**ages / self.updates
            weights[0] = keep ** ages[0]
            mean = float((weights * self.seen).sum())
            deviation = math.sqrt(float((weights * (np.array(self.seen) - mean) ** 2).sum()))
            x = (x - mean) / deviation if deviation > 0 else 0.0
        return min(max(x, -limit), limit)


@pytest.mark.parametrize("seed", range(6))
def test_shapes(seed: int) -> None:
    """Lost otherwise: a score that is led by the one feature with the largest unit."""
    rng = random.Random(seed)
    features = Features(asked=())
    signals = Signals([features])
    terms = {name: Shaped(rng) for name in NAMES}
    signals.blend("s", {name: term.given for name, term in terms.items()}, bias=0.25)
    signals.when("s", above=0.0)
    for n in range(120):
        features.book(1000, rng.randint(1, 30), 1001, rng.randint(1, 30), n)
        signals.check(features, n)
        values = [features.value(name) for name in NAMES]
        for name, x in zip(NAMES, values, strict=True):
            if not math.isnan(x):
                terms[name].seen.append(x)
        want = 0.25 + sum(terms[name].weight * terms[name].value(x) for name, x in zip(NAMES, values, strict=True))
        got = signals.value("s", features)
        assert got == pytest.approx(want, rel=1e-9, abs=1e-9, nan_ok=True)
        assert signals.value("s", features) == got or math.isnan(got)
    assert not math.isnan(got)


def test_a_constant_has_no_score() -> None:
    """Lost otherwise: a division by a deviation of zero, and a strategy called for infinity."""
    features = Features(asked=())
    signals = Signals([features])
    signals.blend("z", {"imbalance": {"shape": "zscore", "updates": 3}})
    for n in range(5):
        features.book(100, 3, 101, 1, n)
        signals.check(features, n)
        assert math.isnan(signals.value("z", features)) == (n < 2)
    rule = signals.when("z", above=0.0)
    features.book(100, 3, 101, 1, 9)
    assert signals.check(features, 9) == []
    assert signals.holding(rule) is False


@pytest.mark.parametrize(("given", "word"), [
    ({"shape": "square"}, "unknown"), ({"shape": "linear", "limit": 1}, "takes no limit"),
    ({"shape": "zscore", "scale": 2}, "takes no scale"), ({"shape": "tanh", "scale": 0}, "scale"),
    ({"shape": "clip", "limit": 0}, "limit"), ({"shape": "zscore", "updates": 1}, "updates"),
    ({"weight": math.inf}, "not finite"), ({"centre": math.nan}, "centre"), ({"wieght": 1}, "takes no wieght"),
])  # fmt: skip
def test_shapes_that_make_no_sense_are_refused(given: dict[str, Any], word: str) -> None:
    """Lost otherwise: a misspelt word that leaves a feature unweighed."""
    with pytest.raises(ValueError, match=word):
        Signals().blend("s", {"imbalance": given})
    with pytest.raises(ValueError, match="more than 64 features"):
        Signals([Features(asked=())]).blend("s", {f"ofi:{n + 1}ns": 1.0 for n in range(65)})


class World:
    """Rules over two features and combinations of them, with their truth in plain Python beside."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.features = Features(asked=())
        self.signals = Signals([self.features])
        self.simple = [("imbalance", rng.uniform(0.2, 0.8)) for _ in range(4)]
        self.simple += [("touch.spread", rng.choice((1.5, 2.5))) for _ in range(2)]
        for n, (feature, above) in enumerate(self.simple):
            self.signals.when(feature, above=above, name=f"r{n}", quiet=n < 4)
        self.combined: list[tuple[tuple[list[int], list[int], list[int]], int, bool]] = []
        for n in range(8):
            known = len(self.simple) + n
            groups = tuple(rng.sample(range(known), rng.choice((0, 1, 2))) for _ in range(3))
            groups = groups if any(groups) else ([0], [], [])
            cooldown, quiet = rng.choice((0, 0, 7)), rng.random() < 0.2
            number = self.signals.combine(*groups, cooldown_ns=cooldown, quiet=quiet)
            assert number == known
            self.combined.append((groups, cooldown, quiet))
        count = len(self.simple) + len(self.combined)
        self.state: list[bool] = [False] * count
        self.last: list[int | None] = [None] * count
        self.cooled = 0

    def step(self, now: int) -> tuple[list[int], list[int]]:
        """What fires, and what should."""
        rng = self.rng
        valid = rng.random() > 0.1
        self.features.book(100, rng.randint(1, 9), 101 + rng.randint(0, 2), rng.randint(1, 9), now, valid=valid)
        want, known = [], []
        for n, (feature, above) in enumerate(self.simple):
            x = self.features.value(feature)
            known.append(not math.isnan(x))
            if known[-1]:
                enters, self.state[n] = x > above and not self.state[n], x > above
                self.fire(n, enters, 0, n < 4, now, want)
        for n, (groups, cooldown, quiet) in enumerate(self.combined, len(self.simple)):
            every, some, none = groups
            known.append(all(known[k] for k in (*every, *some, *none)))
            if known[-1]:
                true = (all(self.state[k] for k in every) and not any(self.state[k] for k in none)
                        and (not some or any(self.state[k] for k in some)))
                enters, self.state[n] = true and not self.state[n], true
                self.fire(n, enters, cooldown, quiet, now, want)
        got = self.signals.check(self.features, now)
        for n in range(len(known)):
            assert self.signals.holding(n) == (self.state[n] if known[n] else None)
        return got, want

    def fire(self, n: int, enters: bool, cooldown: int, quiet: bool, now: int, want: list[int]) -> None:
        last = self.last[n]
        if not enters or quiet:
            return
        if last is not None and now - last < cooldown:
            self.cooled += 1
            return
        self.last[n] = now
        want.append(n)


@pytest.mark.parametrize("seed", range(8))
def test_combinations(seed: int) -> None:
    """Lost otherwise: a strategy that enters on half of its conditions, or on one that is not known."""
    world, total = World(seed), 0
    for now in range(1, 1500):
        got, want = world.step(now)
        assert got == want
        total += len(got)
    assert total > 100
    assert world.signals.cooled == world.cooled


@pytest.mark.parametrize(("words", "match"), [
    ({}, "needs rules"), ({"all": [3]}, "no rule 3"), ({"any": ["x"]}, "no rule 'x'"), ({"none": [-1]}, "no rule -1"),
    ({"all": ["a"], "cooldown_ns": -1}, "cooldown"), ({"all": ["a"], "name": "a"}, "already"),
])  # fmt: skip
def test_combinations_that_make_no_sense_are_refused(words: dict[str, Any], match: str) -> None:
    """Lost otherwise: a combination that refers to itself, or to what comes after it."""
    signals = Signals()
    signals.when("imbalance", above=0.5, name="a")
    with pytest.raises(ValueError, match=match):
        signals.combine(**words)
    assert signals.rule_count == 1
    assert signals.name(0) == "a"


def test_a_strategy_is_told_by_name() -> None:
    """Lost otherwise: strategies that cannot tell why they were called; and idle firings that nobody counts."""
    calls: list[Any] = []

    def on_start(view: Any) -> None:
        view.when("imbalance", above=0.6, name="bids", quiet=True)
        view.when("touch.spread", below=1.5, name="tight", quiet=True)
        view.combine(all=["bids", "tight"], name="entry")

    def on_signal(view: Any) -> None:
        calls.append((view.now - START, view.signal_name, view.holding("bids"), view.feature("ofi", window="2ns")))

    run = Run(np.concatenate([
        snapshot(START, [(100, 5)], [(102, 5)]),
        message("BOOK_LEVEL", START + 1, [(BUY, 100, 50)]),
        message("BOOK_LEVEL", START + 2, [(BUY, 101, 50)]),
        message("BOOK_LEVEL", START + 3, [(BUY, 101, 60)]),
    ]), [Hooks(on_start=on_start, on_signal=on_signal)])
    run.run()
    assert [c[:3] for c in calls] == [(2, "entry", True)]
    assert (run.engine.signals_fired, run.engine.signals_idle) == (1, 1)
