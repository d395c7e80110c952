from collections.abc import Mapping, Sequence
from typing import Any, Final

from numpy.typing import NDArray

INSTRUMENTS_MAX: Final[int]
ROWS_MIN: Final[int]
"""Rows of one instrument: a small snapshot and a little life."""
PRICE_TICKS_MIN: Final[int]
PRICE_TICKS_MAX: Final[int]

CELLS_OF_TABLE: Final[int]
"""Cells of a table of quantiles; it has one number more."""
RULES: Final[dict[str, tuple[int, int, int]]]
"""Numbers of an instrument's rules: how many there are of each, lowest and highest value. See Rule in market.pxd."""
QUANTILES: Final[dict[str, tuple[int, int]]]
"""Tables of quantiles of an instrument's rules: lowest and highest value. Distances are in ticks, sizes in lots less
one, jumps in 2^-20 of `jump_q8`."""
NEWS_RULES: Final[dict[str, tuple[int, int, int]]]
"""Numbers of the rules of common news, besides the table `jump`."""

class Market:
    """A market that a seed decides: snapshots first, then depth messages and trades, as the batches of a tape.

    Without rules books are of levels; with rules they are of single orders, and market orders come in clusters.

    The first rows do not depend on how many are asked for, but for the last 96 of a market (552 with rules), whose
    messages are kept small so that the last one is whole, and for the depth of snapshots, at most a quarter of an
    instrument's rows a side. An instrument's books and prices do not depend on the others' but for its partner's.

    Parameters
    ----------
    seed
        0 to 2^64 - 1.
    rows
        Canonical rows in all, at least ROWS_MIN an instrument.
    price_ticks
        First price of each instrument, in ticks, PRICE_TICKS_MIN to PRICE_TICKS_MAX.
    rules
        For each instrument a mapping with all names of RULES (a number, or a list where there are several) and of
        QUANTILES (lists of CELLS_OF_TABLE + 1). `apex.domain.scenario` makes them from a file.
    news
        A mapping with all names of NEWS_RULES and `jump`: news that instruments with `beta` > 0 hear.
    by_order
        Rows are orders with their ids instead of levels and trades.

    Raises
    ------
    ValueError
        If one of them is out of its range.

    Examples
    --------
    >>> market = Market(7, 1000, [600_000])
    >>> batches, levels, rows = market.take()
    >>> len(levels), market.rows_left
    (1000, 0)
    """

    rows_left: int
    def __init__(self, seed: int, rows: int, price_ticks: Sequence[int],
                 rules: Sequence[Mapping[str, Any]] | None = None, news: Mapping[str, Any] | None = None,
                 by_order: bool = False) -> None: ...
    def take(self, rows_max: int = ...) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """The next whole messages: batches, and the levels and rows that their `first` counts in.

        About `rows_max` rows (and never less than a snapshot), until none is left. Where the cuts lie changes nothing.

        Raises
        ------
        ValueError
            If the rules are such that nothing happens any more.
        """
    def _check(self) -> None:
        """Assert that every book is whole and not crossed."""
