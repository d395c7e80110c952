"""Why nothing happened: a remedy for every code, and plain sentences for every way of not trading."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

from apex._core.risk import REASONS
from apex._core.simvenue import VENUE_REASONS
from apex.app.replay import ReplayResult
from apex.research.diagnosis import REMEDIES, diagnosis, remedy
from tests.research.strategies import Far, Patient, Silent, Uncalled

OF_THE_RUN = ("resting_at_end", "in_flight", "no_order_made", "cooldown")


def test_every_reason_has_a_remedy_that_fits_its_line() -> None:
    """Lost otherwise: a new reason code that tells nobody what to do, or breaks the screen's lines."""
    codes = {*REASONS.values(), *VENUE_REASONS.values(), *OF_THE_RUN} - {"", "allowed"}
    assert not [code for code in codes if not remedy(code)]
    assert set(REMEDIES) == {code.replace("_", "-") for code in codes}
    assert all(len(advice.replace("`", "")) <= 50 for advice in REMEDIES.values())


def test_a_busy_run_needs_no_explanation(result: ReplayResult) -> None:
    """Lost otherwise: alarm over a run that trades."""
    assert result.document["diagnosis"] == []


CASES = {
    Silent: ("the strategy was called", "asked for none", "apex tape bbo"),
    Uncalled: ("never called", 'view.every("100ms")'),
    Far: ("0 trades", "no order sent", "Price collar", "(100%)", "`price_collar`"),
    Patient: ("0 trades", "none filled", "Resting at end", "still resting when the tape ended"),
    None: ("No strategy was given", "--strategy"),
}


@pytest.mark.parametrize("strategy", CASES, ids=str)
def test_a_run_without_trades_says_why(idle: Callable[[Any], ReplayResult], strategy: Any) -> None:
    """Lost otherwise: an empty report, and a person who does not know where to begin."""
    said = "\n".join(idle(strategy).document["diagnosis"])
    assert all(part in said for part in CASES[strategy]), said


def test_a_book_that_never_was_says_so(idle: Callable[[Any], ReplayResult]) -> None:
    """Lost otherwise: a tape without a snapshot looks like a strategy that does nothing."""
    result = idle(Silent)
    said = "\n".join(diagnosis(result.summary, result.orders, result.equity.assign(**{"mid:AAAUSDT": float("nan")})))
    assert "no book had both sides" in said
    assert "apex tape verify" in said


def test_most_signals_blocked_is_remarked_upon() -> None:
    """Lost otherwise: a run that trades a little while the gate denies nearly all of it."""
    said = diagnosis({"orders": 10, "fills": 3, "signals": 100, "blocked": 90, "blocked_by": {"price-collar": 80,
                      "cooldown": 10}, "strategy": "X"})  # fmt: skip
    assert said == ["90% of 100 signals made no order.",
                    "Price collar: 80 (89%); quote nearer to the mid, or raise `price_collar`.",
                    "Cooldown: 10 (11%); the signal came again within its cool-down."]


@pytest.mark.parametrize("name", ["research.text", "research.diagnosis"])
def test_examples(name: str) -> None:
    """Lost otherwise: examples in docstrings that no longer hold."""
    failed, tried = doctest.testmod(import_module(f"apex.{name}"))
    assert tried
    assert not failed
