"""Transaction-cost analysis: what a parent order cost against the price at which it was decided, and why.

Source: Perold, "The Implementation Shortfall: Paper versus Reality", J. Portfolio Management 14 (1988). The paper
portfolio trades the whole quantity X at once at the mid of the decision, M0, without fees; the shortfall is what it
earns more than the real one by the end, when the mid is MT. With s = 1 for a buyer and -1 for a seller, and for
each fill its quantity q, its price P, and the mid m and half the spread h when its order was sent:

    timing       sum of s q (m - M0)                      the market moved before the order was sent
    spread       sum of q h for takers, -q h for makers   what crossing the spread costs, or waiting at it earns
    impact       sum of s q (P - m) - spread              beyond the touch: levels walked, and moves while on the way
    opportunity  s (X - sum of q) (MT - M0)               what was not traded, at the end's price
    fees         as charged

They are the shortfall exactly: s X (MT - M0) - sum of s q (MT - P) + fees. All of it is computed in integers of half a
tick times a lot.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

from numpy.typing import NDArray

from apex.domain.decimals import money
from apex.domain.execution import Execution
from apex.domain.instrument import Instrument

PARTS = ("timing", "spread", "impact", "opportunity", "fees")
"""What the shortfall is made of, in the order in which it arises."""
DIGITS = 60


def shortfall(parent: Execution, fills: NDArray[Any], instrument: Instrument,
              traded: tuple[int, int] | None = None) -> dict[str, Any]:
    """The cost of one parent order.

    Parameters
    ----------
    parent : Execution
    fills : FILL_DTYPE array
        All fills of the run; those of the parent's orders are looked for.
    instrument : Instrument
    traded : (int, int), optional
        What the market traded between start and end: lots, and the sum of ticks times lots.

    Returns
    -------
    dict
        Money and prices as decimal strings, `bps` of the paper portfolio's value as floats; > 0 is a cost.

    Raises
    ------
    AssertionError
        If the parts are not the shortfall.
    """
    sign = 1 if parent.side == "buy" else -1
    drift, mine = parent.final_mid2 - parent.arrival_mid2, _fills(parent, fills)
    timing = spread = impact = done = cost = fees = makers = 0
    for price_ticks, lots, fee, maker, (bid, ask) in mine:
        timing += sign * lots * (bid + ask - parent.arrival_mid2)
        half = lots * (bid - ask if maker else ask - bid)
        spread += half
        impact += sign * lots * (2 * price_ticks - bid - ask) - half
        done, cost, fees, makers = done + lots, cost + 2 * price_ticks * lots, fees + fee, makers + lots * maker
    opportunity = sign * (parent.quantity_lots - done) * drift
    paper = sign * parent.quantity_lots * drift
    real = sign * (parent.final_mid2 * done - cost)
    assert timing + spread + impact + opportunity == paper - real, "the parts are not the shortfall"
    num, den = instrument.value
    unit = Fraction(num, 2 * den)
    parts = {"timing": timing * unit, "spread": spread * unit, "impact": impact * unit,
             "opportunity": opportunity * unit, "fees": Fraction(fees)}  # fmt: skip
    total, value = (paper - real) * unit + fees, parent.arrival_mid2 * parent.quantity_lots * unit
    return {
        "instrument": instrument.symbol, "side": parent.side,
        "quantity": instrument.quantity(parent.quantity_lots), "filled": instrument.quantity(done),
        "maker_share": makers / done if done else None,
        "orders": len(parent.quotes), "fills": len(mine), "start_ts": parent.start_ns, "end_ts": parent.end_ns,
        "arrival_mid": _price(parent.arrival_mid2, 2, instrument), "average_price": _price(cost, 2 * done, instrument),
        "final_mid": _price(parent.final_mid2, 2, instrument), "value": _money(value),
        "shortfall": _money(total), **{name: _money(part) for name, part in parts.items()},
        "bps": {name: float(part / value * 10_000) for name, part in {"shortfall": total, **parts}.items()},
        **_against(sign, done, cost, traded, instrument),
    }  # fmt: skip


def _fills(parent: Execution, fills: NDArray[Any]) -> list[tuple[int, int, int, int, tuple[int, int]]]:
    """Price, lots, fee, maker and the quote at sending of each fill of the parent's orders."""
    columns = (fills[name].tolist() for name in ("id", "price_ticks", "quantity_lots", "fee", "maker"))
    return [(ticks, lots, fee, maker, parent.quotes[order]) for order, ticks, lots, fee, maker
            in zip(*columns, strict=True) if order in parent.quotes]  # fmt: skip


def _against(sign: int, done: int, cost: int, traded: tuple[int, int] | None,
             instrument: Instrument) -> dict[str, Any]:
    """The market's volume-weighted price of the same time, our share of its volume, and how much worse we did."""
    lots, total = traded or (0, 0)
    worse = float(sign * (Fraction(cost, 2 * done) * lots / total - 1) * 10_000) if done and total else None
    return {"market_quantity": None if traded is None else instrument.quantity(lots),
            "market_vwap": _price(total, lots, instrument), "participation": done / lots if lots else None,
            "vwap_slippage_bps": worse}  # fmt: skip


def _exact(value: Fraction) -> str | None:
    """A decimal string; None where the decimal would not end within DIGITS."""
    with localcontext() as context:
        context.prec = DIGITS
        shown = Decimal(value.numerator) / Decimal(value.denominator)
        return f"{shown:f}" if Fraction(shown) == value else None


def _money(units: Fraction) -> str:
    """Cash units as a decimal string, exact where they are no whole units."""
    if units.denominator == 1:
        return money(units.numerator)
    exact = _exact(units / 10**8)
    assert exact is not None, "ticks and lots are decimals"
    return exact


def _price(ticks: int, count: int, instrument: Instrument) -> str | None:
    """ticks / count as a price, to 12 places."""
    if not count:
        return None
    with localcontext() as context:
        context.prec = DIGITS
        shown = round(Decimal(ticks) / Decimal(count) * Decimal(instrument.tick), 12)
    return f"{shown.normalize():f}"


def analysis(executions: Sequence[Execution], fills: NDArray[Any], instruments: Sequence[Instrument],
             traded: Sequence[tuple[int, int] | None] = ()) -> list[dict[str, Any]]:
    """`shortfall` of every parent order of a run."""
    markets = traded or [None] * len(executions)
    return [shortfall(parent, fills, instruments[parent.instrument], market)
            for parent, market in zip(executions, markets, strict=True)]  # fmt: skip
