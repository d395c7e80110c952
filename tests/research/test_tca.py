"""The parts of the implementation shortfall, on parent orders and fills of any shape."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apex._core.engine import FILL_DTYPE
from apex.domain.execution import Execution
from apex.domain.instrument import Instrument
from apex.research.tca import PARTS, analysis, shortfall

TICKS = st.integers(1, 10**7)
STEPS = st.sampled_from(["0.1", "0.01", "0.00000001", "0.25", "5", "0.0000125"])


def fills_of(rows: list[tuple[int, int, int, int, bool]]) -> Any:
    """Rows of id, ticks, lots, fee and maker."""
    made = np.zeros(len(rows), FILL_DTYPE)
    for row, values in zip(made, rows, strict=True):
        row["id"], row["price_ticks"], row["quantity_lots"], row["fee"], row["maker"] = values
    return made


@st.composite
def worked(draw: st.DrawFn) -> tuple[Execution, list[tuple[int, int, int, int, bool]], Instrument]:
    """A parent order, its orders' fills among others', and an instrument of odd steps."""
    wanted = draw(st.integers(1, 10**9))
    quotes = {i: (bid, bid + draw(st.integers(1, 50))) for i, bid in enumerate(draw(st.lists(TICKS, max_size=6)), 1)}
    rows, left = [], wanted
    for _ in range(draw(st.integers(0, 8))):
        number = draw(st.integers(1, 9))
        lots = draw(st.integers(1, max(1, left)))
        if number in quotes:
            if lots > left:
                continue
            left -= lots
        rows.append((number, draw(TICKS), lots, draw(st.integers(-(10**12), 10**12)), draw(st.booleans())))
    parent = Execution(
        instrument=0, side=draw(st.sampled_from(["buy", "sell"])), quantity_lots=wanted, start_ns=1, end_ns=2,
        arrival_mid2=draw(TICKS), final_mid2=draw(TICKS), quotes=quotes, done_lots=wanted - left,
    )  # fmt: skip
    return parent, rows, Instrument("X", "test", draw(STEPS), draw(STEPS), multiplier=draw(STEPS))


@example((Execution(instrument=0, side="buy", quantity_lots=1, start_ns=1, end_ns=2, arrival_mid2=1, final_mid2=1,
                    quotes={1: (1, 2)}, done_lots=1), [(1, 1, 1, 10**11, False)],
          Instrument("X", "test", "0.00000001", "0.00000001", multiplier="0.00000001")))
@given(worked())
def test_the_parts_sum_to_the_shortfall(case: tuple[Execution, list[Any], Instrument]) -> None:
    """Lost otherwise: a cost that nobody paid, or one that is counted twice: and rounding that hides it."""
    parent, rows, instrument = case
    found = shortfall(parent, fills_of(rows), instrument)
    with localcontext(prec=100):                     # the sums here have more than 28 digits
        unit = Decimal(instrument.tick) * Decimal(instrument.lot) * Decimal(instrument.multiplier)
        sign = 1 if parent.side == "buy" else -1
        start, end = Decimal(parent.arrival_mid2) / 2, Decimal(parent.final_mid2) / 2
        right = dict.fromkeys(PARTS, Decimal(0))
        real = done = Decimal(0)
        for number, ticks, lots, fee, maker in rows:
            if number not in parent.quotes:
                continue
            bid, ask = parent.quotes[number]
            mid, half = Decimal(bid + ask) / 2, Decimal(ask - bid) / 2
            right["timing"] += sign * lots * (mid - start) * unit
            right["spread"] += lots * (-half if maker else half) * unit
            right["impact"] += (sign * lots * (ticks - mid) - lots * (-half if maker else half)) * unit
            right["fees"] += Decimal(fee).scaleb(-8)
            real += sign * lots * (end - ticks) * unit - Decimal(fee).scaleb(-8)
            done += lots
        right["opportunity"] = sign * (parent.quantity_lots - done) * (end - start) * unit
        assert {name: Decimal(found[name]) for name in PARTS} == right
        total = Decimal(found["shortfall"])
        assert total == sum(right.values()) == sign * parent.quantity_lots * (end - start) * unit - real
        assert all(not text.endswith("0") or "." not in text for text in (found[name] for name in (*PARTS, "value")))
        assert Decimal(found["value"]) == parent.quantity_lots * start * unit
        assert found["bps"]["shortfall"] == pytest.approx(float(total / Decimal(found["value"]) * 10_000))


def test_by_hand() -> None:
    """Lost otherwise: parts whose names say something else than they hold.

    Buy 10 of 1 unit at a tick of 1, decided at 100; an order at a mid of 102 (101, 103) takes 4 at 103 and 2 at 105 and
    pays 6; 4 remain when the mid is 110. Timing 6 x 2, spread 6 x 1, impact 2 x 2, opportunity 4 x 10, fees 6.
    """
    parent = Execution(instrument=0, side="buy", quantity_lots=10, start_ns=0, end_ns=9, arrival_mid2=200,
                       final_mid2=220, quotes={7: (101, 103)})  # fmt: skip
    fills = fills_of([(7, 103, 4, 4 * 10**8, False), (7, 105, 2, 2 * 10**8, False), (8, 1, 5, 0, False)])
    (found,) = analysis([parent], fills, [Instrument("X", "test", "1", "1")], [(60, 6600)])
    said = {name: found[name] for name in (*PARTS, "shortfall", "filled", "average_price", "market_vwap")}
    assert said == {"timing": "12", "spread": "6", "impact": "4", "opportunity": "40", "fees": "6", "shortfall": "68",
                    "filled": "6", "average_price": "103.666666666667", "market_vwap": "110"}  # fmt: skip
    assert found["participation"] == pytest.approx(0.1)
    assert found["vwap_slippage_bps"] == pytest.approx((622 / 6 / 110 - 1) * 10_000)
    assert found["bps"]["shortfall"] == pytest.approx(680)
