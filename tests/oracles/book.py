"""Plain-Python books, written apart from the compiled one: a dict a side, bests found by looking at everything."""

BUY, SELL = 1, 2


class DictBook:
    """The book by its definition."""

    def __init__(self) -> None:
        self.sides: dict[int, dict[int, int]] = {BUY: {}, SELL: {}}

    def set(self, side: int, ticks: int, lots: int) -> None:
        if lots:
            self.sides[side][ticks] = lots
        else:
            self.sides[side].pop(ticks, None)

    def clear(self, side: int = 0) -> None:
        for one in (BUY, SELL) if side == 0 else (side,):
            self.sides[one].clear()

    def clear_to(self, side: int, ticks: int) -> None:
        for tick in [t for t in self.sides[side] if (t >= ticks if side == BUY else t <= ticks)]:
            del self.sides[side][tick]

    def best(self, side: int) -> int | None:
        levels = self.sides[side]
        return None if not levels else max(levels) if side == BUY else min(levels)

    def levels(self, side: int) -> list[tuple[int, int]]:
        return sorted(self.sides[side].items(), reverse=side == BUY)

    def walk(self, side: int, lots: int, limit: int | None) -> tuple[int, int | None, int]:
        taken, worst, cost = 0, None, 0
        for tick, there in self.levels(side):
            if taken == lots or (limit is not None and (tick < limit if side == BUY else tick > limit)):
                break
            take = min(there, lots - taken)
            taken, worst, cost = taken + take, tick, cost + take * tick
        return taken, worst, cost

    def volume_within(self, side: int, ticks: int) -> int:
        best = self.best(side)
        return sum(q for t, q in self.sides[side].items() if best is not None and abs(t - best) <= ticks)


class CompatBook(DictBook):
    """hftbacktest's book as its documentation tells it: bests are followed, not looked up.

    An insert that reaches the other side's best moves that best to its next level beyond; what it leaves behind stays
    in the table. A search for a next best goes no farther than the farthest price inserted since the side last had no
    best.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bests: dict[int, int | None] = {BUY: None, SELL: None}
        self.farthest: dict[int, int | None] = {BUY: None, SELL: None}

    def best(self, side: int) -> int | None:
        return self.bests[side]

    def _beyond(self, side: int, ticks: int) -> int | None:
        end = self.farthest[side]
        if end is None:
            return None
        if side == BUY:
            return max((t for t in self.sides[BUY] if end <= t < ticks), default=None)
        return min((t for t in self.sides[SELL] if ticks < t <= end), default=None)

    def _lose(self, side: int, ticks: int) -> None:
        self.bests[side] = self._beyond(side, ticks)
        if self.bests[side] is None:
            self.farthest[side] = None

    def set(self, side: int, ticks: int, lots: int) -> None:
        super().set(side, ticks, lots)
        best, other = self.bests[side], SELL if side == BUY else BUY
        if lots == 0:
            if ticks == best:
                self._lose(side, ticks)
            return
        if best is None or (ticks > best if side == BUY else ticks < best):
            self.bests[side] = ticks
            opposite = self.bests[other]
            if opposite is not None and (ticks >= opposite if side == BUY else ticks <= opposite):
                self.bests[other] = self._beyond(other, ticks)
        end = self.farthest[side]
        self.farthest[side] = ticks if end is None else min(end, ticks) if side == BUY else max(end, ticks)

    def clear(self, side: int = 0) -> None:
        super().clear(side)
        for one in (BUY, SELL) if side == 0 else (side,):
            self.bests[one] = self.farthest[one] = None

    def clear_to(self, side: int, ticks: int) -> None:
        best = self.bests[side]
        if best is not None:
            low, high = (ticks, best) if side == BUY else (best, ticks)
            for tick in [t for t in self.sides[side] if low <= t <= high]:
                del self.sides[side][tick]
        self._lose(side, ticks - 1 if side == BUY else ticks + 1)
