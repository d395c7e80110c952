"""One instrument of the market of single orders, in plain Python: lists for queues, whole numbers everywhere."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

from tests.oracles.market import (
    ASK,
    BID,
    EXPONENTIAL,
    LEVELS_MIN,
    NEITHER,
    RING,
    START,
    Random,
    leans,
    quotient,
    sample,
)

ROOM = 32_768
EVER, NEVER, RATE_MAX, NEWS_GAP = 1 << 32, 1 << 62, 1 << 30, 2_000_000
_CONTEXT = Context(prec=60)
DECAY = [int(_CONTEXT.multiply(_CONTEXT.exp(Decimal(-i) / 64), Decimal(1 << 30))) for i in range(1025)]


def cooled(heat: int, elapsed: int, lasts: int) -> int:
    """heat * exp(-elapsed / lasts), by straight lines between 64ths."""
    x = (elapsed << 16) // lasts
    cell, part = x // 1024, x % 1024
    return heat * (DECAY[cell] + ((DECAY[cell + 1] - DECAY[cell]) * part >> 10)) >> 30 if cell < 1024 else 0


class World:
    """News that all instruments hear."""

    def __init__(self, rules: dict[str, Any] | None, state: list[int]) -> None:
        self.rules, self.random, self.now, self.heat = rules or {}, Random(state), START, 0
        self.told: list[tuple[int, int]] = []

    def item(self, number: int) -> tuple[int, int]:
        """(time, size) of the news of a number."""
        while len(self.told) <= number:
            self.tell()
        return self.told[number]

    def tell(self) -> None:
        rate = self.rules["rate"]
        while True:
            bound = rate + self.heat
            wait = min((sample(EXPONENTIAL, self.random.draw()) << 28) // bound, EVER)
            self.now += wait
            self.heat = cooled(self.heat, wait, self.rules["gain_ns"])
            if (self.random.draw() >> 37) * bound >> 27 < rate + self.heat and wait < EVER:
                break
        self.now += NEWS_GAP
        self.heat = min(self.heat + self.rules["gain"], RATE_MAX)
        bits = self.random.draw()
        size = sample(self.rules["jump"], bits)
        self.told.append((self.now, -size if bits & 1 else size))


class OrderPit:
    """One instrument. Sides are mirrored by `out`: -1 for bids, +1 for asks; a queue is a list of [id, lots]."""

    def __init__(self, price: int, index: int, state: list[int], rules: dict[str, Any], depth: int) -> None:
        self.random, self.index, self.rules = Random(state), index, rules
        self.now = self.heat_at = START + 1000 * index
        self.book: list[dict[int, list[list[int]]]] = [{}, {}]
        self.far, self.top = [price, price + 1], [price, price + 1]
        self.orders, self.order_id, self.sequence, self.trade_id = 0, 0, 0, 0
        self.before: dict[tuple[int, int], int] = {}
        self.said: list[tuple[str, int, int, int, int]] = []
        self.fair, self.low, self.high = price * 256 + 128, price * 128, price * 512
        self.excess = self.flow = self.patience = self.bound = self.heard = self.news_heat = 0
        self.regime, self.phase, self.crash, self.fallen = 1, 0, 0, 0
        self.heat, self.left = [[0, 0, 0], [0, 0, 0]], [0, 0]
        self.partner: OrderPit | None = None
        for which in (BID, ASK):
            self.join(which, price + which, 1 + sample(rules["touch_lots"], self.random.draw()))
        for _ in range(60_000):
            self.act()
        for which in (BID, ASK):
            self.trim(which, depth)
        self.order_id = 0
        for which in (BID, ASK):
            for tick in self.ticks(which):
                for order in self.book[which][tick]:
                    self.order_id += 1
                    order[0] = self.order_id
        self.begin()

    def trim(self, which: int, depth: int) -> None:
        resting = sum(map(len, self.book[which].values()))
        while resting > depth:
            if queue := self.book[which].get(self.far[which]):
                queue.pop()
                self.orders -= 1
                resting -= 1
                if not queue:
                    del self.book[which][self.far[which]]
            else:
                self.far[which] -= 1 if which == ASK else -1

    # -- the book

    def ticks(self, which: int) -> list[int]:
        """Occupied prices from the best on."""
        return sorted(self.book[which], reverse=which == BID)

    def best(self, which: int) -> int:
        return self.top[which]

    def lots(self, which: int, tick: int) -> int:
        return sum(lots for _, lots in self.book[which].get(tick, []))

    def begin(self) -> None:
        self.before, self.said = {}, []

    def touch(self, which: int, tick: int) -> None:
        """Remember what a level held before this message."""
        self.before.setdefault((which, tick), self.lots(which, tick))

    def join(self, which: int, tick: int, lots: int) -> None:
        if self.orders == ROOM or self.lots(which, tick) >= 1 << 40:
            self.make_room(which)
            return
        self.touch(which, tick)
        self.order_id += 1
        self.orders += 1
        self.book[which].setdefault(tick, []).append([self.order_id, lots])
        self.far[which] = (min if which == BID else max)(self.far[which], tick)
        self.top[which] = (max if which == BID else min)(self.top[which], tick)
        self.said.append(("ORDER_ADD", which, tick, lots, self.order_id))

    def make_room(self, which: int) -> None:
        for side in (which, 1 - which):
            self.far[side] = (min if side == BID else max)(self.book[side])
            if self.pull(side, self.far[side], -1):
                return

    def may_empty(self, which: int, tick: int) -> bool:
        if len(self.book[which]) <= LEVELS_MIN:
            return False
        if tick != self.best(which):
            return True
        after = self.ticks(which)[1]
        return abs(after - self.best(1 - which)) <= self.rules["spread_max"]

    def pull(self, which: int, tick: int, place: int) -> bool:
        queue = self.book[which][tick]
        if len(queue) == 1 and not self.may_empty(which, tick):
            return False
        self.touch(which, tick)
        order_id, lots = queue.pop(place)
        self.leave(which, tick)
        self.said.append(("ORDER_DELETE", which, tick, lots, order_id))
        return True

    def leave(self, which: int, tick: int) -> bool:
        """An order has left a queue; whether the level went with it."""
        self.orders -= 1
        if self.book[which][tick]:
            return False
        del self.book[which][tick]
        if tick == self.top[which]:
            self.top[which] = (max if which == BID else min)(self.book[which])
        return True

    def stale(self) -> int:
        fair = self.fair // 256
        return BID if self.best(BID) > fair else ASK if self.best(ASK) <= fair else NEITHER

    def panics(self) -> bool:
        return self.phase in (1, 2)

    # -- makers

    def act(self) -> None:
        bits = self.random.draw()
        which = bits & 1
        out, left = (1 if which == ASK else -1), self.left[which]
        if left and (bits >> 1) & 0xFF < self.rules["follow"]:
            if (left - self.best(which)) * out <= 0 or left not in self.book[which]:
                self.left[which] = 0
            else:
                self.pull(which, left, -1)
        elif (bits >> 9) & 0xFF < self.rules["crash_placing" if self.panics() else "placing"]:
            self.place(which)
        else:
            self.cancel(which)

    def place(self, which: int) -> None:
        out = 1 if which == ASK else -1
        base = (max if which == ASK else min)(self.fair // 256 + which, self.best(which))
        tick = base + out * sample(self.rules["place_distance"], self.random.draw())
        if tick < 1 or (self.far[which] - tick) * out >= RING - 1 or (tick - self.best(which)) * out >= RING - 1:
            return
        sizes = self.rules["touch_lots" if tick == self.best(which) else "limit_lots"]
        self.join(which, tick, 1 + sample(sizes, self.random.draw()))

    def cancel(self, which: int) -> None:
        bits, out = self.random.draw(), 1 if which == ASK else -1
        tick = self.best(which) + out * sample(self.rules["cancel_distance"], bits)
        queue = self.book[which].get(tick, [])
        if not queue or (bits & 0xFFFF) * (len(queue) + self.rules["crowd"]) >> 16 >= len(queue):
            return
        older = (bits >> 18) & 7 if (bits >> 16) & 3 == 0 else 0
        self.pull(which, tick, max(0, len(queue) - 1 - older))

    def tighten(self, which: int) -> None:
        out, fair = (1 if which == ASK else -1), self.fair // 256
        anchor = min(self.best(ASK) - 1, fair) if which == BID else max(self.best(BID) + 1, fair + 1)
        if (self.best(which) - anchor) * out <= 0 or anchor < 1 or (self.far[which] - anchor) * out >= RING - 1:
            return
        if len(self.book[which][self.best(which)]) >= 4:
            self.left[which] = self.best(which)
        for _ in range(self.rules["touch_orders"]):
            self.join(which, anchor, 1 + sample(self.rules["touch_lots"], self.random.draw()))

    def requote(self) -> None:
        bits = self.random.draw()
        odds = self.rules["crash_tighten" if self.panics() else "tighten"]
        if self.partner is not None and (bits >> 24) & 0xFF < self.rules["watch"]:
            gap = 128 * (self.partner.best(BID) + self.partner.best(ASK)) - self.fair
            if abs(gap) > self.rules["band_q8"]:
                self.shift(gap)
        stale = self.stale()
        if stale != NEITHER and bits & 0xFF < self.rules["notice"]:
            for _ in range(128):
                if self.stale() != stale or not self.pull(stale, self.best(stale), -1):
                    break
            stale = self.stale()
        for which in (BID, ASK):
            if stale != which and (bits >> (8 + 8 * which)) & 0xFF < odds:
                self.tighten(which)

    def withdraw(self, which: int) -> None:
        out, count = 1 if which == ASK else -1, 0
        while (abs(self.far[which] - self.best(which)) > self.rules["reach"] and len(self.book[which]) > LEVELS_MIN
               and count < 64):
            if self.far[which] in self.book[which]:
                self.pull(which, self.far[which], -1)
                count += 1
            else:
                self.far[which] -= out

    # -- the fair price

    def shift(self, size: int) -> None:
        if self.fair + size > self.high:
            size = -abs(size)
        elif self.fair + size < self.low:
            size = abs(size)
        self.fair += size
        heat = self.heat[0 if size > 0 else 1]
        heat[0] = min(heat[0] + self.rules["alarm_gain"], RATE_MAX)

    def news(self) -> None:
        bits, rules = self.random.draw(), self.rules
        buys, sells = map(sum, self.heat)
        bid, ask = (self.lots(which, self.best(which)) for which in (BID, ASK))
        lean = quotient(rules["lean_flow"] * (buys - sells), buys + sells + 1)
        lean += quotient(rules["lean_book"] * (bid - ask), bid + ask)
        size = sample(rules["jump"], bits) * (rules["jump_q8"] * rules["jump_scale"][self.regime] // 16) >> 20
        back = quotient(self.excess * rules["giveback"], 256)
        move = (size if leans(lean, bits) else -size) - back
        self.excess += move
        self.news_heat = min(self.news_heat + rules["news_gain"], RATE_MAX)
        self.shift(move)

    def phase_at(self, phase: int) -> int:
        """When a phase of the crash begins."""
        spans = [self.rules[f"crash_{name}ns"] for name in ("", "fall_", "rest_", "recover_")]
        return START + sum(spans[:phase])

    def follow_crash(self) -> None:
        rules = self.rules
        if rules["crash_ns"] == 0 or self.phase == 4:
            return
        while self.phase < 4 and self.now >= self.phase_at(self.phase + 1):
            self.phase += 1
            if self.phase == 1:
                self.crash = self.fair * rules["crash_depth"] >> 16
        back = self.crash * rules["crash_back"] // 256
        if self.phase == 1:
            part = ((self.now - self.phase_at(1)) << 16) // rules["crash_fall_ns"]
            fallen = self.crash * (part * part >> 16) >> 16
        elif self.phase == 3:
            part = ((self.phase_at(4) - self.now) << 16) // rules["crash_recover_ns"]
            fallen = self.crash - back + (back * (part * part >> 16) >> 16)
        else:
            fallen = {0: 0, 2: self.crash, 4: self.crash - back}[self.phase]
        self.fair -= fallen - self.fallen
        self.fallen = fallen

    # -- when

    def cool(self) -> None:
        elapsed = self.now - self.heat_at
        for heat in self.heat:
            for k in range(3):
                heat[k] = cooled(heat[k], elapsed, self.rules["heat_ns"][k])
        self.news_heat = cooled(self.news_heat, elapsed, self.rules["news_ns"])
        self.heat_at = self.now

    def excite(self, side: int) -> None:
        for k in range(3):
            self.heat[side][k] = min(self.heat[side][k] + self.rules["self_gain"][k], RATE_MAX)
            self.heat[1 - side][k] = min(self.heat[1 - side][k] + self.rules["cross_gain"][k], RATE_MAX)

    def rates(self) -> list[int]:
        """Of buys, sells, news, a change of regime, depth messages, hurried quotes, a new parent."""
        rules, stale = self.rules, self.stale()
        buys, sells = map(sum, self.heat)
        base = rules["market_rate"][self.regime]
        lean = base * self.flow >> 15
        wide = stale == NEITHER and self.best(ASK) - self.best(BID) > 1 and not self.panics()
        return [
            base + lean + buys + (rules["informed_rate"] if stale == ASK else 0),
            base - lean + sells + (rules["informed_rate"] if stale == BID else 0)
            + (rules["crash_rate"] if self.phase == 1 else 0),
            rules["news_rate"][self.regime] + self.news_heat,
            rules["leave_rate"][self.regime],
            rules["depth_rate"][self.regime] + min((buys + sells) * rules["echo"] >> 8, RATE_MAX),
            rules["hurry"] if wide else 0,
            rules["parent_rate"][self.patience],
        ]

    def heard_at(self, world: World) -> int:
        return world.item(self.heard)[0] + self.rules["lag_ns"] if self.rules["beta"] else NEVER

    def schedule(self, world: World) -> None:
        self.bound = sum(self.rates())
        if self.phase in (1, 3):
            self.bound += self.rules["informed_rate"] + self.rules["hurry"]
        wait = (sample(EXPONENTIAL, self.random.draw()) << 28) // self.bound
        if wait >= EVER:
            wait, self.bound = EVER, 0
        due = self.phase_at(self.phase + 1) if self.rules["crash_ns"] and self.phase < 4 else NEVER
        due = min(due, self.heard_at(world))
        if due <= self.now + wait:
            wait, self.bound = max(due - self.now, 0), 0
        self.now += max(wait, 1)
