"""Small markets of canonical rows for the tests of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, pack
from apex.domain.instrument import Instrument
from apex.store.tape import TapeWriter

BTC = Instrument("BTCUSDT", "binance-usdm", "0.1", "0.001", base="BTC", quote="USDT")
ETH = Instrument("ETHUSDT", "binance-spot", "0.01", "0.0001", kind="spot", base="ETH", quote="USDT")
PAIR = [BTC, ETH]
BOTH = FLAGS["AT_VENUE"] | FLAGS["AT_LOCAL"]
LOCAL_ONLY = FLAGS["AT_LOCAL"] | FLAGS["NO_VENUE_TIME"]
START = 1_723_075_200_000_000_000


def message(kind: str, ts: int, rows: list[tuple[int, int, int, int]], *, sequence: int = 0, instrument: int = 0,
            flags: int = BOTH, delay: int = 1_000_000, last: bool = True) -> NDArray[Any]:
    """Rows of one message; each is (side, ticks, lots, aux). Venue time is `delay` before local time."""
    made = np.zeros(len(rows), EVENT_DTYPE)
    made["ts_local_ns"], made["sequence"], made["instrument"], made["kind"] = ts, sequence, instrument, KINDS[kind]
    made["ts_exchange_ns"] = 0 if flags & FLAGS["NO_VENUE_TIME"] else ts - delay
    made["flags"] = flags
    for name, column in zip(("side", "price_ticks", "quantity_lots", "aux"), zip(*rows, strict=True), strict=True):
        made[name] = column
    if last:
        made["flags"][-1] |= FLAGS["LAST_IN_BATCH"]
    return made


def market(seed: int, messages: int, instruments: int = 1) -> list[NDArray[Any]]:
    """A seeded stream of messages of every recorded kind, with gaps, ties and a venue order unlike the local one."""
    rng = np.random.default_rng(seed)
    made: list[NDArray[Any]] = []
    clock = START
    for x in range(instruments):
        made.append(message("SNAPSHOT_BEGIN", clock, [(0, 0, 0, 0)], sequence=7, instrument=x, last=False))
        levels = [(1, 1000 - i, 5 + i, 0) for i in range(5)] + [(2, 1001 + i, 5 + i, 0) for i in range(5)]
        made.append(message("BOOK_LEVEL", clock, levels, sequence=7, instrument=x, flags=BOTH | FLAGS["SNAPSHOT"]))
    for number in range(messages):
        clock += int(rng.integers(0, 3)) * 500_000
        x, delay = int(rng.integers(instruments)), int(rng.integers(-1_000_000, 5_000_000))
        common: dict[str, Any] = {"sequence": number, "instrument": x, "delay": delay}
        match int(rng.integers(8)):
            case 0:
                side, lots = int(rng.integers(1, 3)), int(rng.integers(1, 9))
                made.append(message("TRADE", clock, [(side, 1000, lots, 0)], **common))
            case 1:
                made.append(message("QUOTE", clock, [(1, 999, 3, 0), (2, 1002, 4, 0)],
                                    **common | {"flags": LOCAL_ONLY}))
            case 2:
                made.append(message("MARK", clock, [(0, 1000, 0, -12), (0, 1001, 0, START)], **common))
            case 3 if number % 5 == 0:
                made.append(message("LINK_GAP", clock, [(0, 0, 0, 0)], **common | {"flags": LOCAL_ONLY}))
                made.append(message("SNAPSHOT_BEGIN", clock, [(0, 0, 0, 0)], last=False, **common))
                made.append(message("BOOK_LEVEL", clock, [(1, 990, 4, 0), (2, 1010, 4, 0)],
                                    **common | {"flags": BOTH | FLAGS["SNAPSHOT"]}))
            case _:
                ticks = 1000 + rng.integers(-20, 20, int(rng.integers(1, 6)))
                made.append(message("BOOK_LEVEL", clock, [
                    (1 if t <= 1000 else 2, int(t), int(rng.integers(0, 4)), 0) for t in ticks], **common))
    return made


def joined(messages: list[NDArray[Any]]) -> NDArray[Any]:
    """All rows of messages in order."""
    return np.concatenate(messages) if messages else np.zeros(0, EVENT_DTYPE)


def write(path: Path, events: Any, **options: Any) -> TapeWriter:
    """Write rows in one piece; the closed writer."""
    writer = TapeWriter(path, PAIR, source="test", **options)
    with writer:
        writer.append(*pack(events))
    return writer
