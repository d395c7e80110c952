"""The market maker of Guéant, Lehalle and Fernandez-Tapia."""

from __future__ import annotations

from math import ceil, exp, floor, log1p, sqrt
from typing import TYPE_CHECKING

import apex
from apex.strategies.quoting import requote

if TYPE_CHECKING:
    from apex._core.engine import View


class Glft(apex.Strategy):
    """Quote as the model of Avellaneda and Stoikov does far from its end: no session, one spread, a steady lean.

    With a position of q units (of `quantity_lots`), risk aversion gamma, volatility sigma and trades arriving at a
    distance d at the rate A exp(-k d), the distances of the quotes from the mid are

        bid  ln(1 + gamma / k) / gamma + (2 q + 1) / 2 c
        ask  ln(1 + gamma / k) / gamma - (2 q - 1) / 2 c
        c = sqrt(sigma^2 gamma / (2 k A) (1 + gamma / k)^(1 + k / gamma))

    Prices are in ticks and times in seconds. A fee of `fee_ticks` a unit moves each quote that much away and divides A
    by exp(k fee_ticks): the model with the fee is the model without one at d - fee_ticks. `apex intensity TAPE` fits
    A, k and sigma.

    Source: Guéant, Lehalle and Fernandez-Tapia, "Dealing with the inventory risk: a solution to the market making
    problem", Mathematics and Financial Economics 7 (2013), section 4, the closed-form approximations.
    """

    class Params(apex.Params):
        gamma: float = apex.bound(0.003, low=1e-9, high=10.0)
        sigma: float = apex.bound(50.0, low=0.0, high=1e6)
        a: float = apex.bound(0.5, low=1e-9, high=1e6)
        k: float = apex.bound(0.03, low=1e-9, high=100.0)
        fee_ticks: float = apex.bound(0.0, low=0.0, high=1e6)
        quantity_lots: int = apex.bound(10, low=1, high=1_000_000)
        position_max: int = apex.bound(50, low=1, high=1_000_000)
        interval: str = "100ms"

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        p = params
        demand = 2 * p.k * p.a * exp(-p.k * p.fee_ticks)
        self.half = log1p(p.gamma / p.k) / p.gamma + p.fee_ticks
        self.lean = p.sigma * sqrt(p.gamma / demand * exp((1 + p.k / p.gamma) * log1p(p.gamma / p.k)))

    def quotes(self, mid_ticks: float, units: float) -> tuple[float, float]:
        """Bid and ask in ticks, not rounded."""
        return (mid_ticks - self.half - (2 * units + 1) / 2 * self.lean,
                mid_ticks + self.half - (2 * units - 1) / 2 * self.lean)  # fmt: skip

    def on_start(self, view: View) -> None:
        view.every(self.params.interval)

    def on_timer(self, view: View) -> None:
        bid, ask = view.bid_ticks, view.ask_ticks
        if not view.synced or bid is None or ask is None:
            return
        p, held = self.params, view.position_lots
        low, high = self.quotes((bid + ask) / 2, held / p.quantity_lots)
        wanted = {}
        if held < p.position_max:
            wanted["buy"] = min(floor(low), ask - 1)
        if held > -p.position_max:
            wanted["sell"] = max(ceil(high), bid + 1)
        requote(view, wanted, p.quantity_lots)
