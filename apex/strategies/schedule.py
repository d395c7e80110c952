"""What executors share: a parent order in slices, by a plan, crossing the spread or waiting at the touch first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apex
from apex.domain.errors import ConfigError
from apex.domain.execution import Execution

if TYPE_CHECKING:
    from apex._core.engine import View

GRACE = 2
"""Slices after the last one, for what is cancelled then to be crossed."""
POLL_NS = 10**7
"""How often the book is looked for before it is there."""


class Scheduled(apex.Strategy):
    """Work `quantity_lots` over `duration_s` seconds in `slices`, from the first moment at which the book is there.

    A subclass says in `planned` how much shall be done after each slice. Each slice sends what is missing to the plan:
    as a market order, or with `passive` as a post-only order at the own touch, which is cancelled and crossed one slice
    later if it did not fill. What rests or is on its way counts as if it filled, so that the parent order never
    trades more than its quantity. Costs: docs/strategies/costs.md.
    """

    class Params(apex.Params):
        side: str = "buy"
        quantity_lots: int = apex.bound(1000, low=1, high=1_000_000_000)
        duration_s: int = apex.bound(120, low=1, high=86_400)
        slices: int = apex.bound(24, low=1, high=10_000)
        passive: bool = False

    waits_for_book = False  # a timer that comes before the book would be lost
    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        if params.side not in ("buy", "sell"):
            raise ConfigError(f"side {params.side!r} is neither buy nor sell", "--set side", "Write buy or sell")
        self.executions: list[Execution] = []
        self.slice = 0

    def planned(self, slices: int) -> int:
        """Lots that shall be done after so many slices; all of them after the last."""
        raise NotImplementedError

    def on_start(self, view: View) -> None:
        view.at(view.now)

    def on_timer(self, view: View) -> None:
        bid, ask, p = view.bid_ticks, view.ask_ticks, self.params
        if not self.executions:
            if not view.synced or bid is None or ask is None:
                view.at(view.now + POLL_NS)
                return
            self.executions.append(Execution(
                instrument=view.instrument, side=p.side, quantity_lots=p.quantity_lots, start_ns=view.now,
                arrival_mid2=bid + ask, end_ns=view.now, final_mid2=bid + ask,
            ))  # fmt: skip
            view.every(f"{p.duration_s * 10**9 // p.slices}ns")
        self._mark(view)
        if view.synced and bid is not None and ask is not None and self.slice <= p.slices + GRACE:
            self._work(view, bid, ask)
        self.slice += 1

    def _work(self, view: View, bid: int, ask: int) -> None:
        p, k = self.params, self.slice
        view.cancel_all()
        resting = sum(order.quantity_lots - order.filled_lots for order in view.orders)
        sent = self.executions[0].done_lots + resting
        late = self._plan(k if p.passive else k + 1) - sent
        if late > 0:
            self._sent(view.market(p.side, late), bid, ask)
        fresh = self._plan(k + 1) - sent - max(late, 0)
        if p.passive and fresh > 0 and k < p.slices:
            self._sent(view.limit(p.side, bid if p.side == "buy" else ask, fresh, "GTX"), bid, ask)

    def _plan(self, slices: int) -> int:
        return self.params.quantity_lots if slices >= self.params.slices else self.planned(slices)

    def _sent(self, order: int, bid: int, ask: int) -> None:
        if order:
            self.executions[0].quotes[order] = bid, ask

    def _mark(self, view: View) -> None:
        """The parent order ends here unless a later call moves it on."""
        parent, mid = self.executions[0], view.mid_ticks
        over = self.slice > self.params.slices + GRACE or parent.done_lots == parent.quantity_lots
        if mid is not None and not over:
            parent.end_ns, parent.final_mid2 = view.now, round(2 * mid)

    def on_fill(self, view: View) -> None:
        self._mark(view)
        fill = view.fill
        if fill is not None:
            self.executions[0].done_lots += fill.quantity_lots

    def on_stop(self, view: View) -> None:
        if self.executions:
            self._mark(view)
