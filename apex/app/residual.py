"""What the orders that even the likeliest candidate tells wrongly are worth, so that a band can hold them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex.app.own_orders import OwnOrders
from apex.app.replay import ReplayResult
from apex.domain.instrument import Instrument
from apex.research.calibration import Floats, Outcomes, block_error


class Mids(NamedTuple):
    """Twice the mids of the instruments on a grid of time, the last known where there is none."""

    ts_ns: NDArray[np.int64]
    mid2: NDArray[np.int64]

    def at(self, ts_ns: NDArray[np.int64], instrument: NDArray[np.int64]) -> NDArray[np.int64]:
        """At or before each time."""
        place = np.clip(np.searchsorted(self.ts_ns, ts_ns, "right") - 1, 0, len(self.ts_ns) - 1)
        return np.asarray(self.mid2[place, instrument], np.int64)


class Residual(NamedTuple):
    """Cash units that own orders made more than the candidate says, and the standard error of such a sum."""

    total: float
    error: float


def mids_of(result: ReplayResult) -> Mids:
    """Mids of a replay, one a second."""
    found = result.mark_rows["mid2"]
    known = np.maximum.accumulate(np.where(found != 0, np.arange(len(found))[:, None], 0), axis=0)
    return Mids(result.equity_rows["ts_ns"].astype(np.int64), np.take_along_axis(found, known, axis=0))


def residual(own: OwnOrders, told: Outcomes, mids: Mids, instruments: list[Instrument], hold_ns: int | None,
             maker_fee: float) -> Residual:
    """Live P&L of the limit orders less the candidate's, each fill valued at the mid a while later.

    Parameters
    ----------
    told : Outcomes
        The candidate's.
    hold_ns : int or None
        How much later; None: at the end.
    maker_fee : float
        Fraction of the notional.
    """
    each = _worth(own, own.outcomes, told, mids, instruments, hold_ns, maker_fee) - _worth(
        own, told, own.outcomes, mids, instruments, hold_ns, maker_fee)
    return Residual(float(each.sum()), float(block_error(each - each.mean())))


def _worth(own: OwnOrders, mine: Outcomes, other: Outcomes, mids: Mids, instruments: list[Instrument],
           hold_ns: int | None, maker_fee: float) -> Floats:
    """P&L of each order's fills in cash units; where their time is not known it is the other's, or when it was sent."""
    when = np.where(mine.filled_ns != 0, mine.filled_ns, np.where(other.filled_ns != 0, other.filled_ns, own.sent))
    place = np.array([row.instrument for row in own.rows], np.int64)
    later = np.full(len(when), mids.ts_ns[-1]) if hold_ns is None else when + hold_ns
    limit = np.array([row.price_ticks is not None for row in own.rows])
    price = np.array([row.price_ticks or 0 for row in own.rows], np.float64)
    sign = np.array([1.0 if row.side == "buy" else -1.0 for row in own.rows])
    value = np.array([num / den for num, den in (x.value for x in instruments)])[place]
    gain = sign * (mids.at(later, place) / 2 - price) - maker_fee * price
    return np.where(limit, mine.filled * gain * value, 0.0)
