"""Coinbase Advanced Trade: l2_data, market_trades, ticker.

Rules (docs.cdp.coinbase.com, "Advanced Trade WebSocket Channels"; measured on a recording: +1 over 1,030 messages):

1. sequence_num counts all messages of a connection over all channels, +1 each. A jump is a loss: the books that come by
   the connection are out of sync until their next snapshot.
2. l2_data `snapshot` replaces a book; `update` has absolute quantities, 0 removes. Sides are bid and offer.
3. market_trades: `side` is the maker's, so the aggressor is the other one. The event `snapshot` is the last trades
   before the subscription, newest first.

The venue's time is the event_time of the levels, the message's timestamp where that is absent or of 1970.
"""

from __future__ import annotations

from typing import Any

from apex._core.book import Book
from apex.importers.cryptofeed.venue import Venue, decode, rows_of, text_of
from apex.importers.grid import Draft, Facts
from apex.importers.moments import iso
from apex.importers.sheet import BUY, HISTORY, SELL, Sheet

AGGRESSOR = {"BUY": SELL, "SELL": BUY}
FIRST_TIME = 10**18
"""ns; event times before 2001 are no times."""


class Coinbase(Venue):
    """Coinbase Advanced Trade."""

    name = "coinbase"

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(sheet)
        self.numbers: dict[str, int] = {}
        self.books: dict[str, Book] = {}

    def answer(self, url: str, body: str | bytes) -> bool:
        listed = rows_of(decode(body), "products") if "/products" in url else []
        for x in listed:
            self.facts[text_of(x, "product_id")] = Facts(
                "spot", "1", text_of(x, "base_currency_id"), text_of(x, "quote_currency_id"),
                text_of(x, "price_increment") or text_of(x, "quote_increment"), text_of(x, "base_increment"))
        return bool(listed)

    def connected(self, connection: str) -> None:
        self.numbers.pop(connection, None)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        channel = str(message.get("channel") or message.get("type") or "other")
        if "sequence_num" in message:
            self._follow(connection, message)
        if channel == "l2_data":
            for event in message["events"]:
                self._book(connection, message, event)
        elif channel == "market_trades":
            for event in message["events"]:
                self._trades(event)
        elif channel in ("ticker", "ticker_batch"):
            self.sheet.summary.book_tickers += 1
            for event in message["events"]:
                for t in event["tickers"]:
                    self._ticker(message, t)
        else:
            return channel, False
        return channel, True

    def _follow(self, connection: str, message: dict[str, Any]) -> None:
        """Rule 1."""
        number = message["sequence_num"]
        last = self.numbers.get(connection)
        self.numbers[connection] = number
        if last is not None and number != last + 1:
            for draft in self.drafts.values():
                if draft.synced and draft.source == connection:
                    self.sheet.gap(draft, iso(message["timestamp"]), number)

    def _book(self, connection: str, message: dict[str, Any], event: dict[str, Any]) -> None:
        """Rule 2."""
        draft, sheet, updates = self.draft(event["product_id"]), self.sheet, event["updates"]
        bids = [(u["price_level"], u["new_quantity"]) for u in updates if u["side"] == "bid"]
        asks = [(u["price_level"], u["new_quantity"]) for u in updates if u["side"] == "offer"]
        if len(bids) + len(asks) != len(updates):
            raise ValueError("a side that is neither bid nor offer")
        ts = max((iso(text) for text in {u["event_time"] for u in updates}), default=0)
        if ts < FIRST_TIME:
            ts = iso(message["timestamp"])
        if event["type"] == "snapshot":
            draft.source = connection
            self.books.pop(draft.symbol, None)
            sheet.snapshot(draft, ts, message["sequence_num"], bids, asks)
        else:
            sheet.summary.level_updates += len(updates)
            if draft.synced:
                sheet.update(draft, ts, message["sequence_num"], bids, asks)
        self._keep(draft, bids, asks)

    def _keep(self, draft: Draft, bids: list[tuple[str, str]], asks: list[tuple[str, str]]) -> None:
        """The book that tickers are compared with."""
        if self.sheet.learning:
            return
        book = self.books.setdefault(draft.symbol, Book())
        for side, levels in ((BUY, bids), (SELL, asks)):
            for price, quantity in levels:
                book.set(side, draft.price[price], draft.lots[quantity])
        book.end_message()

    def _trades(self, event: dict[str, Any]) -> None:
        """Rule 3; oldest first."""
        flags = HISTORY if event["type"] == "snapshot" else 0
        trades = [(iso(t["time"]), int(t["trade_id"]), t) for t in event["trades"]]
        for ts, number, t in sorted(trades, key=lambda x: x[:2]):
            self.sheet.trade(self.draft(t["product_id"]), ts, number, AGGRESSOR[t["side"]], t["price"], t["size"],
                             flags)

    def _ticker(self, message: dict[str, Any], t: dict[str, Any]) -> None:
        draft, sheet = self.draft(t["product_id"]), self.sheet
        sheet.quote(draft, iso(message["timestamp"]), message["sequence_num"],
                    (t["best_bid"], t.get("best_bid_quantity")), (t["best_ask"], t.get("best_ask_quantity")))
        compare(sheet, draft, self.books.get(draft.symbol), t)


def compare(sheet: Sheet, draft: Draft, book: Book | None, ticker: dict[str, Any]) -> None:
    """Count whether a ticker's best prices are the book's."""
    if book is None or not draft.synced:
        return
    if (book.bid_ticks, book.ask_ticks) == (draft.price[ticker["best_bid"]], draft.price[ticker["best_ask"]]):
        sheet.summary.ticker_bbo_eq += 1
    else:
        sheet.summary.ticker_bbo_ne += 1
