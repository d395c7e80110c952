"""The compiled order-by-order book against lists."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, pack
from apex._core.l3 import L3Book
from tests.oracles.book import BUY, SELL
from tests.oracles.l3 import ListBook

Row = tuple[str, int, int, int, int]
ROW_KINDS = {"add": "ORDER_ADD", "modify": "ORDER_MODIFY", "delete": "ORDER_DELETE", "execute": "ORDER_EXECUTE",
             "fill": "ORDER_EXECUTE"}
BOTH = FLAGS["AT_VENUE"] | FLAGS["AT_LOCAL"]
LAST = FLAGS["LAST_IN_BATCH"]


def rows_of(given: list[Row], instrument: int = 0) -> Any:
    """Events of rows, each a message of its own."""
    made = np.zeros(len(given), EVENT_DTYPE)
    for n, (row, (kind, id, side, ticks, lots)) in enumerate(zip(made, given, strict=True)):
        row["kind"], row["order_id"], row["side"], row["price_ticks"], row["quantity_lots"] = (
            KINDS[ROW_KINDS[kind]], id, side, ticks, lots)
        row["flags"] = BOTH | LAST | (FLAGS["KEEPS_BOOK"] if kind == "fill" else 0)
        row["ts_local_ns"] = row["ts_exchange_ns"] = row["sequence"] = n + 1
        row["instrument"] = instrument
    return made


def apply(book: L3Book, rows: list[Row]) -> None:
    book.apply(*pack(rows_of(rows)))


def equal(book: L3Book, oracle: ListBook, *places: tuple[int, int], deep: bool = False) -> None:
    """Bests, counts and the named queues; `deep`: every queue and total."""
    totals = oracle.totals
    assert (book.book.bid_ticks, book.book.ask_ticks) == (totals.best(BUY), totals.best(SELL))
    assert (book.unknown, book.repeated, book.excess) == (oracle.unknown, oracle.repeated, oracle.excess)
    for place in places:
        assert book.queue(*place) == oracle.queue(*place)
        assert book.book.quantity(*place) == sum(lots for _, lots in oracle.queue(*place))
    if deep:
        orders = oracle.orders()
        assert len(book) == len(orders)
        assert all(book.order(id) == order for id, order in orders.items())
        assert all(book.queue(*place) == oracle.queue(*place) for place in oracle.queues)
        if not oracle.compat:
            for side in (BUY, SELL):
                assert book.book.levels(side) == totals.levels(side)


class Crowd:
    """Random rows around a walking mid: few prices, so that queues are long; ids of all sizes."""

    def __init__(self, seed: int, size: int) -> None:
        self.rng, self.size = random.Random(seed), size
        self.mid, self.next, self.known = self.rng.randint(-1_000_000, 10_000_000), 1, list[int]()

    def price(self) -> int:
        kind = self.rng.random()
        if kind < 0.95:
            return self.mid + self.rng.randint(-6, 6)
        return self.mid + self.rng.choice((-1, 1)) * self.rng.choice((32768, 70_000, 1 << 40))

    def lots(self) -> int:
        return self.rng.choice((1, 2, 5, self.rng.randint(1, 10**12)))

    def row(self) -> Row:
        rng, kind = self.rng, self.rng.random()
        side = rng.choice((BUY, SELL))
        if rng.random() < 0.0005:
            self.mid += rng.randint(-150_000, 150_000)
        grow = 0.48 if len(self.known) < self.size else 0.3
        if kind < grow or not self.known:
            id = self.next if rng.random() < 0.99 else rng.choice([*self.known[-50:], 1 << 63 | self.next])
            self.next += rng.choice((1, 1, 7, 1 << 20))
            self.known.append(id)
            return "add", id, side, self.price(), self.lots()
        at = rng.randrange(len(self.known)) if rng.random() < 0.5 else max(0, len(self.known) - rng.randint(1, 9))
        id = self.known[at]
        if rng.random() < 0.01:
            id = rng.choice((0, 3, 1 << 40 | 1))
        if kind < grow + 0.1:
            return "modify", id, rng.choice((0, 0, side)), self.price(), rng.choice((0, self.lots(), self.lots()))
        if kind < grow + 0.18:
            return "fill", id, side, self.price(), self.lots()
        if kind < grow + 0.32:
            return "execute", id, side, self.price(), self.lots()
        if rng.random() < 0.7:
            self.known[at] = self.known[-1]
            self.known.pop()
            return "delete", id, 0, 0, 0
        return "delete", id, side, self.price(), self.lots()


def run(seed: int, count: int, *, size: int, compat: bool, check_every: int) -> L3Book:
    """Random rows on both books, the invariants walked after each `check_every`."""
    crowd, book, oracle = Crowd(seed, size), L3Book(compat=compat), ListBook(compat)
    for i in range(count):
        if crowd.rng.random() < 0.0006:
            side = crowd.rng.choice((0, BUY, SELL))
            to = None if side == 0 or crowd.rng.random() < 0.5 else crowd.price()
            book.clear(side, to)
            oracle.clear(side, to)
            places = []
        else:
            row = crowd.row()
            before = oracle.find(row[1])
            apply(book, [row])
            oracle.row(*row)
            places = [(row[2] or BUY, row[3]), *([before[0]] if before else [])]
            if oracle.find(row[1]) is not None:
                assert book.ahead(row[1]) == oracle.ahead(row[1])
        equal(book, oracle, *places, deep=i % 499 == 0)
        if i % check_every == 0:
            book._check()
    book._check()
    equal(book, oracle, deep=True)
    return book


@pytest.mark.parametrize("compat", [False, True])
def test_random_rows_equal_lists(compat: bool) -> None:
    """A wrong place in a queue would fill orders that still had others ahead.

    1e5 rows over both rules, the invariants walked after each.
    """
    moved = 0
    for seed, size in enumerate((3, 25, 120, 120)):
        moved += run(seed, 12_500, size=size, compat=compat, check_every=1).book.recentres
    assert moved > 20, "the windows must have moved, or the test looks away"


@pytest.mark.long
@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("size", [3, 25, 120, 300, 1000])
def test_random_rows_equal_lists_long(size: int, compat: bool) -> None:
    """As above, 1e6 rows over both rules, the invariants walked after every 1,000th."""
    run(int(os.environ.get("APEX_SEED", "1")), 100_000, size=size, compat=compat, check_every=1000)


ids = st.integers(0, 6)
some_rows = st.lists(st.tuples(
    st.sampled_from(("add", "add", "modify", "delete", "execute", "fill")), ids, st.sampled_from((0, BUY, SELL)),
    st.one_of(st.integers(-2, 2), st.sampled_from((40_000, -(1 << 59), 1 << 59))), st.integers(0, 4)), max_size=40)


@settings(max_examples=300, deadline=None)
@given(some_rows, st.booleans())
def test_any_rows_equal_lists(rows: list[Row], compat: bool) -> None:
    """The same on sequences that hypothesis shrinks to the shortest that fails."""
    book, oracle = L3Book(compat=compat), ListBook(compat)
    for row in rows:
        apply(book, [row])
        oracle.row(*row)
        equal(book, oracle, deep=True)
    book._check()


@settings(max_examples=150, deadline=None)
@given(some_rows, st.data())
def test_a_split_does_not_matter(rows: list[Row], data: st.DataObject) -> None:
    """Lost otherwise: books that depend on how a recording was cut into pieces or messages."""
    whole, cut = L3Book(), L3Book()
    at = data.draw(st.integers(0, len(rows)))
    apply(whole, rows)
    apply(cut, rows[:at])
    apply(cut, rows[at:])
    one = rows_of(rows)
    one["flags"][:-1] &= 0xFFFF ^ LAST                       # one message: the totals' window moves once, at its end
    one["ts_local_ns"] = one["ts_exchange_ns"] = one["sequence"] = 1
    message = L3Book()
    message.apply(*pack(one))
    for other in (cut, message):
        other._check()
        for side in (BUY, SELL):
            assert other.book.levels(side) == whole.book.levels(side)
            for ticks, _ in whole.book.levels(side):
                assert other.queue(side, ticks) == whole.queue(side, ticks)


@pytest.mark.parametrize("step", [1, 16, 1 << 20, 2_654_435_761])
def test_growth_keeps_every_order(step: int) -> None:
    """Lost otherwise: orders or levels that vanish when pool and hashes grow, or a hash that some ids make slow."""
    book, count = L3Book(), 70_000
    for n in range(1, count + 1):
        book.add(n * step % (1 << 64), 1 + n % 2, n if n % 2 else -n, n)
    book._check()
    assert len(book) == count
    assert all(book.order(n * step % (1 << 64))[2] == n for n in range(1, count + 1))  # type: ignore[index]
    book.clear()
    book._check()
    assert (len(book), book.order(step)) == (0, None)
    book.add(step, BUY, 5, 1)
    assert book.queue(BUY, 5) == [(step, 1)]


def test_places_in_the_queue() -> None:
    """Priority by the rules of the book: only a larger quantity, another price or side goes to the back."""
    book = L3Book()
    for id in (1, 2, 3):
        book.add(id, BUY, 100, 5)
    book.modify(1, 100, 4)
    assert [id for id, _ in book.queue(BUY, 100)] == [1, 2, 3]
    book.modify(1, 100, 5)
    assert [id for id, _ in book.queue(BUY, 100)] == [2, 3, 1]
    book.modify(2, 101, 5)
    book.modify(2, 100, 5)
    assert book.queue(BUY, 100) == [(3, 5), (1, 5), (2, 5)]
    book.execute(1, 2)
    book.delete(1, 1)
    assert (book.queue(BUY, 100), book.ahead(2), book.book.levels(BUY)) == ([(3, 5), (1, 2), (2, 5)], 7, [(100, 12)])


def test_an_iceberg_loses_its_place() -> None:
    """An order that shows again what a fill has taken stands at the back; one that shows the rest keeps its place."""
    book = L3Book()
    apply(book, [("add", 1, BUY, 100, 4), ("add", 2, BUY, 100, 3)])
    apply(book, [("fill", 1, BUY, 100, 3), ("modify", 1, BUY, 100, 1)])
    assert book.queue(BUY, 100) == [(1, 1), (2, 3)]
    apply(book, [("fill", 1, BUY, 100, 1), ("modify", 1, BUY, 100, 1)])
    assert book.queue(BUY, 100) == [(2, 3), (1, 1)]


def test_apply_waits_for_a_snapshot_and_its_own_instrument() -> None:
    """Rows before the snapshot or after a gap belong to no known book, and those of others to theirs."""
    rows = rows_of([("add", 1, BUY, 5, 1), ("add", 2, BUY, 6, 1), ("add", 3, BUY, 7, 1), ("add", 4, BUY, 8, 1),
                    ("add", 5, BUY, 9, 1), ("add", 6, BUY, 10, 1)])
    rows["kind"][1], rows["kind"][4], rows["order_id"][[1, 4]] = KINDS["SNAPSHOT_BEGIN"], KINDS["LINK_GAP"], 0
    rows["instrument"][3] = 1
    made = pack(rows)
    book = L3Book(synced=False)
    assert book.apply(*made, until=4) == 4
    assert (book.book.synced, book.book.levels(BUY), len(book)) == (True, [(7, 1)], 1)
    assert book.apply(*made, start=4) == 6
    assert (book.book.synced, book.book.levels(BUY)) == (False, [(7, 1)])
    with pytest.raises(TypeError, match="BATCH_DTYPE"):
        book.apply(made[2], made[1], made[2])
    made[0]["first"] = 3
    with pytest.raises(ValueError, match="outside"):
        book.apply(*made)


def test_a_crossed_book_is_counted() -> None:
    """Crossed books are a venue's or an importer's defect and must be seen."""
    book = L3Book()
    apply(book, [("add", 1, BUY, 5, 1), ("add", 2, SELL, 6, 1), ("add", 3, SELL, 5, 1), ("delete", 3, 0, 0, 0)])
    assert (book.book.crossed_messages, book.book.crossed) == (1, False)


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda b: b.add(1, 3, 1, 1), ValueError, "side 3"), (lambda b: b.add(0, 1, 1, 1), ValueError, "id 0"),
    (lambda b: b.add(1, 1, 1 << 61, 1), ValueError, "no order"), (lambda b: b.add(1, 1, 1, 0), ValueError, "0 lots"),
    (lambda b: b.modify(9, 1, 1), KeyError, "order 9"), (lambda b: b.modify(9, 1, -1), ValueError, "-1 lots"),
    (lambda b: b.delete(9), KeyError, "order 9"), (lambda b: b.delete(9, -1), ValueError, "-1 lots"),
    (lambda b: b.execute(9, 1), KeyError, "order 9"), (lambda b: b.execute(9, 0), ValueError, "0 lots"),
    (lambda b: b.ahead(9), KeyError, "order 9"), (lambda b: b.clear(3), ValueError, "side 3"),
    (lambda b: b.clear(0, 5), ValueError, "side 0"),
    (lambda b: [b.add(n, 1, 5, 1 << 62) for n in (1, 2)], MemoryError, "2\\^63"),
])
def test_bad_input(call: Any, error: type[Exception], words: str) -> None:
    """A wrong argument is told, not stored."""
    with pytest.raises(error, match=words):
        call(L3Book())
