"""The market maker of `maker` for hftbacktest, compiled by numba. Imported in its environment only."""

from __future__ import annotations

from typing import Any

from hftbacktest.order import GTX, LIMIT
from numba import njit

BUY = 1
INVALID_MIN, INVALID_MAX = -(2**63), 2**63 - 1


@njit
def run(hbt: Any, half_spread_ticks: int, interval_ns: int) -> int:
    """Trade to the end of the data; the number of orders sent."""
    sent = 0
    tick, lot = hbt.depth(0).tick_size, hbt.depth(0).lot_size
    while hbt.elapse(interval_ns) == 0:
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        if bid == INVALID_MIN or ask == INVALID_MAX:
            continue
        buy, sell = (bid + ask) // 2 - half_spread_ticks, (bid + ask + 1) // 2 + half_spread_ticks
        bought, sold = INVALID_MIN, INVALID_MAX
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            if order.side == BUY:
                bought, price = order.price_tick, buy
            else:
                sold, price = order.price_tick, sell
            if order.price_tick != price and order.cancellable:
                hbt.cancel(0, order.order_id, False)
        if bought == INVALID_MIN and buy < sold:
            sent += 1
            hbt.submit_buy_order(0, sent, buy * tick, lot, GTX, LIMIT, False)
            bought = buy
        if sold == INVALID_MAX and sell > bought:
            sent += 1
            hbt.submit_sell_order(0, sent, sell * tick, lot, GTX, LIMIT, False)
    return sent
