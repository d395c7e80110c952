"""Seeded recordings in Binance's forms: streams with drops, repeats, late and stale snapshots, and wide prices."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, NamedTuple

START_NS = 1_723_161_255_000_000_000


class Market(NamedTuple):
    """How a market writes its symbol and its decimals."""

    name: str
    symbol: str
    tick: str
    lot: str
    price_places: int
    quantity_places: int
    base: int


MARKETS = {
    "spot": Market("spot", "BTCUSDT", "0.01", "0.00001", 8, 8, 6_180_000),
    "usdm": Market("usdm", "BTCUSDT", "0.1", "0.001", 2, 3, 618_000),
    "cm": Market("cm", "BTCUSD_PERP", "0.1", "1", 1, 0, 618_000),
    "wide": Market("spot", "BTCIDR", "0.01", "0.00001", 8, 8, 2**31 - 5),
}
"""`wide` has prices on both sides of 2^31 ticks."""


def decimal(count: int, step: str, places: int) -> str:
    """`count` steps with a fixed number of places, as the venue writes them."""
    own = len(step.partition(".")[2])
    digits = str(count).rjust(own + 1, "0")
    whole, part = (digits[:-own], digits[-own:]) if own else (digits, "")
    return whole + ("." + part.ljust(places, "0") if places else "")


class Stream:
    """One instrument's messages: each method gives the next frame of its kind, fields in the venue's order."""

    def __init__(self, market: str, seed: int) -> None:
        self.random = random.Random(f"{market}/{seed}")
        self.market = MARKETS[market]
        self.last = 1_000_000                # u of the last delta
        self.ids: list[int] = [self.last]    # u of all deltas so far
        self.sent_ms = START_NS // 1_000_000 + 40
        self.trade_id = 500

    def price(self, offset: int) -> str:
        return decimal(self.market.base + offset, self.market.tick, self.market.price_places)

    def quantity(self, most: int = 5000) -> str:
        return decimal(self.random.randint(1, most), self.market.lot, self.market.quantity_places)

    def nothing(self) -> str:
        return decimal(0, self.market.tick, self.market.price_places)

    def ladder(self, side: int, most: int) -> list[list[str]]:
        """Levels of one side; now and then one beyond the other side's best, and one of no quantity."""
        found = []
        for _ in range(self.random.randint(0, most)):
            away = self.random.randint(-1, 12)
            gone = self.random.random() < 0.3
            found.append([self.price(-side * away if side > 0 else 1 + away),
                          decimal(0, self.market.lot, self.market.quantity_places) if gone else self.quantity()])
        return found

    def named(self) -> dict[str, Any]:
        cm = self.market.name == "cm"
        return {"s": self.market.symbol, **({"ps": self.market.symbol.partition("_")[0]} if cm else {})}

    def times(self) -> dict[str, Any]:
        self.sent_ms += self.random.randint(0, 30)
        sent: dict[str, Any] = {"E": self.sent_ms}
        return sent if self.market.name == "spot" else {**sent, "T": self.sent_ms - self.random.randint(0, 3)}

    def stream(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        return {"stream": f"{self.market.symbol.lower()}@{name}", "data": body}

    def depth(self, most: int = 6) -> dict[str, Any]:
        """The delta that follows the last one."""
        spot = self.market.name == "spot"
        before = self.last
        first = before + 1 if spot else before + self.random.randint(1, 40)
        self.last = first + self.random.randint(0, 20)
        self.ids.append(self.last)
        chain = {"U": first, "u": self.last, **({} if spot else {"pu": before})}
        body = {"e": "depthUpdate", **self.times(), **self.named(), **chain, "b": self.ladder(1, most),
                "a": self.ladder(-1, most)}
        return self.stream("depth@100ms" if spot else "depth@0ms", body)

    def snapshot(self, last: int, levels: int = 8) -> dict[str, Any]:
        """A REST answer with a given lastUpdateId; one side may be empty, not both."""
        bids = [[self.price(-i), self.quantity()] for i in range(self.random.randint(0, levels))]
        asks = [[self.price(1 + i), self.quantity()] for i in range(self.random.randint(0 if bids else 1, levels))]
        if self.market.name == "spot":
            return {"lastUpdateId": last, "bids": bids, "asks": asks}
        named = {"symbol": self.market.symbol, "pair": "BTCUSD"} if self.market.name == "cm" else {}
        return {"lastUpdateId": last, **self.times(), **named, "bids": bids, "asks": asks}

    def ticker(self) -> dict[str, Any]:
        quote = {"b": self.price(0), "B": self.quantity(), "a": self.price(1), "A": self.quantity()}
        number = self.last + self.random.randint(-5, 5)
        if self.market.name == "spot":
            return self.stream("bookTicker", {"u": number, **self.named(), **quote})
        times = self.times()
        start = {"e": "bookTicker", "u": number} if self.market.name == "usdm" else {"u": number, "e": "bookTicker"}
        return self.stream("bookTicker", {**start, **self.named(), **quote, "T": times["T"], "E": times["E"]})

    def trade(self) -> dict[str, Any]:
        self.trade_id += 1
        body = {"e": "trade", **self.times(), "s": self.market.symbol, "t": self.trade_id,
                "p": self.price(self.random.randint(-3, 3)), "q": self.quantity()}
        maker = self.random.random() < 0.5
        if self.market.name == "spot":
            orders = {"b": 7, "a": 8} if self.random.random() < 0.3 else {}
            return self.stream("trade", {**body, **orders, "T": body["E"] - 1, "m": maker, "M": True})
        kind = self.random.choice(["MARKET", "MARKET", "MARKET", "INSURANCE_FUND", "ADL", "NA"])
        if kind == "NA":
            body.update(p=self.nothing(), q=decimal(0, self.market.lot, self.market.quantity_places))
        return self.stream("trade", {**body, "X": kind, "m": maker})

    def mark(self) -> dict[str, Any]:
        near = f"{self.market.base / 10 + self.random.random():.8f}"
        rate = f"{self.random.uniform(-0.001, 0.001):.8f}"
        return self.stream("markPrice@1s", {
            "e": "markPriceUpdate", "E": self.sent_ms, "s": self.market.symbol, "p": near, "P": near,
            "i": f"{self.market.base / 10 + self.random.random():.8f}", "r": rate, "T": self.sent_ms + 10_000})


def frames(market: str, seed: int, count: int = 150) -> list[dict[str, Any]]:
    """A stream with everything that can go wrong between a venue and a recorder."""
    made = Stream(market, seed)
    rng = made.random
    out: list[dict[str, Any]] = [made.depth() for _ in range(rng.randint(0, 5))]
    later: list[tuple[int, dict[str, Any]]] = []
    told: list[dict[str, Any]] = []
    for number in range(count):
        out += [frame for due, frame in later if due == number]
        kind = rng.random()
        if kind < 0.50:
            frame = made.depth()
            fate = rng.random()
            if fate < 0.06:
                continue                                        # lost on the way
            out.append(frame)
            if fate > 0.97:
                out.append(frame)                               # told twice
            told.append(frame)
            if fate < 0.09:
                out.append(rng.choice(told[-4:]))               # told again, late
        elif kind < 0.60:
            about = rng.choice(made.ids[-6:]) + rng.randint(-3, 3)
            out.append(made.snapshot(about))
        elif kind < 0.66:
            ahead = made.snapshot(made.last + rng.randint(1, 60))
            later.append((number + rng.randint(0, 3), ahead))   # asked for now, of a time that is still to come
        elif kind < 0.82:
            out.append(made.ticker())
        elif kind < 0.94 or made.market.name == "spot":
            out.append(made.trade())
        else:
            out.append(made.mark())
    return out


def text(frame: dict[str, Any]) -> bytes:
    """A frame as the venue writes it: no spaces."""
    return json.dumps(frame, separators=(",", ":")).encode()


def lines(found: list[dict[str, Any]], seed: int = 0, unit: str = "ns") -> list[bytes]:
    """Frames with local times that never go back, in ns or us."""
    rng, now, out = random.Random(seed), START_NS, []
    for frame in found:
        now += rng.choice([0, 0, 1_000, 40_000, 3_000_000])
        out.append(b"%d %s" % (now if unit == "ns" else now // 1000, text(frame)))
    return out


def shuffled(line: bytes, rng: random.Random) -> bytes:
    """The same message with its keys in another order, and spaces."""
    def turn(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        keys = list(value)
        rng.shuffle(keys)
        return {key: turn(value[key]) for key in keys}

    stamp, _, frame = line.partition(b" ")
    return stamp + b" " + json.dumps(turn(json.loads(frame))).encode()


def write(path: Path, found: list[bytes]) -> Path:
    """Lines to a plain file."""
    path.write_bytes(b"".join(line + b"\n" for line in found))
    return path
