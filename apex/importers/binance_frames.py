"""The slow path of Binance frames: any JSON in, the same message in the field order that the compiled decoder reads.

The decoder stays the only reader of numbers; here fields are only put in their places.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from apex.domain.decimals import scaled
from apex.domain.errors import ConfigError
from apex.importers.common import FrameProblem

EVENTS = {"depthUpdate", "trade", "bookTicker", "markPriceUpdate"}
_PARTIAL = re.compile(r"@depth\d+(@|$)")
_USDM = 1


class Identity(NamedTuple):
    """What a recording is of: symbol, market (spot, usdm, cm) and, for cm, the pair."""

    symbol: str
    market: str
    pair: str


def parse(frame: bytes) -> dict[str, Any]:
    """The JSON object of a frame.

    Raises
    ------
    FrameProblem
        If it is no JSON object.
    """
    try:
        found = msgspec.json.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FrameProblem(f"not JSON: {error}", "The line is damaged: record again, or remove it", "json") from None
    if not isinstance(found, dict):
        raise FrameProblem("a frame that is no JSON object", "Remove the line", "json")
    return found


def content(found: dict[str, Any]) -> dict[str, Any]:
    """The message within the combined-stream envelope, or the message itself."""
    inner = found.get("data")
    return inner if isinstance(inner, dict) else found


def event_of(message: dict[str, Any]) -> str:
    """The event's name; "snapshot" for a REST depth snapshot; "" for what no tape holds."""
    if "lastUpdateId" in message and "bids" in message:
        return "snapshot"
    name = message.get("e")
    if isinstance(name, str) and name in EVENTS:
        return name
    if name is None and {"u", "s", "b", "B", "a", "A"} <= message.keys():
        return "bookTicker"                          # spot has no event name
    return ""


def identity(found: dict[str, Any]) -> Identity | None:
    """Symbol and market, where a message shows both; None where it does not."""
    message = content(found)
    event, symbol = event_of(message), message.get("s")
    if not isinstance(symbol, str) or not symbol:
        return None
    pair = message.get("ps")
    if isinstance(pair, str) and message.get("st") != _USDM:   # on endpoints of both, st tells them apart
        return Identity(symbol, "cm", pair)
    if "_PERP" in symbol or (event == "trade" and "_" in symbol and symbol.split("_")[0].endswith("USD")):
        return Identity(symbol, "cm", symbol.split("_")[0])
    if event == "bookTicker":
        return Identity(symbol, "usdm" if "T" in message else "spot", "")
    if event == "trade":
        return Identity(symbol, "spot" if "M" in message else "usdm", "")
    if event == "depthUpdate":
        return Identity(symbol, "usdm" if "pu" in message else "spot", "")
    return Identity(symbol, "usdm", "") if event == "markPriceUpdate" else None


def _integer(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise FrameProblem(f"field {name!r} is {value!r}, not a count", "The line is damaged")
    return str(value)


def _text(message: dict[str, Any], name: str) -> str:
    value = message.get(name)
    if not isinstance(value, str):
        raise FrameProblem(f"field {name!r} is {value!r}, not a decimal in quotes", "The line is damaged")
    return json.dumps(value)


def _boolean(message: dict[str, Any], name: str, default: bool | None = None) -> str:
    value = message.get(name, default)
    if not isinstance(value, bool):
        raise FrameProblem(f"field {name!r} is {value!r}, not true or false", "The line is damaged")
    return "true" if value else "false"


def _ladder(message: dict[str, Any], name: str) -> str:
    levels = message.get(name)
    if not isinstance(levels, list):
        raise FrameProblem(f"field {name!r} is no list of levels", "The line is damaged")
    for level in levels:
        if not isinstance(level, list) or len(level) < 2 or not all(isinstance(x, str) for x in level[:2]):
            raise FrameProblem(f"a level {level!r} of {name!r} is no [price, quantity] in quotes",
                               "The line is damaged")
    return "[" + ",".join(f"[{json.dumps(level[0])},{json.dumps(level[1])}]" for level in levels) + "]"


def _stream(who: Identity, stream: str, fields: str) -> str:
    return f'{{"stream":"{who.symbol.lower()}@{stream}","data":{{{fields}}}}}'


def _named(who: Identity) -> str:
    return f'"s":"{who.symbol}"' + (f',"ps":"{who.pair}"' if who.market == "cm" else "")


def _times(who: Identity, m: dict[str, Any]) -> str:
    sent = f'"E":{_integer(m, "E")}'
    return sent if who.market == "spot" else f'{sent},"T":{_integer(m, "T" if "T" in m else "E")}'


def _depth(who: Identity, m: dict[str, Any]) -> str:
    before = "" if who.market == "spot" else f'"pu":{_integer(m, "pu")},'
    return _stream(who, "depth", f'"e":"depthUpdate",{_times(who, m)},{_named(who)},"U":{_integer(m, "U")},'
                                 f'"u":{_integer(m, "u")},{before}"b":{_ladder(m, "b")},"a":{_ladder(m, "a")}')


def _ticker(who: Identity, m: dict[str, Any]) -> str:
    prices = f'"b":{_text(m, "b")},"B":{_text(m, "B")},"a":{_text(m, "a")},"A":{_text(m, "A")}'
    number = f'"u":{_integer(m, "u")}'
    if who.market == "spot":
        return _stream(who, "bookTicker", f"{number},{_named(who)},{prices}")
    times = f'"T":{_integer(m, "T")},"E":{_integer(m, "E" if "E" in m else "T")}'
    start = f'"e":"bookTicker",{number}' if who.market == "usdm" else f'{number},"e":"bookTicker"'
    return _stream(who, "bookTicker", f"{start},{_named(who)},{prices},{times}")


def _trade(who: Identity, m: dict[str, Any]) -> str:
    start = (f'"e":"trade",{_times(who, m)},"s":"{who.symbol}","t":{_integer(m, "t")},'
             f'"p":{_text(m, "p")},"q":{_text(m, "q")}')
    maker = f'"m":{_boolean(m, "m")}'
    if who.market == "spot":
        time = _integer(m, "T" if "T" in m else "E")
        return _stream(who, "trade", f'{start},"T":{time},{maker},"M":{_boolean(m, "M", True)}')
    kind = json.dumps(str(m.get("X", "MARKET")))
    return _stream(who, "trade", f'{start},"X":{kind},{maker}')


def _mark(who: Identity, m: dict[str, Any]) -> str:
    rate = json.dumps("0.0") if m.get("r") == "" else _text(m, "r")     # a dated contract has no funding
    index = _text(m, "i" if "i" in m else "p")
    settle = _text(m, "P" if "P" in m else "p")
    return _stream(who, "markPrice", f'"e":"markPriceUpdate","E":{_integer(m, "E")},"s":"{who.symbol}",'
                                     f'"p":{_text(m, "p")},"P":{settle},"i":{index},"r":{rate},'
                                     f'"T":{_integer(m, "T")}')


def _snapshot(who: Identity, m: dict[str, Any]) -> str:
    times = f'"E":{_integer(m, "E")},"T":{_integer(m, "T" if "T" in m else "E")},' if "E" in m else ""
    named = f'"symbol":"{who.symbol}","pair":"{who.pair}",' if who.market == "cm" else ""
    return (f'{{"lastUpdateId":{_integer(m, "lastUpdateId")},{times}{named}'
            f'"bids":{_ladder(m, "bids")},"asks":{_ladder(m, "asks")}}}')


_WRITERS: dict[str, Callable[[Identity, dict[str, Any]], str]] = {
    "depthUpdate": _depth, "bookTicker": _ticker, "trade": _trade, "markPriceUpdate": _mark, "snapshot": _snapshot,
}


def ordered(frame: bytes, who: Identity) -> bytes | None:
    """The frame in the decoder's field order; None for a stream that no tape holds (aggTrade, kline, replies, depth20).

    The streams of the best 5, 10 or 20 levels look like snapshots and updates, but say nothing of the other levels.

    Raises
    ------
    FrameProblem
        Damaged, of another symbol, or of another market.
    """
    found = parse(frame)
    message = content(found)
    event = "" if _PARTIAL.search(str(found.get("stream", ""))) else event_of(message)
    symbol = message.get("symbol") if event == "snapshot" else message.get("s")
    if isinstance(symbol, str) and symbol != who.symbol:
        raise FrameProblem(f"a message of {symbol} in a recording of {who.symbol}",
                           "Import each symbol to a tape of its own", "symbol")
    if not event:
        return None
    shown = identity(message)
    unsure = event == "trade" or (event == "markPriceUpdate" and who.market != "spot")
    if shown is not None and shown.market != who.market and not unsure:
        raise FrameProblem(f"a message of market {shown.market} in a recording of market {who.market}",
                           "Import each market to a tape of its own, or correct --market", "market")
    return _WRITERS[event](who, message).encode()


def numbers(frame: bytes, who: Identity) -> tuple[list[str], list[str]]:
    """Prices and quantities of a frame as written, mark prices apart; empty where `ordered` refuses.

    For the search of the grid only: what cannot be read is found again, with its line, by the import.
    """
    try:
        text = ordered(frame, who)
    except FrameProblem:
        return [], []
    if text is None:
        return [], []
    message = content(parse(text))
    event = event_of(message)
    if event == "markPriceUpdate":
        return [], []
    if event == "trade":
        found = [[message["p"], message["q"]]]
    elif event == "bookTicker":
        found = [[message["b"], message["B"]], [message["a"], message["A"]]]
    else:
        long = "bids" in message
        found = message["bids" if long else "b"] + message["asks" if long else "a"]
    found = [pair for pair in found if all(_is_decimal(x) for x in pair)]
    return [pair[0] for pair in found], [pair[1] for pair in found]


def _is_decimal(text: str) -> bool:
    try:
        scaled(text)
    except ConfigError:
        return False
    return True
