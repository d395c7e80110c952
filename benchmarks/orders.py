"""Tapes of orders in the forms of the peers: hftbacktest's array, and plain rows."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.events import FLAGS, KINDS
from apex._core.l3 import L3Book
from apex.store.npz import (
    ADD_ORDER_EVENT,
    BUY_EVENT,
    CANCEL_ORDER_EVENT,
    DEPTH_CLEAR_EVENT,
    EXCH_EVENT,
    FILL_EVENT,
    LOCAL_EVENT,
    MODIFY_ORDER_EVENT,
    NPZ_DTYPE,
    SELL_EVENT,
    TRADE_EVENT,
)
from apex.store.tape import Tape

PLAIN_DTYPE = np.dtype([("action", "<i4"), ("side", "<i4"), ("id", "<u8"), ("ticks", "<i8"), ("lots", "<i8")])
"""What happens to an order: it has `lots` at `ticks` afterwards. Action 0 clears all."""
CLEAR, ADD, MODIFY, DELETE = 0, 1, 2, 3
SIDES = {0: 0, 1: BUY_EVENT, 2: SELL_EVENT}
_ADD, _MODIFY, _DELETE, _EXECUTE = (KINDS[f"ORDER_{name}"] for name in ("ADD", "MODIFY", "DELETE", "EXECUTE"))


def changes(tape: Path) -> Iterator[tuple[Any, int, int]]:
    """Events of a tape's first instrument with what an order event makes of its order: an action, and the lots then.

    An order event of an unknown order is left out; the action is -1 where nothing changes in the book.
    """
    book = L3Book()
    with Tape.open(tape) as opened:
        for e in opened.events():
            kind, id = int(e["kind"]), int(e["order_id"])
            known, lots = book.order(id), int(e["quantity_lots"])
            if kind == KINDS["SNAPSHOT_BEGIN"]:
                book.clear()
                yield e, CLEAR, 0
            elif kind == _ADD:
                book.add(id, int(e["side"]), int(e["price_ticks"]), lots)
                yield e, ADD, lots
            elif not _ADD <= kind <= _EXECUTE:
                yield e, -1, 0
            elif known is not None:
                if kind == _MODIFY:
                    book.modify(id, int(e["price_ticks"]), lots)
                elif not e["flags"] & FLAGS["KEEPS_BOOK"]:
                    book.delete(id, min(lots, known[2]))
                left = book.order(id)
                kept = kind == _EXECUTE and e["flags"] & FLAGS["KEEPS_BOOK"]
                yield e, -1 if kept else MODIFY if left else DELETE, left[2] if left else 0


def plain(tape: Path) -> NDArray[Any]:
    """Changes of orders one after the other."""
    found = [(action, int(e["side"]), int(e["order_id"]), int(e["price_ticks"]), lots)
             for e, action, lots in changes(tape) if action >= 0]
    return np.array(found, PLAIN_DTYPE)


def as_table(tape: Path) -> NDArray[Any]:
    """A tape of orders as hftbacktest has it: an execution is a fill and a change of what it leaves."""
    codes = {CLEAR: DEPTH_CLEAR_EVENT, ADD: ADD_ORDER_EVENT, MODIFY: MODIFY_ORDER_EVENT, DELETE: CANCEL_ORDER_EVENT}
    with Tape.open(tape) as opened:
        tick, lot = Decimal(opened.instruments[0].tick), Decimal(opened.instruments[0].lot)
    made: list[tuple[int, Any, int, int]] = []
    for e, action, lots in changes(tape):
        if e["kind"] == _EXECUTE:
            made.append((FILL_EVENT, e, int(e["quantity_lots"]), int(e["order_id"])))
        elif e["kind"] == KINDS["TRADE"]:
            made.append((TRADE_EVENT, e, int(e["quantity_lots"]), 0))
        if action >= 0:
            made.append((codes[action], e, lots, int(e["order_id"])))
    table = np.zeros(len(made), NPZ_DTYPE)
    for out, (code, e, lots, id) in zip(table, made, strict=True):
        out["ev"] = code | SIDES[int(e["side"])] | EXCH_EVENT | LOCAL_EVENT
        out["exch_ts"], out["local_ts"], out["order_id"] = e["ts_exchange_ns"], e["ts_local_ns"], id
        out["px"] = np.nan if code == DEPTH_CLEAR_EVENT else float(int(e["price_ticks"]) * tick)
        out["qty"] = float(lots * lot)
    return table
