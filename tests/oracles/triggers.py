"""Plain-Python rules of stops, trailing stops, reduce-only orders and icebergs, upon the strict venue's oracle."""

from __future__ import annotations

from typing import Any

from tests.oracles.book import BUY, SELL
from tests.oracles.matching import Exact, Known, Probable, Resting, StrictReplay, StrictVenue, other


class Stop:
    """A stop that waits: `order` is what it becomes."""

    def __init__(self, order: Resting, market: bool, trigger: int, distance: int, mark: bool) -> None:
        self.order, self.market, self.trigger, self.distance, self.mark = order, market, trigger, distance, mark
        self.fired = False

    def hit(self, price: int) -> bool:
        return price >= self.trigger if self.order.side == BUY else price <= self.trigger


class TriggerVenue(StrictVenue):
    """`place` takes one thing more: what kind of order it is, a dict of kind, trigger, distance, reduce, show, mark."""

    def __init__(self, queue: str = "risk-averse", n: float = 1.0, lot: tuple[int, int] = (1, 3)) -> None:
        super().__init__(queue, n, lot)
        self.position = 0
        self.stops: list[Stop] = []
        self.mark: int | None = None

    # ---- requests

    def place(self, key: int, side: int, price: int | None, lots: int, tif: str, more: Any = None) -> None:
        more = more or {}
        order = Resting(key, side, price if price is not None else (10**18 if side == BUY else -10**18), lots, tif)
        order.reduce, order.show, order.tip, order.known = more.get("reduce", False), more.get("show", 0), 0, False
        kind = more.get("kind", "")
        if not kind:
            self.enter(order, price is None)
            self.tidy()
            return
        touch = self.book.best(other(side))
        if not self.synced:
            self.reply(key, "reject", 0, lots, "venue_unsynced")
        elif touch is None:
            self.reply(key, "reject", 0, lots, "no_liquidity")
        else:
            far = more.get("distance", 0)
            trigger = more["trigger"] if kind != "trailing" else touch + far if side == BUY else touch - far
            stop = Stop(order, kind != "stop-limit", trigger, far, more.get("mark", False))
            if kind != "stop-limit":
                order.price = trigger
            now = self.mark if stop.mark else touch
            if now is None:
                self.reply(key, "reject", 0, lots, "no_mark_price")
            elif stop.hit(now):
                self.reply(key, "reject", 0, lots, "stop_reached")
            else:
                self.stops.append(stop)
                self.reply(key, "ack", 0, lots, "")

    def enter(self, order: Any, market: bool = False) -> None:
        if self.synced and order.reduce and self.room(order) <= 0:
            self.reply(order.key, "expired" if order.known else "reject", order.price, order.lots, "nothing_to_reduce")
            return
        seen = len(self.replies)
        before = order.left
        if self.synced and order.reduce and order.tif == "FOK" and self.room(order) < before:
            self.replies.append((order.key, "expired", order.price, order.lots, "no_liquidity"))
            return
        super().enter(order, market)
        if order.known:                                   # it has been acknowledged before
            made = self.replies[seen:]
            del self.replies[seen:]
            for reply in made:
                if reply[1] == "reject":
                    self.replies.append((reply[0], "expired", *reply[2:]))
                elif reply[1] != "ack":
                    self.replies.append(reply)
        order.known = False
        if order in self.orders:
            order.tip = min(order.show, order.left)
        if order.reduce and 0 < order.left < before and self.room(order) <= 0:
            self.spend(order)

    def room(self, order: Any) -> int:
        return max(-self.position if order.side == BUY else self.position, 0)

    def spend(self, order: Any) -> None:
        """A reduce-only order has nothing left to close; what it was told after that does not count."""
        if order in self.orders:
            self.orders.remove(order)
        if self.replies and self.replies[-1][:2] == (order.key, "expired"):
            self.replies.pop()
        self.reply(order.key, "expired", order.price, order.lots, "nothing_to_reduce")

    def fill(self, order: Any, lots: int, price: int, *, maker: bool, optimistic: bool = False) -> int:
        if order.reduce:
            lots = min(lots, self.room(order))
        done = super().fill(order, lots, price, maker=maker, optimistic=optimistic)
        order.tip = max(order.tip - done, 0)
        self.position += done if order.side == BUY else -done
        return done

    def tidy(self) -> None:
        for order in list(self.orders):
            if order.reduce and self.room(order) <= 0:
                self.spend(order)
            elif order.show and order.tip == 0:
                self.orders.remove(order)
                self.rest(order)

    def rest(self, order: Any) -> None:
        """At the back of its level, with a new tip."""
        name, n, lot = self.model
        there = self.book.sides[order.side].get(order.price, 0)
        order.careful = Exact(there)
        order.queue = Exact(there) if name == "risk-averse" else Probable(there, name, n, lot)
        order.tip = min(order.show, order.left)
        self.orders.append(order)

    def cancel(self, key: int) -> None:
        for stop in self.stops:
            if stop.order.key == key:
                self.stops.remove(stop)
                self.reply(key, "canceled", 0, 0, "canceled")
                return
        super().cancel(key)

    def amend(self, key: int, price: int, lots: int) -> None:
        stop = next((s for s in self.stops if s.order.key == key), None)
        if stop is None:
            order: Any = next((o for o in self.orders if o.key == key), None)
            super().amend(key, price, lots)
            if order is not None:
                order.tip = min(order.tip, order.left)
            self.tidy()
            return
        plain = stop.market and not stop.distance
        touch = self.mark if stop.mark else self.book.best(other(stop.order.side))
        if not self.synced:
            self.reply(key, "reject", 0, 0, "venue_unsynced")
        elif plain and touch is not None and (price <= touch if stop.order.side == BUY else price >= touch):
            self.reply(key, "reject", 0, 0, "stop_reached")
        else:
            stop.order.lots = stop.order.left = lots
            if not stop.distance:
                stop.order.price = price
            if plain:
                stop.trigger = price
            self.reply(key, "ack", stop.order.price, lots, "")

    # ---- market data

    def level(self, side: int, ticks: int, lots: int) -> None:
        super().level(side, ticks, lots)
        self.tidy()

    def trade(self, side: int, ticks: int, lots: int) -> None:
        taken, waiting = 0, False
        for order in self.ranked(other(side)):
            if order.reduce and self.room(order) <= 0:                # type: ignore[attr-defined]
                continue
            if order.price < ticks if side == BUY else order.price > ticks:
                taken += self.fill(order, min(lots - taken, order.left), order.price, maker=True)
            elif order.price == ticks:
                past = min(order.queue.trade(lots), lots) - taken
                sure = min(order.careful.trade(lots), lots) - taken
                tip = order.tip if order.show else order.left         # type: ignore[attr-defined]
                if not waiting:
                    some = min(past, tip, self.room(order) if order.reduce else tip)     # type: ignore[attr-defined]
                    taken += self.fill(order, some, ticks, maker=True, optimistic=some > max(sure, 0))
                over = order.left == 0 or (order.reduce and self.room(order) <= 0) or (      # type: ignore[attr-defined]
                    order.show and order.tip == 0)                    # type: ignore[attr-defined]
                waiting = waiting or not over
        self.tidy()
        self.watch(ticks, mark=False)

    def marked(self, ticks: int) -> None:
        """A mark price."""
        self.mark = ticks
        self.watch(ticks, mark=True)

    def watch(self, price: int, *, mark: bool) -> None:
        for stop in list(self.stops):
            if stop.mark != mark or stop not in self.stops:
                continue
            stop.fired = stop.fired or stop.hit(price)
            if stop.fired and self.synced:
                self.stops.remove(stop)
                order: Any = stop.order
                order.known = True
                self.reply(order.key, "triggered", order.price, order.lots, "")
                if stop.market:
                    order.price, order.tif = (10**18 if order.side == BUY else -10**18), "IOC"
                self.enter(order, stop.market)
                self.tidy()
            elif stop.distance and not stop.fired:
                buys, far = stop.order.side == BUY, stop.distance
                stop.trigger = min(stop.trigger, price + far) if buys else max(stop.trigger, price - far)


class TriggerKnown(Known):
    """That a stop has triggered is heard, and changes nothing of what is pending."""

    def hear(self, ts: int, venue_ts: int, what: str, price: int, lots: int, more: Any) -> None:
        if what != "triggered":
            super().hear(ts, venue_ts, what, price, lots, more)
            return
        self.ack = self.ack or ts
        self.done, self.venue = ts, venue_ts


class TriggerReplay(StrictReplay):
    """One venue and one sender; an intent to place has one thing more, what kind of order it is."""

    def intend(self, now: int, intent: tuple[Any, ...]) -> None:
        count = len(self.known)
        super().intend(now, intent)
        if len(self.known) > count:
            made = TriggerKnown(now, intent[1], intent[2] or 0, intent[3])
            self.known[-1] = made


__all__ = ["BUY", "SELL", "TriggerReplay", "TriggerVenue"]
