"""The one screen after a replay."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from apex.app.replay import ReplayResult
from apex.research import screen, text
from tests.research.strategies import Far, Patient, Silent


def lines_of(result: ReplayResult, width: int = 100, **options: Any) -> list[str]:
    return screen.draw(result, width, **options).plain.split("\n")


def test_one_screen_says_it_all(any_result: ReplayResult) -> None:
    """Lost otherwise: a number that the issue promises on the screen, or a screen that scrolls away."""
    lines = lines_of(any_result, page=Path("out/report.html"))
    known, shown = any_result.document, "\n".join(lines)
    assert len(lines) <= 42
    assert max(map(len, lines)) <= 100
    assert "…" not in shown
    places = text.places_of([known[k] for k in ("spread_captured", "inventory_pnl", "gross_pnl", "fees", "net_pnl")])
    for name, key in (("spread captured", "spread_captured"), ("inventory", "inventory_pnl"), ("gross", "gross_pnl"),
                      ("net", "net_pnl"), ("max drawdown", "max_drawdown_money")):
        assert any(line.startswith(name) and text.amount(known[key], places) in line for line in lines), name
    paid = text.amount(f"{-Decimal(known['fees']):f}", places)
    assert any(line.startswith("fees") and paid in line for line in lines)
    assert f"{known['events']:,} events" in shown
    for name in ("signals", "blocked", "orders", "unfilled", "fills"):
        assert any(name in line.split() and f"{known[name]:,}" in line.split() for line in lines), name
    for reasons in ("denied_by", "unfilled_by"):
        for reason, count in known[reasons].items():
            assert any(text.words(reason) in line and f" {count:,} " in line for line in lines), reason
    metrics = known["metrics"]
    for part in (text.percent(metrics["round_trips"]["win_rate"]), text.ratio(metrics["round_trips"]["profit_factor"]),
                 text.amount(metrics["turnover"]["value"], 2), text.amount(metrics["exposure"]["mean"], 2),
                 text.percent(metrics["maker_fills"]["share"]), known["result_hash"], "out/report.html",
                 "enforced", *(f"{n} {text.limit(n, v)}" for n, v in known["limits"].items())):
        assert part in shown, part


@pytest.mark.parametrize("width", [80, 90, 100, 240])
def test_it_keeps_to_the_width(any_result: ReplayResult, width: int) -> None:
    """Lost otherwise: lines that wrap on a narrow terminal and tear the columns apart."""
    lines = lines_of(any_result, width)
    assert max(len(line) for line in lines if "result hash" not in line) <= min(width, 100)
    assert all(line == line.rstrip() for line in lines)


def test_it_can_do_without_drawn_characters(result: ReplayResult) -> None:
    """Lost otherwise: a crash where the terminal's encoding is ASCII."""
    plain, drawn = lines_of(result, plain=True), lines_of(result)
    assert "\n".join(plain).isascii()
    assert [len(line) for line in plain] == [len(line) for line in drawn]


def test_it_reads_without_colour(result: ReplayResult) -> None:
    """Lost otherwise: a loss that only its red tells."""
    assert any(line.startswith("net ") and text.MINUS in line for line in lines_of(result))


@pytest.mark.parametrize(("strategy", "said"), [(Silent, "asked for none"), (Far, "price collar"),
                                                (Patient, "resting at end"), (None, "No strategy")])  # fmt: skip
def test_a_run_without_trades_says_why(idle: Callable[[Any], ReplayResult], strategy: Any, said: str) -> None:
    """Lost otherwise: a screen of zeros."""
    shown = "\n".join(lines_of(idle(strategy)))
    assert said in shown
    assert "nan" not in shown.lower().split()
