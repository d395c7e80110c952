"""Impact of our own taking: the law by hand, sweeps against plain Python, decay, and levels that stay depleted."""

from __future__ import annotations

import random
from math import sqrt
from typing import Any

import pytest

from apex._core.impact import Impact
from tests.core.assembly import BUY, SELL, START, Run, Scripted, snapshot
from tests.core.test_engine import quiet
from tests.core.test_matching import LATENCIES, Market, Sender, conserved, rows_of, walked
from tests.core.test_strict import at
from tests.oracles.venue import swept


def test_the_law_by_hand() -> None:
    """Lost otherwise: the law with the wrong unit. Volatility 3 %, a thousandth of the day's volume, 0.7: 6.6 bp."""
    impact = Impact("square-root", 0.7, 0.03, 1_000_000)
    assert impact.of(1000) == pytest.approx(0.7 * 0.03 * sqrt(0.001), rel=1e-12)
    assert round(impact.of(1000) * 1e4, 1) == 6.6
    assert impact.at(START) == 0.0


def fills_of(run: Run) -> list[tuple[int, int]]:
    return [(int(f["price_ticks"]), int(f["quantity_lots"])) for f in run.fills]


def test_a_touch_is_free() -> None:
    """Lost otherwise: impact on orders that the touch holds, which the law does not speak of."""
    impact = Impact("square-root", 1.0, 1.0, 100)
    run = Run(quiet(), [Scripted((START + 1, lambda v: v.market("buy", 10)))], venue={"impact": impact}).run()
    assert fills_of(run) == [(102, 10)]
    assert (impact.paid, impact.takings) == (0, 1)


@pytest.mark.parametrize("seed", range(20))
def test_sweeps_equal_the_oracle(seed: int) -> None:
    """Lost otherwise: a cost that is not the larger of walking the book and the law. Sells mirror buys."""
    rng = random.Random(seed)
    levels, tick = [], 1000
    for _ in range(12):
        levels.append((tick, rng.randint(1, 30)))
        tick += rng.choice((1, 1, 2, 5))
    lots, volume, y = rng.randint(1, sum(q for _, q in levels)), rng.choice((1e4, 1e6)), rng.choice((0.0, 0.5, 2.0))
    want = swept(levels, lots, y * 0.2 / sqrt(volume))
    impact = Impact("square-root", y, 0.2, volume)
    run = Run(snapshot(START, [(900, 1)], levels), [Scripted((START + 1, lambda v: v.market("buy", lots)))],
              venue={"impact": impact}, latency=(0, 0, 0, 0)).run()
    assert fills_of(run) == want
    book = dict(levels)
    walk = [(t, q) for t, q in swept(levels, lots, 0.0)]
    assert all(t in book for t, _ in walk)
    assert impact.paid == sum(t * q for t, q in want) - sum(t * q for t, q in walk)
    touch = levels[0][0]
    mean = sum((t - touch) * q for t, q in want) / lots / touch
    if lots > levels[0][1]:
        assert mean >= y * 0.2 * sqrt(lots / volume) * (1 - 1e-12)
    mirrored = [(2000 - t, q) for t, q in levels]
    short = Run(snapshot(START, mirrored, [(1100, 1)]), [Scripted((START + 1, lambda v: v.market("sell", lots)))],
                venue={"impact": Impact("square-root", y, 0.2, volume)}).run()
    assert len(short.fills) == len(want)
    if not y:
        assert fills_of(short) == [(2000 - t, q) for t, q in want]


def test_a_limit_is_never_passed() -> None:
    """Lost otherwise: fills beyond the price that the order allows."""
    impact = Impact("square-root", 1.0, 0.5, 1000)
    for ticks, tif in ((103, "IOC"), (103, "GTC"), (110, "FOK")):
        run = Run(quiet(), [Scripted((START + 1, lambda v, p=ticks, t=tif: v.limit("buy", p, 20, t)))],
                  venue={"impact": impact}).run()
        assert all(int(f["price_ticks"]) <= ticks for f in run.fills)


def test_what_we_pushed_comes_back() -> None:
    """Lost otherwise: a displacement that stays for ever, or that the next order does not meet.

    Two buys of 10 push by the law each; it decays as (1 + t / t0) ** -beta.
    """
    impact = Impact("propagator", 1.0, 0.05, 1000, decay_ns=100, beta=0.5)
    todo = [(START + 1, lambda v: v.market("buy", 10)), (START + 301, lambda v: v.market("buy", 10)),
            (START + 401, lambda v: v.market("sell", 10))]
    run = Run(quiet(at(290, "BOOK_LEVEL", (SELL, 102, 10)), at(390, "BOOK_LEVEL", (BUY, 100, 10)),
                    at(900, "TRADE", (BUY, 103, 1))), [Scripted(*todo)], venue={"impact": impact}).run()
    push = 0.05 * sqrt(10 / 1000)
    assert impact.of(10) == pytest.approx(push)
    first = round(102 * push * 4**-0.5)
    second = round(100 * (push * 5**-0.5 + push * 2**-0.5))
    assert fills_of(run) == [(102, 10), (102 + first, 10), (100 + second, 10)]
    assert impact.paid == (first - second) * 10
    later = impact.at(START + 10**12)
    assert 0 < abs(later) < push / 1000


@pytest.mark.parametrize("wrong", [("linear", 1.0, 0.1, 10.0), ("propagator", 1.0, 0.1, 0.0),
                                   ("propagator", -1.0, 0.1, 1.0)])
def test_bad_parameters_are_refused(wrong: tuple[Any, ...]) -> None:
    """Lost otherwise: an impact of nothing, or NaN prices."""
    with pytest.raises(ValueError, match="impact"):
        Impact(*wrong)


# ---- own depletion --------------------------------------------------------------------------------------------------

def test_what_we_took_stays_away() -> None:
    """Lost otherwise: liquidity that comes back because the recording does not know of us."""
    todo = [(START + t, lambda v: v.limit("buy", 102, 9, "IOC")) for t in (1, 20, 40, 60)]
    events = [at(10, "BOOK_LEVEL", (SELL, 102, 12)), at(30, "BOOK_LEVEL", (SELL, 102, 5)),
              at(50, "BOOK_LEVEL", (SELL, 102, 0)), at(51, "BOOK_LEVEL", (SELL, 102, 7))]
    for visible, want in ((False, [9, 9, 5, 7]), (True, [9, 3, 7])):
        run = Run(quiet(*events), [Scripted(*todo)], venue={"visible": visible}).run()
        assert [q for _, q in fills_of(run)] == want
        run.venues[0]._check()


def test_we_see_what_we_took() -> None:
    """Lost otherwise: a strategy that takes the same level again and again, since it still sees it."""
    seen: list[Any] = []
    todo = [(START + 1, lambda v: v.market("buy", 4)), (START + 5, lambda v: seen.append((v.ask_ticks, v.ask_lots))),
            (START + 6, lambda v: v.market("buy", 6)), (START + 8, lambda v: seen.append((v.ask_ticks, v.ask_lots)))]
    Run(quiet(), [Scripted(*todo)], engine={"visible": True}, venue={"visible": True}).run()
    assert seen == [(102, 6), (103, 10)]


@pytest.mark.parametrize("latency", LATENCIES)
def test_visible_takers_never_get_more_than_hidden_ones(latency: tuple[int, int, int, int]) -> None:
    """Lost otherwise: an overlay that loses its place; the invariants are walked after each step."""
    for seed in range(4):
        market = Market(800 + seed, 1200)
        lots = []
        for visible in (False, True):
            run = walked(Run(rows_of(market.data), [Sender(market.todo)], latency=latency,
                             venue={"visible": visible, "impact": Impact("propagator", 0.7, 0.02, 1e5, 1000, 0.5)}), 1)
            conserved(run)
            lots.append(int(run.fills["quantity_lots"][run.fills["maker"] == 0].sum()))
        assert lots[1] <= lots[0] * 1.2 + 50
