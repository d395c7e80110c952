"""A market maker of two quotes: the demo's strategy, and a start for one of your own."""

from __future__ import annotations

import apex


class Maker(apex.Strategy):
    """Quote both sides a fixed distance from the mid, leaning against the position, and requote on a timer.

    Every `interval` a quote that is no longer at its price is cancelled and placed anew; a side on which the position
    has reached `position_max` is not quoted.
    """

    class Params(apex.Params):
        half_spread_ticks: int = apex.bound(2, low=1, high=200)
        skew_ticks: int = apex.bound(1, low=0, high=50)
        quantity_lots: int = apex.bound(1, low=1, high=1_000_000)
        position_max: int = apex.bound(5, low=1, high=1_000_000)
        interval: str = "100ms"

    def on_start(self, view):
        view.every(self.params.interval)

    def on_timer(self, view):
        if not view.synced or view.mid_ticks is None:
            return
        p, held = self.params, view.position_lots
        centre = view.mid_ticks - p.skew_ticks * held / p.position_max
        wanted = {}
        if held < p.position_max:
            wanted["buy"] = min(int(centre - p.half_spread_ticks), view.ask_ticks - 1)
        if held > -p.position_max:
            wanted["sell"] = max(-int(-(centre + p.half_spread_ticks) // 1), view.bid_ticks + 1)
        for order in view.orders:
            if wanted.get(order.side) == order.price_ticks or not order.acknowledged:
                wanted.pop(order.side, None)
            elif view.cancel(order.id):
                wanted.pop(order.side, None)
        for side, price in wanted.items():
            view.limit(side, price, p.quantity_lots, "GTX")
