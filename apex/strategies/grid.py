"""A grid: buy each step down, sell each step up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apex

if TYPE_CHECKING:
    from apex._core.engine import View


class Grid(apex.Strategy):
    """Keep `levels` buy orders below the first mid and as many sell orders above it, `step_ticks` apart.

    When a buy order fills, a sell order takes its place one step higher, and the other way round: each pair earns a
    step, less fees. The ladder does not move: outside it the position is `levels * quantity_lots` and all of one side.

    Source: Taranto and Khan, "Gambler's ruin problem and bi-directional grid constrained trading and investment
    strategies", Investment Management and Financial Innovations 17 (2020): a grid earns steps while the price
    wanders, and loses without bound when it leaves. So this one is bounded.
    """

    class Params(apex.Params):
        step_ticks: int = apex.bound(100, low=1, high=1_000_000)
        levels: int = apex.bound(10, low=1, high=100)
        quantity_lots: int = apex.bound(10, low=1, high=1_000_000)
        interval: str = "100ms"

    params: Params

    def on_start(self, view: View) -> None:
        self.wanted: dict[tuple[str, int], int] = {}  # side and price -> lots not yet filled
        self.ours: dict[int, tuple[str, int]] = {}
        view.every(self.params.interval)

    def on_timer(self, view: View) -> None:
        """Send each order that is wanted and neither works nor would cross the spread now."""
        bid, ask = view.bid_ticks, view.ask_ticks
        if not view.synced or bid is None or ask is None:
            return
        if not self.wanted:
            self._build((bid + ask) // 2)
        there = {(order.side, order.price_ticks) for order in view.orders}
        for (side, price), lots in self.wanted.items():
            if (side, price) not in there and (price < ask if side == "buy" else price > bid):
                sent = view.limit(side, price, lots, "GTX")
                if sent:
                    self.ours[sent] = side, price

    def _build(self, middle: int) -> None:
        p = self.params
        for i in range(1, p.levels + 1):
            self.wanted["buy", middle - i * p.step_ticks] = p.quantity_lots
            self.wanted["sell", middle + i * p.step_ticks] = p.quantity_lots

    def on_fill(self, view: View) -> None:
        fill = view.fill
        if fill is None:
            return
        place = side, price = self.ours[fill.id]
        self.wanted[place] -= fill.quantity_lots
        if not self.wanted[place]:
            del self.wanted[place]
            step = self.params.step_ticks
            opposite = ("sell", price + step) if side == "buy" else ("buy", price - step)
            self.wanted[opposite] = self.params.quantity_lots
