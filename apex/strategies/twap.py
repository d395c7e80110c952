"""TWAP: the same quantity in every slice of time."""

from __future__ import annotations

from apex.strategies.schedule import Scheduled


class Twap(Scheduled):
    """Trade at a constant rate: the average price over time, whatever the market does.

    Source: Bertsimas and Lo, "Optimal Control of Execution Costs", J. Financial Markets 1 (1998), section 2: equal
    slices have the least expected cost when the price is a random walk and impact is linear. Almgren and Chriss,
    "Optimal Execution of Portfolio Transactions", J. Risk 3 (2001): so does one who does not fear risk.
    """

    def planned(self, slices: int) -> int:
        return self.params.quantity_lots * slices // self.params.slices
