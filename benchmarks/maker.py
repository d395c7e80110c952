"""The market maker of the replay benchmark and of fill parity; `maker_numba` sends the same orders to hftbacktest."""

from __future__ import annotations

from typing import Any

import apex


class Maker(apex.Strategy):
    """One lot on each side, post-only, `half_spread_ticks` from the mid but never inside the touch.

    Each interval a quote that is no longer at its price is cancelled and a new one sent with it; one that cannot be
    cancelled yet stays.
    """

    class Params(apex.Params):
        half_spread_ticks: int = apex.bound(5, low=0, high=1000)
        interval: str = "100ms"

    def on_start(self, view: Any) -> None:
        view.every(self.params.interval)

    def on_timer(self, view: Any) -> None:
        bid, ask, half = view.bid_ticks, view.ask_ticks, self.params.half_spread_ticks
        if bid is None or ask is None:
            return
        buy, sell = min((bid + ask) // 2 - half, bid), max((bid + ask + 1) // 2 + half, ask)
        bought = sold = False
        for order in view.orders:
            kept = order.price_ticks == (buy if order.side == "buy" else sell)
            if not kept and view.cancel(order.id):
                continue
            if order.side == "buy":
                bought = True
            else:
                sold = True
        if not bought:
            view.limit("buy", buy, 1, "GTX")
        if not sold:
            view.limit("sell", sell, 1, "GTX")
