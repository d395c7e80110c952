"""Plain-Python arithmetic of fee tables, margin and impact: fractions and floats, one fill at a time."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from math import ceil, sqrt

DAY = 86_400 * 10**9


class OracleFees:
    """Fees of a fill: the table in force, and in it the tier of the volume of the 30 days before the fill's day."""

    def __init__(self, rows: list[tuple[int, int, int, int]], volume: int = 0) -> None:
        self.rows, self.history = rows, volume
        self.days: dict[int, int] = defaultdict(int)
        self.first: int | None = None
        self.latest = -1

    def day(self, ts: int) -> int:
        self.latest = max(self.latest, ts // DAY)
        self.first = self.latest if self.first is None else self.first
        return self.latest

    def volume(self, ts: int) -> int:
        day = self.day(ts)
        assert self.first is not None
        return sum(self.days[d] if d >= self.first else self._before(self.first - d) for d in range(day - 30, day))

    def _before(self, ago: int) -> int:
        """Volume of a day so long before the first: an even part, the oldest days get what is left over."""
        whole, rest = divmod(self.history, 30)
        return whole + (31 - ago <= rest)

    def rates(self, ts: int) -> tuple[int, int] | None:
        since = max((r[0] for r in self.rows if r[0] <= ts), default=None)
        if since is None:
            return None
        table = [r for r in self.rows if r[0] == since]
        volume = self.volume(ts)
        tier = max((r for r in table if r[1] <= volume), default=table[0])
        return tier[2], tier[3]

    def trade(self, ts: int, value: int) -> None:
        self.days[self.day(ts)] += value


def swept(asks: list[tuple[int, int]], lots: int, law: float) -> list[tuple[int, int]]:
    """Fills (price, lots) of a buy sweep that costs on average at least law * sqrt(lots) of the touch."""
    fills, done, cost, touch = [], 0, 0.0, asks[0][0]
    for tick, there in asks:
        take = min(there, lots - done)
        if not take:
            break
        cost += (tick - touch) * take
        more = 0
        if done + take > asks[0][1]:
            due = law * sqrt(done + take) * touch * (done + take) - cost
            more = max(ceil(due / take), 0)
        cost += more * take
        done += take
        fills.append((tick + more, take))
    return fills


def margin(cash: Fraction, positions: list[tuple[int, Fraction, Fraction]], mark: list[Fraction],
           maintenance: Fraction) -> bool:
    """Whether (lots, average price, worth of a lot a tick) at their marks leave less than the maintenance margin."""
    equity = cash + sum(q * (m - e) * w for (q, e, w), m in zip(positions, mark, strict=True))
    return equity < maintenance * sum(abs(q) * m * w for (q, _, w), m in zip(positions, mark, strict=True))
