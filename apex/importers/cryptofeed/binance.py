"""Binance spot, USD-M and COIN-M: depth, REST snapshots, bookTicker, aggTrade or trade, markPrice.

Rules of the book, as in `apex._core.codecs.binance_reader` (Binance, "How to manage a local order book correctly"):

1. Deltas that come before a snapshot are kept.
2. A snapshot with lastUpdateId L drops kept deltas with u <= L (spot) or u < L (futures).
3. The first delta after it has U <= L + 1 (spot) or U <= L <= u (futures; pu == L says the same), else the snapshot is
   too old and the next one is waited for.
4. Then, spot: u <= last is ignored, U > last + 1 is a break. Futures: pu != last is a break.
5. After a break the book is out of sync until the next snapshot that can be joined.

A spot snapshot has no time of its own. Of the streams aggTrade and trade an instrument's first one counts.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from apex.domain.instrument import Kind
from apex.importers.binance_frames import content, event_of
from apex.importers.cryptofeed.venue import Venue, decode, rows_of, text_of
from apex.importers.grid import Draft, Facts
from apex.importers.moments import ms
from apex.importers.sheet import BUY, NOT_MARKET, SELL, Sheet

NAMES = {"spot": "binance-spot", "usdm": "binance-usdm", "cm": "binance-coinm"}
KINDS: dict[str, Kind] = {"spot": "spot", "usdm": "linear", "cm": "inverse"}
KEPT_MAX = 1 << 16
"""Kept deltas of an instrument; the oldest go first."""


class Binance(Venue):
    """One market of Binance."""

    def __init__(self, sheet: Sheet, market: str) -> None:
        super().__init__(sheet)
        self.market = market
        self.name = NAMES[market]  # type: ignore[misc]
        self.joined: set[str] = set()
        self.kept: dict[str, list[dict[str, Any]]] = {}
        self.prints: dict[str, str] = {}

    def guess(self, symbol: str) -> Facts:
        return Facts(KINDS[self.market], "1" if self.market != "cm" else "100" if symbol.startswith("BTC") else "10")

    def answer(self, url: str, body: str | bytes) -> bool:
        place = urlsplit(url)
        found = decode(body)
        if place.path.endswith("/depth") and isinstance(found, dict) and "lastUpdateId" in found:
            self._snapshot(parse_qs(place.query)["symbol"][0], found)
            return True
        listed = rows_of(found, "symbols")
        for x in listed:
            filters = {str(f.get("filterType")): f for f in rows_of(x, "filters")}
            self.facts[text_of(x, "symbol")] = Facts(
                KINDS[self.market], text_of(x, "contractSize") or "1", text_of(x, "baseAsset"),
                text_of(x, "quoteAsset"), text_of(filters.get("PRICE_FILTER", {}), "tickSize"),
                text_of(filters.get("LOT_SIZE", {}), "stepSize"))
        return bool(listed)

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        m = content(message)
        event = str(m.get("e") or event_of(m) or ("reply" if "id" in m else "other"))
        if event == "depthUpdate":
            self._depth(connection, m)
        elif event == "bookTicker":
            self.sheet.summary.book_tickers += 1
            self.sheet.quote(self.draft(m["s"]), ms(m["T"]) if "T" in m else 0, m["u"], (m["b"], m["B"]),
                             (m["a"], m["A"]))
        elif event in ("aggTrade", "trade"):
            if self.prints.setdefault(m["s"], event) != event:
                return event, False
            flags = 0 if m.get("X", "MARKET") == "MARKET" else NOT_MARKET
            self.sheet.trade(self.draft(m["s"]), ms(m["T"]), m["a" if event == "aggTrade" else "t"],
                             SELL if m["m"] else BUY, m["p"], m["q"], flags)
        elif event == "markPriceUpdate":
            self.sheet.mark(self.draft(m["s"]), ms(m["E"]), m["p"], m.get("i", m["p"]), m["r"] or 0, ms(m["T"]))
        else:
            return event, False
        return event, True

    # ---- the venue's rules -----------------------------------------------------------------------------------------

    def _stale(self, draft: Draft, m: dict[str, Any]) -> bool:
        """Rules 2 and 4: whether the book already has all of a delta."""
        if self.market == "spot":
            return bool(m["u"] <= draft.last)
        return draft.symbol not in self.joined and m["u"] < draft.last

    def _follows(self, draft: Draft, m: dict[str, Any]) -> bool:
        """Rules 3 and 4: whether a delta that is not stale is the next one."""
        if self.market == "spot":
            return bool(m["U"] <= draft.last + 1)
        return m["pu"] == draft.last or (draft.symbol not in self.joined and m["U"] <= draft.last <= m["u"])

    def _depth(self, connection: str, m: dict[str, Any]) -> None:
        draft = self.draft(m["s"])
        draft.source = connection
        self.sheet.summary.level_updates += len(m["b"]) + len(m["a"])
        self.sheet.heard(draft, self._time(m))
        if draft.synced:
            if self._stale(draft, m):
                return
            if self._follows(draft, m):
                self._apply(draft, m)
                return
            self.joined.discard(draft.symbol)
            self.sheet.gap(draft, self._time(m), m["u"])
        kept = self.kept.setdefault(draft.symbol, [])
        if kept and m["u"] <= kept[-1]["u"]:
            return
        if kept and (m["U"] > kept[-1]["u"] + 1 if self.market == "spot" else m["pu"] != kept[-1]["u"]):
            kept.clear()
        kept.append(m)
        del kept[:-KEPT_MAX]

    def _time(self, m: dict[str, Any]) -> int:
        return ms(m["T"] if "T" in m else m["E"])

    def _apply(self, draft: Draft, m: dict[str, Any]) -> None:
        self.joined.add(draft.symbol)
        self.sheet.update(draft, self._time(m), m["u"], m["b"], m["a"])
        draft.last = m["u"]

    def _snapshot(self, symbol: str, m: dict[str, Any]) -> None:
        """Rules 2 and 3: take a snapshot that kept deltas can follow, and them after it."""
        draft = self.draft(symbol)
        last, kept = m["lastUpdateId"], self.kept.setdefault(symbol, [])
        if draft.synced and last <= draft.last:
            self.sheet.summary.snapshots += 1        # the book is newer, by an unbroken chain
            return
        before, was_joined = draft.last, symbol in self.joined
        draft.last = last
        self.joined.discard(symbol)
        while kept and self._stale(draft, kept[0]):
            kept.pop(0)
        if kept and not self._follows(draft, kept[0]):
            self.sheet.summary.snapshots += 1        # too old; only a book out of sync has kept deltas
            draft.last = before
            if was_joined:
                self.joined.add(symbol)
            return
        self.sheet.snapshot(draft, ms(m["T"]) if "T" in m else 0, last, m["bids"], m["asks"])
        for delta in kept:
            self.sheet.end()                         # each is a message of its own
            self._apply(draft, delta)
        kept.clear()
