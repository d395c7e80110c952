"""The compiled book against plain-Python books."""

import os
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apex._core import events
from apex._core.book import Book
from tests.oracles.book import BUY, SELL, CompatBook, DictBook


def price(rng: random.Random, centre: int, spread: int) -> int:
    """Mostly near the touch, at times at the window's edge, outside it, or worlds away."""
    kind = rng.random()
    if kind < 0.7:
        return centre + rng.randint(-spread, spread)
    if kind < 0.85:
        return centre + rng.choice((-1, 1)) * (32768 + rng.randint(-130, 130))
    if kind < 0.97:
        return centre + rng.randint(-200_000, 200_000)
    return rng.choice((-1, 1)) * rng.randint(0, 1 << 40)


def equal(book: Book, oracle: DictBook, deep: bool) -> None:
    assert (book.bid_ticks, book.ask_ticks) == (oracle.best(BUY), oracle.best(SELL))
    for side in (BUY, SELL):
        assert book.level_count(side) == len(oracle.sides[side])
    if deep:
        for side in (BUY, SELL):
            assert all(book.quantity(side, t) == q for t, q in oracle.sides[side].items())
            if not book.compat:
                assert book.levels(side) == oracle.levels(side)


def run(seed: int, count: int, *, compat: bool, check_every: int, spread: int) -> Book:
    """Random updates, clears and messages on both books; returns ours."""
    rng = random.Random(seed)
    book, oracle = Book(compat=compat), CompatBook() if compat else DictBook()
    centre = rng.randint(-1_000_000, 10_000_000)
    for i in range(count):
        kind = rng.random()
        side = rng.choice((BUY, SELL))
        if kind < 0.0005:
            book.clear(0 if kind < 0.0001 else side)
            oracle.clear(0 if kind < 0.0001 else side)
        elif kind < 0.002:
            ticks = price(rng, centre, spread)
            book.clear_to(side, ticks)
            oracle.clear_to(side, ticks)
        else:
            best = oracle.best(side)
            if best is not None and kind < 0.25:
                ticks, lots = best, 0
            elif oracle.sides[side] and kind < 0.35:
                ticks, lots = next(iter(oracle.sides[side])), 0
            else:
                ticks, lots = price(rng, centre, spread), rng.choice((0, 1, rng.randint(1, 10**12)))
            book.set(side, ticks, lots)
            oracle.set(side, ticks, lots)
        if rng.random() < 0.2:
            book.end_message()
        if rng.random() < 0.0005:
            centre += rng.randint(-150_000, 150_000)
        equal(book, oracle, deep=i % 997 == 0)
        if i % check_every == 0:
            book._check()
    book._check()
    equal(book, oracle, deep=True)
    return book


@pytest.mark.parametrize("compat", [False, True])
def test_random_updates_equal_a_dict(compat: bool) -> None:
    """A level lost or a wrong best would fill orders at prices that were never there.

    1e5 operations over both modes, the invariants walked after each.
    """
    moved = 0
    for seed, spread in enumerate((5, 60, 3000, 40_000)):
        moved += run(seed, 12_500, compat=compat, check_every=1, spread=spread).recentres
    assert moved > 50, "the windows must have moved, or the test looks away"


@pytest.mark.long
@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("spread", [5, 60, 900, 3000, 40_000])
def test_random_updates_equal_a_dict_long(spread: int, compat: bool) -> None:
    """As above, 1e6 operations for each mode, the invariants walked after every 1,000th."""
    run(int(os.environ.get("APEX_SEED", "1")), 200_000, compat=compat, check_every=1000, spread=spread)


operations = st.lists(
    st.tuples(
        st.sampled_from((BUY, SELL)),
        st.one_of(st.integers(-3, 3), st.integers(32700, 32840), st.integers(-(1 << 59), 1 << 59)),
        st.integers(0, 3),
    ),
    max_size=60,
)


@given(operations, st.booleans())
def test_any_updates_equal_a_dict(ops: list[tuple[int, int, int]], compat: bool) -> None:
    """The same, on sequences that hypothesis shrinks to the shortest that fails."""
    book, oracle = Book(compat=compat), CompatBook() if compat else DictBook()
    for side, ticks, lots in ops:
        book.set(side, ticks, lots)
        oracle.set(side, ticks, lots)
        equal(book, oracle, deep=True)
        book.end_message()
    book._check()


@given(operations, st.integers(0, 12), st.one_of(st.none(), st.integers(-3, 3)), st.integers(0, 70_000))
def test_walk_and_volume(ops: list[tuple[int, int, int]], lots: int, limit: int | None, within: int) -> None:
    """Market orders and features read depth by these two."""
    book, oracle = Book(), DictBook()
    for side, ticks, quantity in ops:
        book.set(side, ticks, quantity)
        oracle.set(side, ticks, quantity)
    for side in (BUY, SELL):
        assert book.walk(side, lots, limit) == oracle.walk(side, lots, limit)
        assert book.volume_within(side, within) == oracle.volume_within(side, within)


def test_volume_within_any_distance() -> None:
    """A distance of "everything" must not wrap and find nothing: the book would look empty."""
    book = Book()
    for offset in range(5):
        book.set(BUY, 100 - 1000 * offset, 3)
        book.set(SELL, (1 << 60) - 1 - 1000 * offset, 7)
    for side, whole, best in ((BUY, 15, 3), (SELL, 35, 7)):
        assert book.volume_within(side, (1 << 63) - 1) == book.volume_within(side, 1 << 61) == whole
        assert book.volume_within(side, 3999) == whole - best
        assert book.volume_within(side, 0) == best
    assert Book().volume_within(SELL, (1 << 63) - 1) == Book().volume_within(BUY, (1 << 63) - 1) == 0


@pytest.mark.parametrize("side", [BUY, SELL])
def test_many_far_levels_are_all_kept(side: int) -> None:
    """A deep snapshot holds thousands of levels beyond the window: one lost while the hash grows is a wrong book later.

    The hash is full to the half at 512 and 1,024 levels; the invariants are walked at each size around that.
    """
    book, away = Book(), -1 if side == BUY else 1
    book.set(side, 0, 1)
    for count in range(1, 1100):
        book.set(side, away * (100_000 + 7 * count), count)
        if count in (1, 511, 512, 513, 514, 1023, 1024, 1025, 1099):
            book._check()
            assert book.level_count(side) == count + 1
    assert all(book.quantity(side, away * (100_000 + 7 * count)) == count for count in range(1, 1100))
    for count in range(1, 1100, 2):
        book.set(side, away * (100_000 + 7 * count), 0)
    book._check()
    assert [lots for _, lots in book.levels(side)] == [1, *range(2, 1100, 2)]


def test_crossed_and_locked() -> None:
    """Crossed books are a venue's or an importer's defect and must be seen."""
    book = Book()
    assert (book.locked, book.crossed) == (False, False)
    book.set(BUY, 10, 1)
    assert not book.crossed
    book.set(SELL, 10, 1)
    assert (book.locked, book.crossed) == (True, False)
    book.set(SELL, 9, 1)
    assert book.crossed


@pytest.mark.parametrize(
    ("call", "words"),
    [(lambda b: b.set(3, 1, 1), "side 3"), (lambda b: b.set(1, 1 << 61, 1), "2\\^60"),
     (lambda b: b.set(1, 1, -1), "-1 lots"), (lambda b: b.walk(1, -1), "-1 lots"),
     (lambda b: b.volume_within(2, -1), "-1 ticks"), (lambda b: b.clear(5), "side 5")],
)
def test_bad_input(call, words: str) -> None:  # type: ignore[no-untyped-def]
    """A wrong argument is told, not stored."""
    with pytest.raises(ValueError, match=words):
        call(Book())


def rows(*given: tuple[int, int, int, int, int]) -> np.ndarray:  # type: ignore[type-arg]
    """Events of (local time, kind, side, ticks, lots)."""
    made = np.zeros(len(given), events.EVENT_DTYPE)
    for row, (ts, kind, side, ticks, lots) in zip(made, given, strict=True):
        row["ts_local_ns"] = row["ts_exchange_ns"] = row["sequence"] = ts
        row["kind"], row["side"], row["price_ticks"], row["quantity_lots"] = kind, side, ticks, lots
        row["flags"] = events.FLAGS["AT_LOCAL"] | events.FLAGS["AT_VENUE"] | events.FLAGS["LAST_IN_BATCH"]
    return made


def test_apply_waits_for_a_snapshot() -> None:
    """Deltas before the snapshot or after a gap belong to no known book."""
    kinds = events.KINDS
    made = events.pack(
        rows(
            (1, kinds["BOOK_LEVEL"], BUY, 5, 1),
            (2, kinds["SNAPSHOT_BEGIN"], 0, 0, 0),
            (3, kinds["BOOK_LEVEL"], BUY, 6, 2),
            (4, kinds["TRADE"], BUY, 9, 2),
            (5, kinds["LINK_GAP"], 0, 0, 0),
            (6, kinds["BOOK_LEVEL"], BUY, 7, 3),
        )
    )
    book = Book(synced=False)
    assert book.apply(*made, until=3) == 3
    assert (book.synced, book.levels(BUY)) == (True, [(6, 2)])
    assert book.apply(*made, start=3) == 6
    assert (book.synced, book.levels(BUY)) == (False, [(6, 2)])
    with pytest.raises(TypeError, match="BATCH_DTYPE"):
        book.apply(made[1], made[1], made[2])
