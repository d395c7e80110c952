"""Rules and scores against a plain-Python oracle, by hand, and at their limits."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.features import NAMES, Features
from apex._core.signals import Signals
from tests.core.assembly import BUY, SELL, START, Hooks, Run, message, snapshot
from tests.oracles.signals import FEATURES, Rule, changes, score

NAN = float("nan")


def imbalanced(features: Features, share: float | None, now: int) -> None:
    """A touch with this imbalance in tenths, or a book without a touch."""
    if share is None:
        features.book(0, 0, 0, 0, now, valid=False)
    else:
        features.book(100, round(share * 10), 101, 10 - round(share * 10), now)


def fired(rules: dict[str, Any], shares: list[float | None], step: int = 1) -> list[int]:
    """Places at which a rule over imbalance fires."""
    signals, features = Signals(), Features()
    signals.when("imbalance", **rules)
    found = []
    for n, share in enumerate(shares):
        imbalanced(features, share, n * step + 1)
        found += [n] * len(signals.check(features, n * step + 1))
    return found


@pytest.mark.parametrize(("rules", "shares", "places"), [
    ({"above": 0.6}, [0.5, 0.6, 0.7, 0.8, 0.6, 0.7, 0.5, 0.9], [2, 5, 7]),
    ({"above": 0.6}, [0.7, 0.7], [0]),
    ({"below": 0.4}, [0.5, 0.4, 0.3, 0.2, 0.4, 0.1], [2, 5]),
    ({"above": 0.6, "below": 0.4}, [0.7, 0.3, 0.5, 0.7, 0.7, 0.2], [0, 1, 3, 5]),
    ({"above": 0.6, "hysteresis": 0.2}, [0.7, 0.5, 0.7, 0.4, 0.7, 0.3, 0.7], [0, 6]),
    ({"above": 0.6, "below": 0.4, "hysteresis": 0.9}, [0.7, 0.5, 0.3, 0.5, 0.7], [0, 2, 4]),
    ({"above": 0.6}, [0.7, None, 0.7, None, 0.5, 0.7], [0, 5]),
    ({"above": 0.6, "cooldown_ns": 3}, [0.7, 0.5, 0.7, 0.5, 0.7, 0.7], [0, 4]),
    ({"above": 0.6, "cooldown_ns": 3}, [0.7, 0.5, 0.7, 0.7, 0.7, 0.7, 0.5, 0.7], [0, 7]),
])  # fmt: skip
def test_rules_by_hand(rules: dict[str, Any], shares: list[float | None], places: list[int]) -> None:
    """Lost otherwise: a strategy that is called on every tick above its threshold, or never again."""
    assert fired(rules, shares) == places


class World:
    """Random rules and scores over two instruments, with an oracle beside."""

    def __init__(self, seed: int) -> None:
        self.rng = rng = random.Random(seed)
        self.signals, self.features = Signals(), [Features(ofi_window_ns=30, step_ns=7, steps=2) for _ in range(2)]
        self.scores: list[dict[str, dict[str, float]]] = [{}, {}]
        self.bias: dict[tuple[str, int], float] = {}
        self.rules: list[Rule] = []
        for n in range(6):
            i = rng.randrange(2)
            weights = {f: rng.uniform(-2, 2) for f in rng.sample(FEATURES, rng.randint(1, 4))}
            weights[rng.choice(FEATURES)] = 0.0
            self.bias[f"s{n}", i] = rng.uniform(-1, 1)
            self.signals.blend(f"s{n}", weights, self.bias[f"s{n}", i], instrument=i)
            self.scores[i][f"s{n}"] = {f: w for f, w in weights.items() if w}
        for _ in range(40):
            self.declare(rng.randrange(2))

    def declare(self, i: int) -> None:
        rng = self.rng
        source = rng.choice([*FEATURES, *self.scores[i]])
        low, width = {"imbalance": (0.5, 0.2), "weighted_mid": (100, 3), "ofi": (0, 8), "volatility": (0.02, 0.01),
                      "trade_sign": (0, 0.5)}.get(source, (0, 20))  # fmt: skip
        above = rng.choice((None, low + rng.uniform(0, width)))
        below = low - rng.uniform(0, width) if above is None else rng.choice((None, low - rng.uniform(0, width)))
        hysteresis, cooldown = rng.choice((0.0, rng.uniform(0, width))), rng.choice((0, 0, 25, 400))
        number = self.signals.when(source, above=above, below=below, hysteresis=hysteresis, cooldown_ns=cooldown,
                                   instrument=i)
        assert number == len(self.rules)
        self.rules.append(Rule(source, i, above, below, hysteresis, cooldown))

    def values(self, i: int) -> dict[str, float]:
        known = {name: self.features[i].value(name) for name in FEATURES}
        return known | {name: score(self.bias[name, i], w, known) for name, w in self.scores[i].items()}

    def run(self, count: int) -> int:
        """Random updates; the number of firings."""
        rng, now, mid, total = self.rng, START, 100, 0
        for _ in range(count):
            now += rng.choice((0, 1, 5, 30))
            i, kind = rng.randrange(2), rng.random()
            mid += rng.choice((-1, 0, 0, 1))
            mid = min(max(mid, 90), 110)
            if kind < 0.02:
                self.features[i].gap()
            elif kind < 0.3:
                self.features[i].trade(rng.choice((BUY, SELL, 0)), mid, 1, now)
            else:
                bid_lots, ask_lots, valid = rng.randint(1, 9), rng.randint(1, 9), rng.random() > 0.03
                self.features[i].book(mid, bid_lots, mid + 1, ask_lots, now, valid=valid)
            what = "trade" if 0.02 <= kind < 0.3 else "book"
            known = self.values(i)
            for name in self.scores[i]:
                assert repr(self.signals.value(name, self.features[i], i)) == repr(known[name])
            want = [n for n, rule in enumerate(self.rules) if rule.instrument == i
                    and changes(rule.source, self.scores[i], what) and rule.hear(known[rule.source], now)]
            assert self.signals.check(self.features[i], now, i, 2 if what == "trade" else 1) == want
            total += len(want)
        assert self.signals.cooled == sum(rule.cooled for rule in self.rules)
        return total


@pytest.mark.parametrize("seed", range(4))
def test_random_rules_equal_the_oracle(seed: int) -> None:
    """Lost otherwise: strategies called for what did not happen, and not for what did."""
    world = World(seed)
    assert world.run(3000) > 1000
    assert world.signals.cooled > 100


@pytest.mark.long
def test_many_random_rules_equal_the_oracle() -> None:
    """The same, 1e6 updates."""
    for n in range(100):
        World(int(os.environ.get("APEX_SEED", "1")) * 1000 + n).run(10_000)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(0, 10)), max_size=30), st.integers(0, 10), st.integers(0, 10),
       st.integers(0, 4), st.integers(0, 5))
def test_any_history_equals_the_oracle(tenths: list[int | None], a: int, b: int, hysteresis: int,
                                       cooldown: int) -> None:
    """The same on histories that hypothesis shrinks."""
    rule = {"above": max(a, b) / 10, "below": min(a, b) / 10, "hysteresis": hysteresis / 10, "cooldown_ns": cooldown}
    shares = [None if t is None else t / 10 for t in tenths]
    oracle = Rule("imbalance", 0, *rule.values())  # type: ignore[arg-type]
    want = [n for n, x in enumerate(shares) if oracle.hear(NAN if x is None else x, n + 1)]
    assert fired(rule, shares) == want


@pytest.mark.parametrize(("wrong", "word"), [
    (("imbalance", {}), "above, below or both"), (("imbalance", {"above": 0.4, "below": 0.6}), "below must not exceed"),
    (("imbalance", {"above": NAN}), "below must not exceed"), (("rsi", {"above": 1}), "no feature or score 'rsi'"),
    (("imbalance", {"above": 1, "hysteresis": -1.0}), "hysteresis"),
    (("imbalance", {"above": 1, "hysteresis": NAN}), "hysteresis"),
    (("imbalance", {"above": 1, "cooldown_ns": -1}), "cooldown"),
])  # fmt: skip
def test_rules_that_make_no_sense_are_refused(wrong: tuple[str, dict[str, Any]], word: str) -> None:
    """Lost otherwise: a rule that never fires, found after a week."""
    with pytest.raises(ValueError, match=word):
        Signals().when(wrong[0], **wrong[1])


@pytest.mark.parametrize(("name", "weights", "word"), [
    ("ofi", {"ofi": 1}, "already"), ("x", {}, "needs weights"), ("x", {"rsi": 1}, "no feature 'rsi'"),
    ("x", {"ofi": NAN}, "not finite"), ("x", {"ofi": float("inf")}, "not finite"),
])  # fmt: skip
def test_scores_that_make_no_sense_are_refused(name: str, weights: dict[str, float], word: str) -> None:
    """Lost otherwise: a score that is NaN for ever, or that hides a feature of its name."""
    with pytest.raises(ValueError, match=word):
        Signals().blend(name, weights)


def test_a_refused_score_leaves_nothing_behind() -> None:
    """Lost otherwise: the weights of a mistake in the next score."""
    signals, features = Signals(), Features()
    with pytest.raises(ValueError, match="no feature"):
        signals.blend("x", {"imbalance": 5.0, "rsi": 1.0})
    signals.blend("x", {"trade_sign": 2.0})
    features.trade(BUY, 1, 1, 1)
    features.book(100, 1, 101, 1, 1)
    assert signals.value("x", features) == 2.0
    with pytest.raises(ValueError, match="no score 'y'; the scores are x"):
        signals.value("y", features)
    with pytest.raises(ValueError, match="is a feature or score already"):
        signals.blend("x", {"ofi": 1.0})


def test_there_is_an_end_to_rules_and_scores() -> None:
    """Lost otherwise: a write behind the table."""
    signals = Signals()
    for n in range(16):
        signals.blend(f"s{n}", {"ofi": 1.0})
    with pytest.raises(ValueError, match="more than 16 scores"):
        signals.blend("more", {"ofi": 1.0})
    for _ in range(64):
        signals.when("s15", above=1.0)
    with pytest.raises(ValueError, match="more than 64 rules"):
        signals.when("ofi", above=1.0)
    assert (signals.rule_count, signals.score_count) == (64, 16)


def test_a_strategy_is_called_once_a_crossing() -> None:
    """Lost otherwise: the one thing that keeps Python strategies fast. The engine calls after whole messages only."""
    calls: list[tuple[int, int, float]] = []

    def on_start(view: Any) -> None:
        view.when("imbalance", above=0.6)
        view.blend("tilt", {"imbalance": -2.0}, bias=1.0)
        view.when("tilt", above=0.5)

    def on_signal(view: Any) -> None:
        calls.append((view.now - START, view.signal, view.score("tilt")))

    events = np.concatenate([
        snapshot(START, [(100, 5)], [(101, 5)]),
        message("BOOK_LEVEL", START + 1, [(BUY, 100, 50), (SELL, 101, 50)]),  # above 0.6 only in its middle
        message("BOOK_LEVEL", START + 2, [(BUY, 100, 95)]),
        message("BOOK_LEVEL", START + 3, [(BUY, 100, 99)]),
        message("BOOK_LEVEL", START + 4, [(BUY, 100, 5)]),
    ])
    run = Run(events, [Hooks(on_start=on_start, on_signal=on_signal)]).run()
    assert [c[:2] for c in calls] == [(2, 0), (4, 1)]
    assert calls[1][2] == pytest.approx(1 - 2 * 5 / 55)
    assert (run.engine.signals_fired, run.engine.signals_idle) == (2, 2)
    assert set(NAMES) == set(FEATURES)
