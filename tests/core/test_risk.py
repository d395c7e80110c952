"""The risk gate against a plain-Python gate, by hand, and at the edges of what it can count."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apex._core.events import COMMAND_DTYPE
from apex._core.risk import FACTS_DTYPE, LIMIT_KEYS, REASONS, CountingGateway, RiskGate, facts
from apex.domain.instrument import Instrument
from apex.domain.limits import Limits
from tests.oracles.risk import ALLOWED, AMEND, BUY, CANCEL, LIMIT, MARKET, NO_ASK, NO_BID, PLACE, SELL, OracleGate

TERMS: list[dict[str, Any]] = [
    {"value_num": 10_000, "value_den": 1, "kind": "linear"},
    {"value_num": 3, "value_den": 7, "kind": "spot"},
    {"value_num": 1, "value_den": 10**6, "kind": "linear"},
]
WIDE = Limits().integers(Instrument("X", "v", "0.1", "0.001"))
TIGHT = WIDE | {
    "price_collar": 10**10, "fat_finger_multiple": 2_500_000, "order_value_max": 10**9, "order_quantity_max": 40,
    "position_max": 60, "gross_notional_max": 10**10, "open_orders_max": 4, "messages_per_second_max": 30,
    "book_age_max_ns": 10**9, "duplicate_window_ns": 10**8, "daily_loss_max": 10**6, "drawdown_max": 2 * 10**6,
}
LIMITS = [WIDE, TIGHT, TIGHT | {"messages_per_second_max": 8, "position_max": 2**60, "order_value_max": 10**4}]
NAMES = [n for n in COMMAND_DTYPE.names or () if n not in ("ts_local_ns", "row", "strategy")]


def pair(*, limits: list[dict[str, int]] = LIMITS, scripted: bool = False,
         gateway: CountingGateway | None = None) -> tuple[RiskGate, OracleGate]:
    sink = CountingGateway() if gateway is None else gateway
    return RiskGate(limits, TERMS, gateway=sink, scripted=scripted), OracleGate(limits, TERMS, scripted)


def command_row(**known: int) -> Any:
    row = np.zeros(1, COMMAND_DTYPE)
    for name, value in known.items():
        row[name] = value
    return row


def equal(gate: RiskGate, oracle: OracleGate) -> None:
    assert gate.counters() == oracle.counts
    assert gate.request_counters() == oracle.request_counts
    assert gate.sent_orders + gate.sent_requests == len(oracle.messages)


class Traffic:
    """Commands and facts of a busy, half-broken day."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.now = 10**18
        self.last: dict[str, int] = {}

    def facts(self, instrument: int) -> dict[str, int]:
        rng = self.rng
        self.now += rng.choice((0, 10**6, 4 * 10**7, 3 * 10**8))
        tight = instrument > 0
        mid = rng.randint(1000, 1100) if rng.random() < 0.98 else rng.choice((1, 2**59))
        lots = rng.choice((0, rng.randint(-70, 70)))
        f = {
            "now_ns": self.now,
            "bid_ticks": mid - rng.choice((0, 1, 1, 2)), "ask_ticks": mid + rng.choice((0, 1, 1, 3)),
            "touch_bid_lots": rng.randint(1, 30), "touch_ask_lots": rng.randint(1, 30),
            "book_ts_ns": self.now - rng.choice((0, 10**8, 10**9, 10**9 + 1)), "position_lots": lots,
            "open_buy_lots": rng.choice((0, 0, rng.randint(0, 60))),
            "open_sell_lots": rng.choice((0, 0, rng.randint(0, 60))),
            "open_orders": rng.randint(0, 5) if tight else rng.randint(0, 201), "amended_lots": 0,
            "own_best_bid_ticks": rng.choice((NO_BID, mid - 1)), "own_best_ask_ticks": rng.choice((NO_ASK, mid + 1)),
            "gross_notional": rng.randint(0, 2 * 10**10), "equity_now": -rng.randint(0, 10**6),
            "equity_peak": rng.randint(0, 15 * 10**5), "equity_day_start": rng.randint(-(10**5), 10**5),
            "book_synced": int(rng.random() < 0.98), "facts_known": int(rng.random() < 0.98),
        }
        if rng.random() < 0.1:
            broken = rng.choice(list(f))
            f[broken] = rng.choice((0, -1, NO_BID, NO_ASK, 2**60, 2**60 + 1, 2**62, -(2**62), 2**63 - 1, -(2**63) + 1))
            if broken in ("book_synced", "facts_known"):
                f[broken] = abs(f[broken]) % 2
            if broken == "now_ns":
                f[broken] = self.now  # the oracle's search, like event time, goes forward only
        return f

    def command(self, f: dict[str, int], instrument: int) -> dict[str, int]:
        rng = self.rng
        if self.last and rng.random() < 0.15:
            return self.last | {"instrument": instrument}
        mid = max(min((f["bid_ticks"] + f["ask_ticks"]) // 2, 2**61), -(2**61))
        kind = rng.choices((PLACE, AMEND, CANCEL), (8, 1, 1))[0]
        c = {
            "order_id": rng.randint(1, 2**63), "price_ticks": mid + rng.choice((0, -1, 1, -5, 5, rng.randint(-40, 40))),
            "quantity_lots": rng.choice((1, rng.randint(1, 45), rng.randint(1, 90))), "instrument": instrument,
            "kind": kind, "side": rng.choice((BUY, SELL)), "type": rng.choice((LIMIT, LIMIT, LIMIT, MARKET)),
            "tif": rng.randint(0, 3), "flags": 0, "extra": 0,
        }
        if rng.random() < 0.15:
            c |= {"type": rng.randint(0, 4), "flags": rng.choice((0, 1, 1, 2, 3)), "extra": rng.choice((0, 1, 5, 5))}
        if kind == AMEND:
            f["amended_lots"] = rng.choice((0, rng.randint(1, 90)))
        if rng.random() < 0.05:
            broken = rng.choice(list(c))
            c[broken] = {
                "order_id": 0, "instrument": rng.choice((len(TERMS), 2**32 - 1)), "kind": rng.choice((0, 4, 255)),
                "side": rng.choice((0, 3, 255)), "type": rng.choice((5, 255)), "tif": rng.choice((4, 255)),
                "flags": rng.choice((4, 2**32 - 1)), "extra": rng.choice((-1, 2**60, 2**60 + 1, -(2**63))),
                "price_ticks": rng.choice((0, -1, 2**60, 2**60 + 1, 2**63 - 1, -(2**63) + 1)),
                "quantity_lots": rng.choice((0, -1, 2**60, 2**60 + 1, 2**63 - 1, -(2**63) + 1)),
            }[broken]
        self.last = c
        return c


def compared(seed: int, count: int, *, scripted: bool = False, check_every: int = 1) -> tuple[RiskGate, OracleGate]:
    """The same traffic through both gates; every answer must be equal."""
    sink = CountingGateway()
    gate, oracle = pair(scripted=scripted, gateway=sink)
    traffic = Traffic(seed)
    state_rng = random.Random(seed + 1)
    row, known = np.zeros(1, COMMAND_DTYPE), np.zeros(1, FACTS_DTYPE)
    for n in range(count):
        if state_rng.random() < 0.002:
            oracle.state = state_rng.choice(("ACTIVE", "ACTIVE", "ACTIVE", "REDUCING", "HALTED"))
            gate.set_trading_state(oracle.state)
        if state_rng.random() < 0.001:
            oracle.refuses = not oracle.refuses
            sink.answer = int(oracle.refuses)
        instrument = state_rng.randrange(len(TERMS))
        f = traffic.facts(instrument)
        c = traffic.command(f, instrument)
        for name in NAMES:
            row[name] = c[name]
        for name, value in f.items():
            known[name] = value
        got = REASONS[int(gate.check_command(row, known)[0])]
        assert got == oracle.submit(c, f), (n, c, f)
        if n % check_every == 0:
            equal(gate, oracle)
            gate._check()
        if len(oracle.messages) > 4000:
            oracle.messages, oracle.orders = oracle.messages[-2000:], oracle.orders[-2000:]
            gate_sent = gate.sent_orders + gate.sent_requests
            oracle.messages = [-(10**18)] * (gate_sent - len(oracle.messages)) + oracle.messages
    return gate, oracle


def test_random_traffic_equals_the_oracle() -> None:
    """Lost otherwise: an order that should never have left, or a reason that is not the reason. 1e5 submissions."""
    seen: set[str] = set()
    for seed in range(4):
        gate, _ = compared(seed, 20_000)
        seen |= set(gate.counters())
    assert seen | {"overflow"} == set(REASONS.values()) - {ALLOWED}, "an earlier check denies what would overflow"


def test_scripted_traffic_equals_the_oracle() -> None:
    """Lost otherwise: a report that says `none would have been denied` when some would."""
    seen: set[str] = set()
    for seed in (100, 103):                                       # the second has an overflow
        gate, _ = compared(seed, 10_000, scripted=True)
        seen |= set(gate.counters())
    assert seen == set(REASONS.values()) - {ALLOWED}


@pytest.mark.long
@pytest.mark.parametrize("scripted", [False, True])
def test_much_random_traffic_equals_the_oracle(scripted: bool) -> None:
    """Lost otherwise: what only a long run brings together. 1e6 submissions in all."""
    for n in range(5):
        compared(int(os.environ.get("APEX_SEED", "1")) * 1000 + n, 100_000, scripted=scripted, check_every=1000)


NOW = 10**18
GOOD = {
    "now_ns": NOW, "bid_ticks": 999, "ask_ticks": 1001, "touch_bid_lots": 20, "touch_ask_lots": 20, "book_ts_ns": NOW,
    "book_synced": 1, "facts_known": 1,
}
BUY_5 = {"order_id": 1, "price_ticks": 1000, "quantity_lots": 5, "kind": PLACE, "side": BUY, "type": LIMIT, "flags": 0,
         "extra": 0}
FREE = WIDE | {"duplicate_window_ns": 0, "messages_per_second_max": 10**6}


def answer(command: dict[str, int], known: dict[str, int], limits: dict[str, int], gate: RiskGate | None = None) -> str:
    if gate is None:
        gate = RiskGate([limits], TERMS[:1], gateway=CountingGateway())
    return REASONS[int(gate.check_command(command_row(**command), facts(**known))[0])]


BOUNDARIES: list[tuple[str, dict[str, int], dict[str, int], dict[str, int]]] = [
    ("price-collar", {"price_ticks": 1010}, {}, {"price_collar": 10**10}),
    ("price-collar", {"price_ticks": 990, "side": SELL}, {}, {"price_collar": 10**10}),
    ("fat-finger", {"quantity_lots": 50}, {}, {"fat_finger_multiple": 2_500_000}),
    ("order-value", {}, {}, {"order_value_max": 1000 * 5 * 10_000}),
    ("order-value", {"side": SELL, "price_ticks": 900}, {}, {"order_value_max": 999 * 5 * 10_000}),
    ("order-quantity", {}, {}, {"order_quantity_max": 5}),
    ("position", {}, {"position_lots": 7, "open_buy_lots": 3}, {"position_max": 15}),
    ("position", {"side": SELL}, {"position_lots": -7, "open_sell_lots": 3}, {"position_max": 15}),
    ("position", {"kind": AMEND, "quantity_lots": 9}, {"position_lots": 7, "open_buy_lots": 4, "amended_lots": 4},
     {"position_max": 16}),
    ("gross-notional", {}, {"gross_notional": 10**9}, {"gross_notional_max": 10**9 + 1000 * 5 * 10_000}),
    ("open-orders", {}, {"open_orders": 3}, {"open_orders_max": 4}),
    ("book-stale", {}, {"book_ts_ns": NOW - 1000}, {"book_age_max_ns": 1000}),
    ("daily-loss", {}, {"equity_day_start": 30, "equity_now": -70}, {"daily_loss_max": 100}),
    ("drawdown", {}, {"equity_peak": 30, "equity_now": -70}, {"drawdown_max": 100}),
]


@pytest.mark.parametrize(("reason", "command", "known", "limits"), BOUNDARIES, ids=[b[0] for b in BOUNDARIES])
def test_a_limit_allows_what_it_says_and_no_more(reason: str, command: dict[str, int], known: dict[str, int],
                                                 limits: dict[str, int]) -> None:
    """Lost otherwise: an oracle and a gate that are off by the same one."""
    assert answer(BUY_5 | command, GOOD | known, FREE | limits) == ALLOWED
    (key, value), = limits.items()
    assert answer(BUY_5 | command, GOOD | known, FREE | {key: value - 1}) == reason


@pytest.mark.parametrize("side", [BUY, SELL])
def test_what_reduces_a_position_passes_the_loss_limits(side: int) -> None:
    """Lost otherwise: a limit on losses that locks the losing position in."""
    lots = -8 if side == BUY else 8
    open_name = "open_buy_lots" if side == BUY else "open_sell_lots"
    lost = GOOD | {"position_lots": lots, "equity_now": -(10**15), "gross_notional": 10**17, open_name: 3}
    exit_5 = BUY_5 | {"side": side}
    assert answer(exit_5, lost, FREE) == ALLOWED
    assert answer(exit_5 | {"quantity_lots": 6}, lost, FREE) == "gross-notional"
    gate = RiskGate([FREE], TERMS[:1], gateway=CountingGateway())
    gate.set_trading_state("REDUCING")
    assert answer(exit_5, lost, FREE, gate) == ALLOWED
    assert answer(exit_5 | {"quantity_lots": 6}, lost, FREE, gate) == "reducing-only"
    assert answer(BUY_5, GOOD, FREE, gate) == "reducing-only"


def test_an_unknown_fact_denies() -> None:
    """Lost otherwise: a gate that answers yes because nobody told it anything."""
    assert answer(BUY_5, {}, FREE) == "facts-unknown"
    for name in ("bid_ticks", "ask_ticks", "book_synced", "facts_known", "now_ns", "book_ts_ns"):
        known = {k: v for k, v in GOOD.items() if k != name}
        assert answer(BUY_5, known, FREE) != ALLOWED, name
    for name in ("touch_bid_lots", "touch_ask_lots"):
        known = GOOD | {"touch_bid_lots": 0, "touch_ask_lots": 0}
        assert answer(BUY_5, known, FREE) == "fat-finger", name


def test_a_market_order_is_judged_at_the_touch_it_takes() -> None:
    """Lost otherwise: market orders that pass every limit on price and value, since they name no price."""
    market = BUY_5 | {"type": MARKET, "price_ticks": 0, "tif": 2}
    assert answer(market, GOOD, FREE | {"order_value_max": 1001 * 5 * 10_000}) == ALLOWED
    assert answer(market, GOOD, FREE | {"order_value_max": 1001 * 5 * 10_000 - 1}) == "order-value"
    assert answer(market, GOOD | {"ask_ticks": NO_ASK}, FREE) == "no-mid"
    assert answer(market | {"side": SELL}, GOOD | {"bid_ticks": NO_BID}, FREE) == "no-mid"


@pytest.mark.parametrize("side", [BUY, SELL])
def test_orders_never_meet_our_own(side: int) -> None:
    """Lost otherwise: trades with ourselves, which venues punish and which make volume out of nothing."""
    buys = side == BUY
    own = {"own_best_ask_ticks": 1003} if buys else {"own_best_bid_ticks": 997}
    touch = {"touch_ask_lots" if buys else "touch_bid_lots": 5}
    at, short = (1003, 1002) if buys else (997, 998)
    assert answer(BUY_5 | {"side": side, "price_ticks": at}, GOOD | own, FREE) == "self-trade"
    assert answer(BUY_5 | {"side": side, "price_ticks": short}, GOOD | own, FREE) == ALLOWED
    market = BUY_5 | {"side": side, "type": MARKET, "price_ticks": 0}
    assert answer(market, GOOD | own | touch, FREE) == ALLOWED
    assert answer(market | {"quantity_lots": 6}, GOOD | own | touch, FREE) == "self-trade"


def test_windows_run_on_event_time() -> None:
    """Lost otherwise: rate limits that depend on the machine, or that forget at the wrong nanosecond."""
    gate = RiskGate([WIDE | {"messages_per_second_max": 2, "duplicate_window_ns": 100}], TERMS[:1],
                    gateway=CountingGateway())

    def at(ns: int, **more: int) -> str:
        return answer(BUY_5 | more, GOOD | {"now_ns": NOW + ns, "book_ts_ns": NOW + ns}, WIDE, gate)

    assert at(0) == ALLOWED
    assert at(99) == "duplicate"
    assert at(99, price_ticks=999) == ALLOWED
    assert at(100) == "message-rate"
    assert at(100, kind=CANCEL) == ALLOWED  # counts, and is never denied
    assert at(10**9 + 98) == "message-rate"
    assert at(10**9 + 99) == ALLOWED
    assert gate.counters() == {"duplicate": 1, "message-rate": 2}
    assert (gate.sent_orders, gate.sent_requests) == (3, 1)


def test_two_orders_may_be_amended_to_the_same() -> None:
    """Lost otherwise: the second of two orders stays where it was, since the first has moved to the same place."""
    gate = RiskGate([WIDE | {"duplicate_window_ns": 100}], TERMS[:1], gateway=CountingGateway())
    amended = BUY_5 | {"kind": AMEND}
    found = [answer(amended | {"order_id": n}, GOOD | {"amended_lots": 5}, WIDE, gate) for n in (1, 2, 1)]
    assert found == [ALLOWED, ALLOWED, "duplicate"]


@pytest.mark.parametrize("state", ["ACTIVE", "REDUCING", "HALTED"])
def test_a_cancellation_always_passes(state: str) -> None:
    """Lost otherwise: orders that stay at the venue because the gate is shut."""
    gate = RiskGate([WIDE], TERMS[:1], gateway=CountingGateway())
    gate.set_trading_state(state)
    assert answer(BUY_5 | {"kind": CANCEL}, {}, WIDE, gate) == ALLOWED
    assert answer(BUY_5 | {"kind": CANCEL, "order_id": 0}, {}, WIDE, gate) == "malformed"
    assert gate.request_counters() == {"malformed": 1}
    want = {"ACTIVE": ALLOWED, "REDUCING": "reducing-only", "HALTED": "halted"}[state]
    assert answer(BUY_5, GOOD, WIDE, gate) == want


def test_states_and_gateways() -> None:
    """Lost otherwise: a gate that opens by itself, or that takes a refusal for a success."""
    gate = RiskGate([WIDE], TERMS[:1])
    assert answer(BUY_5, GOOD, WIDE, gate) == "gateway-refused"
    assert (gate.sent_orders, gate.trading_state) == (0, "ACTIVE")
    with pytest.raises(ValueError, match="PAUSED"):
        gate.set_trading_state("PAUSED")
    for name in ("HALTED", "HALTED", "REDUCING", "ACTIVE"):
        gate.set_trading_state(name)
    assert gate.transition_counts() == {"ACTIVE": 1, "REDUCING": 1, "HALTED": 1}


@pytest.mark.parametrize(("wrong", "word"), [
    ({"price_collar": -1}, "price_collar"), ({"open_orders_max": 1.5}, "open_orders_max"),
    ({"drawdown_max": float("nan")}, "drawdown_max"), ({"position_max": 2**60 + 1}, "position_max"),
    ({"order_value_max": 2**62}, "overflows"), ({"position_max": 2**59}, "overflows"),
    ({"messages_per_second_max": True}, "messages_per_second_max"),
    ({"duplicate_window_ns": 10**9 * 10**6}, "duplicate_window_ns"),
])  # fmt: skip
def test_limits_that_cannot_be_kept_are_refused(wrong: dict[str, Any], word: str) -> None:
    """Lost otherwise: a limit that is not there, found out by an order that it should have stopped."""
    with pytest.raises(ValueError, match=word):
        RiskGate([WIDE | wrong], TERMS[:1])
    with pytest.raises(ValueError, match="limits must be"):
        RiskGate([{k: v for k, v in WIDE.items() if k != LIMIT_KEYS[0]}], TERMS[:1])


edges = (2**60, 2**60 + 1, -(2**60), 2**62, -(2**62), 2**63 - 1, -(2**63))
numbers = st.one_of(st.integers(-5, 1100), st.sampled_from(edges))
any_facts = st.fixed_dictionaries({n: numbers for n in FACTS_DTYPE.names or () if FACTS_DTYPE[n].itemsize == 8} | {
    "book_synced": st.integers(0, 1), "facts_known": st.integers(0, 1)})
any_command = st.fixed_dictionaries({
    "order_id": st.integers(0, 3), "price_ticks": numbers, "quantity_lots": numbers, "instrument": st.integers(0, 3),
    "kind": st.integers(0, 4), "side": st.integers(0, 3), "type": st.integers(0, 5), "tif": st.integers(0, 4),
    "flags": st.integers(0, 4), "extra": numbers})


NOTHING = dict.fromkeys(("order_id", "quantity_lots", "instrument", "kind", "side", "type", "tif", "flags", "extra"), 0)
BEYOND = {**dict.fromkeys(FACTS_DTYPE.names or (), 0), "bid_ticks": 2**63 - 1, "ask_ticks": 2**60}
"""A mid that 64 bits do not hold."""
AMENDED = NOTHING | {"order_id": 1, "price_ticks": 5, "quantity_lots": 2**60, "kind": AMEND, "side": SELL}
UNHELD = BEYOND | {"bid_ticks": 4, "ask_ticks": 6, "position_lots": 2**63 - 1, "amended_lots": -(2**63)}
"""More lots added than 64 bits hold."""


@settings(max_examples=400, deadline=None)
@example(NOTHING | {"price_ticks": 2**62}, BEYOND, "ACTIVE", True)
@example(AMENDED, UNHELD, "ACTIVE", True)
@given(any_command, any_facts, st.sampled_from(("ACTIVE", "REDUCING", "HALTED")), st.booleans())
def test_any_submission_equals_the_oracle(c: dict[str, int], f: dict[str, int], state: str, scripted: bool) -> None:
    """Lost otherwise: a wrapped product, or a check that passes what cannot be."""
    gate, oracle = pair(scripted=scripted)
    gate.set_trading_state(state)
    oracle.state = state
    got = gate.check_command(command_row(**c), facts(**f))
    assert REASONS[int(got[0])] == oracle.submit(c, f)
    equal(gate, oracle)


def test_bad_arrays_are_refused() -> None:
    """Lost otherwise: facts of one order used for another."""
    gate = RiskGate([WIDE], TERMS[:1])
    with pytest.raises(ValueError, match="3 commands and 2 rows"):
        gate.check_command(np.zeros(3, COMMAND_DTYPE), np.zeros(2, FACTS_DTYPE))
    with pytest.raises(ValueError, match="2 limits and 1 terms"):
        RiskGate([WIDE, WIDE], TERMS[:1])
