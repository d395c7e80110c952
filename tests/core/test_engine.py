"""The engine and the driver: one order of time, whatever the tape is cut into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.engine import Engine, Strategy
from apex._core.events import BATCH_DTYPE, ENCODINGS, EVENT_DTYPE, FLAGS, KINDS, LEVEL_DTYPE, pack
from apex._core.replay import ReplayDriver
from apex._core.simvenue import VENUE_REASONS
from apex.domain.decimals import scaled
from apex.domain.limits import Limits
from tests.core.assembly import BOTH, BUY, LAST, NAMES, SELL, START, Hooks, Run, Scripted, message, snapshot
from tests.core.test_matching import LATENCIES, Market, Sender, for_oracle, rows_of
from tests.oracles.matching import StrictReplay, StrictVenue

MS = 1_000_000
BUSY: dict[str, Any] = {
    "limits": Limits(drawdown_max="3000", duplicate_window="3ms", position_max="40",
                     messages_per_second_max=3000), "fees": (-(10**8), 4 * 10**8),
    "latency": (3 * MS, 2 * MS, MS, 2 * MS), "grid_ns": 25 * MS,
}


def market(seed: int, count: int, instruments: int = 3) -> Any:
    """Rows of a market with ties, gaps, several rows a message, trades without sides, and feed latency that differs."""
    rng = np.random.default_rng(seed)
    made, ts = [], START
    mids = [1000, 2000, 500]
    for i in range(instruments):
        bids, asks = ([(mids[i] + s * (k + 1), 20 + k) for k in range(6)] for s in (-1, 1))
        made.append(snapshot(ts, bids, asks, instrument=i, delay=2 * MS))
    for n in range(count):
        ts += int(rng.choice((0, 0, 1, MS, 7 * MS)))
        i, kind = int(rng.integers(instruments)), rng.random()
        mids[i] += int(rng.choice((-1, 0, 0, 0, 0, 1)))
        more: dict[str, Any] = {"instrument": i, "delay": int(rng.choice((1, 2 * MS, 2 * MS))), "sequence": n}
        side = int(rng.integers(1, 3))
        away = 1 if side == SELL else -1
        if kind < 0.25:
            rows = [(int(rng.choice((0, BUY, SELL))), mids[i] + int(rng.integers(-2, 3)), int(rng.integers(1, 30)))
                    for _ in range(int(rng.integers(1, 4)))]
            made.append(message("TRADE", ts, rows, **more))
        elif kind < 0.26:
            made.append(message("LINK_GAP", ts, **more))
            bids, asks = ([(mids[i] + s * (k + 1), 15) for k in range(4)] for s in (-1, 1))
            made.append(snapshot(ts + 1, bids, asks, **more))
        elif kind < 0.27:
            made.append(message("BOOK_CLEAR", ts, [(side, mids[i] + away, 0)],
                                **more | {"flags": BOTH | FLAGS["CLEAR_TO"]}))
        else:
            rows = [(side, mids[i] + away * int(rng.integers(1, 7)), int(rng.choice((0, *range(1, 40)))))
                    for _ in range(int(rng.integers(1, 9)))]
            made.append(message("BOOK_LEVEL", ts, [(BUY, mids[i], 0), (SELL, mids[i], 0), *rows], **more))
    rows = np.concatenate(made)
    # Local time never goes back within an instrument.
    for i in range(instruments):
        mine = rows["instrument"] == i
        rows["ts_local_ns"][mine] = np.maximum.accumulate(rows["ts_local_ns"][mine])
    return rows[np.argsort(rows["ts_local_ns"], kind="stable")]


class Busy(Strategy):
    """Uses everything: timers, signals, moves, bars, fills; sends, amends and cancels on all instruments."""

    def on_start(self, view: Any) -> None:
        self.log: list[tuple[Any, ...]] = []
        view.every("13ms")
        view.every("40ms")
        view.on_move(2)
        for i in range(3):
            view.when("imbalance", above=0.8, below=0.2, hysteresis=0.05, cooldown="5ms", instrument=i)
            view.blend("both", {"imbalance": 1.0, "trade_sign": 0.2}, instrument=i)
            view.when("both", above=0.9, instrument=i)
            view.on_bar("50ms", instrument=i)

    def note(self, what: str, view: Any, *more: Any) -> None:
        self.log.append((what, view.now, *more))

    def on_timer(self, view: Any) -> None:
        self.note("timer", view, view.equity, *(view[i].bid_ticks for i in range(3)))
        for i in range(3):
            one = view[i]
            for order in one.orders[:2]:
                if order.id % 3 == 0 and one.bid_ticks is not None:
                    one.amend(order.id, one.bid_ticks - 1, order.quantity_lots + 1)
                else:
                    one.cancel(order.id)
            if one.mid_ticks is not None:
                one.limit("buy", one.bid_ticks, 3 + i)
                one.limit("sell", one.ask_ticks, 2, "GTX")

    def on_signal(self, view: Any) -> None:
        self.note("signal", view, view.signal, view.source, repr(view.score("both")))
        if view.signal % 2:
            view[view.source].target((view.now // MS) % 5 - 2)

    def on_book(self, view: Any) -> None:
        self.note("book", view, view.source)
        one = view[view.source]
        one.limit("sell", one.bid_ticks, 30, "FOK")

    def on_fill(self, view: Any) -> None:
        self.note("fill", view, view.fill)

    def on_bar(self, view: Any) -> None:
        self.note("bar", view, view.bar)

    def on_stop(self, view: Any) -> None:
        self.note("stop", view)


def busy(events: Any, *, chunk: int = 1 << 40, **more: Any) -> tuple[Run, Busy]:
    strategy = Busy()
    run = Run(events, [strategy], count=3, **BUSY, **more).run(chunk)
    run.engine._check()
    for venue in run.venues:
        venue._check()
    return run, strategy


def shattered(events: Any) -> tuple[Any, Any, Any]:
    """The same rows, every one a batch of its own."""
    parts = [pack(events[i:i + 1]) for i in range(len(events))]
    batches = np.concatenate([p[0] for p in parts])
    for code, place in ((ENCODINGS["LEVELS"], 1), (ENCODINGS["ROWS"], 2)):
        mine = batches["encoding"] == code
        batches["first"][mine] = np.arange(mine.sum())
        assert mine.sum() == sum(len(p[place]) for p in parts)
    return batches, np.concatenate([p[1] for p in parts]), np.concatenate([p[2] for p in parts])


def test_any_split_gives_the_same_result() -> None:
    """Lost otherwise: a backtest that depends on the size of a buffer."""
    events = market(1, 4000)
    run, strategy = busy(events)
    kinds = {x[0] for x in strategy.log}
    assert kinds == {"timer", "signal", "book", "fill", "bar", "stop"}
    assert len(run.fills) > 100
    assert len(run.gate.counters()) >= 3
    assert len({int(o["state"]) for o in run.orders}) >= 5
    for chunk in (1, 2, 7, 1000):
        other, log = busy(events, chunk=chunk)
        assert other.hash() == run.hash()
        assert log.log == strategy.log
    other, log = busy(events, batches=shattered(events))
    assert log.log == strategy.log
    assert other.hash() == run.hash()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.lists(st.integers(1, 200), min_size=1, max_size=10))
def test_any_chunks_give_the_same_result(seed: int, chunks: list[int]) -> None:
    """The same for any sequence of chunks."""
    events = market(seed, 300)
    whole, _ = busy(events)
    strategy = Busy()
    run = Run(events, [strategy], count=3, **BUSY)
    n = 0
    while not run.driver.run(chunks[n % len(chunks)]):
        run.engine._check()
        n += 1
    assert run.driver.run(5), "over is over"
    assert run.hash() == whole.hash()


def journal_as_rows(oracle: StrictReplay, ids: list[int]) -> Any:
    """What the oracle's sender heard, and its timers, as rows of a live tape."""
    reasons = {name: code for code, name in VENUE_REASONS.items()}
    kinds = {"ack": "ACK", "reject": "REJECT", "canceled": "CANCELED", "expired": "EXPIRED", "fill": "FILL"}
    made = np.zeros(len(oracle.journal), EVENT_DTYPE)
    trades = 0
    for row, (now, venue_ts, reply) in zip(made, oracle.journal, strict=True):
        row["ts_local_ns"], row["kind"] = now, KINDS["TIMER"]
        if reply is None:
            continue
        key, what, price, lots, more = reply
        row["ts_exchange_ns"], row["order_id"], row["kind"] = venue_ts, ids[key], KINDS[kinds[what]]
        row["price_ticks"], row["quantity_lots"], row["side"] = price, lots, oracle.known[key].side
        row["flags"] = FLAGS["AT_LOCAL"] | LAST
        if what == "fill":
            trades += 1
            row["sequence"] = trades
            row["flags"] |= (FLAGS["MAKER"] if more[0] else 0) | (FLAGS["OPTIMISTIC"] if more[1] else 0)
        else:
            row["aux"] = reasons[more]
    return made


@pytest.mark.parametrize("seed", range(4))
def test_step_is_the_same_engine(seed: int) -> None:
    """Lost otherwise: a live engine that is not the one of the backtest.

    The rows of a tape, own replies and timers through Engine.step, against the driver's packed path.
    """
    world, latency = Market(seed, 3000), LATENCIES[seed]
    oracle = StrictReplay(StrictVenue(lot=scaled(NAMES[0].lot)), latency)
    oracle.run(for_oracle(world.data), world.todo)
    data = rows_of(world.data)
    one = Run(data, [Sender(world.todo)], latency=latency).run()
    own = journal_as_rows(oracle, [int(x) for x in one.orders["id"]])
    rows = np.concatenate([data, own])  # at one time: market data first, then the rest as it came about
    rows = rows[np.argsort(rows["ts_local_ns"], kind="stable")]
    two = Run(data, [Sender(world.todo)], latency=latency)
    two.engine.start(two.driver.clock_start)
    for part in np.array_split(rows, 17):
        two.engine.step(part)
    two.engine.stop()
    two.engine._check()
    assert two.orders.tobytes() == one.orders.tobytes()
    assert two.fills.tobytes() == one.fills.tobytes()
    assert two.ledger.snapshot().tobytes() == one.ledger.snapshot().tobytes()
    assert len(two.fills) > 50


def test_step_refuses_rows_that_are_not_of_this_run() -> None:
    """Lost otherwise: a write into memory of nobody."""
    run = Run(market(1, 1))
    wrong = message("TRADE", START, [(BUY, 1, 1)], instrument=3)
    with pytest.raises(IndexError, match="instrument 3 is not in this run"):
        run.engine.step(wrong)
    with pytest.raises(TypeError, match="step: rows of"):
        run.engine.step(np.zeros(1, BATCH_DTYPE))
    own = message("FILL", START)
    with pytest.raises(AssertionError, match="unknown order"):
        run.engine.step(own)


def quiet(*more: Any, instruments: int = 1) -> Any:
    """A snapshot of each instrument at START, then messages; all reach us at once."""
    made = [snapshot(START, [(100, 10), (99, 10)], [(102, 10), (103, 10)], instrument=i) for i in range(instruments)]
    rows = np.concatenate([*made, *more])
    return rows[np.argsort(rows["ts_local_ns"], kind="stable")]


def test_a_timer_sees_all_that_is_stamped_up_to_it() -> None:
    """Lost otherwise: strategies that are a message behind, or one ahead."""
    seen = []
    events = quiet(message("BOOK_LEVEL", START + 50, [(BUY, 101, 1)]),
                   message("BOOK_LEVEL", START + 51, [(BUY, 101, 0)]))
    todo = [(START + t, lambda v: seen.append((v.now - START, v.bid_ticks))) for t in (49, 50, 51)]
    Run(events, [Scripted(*todo)]).run()
    assert seen == [(49, 100), (50, 101), (51, 100)]


def test_ties_go_by_kind_then_instrument() -> None:
    """Lost otherwise: results that depend on which instrument was named first on some other machine.

    At one time: market data, replies, venue data, requests, then bars and timers; within one by instrument.
    """
    log: list[Any] = []

    def on_start(view: Any) -> None:
        for i in (1, 0):
            view.when("imbalance", above=0.6, instrument=i)
            view.on_bar("1s", instrument=i)
        view.every("1s")
        view.at(START + 10**9 - 5)

    def on_timer(view: Any) -> None:
        log.append(("timer", view.now - START))
        if view.now == START + 10**9 - 5:
            for i in (1, 0):
                view.market("buy", 1, instrument=i)

    strategy = Hooks(
        on_start=on_start, on_timer=on_timer,
        on_signal=lambda v: log.append(("signal", v.source, v.now - START)),
        on_fill=lambda v: log.append(("fill", v.fill.id, v.now - START)),
        on_bar=lambda v: log.append(("bar", v.source, v.now - START)),
    )
    later = START + 10**9
    events = quiet(*(message("TRADE", START + 1, [(BUY, 102, 1)], instrument=i) for i in (0, 1)),
                   *(message("BOOK_LEVEL", later, [(BUY, 101, 90)], instrument=i) for i in (1, 0)),
                   message("BOOK_LEVEL", later + 9, [(BUY, 101, 90)]), instruments=2)
    run = Run(events, [strategy], count=2, latency=(3, 0, 0, 2)).run()
    ids = [int(x) for x in run.orders["id"]]
    assert log == [
        ("timer", 10**9 - 5),
        ("signal", 0, 10**9), ("signal", 1, 10**9),
        ("fill", ids[1], 10**9), ("fill", ids[0], 10**9),
        ("bar", 1, 10**9), ("bar", 0, 10**9),
        ("timer", 10**9),
    ]


def test_a_request_meets_the_book_of_its_arrival() -> None:
    """Lost otherwise: orders that trade at prices that had gone before they arrived."""
    events = quiet(message("BOOK_LEVEL", START + 20, [(SELL, 102, 0)]),
                   message("BOOK_LEVEL", START + 40, [(BUY, 99, 1)]))
    todo = [(START + t, lambda v: v.limit("buy", 103, 4, "IOC")) for t in (10, 11)]
    fills = Run(events, [Scripted(*todo)], latency=(9, 0, 0, 5)).run().fills
    assert list(fills["price_ticks"]) == [102, 103]  # the level went at 20, before the request of 20
    assert list(fills["ts_venue_ns"] - START) == [19, 20]
    assert list(fills["ts_local_ns"] - START) == [24, 25]


def test_a_message_is_whole_before_anybody_is_called() -> None:
    """Lost otherwise: signals on half a message, or none when its last rows are trades."""
    calls: list[tuple[int, Any]] = []

    def on_start(view: Any) -> None:
        view.when("imbalance", above=0.6)
        view.when("trade_sign", above=0.5)
        view.on_move(1)

    hooks = Hooks(on_start=on_start, on_signal=lambda v: calls.append((v.now - START, v.signal)),
                  on_book=lambda v: calls.append((v.now - START, v.mid_ticks)))
    events = quiet(
        message("BOOK_LEVEL", START + 1, [(BUY, 101, 90), (SELL, 102, 0)], last=False),
        message("TRADE", START + 1, [(SELL, 101, 1)]),
        message("TRADE", START + 2, [(BUY, 102, 1)], last=False), message("BOOK_LEVEL", START + 2, [(BUY, 101, 1)]),
        message("BOOK_CLEAR", START + 3, [(0, 0, 0)]),
        message("BOOK_LEVEL", START + 4, [(BUY, 100, 90), (SELL, 106, 1)]),
    )
    run = Run(events, [hooks]).run()
    assert calls == [(1, 0), (1, 102.0), (2, 1), (4, 0), (4, 103.0)]
    assert run.engine.signals_fired == 3


def test_what_the_book_lost_is_unknown() -> None:
    """Lost otherwise: features of a book that a clear or a gap has emptied, and orders on them."""
    seen: list[Any] = []
    events = quiet(message("BOOK_CLEAR", START + 10, [(SELL, 0, 0)]), snapshot(START + 20, [(100, 9)], [(101, 1)]),
                   message("LINK_GAP", START + 30), message("BOOK_LEVEL", START + 35, [(BUY, 100, 1)]),
                   snapshot(START + 40, [(100, 1)], [(101, 3)]))

    def look(view: Any) -> None:
        seen.append((repr(view.feature("imbalance")), view.synced, view.bid_ticks, view.ask_ticks, view.mid_ticks))

    Run(events, [Scripted((START, look), *((START + t, look) for t in (5, 15, 25, 36, 45)))]).run()
    assert seen == [
        ("nan", True, 100, 102, 101.0), ("nan", True, 100, 102, 101.0), ("nan", True, 100, None, None),
        ("0.9", True, 100, 101, 100.5), ("nan", False, 100, 101, 100.5), ("0.25", True, 100, 101, 100.5),
    ]


def test_damage_is_told_before_it_is_read() -> None:
    """Lost otherwise: a crash, or worse an answer, from a tape whose batches point outside."""
    events = quiet(message("TRADE", START + 1, [(BUY, 102, 1)]))
    batches, levels, rows = pack(events)
    for field, value in (("first", 2**32 - 1), ("count", len(levels) + 1), ("encoding", 1)):
        broken = batches.copy()
        broken[field][1] = value
        with pytest.raises(ValueError, match="tape 0: the rows of batch 1 lie outside"):
            Run(events, batches=(broken, levels, rows))
    assert Run(events, batches=(batches, np.zeros(len(levels) + 1, LEVEL_DTYPE), rows)).driver.run()


def test_parts_of_another_size_are_refused() -> None:
    """Lost otherwise: positions of an instrument that the ledger does not have."""
    one, two = Run(quiet()), Run(quiet(instruments=2), count=2)
    for parts in ((2, one.ledger, two.gate, two.features), (2, two.ledger, one.gate, two.features),
                  (2, two.ledger, two.gate, one.features), (2, two.ledger, two.gate, [1, 2])):
        with pytest.raises(ValueError, match="2 instruments need"):
            Engine(parts[0], parts[1], parts[2], two.signals, parts[3])
    with pytest.raises(ValueError, match="not here"):
        Engine(2, two.ledger, two.gate, two.signals, two.features, synced=[2])
    sources = [(0, 0, (*pack(quiet()), None))]
    for engine, venues in ((two.engine, two.venues), (one.engine, two.venues), (one.engine, [None])):
        with pytest.raises(ValueError, match="a simulated venue and a source each"):
            ReplayDriver(engine, venues, sources)


def test_an_empty_tape_ends_at_once() -> None:
    """Lost otherwise: a replay that never ends, or one that divides by its length."""
    run = Run(np.zeros(0, EVENT_DTYPE), [Hooks(on_timer=lambda v: None, on_start=lambda v: v.every("1s"))])
    assert run.driver.run()
    assert (run.driver.rows_seen, len(run.orders)) == (0, 0)


def test_strategies_run_between_start_and_stop() -> None:
    """Lost otherwise: a strategy that trades on the part of a tape that was to warm the book up."""
    log: list[Any] = []
    events = quiet(*(message("BOOK_LEVEL", START + t, [(BUY, 100 - t % 3, t)]) for t in range(1, 100)))
    hooks = Hooks(on_start=lambda v: (log.append(("start", v.now - START, v.bid_lots)), v.every("7ns"))[0],
                  on_timer=lambda v: log.append(("timer", v.now - START)),
                  on_stop=lambda v: log.append(("stop", v.now - START, v.bid_lots)))
    run = Run(events, [hooks], start=START + 30, stop=START + 60).run()
    assert log == [("start", 30, 30), ("timer", 37), ("timer", 44), ("timer", 51), ("timer", 58), ("stop", 60, 60)]
    assert run.driver.rows_seen == 5 + 60
    assert int(run.engine.tables()[2]["ts_ns"][-1]) == START + 60


def test_local_time_is_shifted_as_one() -> None:
    """Lost otherwise: replies that reach us before their cause on a recording with a wrong clock."""
    seen: list[tuple[int, int]] = []
    events = quiet(message("BOOK_LEVEL", START + 100, [(BUY, 101, 1)]))
    events["ts_local_ns"] -= 500
    run = Run(events, [Scripted((START + 40, lambda v: seen.append((v.now - START, v.bid_ticks))),
                                (START + 110, lambda v: seen.append((v.now - START, v.bid_ticks))))], shift=510).run()
    assert seen == [(40, 100), (110, 101)]
    assert run.driver.clock_start == START
