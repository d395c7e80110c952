from collections.abc import Sequence
from typing import Any, Final

from numpy.typing import NDArray

INSTRUMENTS_MAX: Final[int]
ROWS_MIN: Final[int]
"""Rows of one instrument: a small snapshot and a little life."""
PRICE_TICKS_MIN: Final[int]
PRICE_TICKS_MAX: Final[int]

class Market:
    """A market that a seed decides: snapshots first, then depth messages and trades, as the batches of a tape.

    The first rows do not depend on how many are asked for, but for the last `STEP_ROWS_MAX` (96) of a market, whose
    messages are kept small so that the last one is whole, and for the depth of snapshots, at most a quarter of an
    instrument's rows a side. An instrument's books and prices do not depend on the others'.

    Parameters
    ----------
    seed
        0 to 2^64 - 1.
    rows
        Canonical rows in all, at least ROWS_MIN an instrument.
    price_ticks
        First price of each instrument, in ticks, PRICE_TICKS_MIN to PRICE_TICKS_MAX.

    Raises
    ------
    ValueError
        If one of them is out of its range.

    Examples
    --------
    >>> market = Market(7, 1000, [600_000])
    >>> batches, levels = market.take()
    >>> len(levels), market.rows_left
    (1000, 0)
    """

    rows_left: int
    def __init__(self, seed: int, rows: int, price_ticks: Sequence[int]) -> None: ...
    def take(self, rows_max: int = ...) -> tuple[NDArray[Any], NDArray[Any]]:
        """The next whole messages: batches, and the levels that their `first` counts in.

        About `rows_max` rows (and never less than a snapshot), until none is left. Where the cuts lie changes nothing.
        """
    def _check(self) -> None:
        """Assert that every book is whole and not crossed."""
