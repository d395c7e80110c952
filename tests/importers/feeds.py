"""Small recordings of cryptofeed, written by hand: lines of both containers, and what an import of them gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.events import FLAGS, KINDS
from apex.importers.common import FeedSummary
from apex.importers.cryptofeed import import_cryptofeed
from apex.store.tape import Tape
from apex.store.verify import verify

START = 1_786_310_000
ADDRESSES = {
    "binance": "wss://stream.binance.com:9443/stream?streams=x", "usdm": "wss://fstream.binance.com/stream?streams=x",
    "bybit": "wss://stream.bybit.com/v5/public/linear", "coinbase": "wss://advanced-trade-ws.coinbase.com",
    "pro": "wss://ws-feed.exchange.coinbase.com", "cryptocom": "wss://stream.crypto.com/exchange/v1/market",
    "deribit": "wss://www.deribit.com/ws/api/v2", "kraken": "wss://ws.kraken.com",
    "kraken futures": "wss://futures.kraken.com/ws/v1", "okx": "wss://ws.okx.com:8443/ws/v5/public",
}
_MS = START * 1000


def _deribit(channel: str, data: Any) -> dict[str, Any]:
    return {"method": "subscription", "params": {"channel": channel, "data": data}}


SAMPLES: dict[str, list[Any]] = {
    "usdm": [
        {"data": {"e": "depthUpdate", "E": _MS, "T": _MS, "s": "AB", "U": 1, "u": 2, "pu": 0, "b": [["1", "2"]],
                  "a": []}},
        {"data": {"e": "bookTicker", "u": 2, "s": "AB", "b": "1", "B": "2", "a": "3", "A": "4", "T": _MS, "E": _MS}},
        {"data": {"e": "aggTrade", "E": _MS, "T": _MS, "s": "AB", "a": 3, "p": "1", "q": "2", "m": True}},
        {"data": {"e": "markPriceUpdate", "E": _MS, "s": "AB", "p": "1.5", "i": "1.6", "r": "-0.0001", "T": _MS}}],
    "bybit": [
        {"topic": "orderbook.50.AB", "type": "snapshot", "ts": _MS, "cts": _MS, "data": {
            "s": "AB", "b": [["1", "2"]], "a": [["3", "4"]], "u": 5, "seq": 1}},
        {"topic": "orderbook.50.AB", "type": "delta", "ts": _MS, "cts": _MS, "data": {
            "s": "AB", "b": [["1", "0"]], "a": [], "u": 6, "seq": 1}},
        {"topic": "publicTrade.AB", "ts": _MS, "data": [{"T": _MS, "S": "Buy", "v": "1", "p": "2", "seq": 7}]},
        {"topic": "tickers.AB", "type": "snapshot", "ts": _MS, "cs": 1, "data": {
            "bid1Price": "1", "bid1Size": "2", "ask1Price": "3", "ask1Size": "4", "markPrice": "2", "indexPrice": "2",
            "fundingRate": "0.1", "nextFundingTime": str(_MS)}}],
    "coinbase": [
        {"channel": "l2_data", "timestamp": "2026-08-09T21:05:49.1Z", "sequence_num": 0, "events": [
            {"type": "snapshot", "product_id": "A-B", "updates": [
                {"side": "bid", "event_time": "2026-08-09T21:05:48Z", "price_level": "1", "new_quantity": "2"},
                {"side": "offer", "event_time": "2026-08-09T21:05:48Z", "price_level": "3", "new_quantity": "4"}]}]},
        {"channel": "market_trades", "timestamp": "2026-08-09T21:05:49.1Z", "sequence_num": 1, "events": [
            {"type": "update", "trades": [{"product_id": "A-B", "trade_id": "7", "price": "1", "size": "2",
                                           "time": "2026-08-09T21:05:48Z", "side": "BUY"}]}]},
        {"channel": "ticker", "timestamp": "2026-08-09T21:05:49.1Z", "sequence_num": 2, "events": [
            {"type": "update", "tickers": [{"product_id": "A-B", "best_bid": "1", "best_ask": "3",
                                            "best_bid_quantity": "2", "best_ask_quantity": "4"}]}]}],
    "pro": [
        {"type": "snapshot", "product_id": "A-B", "bids": [["1", "2"]], "asks": [["3", "4"]]},
        {"type": "l2update", "product_id": "A-B", "changes": [["buy", "1", "0.0"]], "time": "2026-08-09T21:05:48Z"},
        {"type": "match", "trade_id": 1, "side": "sell", "size": "4", "price": "1", "product_id": "A-B",
         "time": "2026-08-09T21:05:48Z"},
        {"type": "ticker", "sequence": 3, "product_id": "A-B", "best_bid": "1", "best_ask": "3"}],
    "cryptocom": [{"method": "subscribe", "result": {"instrument_name": "A_B", "channel": channel, "data": data}}
                  for channel, data in (
        ("book", [{"bids": [["1", "2", "1"]], "asks": [["3", "4", "1"]], "t": _MS, "u": 4}]),
        ("book.update", [{"update": {"bids": [["1", "0", "0"]], "asks": []}, "t": _MS, "u": 5, "pu": 4}]),
        ("trade", [{"s": "BUY", "p": "1", "q": "2", "t": _MS, "d": "6"}]),
        ("ticker", [{"b": "1", "bs": "2", "k": "3", "ks": "4", "t": _MS}]))],
    "deribit": [
        _deribit("book.A.raw", {"type": "snapshot", "timestamp": _MS, "instrument_name": "A-PERPETUAL", "change_id": 1,
                                "bids": [["new", 1.5, 2.0]], "asks": []}),
        _deribit("book.A.raw", {"type": "change", "timestamp": _MS, "instrument_name": "A-PERPETUAL", "change_id": 3,
                                "prev_change_id": 1, "bids": [], "asks": [["new", 2.5, 2.0]]}),
        _deribit("trades.A.raw", [{"trade_seq": 3, "timestamp": _MS, "price": 1.5, "amount": 1.0, "direction": "buy",
                                   "instrument_name": "A-PERPETUAL"}]),
        _deribit("ticker.A.raw", {"timestamp": _MS, "instrument_name": "A-PERPETUAL", "best_bid_price": 1.5,
                                  "best_bid_amount": 2.0, "best_ask_price": 2.5, "best_ask_amount": 2.0,
                                  "mark_price": 2.0, "index_price": 2.1, "current_funding": 1e-6})],
    "kraken": [
        [1, {"as": [["2.0", "1.0", f"{START}.000100"]], "bs": [["1.0", "1.0", f"{START}.000100"]]}, "book-10", "A/B"],
        [1, {"a": [["2.0", "0.0", f"{START}.000200"]], "c": "0"}, "book-10", "A/B"],
        [2, [["2.0", "0.3", f"{START}.000300", "b", "m", ""]], "trade", "A/B"],
        [3, ["1.0", "2.0", f"{START}.000300", "0.7", "1.0"], "spread", "A/B"]],
    "kraken futures": [
        {"feed": "book_snapshot", "product_id": "PI_X", "timestamp": _MS, "seq": 5, "asks": [],
         "bids": [{"price": 1.5, "qty": 2.0}]},
        {"feed": "book", "product_id": "PI_X", "side": "buy", "seq": 6, "price": 1.5, "qty": 0.0, "timestamp": _MS},
        {"feed": "trade", "product_id": "PI_X", "side": "sell", "type": "fill", "seq": 3, "time": _MS, "qty": 7.0,
         "price": 1.5},
        {"feed": "ticker_lite", "product_id": "PI_X", "bid": 1.5, "ask": 2.5}],
    "okx": [
        {"arg": {"channel": "books", "instId": "A-B"}, "action": "snapshot", "data": [
            {"bids": [["1", "2", "0", "1"]], "asks": [], "ts": str(_MS), "checksum": 5, "seqId": 4}]},
        {"arg": {"channel": "books", "instId": "A-B"}, "action": "update", "data": [
            {"bids": [], "asks": [["2", "2", "0", "1"]], "ts": str(_MS), "prevSeqId": 4, "seqId": 5}]},
        {"arg": {"channel": "trades", "instId": "A-B"}, "data": [
            {"tradeId": "7", "px": "1", "sz": "2", "side": "buy", "ts": str(_MS)}]},
        {"arg": {"channel": "tickers", "instId": "A-B"}, "data": [
            {"askPx": "2", "askSz": "2", "bidPx": "1", "bidSz": "2", "ts": str(_MS)}]}],
}
"""Sound messages of each venue, to be mangled."""
_KIND = {code: name for name, code in KINDS.items()}


class Feed:
    """Lines of one connection, 10 ms apart."""

    def __init__(self, venue: str, conn: str = "V.ws.1", at: float = START) -> None:
        self.conn, self.ms = conn, round(at * 1000)
        self.lines: list[str] = []
        self.connect(ADDRESSES[venue])

    def _line(self, **fields: Any) -> Feed:
        self.lines.append(json.dumps({"t": fields.pop("t"), "conn": fields.pop("conn", self.conn),
                                      "ts": self.ms / 1000, **fields}, separators=(",", ":")))
        self.ms += 10
        return self

    def connect(self, address: str) -> Feed:
        return self._line(t="connect", addr=address)

    def got(self, *messages: Any) -> Feed:
        """Messages received, as objects or as text."""
        for message in messages:
            self._line(t="recv", data=message if isinstance(message, str) else json.dumps(message))
        return self

    def rest(self, url: str, body: Any) -> Feed:
        return self._line(t="http", conn="V.http.0", url=url, data=json.dumps(body))

    def write(self, path: Path) -> Path:
        path.write_text("".join(line + "\n" for line in self.lines))
        return path


class Imported:
    """An import: its summary, and its rows in words."""

    def __init__(self, files: list[Path], out: Path, **options: Any) -> None:
        self.summary: FeedSummary = import_cryptofeed(files, out, **options)
        with Tape.open(out) as tape:
            assert verify(tape).ok
            self.instruments = tape.instruments
            self.events: NDArray[Any] = tape.events()

    def rows(self, *kinds: str, symbol: str | None = None) -> list[tuple[Any, ...]]:
        """(kind, side, price, quantity) of rows of these kinds (all without), as text."""
        found = []
        for row in self.events:
            x, kind = self.instruments[int(row["instrument"])], _KIND[int(row["kind"])]
            if (not kinds or kind in kinds) and symbol in (None, x.symbol):
                found.append((kind, " BS"[int(row["side"])], x.price(int(row["price_ticks"])),
                              x.quantity(int(row["quantity_lots"]))))
        return found

    def flagged(self, flag: str) -> list[int]:
        """Rows with a flag."""
        return [int(i) for i in np.flatnonzero(self.events["flags"] & FLAGS[flag])]

    def kinds(self) -> list[str]:
        return [_KIND[int(kind)] for kind in self.events["kind"]]


def imported(feed: Feed, folder: Path, **options: Any) -> Imported:
    """Write a feed and import it."""
    return Imported([feed.write(folder / "feed.jsonl")], folder / "t.tape", **options)
