"""Rounds of small Python libraries: sortedcontainers, msgspec, orjson. Runs in .venv-peers-plain."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import orjson
from sortedcontainers import SortedDict

from benchmarks.timing import Clock

BID, ASK = 1, 2
TICK = 0.1
KIND_AT = len('{"stream":"btcusdt@')
DEPTH, TICKER, TRADE = b"d"[0], b"b"[0], b"t"[0]


class SortedBook:
    """A book of two SortedDict from Python integers; the best is read once a pass only, which favours it."""

    def __init__(self, levels: str, count: int) -> None:
        found = np.load(levels)
        self.levels = list(zip(found["side"].tolist(), found["ticks"].tolist(), found["lots"].tolist(), strict=True))
        self.count = count

    def round(self) -> dict[str, Any]:
        bids, asks = SortedDict(), SortedDict()
        with Clock() as clock:
            for side, ticks, lots in self.levels:
                if side:
                    book = bids if side == BID else asks
                    if lots:
                        book[ticks] = lots
                    else:
                        book.pop(ticks, None)
                else:
                    bids.clear()
                    asks.clear()
        return clock.result(self.count, {"bid_ticks": bids.peekitem(-1)[0], "ask_ticks": asks.peekitem(0)[0],
                                         "bid_levels": len(bids), "ask_levels": len(asks)})


class SortedOrders:
    """Queues as dicts in two SortedDict, and a dict of all orders; nothing tells who is ahead, which favours it."""

    def __init__(self, orders: str, count: int) -> None:
        self.rows, self.count = np.load(orders).tolist(), count

    def round(self) -> dict[str, Any]:
        sides = {BID: SortedDict(), ASK: SortedDict()}
        known: dict[int, tuple[int, int, int]] = {}
        with Clock() as clock:
            for action, side, id, ticks, lots in self.rows:
                if action == 0:
                    known.clear()
                    for book in sides.values():
                        book.clear()
                    continue
                before = known.pop(id, None)
                if before is not None:
                    book = sides[before[0]]
                    queue = book[before[1]]
                    if action == 2 and before[1] == ticks and lots <= before[2]:
                        queue[id] = lots
                        known[id] = before[0], ticks, lots
                        continue
                    del queue[id]
                    if not queue:
                        del book[before[1]]
                    side = before[0]
                if action != 3:
                    known[id] = side, ticks, lots
                    sides[side].setdefault(ticks, {})[id] = lots
        bids, asks = sides[BID], sides[ASK]
        return clock.result(self.count, {"bid_ticks": bids.peekitem(-1)[0], "ask_ticks": asks.peekitem(0)[0],
                                         "bid_levels": len(bids), "ask_levels": len(asks), "orders": len(known)})


class Depth(msgspec.Struct):
    u: int
    b: list[tuple[float, float]]
    a: list[tuple[float, float]]


class Ticker(msgspec.Struct):
    u: int
    b: float
    B: float
    a: float
    A: float


class Trade(msgspec.Struct):
    t: int
    p: float
    q: float
    m: bool


class DepthFrame(msgspec.Struct):
    data: Depth


class TickerFrame(msgspec.Struct):
    data: Ticker


class TradeFrame(msgspec.Struct):
    data: Trade


class SnapshotFrame(msgspec.Struct):
    lastUpdateId: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]


class Frames:
    """Frames as bytes, and the book of two dicts of floats that they lead to; no best is kept, which favours it."""

    def __init__(self, text: str, ends: str) -> None:
        with open(text, "rb") as stream:
            data = stream.read()
        places = [0, *np.load(ends).tolist()]
        self.frames = [data[a:b] for a, b in itertools.pairwise(places)]

    def pass_over(self, bids: dict[float, float], asks: dict[float, float]) -> int:
        """All frames into the two dicts; the levels applied."""
        raise NotImplementedError

    def round(self) -> dict[str, Any]:
        bids: dict[float, float] = {}
        asks: dict[float, float] = {}
        with Clock() as clock:
            levels = self.pass_over(bids, asks)
        book = {"bid_ticks": round(max(bids) / TICK), "ask_ticks": round(min(asks) / TICK),
                "bid_levels": len(bids), "ask_levels": len(asks)} if bids else {}
        return clock.result(len(self.frames), {"messages": len(self.frames), "levels": levels, **book})


class Msgspec(Frames):
    """msgspec with a Struct for each stream, numbers to floats while it decodes."""

    def pass_over(self, bids: dict[float, float], asks: dict[float, float]) -> int:
        kinds = (DepthFrame, TickerFrame, TradeFrame, SnapshotFrame)
        depth, ticker, trade, snapshot = (msgspec.json.Decoder(kind, strict=False).decode for kind in kinds)
        levels, last = 0, None
        for frame in self.frames:
            kind = frame[KIND_AT]
            if kind == TICKER:
                ticker(frame)
            elif kind == TRADE:
                trade(frame)
            elif kind == DEPTH:
                message = depth(frame).data
                if last is None or message.u < last:
                    continue
                for book, side in ((bids, message.b), (asks, message.a)):
                    levels += len(side)
                    for price, quantity in side:
                        if quantity:
                            book[price] = quantity
                        else:
                            book.pop(price, None)
            else:
                whole = snapshot(frame)
                last = whole.lastUpdateId
                bids.clear()
                asks.clear()
                bids.update(whole.bids)
                asks.update(whole.asks)
                levels += len(whole.bids) + len(whole.asks)
        return levels


class Orjson(Frames):
    """orjson to dicts, then float() of what is used."""

    def pass_over(self, bids: dict[float, float], asks: dict[float, float]) -> int:
        levels, last = 0, None
        for frame in self.frames:
            message = orjson.loads(frame)
            data = message.get("data")
            if data is None:
                last = message["lastUpdateId"]
                for book, side in ((bids, message["bids"]), (asks, message["asks"])):
                    levels += len(side)
                    book.clear()
                    book.update((float(price), float(quantity)) for price, quantity in side)
            elif data["e"] == "depthUpdate":
                if last is None or data["u"] < last:
                    continue
                for book, side in ((bids, data["b"]), (asks, data["a"])):
                    levels += len(side)
                    for price, quantity in side:
                        size = float(quantity)
                        if size:
                            book[float(price)] = size
                        else:
                            book.pop(float(price), None)
            elif data["e"] == "bookTicker":
                float(data["b"])
                float(data["B"])
                float(data["a"])
                float(data["A"])
            else:
                float(data["p"])
                float(data["q"])
        return levels
