"""Edges that planted faults (tools/mutants) went through unseen: each test here tells one of them."""

from __future__ import annotations

import numpy as np
import pytest

from apex._core import events
from apex._core.book import Book
from apex._core.ledger import Ledger
from apex._core.risk import CountingGateway, RiskGate
from tests.core.assembly import START
from tests.core.test_risk import BUY_5, GOOD, NOW, TERMS, WIDE, answer
from tests.core.test_strict import at, buys, played
from tests.oracles.book import BUY, SELL
from tests.oracles.risk import ALLOWED, AMEND


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


@pytest.mark.parametrize("kind", ["LINK_GAP", "LINK_DOWN"])
def test_a_lost_link_puts_a_book_out_of_sync(kind: str) -> None:
    """Lost otherwise: a book that misses deltas and is still taken for the venue's."""
    row = np.zeros(1, events.EVENT_DTYPE)
    row["kind"], row["flags"] = events.KINDS[kind], events.FLAGS["AT_LOCAL"] | events.FLAGS["LAST_IN_BATCH"]
    book = Book()
    book.apply(*events.pack(row))
    assert not book.synced


@pytest.mark.parametrize(("side", "mid2", "end"), [
    (BUY, 1 << 62, 1), (BUY, -(1 << 62), -1), (SELL, 1 << 62, -1), (SELL, -(1 << 62), 1),
])
def test_a_worth_beyond_64_bits_stops_at_its_own_end(side: int, mid2: int, end: int) -> None:
    """Lost otherwise: the largest loss shown as the largest gain, where a mid is negative."""
    ledger = Ledger([{"value_num": 1 << 40, "value_den": 1 << 20}])       # 2^80 quanta held: times the mid, 142 bits
    ledger.post(0, side, 1, 1 << 40)
    found = ledger.pnl(0, mid2)
    assert found["gross"] * end > 1 << 62
    assert found["unrealised"] * end > 1 << 62


def test_a_fill_worth_more_than_64_bits_is_refused_even_when_its_profit_is_small() -> None:
    """Lost otherwise: an account that is right by chance after a fill that the next split of would wrap."""
    ledger = Ledger([{"value_num": 1, "value_den": 1, "taker_fee": 10**11}])
    ledger.post(0, BUY, (1 << 32) - 1, 1 << 31, True)
    before = ledger.account(0)
    with pytest.raises(OverflowError):
        ledger.post(0, SELL, 1 << 32, 1 << 31)           # 2^63 before its fee, which alone brings the cash below
    assert ledger.account(0) == before


def test_the_same_order_may_go_again_at_the_windows_end() -> None:
    """Lost otherwise: a duplicate window that is a nanosecond longer than it says, and refuses a timer's next order."""
    gate = RiskGate([WIDE | {"messages_per_second_max": 9, "duplicate_window_ns": 100}], TERMS[:1],
                    gateway=CountingGateway())
    found = [answer(BUY_5, GOOD | {"now_ns": NOW + ns, "book_ts_ns": NOW + ns}, WIDE, gate) for ns in (0, 99, 100, 199)]
    assert found == [ALLOWED, "duplicate", ALLOWED, "duplicate"]


def test_an_order_filled_to_the_last_lot_stays_in_compat() -> None:
    """Lost otherwise: fills that differ from hftbacktest's, which keeps an order that one trade fills exactly."""
    run, fills = played([buys((101, 3))], at(10, "TRADE", (SELL, 101, 3)), at(11, "TRADE", (SELL, 101, 5)), compat=True)
    assert fills == [(10, 0, 101, 3, 1)]
    assert run.venues[0].rejected_by_defect == 1


def test_replies_keep_their_order() -> None:
    """Lost otherwise: an acknowledgement that overtakes an earlier one, as no connection lets it."""
    rows = [(START + t, START + t + 1, START + t + 1 + slow) for t, slow in ((0, 100), (10, 1), (1000, 1))]
    run, _ = played([buys((99, 1)), (START + 10, lambda v: v.limit("buy", 98, 1))], venue={"rows": rows})
    first, second = (int(t) - START for t in run.orders["ts_ack_ns"])
    assert 80 < first <= second


def test_an_amendment_that_adds_nothing_passes_a_position_beyond_its_limit() -> None:
    """Lost otherwise: a quote that cannot be moved away, because a limit was lowered below what is open."""
    known = GOOD | {"position_lots": 90, "amended_lots": 5}
    for lots, said in ((4, ALLOWED), (5, ALLOWED), (6, "position")):
        assert answer(BUY_5 | {"kind": AMEND, "quantity_lots": lots}, known, WIDE | {"position_max": 10}) == said
