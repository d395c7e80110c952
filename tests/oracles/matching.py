"""The strict venue in plain Python, from docs/decisions/004-strict-fills.md and methods of queue and latency.

Everything is looked at from end to end, every time: orders in a list, levels in dicts. Quantities are lots.
"""

from __future__ import annotations

from math import floor, inf, isinf, isnan, log, nan, pow
from typing import Any

from tests.oracles.book import BUY, SELL, DictBook

PLACE, CANCEL, AMEND = "place", "cancel", "amend"


def other(side: int) -> int:
    return SELL if side == BUY else BUY


def divide(a: float, b: float) -> float:
    """As IEEE 754 has it."""
    if b:
        return a / b
    return nan if a == 0 or isnan(a) else inf if a > 0 else -inf


def power(x: float, n: float) -> float:
    """As C has it."""
    try:
        return pow(x, n)
    except ValueError:
        return nan
    except OverflowError:
        return inf


def logarithm(x: float) -> float:
    return log(x) if x > 0 else -inf if x == 0 else nan


def least(a: float, b: float) -> float:
    """The smaller number; one that is no number counts for nothing."""
    return b if isnan(a) else a if isnan(b) else min(a, b)


def half_away(x: float) -> int:
    return floor(x + 0.5) if x >= 0 else -floor(-x + 0.5)


class Exact:
    """Risk-averse: whatever leaves the level leaves behind us."""

    def __init__(self, level: int) -> None:
        self.front = level

    def depth(self, before: int, after: int) -> None:
        self.front = min(self.front, after)

    def trade(self, lots: int) -> int:
        """Lots of a trade at our price that get past those ahead of us."""
        self.front -= lots
        past, self.front = -self.front, max(self.front, 0)
        return max(past, 0)


class Probable:
    """What leaves the level has been behind us with probability p(front, back); in raw quantity, in double."""

    def __init__(self, level: int, kind: str, n: float, lot: tuple[int, int]) -> None:
        self.kind, self.n, self.lot = kind, n, lot
        self.front, self.cum = self.raw(level), 0.0

    def raw(self, lots: int) -> float:
        return lots * float(self.lot[0]) / 10.0 ** self.lot[1]

    def behind(self, front: float, back: float) -> float:
        n = self.n
        match self.kind:
            case "power-prob":
                return divide(power(back, n), power(back, n) + power(front, n))
            case "power-prob2":
                return divide(power(back, n), power(back + front, n))
            case "power-prob3":
                return 1.0 - power(divide(front, front + back), n)
            case "log-prob":
                return divide(logarithm(1.0 + back), logarithm(1.0 + back) + logarithm(1.0 + front))
        return divide(logarithm(1.0 + back), logarithm(1.0 + (back + front)))

    def depth(self, before: int, after: int) -> None:
        new = self.raw(after)
        change, self.cum = self.raw(before) - new - self.cum, 0.0
        if change < 0:
            self.front = least(self.front, new)
            return
        back = self.raw(before) - self.front
        p = self.behind(self.front, back)
        p = 1.0 if isinf(p) else p
        self.front = least(self.front - (1.0 - p) * change + least(back - p * change, 0.0), new)

    def trade(self, lots: int) -> int:
        self.front -= self.raw(lots)
        self.cum += self.raw(lots)
        past = half_away(-self.front / (float(self.lot[0]) / 10.0 ** self.lot[1]))
        if past <= 0:
            return 0
        self.front = 0.0
        return past


class Resting:
    """One of our orders at the venue."""

    def __init__(self, key: int, side: int, price: int, lots: int, tif: str) -> None:
        self.key, self.side, self.price, self.lots, self.tif = key, side, price, lots, tif
        self.left = lots
        self.queue: Any = None
        self.careful: Any = None


class StrictVenue:
    """Levels, trades and requests in; replies out as (key, what, price, lots, more)."""

    def __init__(self, queue: str = "risk-averse", n: float = 1.0, lot: tuple[int, int] = (1, 3)) -> None:
        self.model = (queue, n, lot)
        self.book = DictBook()
        self.synced = False
        self.orders: list[Resting] = []
        self.used: dict[tuple[int, int], int] = {}
        self.replies: list[tuple[Any, ...]] = []

    # ---- market data

    def snapshot(self) -> None:
        self.book.clear()
        self.used.clear()
        self.synced = True

    def gap(self) -> None:
        self.synced = False

    def clear(self, side: int, to: int | None) -> None:
        sides = (BUY, SELL) if side == 0 else (side,)
        for one in sides:
            gone = [t for t in self.book.sides[one] if to is None or (t >= to if one == BUY else t <= to)]
            for ticks in gone:
                del self.book.sides[one][ticks]
                self.used.pop((one, ticks), None)

    def level(self, side: int, ticks: int, lots: int) -> None:
        if not self.synced:
            return
        before = self.book.sides[side].get(ticks, 0)
        self.book.set(side, ticks, lots)
        self.used.pop((side, ticks), None)
        for order in self.orders:
            if (order.side, order.price) == (side, ticks):
                order.queue.depth(before, lots)
                order.careful.depth(before, lots)
        for order in self.ranked(other(side)) if lots else ():
            if ticks <= order.price if order.side == BUY else ticks >= order.price:
                there = lots - self.used.get((side, ticks), 0)
                self.use(side, ticks, self.fill(order, min(there, order.left), order.price, maker=True))

    def trade(self, side: int, ticks: int, lots: int) -> None:
        """`side` is the aggressor's; it meets our orders of the other side."""
        taken, waiting = 0, False
        for order in self.ranked(other(side)):
            if order.price < ticks if side == BUY else order.price > ticks:
                taken += self.fill(order, min(lots - taken, order.left), order.price, maker=True)
            elif order.price == ticks:
                past = min(order.queue.trade(lots), lots) - taken
                sure = min(order.careful.trade(lots), lots) - taken
                if not waiting:
                    some = min(past, order.left)
                    taken += self.fill(order, some, ticks, maker=True, optimistic=some > max(sure, 0))
                waiting = waiting or order.left > 0

    def ranked(self, side: int) -> list[Resting]:
        """Resting orders of a side: the better price first, then the earlier one."""
        mine = [o for o in self.orders if o.side == side]
        return sorted(mine, key=lambda o: -o.price if side == BUY else o.price)

    # ---- requests

    def place(self, key: int, side: int, price: int | None, lots: int, tif: str) -> None:
        order = Resting(key, side, price if price is not None else (10**18 if side == BUY else -10**18), lots, tif)
        self.enter(order, price is None)

    def enter(self, order: Resting, market: bool = False) -> None:
        asked = 0 if market else order.price
        best = self.book.best(other(order.side))
        crosses = best is not None and (best <= order.price if order.side == BUY else best >= order.price)
        if not self.synced:
            self.reply(order.key, "reject", asked, order.lots, "venue_unsynced")
            return
        if order.tif == "GTX" and crosses:
            self.reply(order.key, "expired", asked, order.lots, "post_only_would_cross")
            return
        if order.tif == "FOK" and sum(x for _, x in self.offer(order)) < order.left:
            self.reply(order.key, "expired", asked, order.lots, "no_liquidity")
            return
        rests = order.tif in ("GTC", "GTX") and not market
        if rests:
            self.reply(order.key, "ack", asked, order.lots, "")
        for ticks, there in self.offer(order):
            self.use(other(order.side), ticks, self.fill(order, min(there, order.left), ticks, maker=False))
        if order.left and rests:
            name, n, lot = self.model
            there = self.book.sides[order.side].get(order.price, 0)
            order.careful = Exact(there)
            order.queue = Exact(there) if name == "risk-averse" else Probable(there, name, n, lot)
            self.orders.append(order)
        elif order.left:
            self.reply(order.key, "expired", asked, order.lots, "no_liquidity")

    def offer(self, order: Resting) -> list[tuple[int, int]]:
        """(price, lots) of the other side within the order's limit, less what we have used up."""
        side = other(order.side)
        found = [(t, q - self.used.get((side, t), 0)) for t, q in self.book.sides[side].items()
                 if (t <= order.price if order.side == BUY else t >= order.price)]
        return sorted(found, reverse=side == BUY)

    def use(self, side: int, ticks: int, lots: int) -> None:
        if lots:
            self.used[side, ticks] = self.used.get((side, ticks), 0) + lots

    def cancel(self, key: int) -> None:
        for order in self.orders:
            if order.key == key:
                self.orders.remove(order)
                self.reply(key, "canceled", order.price, order.lots, "canceled")
                return
        self.reply(key, "reject", 0, 0, "unknown_order")

    def amend(self, key: int, price: int, lots: int) -> None:
        order = next((o for o in self.orders if o.key == key), None)
        if order is None:
            self.reply(key, "reject", 0, 0, "unknown_order")
            return
        left = lots - (order.lots - order.left)
        stays = price == order.price and lots <= order.lots
        if left <= 0:
            self.cancel(key)
        elif stays:
            order.lots, order.left = lots, left
            self.reply(key, "ack", price, lots, "")
        elif not self.synced:
            self.reply(key, "reject", order.price, order.lots, "venue_unsynced")
        else:
            self.orders.remove(order)
            order.price, order.lots, order.left = price, lots, left
            self.enter(order)

    # ---- replies

    def fill(self, order: Resting, lots: int, price: int, *, maker: bool, optimistic: bool = False) -> int:
        if lots <= 0:
            return 0
        order.left -= lots
        self.reply(order.key, "fill", price, lots, (maker, optimistic))
        if order.left == 0 and order in self.orders:
            self.orders.remove(order)
        return lots

    def reply(self, key: int, what: str, price: int, lots: int, more: Any) -> None:
        self.replies.append((key, what, price, lots, more))


class Known:
    """An order as its sender knows it."""

    def __init__(self, ts: int, side: int, price: int, lots: int) -> None:
        self.side, self.price, self.lots = side, price, lots
        self.status, self.pending, self.reason = "flight", PLACE, ""
        self.filled = self.ack = self.venue = 0
        self.done = ts

    def hear(self, ts: int, venue_ts: int, what: str, price: int, lots: int, more: Any) -> None:
        """A reply arrives."""
        self.ack = self.ack or ts
        if what != "reject" or self.pending == PLACE:
            self.done, self.venue = ts, venue_ts
        if what == "fill":
            self.filled += lots
            self.pending = "" if self.pending == PLACE else self.pending
            self.status = "filled" if self.filled == self.lots else "working"
            return
        if what == "ack":
            self.status = "working" if self.status == "flight" else self.status
            if self.pending == AMEND:
                self.price, self.lots = price, lots
        elif what == "reject":
            if self.pending == PLACE:
                self.status, self.reason = "rejected", more
        else:
            self.status, self.reason = what, more
        self.pending = ""


class StrictReplay:
    """One venue and one sender, with latency between them; see `run`."""

    def __init__(self, venue: StrictVenue, latency: tuple[int, int, int, int]) -> None:
        self.venue = venue
        self.legs = dict(zip((PLACE, CANCEL, AMEND), latency, strict=False))
        self.back = latency[3]
        self.known: list[Known] = []
        self.fills: list[tuple[Any, ...]] = []
        self.journal: list[tuple[int, int, tuple[Any, ...] | None]] = []
        """Replies as they were heard, and None for each time at which intents were due."""
        self.requests: list[tuple[int, tuple[Any, ...]]] = []
        self.replies: list[tuple[int, int, tuple[Any, ...]]] = []

    def run(self, data: list[tuple[int, str, Any]], todo: list[tuple[int, tuple[Any, ...]]]) -> None:
        """Walk messages (venue time, kind, rows) and intents (local time, intent), both in order of time.

        At one time: replies, venue data, requests, then all intents at once.
        """
        at, did = 0, 0
        while True:
            never = 1 << 62
            times = (
                self.replies[0][0] if self.replies else never, data[at][0] if at < len(data) else never,
                self.requests[0][0] if self.requests else never, todo[did][0] if did < len(todo) else never,
            )
            now = min(times)
            if now == never:
                return
            which = times.index(now)
            if which == 0:
                _, venue_ts, reply = self.replies.pop(0)
                self.hear(now, venue_ts, reply)
            elif which == 1:
                self.market(data[at])
                at += 1
            elif which == 2:
                request = self.requests.pop(0)[1]
                getattr(self.venue, request[0])(*request[1:])
            else:
                self.journal.append((now, 0, None))
                while did < len(todo) and todo[did][0] == now:
                    self.intend(now, todo[did][1])
                    did += 1
            for reply in self.venue.replies:
                due = now + self.back
                self.replies.append((max(due, self.replies[-1][0] if self.replies else due), now, reply))
            self.venue.replies.clear()

    def market(self, message: tuple[int, str, Any]) -> None:
        _, kind, rows = message
        for row in rows:
            getattr(self.venue, kind)(*row)

    def intend(self, now: int, intent: tuple[Any, ...]) -> None:
        kind = intent[0]
        if kind == PLACE:
            self.known.append(Known(now, intent[1], intent[2] or 0, intent[3]))
            request = (PLACE, len(self.known) - 1, *intent[1:])
        else:
            order = self.known[intent[1]]
            if order.status != "working" or order.pending:
                return
            order.pending = kind
            request = intent
        due = now + self.legs[kind]
        self.requests.append((max(due, self.requests[-1][0] if self.requests else due), request))

    def hear(self, now: int, venue_ts: int, reply: tuple[Any, ...]) -> None:
        key, what, price, lots, more = reply
        self.journal.append((now, venue_ts, reply))
        if what == "fill":
            self.fills.append((venue_ts, now, key, price, lots, *more))
        self.known[key].hear(now, venue_ts, what, price, lots, more)
