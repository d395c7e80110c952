"""The market maker of Avellaneda and Stoikov."""

from __future__ import annotations

from math import ceil, floor, log1p
from typing import TYPE_CHECKING

import apex
from apex.strategies.quoting import requote

if TYPE_CHECKING:
    from apex._core.engine import View


class AvellanedaStoikov(apex.Strategy):
    """Quote around a price that leans against the position, as far apart as risk and demand ask for.

    With a position of q units (of `quantity_lots`), mid s, time left T - t, risk aversion gamma, volatility sigma and
    trades arriving at a distance d at the rate A exp(-k d):

        reservation price  r = s - q gamma sigma^2 (T - t)
        spread             gamma sigma^2 (T - t) + (2 / gamma) ln(1 + gamma / k)

    Prices are in ticks and times in seconds. Sessions of `session_s` follow each other, T being the end of each. A fee
    of `fee_ticks` a unit moves each quote that much away: the model with the fee is the model without one at
    d - fee_ticks. `apex intensity TAPE` fits k and sigma.

    Source: Avellaneda and Stoikov, "High-frequency trading in a limit order book", Quantitative Finance 8 (2008),
    section 3.2.
    """

    class Params(apex.Params):
        gamma: float = apex.bound(0.003, low=1e-9, high=10.0)
        sigma: float = apex.bound(50.0, low=0.0, high=1e6)
        k: float = apex.bound(0.03, low=1e-9, high=100.0)
        fee_ticks: float = apex.bound(0.0, low=0.0, high=1e6)
        session_s: int = apex.bound(60, low=1, high=86_400)
        quantity_lots: int = apex.bound(10, low=1, high=1_000_000)
        position_max: int = apex.bound(50, low=1, high=1_000_000)
        interval: str = "100ms"

    params: Params

    def quotes(self, mid_ticks: float, units: float, left_s: float) -> tuple[float, float]:
        """Bid and ask in ticks, not rounded."""
        p = self.params
        risk = p.gamma * p.sigma**2 * left_s
        reservation, half = mid_ticks - units * risk, risk / 2 + log1p(p.gamma / p.k) / p.gamma + p.fee_ticks
        return reservation - half, reservation + half

    def on_start(self, view: View) -> None:
        self.began = view.now
        view.every(self.params.interval)

    def on_timer(self, view: View) -> None:
        bid, ask = view.bid_ticks, view.ask_ticks
        if not view.synced or bid is None or ask is None:
            return
        p, held = self.params, view.position_lots
        left_s = p.session_s - (view.now - self.began) / 1e9 % p.session_s
        low, high = self.quotes((bid + ask) / 2, held / p.quantity_lots, left_s)
        wanted = {}
        if held < p.position_max:
            wanted["buy"] = min(floor(low), ask - 1)
        if held > -p.position_max:
            wanted["sell"] = max(ceil(high), bid + 1)
        requote(view, wanted, p.quantity_lots)
