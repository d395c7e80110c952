"""A parent order: what an executor was asked to trade, and the market at each of its decisions."""

from __future__ import annotations

import msgspec


class Execution(msgspec.Struct, kw_only=True):
    """A parent order that a strategy works by orders of its own.

    Prices are the sum of bid and ask in ticks, twice the mid, so that they are integers.

    Attributes
    ----------
    instrument : int
        Index of the instrument in the run.
    side : {"buy", "sell"}
    quantity_lots : int
        What was to be traded, > 0.
    start_ns : int
        Time of the decision, ns of the replay's clock.
    arrival_mid2 : int
        Bid + ask at the decision: the price of the paper portfolio.
    end_ns, final_mid2 : int
        The same when the parent order was given up or done.
    quotes : dict of int to (int, int)
        Bid and ask in ticks when each of its orders was sent, by the order's id.
    done_lots : int
        What its orders have filled.
    """

    instrument: int
    side: str
    quantity_lots: int
    start_ns: int
    arrival_mid2: int
    end_ns: int
    final_mid2: int
    quotes: dict[int, tuple[int, int]] = {}
    done_lots: int = 0
