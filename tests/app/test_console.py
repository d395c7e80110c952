"""Tables on the screen: every number in one piece, whatever the width."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from apex.app.console import table
from apex.app.facts_command import _show
from apex.research.facts import BANDS

NAMES = st.sampled_from(["run", "net P&L", "half_spread_ticks", "bid quantity", "two-venues generated-a:SIM1USDT"])
NUMBERS = st.integers(-10**15, 10**15) | st.floats(-1e9, 1e9).map(lambda x: f"{x:.4f}") | st.none()
TEXTS = st.sampled_from(["", "a", "BOOK_LEVEL", "snapshot venue local", "reached 12345.678901 by 1,234,567"])


def lines(shown: object, width: int) -> list[str]:
    """What is printed on a screen of so many columns."""
    out = io.StringIO()
    Console(file=out, width=width, color_system=None).print(shown)
    return [line.rstrip() for line in out.getvalue().splitlines()]


def words(text: list[str]) -> list[str]:
    return [word for line in text for word in line.split()]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=14), st.integers(1, 4), st.integers(50, 160),
       st.data())
def test_no_number_goes_over_two_lines(columns: list[tuple[str, bool]], count: int, width: int,
                                       data: st.DataObject) -> None:
    """Lost otherwise: -1,42 on one line and 0.91 below, read as two numbers."""
    rows = [tuple(data.draw(NUMBERS if number else TEXTS) for _, number in columns) for _ in range(count)]
    printed = lines(table("The title of it", [name for name, _ in columns], rows), width)
    assert printed[0] == "The title of it"
    assert max(map(len, printed)) <= width
    found = words(printed)
    for row in rows:
        for cell in row:
            text = f"{cell:,}" if isinstance(cell, int) else str(cell or "")
            for word in (part for part in text.split() if part[-1].isdigit()):
                assert word in found, "\n".join(printed)


def test_columns_that_do_not_fit_stand_below_with_their_key() -> None:
    """Lost otherwise: rows of a second table that nobody can assign to those of the first."""
    names = ("half_spread_ticks", "run", *(f"number{i}" for i in range(6)))
    rows = [(run % 3, run, *(1_000_000_000 * run + i for i in range(6))) for run in (7, 5)]
    wide, narrow = (lines(table("", names, rows, keys=(1,)), width) for width in (120, 60))
    assert [line.split() for line in wide if "7,000,000,000" in line] == [
        ["1", "7", *(f"7,000,000,00{i}" for i in range(6))]]
    assert [line.split() for line in narrow if "7,000,000,00" in line] == [
        ["1", "7", "7,000,000,000", "7,000,000,001"], ["7", "7,000,000,002", "7,000,000,003", "7,000,000,004"],
        ["7", "7,000,000,005"]]
    assert [line.split()[0] for line in narrow if "number5" in line] == ["run"]


def test_a_table_as_wide_as_the_screen_is_one() -> None:
    """Lost otherwise: a last column in a table of its own, below, that had its place beside the others."""
    columns, rows = ("a", "b", "c"), [(12_345_678, 12_345_678, 12_345_678)]
    assert len(lines(table("", columns, rows), 36)) == 5
    assert len(lines(table("", columns, rows), 35)) == 10


def test_a_title_is_not_wrapped_to_its_table() -> None:
    """Lost otherwise: "The gap by cause," above and "B - A" below, over two narrow columns."""
    assert lines(table("The gap by cause, B - A", ("a", "b"), [(1, 2)]), 80)[0] == "The gap by cause, B - A"


@pytest.mark.parametrize("width", [80, 120])
def test_facts_of_many_tapes_keep_their_marks(width: int) -> None:
    """Lost otherwise: the mark of a fact outside its band on a line of its own."""
    value = [{"name": f"market-of-the-{i}-day", "seconds": 1e6, "facts": dict.fromkeys(BANDS, -0.001234),
              "outside": list(BANDS), "unknown": []} for i in range(7)]
    out = io.StringIO()
    _show(Console(file=out, width=width, color_system=None), value, None)
    assert out.getvalue().count("−0.00123 *") == 7 * len(BANDS)
