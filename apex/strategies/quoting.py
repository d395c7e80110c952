"""What market makers share: keeping at most one order a side where it is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from apex._core.engine import View


def requote(view: View, wanted: Mapping[str, int], quantity_lots: int) -> None:
    """Have one post-only order at each wanted price, by side; a side that is not named has none.

    An order elsewhere is cancelled, and its side is quoted anew only once nothing of it is left: so a position never
    passes its bound by more than one order.
    """
    missing = dict(wanted)
    for order in view.orders:
        if wanted.get(order.side) != order.price_ticks:
            view.cancel(order.id)  # sends nothing while one is on its way
        missing.pop(order.side, None)
    for side, price_ticks in missing.items():
        view.limit(side, price_ticks, quantity_lots, "GTX")
