"""What a replay answers to numbers beyond all sense, and to strategies that do what none should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.app.commands import call
from tests.app.test_replay_command import here, tape

__all__ = ["here", "tape"]  # fixtures


@pytest.mark.parametrize(("words", "what"), [
    (["--from", "9223372036854775807"], "no event lies between"), (["--from", "2", "--to", "1"], "no event lies"),
    (["--feed-shift", "9223372036854775807"], "longer than a year"), (["--order-latency", "200000d"], "longer than"),
    (["--order-latency", "٥ms"], "is not a duration"), (["--instrument", "A", "--instrument", "NOPE"], "NOPE"),
])
def test_numbers_beyond_all_sense_are_usage_errors(words: list[str], what: str, tape: Path, here: Path,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: a machine taken down by a typing mistake, or a defect reported that is none."""
    done = call(capsys, "replay", tape, "--strategy", "own_strategies:Maker", "--json", *words)
    assert done.code == 2
    assert what in json.loads(done.out)["error"]["what"]


def test_strategies_that_print_leave_or_send_fractions(tape: Path, here: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    """Lost otherwise: JSON that a script cannot read, success of a run that was left, and prices cut to whole ticks."""
    (here / "odd.py").write_text("""
import apex


class Prints(apex.Strategy):
    def on_start(self, view):
        print("hello")


class Leaves(apex.Strategy):
    def on_start(self, view):
        raise SystemExit(0)


class Halves(apex.Strategy):
    def on_start(self, view):
        view.every("100ms")

    def on_timer(self, view):
        view.limit("buy", view.mid_ticks - 0.5, 1)
""", encoding="utf-8")
    said = call(capsys, "replay", tape, "--strategy", "odd:Prints", "--json")
    assert said.code == 0
    assert json.loads(said.out)["orders"] == 0
    assert "hello" in said.err
    for name, what in (("Leaves", "SystemExit"), ("Halves", "'float' object")):
        done = call(capsys, "replay", tape, "--strategy", f"odd:{name}", "--json")
        assert done.code == 1
        assert what in json.loads(done.out)["error"]["what"]
