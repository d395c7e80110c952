"""A scripted schedule of orders, replayed instead of a strategy."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import msgspec

from apex._core.engine import Strategy
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument

LIMIT = 1 << 60
"""Ticks and lots, as on a tape."""
COLUMNS = ("ts", "id", "side", "price", "quantity", "tif", "cancel_ts")


class Scripted(msgspec.Struct, frozen=True):
    """One row of a schedule; `price_ticks` None is a market order, `cancel_ts` None is never."""

    ts: int
    id: int
    side: str
    price_ticks: int | None
    quantity_lots: int
    tif: str
    cancel_ts: int | None
    instrument: int


def _row(record: dict[str, str], where: str, instruments: list[Instrument]) -> Scripted:
    """One validated row; ValueError or ConfigError say what is wrong."""
    name = record.get("instrument") or ""
    index = 0
    if name:
        index = next((i for i, x in enumerate(instruments) if x.symbol == name), -1)
    if index < 0 or (not name and len(instruments) > 1):
        known = ", ".join(x.symbol for x in instruments)
        raise InputError(f"instrument {name!r} is not on the tapes", where, f"Use one of: {known}")
    instrument = instruments[index]
    if record["side"] not in ("buy", "sell"):
        raise InputError(f"side {record['side']!r} is neither buy nor sell", where, "Write buy or sell")
    tif = record["tif"]
    if tif not in ("GTC", "GTX", "IOC", "FOK") and not (tif == "" and record["price"] == ""):
        raise InputError(f"tif {tif!r} is unknown", where, "Write GTC, GTX, IOC or FOK; a market order has none")
    if (record["price"] == "") != (tif == ""):
        raise InputError("price and tif must both be given, or both be empty (market order)", where, "Complete the row")
    order_id, lots = int(record["id"]), instrument.lots(record["quantity"])
    ticks = instrument.ticks(record["price"]) if record["price"] else None
    if order_id <= 0 or lots <= 0 or (ticks is not None and ticks <= 0):
        raise InputError("id, quantity and price must be above 0", where, "Correct the row")
    times = int(record["ts"]), int(record["cancel_ts"]) if record.get("cancel_ts") else None
    if order_id >> 63 or lots > LIMIT or abs(ticks or 0) > LIMIT or any(abs(t or 0) >> 63 for t in times):
        raise InputError("a number too large for an order", where, "Correct the row")
    return Scripted(times[0], order_id, record["side"], ticks, lots, tif or "IOC", times[1], index)


def read_schedule(path: Path, instruments: list[Instrument]) -> list[Scripted]:
    """Read a schedule of orders.

    Raises
    ------
    InputError
        Naming file and line of a missing column, a bad value, a repeated id or a row out of order.
    """
    rows: list[Scripted] = []
    seen: set[int] = set()
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = [c for c in COLUMNS if c not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"columns missing: {', '.join(missing)}", str(path),
                                 f"The header must be {','.join(COLUMNS)}")
            for record in reader:
                where = f"{path}:{reader.line_num}"
                if None in record or None in record.values():
                    raise InputError("another number of columns than the header has", where, "Complete the row")
                try:
                    row = _row(record, where, instruments)
                except ConfigError as error:
                    raise InputError(error.what, where, error.do) from None
                except (ValueError, TypeError) as error:
                    raise InputError(str(error), where, "Correct the row") from None
                if row.id in seen:
                    raise InputError(f"id {row.id} appears twice", where, "Give every order an id of its own")
                if rows and row.ts < rows[-1].ts:
                    raise InputError(f"ts {row.ts} is before the row above", where, "Sort the rows by ts")
                seen.add(row.id)
                rows.append(row)
    except OSError as error:
        raise InputError(f"cannot read the schedule: {error.strerror or error}", str(path),
                         "Give a readable CSV file") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the schedule is no CSV: {error}", str(path), "Give a CSV file in UTF-8") from None
    return rows


class Schedule(Strategy):
    """Sends the rows of a schedule, each after every event stamped at or before its time."""

    waits_for_book = False
    outlasts_events = True

    def __init__(self, rows: list[Scripted]) -> None:
        super().__init__(None)
        self.rows = rows
        self.engine_ids: list[int] = [0] * len(rows)
        """Engine id of each row once it is sent, 0 before or when denied."""
        self.sequence: list[int] = [-1] * len(rows)
        """Place of each row among the engine's orders, -1 when never sent."""
        self._sent = 0
        due = [(r.ts, 0, i) for i, r in enumerate(rows)]
        due += [(r.cancel_ts, 1, i) for i, r in enumerate(rows) if r.cancel_ts is not None]
        self._due = sorted(due, reverse=True)

    def on_start(self, view: Any) -> None:
        if self._due:
            view.at(self._due[-1][0])

    def on_timer(self, view: Any) -> None:
        while self._due and self._due[-1][0] <= view.now:
            _, cancels, i = self._due.pop()
            row = self.rows[i]
            if cancels:
                if self.engine_ids[i]:
                    view.cancel(self.engine_ids[i])
                continue
            self.sequence[i] = self._sent
            self._sent += 1
            if row.price_ticks is None:
                sent = view.market(row.side, row.quantity_lots, row.instrument)
            else:
                sent = view.limit(row.side, row.price_ticks, row.quantity_lots, row.tif, row.instrument)
            self.engine_ids[i] = sent
        if self._due:
            view.at(self._due[-1][0])
