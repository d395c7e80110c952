"""Kraken spot, version 1 of its WebSocket: book, trade, ticker, spread.

Rules of the book (docs.kraken.com, WebSockets v1, "Book" and "Book Checksum"):

1. A message with `as` and `bs` is a snapshot of `depth` levels a side (`book-1000`).
2. `a` and `b` of an update: [price, volume, time, "r" for a level that comes back]; volume 0 removes.
3. After each update the client drops the levels beyond the depth.
4. `c`: CRC32 over the best 10 asks from low to high, then the best 10 bids from high to low, of each price and volume,
   as sent, without the point and without leading zeros.
5. Where it differs the book is out of sync until the next snapshot.

A message's venue time is the latest of its levels.
"""

from __future__ import annotations

from typing import Any
from zlib import crc32

from apex.importers.cryptofeed.ladder import Ladder
from apex.importers.cryptofeed.venue import Venue, decode, text_of
from apex.importers.grid import Draft, Facts
from apex.importers.moments import seconds
from apex.importers.sheet import BUY, SELL, Sheet

CHECKED = 10
SIDES = {"b": BUY, "s": SELL}


def digits(text: str) -> str:
    """A decimal as the checksum takes it.

    >>> digits("0.05005")
    '5005'
    """
    return text.replace(".", "").lstrip("0")


class Kraken(Venue):
    """Kraken spot."""

    name = "kraken"

    def __init__(self, sheet: Sheet) -> None:
        super().__init__(sheet)
        self.ladders: dict[str, tuple[Ladder, Ladder]] = {}

    def guess(self, symbol: str) -> Facts:
        base, _, quote = symbol.partition("/")
        return Facts("spot", "1", base, quote)

    def answer(self, url: str, body: str | bytes) -> bool:
        listed = decode(body).get("result") if "AssetPairs" in url else None
        for x in listed.values() if isinstance(listed, dict) else ():
            places = x.get("lot_decimals")
            self.facts[text_of(x, "wsname")] = self.guess(text_of(x, "wsname"))._replace(
                tick=text_of(x, "tick_size"), lot=f"1e-{places}" if isinstance(places, int) else "")
        return bool(listed)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        if isinstance(message, dict):
            return str(message.get("event") or "other"), False
        name, symbol = message[-2], message[-1]
        channel, _, depth = name.partition("-")
        draft, sheet = self.draft(symbol), self.sheet
        if channel == "book":
            self._book(connection, draft, int(depth), message[1:-2])
        elif channel == "trade":
            for price, volume, time, side, *_ in message[1]:
                sheet.trade(draft, seconds(time), 0, SIDES[side], price, volume)
        elif channel == "spread":
            sheet.summary.book_tickers += 1
            bid, ask, time, bid_volume, ask_volume = message[1]
            sheet.quote(draft, seconds(time), 0, (bid, bid_volume), (ask, ask_volume))
        elif channel == "ticker":
            sheet.summary.book_tickers += 1
            bid, ask = message[1]["b"], message[1]["a"]          # price, whole lots, lots
            sheet.quote(draft, 0, 0, (bid[0], bid[2]), (ask[0], ask[2]))
        else:
            return channel, False
        return channel, True

    def _book(self, connection: str, draft: Draft, depth: int, parts: list[dict[str, Any]]) -> None:
        sheet = self.sheet
        first = parts[0]
        whole = "as" in first or "bs" in first
        names = ("bs", "as") if whole else ("b", "a")
        bids, asks = first.get(names[0], []), first.get(names[1], [])
        for part in parts[1:]:
            bids, asks = bids + part.get(names[0], []), asks + part.get(names[1], [])
        times = [level[2] for level in bids] + [level[2] for level in asks]
        ts = seconds(max(times)) if times else draft.clock       # all with as many digits
        if whole:                                    # rule 1
            draft.source = connection
            self.ladders[draft.symbol] = Ladder(True), Ladder(False)
            self._keep(draft, bids, asks)
            sheet.snapshot(draft, ts, 0, bids, asks)
            return
        sheet.summary.level_updates += len(bids) + len(asks)
        if not draft.synced:
            return
        if sheet.learning:
            sheet.update(draft, ts, 0, bids, asks)
            return
        count = len(bids) + len(asks)
        self._keep(draft, bids, asks)
        mine = self.ladders[draft.symbol]
        if max(len(mine[0]), len(mine[1])) > depth:              # rule 3
            bids = bids + [(price, "0") for price in mine[0].cut(depth)]
            asks = asks + [(price, "0") for price in mine[1].cut(depth)]
        sheet.update(draft, ts, 0, bids, asks, count)
        sent = parts[-1].get("c")
        if sent is not None:                         # rules 4 and 5
            right = crc32("".join(mine[1].best(CHECKED) + mine[0].best(CHECKED)).encode()) == int(sent)
            sheet.checked(draft, right, ts, 0)

    def _keep(self, draft: Draft, bids: list[Any], asks: list[Any]) -> None:
        """Rule 2."""
        if self.sheet.learning:
            return
        for ladder, levels in zip(self.ladders[draft.symbol], (bids, asks), strict=True):
            for price, volume, *_ in levels:
                ladder.set(draft.price[price], price, digits(price) + digits(volume) if draft.lots[volume] else None)
