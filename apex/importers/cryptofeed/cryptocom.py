"""Crypto.com: book, book.update, trade, ticker; version 1 of its streams, and version 2 before it.

Rules (exchange-docs.crypto.com, "book.{instrument_name}.{depth}"; version 2 measured on a recording):

1. `book` is the whole book up to a depth. In version 2, and where version 1 is asked for snapshots, nothing else comes:
   the first begins the book, later ones are told as the changes they make.
2. `book.update`: absolute quantities, 0 removes; its pu is the u before, else something was lost.
3. After a loss the book is out of sync until the next `book`.
4. The first message of `trade` is the last trades before the subscription; `s` is the aggressor's side.

`t` of books steps back at times: such a book is the later one all the same, by its place in the stream, and takes the
time of the one before.
"""

from __future__ import annotations

from typing import Any

from apex.importers.cryptofeed.venue import Venue, decode, rows_of, text_of
from apex.importers.grid import Facts
from apex.importers.moments import ms
from apex.importers.sheet import BUY, HISTORY, SELL, FullBook, Sheet, of_full_books

SIDES = {"BUY": BUY, "SELL": SELL}


class CryptoCom(Venue):
    """Crypto.com Exchange."""

    name = "cryptocom"

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(sheet)
        self.books: dict[str, FullBook] = {}
        self.trading: set[str] = set()

    def connected(self, connection: str) -> None:
        self.trading.clear()

    def guess(self, symbol: str) -> Facts:
        base, _, quote = symbol.partition("_")
        return Facts("spot", "1", base, quote) if quote else Facts("linear")

    def answer(self, url: str, body: str | bytes) -> bool:
        found = decode(body)
        listed = rows_of(found, "result", "instruments") or rows_of(found, "result", "data")
        for x in listed:
            symbol = text_of(x, "instrument_name") or text_of(x, "symbol")
            base, quote = (text_of(x, f"{n}_currency") or text_of(x, f"{n}_ccy") for n in ("base", "quote"))
            price, lot = x.get("price_decimals"), x.get("quantity_decimals")
            tick = text_of(x, "price_tick_size") or (f"1e-{price}" if isinstance(price, int) else "")
            step = text_of(x, "qty_tick_size") or (f"1e-{lot}" if isinstance(lot, int) else "")
            self.facts[symbol] = Facts("spot" if "_" in symbol else "linear", "1", base, quote, tick, step)
        return bool(listed)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        result = message.get("result")
        if not isinstance(result, dict) or "channel" not in result:
            return str(message.get("method") or "other"), False
        channel, symbol = str(result["channel"]), result["instrument_name"]
        if channel == "book":
            for data in result["data"]:
                self._book(connection, symbol, data)
        elif channel == "book.update":
            for data in result["data"]:
                self._update(symbol, data)
        elif channel == "trade":
            self._trades(symbol, result["data"])
        elif channel == "ticker":
            self.sheet.summary.book_tickers += 1
            for t in result["data"]:
                self.sheet.quote(self.draft(symbol), ms(t["t"]), 0, (t.get("b"), t.get("bs")),
                                 (t.get("k"), t.get("ks")))
        else:
            return channel, False
        return channel, True

    def _book(self, connection: str, symbol: str, data: dict[str, Any]) -> None:
        """Rule 1."""
        draft = self.draft(symbol)
        draft.source = connection
        book = self.books.setdefault(symbol, FullBook())
        of_full_books(self.sheet, draft, book, ms(data.get("tt") or data["t"]), data.get("u", 0), data["bids"],
                      data["asks"])

    def _update(self, symbol: str, data: dict[str, Any]) -> None:
        """Rules 2 and 3."""
        draft, sheet, ts = self.draft(symbol), self.sheet, ms(data.get("tt") or data["t"])
        bids, asks = data["update"]["bids"], data["update"]["asks"]
        sheet.summary.level_updates += len(bids) + len(asks)
        if draft.synced and data["pu"] != draft.last:
            sheet.gap(draft, ts, data["u"])
        if draft.synced:
            self.books[symbol].apply(bids, asks)
            sheet.update(draft, ts, data["u"], bids, asks)
            draft.last = data["u"]

    def _trades(self, symbol: str, trades: list[dict[str, Any]]) -> None:
        """Rule 4; oldest first."""
        flags = 0 if symbol in self.trading else HISTORY
        self.trading.add(symbol)
        for ts, number, t in sorted(((ms(t["t"]), int(t["d"]), t) for t in trades), key=lambda x: x[:2]):
            self.sheet.trade(self.draft(symbol), ts, number, SIDES[t["s"].upper()], t["p"], t["q"], flags)
