"""A market maker of two quotes: the demo's strategy, and a start for one of your own."""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

import apex

if TYPE_CHECKING:
    from apex._core.engine import View


class Maker(apex.Strategy):
    """Quote both sides a fixed distance from the mid, leaning against the position, and requote on a timer.

    Every `interval` a quote that is no longer at its price is cancelled, and placed anew at the next call; a side on
    which the position has reached `position_max` lots is not quoted.
    """

    class Params(apex.Params):
        half_spread_ticks: int = apex.bound(20, low=1, high=1000)
        skew_ticks: int = apex.bound(20, low=0, high=1000)
        quantity_lots: int = apex.bound(10, low=1, high=1_000_000)
        position_max: int = apex.bound(50, low=1, high=1_000_000)
        interval: str = "100ms"

    params: Params

    def on_start(self, view: View) -> None:
        view.every(self.params.interval)

    def on_timer(self, view: View) -> None:
        bid, ask = view.bid_ticks, view.ask_ticks
        if not view.synced or bid is None or ask is None:
            return
        p, held = self.params, view.position_lots
        centre = (bid + ask) / 2 - p.skew_ticks * held / p.position_max
        wanted = {}
        if held < p.position_max:
            wanted["buy"] = min(floor(centre - p.half_spread_ticks), ask - 1)
        if held > -p.position_max:
            wanted["sell"] = max(ceil(centre + p.half_spread_ticks), bid + 1)
        for order in view.orders:
            if order.acknowledged and not order.pending and wanted.get(order.side) != order.price_ticks:
                view.cancel(order.id)
            wanted.pop(order.side, None)
        for side, price_ticks in wanted.items():
            view.limit(side, price_ticks, p.quantity_lots, "GTX")
