"""Recordings of cryptofeed read plainly: json, Decimal, dicts for books, a CRC32 of its own. No grid, no rows.

One function a venue, written from the venues' documents and the README of the recordings, not from the importer.
"""

from __future__ import annotations

import gzip
import io
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import datetime
from decimal import Decimal
from heapq import nlargest, nsmallest
from pathlib import Path
from typing import Any, NamedTuple

import zstandard


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32(text: str) -> int:
    """The CRC-32 of ISO 3309, byte by byte."""
    value = 0xFFFFFFFF
    for byte in text.encode():
        value = value >> 8 ^ _TABLE[(value ^ byte) & 255]
    return value ^ 0xFFFFFFFF


class Message(NamedTuple):
    """One line: what kind, whose, when, and its text."""

    ts: Decimal
    kind: str
    conn: str
    url: str
    data: str


def messages(path: Path) -> Iterator[Message]:
    """All lines of a recording that bring something, by time; those of one time in the order of the file."""
    raw = path.read_bytes()
    if path.suffix == ".zst":
        raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read()
    else:
        raw = gzip.decompress(raw)
    found = []
    for line in raw.decode().split("\n"):
        if line.startswith("{"):
            entry = json.loads(line, parse_float=Decimal)
            if entry["t"] in ("http", "recv"):
                found.append(Message(Decimal(entry["ts"]), entry["t"], entry["conn"], entry.get("url", ""),
                                     entry["data"]))
        elif line.startswith("https"):
            url, rest = line.split(" -> ", 1)
            ts, body = rest.split(": ", 1)
            found.append(Message(Decimal(ts), "http", "", url, body))
        elif line[:1].isdigit():
            ts, body = line.split(": ", 1)
            found.append(Message(Decimal(ts), "recv", "", "", body))
    return iter(sorted(found, key=lambda m: m.ts))


Side = dict[Decimal, Decimal]


class Plain:
    """What a recording says, instrument by instrument (named venue:symbol, and :kind for Bybit).

    `tops[name]` are (local ns, best five bids, best five asks) after messages of the book, every `every`-th of them, or
    the last one of that time; `trades[name]` (venue ns, side, price, quantity, whether it was a trade from before).
    """

    def __init__(self, every: int = 1) -> None:
        self.counts: Counter[str] = Counter()
        self.books: dict[str, tuple[Side, Side]] = {}
        self.tops: dict[str, list[tuple[int, list[tuple[Decimal, Decimal]], list[tuple[Decimal, Decimal]]]]]
        self.tops = defaultdict(list)
        self.trades: dict[str, list[tuple[int, str, Decimal, Decimal, bool]]] = defaultdict(list)
        self.last: dict[str, Any] = {}
        self.texts: dict[str, list[dict[Decimal, tuple[str, str]]]] = {}
        self.every = every
        self.now = 0
        self.seen: Counter[str] = Counter()

    def snapshot(self, name: str, bids: list[Any], asks: list[Any]) -> None:
        self.books[name] = ({Decimal(x[0]): Decimal(x[1]) for x in bids}, {Decimal(x[0]): Decimal(x[1]) for x in asks})
        self.counts["snapshots"] += 1
        self.counts["snapshot_levels"] += len(bids) + len(asks)
        self.note(name)

    def change(self, name: str, bids: list[Any], asks: list[Any]) -> None:
        """Absolute quantities, 0 removes."""
        for side, levels in zip(self.books[name], (bids, asks), strict=True):
            for price, quantity, *_ in levels:
                if Decimal(quantity) == 0:
                    side.pop(Decimal(price), None)
                else:
                    side[Decimal(price)] = Decimal(quantity)
        self.note(name)

    def note(self, name: str) -> None:
        self.seen[name] += 1
        again = bool(self.tops[name]) and self.tops[name][-1][0] == self.now
        if again or self.seen[name] % self.every == 0:
            bids, asks = self.books[name]
            if again:
                self.tops[name].pop()
            self.tops[name].append((self.now, nlargest(5, bids.items()), nsmallest(5, asks.items())))

    def chain(self, key: str, follows: bool) -> None:
        self.counts["chain_ok" if follows else "chain_broken"] += 1


def ns(iso: str) -> int:
    """ISO 8601 with up to nine digits after the point, UTC."""
    whole, _, part = iso.rstrip("Z").partition(".")
    return int(datetime.fromisoformat(whole + "+00:00").timestamp()) * 10**9 + int(part.ljust(9, "0") if part else 0)


def binance(plain: Plain, m: Message, market: str) -> None:
    """Depth joined to the REST snapshot by "How to manage a local order book correctly"."""
    data = json.loads(m.data)
    if m.kind == "http":
        if "/depth" not in m.url or "lastUpdateId" not in data:
            return
        name = f"{market}:{m.url.split('symbol=')[1].split('&')[0]}"
        plain.snapshot(name, data["bids"], data["asks"])
        last = data["lastUpdateId"]
        plain.last[name] = ("rest", last)
        for old in plain.last.pop(f"early {name}", []):
            _binance_delta(plain, name, old, market)
        return
    data = data.get("data", data)
    name = f"{market}:{data.get('s')}"
    event = data.get("e", "bookTicker")
    plain.counts[event] += 1
    if event == "aggTrade":
        plain.trades[name].append((data["T"] * 10**6, "SELL" if data["m"] else "BUY", Decimal(data["p"]),
                                   Decimal(data["q"]), False))
    elif event == "depthUpdate":
        plain.counts["level_updates"] += len(data["b"]) + len(data["a"])
        before = plain.last.get(f"u {name}")
        if before is not None:
            plain.chain(name, data["pu"] == before if "pu" in data else data["U"] == before + 1)
        plain.last[f"u {name}"] = data["u"]
        if name in plain.last:
            _binance_delta(plain, name, data, market)
        else:
            plain.last.setdefault(f"early {name}", []).append(data)


def _binance_delta(plain: Plain, name: str, data: dict[str, Any], market: str) -> None:
    state, last = plain.last[name]
    if state == "rest" and (data["u"] <= last if market == "binance-spot" else data["u"] < last):
        return
    if state == "rest":
        assert data["U"] <= last + 1 if market == "binance-spot" else data["U"] <= last <= data["u"], (name, data["u"])
    plain.last[name] = ("stream", data["u"])
    plain.change(name, data["b"], data["a"])


def bybit(plain: Plain, m: Message, _: str) -> None:
    if m.kind == "http":
        return
    data = json.loads(m.data)
    topic = data.get("topic")
    kind = "linear" if m.conn.endswith(".2") else "spot"
    plain.counts["op" if topic is None else topic.rpartition(".")[0]] += 1
    if topic is None:
        return
    channel, _, symbol = topic.rpartition(".")
    name = f"bybit:{symbol}:{kind}"
    if channel.startswith("orderbook"):
        book = data["data"]
        if data["type"] == "snapshot":
            plain.snapshot(name, book["b"], book["a"])
        else:
            plain.counts["level_updates"] += len(book["b"]) + len(book["a"])
            plain.chain(name, book["u"] == plain.last[name] + 1)
            plain.change(name, book["b"], book["a"])
        plain.last[name] = book["u"]
    elif channel == "publicTrade":
        for t in data["data"]:
            plain.trades[name].append((t["T"] * 10**6, t["S"].upper(), Decimal(t["p"]), Decimal(t["v"]), False))


def coinbase(plain: Plain, m: Message, _: str) -> None:
    if m.kind == "http":
        return
    data = json.loads(m.data)
    channel = data["channel"]
    plain.counts[channel] += 1
    if "sequence" in plain.last:
        plain.chain("connection", data["sequence_num"] == plain.last["sequence"] + 1)
    plain.last["sequence"] = data["sequence_num"]
    for event in data["events"]:
        if channel == "l2_data":
            name = f"coinbase:{event['product_id']}"
            sides = [[(u["price_level"], u["new_quantity"]) for u in event["updates"] if u["side"] == side]
                     for side in ("bid", "offer")]
            if event["type"] == "snapshot":
                plain.snapshot(name, *sides)
            else:
                plain.counts["level_updates"] += len(event["updates"])
                plain.change(name, *sides)
        elif channel == "market_trades":
            for t in sorted(event["trades"], key=lambda t: (ns(t["time"]), int(t["trade_id"]))):
                plain.trades[f"coinbase:{t['product_id']}"].append(
                    (ns(t["time"]), "SELL" if t["side"] == "BUY" else "BUY", Decimal(t["price"]), Decimal(t["size"]),
                     event["type"] == "snapshot"))
        elif channel == "ticker":
            for t in event["tickers"]:
                _compare(plain, f"coinbase:{t['product_id']}", t)


def _compare(plain: Plain, name: str, ticker: dict[str, str]) -> None:
    if name in plain.books:
        bids, asks = plain.books[name]
        same = (max(bids), min(asks)) == (Decimal(ticker["best_bid"]), Decimal(ticker["best_ask"]))
        plain.counts["ticker_bbo_eq" if same else "ticker_bbo_ne"] += 1


def coinbase_pro(plain: Plain, m: Message, _: str) -> None:
    data = json.loads(m.data)
    kind = data["type"]
    plain.counts[kind] += 1
    name = f"coinbase:{data.get('product_id')}"
    if kind == "snapshot":
        plain.snapshot(name, data["bids"], data["asks"])
    elif kind == "l2update":
        plain.counts["level_updates"] += len(data["changes"])
        plain.change(name, *([c[1:] for c in data["changes"] if c[0] == side] for side in ("buy", "sell")))
    elif kind in ("match", "last_match"):
        plain.trades[name].append((ns(data["time"]), "SELL" if data["side"] == "buy" else "BUY", Decimal(data["price"]),
                                   Decimal(data["size"]), kind == "last_match"))
    elif kind == "ticker":
        _compare(plain, name, data)


def cryptocom(plain: Plain, m: Message, _: str) -> None:
    if m.kind == "http":
        return
    data = json.loads(m.data, parse_float=Decimal, parse_int=Decimal)
    result = data.get("result")
    plain.counts[result["channel"] if result else data["method"]] += 1
    if not result:
        return
    name = f"cryptocom:{result['instrument_name']}"
    if result["channel"] == "book":
        book = result["data"][0]
        plain.snapshot(name, book["bids"], book["asks"])
        plain.counts["t_back"] += book["t"] < plain.last.get(name, 0)
        plain.counts["behind_the_latest"] += book["t"] < plain.last.get(f"latest {name}", 0)
        plain.last[name] = book["t"]
        plain.last[f"latest {name}"] = max(book["t"], plain.last.get(f"latest {name}", 0))
    elif result["channel"] == "trade":
        first = f"trades {name}" not in plain.last
        plain.last[f"trades {name}"] = True
        for t in sorted(result["data"], key=lambda t: (t["t"], t["d"])):
            plain.trades[name].append((int(t["t"]) * 10**6, t["s"], t["p"], t["q"], first))


def deribit(plain: Plain, m: Message, _: str) -> None:
    if m.kind == "http":
        return
    data = json.loads(m.data, parse_float=Decimal)
    channel = data["params"]["channel"].split(".")[0] if "params" in data else "other"
    plain.counts[channel] += 1
    if channel != "book":
        return
    book = data["params"]["data"]
    name = f"deribit:{book['instrument_name']}"
    sides = [[(p, q if what != "delete" else 0) for what, p, q in book[side]] for side in ("bids", "asks")]
    if book["type"] == "snapshot":
        plain.snapshot(name, *sides)
    else:
        plain.counts["level_updates"] += len(sides[0]) + len(sides[1])
        plain.chain(name, book["prev_change_id"] == plain.last[name])
        plain.change(name, *sides)
    plain.last[name] = book["change_id"]


def kraken(plain: Plain, m: Message, _: str) -> None:
    data = json.loads(m.data)
    if isinstance(data, dict):
        plain.counts[data["event"]] += 1
        return
    plain.counts["book"] += 1
    name = f"kraken:{data[-1]}"
    parts = data[1:-2]
    if "as" in parts[0]:
        plain.texts[name] = [{Decimal(x[0]): (x[0], x[1]) for x in parts[0][side]} for side in ("bs", "as")]
        plain.snapshot(name, parts[0]["bs"], parts[0]["as"])
        return
    sides: list[list[Any]] = [[], []]
    checksum = None
    for part in parts:
        sides[0] += part.get("b", [])
        sides[1] += part.get("a", [])
        checksum = part.get("c", checksum)
    plain.counts["level_updates"] += len(sides[0]) + len(sides[1])
    depth = int(data[-2].split("-")[1])
    for number, (texts, levels) in enumerate(zip(plain.texts[name], sides, strict=True)):
        for price, volume, *_rest in levels:
            texts[Decimal(price)] = (price, volume)
            if float(volume) == 0:
                del texts[Decimal(price)]
        if len(texts) > depth:
            for key in sorted(texts, reverse=number == 0)[depth:]:
                sides[number].append([texts.pop(key)[0], "0"])
    plain.change(name, *sides)
    if checksum is not None:
        bids, asks = plain.texts[name]
        best = [asks[key] for key in nsmallest(10, asks)] + [bids[key] for key in nlargest(10, bids)]
        text = "".join(part.replace(".", "").lstrip("0") for level in best for part in level)
        plain.counts["crc_ok" if crc32(text) == int(checksum) else "crc_bad"] += 1


def kraken_futures(plain: Plain, m: Message, _: str) -> None:
    if m.kind == "http":
        return
    data = json.loads(m.data, parse_float=Decimal)
    kind = data.get("event") or data["feed"]
    plain.counts[kind] += 1
    name = f"kraken-futures:{data.get('product_id')}"
    if kind == "book_snapshot":
        plain.snapshot(name, *([(x["price"], x["qty"]) for x in data[side]] for side in ("bids", "asks")))
        plain.last[name] = data["seq"]
    elif kind == "book":
        plain.counts["level_updates"] += 1
        plain.chain(name, data["seq"] == plain.last[name] + 1)
        plain.last[name] = data["seq"]
        level = [(data["price"], data["qty"])]
        plain.change(name, *((level, []) if data["side"] == "buy" else ([], level)))
    elif kind in ("trade", "trade_snapshot"):
        for t in sorted(data.get("trades", [data]), key=lambda t: (t["time"], t["seq"])):
            plain.trades[name].append((t["time"] * 10**6, t["side"].upper(), Decimal(t["price"]), Decimal(t["qty"]),
                                       kind == "trade_snapshot"))


def okx(plain: Plain, m: Message, _: str) -> None:
    if m.kind == "http":
        return
    data = json.loads(m.data)
    channel = data.get("event") or data["arg"]["channel"]
    plain.counts[channel] += 1
    name = f"okx:{data['arg']['instId']}"
    if channel == "trades":
        first = f"trades {name}" not in plain.last
        plain.last[f"trades {name}"] = True
        for t in data["data"]:
            plain.trades[name].append((int(t["ts"]) * 10**6, t["side"].upper(), Decimal(t["px"]), Decimal(t["sz"]),
                                       first))
    if channel != "books":
        return
    for book in data["data"]:
        if data["action"] == "snapshot":
            plain.texts[name] = [{}, {}]
            plain.snapshot(name, book["bids"], book["asks"])
        else:
            plain.counts["level_updates"] += len(book["bids"]) + len(book["asks"])
            plain.change(name, book["bids"], book["asks"])
        for texts, levels in zip(plain.texts[name], (book["bids"], book["asks"]), strict=True):
            for price, size, *_rest in levels:
                texts[Decimal(price)] = (price, size)
                if float(size) == 0:
                    del texts[Decimal(price)]
        bids, asks = ([side[key] for key in best(25, side)]
                      for side, best in zip(plain.texts[name], (nlargest, nsmallest), strict=True))
        pieces: list[str] = []
        for at in range(25):
            pieces += [f"{p}:{s}" for p, s in bids[at:at + 1] + asks[at:at + 1]]
        wanted = book["checksum"] % (1 << 32)
        plain.counts["crc_ok" if crc32(":".join(pieces)) == wanted else "crc_bad"] += 1


def read(path: Path, venue: Callable[[Plain, Message, str], None], market: str = "", every: int = 1) -> Plain:
    """A whole recording."""
    plain = Plain(every)
    for message in messages(path):
        plain.now = int(message.ts * 10**9)
        if message.kind == "recv":
            plain.counts["recv"] += 1
        venue(plain, message, market)
    return plain
