"""The compiled ledger against fractions, by hand and at its limits."""

import os
import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.ledger import FIELDS, SNAPSHOT_DTYPE, WIDE, Ledger
from tests.oracles.ledger import BUY, SELL, OracleLedger

TERMS = [
    {"value_num": 10_000, "value_den": 1, "kind": "linear", "maker_fee": 200_000_000, "taker_fee": 450_000_000},
    {"value_num": 10, "value_den": 1, "kind": "spot", "maker_fee": -50_000_000, "taker_fee": 1_000_000_000},
    {"value_num": 1, "value_den": 100, "kind": "spot", "maker_fee": 999_999_999_999, "taker_fee": 0},
    {"value_num": 3, "value_den": 7, "kind": "linear", "maker_fee": -123_456_789, "taker_fee": 1},
    {"value_num": 1, "value_den": 10**6, "kind": "linear", "maker_fee": 0, "taker_fee": -(10**12)},
    {"value_num": 10**11, "value_den": 1, "kind": "inverse", "maker_fee": 100_000_000, "taker_fee": 500_000_000,
     "tick_1e8": 10_000_000},
    {"value_num": 7, "value_den": 3, "kind": "inverse", "maker_fee": -25_000_000, "taker_fee": 0},
]


def oracle(terms: dict[str, Any]) -> OracleLedger:
    return OracleLedger(terms["value_num"], terms["value_den"], terms["kind"], terms["maker_fee"], terms["taker_fee"])


def equal(ledger: Ledger, i: int, other: OracleLedger, mid2: int) -> None:
    account, pnl = ledger.account(i), ledger.pnl(i, mid2)
    assert {k: account[k] for k in other.account()} == other.account()
    assert {k: account[k] for k in other.wide()} == other.wide()
    assert pnl["gross"] == other.gross(mid2)
    assert pnl["net"] == pnl["gross"] - pnl["fees"] - pnl["funding"] - pnl["liquidation"]
    assert pnl["gross"] == pnl["realised"] + pnl["unrealised"] == pnl["spread_captured"] + pnl["inventory"]


def run(seed: int, count: int, *, check_every: int, compare_every: int) -> Ledger:
    """Random fills on every instrument of TERMS, compared with the oracle."""
    rng = random.Random(seed)
    ledger, others = Ledger(TERMS, cash=5), [oracle(t) for t in TERMS]
    mids = [rng.randint(10, 2_000_000) for _ in TERMS]
    for n in range(count):
        i = rng.randrange(len(TERMS))
        mids[i] = max(2, mids[i] + rng.randint(-40, 40))
        ticks, side = max(1, mids[i] // 2 + rng.randint(-20, 20)), rng.choice((BUY, SELL))
        held = ledger.position(i)
        lots = abs(held) if held and rng.random() < 0.2 else rng.choice((1, rng.randint(1, 50), rng.randint(1, 10**6)))
        if abs(held) > 10**7:
            side = SELL if held > 0 else BUY
        mid2 = mids[i] if rng.random() < 0.9 else None
        maker = rng.random() < 0.5
        assert ledger.post(i, side, ticks, lots, maker, mid2) == others[i].post(side, ticks, lots, maker, mid2)
        assert ledger.position(i) == others[i].lots
        if rng.random() < 0.05:
            which, rate = rng.choice(("funding", "liquidation")), rng.randint(-(10**9), 10**9)
            tick = TERMS[i].get("tick_1e8", 0)
            rest = rng.randint(-tick // 2, tick // 2)
            price = ticks + Fraction(rest, tick or 1)
            held = ledger.position(i)
            assert ledger.pay(i, which, held, ticks, rest, rate) == others[i].pay(which, held, price, rate)
        if n % check_every == 0:
            ledger._check()
        if n % compare_every == 0:
            equal(ledger, i, others[i], mids[i])
    for i, other in enumerate(others):
        equal(ledger, i, other, mids[i])
        assert ledger.position(i) == other.lots
    ledger._check()
    assert ledger.cash_total == sum(x.account()["cash"] for x in others)
    return ledger


def test_random_fills_equal_the_oracle() -> None:
    """Lost otherwise: money, a unit at a time. 1e5 fills: fees and positions of each, all accounts at every 10th."""
    ledger = run(1, 100_000, check_every=1, compare_every=10)
    assert all(ledger.account(i)["rounding"] > 0 for i in (1, 3))
    assert all(ledger.account(i)["fills"] > 13_000 for i in range(len(TERMS)))


@pytest.mark.long
def test_many_random_fills_equal_the_oracle() -> None:
    """Lost otherwise: what only a long run brings together: 1e6 fills, the invariants walked after every 1,000th."""
    run(int(os.environ.get("APEX_SEED", "1")), 1_000_000, check_every=1000, compare_every=100)


def test_a_round_trip_by_hand() -> None:
    """Lost otherwise: an oracle and a ledger that are wrong in the same way.

    BTCUSDT USD-M: tick 0.1, lot 0.001, so a tick times a lot is 0.0001 USDT. Taker 0.045 %, maker 0.02 %.
    """
    ledger = Ledger(TERMS[:1], cash=1000 * 10**8)
    assert ledger.post(0, BUY, 600_000, 10, maker=False, mid2=1_199_998) == 27_000_000  # 600 USDT, fee 0.27
    assert ledger.account(0)["cash"] == -27_000_000  # linear: only the fee has moved
    assert ledger.account(0)["variation"] == -600 * 10**8
    assert ledger.post(0, SELL, 600_100, 4, maker=True, mid2=1_200_180) == 4_800_800  # 240.04 USDT, fee 0.048008
    assert ledger.position(0) == 6
    got = ledger.pnl(0, 1_200_400)  # mid 60020
    assert got["realised"] == 4_000_000  # 0.004 BTC made 10 USDT a BTC
    assert got["unrealised"] == 12_000_000  # 0.006 BTC stand 20 USDT higher
    assert got["gross"] == 16_000_000
    assert got["fees"] == 31_800_800
    assert got["net"] == -15_800_800
    assert got["spread_captured"] == -100_000 + 400_000  # (59999.9 - 60000) * 0.01; (60010 - 60009) * 0.004
    assert ledger.cash_total == 4_000_000 - 31_800_800


def test_a_flip_by_hand() -> None:
    """Lost otherwise: the cost of a position that was opened by the same fill that closed another."""
    ledger = Ledger([{"value_num": 1, "value_den": 1, "kind": "spot"}])
    ledger.post(0, SELL, 100, 3)
    assert ledger.cash_total == 300  # spot: the whole value moves
    ledger.post(0, BUY, 90, 5)
    account = ledger.account(0)
    assert (account["lots"], account["cost"], account["realised"]) == (2, 180, 30)
    assert ledger.cash_total == account["cash"] == -150
    assert ledger.pnl(0, 2 * 90)["gross"] == 30


def test_an_inverse_round_trip_by_hand() -> None:
    """Lost otherwise: coin P&L with the sign, or the curve, of quote P&L.

    100 contracts of 1 USD from 50,000 to 60,000: 100 * (1 / 50,000 - 1 / 60,000) = 0.000333... BTC.
    """
    terms = {"value_num": 10**8, "value_den": 1, "kind": "inverse", "taker_fee": 500_000_000}
    ledger = Ledger([terms, terms])
    assert ledger.post(0, BUY, 50_000, 100, mid2=100_000) == 100  # 0.002 BTC, fee 0.05 %
    assert ledger.pnl(0, 120_000)["gross"] == 33_333              # 0.00033333, rounded down
    assert ledger.pnl(0, 80_000)["gross"] == -50_000              # 100 * (1 / 50,000 - 1 / 40,000)
    ledger.post(0, SELL, 60_000, 100)
    assert ledger.pnl(0, 1)["realised"] == 33_333
    assert ledger.account(0)["cash"] == 33_333 - 100 - 84         # 0.00166666 * 0.05 %, rounded up
    ledger.post(1, SELL, 50_000, 100)                             # short: the same, mirrored
    assert ledger.pnl(1, 120_000)["gross"] == -33_334
    ledger._check()


def test_funding_by_hand() -> None:
    """Lost otherwise: payments of the wrong side, or at another price than the mark.

    1.5 BTC long at a mark of 60,000 and 0.01 %: pays 9.00. Inverse: 90,000 contracts of 1 USD are 1.5 BTC there.
    """
    linear = TERMS[0] | {"tick_1e8": 10_000_000}
    ledger = Ledger([linear, {"value_num": 10**8, "value_den": 1, "kind": "inverse"}])
    ledger.post(0, BUY, 590_000, 1500)
    assert ledger.pay(0, "funding", 1500, 600_000, 0, 100_000_000) == 9 * 10**8
    assert ledger.pay(0, "funding", -1500, 600_000, 0, 100_000_000) == -9 * 10**8
    assert ledger.pay(0, "funding", 1500, 600_000, 5_000_000, 100_000_000) == 900_000_750     # a mark of 60,000.05
    assert ledger.pay(1, "funding", 90_000, 60_000, 0, 100_000_000) == 15_000                  # 0.00015 BTC
    assert ledger.pnl(0, 1_180_000)["funding"] == 900_000_750
    assert ledger.cash_total == -900_000_750 - 15_000 - ledger.account(0)["fees"]
    ledger._check()


@pytest.mark.parametrize(("side", "rate", "fee"), [(BUY, 1, 1), (SELL, 1, 1), (BUY, -1, 0), (SELL, -1, 0)])
def test_fees_round_against_us(side: int, rate: int, fee: int) -> None:
    """Lost otherwise: a fraction of a unit at every fill, in our favour on paper and not at the venue."""
    ledger = Ledger([{"value_num": 1, "value_den": 1, "kind": "linear", "taker_fee": rate}])
    assert ledger.post(0, side, 3, 1) == fee
    assert ledger.account(0)["rounding"] == (10**12 - 3 if rate > 0 else 3)
    ledger._check()


def test_values_round_against_us() -> None:
    """Lost otherwise: cash from nothing on instruments whose tick times lot is no whole number of units."""
    ledger = Ledger([{"value_num": 1, "value_den": 3, "kind": "spot"}])
    ledger.post(0, BUY, 1, 1)
    ledger.post(0, SELL, 1, 1)
    assert ledger.cash_total == -1  # paid 1 for a third, got 0 for a third
    assert ledger.account(0)["rounding"] == 3 * 10**12


sizes = st.one_of(st.integers(1, 1000), st.integers(1, 2**63 - 1), st.integers(2**62, 2**63 - 1))
fills = st.lists(st.tuples(st.sampled_from((BUY, SELL)), sizes, sizes, st.booleans(), st.none() | sizes), max_size=12)
terms = st.builds(
    lambda num, den, kind, maker, taker: {
        "value_num": num, "value_den": den, "kind": kind, "maker_fee": maker, "taker_fee": taker},
    st.one_of(st.integers(1, 10**4), sizes), st.one_of(st.integers(1, 10**4), sizes),
    st.sampled_from(("spot", "linear", "inverse")),
    st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12),
)


@settings(max_examples=400, deadline=None)
@given(terms, fills)
def test_any_fill_is_exact_or_refused(one: dict[str, Any], given_fills: list[Any]) -> None:
    """Lost otherwise: a wrapped notional is a lost account. A refused fill changes nothing."""
    ledger, other = Ledger([one]), oracle(one)
    for side, ticks, lots, maker, mid2 in given_fills:
        before = ledger.snapshot().tobytes()
        try:
            fee = other.post(side, ticks, lots, maker, mid2)
        except OverflowError:
            with pytest.raises(OverflowError, match="overflows"):
                ledger.post(0, side, ticks, lots, maker, mid2)
            assert ledger.snapshot().tobytes() == before
        else:
            assert ledger.post(0, side, ticks, lots, maker, mid2) == fee
        account = ledger.account(0)
        assert {k: account[k] for k in other.account()} == other.account()
        assert {k: account[k] for k in other.wide()} == other.wide()
        ledger._check()


@given(st.integers(-(2**63) + 1, 2**63 - 1), st.integers(1, 2**62), sizes)
def test_a_mark_stops_at_the_end_of_the_range(mid2: int, lots: int, num: int) -> None:
    """Lost otherwise: an equity that wraps to a profit while the position is under water."""
    ledger = Ledger([{"value_num": num, "value_den": 2**40, "kind": "linear"}])
    try:
        ledger.post(0, BUY, 1, lots)
    except OverflowError:
        return
    exact = ledger.account(0)["flows"] + mid2 * lots * num // 2**41
    got = ledger.pnl(0, mid2)["gross"]
    assert got == exact if abs(exact) < 2**62 else got * exact > 0
    assert abs(got) <= 2**63 - 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from((BUY, SELL)), st.integers(1, 10**6), st.integers(1, 10**6)), max_size=30))
def test_a_closed_book_is_worth_its_cash(given_fills: list[tuple[int, int, int]]) -> None:
    """Lost otherwise: spot and linear that disagree about the same trades, or P&L that depends on the mid when flat."""
    both = Ledger([TERMS[1] | {"kind": kind} for kind in ("spot", "linear")])
    for side, ticks, lots in given_fills:
        for i in (0, 1):
            both.post(i, side, ticks, lots)
    held = both.position(0)
    if held:
        for i in (0, 1):
            both.post(i, SELL if held > 0 else BUY, 500, abs(held))
    spot, linear = both.account(0), both.account(1)
    assert spot["cash"] == linear["cash"] == both.pnl(0, 1)["net"] == both.pnl(1, 99999)["net"]
    assert linear["variation"] == linear["cost"] == 0
    both._check()


def test_snapshot_is_whole_and_of_integers() -> None:
    """Lost otherwise: a result hash that does not see an account."""
    ledger = run(7, 300, check_every=1, compare_every=1)
    table = ledger.snapshot()
    assert table.dtype == SNAPSHOT_DTYPE
    assert {table.dtype[n] for n in range(len(table.dtype))} == {np.dtype("<i8")}
    for i in range(len(TERMS)):
        account = ledger.account(i)
        assert {name: int(table[name][i]) for name in FIELDS} == {name: account[name] for name in FIELDS}
        for name in WIDE:
            low = int(table[f"{name}_low"][i]) % 2**64
            assert (int(table[f"{name}_high"][i]) << 64) + low == account[name]
    assert set(account) == {*FIELDS, *WIDE, "venue_lots", "venue_charges", "funding", "liquidation"}


@pytest.mark.parametrize(("wrong", "word"), [
    ({"kind": "quanto"}, "quanto"), ({"value_num": 0}, "more than 0"), ({"value_den": -1}, "more than 0"),
    ({"value_num": 1.0}, "integer"), ({"value_num": True}, "integer"), ({"value_den": 2**63}, "64 bits"),
    ({"maker_fee": 10**12 + 1}, "fraction"), ({"taker_fee": float("nan")}, "integer"),
])  # fmt: skip
def test_terms_that_cannot_be_kept_are_refused(wrong: dict[str, Any], word: str) -> None:
    """Lost otherwise: an instrument whose money is silently wrong from the first fill."""
    with pytest.raises(ValueError, match=word):
        Ledger([TERMS[0] | wrong])


@pytest.mark.parametrize("bad", [(0, 0, 1, 1), (0, 3, 1, 1), (0, BUY, 0, 1), (0, BUY, 1, 0), (0, SELL, 1, -5)])
def test_what_is_no_fill_is_refused(bad: tuple[int, int, int, int]) -> None:
    """Lost otherwise: a position that grows by a nonsense report."""
    ledger = Ledger(TERMS)
    with pytest.raises(ValueError, match="no fill"):
        ledger.post(*bad)
    with pytest.raises(IndexError, match="not in this ledger"):
        ledger.post(len(TERMS), BUY, 1, 1)
    with pytest.raises(IndexError, match="not in this ledger"):
        ledger.position(-1)
    assert ledger.account(0)["fills"] == 0
