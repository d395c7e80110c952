"""Raw JSON bytes of a recording to events to a book: every message, book tickers alone, depth messages alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from apex._core.codecs.binance import BinanceCodec
from benchmarks import inputs
from benchmarks.harness.build import build
from benchmarks.model import Benchmark, Side
from benchmarks.timing import Clock
from benchmarks.workers import OURS, PEERS

PRICE_STEP, LOT_STEP = (1, 1), (1, 3)
"""Tick 0.1 and lot 0.001: step and decimal places."""
PLANNED = {
    "decode_mix": Benchmark("decode_mix", "ns", "message", 200.0, (), rounds=(9, 5)),
    "decode_ticker": Benchmark("decode_ticker", "ns", "message", 60.0, (), rounds=(9, 5)),
    "decode_depth": Benchmark("decode_depth", "ns", "message", 1800.0, (), rounds=(9, 5)),
}


def benchmarks(name: str, short: bool) -> list[Benchmark]:
    """decode_mix, decode_ticker, decode_depth. Raises Missing."""
    build()
    text, ends = inputs.frames(name.removeprefix("decode_"))
    args = {"text": str(text), "ends": str(ends)}
    sides = (
        Side("", OURS, __name__, "Ours", args, samples=True),
        Side("msgspec", "plain", f"{PEERS}.plain_rounds", "Msgspec", args),
        Side("orjson", "plain", f"{PEERS}.plain_rounds", "Orjson", args),
    )
    return [replace(PLANNED[name], sides=sides)]


class Ours:
    """Frames through the codec's decoder and its events into the book, as a live link does it."""

    def __init__(self, text: str, ends: str) -> None:
        from benchmarks.harness.frames import Frames

        with open(text, "rb") as stream:
            self.text = stream.read()
        self.ends = np.load(ends)
        self.make = Frames
        self.codec = BinanceCodec("BTCUSDT", "usdm", "", PRICE_STEP, LOT_STEP)

    def round(self) -> dict[str, Any]:
        frames = self.make(self.codec, self.text, self.ends)
        with Clock() as clock:
            frames.run()
        if frames.fallbacks:
            raise AssertionError(f"{frames.fallbacks} frames are not known to the fast decoder")
        bid, ask, bids, asks = frames.touch()
        book = {"bid_ticks": bid, "ask_ticks": ask, "bid_levels": bids, "ask_levels": asks} if frames.synced else {}
        return clock.result(len(self.ends), {"messages": len(self.ends), "levels": frames.levels, **book})

    def samples(self) -> list[float]:
        """Nanoseconds of each message, a reading of the clock included."""
        times = np.zeros(len(self.ends), np.int64)
        self.make(self.codec, self.text, self.ends).times(times)
        return [float(value) for value in times]
