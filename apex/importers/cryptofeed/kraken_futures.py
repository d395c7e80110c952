"""Kraken Futures, version 1 of its WebSocket: book, book_snapshot, trade, trade_snapshot, ticker, ticker_lite.

Rules (docs.futures.kraken.com, "Book" and "Trade"):

1. book_snapshot gives the book and its seq.
2. `book`: one level, absolute quantity, 0 removes; its seq is the product's one before + 1, else something was lost,
   and the book is out of sync until the next snapshot.
3. trade_snapshot is the last trades before the subscription, newest first. Types other than fill (liquidation,
   assignment, termination, block) are no market trades.

Quantities are contracts of 1 USD for inverse products (PI, FI), base currency for linear ones (PF, FF).
"""

from __future__ import annotations

from typing import Any

from apex.importers.cryptofeed.venue import Venue, decode, rows_of, text_of
from apex.importers.grid import Facts
from apex.importers.moments import ms
from apex.importers.sheet import BUY, HISTORY, NOT_MARKET, SELL

SIDES = {"buy": BUY, "sell": SELL}


class KrakenFutures(Venue):
    """Kraken Futures."""

    name = "kraken-futures"

    def guess(self, symbol: str) -> Facts:
        kind, _, pair = symbol.partition("_")
        pair = pair.partition("_")[0]
        return Facts("inverse" if kind in ("PI", "FI") else "linear", "1", pair[:-3], pair[-3:])

    def answer(self, url: str, body: str | bytes) -> bool:
        listed = rows_of(decode(body), "instruments") if "/instruments" in url else []
        for x in listed:
            symbol = text_of(x, "symbol").upper()
            self.facts[symbol] = self.guess(symbol)._replace(
                tick=text_of(x, "tickSize"), multiplier=text_of(x, "contractSize") or "1")
        return bool(listed)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        feed, sheet = str(message.get("feed") or message.get("event") or "other"), self.sheet
        if "event" in message:
            return str(message["event"]), False
        if feed == "book":
            self._change(message)
        elif feed == "book_snapshot":
            draft = self.draft(message["product_id"])
            draft.source = connection
            bids, asks = ([(x["price"], x["qty"]) for x in message[side]] for side in ("bids", "asks"))
            sheet.snapshot(draft, ms(message["timestamp"]), message["seq"], bids, asks)
        elif feed == "trade":
            self._trade(message, 0)
        elif feed == "trade_snapshot":
            for t in sorted(message["trades"], key=lambda t: (t["time"], t["seq"])):
                self._trade(t, HISTORY)
        elif feed in ("ticker", "ticker_lite"):
            sheet.summary.book_tickers += 1
            ts = ms(message["time"]) if "time" in message else 0
            sheet.quote(self.draft(message["product_id"]), ts, 0, (message["bid"], message.get("bid_size")),
                        (message["ask"], message.get("ask_size")))
        else:
            return feed, False
        return feed, True

    def _change(self, m: dict[str, Any]) -> None:
        """Rule 2."""
        draft, sheet, ts, number = self.draft(m["product_id"]), self.sheet, ms(m["timestamp"]), m["seq"]
        level = [(m["price"], m["qty"])]
        bids, asks = {"buy": (level, []), "sell": ([], level)}[m["side"]]
        sheet.summary.level_updates += 1
        if draft.synced and number != draft.last + 1:
            sheet.gap(draft, ts, number)
        if draft.synced:
            sheet.update(draft, ts, number, bids, asks)
            draft.last = number

    def _trade(self, t: dict[str, Any], flags: int) -> None:
        """Rule 3."""
        self.sheet.trade(self.draft(t["product_id"]), ms(t["time"]), t["seq"], SIDES[t["side"]], t["price"], t["qty"],
                         flags | (0 if t.get("type", "fill") == "fill" else NOT_MARKET))
