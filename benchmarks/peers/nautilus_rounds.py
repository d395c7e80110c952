"""Rounds of nautilus_trader's order book. Runs in .venv-peers-nautilus."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import BookOrder, OrderBookDelta, OrderBookDeltas
from nautilus_trader.model.enums import BookAction, BookType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.model.objects import Price, Quantity

from benchmarks.timing import Clock

NAME = InstrumentId.from_str("BTCUSDT.BINANCE")
SIDES = {1: OrderSide.BUY, 2: OrderSide.SELL}


class Book:
    """One `apply_deltas` a venue's message; the deltas are made beforehand."""

    def __init__(self, levels: str, count: int, tick: str, lot: str) -> None:
        self.tick, self.count = Decimal(tick), count
        places = -Decimal(tick).as_tuple().exponent, -Decimal(lot).as_tuple().exponent
        found = np.load(levels)
        messages: list[list[Any]] = [[] for _ in range(int(found["message"][-1]) + 1)]
        for message, side, ticks, lots in found.tolist():
            if side == 0:
                delta = OrderBookDelta.clear(NAME, message, message, message)
            else:
                price = Price(float(ticks * Decimal(tick)), places[0])
                order = BookOrder(SIDES[side], price, Quantity(float(lots * Decimal(lot)), places[1]), 0)
                action = BookAction.UPDATE if lots else BookAction.DELETE
                delta = OrderBookDelta(NAME, action, order, 0, message, message, message)
            messages[message].append(delta)
        self.messages = [OrderBookDeltas(NAME, deltas) for deltas in messages]

    def round(self) -> dict[str, Any]:
        book = OrderBook(NAME, BookType.L2_MBP)
        with Clock() as clock:
            for deltas in self.messages:
                book.apply_deltas(deltas)
        return clock.result(self.count, {
            "bid_ticks": int(book.best_bid_price().as_decimal() / self.tick),
            "ask_ticks": int(book.best_ask_price().as_decimal() / self.tick),
            "bid_levels": len(book.bids()), "ask_levels": len(book.asks()),
        })


class Orders:
    """A market-by-order book: one `apply_delta` a change of an order; the deltas are made beforehand."""

    def __init__(self, orders: str, count: int, tick: str, lot: str) -> None:
        self.tick, self.count = Decimal(tick), count
        places = -Decimal(tick).as_tuple().exponent, max(0, -Decimal(lot).as_tuple().exponent)
        actions = {1: BookAction.ADD, 2: BookAction.UPDATE, 3: BookAction.DELETE}
        self.deltas = []
        for action, side, id, ticks, lots in np.load(orders).tolist():
            if action == 0:
                self.deltas.append(OrderBookDelta.clear(NAME, 0, 0, 0))
                continue
            order = BookOrder(SIDES[side], Price(float(ticks * self.tick), places[0]),
                              Quantity(float(lots * Decimal(lot)), places[1]), id)
            self.deltas.append(OrderBookDelta(NAME, actions[action], order, 0, 0, 0, 0))

    def round(self) -> dict[str, Any]:
        book = OrderBook(NAME, BookType.L3_MBO)
        with Clock() as clock:
            for delta in self.deltas:
                book.apply_delta(delta)
        levels = book.bids(), book.asks()
        return clock.result(self.count, {
            "bid_ticks": int(book.best_bid_price().as_decimal() / self.tick),
            "ask_ticks": int(book.best_ask_price().as_decimal() / self.tick),
            "bid_levels": len(levels[0]), "ask_levels": len(levels[1]),
            "orders": sum(len(level.orders()) for side in levels for level in side),
        })
