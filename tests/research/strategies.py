"""Strategies whose runs the reports are tested on."""

from __future__ import annotations

import random

import apex


class Busy(apex.Strategy):
    """Quotes at the touch, crosses it now and then, and turns its position round: every kind of fill and reason."""

    class Params(apex.Params):
        lots: int = apex.bound(3, low=1, high=100)
        seed: int = 5

    def on_start(self, view):
        self.random = random.Random(self.params.seed)
        view.every("250ms")

    def on_timer(self, view):
        for number in range(self.instruments(view)):
            self.quote(view[number])

    def instruments(self, view):
        count = 0
        while True:
            try:
                view[count]
            except IndexError:
                return count
            count += 1

    def quote(self, view):
        if not view.synced or view.mid_ticks is None:
            return
        view.cancel_all()
        draw = self.random.random()
        if draw < 0.15:
            view.market(self.random.choice(("buy", "sell")), self.random.randint(1, 2 * self.params.lots))
        elif draw < 0.25:
            view.limit("buy", view.ask_ticks + 1, self.params.lots, "GTX")
        elif draw < 0.3:
            view.limit("sell", view.ask_ticks * 3, self.params.lots)
        else:
            view.limit("buy", view.bid_ticks, self.params.lots, "GTX")
            view.limit("sell", view.ask_ticks, self.params.lots, "GTX")


class Silent(apex.Strategy):
    """Is called, and asks for nothing."""

    def on_start(self, view):
        view.every("1s")

    def on_timer(self, view):
        assert view.now


class Uncalled(apex.Strategy):
    """Asks to be called by nothing."""


class Far(apex.Strategy):
    """Quotes so far away that the gate denies all of it."""

    def on_start(self, view):
        view.every("1s")

    def on_timer(self, view):
        view.limit("buy", view.bid_ticks // 2, 1)


class Patient(apex.Strategy):
    """Quotes near enough to pass the gate and too far to fill."""

    def on_start(self, view):
        view.every("1s")

    def on_timer(self, view):
        view.limit("buy", view.bid_ticks - view.bid_ticks // 20, 1)
