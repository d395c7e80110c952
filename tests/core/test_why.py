"""Why there was no fill: every signal and order has its reason, sums are exact, and the gate knows what we lost."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apex
from apex._core.engine import STATES
from apex._core.events import pack
from apex.domain.errors import InputError, StrategyError
from apex.domain.instrument import Instrument
from apex.domain.limits import Limits
from apex.store.tape import TapeWriter
from tests.core.assembly import BUY, NAMES, SELL, START, Hooks, Run, Scripted, message, snapshot
from tests.core.test_engine import market, quiet

SECOND = 10**9
DAY = 86_400 * SECOND


def write(path: Path, events: Any, instruments: list[Instrument] = NAMES) -> Path:
    with TapeWriter(path, instruments, source="test") as tape:
        tape.append(*pack(events))
    return path


class Chaser(apex.Strategy):
    """Sends on every second signal; cancels what rests."""

    class Params(apex.Params):
        position_max: int = apex.bound(20, low=1, high=100)

    def on_start(self, view: Any) -> None:
        self.calls = 0
        for i in range(3):
            view.when("imbalance", above=0.7, below=0.3, cooldown="30ms", instrument=i)
        view.every("200ms")

    def on_signal(self, view: Any) -> None:
        self.calls += 1
        one = view[view.source]
        if self.calls % 2:
            one.limit("buy", one.bid_ticks + self.calls % 4, 3, ("GTC", "GTX", "IOC", "FOK")[self.calls % 8 // 2])
            one.limit("sell", one.ask_ticks + 30, 500)

    def on_timer(self, view: Any) -> None:
        view.cancel_all()


@pytest.fixture(scope="module")
def tape(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("why") / "market.tape", market(7, 6000))


def accounted(summary: dict[str, Any]) -> None:
    """The identities that hold for every replay, to the unit."""
    assert summary["signals"] == summary["orders"] + summary["blocked"]
    assert sum(summary["blocked_by"].values()) == summary["blocked"]
    assert sum(summary["denied_by"].values()) == summary["denied"] <= summary["blocked"]
    assert sum(summary["unfilled_by"].values()) == summary["unfilled"] <= summary["orders"]
    assert all(count > 0 for name in ("blocked_by", "denied_by", "unfilled_by") for count in summary[name].values())


def test_signals_are_orders_and_blocked(tape: Path) -> None:
    """Lost otherwise: the one table that says why a strategy does not trade."""
    limits = tape.with_name("limits.toml")
    limits.write_text('fat_finger_multiple = 3\nmessages_per_second_max = 40\n')
    result = apex.replay(tape, Chaser, order_latency="4ms", response_latency="1ms", limits=str(limits))
    summary = result.summary
    accounted(summary)
    assert set(summary["blocked_by"]) >= {"no_order_made", "cooldown", "fat-finger"}
    assert set(summary["unfilled_by"]) >= {"canceled", "no_liquidity", "post_only_would_cross"}
    orders = result.orders
    assert (orders["status"] == "denied").sum() == summary["denied"]
    assert orders.loc[orders["status"] == "denied", "reason"].value_counts().to_dict() == summary["denied_by"]
    assert len(orders) == summary["orders"] + summary["denied"]


def test_a_result_is_the_same_on_every_run(tape: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost otherwise: results that cannot be compared, since they differ by themselves."""
    first = apex.replay(tape, Chaser, order_latency="4ms")
    for chunk in (1, 97, 1 << 20):
        monkeypatch.setattr("apex.app.replay.CHUNK", chunk)
        again = apex.replay(str(tape), Chaser, order_latency="4ms", out=tape.parent / f"out{chunk}")
        assert again.summary["result_hash"] == first.summary["result_hash"]
    other = apex.replay(tape, Chaser, order_latency="5ms")
    assert other.summary["result_hash"] != first.summary["result_hash"]


def test_several_tapes_are_one_run(tape: Path) -> None:
    """Lost otherwise: a result that depends on how instruments were put on tapes."""
    events = market(7, 6000)
    parts = []
    for i, instrument in enumerate(NAMES):
        mine = events[events["instrument"] == i].copy()
        mine["instrument"] = 0
        parts.append(write(tape.with_name(f"{instrument.symbol}.tape"), mine, [instrument]))
    one, three = apex.replay(tape, Chaser), apex.replay(parts, Chaser)
    assert three.summary["result_hash"] == one.summary["result_hash"]
    assert three.summary["events"] == one.summary["events"] == len(events)
    accounted(three.summary)


def schedule(path: Path, rows: list[tuple[Any, ...]]) -> str:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("ts", "id", "side", "price", "quantity", "tif", "cancel_ts"), *rows])
    return str(path)


def test_a_schedule_tells_what_was_executed(tmp_path: Path) -> None:
    """Lost otherwise: executed quantities of the last chunk only, at the price of the last chunk."""
    events = quiet(message("TRADE", START + 50, [(SELL, 98, 6)]), message("LINK_GAP", START + 60),
                   message("TRADE", START + 99, [(BUY, 1, 1)]))
    tape = write(tmp_path / "a.tape", events, NAMES[:1])
    orders = schedule(tmp_path / "orders.csv", [
        (START + 1, 11, "buy", "10.3", "0.015", "GTC", ""), (START + 2, 7, "sell", "9.9", "0.025", "IOC", ""),
        (START + 3, 8, "buy", "9.9", "0.010", "GTC", START + 55), (START + 4, 9, "buy", "10.3", "0.001", "GTX", ""),
        (START + 5, 10, "sell", "9.8", "1", "FOK", ""), (START + 6, 12, "sell", "", "0.001", "", ""),
        (START + 70, 13, "buy", "9.9", "0.001", "GTC", ""),
    ])
    result = apex.replay(tape, orders=orders, out=tmp_path / "out")
    accounted(result.summary)
    assert (tmp_path / "out" / "orders.csv").read_text().splitlines() == [
        "id,status,ts,price_ticks,quantity,avg_price",
        f"11,filled,{START + 1},103,0.015,10.233333333333",
        f"7,expired,{START + 2},99,0.02,9.95",
        f"8,canceled,{START + 55},99,0.006,9.9",
        f"9,expired,{START + 4},103,0,",
        f"10,expired,{START + 5},98,0,",
        f"12,expired,{START + 6},0,0,",
        f"13,expired,{START + 70},99,0,",
    ]
    assert result.summary["unfilled_by"] == {"no_liquidity": 3, "canceled": 1, "post_only_would_cross": 1,
                                             "venue_unsynced": 1}


def test_more_requests_than_can_fly_are_denied_and_counted(tmp_path: Path) -> None:
    """Lost otherwise: orders that vanish between the gate and the venue, where no check denies."""
    tape = write(tmp_path / "a.tape", quiet(message("TRADE", START + SECOND, [(BUY, 1, 1)])), NAMES[:1])
    orders = schedule(tmp_path / "o.csv", [(START + 1, n, "buy", "1", "0.001", "GTC", "") for n in range(1, 8301)])
    summary = apex.replay(tape, orders=orders, order_latency="500ms").summary
    accounted(summary)
    assert (summary["orders"], summary["denied_by"]) == (8192, {"gateway-refused": 108})
    assert summary["unfilled_by"] == {"resting_at_end": 4096, "venue_full": 4096}
    assert summary["would_have_denied_by"]["price-collar"] == 8300


def test_a_raising_strategy_says_where(tape: Path) -> None:
    """Lost otherwise: a person who looks for the error in APEX, or at the wrong place of the tape."""
    def late(view: Any) -> None:
        if view.now > START + SECOND:
            assert view.bid_ticks < 0, "my own assumption"

    with pytest.raises(StrategyError, match="my own assumption") as caught:
        apex.replay(tape, Hooks(on_start=lambda v: v.every("10ms"), on_timer=late))
    assert "in late" in caught.value.do
    assert caught.value.where.startswith(f"{__file__}:{late.__code__.co_firstlineno + 2}, ")
    assert "rows, event time 17230752" in caught.value.where


def test_what_cannot_be_counted_is_no_fault_of_the_strategy(tmp_path: Path) -> None:
    """Lost otherwise: cash that wraps, or a strategy that is blamed for it."""
    events = np.concatenate([snapshot(START, [(1, 1)], [(10**9, 10**12)]), message("TRADE", START + 50, [(BUY, 1, 1)])])
    tape = write(tmp_path / "a.tape", events, NAMES[:1])
    orders = schedule(tmp_path / "o.csv", [(START + 1, 1, "buy", "", "1000000000", "", "")])
    with pytest.raises(InputError, match="overflow") as caught:
        apex.replay(tape, orders=orders)
    assert "event time" in caught.value.where


# ---- what the gate knows ---------------------------------------------------------------------------------------------


def bid_at(ts: int, ticks: int, before: int) -> Any:
    """The whole book moves: bid and ask of 10 lots each."""
    return message("BOOK_LEVEL", ts, [(BUY, before, 0), (SELL, before + 2, 0), (BUY, ticks, 10), (SELL, ticks + 2, 10)])


def denied(run: Run) -> list[str]:
    return [STATES[int(o["state"])] for o in run.orders]


def walked(start: int, bids: list[tuple[int, int]]) -> Any:
    """A book whose bid goes through (time after start, ticks)."""
    made, before = [snapshot(start, [(1000, 10)], [(1002, 10)])], 1000
    for t, ticks in bids:
        made.append(bid_at(start + t, ticks, before))
        before = ticks
    return np.concatenate(made)


def test_a_daily_loss_ends_at_midnight() -> None:
    """Lost otherwise: a limit of the day that lasts a week, or one that forgets at the wrong midnight.

    5 lots of 0.001 at ticks of 0.1: a tick is 0.0005. Down 21 ticks of mid from 1002 to 981 with the spread.
    """
    midnight = (START // DAY + 1) * DAY
    start = midnight - 100 * SECOND
    events = walked(start, [(20 * SECOND, 981), (130 * SECOND, 981), (150 * SECOND, 970), (200 * SECOND, 970)])

    def buy(view: Any) -> int:
        return int(view.market("buy", 5))

    strategy = Scripted(*((start + t * SECOND, buy) for t in (10, 21, 25, 131, 151, 160)))
    limits = Limits(daily_loss_max="0.009", duplicate_window="0ns", book_age_max="1h")
    run = Run(events, [strategy], limits=limits).run()
    # After 21 s: -0.01 on the day. After midnight the day begins anew at -0.01; at 151 s 10 lots have lost 0.0115 more.
    assert [bool(x) for x in strategy.told] == [True, False, False, True, False, False]
    assert run.gate.counters() == {"daily-loss": 4}


def test_a_drawdown_counts_from_the_peak() -> None:
    """Lost otherwise: a profit that may be lost whole, since only losses from the start count."""
    events = walked(START, [(20 * SECOND, 1040), (40 * SECOND, 1025), (60 * SECOND, 1018), (70 * SECOND, 1018)])
    strategy = Scripted((START + 10 * SECOND, lambda v: bool(v.market("buy", 5))),
                        *((START + t * SECOND, lambda v: bool(v.limit("buy", v.bid_ticks - 9, 1))) for t in (41, 61)),
                        (START + 62 * SECOND, lambda v: bool(v.market("sell", 5))),
                        (START + 63 * SECOND, lambda v: bool(v.limit("sell", v.ask_ticks + 9, 1))))
    limits = Limits(drawdown_max="0.01", duplicate_window="0ns", book_age_max="1h")
    run = Run(events, [strategy], limits=limits).run()
    assert strategy.told == [True, True, False, True, False]  # the exit passes, what opens does not
    assert run.gate.counters() == {"drawdown": 2}


def test_gross_notional_counts_all_instruments() -> None:
    """Lost otherwise: a limit a person sets once, and that holds for each instrument apart."""
    limits = Limits(gross_notional_max="0.3", duplicate_window="0ns", position_max="1000", fat_finger_multiple="1000")
    strategy = Scripted((START + 1, lambda v: bool(v.market("buy", 10))),           # 0.1 of AAA at 10.1
                        (START + 20, lambda v: bool(v[1].limit("sell", 103, 1))),   # 0.1 of BBB at 1.03
                        (START + 40, lambda v: bool(v.limit("buy", 95, 11))),       # 0.10 more would be too much
                        (START + 41, lambda v: bool(v.limit("buy", 95, 9))))
    events = quiet(message("BOOK_LEVEL", START + 90, [(BUY, 50, 1)]), instruments=2)
    run = Run(events, [strategy], count=2, limits=limits).run()
    assert strategy.told == [True, True, False, True]
    assert run.gate.counters() == {"gross-notional": 1}


def test_equity_is_the_ledgers_at_every_row() -> None:
    """Lost otherwise: a curve that ends elsewhere than the account."""
    run = Run(market(5, 2000), [Hooks(on_start=lambda v: v.every("20ms"), on_timer=lambda v: v.market("buy", 1))],
              count=3, limits=Limits(duplicate_window="0ns"), fees=(10**8, 3 * 10**8), grid_ns=50_000_000).run()
    equity, marks = run.engine.tables()[2:]
    assert (equity["net"] == equity["gross"] - equity["fees"]).all()
    assert len(np.unique(equity["ts_ns"])) == len(equity)
    assert (np.diff(equity["ts_ns"])[:-1] == 50_000_000).all()
    for name in ("gross", "fees", "net"):
        assert equity[name][-1] == sum(run.ledger.pnl(i, run.engine.mid2(i))[name] for i in range(3))
    assert list(marks["lots"][-1]) == [run.ledger.position(i) for i in range(3)]
