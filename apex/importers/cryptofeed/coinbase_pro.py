"""Coinbase's Exchange feed (Coinbase Pro): level2, matches, ticker.

Rules (docs.cdp.coinbase.com, "Exchange WebSocket Channels"):

1. level2 has no sequence: `snapshot` gives the book, `l2update` absolute quantities ("0" or "0.00000000" removes), and
   the venue delivers them all or closes the connection.
2. A snapshot has no time: it takes that of the first l2update.
3. `side` of a match is the maker's, so the aggressor is the other one; last_match is the last trade before the
   subscription. A ticker names best bid and ask without quantities.
"""

from __future__ import annotations

from typing import Any

from apex.importers.cryptofeed.coinbase import Coinbase, compare
from apex.importers.cryptofeed.venue import decode, rows_of, text_of
from apex.importers.grid import Facts
from apex.importers.moments import iso
from apex.importers.sheet import BUY, HISTORY, SELL

AGGRESSOR = {"buy": SELL, "sell": BUY}


class CoinbasePro(Coinbase):
    """The Exchange feed; its book and tickers are compared as the other feed's are."""

    def answer(self, url: str, body: str | bytes) -> bool:
        listed = rows_of({"products": decode(body)}, "products") if "/products" in url else []
        for x in listed:
            self.facts[text_of(x, "id")] = Facts(
                "spot", "1", text_of(x, "base_currency"), text_of(x, "quote_currency"), text_of(x, "quote_increment"),
                text_of(x, "base_increment"))
        return bool(listed)

    def guess(self, symbol: str) -> Facts:
        base, _, quote = symbol.partition("-")
        return Facts("spot", "1", base, quote)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        kind, sheet = str(message["type"]), self.sheet
        if kind in ("snapshot", "l2update"):
            self._level2(connection, kind, message)
        elif kind in ("match", "last_match"):
            sheet.trade(self.draft(message["product_id"]), iso(message["time"]), message["trade_id"],
                        AGGRESSOR[message["side"]], message["price"], message["size"],
                        HISTORY if kind == "last_match" else 0)
        elif kind == "ticker":
            sheet.summary.book_tickers += 1
            draft = self.draft(message["product_id"])
            ts = iso(message["time"]) if message.get("time") else 0
            sheet.quote(draft, ts, message["sequence"], (message["best_bid"], None), (message["best_ask"], None))
            compare(sheet, draft, self.books.get(draft.symbol), message)
        else:
            return kind, False
        return kind, True

    def _level2(self, connection: str, kind: str, message: dict[str, Any]) -> None:
        """Rules 1 and 2."""
        draft, sheet = self.draft(message["product_id"]), self.sheet
        if kind == "snapshot":
            draft.source = connection
            self.books.pop(draft.symbol, None)
            bids, asks = message["bids"], message["asks"]
            sheet.snapshot(draft, 0, 0, bids, asks)
        else:
            changes = message["changes"]
            bids = [(price, quantity) for side, price, quantity in changes if side == "buy"]
            asks = [(price, quantity) for side, price, quantity in changes if side == "sell"]
            sheet.summary.level_updates += len(changes)
            if draft.synced:
                sheet.update(draft, iso(message["time"]), 0, bids, asks)
        self._keep(draft, bids, asks)
