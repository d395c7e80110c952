"""The market generator: one seed, one market; books that a venue could have had; statistics of a living market."""

from __future__ import annotations

import json
import os
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from apex._core.book import Book
from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, LEVEL_DTYPE, unpack
from apex._core.market import INSTRUMENTS_MAX, PRICE_TICKS_MAX, PRICE_TICKS_MIN, ROWS_MIN, Market
from apex.domain.instrument import Instrument
from apex.store.layout import instrument_table
from tests.oracles.book import BUY, SELL, DictBook
from tests.oracles.market import MarketOracle

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "market" / "rows.json").read_text("utf-8"))
"""Made by `apex generate --seed S --events M --instruments N --json`, and only after a change that was meant."""

LAST, SNAPSHOT, BOTH = FLAGS["LAST_IN_BATCH"], FLAGS["SNAPSHOT"], FLAGS["AT_VENUE"] | FLAGS["AT_LOCAL"]
DEPTH, TRADE, BEGIN = KINDS["BOOK_LEVEL"], KINDS["TRADE"], KINDS["SNAPSHOT_BEGIN"]
NAMES = {code: name for name, code in KINDS.items()}
NO_ROWS = np.zeros(0, EVENT_DTYPE)
STEP_ROWS_MAX = 96
LEVELS_MAX = 4096
PRICE = 600_000


def rows(seed: int, count: int, prices: list[int], chunk: int = 1 << 16) -> NDArray[Any]:
    """All canonical rows of a market, taken `chunk` at a time."""
    market = Market(seed, count, prices)
    parts = []
    while market.rows_left:
        before = market.rows_left
        batches, levels, _ = market.take(chunk)
        assert len(levels) == before - market.rows_left > 0
        parts.append(unpack(batches, levels, NO_ROWS))
        market._check()
    assert all(len(x) == 0 for x in market.take(chunk))
    return np.concatenate(parts)


def tuples(events: NDArray[Any]) -> list[tuple[Any, ...]]:
    """Rows as the oracle writes them."""
    columns = [events[n].tolist() for n in ("ts_exchange_ns", "ts_local_ns", "sequence", "kind", "side", "price_ticks",
                                            "quantity_lots", "instrument", "flags")]
    return [(*row[:3], NAMES[row[3]], *row[4:8], bool(row[8] & LAST)) for row in zip(*columns, strict=True)]


def messages(events: NDArray[Any]) -> list[list[dict[str, int]]]:
    """Rows grouped into the venue's messages; a snapshot's beginning is a message of its own here."""
    ends = np.flatnonzero(((events["flags"] & LAST) != 0) | (events["kind"] == BEGIN)) + 1
    assert ends[-1] == len(events), "the last message is not whole"
    names = ("ts_exchange_ns", "ts_local_ns", "sequence", "kind", "side", "price_ticks", "quantity_lots", "flags")
    columns = {n: events[n].tolist() for n in names}
    return [[{n: columns[n][i] for n in names} for i in range(start, end)] for start, end in pairwise([0, *ends])]


# ---- one seed, one market --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: f"{c['seed']}-{c['events']}-{c['instruments']}")
def test_a_seed_gives_the_market_it_always_gave(case: dict[str, Any]) -> None:
    """Lost otherwise: published results of a generated market that nobody could repeat on another machine or build."""
    count = case["instruments"]
    digest = blake2b(rows(case["seed"], case["events"], [PRICE] * count).tobytes(), digest_size=32)
    table = [Instrument(f"SIM{i + 1}USDT", "generated", "0.1", "0.001", base=f"SIM{i + 1}", quote="USDT")
             for i in range(count)]
    digest.update(instrument_table(table))
    assert digest.hexdigest() == case["content_hash"]


@pytest.mark.parametrize(("seed", "count", "prices"), [
    (7, 12_000, [PRICE]), (1, 20_000, [PRICE_TICKS_MIN]), (3, 9_000, [PRICE, 3_000, PRICE_TICKS_MAX]),
    (2**64 - 1, ROWS_MIN, [5_000]),
])
def test_rows_are_those_of_the_rules(seed: int, count: int, prices: list[int]) -> None:
    """Lost otherwise: rows that a compiler's treatment of overflow, shifts or division decides."""
    assert tuples(rows(seed, count, prices)) == MarketOracle(seed, count, prices).rows


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**64 - 1), st.lists(st.integers(PRICE_TICKS_MIN, PRICE_TICKS_MAX), min_size=1, max_size=2),
       st.integers(0, 2_500), st.integers(1, 5_000))
def test_any_seed_and_chunk_give_the_oracles_rows(seed: int, prices: list[int], more: int, chunk: int) -> None:
    """Lost otherwise: a market that depends on how it was asked for, or goes its own way at odd sizes."""
    count = ROWS_MIN * len(prices) + more
    assert tuples(rows(seed, count, prices, chunk)) == MarketOracle(seed, count, prices).rows


def test_chunks_change_nothing() -> None:
    """Lost otherwise: one hash a seed; a scale test in small pieces would run on another market than the demo."""
    whole = rows(11, 60_000, [PRICE, PRICE], 1 << 20)
    for chunk in (1, 2_001, 4_097, 30_011):
        assert np.array_equal(rows(11, 60_000, [PRICE, PRICE], chunk), whole)


def test_a_shorter_market_begins_the_same() -> None:
    """Lost otherwise: comparing a short run with a long one; only the last few messages may differ."""
    short, long = rows(4, 20_000, [PRICE]), rows(4, 50_000, [PRICE])
    kept = len(short) - STEP_ROWS_MAX
    assert np.array_equal(short[:kept], long[:kept])
    assert len(short) == 20_000


def test_instruments_do_not_depend_on_each_other() -> None:
    """Lost otherwise: adding a market to a test changes those that were there."""
    one, two = rows(5, 30_000, [PRICE]), rows(5, 90_000, [PRICE, PRICE])
    first = two[two["instrument"] == 0]
    kept = min(len(one), len(first)) - 2 * STEP_ROWS_MAX
    assert kept > 20_000
    for name in ("ts_exchange_ns", "sequence", "kind", "side", "price_ticks", "quantity_lots", "flags"):
        assert np.array_equal(one[name][:kept], first[name][:kept])
    other = two[two["instrument"] == 1]
    assert not np.array_equal(first["price_ticks"][:1000], other["price_ticks"][:1000])


def test_seeds_give_different_markets() -> None:
    """Lost otherwise: a hundred simulations that are one."""
    starts = {rows(seed, 2_000, [PRICE]).tobytes() for seed in (*range(40), 2**63, 2**64 - 1)}
    assert len(starts) == 42


@pytest.mark.parametrize(("seed", "count", "prices"), [
    (-1, 1000, [PRICE]), (1 << 64, 1000, [PRICE]), (1, ROWS_MIN - 1, [PRICE]), (1, -5, [PRICE]),
    (1, 2 * ROWS_MIN - 1, [PRICE, PRICE]), (1, 1 << 62, [PRICE]), (1, 1000, []),
    (1, 10_000, [PRICE] * (INSTRUMENTS_MAX + 1)), (1, 1000, [PRICE_TICKS_MIN - 1]), (1, 1000, [PRICE_TICKS_MAX + 1]),
])
def test_wrong_arguments_are_refused(seed: int, count: int, prices: list[int]) -> None:
    """Lost otherwise: a market that is not the one asked for, or reads beyond its books."""
    with pytest.raises(ValueError, match=r"seed|rows|instruments|price"):
        Market(seed, count, prices)


# ---- what a venue could have sent ------------------------------------------------------------------------------------

class Seen(NamedTuple):
    """What a walk over one instrument's rows saw."""

    trades: int
    sweeps: int
    levels_max: int
    levels_min: int


def walk(events: NDArray[Any]) -> Seen:
    """Follow one instrument message by message on a dict book; every rule of the stream is asserted."""
    book = DictBook()
    clock, local, depth_id, trade_id = 0, 0, 0, 0
    trades = sweeps = levels_max = 0
    levels_min = LEVELS_MAX
    taken: dict[tuple[int, int], int] = {}
    took = -1
    for number, message in enumerate(messages(events)):
        head = message[0]
        assert all(row["flags"] & BOTH == BOTH for row in message)
        assert head["ts_exchange_ns"] >= clock
        assert head["ts_local_ns"] >= max(local, head["ts_exchange_ns"] + 600_000)
        clock, local = head["ts_exchange_ns"], head["ts_local_ns"]
        if number < 2:                                       # the snapshot: a beginning, then levels with their flag
            assert head["kind"] == (BEGIN if number == 0 else DEPTH)
            assert all(bool(row["flags"] & SNAPSHOT) == (number == 1) for row in message)
        if head["kind"] == TRADE:
            (row,) = message
            assert row["sequence"] == trade_id + 1
            trade_id = row["sequence"]
            assert not taken or took == clock, "a trade whose depth message never came"
            side = SELL if row["side"] == BUY else BUY       # the side that was hit
            left = {**book.sides[side]}
            for (other, tick), lots in taken.items():
                assert other == side
                left[tick] -= lots
            alive = [tick for tick, lots in left.items() if lots]
            assert row["price_ticks"] == (min(alive) if side == SELL else max(alive)), "not the best that was left"
            assert 0 < row["quantity_lots"] <= left[row["price_ticks"]]
            taken[side, row["price_ticks"]] = row["quantity_lots"]
            took, trades, sweeps = clock, trades + 1, sweeps + (len(taken) > 1)
        elif head["kind"] == DEPTH:
            assert number == 1 or not head["flags"] & SNAPSHOT
            assert number == 1 or head["sequence"] == depth_id + len(message)
            depth_id = head["sequence"]
            if taken:
                assert took == clock
                assert {(r["side"], r["price_ticks"]): r["quantity_lots"] for r in message} == {
                    (side, tick): book.sides[side][tick] - lots for (side, tick), lots in taken.items()}
                taken = {}
            assert len({(r["side"], r["price_ticks"]) for r in message}) == len(message), "a price twice"
            for row in message:
                assert row["quantity_lots"] >= 0
                assert row["quantity_lots"] != book.sides[row["side"]].get(row["price_ticks"], 0)
                assert row["price_ticks"] >= 1
                book.set(row["side"], row["price_ticks"], row["quantity_lots"])
            bid, ask = book.best(BUY), book.best(SELL)
            assert bid is not None
            assert ask is not None
            assert 0 < ask - bid <= 128
            counts = [len(book.sides[side]) for side in (BUY, SELL)]
            levels_max, levels_min = max(levels_max, *counts), min(levels_min, *counts)
    assert not taken
    return Seen(trades, sweeps, levels_max, levels_min)


@pytest.mark.parametrize(("seed", "price"), [(7, PRICE), (8, PRICE_TICKS_MIN), (9, PRICE_TICKS_MAX)])
def test_every_message_is_one_a_venue_could_send(seed: int, price: int) -> None:
    """Lost otherwise: crossed or negative books, trades from nowhere, clocks that go back: fills that prove nothing."""
    seen = walk(rows(seed, 150_000, [price]))
    assert seen.trades > 3_000
    assert seen.sweeps > 1_000
    assert seen.levels_min >= 64
    assert 400 < seen.levels_max < LEVELS_MAX


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**64 - 1), st.integers(PRICE_TICKS_MIN, PRICE_TICKS_MAX), st.integers(1, 3),
       st.integers(0, 6_000))
@example(0, PRICE_TICKS_MIN, 3, 0)
def test_any_market_is_one_a_venue_could_send(seed: int, price: int, instruments: int, more: int) -> None:
    """The same for any seed, price and length, the smallest too: whole messages, exactly as many rows as asked."""
    count = ROWS_MIN * instruments + more
    events = rows(seed, count, [price] * instruments, 997)
    assert len(events) == count
    for i in range(instruments):
        walk(events[events["instrument"] == i])


@pytest.mark.long
def test_any_market_is_one_a_venue_could_send_long() -> None:
    """The same over three million rows of three instruments, at the ends of the price range and between."""
    events = rows(int(os.environ.get("APEX_SEED", "1")), 3_000_000, [PRICE_TICKS_MIN, PRICE, PRICE_TICKS_MAX])
    for i in range(3):
        walk(events[events["instrument"] == i])


def test_the_compiled_book_follows_it() -> None:
    """Lost otherwise: a market on which the engine's own book goes wrong, so that a replay of it is worth nothing."""
    market = Market(21, 400_000, [PRICE])
    book, oracle = Book(synced=False), DictBook()
    while market.rows_left:
        batches, levels, _ = market.take(10_000)
        book.apply(batches, levels, NO_ROWS)
        book._check()
        assert levels.dtype == LEVEL_DTYPE
        assert not levels["pad0"].any()
        assert not levels["pad1"].any()
        for row in unpack(batches, levels, NO_ROWS).tolist():
            event = dict(zip(EVENT_DTYPE.names or (), row, strict=True))
            if event["kind"] == DEPTH:
                oracle.set(event["side"], event["price_ticks"], event["quantity_lots"])
        assert book.levels(BUY) == oracle.levels(BUY)
        assert book.levels(SELL) == oracle.levels(SELL)
    assert book.synced
    assert book.crossed_messages == 0
    assert book.negatives == 0


# ---- a living market -------------------------------------------------------------------------------------------------

class Statistics(NamedTuple):
    """A market's touch at the end of each depth message, and its trades."""

    ts: NDArray[Any]
    bid: NDArray[Any]
    ask: NDArray[Any]
    touch_lots: NDArray[Any]
    levels_of_message: NDArray[Any]
    trades: NDArray[Any]

    @property
    def mid(self) -> NDArray[Any]:
        return (self.bid + self.ask) / 2

    def mid_at(self, ts: NDArray[Any]) -> NDArray[Any]:
        """The mid before what happens at each time."""
        return self.mid[np.maximum(np.searchsorted(self.ts, ts, "left") - 1, 0)]


@pytest.fixture(scope="module", params=[7, 8])
def statistics(request: pytest.FixtureRequest) -> Statistics:
    market = Market(request.param, 600_000, [PRICE])
    book = Book(synced=False)
    touch: list[tuple[int, int, int, int, int]] = []
    counts: list[int] = []
    trades = []
    while market.rows_left:
        batches, levels, _ = market.take()
        events = unpack(batches, levels, NO_ROWS)
        trades.append(events[events["kind"] == TRADE])
        at = 0
        for i in np.flatnonzero(batches["kind"] == DEPTH).tolist():
            book.apply(batches[:i + 1], levels, NO_ROWS, start=at)
            at = i + 1
            bid, ask = book.bid_ticks, book.ask_ticks
            assert bid is not None
            assert ask is not None
            ts = int(batches["ts_exchange_ns"][i])
            touch.append((ts, bid, ask, book.quantity(BUY, bid), book.quantity(SELL, ask)))
        counts += batches["count"][(batches["kind"] == DEPTH) & ((batches["flags"] & SNAPSHOT) == 0)].tolist()
    table = np.array(touch)
    return Statistics(table[:, 0], table[:, 1], table[:, 2], table[:, 3:], np.array(counts), np.concatenate(trades))


def test_spread_depth_and_rates_are_those_of_a_liquid_market(statistics: Statistics) -> None:
    """Lost otherwise: a demo whose quotes are never near a fill, or a scale test that is over in a second."""
    weight = np.diff(statistics.ts)
    spread = (statistics.ask - statistics.bid)[:-1]
    assert np.average(spread <= 3, weights=weight) > 0.75
    assert np.average(spread == 1, weights=weight) > 0.4
    assert 100 < np.median(statistics.touch_lots) < 2_000
    assert 10 <= statistics.levels_of_message.mean() <= 20
    seconds = (statistics.ts[-1] - statistics.ts[0]) / 1e9
    assert 360 < seconds < 720, "a million rows last 10 to 20 minutes"
    assert 0.02 < len(statistics.trades) / 600_000 < 0.10
    buys = np.mean(statistics.trades["side"] == BUY)
    assert 0.4 < buys < 0.6


def test_the_price_moves_as_that_of_a_large_coin(statistics: Statistics) -> None:
    """Lost otherwise: P&L and drawdown of another scale than a user's own market; volatility that never clusters."""
    second = np.arange(statistics.ts[0], statistics.ts[-1], 1_000_000_000)
    moves = np.diff(statistics.mid_at(second))
    assert 0.4 < moves.std() / PRICE * 1e4 < 1.0, "basis points a second"
    assert (moves**4).mean() / moves.var() ** 2 > 3.5, "fat tails"
    assert np.corrcoef(np.abs(moves[1:]), np.abs(moves[:-1]))[0, 1] > 0.03, "calm and busy times"
    assert np.ptp(statistics.mid) > 300


def test_who_trades_knows_more_than_who_quotes(statistics: Statistics) -> None:
    """Lost otherwise: adverse selection; a market on which any quote earns its spread teaches the wrong thing."""
    trades = statistics.trades[statistics.trades["ts_exchange_ns"] < statistics.ts[-1] - 2_000_000_000]
    sign = np.where(trades["side"] == BUY, 1, -1)
    before = statistics.mid_at(trades["ts_exchange_ns"])
    after = statistics.mid_at(trades["ts_exchange_ns"] + 1_000_000_000)
    impact = sign * (after - before)
    assert impact.mean() > 1.0, "ticks, a second later"


def test_the_feed_is_late_by_varying_times(statistics: Statistics) -> None:
    """Lost otherwise: replays in which latency is a constant and nothing queues behind a slow message."""
    late = statistics.trades["ts_local_ns"] - statistics.trades["ts_exchange_ns"]
    assert late.min() >= 600_000
    assert 700_000 < np.median(late) < 900_000
    assert late.max() > 4_000_000
    assert len(np.unique(late)) > 1_000
