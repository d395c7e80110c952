from typing import Any

from numpy.typing import NDArray

TICKS_MAX: int

class Book:
    """An L2 book of one instrument in ticks and lots; every level of both sides is kept.

    Sides are 1 (BUY, bids) and 2 (SELL, asks). Updates are O(1) near the touch at any tick size and price.

    Parameters
    ----------
    synced
        False: depth batches given to `apply` are ignored until a snapshot begins.
    compat
        hftbacktest's rule for crossing updates: the opposite best moves on, its stale levels stay.

    Examples
    --------
    >>> book = Book()
    >>> book.set(1, 100, 5); book.set(1, 99, 7); book.set(2, 103, 4); book.end_message()
    >>> book.bid_ticks, book.ask_ticks, book.levels(1)
    (100, 103, [(100, 5), (99, 7)])
    """

    def __init__(self, *, synced: bool = True, compat: bool = False) -> None: ...
    @property
    def synced(self) -> bool: ...
    @property
    def compat(self) -> bool: ...
    @property
    def crossed_messages(self) -> int:
        """Synced depth messages applied after which bid >= ask."""
    @property
    def bid_ticks(self) -> int | None:
        """Best bid, None when there is none."""
    @property
    def ask_ticks(self) -> int | None:
        """Best ask, None when there is none."""
    @property
    def crossed(self) -> bool: ...
    @property
    def locked(self) -> bool: ...
    @property
    def negatives(self) -> int:
        """Updates with a negative quantity, read as deletions."""
    @property
    def recentres(self) -> int:
        """Times that the windows moved."""
    def set(self, side: int, ticks: int, lots: int) -> None:
        """Set the total at a price, 0 deletes. Raises ValueError on a wrong side, price or negative quantity."""
    def end_message(self) -> None:
        """Close a venue's message: a window whose best left its middle half moves."""
    def clear(self, side: int = 0) -> None:
        """Remove a side's levels, or all."""
    def clear_to(self, side: int, ticks: int) -> None:
        """Remove a side's levels from the touch to a price, that included."""
    def quantity(self, side: int, ticks: int) -> int:
        """Lots at a price, 0 without a level."""
    def level_count(self, side: int) -> int: ...
    def levels(self, side: int, count: int = -1) -> list[tuple[int, int]]:
        """(ticks, lots) from the best on; the first `count`, or all."""
    def walk(self, side: int, lots: int, limit: int | None = None) -> tuple[int, int | None, int]:
        """What a taker could take of a side: (lots, last tick reached, sum of ticks * lots), exact."""
    def volume_within(self, side: int, ticks: int) -> int:
        """Lots at most `ticks` from the side's best."""
    def apply(
        self,
        batches: NDArray[Any],
        levels: NDArray[Any],
        rows: NDArray[Any],
        *,
        instrument: int = 0,
        start: int = 0,
        until: int | None = None,
    ) -> int:
        """Apply the local view's depth events of one instrument, batch by batch.

        Stops before the first batch whose local time is above `until` (ns) and returns its index.
        Raises TypeError on other dtypes, ValueError on a batch whose rows lie outside the arrays.
        """
    def _check(self) -> None:
        """Assert every invariant of windows, bitmaps, hashes, counts and bests."""
