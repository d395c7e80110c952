"""Market trades of a tape over time: volume and its profile, and the volume-weighted price."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, SIDES, unpack
from apex.store.tape import Tape

CHUNK = 1 << 15
_EXECUTE = KINDS["ORDER_EXECUTE"]
_NO_TRADE = FLAGS["KEEPS_BOOK"] | FLAGS["NOT_MARKET"]


def trades(tape: Tape, instrument: int, start: int | None = None, stop: int | None = None) -> NDArray[Any]:
    """Rows of the market trades of an instrument with start <= local time < stop, in order.

    Liquidations, insurance-fund trades and the like, which met no order of the book, are left out. On a tape of single
    orders their executions are the trades.

    Parameters
    ----------
    tape : Tape
    instrument : int
        Index in the tape's table.
    start, stop : int, optional
        Recorded local times, UTC ns.

    Returns
    -------
    EVENT_DTYPE array
        `side` is the aggressor's.

    Complexity: one pass over the batches; only those of trades are unpacked.
    """
    parts = [np.zeros(0, EVENT_DTYPE)]
    for at in range(0, len(tape.batches), CHUNK):
        chunk = tape.batches[at : at + CHUNK]
        ts = chunk["ts_local_ns"]
        wanted = (
            (((chunk["kind"] == KINDS["TRADE"]) & ((chunk["flags"] & FLAGS["NOT_MARKET"]) == 0))
             | ((chunk["kind"] == _EXECUTE) & ((chunk["flags"] & _NO_TRADE) == 0)))
            & (chunk["instrument"] == instrument) & ((chunk["flags"] & FLAGS["AT_LOCAL"]) != 0)
        )  # fmt: skip
        if start is not None:
            wanted &= ts >= start
        if stop is not None:
            wanted &= ts < stop
        if wanted.any():
            rows = unpack(np.ascontiguousarray(chunk[wanted]), tape.levels, tape.rows)
            met = (rows["kind"] == _EXECUTE) & (rows["side"] != 0)  # the order's side: the aggressor's is the other
            rows["side"][met] = SIDES["BUY"] + SIDES["SELL"] - rows["side"][met]
            parts.append(rows)
        tape.release(at)
    return np.concatenate(parts)


def traded(tape: Tape, instrument: int, start: int | None = None, stop: int | None = None) -> tuple[int, int]:
    """Lots that the market traded in start <= local time < stop, and the sum of ticks times lots."""
    rows = trades(tape, instrument, start, stop)
    lots, ticks = rows["quantity_lots"].tolist(), rows["price_ticks"].tolist()
    return sum(lots), sum(t * q for t, q in zip(ticks, lots, strict=True))


def profile(tape: Tape, instrument: int, start: int, stop: int, parts: int) -> list[int]:
    """Lots traded in each of `parts` equal parts of start <= local time < stop."""
    rows = trades(tape, instrument, start, stop)
    place = (rows["ts_local_ns"] - start) * parts // (stop - start)
    found: list[int] = np.bincount(place, rows["quantity_lots"], parts).astype(np.int64).tolist()
    return found
