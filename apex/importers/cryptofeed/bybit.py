"""Bybit, version 5 of its public streams: orderbook, publicTrade, tickers. One object a category: same symbols.

Rules of the book (Bybit V5, "Orderbook"):

1. `snapshot` replaces the book; so does a message with u == 1, which comes after a restart of the service.
2. `delta`: absolute quantities, 0 removes; its u is the one before + 1, else something was lost.
3. After a loss the book is out of sync until the next snapshot.

The venue's time is cts (the matching engine's), else ts. Of several depths of a symbol the first one counts.
A ticker's delta has only what changed; bid, ask, mark, index and funding are carried on.
"""

from __future__ import annotations

from typing import Any

from apex.domain.instrument import Kind
from apex.importers.cryptofeed.venue import Venue, decode, rows_of, text_of
from apex.importers.grid import Facts
from apex.importers.moments import ms
from apex.importers.sheet import BUY, NOT_MARKET, SELL, Sheet

_QUOTE = ("bid1Price", "bid1Size", "ask1Price", "ask1Size")
_MARK = ("markPrice", "indexPrice", "fundingRate", "nextFundingTime")


class Bybit(Venue):
    """One category of Bybit."""

    name = "bybit"

    def __init__(self, sheet: Sheet, category: Kind) -> None:
        super().__init__(sheet)
        self.category = category
        self.depths: dict[str, str] = {}
        self.tickers: dict[str, dict[str, Any]] = {}

    def guess(self, symbol: str) -> Facts:
        return Facts(self.category)

    def answer(self, url: str, body: str | bytes) -> bool:
        listed = rows_of(decode(body), "result", "list") if "instruments-info" in url else []
        for x in listed:
            price, lot = x.get("priceFilter") or {}, x.get("lotSizeFilter") or {}
            self.facts[text_of(x, "symbol")] = Facts(
                self.category, "1", text_of(x, "baseCoin"), text_of(x, "quoteCoin"), text_of(price, "tickSize"),
                text_of(lot, "qtyStep") or text_of(lot, "basePrecision"))
        return bool(listed)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        topic = message.get("topic")
        if topic is None:
            return ("op" if "op" in message else "other"), False
        channel, _, symbol = topic.rpartition(".")
        if channel.startswith("orderbook."):
            return channel, self._book(connection, channel, message)
        if channel == "publicTrade":
            for t in message["data"]:
                flags = NOT_MARKET if t.get("BT") else 0
                self.sheet.trade(self.draft(symbol), ms(t["T"]), int(t.get("seq", 0)),
                                 {"Buy": BUY, "Sell": SELL}[t["S"]], t["p"], t["v"], flags)
        elif channel == "tickers":
            self._ticker(symbol, message)
        else:
            return channel, False
        return channel, True

    def _book(self, connection: str, channel: str, message: dict[str, Any]) -> bool:
        data = message["data"]
        draft, sheet = self.draft(data["s"]), self.sheet
        if self.depths.setdefault(draft.symbol, channel) != channel:
            return False
        ts, number, bids, asks = ms(message.get("cts") or message["ts"]), data["u"], data["b"], data["a"]
        if message["type"] == "snapshot" or number == 1:
            draft.source = connection
            sheet.snapshot(draft, ts, number, bids, asks)
            return True
        sheet.summary.level_updates += len(bids) + len(asks)
        if draft.synced and number != draft.last + 1:
            sheet.gap(draft, ts, number)
        if draft.synced:
            sheet.update(draft, ts, number, bids, asks)
            draft.last = number
        return True

    def _ticker(self, symbol: str, message: dict[str, Any]) -> None:
        sheet, draft, ts, changes = self.sheet, self.draft(symbol), ms(message["ts"]), message["data"]
        sheet.summary.book_tickers += 1
        state = self.tickers.setdefault(symbol, {})
        if message.get("type") == "snapshot":
            state.clear()
        state.update(changes)
        if any(key in changes for key in _QUOTE) and all(key in state for key in _QUOTE):
            sheet.quote(draft, ts, int(message.get("cs", 0)), (state[_QUOTE[0]], state[_QUOTE[1]]),
                        (state[_QUOTE[2]], state[_QUOTE[3]]))
        if any(key in changes for key in _MARK) and state.get("markPrice"):
            sheet.mark(draft, ts, state["markPrice"], state.get("indexPrice") or state["markPrice"],
                       state.get("fundingRate") or 0, ms(state.get("nextFundingTime") or 0))
