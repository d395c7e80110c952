"""What a strategy sees and may do: the view, its hooks, bars, timers, and the engine's knowledge of working orders."""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np
import pandas as pd
import pytest

from apex._core.engine import STATES, Bar, Fill, duration_ns
from apex._core.risk import REASONS
from apex._core.simvenue import VENUE_REASONS
from apex.domain.limits import Limits
from tests.core.assembly import BUY, SELL, START, Hooks, Run, Scripted, message, snapshot
from tests.core.test_engine import market, quiet

FREE = Limits(duplicate_window="0ns", fat_finger_multiple="1000000")


def scripted(events: Any, *todo: tuple[int, Any], **more: Any) -> tuple[Run, list[Any]]:
    strategy = Scripted(*((START + t, f) for t, f in todo))
    run = Run(events, [strategy], **{"limits": FREE} | more).run()
    run.engine._check()
    return run, strategy.told


def working(view: Any) -> list[tuple[Any, ...]]:
    """(id, side, price, quantity, filled, acknowledged, pending) of each working order."""
    return [(o.id, o.side, o.price_ticks, o.quantity_lots, o.filled_lots, o.acknowledged, o.pending)
            for o in view.orders]


def states(run: Run) -> list[str]:
    return [STATES[int(o["state"])] for o in run.orders]


def test_reading() -> None:
    """Lost otherwise: prices a tick off, or decimals that are not the venue's."""
    def look(view: Any) -> tuple[Any, ...]:
        one = view[1]
        return (view.now - START, view.synced, view.bid_ticks, view.ask_ticks, view.mid_ticks, view.spread_ticks,
                view.bid_lots, view.ask_lots, view.bid, view.ask, view.mid, view.spread, view.bid_quantity,
                view.ask_quantity, one.instrument, one.bid, one.bid_quantity)

    _, told = scripted(quiet(instruments=2), (5, look), count=2)
    assert told == [(5, True, 100, 102, 101.0, 2, 10, 10, 10.0, 10.2, 10.1, 0.2, 0.01, 0.01, 1, 1.0, 1.0)]
    with pytest.raises(IndexError, match="instrument 2 is not in this run: it has 2"):
        scripted(quiet(instruments=2), (5, lambda v: v[2]), count=2)


def test_an_empty_book_reads_none() -> None:
    """Lost otherwise: a price of nothing that reads as a number."""
    names = ("bid_ticks", "ask_ticks", "mid_ticks", "spread_ticks", "bid", "ask", "mid", "spread", "fill")

    def look(view: Any) -> list[Any]:
        return [getattr(view, n) for n in names] + [view.bid_lots, view.ask_quantity, view.synced]

    _, told = scripted(message("TRADE", START, [(BUY, 1, 1)]), (1, look))
    assert told == [[None] * len(names) + [0, 0.0, False]]


def test_orders_by_hand() -> None:
    """Lost otherwise: an order that its strategy cannot follow from its sending to its end."""
    ids: list[int] = []
    fills: list[Any] = []

    def place(view: Any) -> Any:
        ids.append(view.limit("buy", 100, 7))
        ids.append(view.limit("sell", 103, 2, "GTX"))
        return working(view)

    strategy = Scripted(
        (START + 10, place), (START + 15, lambda v: (v.cancel(ids[0]), working(v)[0])),
        (START + 31, lambda v: (working(v), v.amend(ids[0], 100, 5), v.cancel(ids[0]), v.amend(ids[0], 99, 1),
                                working(v)[0])),
        (START + 61, lambda v: (working(v)[0], v.cancel(ids[0]), v.cancel(ids[0]))),
        (START + 99, lambda v: (working(v), v.position_lots, v.position, v.cancel(ids[0]))),
    )
    strategy.on_fill = lambda v: fills.append((v.now - START, v.fill))  # type: ignore[attr-defined]
    events = quiet(message("TRADE", START + 40, [(SELL, 100, 11)]), message("BOOK_LEVEL", START + 300, [(BUY, 90, 1)]))
    run = Run(events, [strategy], limits=FREE, latency=(10, 10, 10, 10)).run()
    one, two = ids
    assert strategy.told[0] == [(one, "buy", 100, 7, 0, False, True), (two, "sell", 103, 2, 0, False, True)]
    assert strategy.told[1] == (False, (one, "buy", 100, 7, 0, False, True))  # not yet acknowledged
    assert strategy.told[2] == ([(one, "buy", 100, 7, 0, True, False), (two, "sell", 103, 2, 0, True, False)],
                                True, False, False, (one, "buy", 100, 7, 0, True, True))
    assert fills == [(50, Fill(one, "buy", 100, 1, True))]
    assert strategy.told[3] == ((one, "buy", 100, 5, 1, True, False), True, False)
    assert strategy.told[4] == ([(two, "sell", 103, 2, 0, True, False)], 1, 0.001, False)
    assert states(run) == ["canceled", "open"]
    assert list(run.orders["filled_lots"]) == [1, 0]


def test_wrong_words_are_told() -> None:
    """Lost otherwise: an order on the wrong side, or none, for a typing mistake."""
    for call, word in (
        (lambda v: v.limit("long", 1, 1), "'long' is not a side"), (lambda v: v.limit("buy", 1, 1, "DAY"), "'DAY'"),
        (lambda v: v.market("Buy", 1), "'Buy' is not a side"), (lambda v: v.every("1 minute"), "is not a duration"),
        (lambda v: v.every("0s"), "never ends"), (lambda v: v.on_bar("0s"), "no length"),
        (lambda v: v.on_bar("1s"), "on_bar"),
        (lambda v: v.on_move(0), "at least 1 tick"), (lambda v: v.on_move(), "on_book"),
        (lambda v: v.feature("rsi"), "no feature 'rsi'"), (lambda v: v.score("x"), "no score 'x'"),
        (lambda v: v.when("imbalance"), "above, below or both"),
    ):
        with pytest.raises(ValueError, match=word):
            scripted(quiet(), (1, call))
    for n, call in (
        (1, lambda v: v.limit("buy", 1, 1, instrument=1)), (-1, lambda v: v.market("buy", 1, instrument=-1)),
        (7, lambda v: v.target(1, instrument=7)), (2, lambda v: v.when("ofi", above=1, instrument=2)),
        (3, lambda v: v.blend("x", {"ofi": 1}, instrument=3)), (-2, lambda v: v[-2]),
    ):
        with pytest.raises(IndexError, match=f"instrument {n} is not in this run"):
            scripted(quiet(), (1, call))
    for number in (0, 1, 1 << 54, 5):
        with pytest.raises(KeyError, match="not one of this run"):
            scripted(quiet(), (1, lambda v, n=number: v.cancel(n)))


@pytest.mark.parametrize("name", ["now", "instrument", "signal", "source", "bar", "bid_ticks", "position", "cash",
                                  "equity", "orders", "fill", "synced", "engine", "slot", "gate", "anything"])
def test_a_view_cannot_be_written(name: str) -> None:
    """Lost otherwise: a way round the gate."""
    def write(view: Any) -> None:
        with pytest.raises((AttributeError, TypeError)):
            setattr(view, name, 5)
        if name in ("engine", "slot", "gate"):
            assert not hasattr(view, name)

    scripted(quiet(), (1, write))


def test_a_strategy_changes_only_its_own_orders() -> None:
    """Lost otherwise: two strategies that cancel each other's quotes."""
    ids: list[int] = []
    seen: list[Any] = []
    first = Scripted((START + 1, lambda v: ids.append(v.limit("buy", 99, 2))))

    def other(view: Any) -> None:
        with pytest.raises(KeyError, match="another strategy's"):
            view.cancel(ids[0])
        with pytest.raises(KeyError, match="another strategy's"):
            view.amend(ids[0], 98, 1)
        seen.append((view.orders, view.cancel_all()))

    run = Run(quiet(), [first, Scripted((START + 2, other))], limits=FREE).run()
    assert seen == [([], 0)]
    assert states(run) == ["open"]


def test_cancel_all_and_target() -> None:
    """Lost otherwise: positions that miss their target by what was already on its way."""
    events = quiet(message("BOOK_LEVEL", START + 500, [(BUY, 50, 1)], instrument=1), instruments=2)
    _, told = scripted(
        events, (1, lambda v: [v.limit("buy", 95 + k, 1, instrument=k % 2) for k in range(4)]),
        (2, lambda v: v.cancel_all()), (20, lambda v: v.cancel_all()), (21, lambda v: v.cancel_all()),
        (40, lambda v: (v.orders, v[1].orders, bool(v.target(5)), v.target(5), bool(v.target(-3, instrument=1)))),
        (60, lambda v: (v.position_lots, v[1].position_lots, v.target(5), bool(v.target(0)))),
        (80, lambda v: (v.position_lots, v[1].target(-3))), count=2, latency=(5, 5, 5, 5),
    )
    assert told[1:] == [0, 4, 0, ([], [], True, 0, True), (5, -3, 0, True), (0, 0)]


def test_every_denial_has_its_reason() -> None:
    """Lost otherwise: an order that was not sent, and nobody knows why."""
    events = quiet(message("LINK_GAP", START + 50), message("BOOK_LEVEL", START + 60, [(BUY, 100, 1)]))
    run, told = scripted(
        events, (1, lambda v: v.limit("buy", 200, 1)), (2, lambda v: v.limit("buy", 100, 30)),
        (3, lambda v: v.market("buy", 0)), (4, lambda v: v.limit("sell", 101, 1)),
        (5, lambda v: v.limit("buy", 101, 1)), (55, lambda v: v.market("buy", 1)),
        limits=Limits(order_quantity_max="0.02", duplicate_window="0ns"),
    )
    assert [bool(x) for x in told] == [False, False, False, True, False, False]
    assert [REASONS[int(o["deny_reason"])] for o in run.orders] == [
        "price-collar", "order-quantity", "malformed", "allowed", "self-trade", "book-unsynced"]
    assert states(run) == ["denied", "denied", "denied", "open", "denied", "denied"]
    assert (run.engine.intents, run.engine.denied) == (6, 5)


def test_an_amendment_in_flight_counts_at_both_prices() -> None:
    """Lost otherwise: a position limit, or self-trade protection, that does not see what is on its way."""
    ids: list[int] = []
    run, told = scripted(
        quiet(message("BOOK_LEVEL", START + 500, [(BUY, 50, 1)])),
        (1, lambda v: (ids.append(v.limit("sell", 110, 2)), ids.append(v.limit("buy", 95, 4)))),
        (20, lambda v: (v.amend(ids[0], 103, 2), v.amend(ids[1], 96, 9))),
        (21, lambda v: (v.limit("buy", 103, 1), v.limit("buy", 102, 2), bool(v.limit("buy", 102, 1)))),
        (22, lambda v: v.limit("sell", 96, 1)), latency=(8, 8, 8, 0), limits=Limits(position_max="0.010"),
    )
    assert told[1] == (True, True)
    assert told[2] == (0, 0, True)  # 103 meets the amended sell; 9 + 2 would exceed 10; 9 + 1 does not
    assert told[3] == 0
    reasons = [REASONS[int(o["deny_reason"])] for o in run.orders]
    assert reasons[2:] == ["self-trade", "position", "allowed", "self-trade"]


def test_amendments_count_what_has_filled() -> None:
    """Lost otherwise: an amended order that we believe open and the venue has filled, or the other way round."""
    ids: list[int] = []
    events = quiet(message("TRADE", START + 20, [(SELL, 99, 4)]), message("BOOK_LEVEL", START + 90, [(BUY, 90, 1)]))
    run, told = scripted(
        events, (1, lambda v: [ids.append(v.limit("buy", 100 - k, 10)) for k in range(3)]),
        (30, lambda v: [(o.price_ticks, o.filled_lots) for o in v.orders]),
        (31, lambda v: v.amend(ids[0], 103, 6)),    # 4 have filled: takes 2 and is done
        (32, lambda v: v.amend(ids[1], 103, 30)),   # takes what is left, 8 and 10, and rests with 12
        (33, lambda v: v.amend(ids[2], 98, 10)),    # nothing changes, the place stays
        (34, working),
    )
    assert told[1] == [(100, 4), (99, 0), (98, 0)]
    assert told[5] == [(ids[1], "buy", 103, 30, 18, True, False), (ids[2], "buy", 98, 10, 0, True, False)]
    assert list(run.fills["price_ticks"]) == [100, 102, 102, 103]
    assert list(run.fills["quantity_lots"]) == [4, 2, 8, 10]
    assert states(run) == ["filled", "open", "open"]


def test_a_cancel_in_flight_blocks_the_next_request() -> None:
    """Lost otherwise: a venue that is asked twice, and a refusal that looks like an error of ours.

    Sent from on_fill, right when the first fill of an order tells of it.
    """
    sent: list[Any] = []
    strategy = Scripted((START + 1, lambda v: v.limit("buy", 102, 12)))

    def on_fill(view: Any) -> None:
        one = view.orders[0]
        sent.append((one.acknowledged, view.cancel(one.id), view.cancel(one.id), view.amend(one.id, 101, 1)))

    strategy.on_fill = on_fill  # type: ignore[attr-defined]
    events = quiet(message("BOOK_LEVEL", START + 500, [(BUY, 90, 1)]))
    run = Run(events, [strategy], limits=FREE, latency=(5, 5, 5, 5)).run()
    assert sent == [(True, True, False, False)]
    assert states(run) == ["canceled"]
    assert (run.gate.sent_orders, run.gate.sent_requests) == (1, 1)


def test_a_late_cancel_is_refused_and_changes_nothing() -> None:
    """Lost otherwise: an order that a refusal of its cancellation brings back to life."""
    ids: list[int] = []
    events = quiet(message("TRADE", START + 30, [(SELL, 90, 50)]), message("BOOK_LEVEL", START + 99, [(BUY, 90, 1)]))
    run, told = scripted(events, (1, lambda v: ids.append(v.limit("buy", 99, 2))), (28, lambda v: v.cancel(ids[0])),
                         (60, lambda v: (v.orders, v.cancel(ids[0]))), latency=(5, 5, 5, 5))
    assert told == [None, True, ([], False)]
    order = run.orders[0]
    assert (STATES[int(order["state"])], int(order["filled_lots"]), int(order["pending"])) == ("filled", 2, 0)
    assert int(order["ts_venue_ns"]) == START + 30
    assert int(order["ts_done_ns"]) == START + 35


def test_more_than_four_thousand_orders_work_at_once() -> None:
    """Lost otherwise: a write behind the list of working orders, where the gate only counts."""
    def flood(view: Any) -> int:
        return sum(bool(view.limit("buy", 1 + k % 90, 1)) for k in range(5000))

    run, told = scripted(quiet(), (1, flood), (500, lambda v: len(v.orders)), limits=None, latency=(100, 0, 0, 100))
    assert told == [5000, 4096]
    assert [VENUE_REASONS[int(r)] for r in np.unique(run.orders["venue_reason"])] == ["", "venue_full"]
    run.engine._check()


# ---- timers, bars, moves ---------------------------------------------------------------------------------------------


def test_timers() -> None:
    """Lost otherwise: clocks that go backwards, or strategies that are called after the market has closed."""
    log: list[int] = []

    def on_start(view: Any) -> None:
        view.every("30ns")
        view.every("200ns")   # beyond the tape: never
        view.at(START - 1000)  # past: at once
        view.at(START + 45)

    def on_timer(view: Any) -> None:
        log.append(view.now - START)
        if len(log) == 2:
            view.at(START + 7)
            view.at(START + 5000)  # once, whenever: also after the last event

    events = quiet(message("BOOK_LEVEL", START + 100, [(BUY, 90, 1)]))
    run = Run(events, [Hooks(on_start=on_start, on_timer=on_timer)]).run()
    assert log == [0, 30, 30, 45, 60, 90, 5000]
    assert run.engine.now == START + 5000

    def many(view: Any) -> None:
        for _ in range(300):
            view.every("1ns")

    with pytest.raises(ValueError, match="more than 256 timers"):
        scripted(quiet(message("TRADE", START + 9, [(BUY, 1, 1)])), (1, many))


def test_a_run_ends_though_its_timers_go_on() -> None:
    """Lost otherwise: a strategy that always asks for its next call, and a replay without an end."""
    seen: list[int] = []

    def again(view: Any) -> None:
        seen.append(view.now - START)
        view.at(view.now + 60)

    events = quiet(message("BOOK_LEVEL", START + 100, [(BUY, 90, 1)]))
    run = Run(events, [Hooks(on_start=lambda v: v.at(START + 30), on_timer=again)]).run()
    assert seen == [30, 90, 150]
    assert run.engine.now == START + 150


def test_timers_that_never_get_later_are_told() -> None:
    """Lost otherwise: a run that hangs at one time for ever, and does not say why."""
    events = quiet(message("BOOK_LEVEL", START + 100, [(BUY, 90, 1)]))
    with pytest.raises(ValueError, match="timers at once"):
        Run(events, [Hooks(on_start=lambda v: v.at(START + 30), on_timer=lambda v: v.at(v.now - 5))]).run()


def test_durations() -> None:
    """Lost otherwise: an hour that is a minute."""
    units = {"1ns": 1, "5us": 5000, "100ms": 10**8, "2s": 2 * 10**9, "1m": 6 * 10**10, "1h": 36 * 10**11,
             "1d": 864 * 10**11}
    assert {text: duration_ns(text) for text in units} == units
    for wrong in ("", "5", "ms", "1S", "-1s", " 1s", "1 s", "1.5s", "1sm", "1hs", 5, None):
        with pytest.raises(ValueError, match="is not a duration"):
            duration_ns(wrong)


def test_strategies_wait_for_every_book() -> None:
    """Lost otherwise: the first ten lines that everybody writes, failing on None."""
    calls: list[tuple[str, int]] = []
    events = np.concatenate([message("TRADE", START, [(BUY, 100, 1)]), snapshot(START + 25, [(100, 1)], [(101, 1)]),
                             message("BOOK_LEVEL", START + 100, [(BUY, 100, 2)])])
    for waits in (True, False):
        calls.clear()
        hooks = Hooks(waits=waits, on_start=lambda v: v.every("10ns"), on_timer=lambda v: calls.append(v.now - START))
        Run(events, [hooks]).run()
        assert calls == [t for t in range(10, 101, 10) if t > 25 or not waits]


@pytest.mark.parametrize("seed", [3, 4])
def test_bars_equal_pandas(seed: int) -> None:
    """Lost otherwise: bars that no other program has. A trade at a bar's end belongs to the next one."""
    events = market(seed, 3000)
    step = 20_000_000
    trades = events[(events["kind"] == 3)]
    on_edge = trades["ts_local_ns"] % step < 3_000_000
    events["ts_local_ns"][np.flatnonzero(events["kind"] == 3)[on_edge]] //= step
    events["ts_local_ns"][np.flatnonzero(events["kind"] == 3)[on_edge]] *= step
    for i in range(3):
        mine = events["instrument"] == i
        events["ts_local_ns"][mine] = np.maximum.accumulate(events["ts_local_ns"][mine])
    events = events[np.argsort(events["ts_local_ns"], kind="stable")]
    bars: list[Bar] = []
    hooks = Hooks(on_start=lambda v: [v.on_bar("20ms", instrument=i) for i in range(3)],
                  on_bar=lambda v: bars.append(v.bar))
    run = Run(events, [hooks], count=3).run()
    trades = events[events["kind"] == 3]
    assert (trades["ts_local_ns"] % step == 0).sum() > 20
    for i in range(3):
        mine = trades[trades["instrument"] == i]
        bought = mine["quantity_lots"] * (mine["side"] == BUY)
        frame = pd.DataFrame({"p": mine["price_ticks"], "q": mine["quantity_lots"], "n": 1, "b": bought},
                             index=pd.to_datetime(mine["ts_local_ns"]))
        groups = frame.resample("20ms", origin="epoch", closed="left", label="left")
        want = groups["p"].ohlc().join(groups[["q", "b", "n"]].sum())
        want["close"] = want["close"].ffill()
        for name in ("open", "high", "low"):
            want[name] = want[name].fillna(want["close"])
        opens = want.index.astype("datetime64[ns]").astype(np.int64)
        want = want[opens + step <= run.driver.end_ns]
        got = [b for b in bars if b.instrument == i][:len(want)]
        assert [b[1:] for b in got] == [
            (int(o), step, *(int(r[n]) for n in ("open", "high", "low", "close", "q", "b", "n")))
            for o, (_, r) in zip(opens, want.iterrows(), strict=False)]
        later = [b for b in bars if b.instrument == i][len(want):]
        assert all(b.trades == 0 and b.close == got[-1].close for b in later)


def test_moves_are_counted_for_each_strategy() -> None:
    """Lost otherwise: a strategy that never hears of a slow move, since a faster one has heard of its parts."""
    calls: list[tuple[int, int]] = []

    def follower(ticks: int) -> Hooks:
        return Hooks(on_start=lambda v: v.on_move(ticks), on_book=lambda v: calls.append((ticks, v.now - START)))

    events = quiet(*(message("BOOK_LEVEL", START + k, [(BUY, 100 + k, 1), (SELL, 102 + k - 1, 0), (SELL, 102 + k, 9)])
                     for k in range(1, 8)))
    Run(events, [follower(1), follower(3)]).run()
    assert calls == [(1, 1), (1, 2), (1, 3), (3, 3), (1, 4), (1, 5), (1, 6), (3, 6), (1, 7)]


def test_an_error_of_a_strategy_comes_out() -> None:
    """Lost otherwise: a strategy that stopped at its first event, and a report that says it did not trade."""
    def broken(view: Any) -> None:
        raise ZeroDivisionError(f"at {view.now - START}")

    for hooks in ({"on_timer": broken, "on_start": lambda v: v.every("10ns")}, {"on_start": broken},
                  {"on_stop": broken}, {"on_book": broken, "on_start": lambda v: v.on_move(1)}):
        run = Run(quiet(message("BOOK_LEVEL", START + 50, [(BUY, 101, 1), (SELL, 102, 0)])), [Hooks(**hooks)])
        with pytest.raises(ZeroDivisionError, match="at ") as caught:
            run.run()
        assert "broken" in "".join(traceback.format_exception(caught.value))
