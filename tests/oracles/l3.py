"""A plain-Python order-by-order book, written apart from the compiled one: a list a queue, orders found by looking."""

from __future__ import annotations

from tests.oracles.book import BUY, SELL, CompatBook, DictBook


class ListBook:
    """The order-by-order book by its definition: price-time queues.

    A row is (kind, id, side, ticks, lots); kinds are "add", "modify", "delete", "execute" and "fill", an execution
    whose change of the book comes as a row of its own.
    """

    def __init__(self, compat: bool = False) -> None:
        self.queues: dict[tuple[int, int], list[list[int]]] = {}   # (side, ticks) -> [id, lots, filled before]
        self.totals: DictBook = CompatBook() if compat else DictBook()
        self.compat = compat
        self.unknown = self.repeated = self.excess = 0

    def find(self, id: int) -> tuple[tuple[int, int], list[int]] | None:
        for place, queue in self.queues.items():
            for entry in queue:
                if entry[0] == id:
                    return place, entry
        return None

    def _sum(self, place: tuple[int, int], entered: bool = False) -> None:
        """The total of a level; in hftbacktest's book only an order that enters a level makes it the best again."""
        queue = self.queues.get(place, [])
        if queue and not entered and isinstance(self.totals, CompatBook):
            self.totals.sides[place[0]][place[1]] = sum(entry[1] for entry in queue)
        else:
            self.totals.set(*place, sum(entry[1] for entry in queue))
        if not queue:
            self.queues.pop(place, None)

    def _enter(self, id: int, side: int, ticks: int, lots: int) -> None:
        self.queues.setdefault((side, ticks), []).append([id, lots, 0])
        self._sum((side, ticks), entered=True)

    def _remove(self, place: tuple[int, int], entry: list[int]) -> None:
        self.queues[place].remove(entry)
        self._sum(place)

    def row(self, kind: str, id: int, side: int, ticks: int, lots: int) -> None:
        """Apply one row; a row of no order (id 0) is none."""
        if id == 0:
            return
        found = self.find(id)
        if found is None:
            self.unknown += kind != "add"
            if kind in ("add", "modify") and lots > 0 and side in (BUY, SELL):
                self._enter(id, side, ticks, lots)
            return
        place, entry = found
        if kind == "fill":
            entry[2] += 0 if self.compat else lots
        elif kind in ("delete", "execute"):
            some = entry[1] if kind == "delete" and lots == 0 else lots
            self.excess += some > entry[1]
            if some >= entry[1]:
                self._remove(place, entry)
            else:
                entry[1], entry[2] = entry[1] - some, max(0, entry[2] - some)
                self._sum(place)
        else:
            self.repeated += kind == "add"
            if lots <= 0:
                self._remove(place, entry)
            elif self.compat and (side or place[0], ticks) == place and lots > entry[1]:
                self.queues[place].remove(entry)
                self.queues[place].append([id, lots, 0])
                self._sum(place)
            elif (side or place[0], ticks) != place or lots > entry[1] - entry[2]:
                self._remove(place, entry)
                self._enter(id, side or place[0], ticks, lots)
            else:
                entry[1], entry[2] = lots, 0
                self._sum(place)

    def clear(self, side: int = 0, to: int | None = None) -> None:
        for place, queue in list(self.queues.items()):
            if side in (0, place[0]) and (to is None or (place[1] >= to if side == BUY else place[1] <= to)):
                for entry in list(queue):
                    self._remove(place, entry)
        if to is None:
            self.totals.clear(side)
        else:
            self.totals.clear_to(side, to)

    def queue(self, side: int, ticks: int) -> list[tuple[int, int]]:
        return [(entry[0], entry[1]) for entry in self.queues.get((side, ticks), [])]

    def ahead(self, id: int) -> int:
        found = self.find(id)
        assert found is not None
        place, entry = found
        queue = self.queues[place]
        return sum(other[1] for other in queue[:queue.index(entry)])

    def orders(self) -> dict[int, tuple[int, int, int]]:
        return {e[0]: (side, ticks, e[1]) for (side, ticks), queue in self.queues.items() for e in queue}
