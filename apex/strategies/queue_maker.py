"""A market maker at the touch that minds its place in the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apex

if TYPE_CHECKING:
    from apex._core.engine import View


class QueueMaker(apex.Strategy):
    """Join the queue at the touch where it is the longer one, and leave when what lies ahead is too much for it.

    An order at the front of a long queue fills by small trades, and the price stays; one at the back fills only when
    the whole queue goes, and the price goes with it. With `share` the own queue's part of both queues, and `ahead` the
    part of the own queue in front of the order, both from 0 to 1, an order joins at share >= `join` and stays while
    share >= `leave` x ahead. What lies ahead is what the level held when the order was sent, or less if the level has
    held less since.

    Source: Moallemi and Yuan, "A model for queue position valuation in a limit order book", Columbia Business School
    Research Paper 17-70 (2016): the value of an order is what a fill earns less what the market then moves against it,
    and both depend on its place in the queue.
    """

    class Params(apex.Params):
        join: float = apex.bound(0.6, low=0.0, high=1.0)
        leave: float = apex.bound(0.4, low=0.0, high=1.0)
        quantity_lots: int = apex.bound(10, low=1, high=1_000_000)
        position_max: int = apex.bound(50, low=1, high=1_000_000)
        interval: str = "50ms"

    params: Params

    def on_start(self, view: View) -> None:
        self.ahead: dict[int, int] = {}
        view.every(self.params.interval)

    def on_timer(self, view: View) -> None:
        bid, ask = view.bid_ticks, view.ask_ticks
        if not view.synced or bid is None or ask is None:
            return
        p, held = self.params, view.position_lots
        touch = {"buy": (bid, view.bid_lots), "sell": (ask, view.ask_lots)}
        total = view.bid_lots + view.ask_lots
        missing, ahead = {"buy", "sell"}, {}
        for order in view.orders:
            price, lots = touch[order.side]
            missing.discard(order.side)
            ahead[order.id] = min(self.ahead.get(order.id, lots), lots) if order.price_ticks == price else 0
            if order.price_ticks != price or lots / total < p.leave * ahead[order.id] / lots:
                view.cancel(order.id)  # sends nothing while one is on its way
        for side in sorted(missing):
            price, lots = touch[side]
            if lots / total >= p.join and (held if side == "buy" else -held) < p.position_max:
                ahead[view.limit(side, price, p.quantity_lots, "GTX")] = lots
        self.ahead = ahead
