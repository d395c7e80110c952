"""One side of a book in order, for venues whose rules look at its best levels."""

from __future__ import annotations

from bisect import bisect_left, insort


class Ladder:
    """Levels of one side, best first, each with the texts that its venue sent.

    Parameters
    ----------
    descending : bool
        Bids.
    """

    def __init__(self, descending: bool) -> None:
        self._sign = -1 if descending else 1
        self._order: list[int] = []
        self._texts: dict[int, tuple[str, str]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def set(self, ticks: int, price: str, text: str | None) -> None:
        """Set a level: its price as text, and what the checksum takes of it; None removes it. O(n) at worst."""
        key = self._sign * ticks
        if text is None:
            if self._texts.pop(key, None) is not None:
                del self._order[bisect_left(self._order, key)]
            return
        if key not in self._texts:
            insort(self._order, key)
        self._texts[key] = (price, text)

    def best(self, count: int) -> list[str]:
        """The checksum's texts of the best levels."""
        texts = self._texts
        return [texts[key][1] for key in self._order[:count]]

    def cut(self, depth: int) -> list[str]:
        """Remove the levels beyond a depth; their prices as text."""
        if len(self._order) <= depth:
            return []
        gone = [self._texts.pop(key)[0] for key in self._order[depth:]]
        del self._order[depth:]
        return gone
