"""What own fills say of candidates: which is the likeliest, and which others chance leaves in play."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from apex.research.calibration import Outcomes, best, excess, fit, in_play, log_likelihood


def told(*counts: tuple[int, int, int]) -> NDArray[np.float64]:
    """Shares told wrongly by two candidates, each pair so many times, well mixed."""
    rows = np.concatenate([np.tile((float(a), float(b)), (times, 1)) for a, b, times in counts])
    return np.random.default_rng(5).permutation(rows)


def test_fewer_wrong_is_likelier() -> None:
    """Lost otherwise: a fit that prefers a candidate because it is wrong more often than a coin."""
    wrong = np.zeros((50, 5))
    for column, count in enumerate((0, 3, 10, 25, 50)):
        wrong[:count, column] = 1.0
    found = log_likelihood(wrong)
    assert (np.diff(found[:4]) < 0).all()
    assert found[3] == found[4] == pytest.approx(-50 * np.log(2))
    e = 3 / 50
    assert found[1] == pytest.approx(3 * np.log(e) + 47 * np.log(1 - e))


def test_equals_go_to_the_careful_one() -> None:
    """Lost otherwise: of two models that nothing tells apart, the one that promises more fills."""
    wrong = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert best(wrong, np.array([9, 7, 1])) == 1
    assert best(wrong, np.array([7, 7, 1])) == 0


@pytest.mark.parametrize(("only_second", "only_first", "level", "stays"), [
    (0, 0, 0.9, True), (4, 0, 0.9, True), (7, 0, 0.9, False), (7, 0, 0.99, True), (30, 20, 0.9, True),
    (30, 10, 0.9, False), (0, 9, 0.9, True)])
def test_what_chance_leaves(only_second: int, only_first: int, level: float, stays: bool) -> None:
    """Lost otherwise: a band that is narrow because a handful of orders decided. McNemar by hand, against its bound."""
    wrong = told((0, 0, 200), (0, 1, only_second), (1, 0, only_first), (1, 1, 30))
    z = max(only_second - only_first - 1, 0) / max(only_second + only_first, 1) ** 0.5
    assert excess(wrong, 0)[1] <= z + 1e-12          # less where orders near each other go together
    assert list(in_play(wrong, 0, level)) == [True, stays]


def test_orders_of_one_moment_are_one_witness() -> None:
    """Lost otherwise: ten orders that missed one trade counted as ten independent ones."""
    apart, together = np.zeros((1000, 2)), np.zeros((1000, 2))
    apart[::100, 1] = 1.0
    together[500:510, 1] = 1.0
    assert excess(apart, 0)[1] == pytest.approx(9 / 10**0.5)
    assert excess(together, 0)[1] == pytest.approx(9 / 10)


def test_times_tell_fills_apart() -> None:
    """Lost otherwise: a model that fills every order as the venue did, each by another trade, taken for the truth."""
    lots = np.full(6, 4)
    live = Outcomes(np.array([4, 4, 4, 4, 0, 4]), np.array([1_050, 2_050, 3_052, 9_000, 0, 0]))
    mine = Outcomes(np.array([4, 4, 4, 4, 2, 4]), np.array([1_000, 2_000, 3_000, 4_000, 0, 7_000]))
    found = fit(lots, live, mine, 10)
    assert found.delay_ns == 51
    assert found.wrong.tolist() == [0, 0, 0, 1, 0.5, 0]
    blind = fit(lots, Outcomes(live.filled, np.zeros(6, np.int64)), mine, 10)
    assert (blind.delay_ns, blind.wrong.tolist()) == (None, [0, 0, 0, 0, 0.5, 0])
