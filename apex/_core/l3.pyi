from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.book import Book

class L3Book:
    """An order-by-order book of one instrument: price-time queues of orders by the venue's id, and their L2 totals.

    Sides are 1 (BUY) and 2 (SELL). Every change of an order is O(1). The engine works on its C data.

    Parameters
    ----------
    synced
        False: rows given to `apply` are ignored until a snapshot begins.
    compat
        The totals follow hftbacktest's rule for crossing updates, see Book.

    Examples
    --------
    >>> book = L3Book()
    >>> book.add(7, 1, 100, 5); book.add(8, 1, 100, 3); book.add(9, 2, 103, 4)
    >>> book.execute(7, 2); book.modify(8, 100, 1)
    >>> book.queue(1, 100), book.ahead(8), book.book.levels(1)
    ([(7, 3), (8, 1)], 3, [(100, 4)])
    """

    def __init__(self, *, synced: bool = True, compat: bool = False) -> None: ...
    @property
    def book(self) -> Book:
        """The totals, for reading."""
    @property
    def unknown(self) -> int:
        """Changes of orders that were not here; KEEPS_BOOK executions of such orders too."""
    @property
    def repeated(self) -> int:
        """Additions of orders that were here already, read as modifications."""
    @property
    def excess(self) -> int:
        """Executions and cancellations of more than was left, read as all of it."""
    def __len__(self) -> int:
        """Orders in the book."""
    def add(self, id: int, side: int, ticks: int, lots: int) -> None:
        """Put an order at the back of its level's queue.

        Raises ValueError on id 0, a wrong side, no lots or a price beyond 2^60 ticks; an id that is here is modified.
        """
    def modify(self, id: int, ticks: int, lots: int) -> None:
        """Give an order a new price and quantity, 0 removes it.

        It keeps its place if the price stays and the quantity does not rise. Raises KeyError when it is not here.
        """
    def delete(self, id: int, lots: int = 0) -> None:
        """Cancel lots of an order, 0 = all that is left. Raises KeyError when it is not here."""
    def execute(self, id: int, lots: int) -> None:
        """Take lots that traded off an order, wherever it stands. Raises KeyError when it is not here."""
    def clear(self, side: int = 0, ticks: int | None = None) -> None:
        """Remove the orders of a side, or of both (0); with a price: those from the touch to it, that included."""
    def order(self, id: int) -> tuple[int, int, int] | None:
        """(side, ticks, lots left) of an order, None when it is not here."""
    def ahead(self, id: int) -> int:
        """Lots ahead of an order in its queue. O(orders ahead). Raises KeyError when it is not here."""
    def queue(self, side: int, ticks: int) -> list[tuple[int, int]]:
        """(id, lots) of a level's orders, the front first."""
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
        """Apply the local view's depth events of one instrument, batch by batch, as Book.apply does.

        An instrument that has no orders has a book of levels, so that any tape's book can be read through this class.
        Of a book of orders `book.crossed_messages` counts whole messages only.
        Stops before the first batch whose local time is above `until` (ns) and returns its index.
        Raises TypeError on other dtypes, ValueError on a batch whose rows lie outside the arrays, MemoryError when an
        order was lost.
        """
    def _check(self) -> None:
        """Assert every invariant of pool, hashes, queues and totals."""

def totals(book: L3Book, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Rows of one instrument with its orders told as levels and trades, and for each the place of the row it came from.

    An execution is a trade by the other side, unless it keeps the book, and then the level's new total; the other kinds
    are the new totals of the levels that they change, an order's old place first. Other rows stay as they are. Flags,
    times and sequence are those of the row; where a row tells nothing, its LAST_IN_BATCH is gone.

    Parameters
    ----------
    book
        Its orders, which the rows change. Out of sync or not: readers of levels ignore what readers of orders ignore.
    rows
        EVENT_DTYPE, of one instrument, in the order of its view.
    """
