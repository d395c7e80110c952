"""Deribit, JSON-RPC subscriptions: book, trades, ticker; options, futures and perpetuals.

Rules of the book (docs.deribit.com, "book.{instrument_name}.{interval}"):

1. `snapshot` gives the book; it may be empty.
2. `change`: entries [new | change | delete, price, amount] with absolute amounts; its prev_change_id is the change_id
   before, else something was lost, and the book is out of sync until the next snapshot.
3. `book.{instrument}.{group}.{depth}.{interval}` is the whole top of the book each time, told as the changes it makes.

Amounts are USD for inverse futures and perpetuals, else base currency. Option prices are in the base currency, and so
are their marks; index prices are in USD and stand on the tape only where the instrument is quoted in USD. Implied
volatilities and greeks have no place on a tape.
"""

from __future__ import annotations

from typing import Any

from apex.importers.cryptofeed.venue import Venue, decode, rows_of, text_of
from apex.importers.grid import Facts
from apex.importers.moments import ms
from apex.importers.sheet import BUY, NOT_MARKET, SELL, FullBook, Sheet, of_full_books

SIDES = {"buy": BUY, "sell": SELL}


class Deribit(Venue):
    """Deribit."""

    name = "deribit"

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(sheet)
        self.books: dict[str, FullBook] = {}

    def guess(self, symbol: str) -> Facts:
        currency, _, rest = symbol.partition("-")
        base, _, quote = currency.partition("_")
        if not rest:
            return Facts("spot", "1", base, quote)
        if rest.endswith(("-C", "-P")):
            return Facts("linear", "1", base, quote or base)
        return Facts("linear", "1", base, quote) if quote else Facts("inverse", "1", base, "USD")

    def answer(self, url: str, body: str | bytes) -> bool:
        listed = rows_of(decode(body), "result") if "get_instruments" in url else []
        for x in listed:
            symbol = text_of(x, "instrument_name")
            self.facts[symbol] = self.guess(symbol)._replace(
                tick=text_of(x, "tick_size"), lot=text_of(x, "min_trade_amount"))
        return bool(listed)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        params = message.get("params")
        if message.get("method") != "subscription" or not isinstance(params, dict):
            return str(message.get("method") or "other"), False
        channel, data = params["channel"].partition(".")[0], params["data"]
        if channel == "book":
            self._book(connection, data)
        elif channel == "trades":
            for t in data:
                special = t.get("liquidation") or t.get("block_trade_id")
                self.sheet.trade(self.draft(t["instrument_name"]), ms(t["timestamp"]), t["trade_seq"],
                                 SIDES[t["direction"]], t["price"], t["amount"], NOT_MARKET if special else 0)
        elif channel == "ticker":
            self._ticker(data)
        else:
            return channel, False
        return channel, True

    def _book(self, connection: str, data: dict[str, Any]) -> None:
        draft, sheet = self.draft(data["instrument_name"]), self.sheet
        ts, number = ms(data["timestamp"]), data["change_id"]
        if "type" not in data:                       # rule 3
            draft.source = connection
            book = self.books.setdefault(draft.symbol, FullBook())
            of_full_books(sheet, draft, book, ts, number, data["bids"], data["asks"])
            return
        bids, asks = ([(p, 0 if what == "delete" else q) for what, p, q in data[side]] for side in ("bids", "asks"))
        if data["type"] == "snapshot":
            draft.source = connection
            sheet.snapshot(draft, ts, number, bids, asks)
            return
        sheet.summary.level_updates += len(bids) + len(asks)
        if draft.synced and data["prev_change_id"] != draft.last:
            sheet.gap(draft, ts, number)
        if draft.synced:
            sheet.update(draft, ts, number, bids, asks)
            draft.last = number

    def _ticker(self, t: dict[str, Any]) -> None:
        draft, sheet, ts = self.draft(t["instrument_name"]), self.sheet, ms(t["timestamp"])
        sheet.summary.book_tickers += 1
        sheet.quote(draft, ts, 0, (t["best_bid_price"], t["best_bid_amount"]),
                    (t["best_ask_price"], t["best_ask_amount"]))
        mark = t.get("mark_price")
        if mark is not None:
            in_usd = draft.facts.quote.startswith("USD")
            index = t.get("index_price") if in_usd else None
            sheet.mark(draft, ts, mark, mark if index is None else index, t.get("current_funding") or 0, 0)
