"""The market maker of `maker` for hftbacktest, compiled by numba. Imported in its environment only."""

from __future__ import annotations

from typing import Any

from hftbacktest.order import BUY, GTX, LIMIT
from numba import njit

INVALID_MIN, INVALID_MAX = -(2**63), 2**63 - 1


@njit
def run(hbt: Any, half_spread_ticks: int, interval_ns: int) -> int:
    """Trade to the end of the data; the number of orders sent, which are numbered from 1."""
    sent = 0
    tick, lot = hbt.depth(0).tick_size, hbt.depth(0).lot_size
    while hbt.elapse(interval_ns) == 0:
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        if bid == INVALID_MIN or ask == INVALID_MAX:
            continue
        buy, sell = min((bid + ask) // 2 - half_spread_ticks, bid), max((bid + ask + 1) // 2 + half_spread_ticks, ask)
        bought = sold = False
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            kept = order.price_tick == (buy if order.side == BUY else sell)
            if not kept and order.cancellable:
                hbt.cancel(0, order.order_id, False)
            elif order.side == BUY:
                bought = True
            else:
                sold = True
        if not bought:
            sent += 1
            hbt.submit_buy_order(0, sent, buy * tick, lot, GTX, LIMIT, False)
        if not sold:
            sent += 1
            hbt.submit_sell_order(0, sent, sell * tick, lot, GTX, LIMIT, False)
    return sent
