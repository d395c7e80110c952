"""A taker that follows the imbalance of the best queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apex

if TYPE_CHECKING:
    from apex._core.engine import View

SECOND = 10**9


class ImbalanceTaker(apex.Strategy):
    """Buy when most of the two best queues is bid, sell when most is asked, and close after `hold_ms`.

    The share of the bid in both queues tells the direction of the next move of the mid; a move is as small as a tick,
    and crossing twice costs a spread and two fees. So the signal is right more often than not, and rarely pays.

    Source: Gould and Bonart, "Queue imbalance as a one-tick-ahead price predictor in a limit order book", Market
    Microstructure and Liquidity 2 (2016).
    """

    class Params(apex.Params):
        entry: float = apex.bound(0.95, low=0.5, high=1.0)
        hysteresis: float = apex.bound(0.2, low=0.0, high=1.0)
        hold_ms: int = apex.bound(1000, low=1, high=3_600_000)
        quantity_lots: int = apex.bound(10, low=1, high=1_000_000)

    params: Params

    def on_start(self, view: View) -> None:
        p = self.params
        self.close_at = 0
        view.when("imbalance", above=p.entry, below=1 - p.entry, hysteresis=p.hysteresis)

    def on_signal(self, view: View) -> None:
        """Turn to the side of the longer queue; a signal of the same side again holds on."""
        lots = self.params.quantity_lots
        view.target(lots if view.feature("imbalance") > 0.5 else -lots)
        self.close_at = view.now + self.params.hold_ms * SECOND // 1000
        view.at(self.close_at)

    def on_timer(self, view: View) -> None:
        if view.now >= self.close_at:
            view.target(0)


