"""Markets of scenarios: one seed, one market; orders that add up to their levels; rows a venue could have sent."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import replace
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from apex._core.book import Book
from apex._core.events import FLAGS, KINDS, unpack
from apex._core.l3 import L3Book
from apex._core.market import ROWS_MIN, RULES, Market
from tests.core import markets
from tests.oracles.book import BUY, SELL, DictBook
from tests.oracles.market_orders import OrderMarketOracle

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "market" / "scenarios.json").read_text("utf-8"))
"""BLAKE2b of the first 30,000 rows of seed 1; made anew only after a change that was meant."""

DEPTH, TRADE, BEGIN = KINDS["BOOK_LEVEL"], KINDS["TRADE"], KINDS["SNAPSHOT_BEGIN"]
ADD, DELETE, EXECUTE = (KINDS[f"ORDER_{name}"] for name in ("ADD", "DELETE", "EXECUTE"))
LAST, SNAPSHOT = FLAGS["LAST_IN_BATCH"], FLAGS["SNAPSHOT"]
STEP_ROWS_MAX = 552
LEVEL, ORDER = False, True


def tuples(events: NDArray[Any]) -> list[tuple[Any, ...]]:
    """Rows as the oracle writes them."""
    columns = [events[n].tolist() for n in ("ts_exchange_ns", "ts_local_ns", "sequence", "kind", "side", "price_ticks",
                                            "quantity_lots", "instrument", "flags", "order_id")]
    return [(*row[:3], markets.KIND_NAMES[row[3]], *row[4:8], bool(row[8] & LAST), row[9])
            for row in zip(*columns, strict=True)]


def oracle(name: str, seed: int, count: int, by_order: bool) -> list[tuple[Any, ...]]:
    x = markets.of(name)
    return OrderMarketOracle(seed, count, list(x.price_ticks), list(x.rules), x.news, by_order).rows


# ---- one seed, one market --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("by_order", [LEVEL, ORDER])
@pytest.mark.parametrize("name", markets.NAMES)
def test_rows_are_those_of_the_rules(name: str, by_order: bool) -> None:
    """Lost otherwise: rows that a compiler's treatment of overflow, shifts or division decides; any slip of a rule."""
    count = 60_000 if name == "flash-crash" else 15_000      # well into the fall
    assert tuples(markets.rows(markets.of(name), 2, count, by_order)) == oracle(name, 2, count, by_order)


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**64 - 1), st.sampled_from(markets.NAMES), st.integers(0, 4_000), st.integers(1, 9_000),
       st.booleans())
def test_any_seed_and_chunk_give_the_oracles_rows(seed: int, name: str, more: int, chunk: int, by_order: bool) -> None:
    """Lost otherwise: a market that depends on how it was asked for, or goes its own way at odd sizes."""
    scenario = markets.of(name)
    count = ROWS_MIN * len(scenario.instruments) + more
    assert tuples(markets.rows(scenario, seed, count, by_order, chunk)) == oracle(name, seed, count, by_order)


@pytest.mark.long
def test_long_markets_are_those_of_the_rules() -> None:
    """The same for a long market of every scenario: regimes, rests and recoveries that short ones do not reach."""
    seed = int(os.environ.get("APEX_SEED", "1"))
    for name in markets.NAMES:
        count = 1_000_000 if name == "flash-crash" else 300_000
        assert tuples(markets.rows(markets.of(name), seed, count)) == oracle(name, seed, count, LEVEL), name


@pytest.mark.parametrize("name", markets.NAMES)
def test_a_seed_gives_the_market_it_always_gave(name: str) -> None:
    """Lost otherwise: published results of a scenario that nobody could repeat on another machine or build."""
    digest = blake2b(markets.rows(markets.of(name), 1, 30_000).tobytes(), digest_size=32).hexdigest()
    assert digest == GOLDEN[name]


@pytest.mark.parametrize("name", markets.NAMES)
@pytest.mark.parametrize("by_order", [LEVEL, ORDER])
def test_chunks_change_nothing(name: str, by_order: bool) -> None:
    """Lost otherwise: one hash a seed; memory tuned by somebody would give another market."""
    whole = markets.rows(markets.of(name), 11, 40_000, by_order, 1 << 20)
    for chunk in (1, 8_001, 9_973):
        assert np.array_equal(markets.rows(markets.of(name), 11, 40_000, by_order, chunk), whole)


def test_a_shorter_market_begins_the_same() -> None:
    """Lost otherwise: comparing a short run with a long one; only the last few messages may differ."""
    short, long = markets.rows(markets.of("btc"), 4, 40_000), markets.rows(markets.of("btc"), 4, 90_000)
    assert np.array_equal(short[:40_000 - STEP_ROWS_MAX], long[:40_000 - STEP_ROWS_MAX])


def test_seeds_and_scenarios_give_different_markets() -> None:
    """Lost otherwise: a hundred simulations that are one."""
    names = [name for name in markets.NAMES if name != "flash-crash"]   # it begins like btc
    starts = {markets.rows(markets.of(name), seed, 9_000).tobytes() for name in names for seed in (1, 2, 2**63)}
    assert len(starts) == 3 * len(names)


def test_instruments_that_hear_nothing_of_each_other_do_not_depend_on_each_other() -> None:
    """Lost otherwise: adding a market to a test changes those that were there."""
    btc = markets.of("btc")
    both = replace(btc, instruments=btc.instruments * 2, price_ticks=btc.price_ticks * 2, rules=btc.rules * 2)
    one, two = markets.rows(btc, 5, 60_000), markets.rows(both, 5, 160_000)
    first = two[two["instrument"] == 0]
    kept = min(len(one), len(first)) - 2 * STEP_ROWS_MAX
    assert kept > 50_000
    for name in ("ts_exchange_ns", "sequence", "kind", "side", "price_ticks", "quantity_lots", "flags"):
        assert np.array_equal(one[name][:kept], first[name][:kept])


# ---- rules -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("change", "said"), [
    ({"placing": 0}, "placing"), ({"beta": 256}, "common news"), ({"partner": 1, "watch": 3}, None),
    ({"partner": 2}, "partner"), ({"heat_ns": [10**9, 10**9]}, "heat_ns"), ({"depth_rate": [0, 0, 0]}, "depth_rate"),
    ({"limit_lots": list(range(1024))}, "limit_lots"), ({"jump": [5, *range(1024)]}, "jump"),
    ({"place_distance": [0] * 1024 + [4_000]}, "place_distance"),
])
def test_wrong_rules_are_refused(change: dict[str, Any], said: str | None) -> None:
    """Lost otherwise: a generator that reads beyond its tables, never ends, or counts beyond 64 bits."""
    rules = {**markets.of("btc").rules[0], **change}
    if said is None:
        Market(1, 1_000, [600_000], [rules])._check()
        return
    with pytest.raises(ValueError, match=said):
        Market(1, 1_000, [600_000], [rules])


@settings(max_examples=25, deadline=None)
@given(st.data(), st.integers(0, 2**64 - 1), st.booleans())
def test_any_rules_give_whole_books(data: st.DataObject, seed: int, by_order: bool) -> None:
    """Lost otherwise: a scenario somebody writes that hangs, crosses its book or loses orders."""
    rules = dict(markets.of("btc").rules[0])
    for name, (count, low, high) in RULES.items():
        if name not in ("beta", "partner") and data.draw(st.booleans(), label=name):
            values = data.draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
            rules[name] = values[0] if count == 1 else values
    market = Market(seed, 12_000, [data.draw(st.sampled_from([1_024, 30_000, 1 << 29]))], [rules], None, by_order)
    while market.rows_left:
        market.take(5_000)
        market._check()


FULL = {"placing": 256, "crash_placing": 256, "market_rate": [0, 0, 0], "hurry": 0, "informed_rate": 0}
"""Makers who only place: the room for orders is full after the warm-up."""
FAR = {"placing": 16, "cancel_distance": [47] * 1024 + [48], "place_distance": [0] * 1025}
"""Makers who cancel where nobody places."""
HEAVY = {"placing": 256, "place_distance": [0] * 1025, "limit_lots": [1 << 30] * 1025, "touch_lots": [1 << 30] * 1025}
"""A touch that has all the lots a level can hold."""


@pytest.mark.parametrize(("change", "by_order"), [(FULL, LEVEL), (FULL, ORDER), (FAR, ORDER), (HEAVY, ORDER)])
def test_a_full_book_goes_on(change: dict[str, Any], by_order: bool) -> None:
    """Lost otherwise: `apex generate` that never ends with a scenario it has taken."""
    rules = [{**markets.of("btc").rules[0], **change}]
    market = Market(3, 12_000, [600_000], rules, None, by_order)
    parts = []
    while market.rows_left:
        parts.append(unpack(*market.take(9_000)))
        market._check()
    assert tuples(np.concatenate(parts)) == OrderMarketOracle(3, 12_000, [600_000], rules, None, by_order).rows


def test_a_market_in_which_nothing_happens_is_an_error() -> None:
    """Lost otherwise: a generator that waits for ever, at full speed."""
    rules = {**markets.of("btc").rules[0], "place_distance": [3_000] * 1025, "lean_flow": 0}
    market = Market(0, 20_000, [600_000], [rules])
    with pytest.raises(ValueError, match="nothing happens any more"):
        market.take(30_000)
    market._check()


# ---- what a venue could have sent ------------------------------------------------------------------------------------

def messages(events: NDArray[Any]) -> list[list[dict[str, int]]]:
    """Rows grouped into messages; a snapshot's beginning is a message of its own here."""
    ends = np.flatnonzero(((events["flags"] & LAST) != 0) | (events["kind"] == BEGIN)) + 1
    assert ends[-1] == len(events), "the last message is not whole"
    names = ("ts_exchange_ns", "ts_local_ns", "sequence", "kind", "side", "price_ticks", "quantity_lots", "flags",
             "order_id")
    columns = {n: events[n].tolist() for n in names}
    return [[{n: columns[n][i] for n in names} for i in range(start, end)] for start, end in pairwise([0, *ends])]


def walk_levels(events: NDArray[Any], spread_max: int) -> int:
    """Follow one instrument by levels; every rule of the stream is asserted. How many trades there were."""
    book, clock, local, depth_id, trades = DictBook(), 0, 0, 0, 0
    taken: dict[tuple[int, int], int] = defaultdict(int)
    for number, message in enumerate(messages(events)):
        head = message[0]
        assert head["ts_exchange_ns"] >= clock
        assert head["ts_local_ns"] >= max(local, head["ts_exchange_ns"] + 600_000)
        assert not taken or head["ts_exchange_ns"] == clock, "a trade whose depth message never came"
        clock, local = head["ts_exchange_ns"], head["ts_local_ns"]
        if head["kind"] == TRADE:
            (row,) = message
            trades += 1
            side = SELL if row["side"] == BUY else BUY
            alive = [t for t, lots in book.sides[side].items() if lots > taken[side, t]]
            assert row["price_ticks"] == (min(alive) if side == SELL else max(alive)), "not the best that was left"
            taken[side, row["price_ticks"]] += row["quantity_lots"]
            assert taken[side, row["price_ticks"]] <= book.sides[side][row["price_ticks"]]
        elif head["kind"] == DEPTH:
            assert number == 1 or head["sequence"] == depth_id + len(message)
            depth_id = head["sequence"]
            if any(taken.values()):
                assert {(r["side"], r["price_ticks"]): r["quantity_lots"] for r in message} == {
                    (side, t): book.sides[side][t] - lots for (side, t), lots in taken.items() if lots}
            taken.clear()
            for row in message:
                assert row["quantity_lots"] != book.sides[row["side"]].get(row["price_ticks"], 0)
                assert row["price_ticks"] >= 1
                book.set(row["side"], row["price_ticks"], row["quantity_lots"])
            bid, ask = book.best(BUY), book.best(SELL)
            assert bid is not None
            assert ask is not None
            assert 0 < ask - bid <= spread_max
    return trades


@pytest.mark.parametrize("name", markets.NAMES)
def test_every_message_is_one_a_venue_could_send(name: str) -> None:
    """Lost otherwise: crossed books, trades from nowhere, clocks that go back: fills that prove nothing."""
    scenario = markets.of(name)
    events = markets.rows(scenario, 7, 60_000)
    for i, rules in enumerate(scenario.rules):
        assert walk_levels(events[events["instrument"] == i], rules["spread_max"]) > 150


class Orders:
    """Orders of one instrument by id and by queue, and the totals they add up to."""

    def __init__(self) -> None:
        self.queues: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
        self.place: dict[int, tuple[int, int]] = {}

    def apply(self, row: dict[str, int]) -> None:
        key, order_id, lots = (row["side"], row["price_ticks"]), row["order_id"], row["quantity_lots"]
        assert lots > 0
        if row["kind"] == ADD:
            assert order_id not in self.place, "an id twice"
            self.queues[key][order_id] = lots
            self.place[order_id] = key
            return
        assert self.place[order_id] == key
        if row["kind"] == DELETE:
            assert self.queues[key][order_id] == lots
        else:
            best = (max if key[0] == BUY else min)(t for (s, t), q in self.queues.items() if s == key[0] and q)
            assert key[1] == best, "a trade that is not at the best price"
            assert next(iter(self.queues[key])) == order_id, "a trade with an order that is not the first"
        self.queues[key][order_id] -= lots
        assert self.queues[key][order_id] >= 0
        if not self.queues[key][order_id]:
            del self.queues[key][order_id], self.place[order_id]

    def totals(self) -> dict[tuple[int, int], int]:
        return {key: sum(queue.values()) for key, queue in self.queues.items() if queue}


@pytest.mark.parametrize("name", ["btc", "two-venues", "illiquid"])
def test_orders_and_levels_are_the_same_market(name: str) -> None:
    """Lost otherwise: an order stream whose conversion to levels is another market than the levels of the same seed."""
    by_order, by_level = (markets.rows(markets.of(name), 3, 60_000, by) for by in (ORDER, LEVEL))
    until = min(int(events["ts_exchange_ns"][len(events) - STEP_ROWS_MAX - 1]) for events in (by_order, by_level))
    for i in range(len(markets.of(name).instruments)):
        orders, book = Orders(), DictBook()
        trades: list[list[tuple[int, ...]]] = [[], []]
        for row in (r for m in messages(by_order[by_order["instrument"] == i]) for r in m):
            if row["ts_exchange_ns"] < until and row["kind"] != BEGIN:
                orders.apply(row)
                if row["kind"] == EXECUTE:
                    trades[0].append((row["ts_exchange_ns"], 3 - row["side"], row["price_ticks"], row["quantity_lots"]))
        for row in (r for m in messages(by_level[by_level["instrument"] == i]) for r in m):
            if row["ts_exchange_ns"] < until:
                if row["kind"] == DEPTH:
                    book.set(row["side"], row["price_ticks"], row["quantity_lots"])
                elif row["kind"] == TRADE:
                    trades[1].append((row["ts_exchange_ns"], row["side"], row["price_ticks"], row["quantity_lots"]))
        assert orders.totals() == {(side, t): lots for side in (BUY, SELL) for t, lots in book.sides[side].items()}
        assert trades[0] == trades[1]
        assert len(trades[0]) > 50


def test_the_compiled_order_book_follows_it() -> None:
    """Lost otherwise: an order stream on which the engine's own book goes wrong: replays that are worthless."""
    scenario = markets.of("two-venues")
    by_order, by_level = markets.market(scenario, 21, 200_000, ORDER), markets.market(scenario, 21, 200_000, LEVEL)
    books = [L3Book(synced=False), L3Book(synced=False)]
    while by_order.rows_left > 40_000:                       # not to the end, where messages are kept small
        parts = by_order.take(30_000)
        for i, book in enumerate(books):
            book.apply(*parts, instrument=i)
            book._check()
    assert all(book.book.synced for book in books)
    assert [book.unknown + book.repeated + book.excess + book.book.crossed_messages for book in books] == [0, 0]
    batches, *arrays = by_level.take(200_000)
    batches = batches[batches["ts_exchange_ns"] <= parts[0]["ts_exchange_ns"][-1]]
    for i, book in enumerate(books):
        other = Book(synced=False)
        other.apply(batches, *arrays, instrument=i)
        for side in (BUY, SELL):
            assert book.book.levels(side) == other.levels(side)
