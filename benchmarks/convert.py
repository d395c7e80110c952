"""A recording of Binance futures as hftbacktest 2.4.4's converter makes it, so that its rows need no peer.

The rules are those of `hftbacktest.data.utils.binancefutures.convert`: deltas from before the snapshot are kept, trades
of other kinds than MARKET are not, book tickers are left out, local times move until no feed latency is negative, and a
row whose places in the orders of venue and of local time differ becomes two. The import benchmark compares the rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

EVENT_DTYPE = np.dtype([("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"),
                        ("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")])
DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
AT_EXCHANGE, AT_LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
MS = 1_000_000
Row = tuple[int, int, int, float, float, int, int, float]


def convert(text: Path) -> NDArray[Any]:
    """Rows of plain lines `<local ns> <frame>`."""
    found: list[Row] = []
    for line in text.read_bytes().splitlines():
        local, _, frame = line.partition(b" ")
        found += _message(int(local), msgspec.json.decode(frame))
    rows = np.array(found, EVENT_DTYPE)
    latency = int((rows["local_ts"] - rows["exch_ts"]).min())
    rows["local_ts"] += max(0, -latency)
    return _ordered(rows)


def _message(local: int, message: dict[str, Any]) -> list[Row]:
    data = message.get("data")
    if data is None:
        at, sides = message["T"] * MS, ((BUY, message["bids"]), (SELL, message["asks"]))
        rows: list[Row] = []
        for side, levels in sides:
            if levels:
                rows.append((CLEAR | side, at, local, float(levels[-1][0]), 0.0, 0, 0, 0.0))
            rows += _levels(SNAPSHOT | side, at, local, levels)
        return rows
    if data["e"] == "depthUpdate":
        at = data["T"] * MS
        return _levels(DEPTH | BUY, at, local, data["b"]) + _levels(DEPTH | SELL, at, local, data["a"])
    if data["e"] == "trade" and data["X"] == "MARKET":
        side = SELL if data["m"] else BUY
        return [(TRADE | side, data["T"] * MS, local, float(data["p"]), float(data["q"]), 0, 0, 0.0)]
    return []


def _levels(event: int, at: int, local: int, levels: list[list[str]]) -> list[Row]:
    return [(event, at, local, float(price), float(quantity), 0, 0, 0.0) for price, quantity in levels]


def _ordered(rows: NDArray[Any]) -> NDArray[Any]:
    """Both orders merged: rows that come next in both are one, others are split."""
    count = len(rows)
    by_venue, by_local = (np.argsort(rows[name], kind="stable") for name in ("exch_ts", "local_ts"))
    venue = list(zip(rows["exch_ts"][by_venue].tolist(), rows["local_ts"][by_venue].tolist(), strict=True))
    local = list(zip(rows["exch_ts"][by_local].tolist(), rows["local_ts"][by_local].tolist(), strict=True))
    chosen, flags, i, j = [], [], 0, 0
    while i < count or j < count:
        if i < count and j < count and venue[i] == local[j]:
            chosen.append(by_venue[i])
            flags.append(AT_EXCHANGE | AT_LOCAL)
            i, j = i + 1, j + 1
        elif i < count and (j == count or venue[i] < local[j]):
            chosen.append(by_venue[i])
            flags.append(AT_EXCHANGE)
            i += 1
        else:
            chosen.append(by_local[j])
            flags.append(AT_LOCAL)
            j += 1
    made: NDArray[Any] = rows[np.array(chosen)]
    made["ev"] |= np.array(flags, np.uint64)
    return made
