"""Edges that planted faults (tools/mutants) went through unseen: each test here tells one of them."""

from __future__ import annotations

import pytest

from apex._core.book import Book
from tests.oracles.book import BUY, SELL


@pytest.mark.parametrize(("side", "away"), [(BUY, -1), (SELL, 1)])
def test_far_levels_leave_the_window_where_it_is(side: int, away: int) -> None:
    """Lost otherwise: a deep snapshot moves the window for every level, and takes seconds instead of microseconds."""
    book = Book()
    book.set(side, 1_000_000, 1)
    book.end_message()
    moved = book.recentres
    for count in range(1, 200):
        book.set(side, 1_000_000 + away * (40_000 + count), 2)
    book.end_message()
    assert book.recentres == moved
    book.set(side, 1_000_000 - away * 50_000, 1)                 # a new touch takes the window along, at once
    assert book.recentres == moved + 1
    book._check()


@pytest.mark.parametrize(("side", "away"), [(BUY, -1), (SELL, 1)])
def test_one_far_level_is_found_when_the_near_ones_go(side: int, away: int) -> None:
    """Lost otherwise: a side that looks empty while the venue still shows a price."""
    book = Book()
    book.set(side, 0, 1)
    book.set(side, away * 70_000, 9)
    book.set(side, 0, 0)
    assert (book.bid_ticks if side == BUY else book.ask_ticks) == away * 70_000
    assert book.levels(side) == [(away * 70_000, 9)]
    book._check()
