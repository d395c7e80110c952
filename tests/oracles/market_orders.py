"""The market of single orders by its rules, in plain Python, one thing at a time.

What `apex._core.market` must give with rules, row by row. `rows` are tuples as in `tests.oracles.market`, with the id
of the order at the end (0 where rows are levels).
"""

from __future__ import annotations

from typing import Any

from tests.oracles.market import ASK, BID, EXPONENTIAL, Random, sample, seeds
from tests.oracles.market_pit import OrderPit, World

SNAPSHOT_ORDERS, STEP_ROWS = 4_000, 552


class OrderMarketOracle:
    """The whole market: `rows` has all its rows."""

    def __init__(self, seed: int, rows: int, prices: list[int], rules: list[dict[str, Any]],
                 news: dict[str, Any] | None = None, by_order: bool = False) -> None:
        depth = min(rows // len(prices) // 4, SNAPSHOT_ORDERS)
        feed, *states, world = seeds(seed, 2 + len(prices))
        self.feed_random, self.local, self.wanted, self.by_order = Random(feed), 0, rows, by_order
        self.world = World(news, world)
        self.rows: list[tuple[int, int, int, str, int, int, int, int, bool, int]] = []
        pits = [OrderPit(price, i, states[i], rules[i], depth) for i, price in enumerate(prices)]
        for pit in pits:
            if pit.rules["partner"]:
                pit.partner = pits[pit.rules["partner"] - 1]
            self.snapshot(pit)
            pit.now += 1_000_000
        while len(self.rows) < rows:
            self.step(min(pits, key=lambda p: (p.now, p.index)))

    def feed(self) -> int:
        bits = self.feed_random.draw()
        delay = 600_000 + (250_000 * sample(EXPONENTIAL, bits) >> 20)
        if bits % 2048 == 0:
            delay += 4_000_000 * sample(EXPONENTIAL, self.feed_random.draw()) >> 20
        return delay

    def emit(self, pit: OrderPit, sequence: int, delay: int, rows: list[tuple[str, int, int, int, int]],
             last: bool = True) -> None:
        """A message of rows (kind, side, tick, lots, id)."""
        self.local = max(self.local, pit.now + delay)
        for i, (kind, side, tick, lots, order_id) in enumerate(rows):
            ends = last and i == len(rows) - 1
            self.rows.append((pit.now, self.local, sequence, kind, side, tick, lots, pit.index, ends, order_id))

    def snapshot(self, pit: OrderPit) -> None:
        delay = self.feed()
        pit.sequence += 1
        self.emit(pit, pit.sequence, delay, [("SNAPSHOT_BEGIN", 0, 0, 0, 0)], last=False)
        found = [(which, tick) for which in (BID, ASK) for tick in pit.ticks(which)]
        if self.by_order:
            rows = [("ORDER_ADD", 1 + which, tick, lots, order_id) for which, tick in found
                    for order_id, lots in pit.book[which][tick]]
            pit.sequence += len(rows)
        else:
            rows = [("BOOK_LEVEL", 1 + which, tick, pit.lots(which, tick), 0) for which, tick in found]
        self.emit(pit, pit.sequence, delay, rows)

    def close(self, pit: OrderPit, delay: int) -> None:
        """End a message: its orders, or the levels that ended otherwise than they began."""
        if self.by_order:
            rows = [(kind, 1 + which, *rest) for kind, which, *rest in pit.said]
        else:
            rows = [("BOOK_LEVEL", 1 + which, tick, pit.lots(which, tick), 0) for side in (BID, ASK)
                    for (which, tick), before in pit.before.items()
                    if which == side and pit.lots(which, tick) != before]
        if rows:
            pit.sequence += len(rows)
            self.emit(pit, pit.sequence, delay, rows)  # type: ignore[arg-type]

    def depth(self, pit: OrderPit, left: int) -> None:
        burst = 1 + ((pit.rules["burst_mean"] - 1) * sample(EXPONENTIAL, pit.random.draw()) >> 20)
        delay = self.feed()
        pit.begin()
        if left >= STEP_ROWS:
            pit.requote()
        for _ in range(min(burst, left, 256)):
            pit.act()
        if left >= STEP_ROWS:
            pit.withdraw(BID)
            pit.withdraw(ASK)
        self.close(pit, delay)

    def market_order(self, pit: OrderPit, which: int) -> None:
        left, delay, prints, swept = 1 + sample(pit.rules["market_lots"], pit.random.draw()), self.feed(), 0, 0
        informed, first = pit.stale() == which, pit.best(which)
        left *= pit.rules["informed_lots"] if informed else 1
        pit.begin()
        while left > 0 and prints < 128 and swept < 24 and (not informed or pit.stale() == which):
            tick = pit.best(which)
            queue = pit.book[which][tick]
            order_id, lots = queue[0]
            taken = min(left, lots)
            if taken == lots and len(queue) == 1 and not pit.may_empty(which, tick):
                taken = lots - 1
            if taken == 0:
                break
            pit.trade_id += 1
            pit.touch(which, tick)
            pit.said.append(("ORDER_EXECUTE", which, tick, taken, order_id))
            if not self.by_order:
                self.emit(pit, pit.trade_id, delay, [("TRADE", 2 - which, tick, taken, 0)])
            queue[0][1] -= taken
            if queue[0][1] == 0:
                queue.pop(0)
                swept += pit.leave(which, tick)
            left -= taken
            prints += 1
        self.close(pit, delay)
        moved = (pit.best(which) - first) * pit.rules["impact"]
        if not informed and pit.low <= pit.fair + moved <= pit.high:
            pit.fair += moved
            pit.excess += moved

    def step(self, pit: OrderPit) -> None:
        left, bound = self.wanted - len(self.rows), pit.bound
        pit.cool()
        while pit.heard_at(self.world) <= pit.now:
            size = self.world.item(pit.heard)[1]
            pit.heard += 1
            pit.shift(size * (pit.rules["jump_q8"] * pit.rules["beta"] // 256) >> 20)
        pit.follow_crash()
        if bound:
            pick, what = (pit.random.draw() >> 37) * bound >> 27, 0
            for rate in pit.rates():
                if pick < rate:
                    break
                pick -= rate
                what += 1
            if what == 2:
                pit.news()
            elif what == 3:
                bits = pit.random.draw()
                pit.regime = 1 if pit.regime != 1 else 2 if bits >> 62 == 0 else 0
            elif what == 4 or (what != 7 and left < STEP_ROWS):
                self.depth(pit, left)
            elif what == 5:
                delay = self.feed()
                pit.begin()
                pit.requote()
                self.close(pit, delay)
            elif what == 6:
                bits = pit.random.draw()
                pit.flow = ((bits & 0xFFFF) - 32768) * pit.rules["parent_lean"] >> 8
                pit.patience = (0, 0, 1, 2)[(bits >> 16) & 3]
            elif what < 2:
                self.market_order(pit, ASK if what == 0 else BID)
                pit.excite(what)
        pit.schedule(self.world)
