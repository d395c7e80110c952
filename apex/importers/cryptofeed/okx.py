"""OKX, version 5 of its public streams: books, trades, tickers.

Rules of the book (OKX API v5, "Order book channel"):

1. action `snapshot` replaces the book (up to 400 levels a side); `update` has absolute quantities, 0 removes.
2. Where messages have seqId: an update's prevSeqId is the seqId before, else something was lost.
3. checksum: CRC32, as a signed number, over price:size of the best 25 levels a side, bid and ask in turn, as sent,
   joined by colons; where a side has fewer levels the other goes on alone. The recordings have it on every message.
4. After a loss, or where the checksum differs, the book is out of sync until the next snapshot.
5. The first message of `trades` of an instrument is its last trade before the subscription; `side` is the aggressor's.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from typing import Any
from zlib import crc32

from apex.domain.instrument import Kind
from apex.importers.cryptofeed.ladder import Ladder
from apex.importers.cryptofeed.venue import Venue, decode, rows_of, text_of
from apex.importers.grid import Draft, Facts
from apex.importers.moments import ms
from apex.importers.sheet import BUY, HISTORY, SELL, Sheet

CHECKED = 25
BOOKS = ("books", "books-l2-tbt", "books50-l2-tbt")
SIDES = {"buy": BUY, "sell": SELL}


class Okx(Venue):
    """OKX."""

    name = "okx"

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(sheet)
        self.ladders: dict[str, tuple[Ladder, Ladder]] = {}
        self.channels: dict[str, str] = {}
        self.trading: set[str] = set()

    def connected(self, connection: str) -> None:
        self.trading.clear()

    def guess(self, symbol: str) -> Facts:
        base, quote, *rest = [*symbol.split("-"), ""]
        kind: Kind = "spot" if rest in ([], [""]) else "inverse" if quote == "USD" else "linear"
        return Facts(kind, "1", base, quote)

    def answer(self, url: str, body: str | bytes) -> bool:
        listed = rows_of(decode(body), "data") if "/public/instruments" in url else []
        for x in listed:
            symbol = text_of(x, "instId")
            self.facts[symbol] = self.guess(symbol)._replace(
                multiplier=text_of(x, "ctVal") or "1", tick=text_of(x, "tickSz"), lot=text_of(x, "lotSz"))
        return bool(listed)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        if "event" in message:
            return str(message["event"]), False
        arg = message.get("arg")
        if not isinstance(arg, dict):
            return "other", False
        channel, symbol, sheet = str(arg["channel"]), arg["instId"], self.sheet
        if channel in BOOKS:
            if self.channels.setdefault(symbol, channel) != channel:
                return channel, False
            for data in message["data"]:
                self._book(connection, self.draft(symbol), message["action"], data)
        elif channel == "trades":
            flags = 0 if symbol in self.trading else HISTORY
            self.trading.add(symbol)
            for t in message["data"]:
                sheet.trade(self.draft(symbol), ms(t["ts"]), int(t["tradeId"]), SIDES[t["side"]], t["px"], t["sz"],
                            flags)
        elif channel == "tickers":
            sheet.summary.book_tickers += 1
            for t in message["data"]:
                sheet.quote(self.draft(symbol), ms(t["ts"]), 0, (t["bidPx"], t["bidSz"]), (t["askPx"], t["askSz"]))
        else:
            return channel, False
        return channel, True

    def _book(self, connection: str, draft: Draft, action: str, data: dict[str, Any]) -> None:
        sheet, ts, bids, asks = self.sheet, ms(data["ts"]), data["bids"], data["asks"]
        number = max(int(data.get("seqId", 0)), 0)
        if action == "snapshot":
            draft.source = connection
            self.ladders[draft.symbol] = Ladder(True), Ladder(False)
            self._keep(draft, bids, asks)
            sheet.snapshot(draft, ts, number, bids, asks)
        else:
            sheet.summary.level_updates += len(bids) + len(asks)
            if draft.synced and "prevSeqId" in data and int(data["prevSeqId"]) != draft.last:
                sheet.gap(draft, ts, number)
            if not draft.synced:
                return
            self._keep(draft, bids, asks)
            sheet.update(draft, ts, number, bids, asks)
            draft.last = number
        if not sheet.learning and data.get("checksum") is not None:
            sheet.checked(draft, self._checksum(draft) == int(data["checksum"]) & 0xFFFFFFFF, ts, number)

    def _keep(self, draft: Draft, bids: list[Any], asks: list[Any]) -> None:
        if self.sheet.learning:
            return
        for ladder, levels in zip(self.ladders[draft.symbol], (bids, asks), strict=True):
            for price, size, *_ in levels:
                ladder.set(draft.price[price], price, f"{price}:{size}" if draft.lots[size] else None)

    def _checksum(self, draft: Draft) -> int:
        """Rule 3."""
        bids, asks = (ladder.best(CHECKED) for ladder in self.ladders[draft.symbol])
        return crc32(":".join(text for text in chain.from_iterable(zip_longest(bids, asks)) if text).encode())
