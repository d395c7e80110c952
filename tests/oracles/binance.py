"""A plain reader of Binance recordings, written from the venue's documents: json, Decimal and two dicts.

It gives the rows a tape must hold, the counts an import must report, and at each depth event the book's best levels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from math import gcd
from typing import Any

BUY, SELL = 1, 2
LEVEL, CLEAR, TRADE, QUOTE, MARK, BEGIN, GAP = (
    "BOOK_LEVEL", "BOOK_CLEAR", "TRADE", "QUOTE", "MARK", "SNAPSHOT_BEGIN", "LINK_GAP")
FIELDS = ("ts_exchange_ns", "ts_local_ns", "sequence", "price_ticks", "quantity_lots", "aux", "flags", "kind", "side")
PARTIAL = ("@depth5", "@depth10", "@depth20")


class Steps(dict[str, int]):
    """Decimal text -> how many steps; every text is worked out once, and must be on the grid."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = Decimal(step)

    def __missing__(self, text: str) -> int:
        count, rest = divmod(Decimal(text), self.step)
        assert rest == 0, f"{text} is not on the grid of {self.step}"
        self[text] = int(count)
        return self[text]

    def common(self) -> Decimal:
        """The gcd of all values met."""
        return Decimal(gcd(*(int(Decimal(text).scaleb(12)) for text in self))).scaleb(-12).normalize()


class Side:
    """Price -> quantity of one side, with the best price kept; `turn` is 1 for bids and -1 for asks."""

    def __init__(self, turn: int) -> None:
        self.turn = turn
        self.levels: dict[int, int] = {}
        self.best: int | None = None

    def set(self, price: int, quantity: int) -> None:
        levels, best, turn = self.levels, self.best, self.turn
        if quantity:
            levels[price] = quantity
            if best is None or price * turn > best * turn:
                self.best = price
        elif price in levels:
            del levels[price]
            if price == best:
                self.best = max(levels, key=turn.__mul__) if levels else None


class Reader:
    """Reads lines one after the other.

    Attributes
    ----------
    rows : list of tuples in the order of FIELDS (flags and kinds by name), one a row of the tape
    counts : dict
        The keys of the import's summary.
    tops : list of (u, (bid, bid quantity, ask, ask quantity), early)
        After each depth event that was applied; `early` is whether a bookTicker of that u was received before it.
    quotes : dict of u -> (bid, bid quantity, ask, ask quantity)
        Every bookTicker.
    """

    def __init__(self, market: str, tick: str, lot: str) -> None:
        self.market, self.prices, self.quantities = market, Steps(tick), Steps(lot)
        self.rows: list[tuple[Any, ...]] = []
        self.counts: dict[str, int] = dict.fromkeys((
            "messages", "level_updates", "level_updates_applied", "trades", "book_tickers", "snapshots",
            "sequence_gaps", "crossed_books", "mark_prices", "ignored_messages"), 0)
        self.tops: list[tuple[int, tuple[int | None, ...], bool]] = []
        self.quotes: dict[int, tuple[int, ...]] = {}
        self.bids, self.asks = Side(1), Side(-1)
        self.synced = False
        self.last = 0                        # u of the last event in the book, or the snapshot's lastUpdateId
        self.first_done = False              # an event has followed the snapshot
        self.waiting: list[dict[str, Any]] = []
        self.untimed: list[int] = []         # rows of a spot snapshot, until a delta gives them its time

    def read(self, lines: Iterable[bytes]) -> Reader:
        """Read lines; times in microseconds have 16 digits."""
        for line in lines:
            line = line.strip()
            if not line:
                continue
            self.counts["messages"] += 1
            stamp, _, text = line.partition(b" ")
            self.message(json.loads(text), int(stamp) * (1000 if len(stamp) == 16 else 1))
        return self

    def message(self, found: dict[str, Any], local: int) -> None:
        stream = str(found.get("stream", ""))
        m = found.get("data", found)
        if stream.endswith(PARTIAL) or any(f"{p}@" in stream for p in PARTIAL):
            self.counts["ignored_messages"] += 1
        elif "lastUpdateId" in m:
            self.snapshot(m, local)
        elif m.get("e") == "depthUpdate":
            self.depth(m, local)
        elif m.get("e") == "trade":
            self.trade(m, local)
        elif m.get("e") == "markPriceUpdate":
            self.mark(m, local)
        elif "u" in m and "B" in m and m.get("e", "bookTicker") == "bookTicker":
            self.ticker(m, local)
        else:
            self.counts["ignored_messages"] += 1

    def put(self, kind: str, venue: int | None, local: int, sequence: int, rows: list[tuple[int, int, int, int]],
            flags: frozenset[str] = frozenset(), *, last: bool = True) -> None:
        """Rows (side, price, quantity, aux) of one message; venue is in ms."""
        here = flags | ({"AT_LOCAL", "NO_VENUE_TIME"} if venue is None else {"AT_LOCAL", "AT_VENUE"})
        end = here | {"LAST_IN_BATCH"} if last else here
        time = 0 if venue is None else venue * 1_000_000
        for n, (side, price, quantity, aux) in enumerate(rows, 1):
            self.rows.append((time, local, sequence, price, quantity, aux, end if n == len(rows) else here, kind, side))

    # ---- messages of one kind -------------------------------------------------------------------------------------

    def trade(self, m: dict[str, Any], local: int) -> None:
        self.counts["trades"] += 1
        flags = frozenset() if m.get("X", "MARKET") == "MARKET" else frozenset({"NOT_MARKET"})
        row = (SELL if m["m"] else BUY, self.prices[m["p"]], self.quantities[m["q"]], 0)
        if row[2]:
            self.put(TRADE, m["T"], local, m["t"], [row], flags)
        else:
            self.counts["ignored_messages"] += 1           # of no quantity: nothing was traded

    def ticker(self, m: dict[str, Any], local: int) -> None:
        self.counts["book_tickers"] += 1
        bid, bid_q = self.prices[m["b"]], self.quantities[m["B"]]
        ask, ask_q = self.prices[m["a"]], self.quantities[m["A"]]
        self.quotes[m["u"]] = bid, bid_q, ask, ask_q
        self.put(QUOTE, m.get("T"), local, m["u"], [(BUY, bid, bid_q, 0), (SELL, ask, ask_q, 0)])

    def mark(self, m: dict[str, Any], local: int) -> None:
        self.counts["mark_prices"] += 1
        rows = []
        for price, aux in ((m["p"], int(Decimal(m["r"] or "0").scaleb(12))), (m["i"], m["T"] * 1_000_000)):
            ticks = (Decimal(price) / self.prices.step).quantize(Decimal(1), "ROUND_HALF_UP")
            rest = (Decimal(price) - ticks * self.prices.step).scaleb(8)
            rows.append((0, int(ticks), int(rest), aux))
        self.put(MARK, m["E"], local, 0, rows)

    def levels(self, m: dict[str, Any], bids: str, asks: str) -> list[tuple[int, int, int, int]]:
        prices, quantities = self.prices, self.quantities
        return ([(BUY, prices[p], quantities[q], 0) for p, q in m[bids]]
                + [(SELL, prices[p], quantities[q], 0) for p, q in m[asks]])

    # ---- the book -------------------------------------------------------------------------------------------------

    def stale(self, m: dict[str, Any]) -> bool:
        """Spot: u <= last. Futures: only before the first event after a snapshot, u < lastUpdateId."""
        if self.market == "spot":
            return bool(m["u"] <= self.last)
        return not self.first_done and bool(m["u"] < self.last)

    def follows(self, m: dict[str, Any]) -> bool:
        """Spot: U <= last + 1. Futures: pu == last; the first after a snapshot U <= lastUpdateId <= u."""
        if self.market == "spot":
            return bool(m["U"] <= self.last + 1)
        return bool(m["pu"] == self.last or (not self.first_done and m["U"] <= self.last <= m["u"]))

    def depth(self, m: dict[str, Any], local: int) -> None:
        m["rows"] = self.levels(m, "b", "a")
        self.counts["level_updates"] += len(m["rows"])
        if self.synced:
            if self.stale(m):
                return
            if self.follows(m):
                self.apply(m, local)
                return
            self.synced = self.first_done = False
            self.untimed = []
            self.counts["sequence_gaps"] += 1
            self.put(GAP, m.get("T", m["E"]), local, m["u"], [(0, 0, 0, 0)])
        if self.waiting:
            before = self.waiting[-1]
            if self.market == "spot" and m["u"] <= before["u"]:
                return
            if m["U"] > before["u"] + 1 if self.market == "spot" else m["pu"] != before["u"]:
                self.waiting = []
        self.waiting.append(m)

    def apply(self, m: dict[str, Any], local: int) -> None:
        self.first_done, self.last = True, m["u"]
        venue = m.get("T", m["E"])
        for at in self.untimed:
            row = self.rows[at]
            self.rows[at] = (venue * 1_000_000, *row[1:6], (row[6] - {"NO_VENUE_TIME"}) | {"AT_VENUE"}, *row[7:])
        self.untimed = []
        self.counts["level_updates_applied"] += len(m["rows"])
        self.put(LEVEL, venue, local, m["u"], m["rows"])
        self.enter(m["rows"])
        self.tops.append((m["u"], self.top(), m["u"] in self.quotes))

    def top(self) -> tuple[int | None, ...]:
        bid, ask = self.bids.best, self.asks.best
        return (bid, None if bid is None else self.bids.levels[bid],
                ask, None if ask is None else self.asks.levels[ask])

    def enter(self, rows: list[tuple[int, int, int, int]]) -> None:
        for side, price, quantity, _ in rows:
            (self.bids if side == BUY else self.asks).set(price, quantity)
        bid, ask = self.bids.best, self.asks.best
        self.counts["crossed_books"] += bid is not None and ask is not None and bid >= ask

    def snapshot(self, m: dict[str, Any], local: int) -> None:
        rows = self.levels(m, "bids", "asks")
        self.counts["snapshots"] += 1
        if self.synced and m["lastUpdateId"] <= self.last:
            return
        kept = self.last, self.first_done
        self.last, self.first_done = m["lastUpdateId"], False
        waiting = [d for d in self.waiting if not self.stale(d)]
        if waiting and not self.follows(waiting[0]):
            (self.last, self.first_done), self.waiting = kept, waiting
            return
        self.synced = True
        self.bids, self.asks = Side(1), Side(-1)
        venue = m.get("T", m.get("E"))
        start = len(self.rows)
        self.put(BEGIN, venue, local, self.last, [(0, 0, 0, 0)], last=False)
        self.put(LEVEL, venue, local, self.last, rows, frozenset({"SNAPSHOT"}))
        self.untimed = [] if venue is not None else list(range(start, len(self.rows)))
        self.enter(rows)
        self.waiting = []
        for d in waiting:
            self.apply(d, local)
