"""The market maker of the replay benchmark; `maker_numba` sends the same orders through hftbacktest."""

from __future__ import annotations

from typing import Any

import apex


class Maker(apex.Strategy):
    """One lot on each side of the mid, requoted each interval.

    An order that is not at its price is cancelled; a side without an order gets one, unless it would meet our own
    order on the other side.
    """

    class Params(apex.Params):
        half_spread_ticks: int = apex.bound(0, low=0, high=1000)
        interval: str = "100ms"

    def on_start(self, view: Any) -> None:
        view.every(self.params.interval)

    def on_timer(self, view: Any) -> None:
        bid, ask = view.bid_ticks, view.ask_ticks
        if bid is None or ask is None:
            return
        half = self.params.half_spread_ticks
        buy, sell = (bid + ask) // 2 - half, -((bid + ask) // -2) + half
        bought = sold = None
        for order in view.orders:
            if order.side == "buy":
                bought, price = order.price_ticks, buy
            else:
                sold, price = order.price_ticks, sell
            if order.price_ticks != price and order.acknowledged and not order.pending:
                view.cancel(order.id)
        if bought is None and (sold is None or buy < sold):
            view.limit("buy", buy, 1, "GTX")
            bought = buy
        if sold is None and (bought is None or sell > bought):
            view.limit("sell", sell, 1, "GTX")
