"""Orders of our own as they went: what was sent, and what the venue made of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex.app.schedule import COLUMNS, Scripted, read_schedule
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument
from apex.research.calibration import Outcomes

TIMES = ("ts_ack", "ts_venue", "ts_filled")
Ints = NDArray[np.int64]


class OwnOrders(NamedTuple):
    """A log of own orders.

    Attributes
    ----------
    rows : list of Scripted
        What was sent, by time.
    outcomes : Outcomes
        Lots filled, and when we learnt of the last fill; 0: not told.
    acked, arrived : int64 arrays
        When we had the venue's answer, and when it took the order by its own clock; 0: not told.
    """

    rows: list[Scripted]
    outcomes: Outcomes
    acked: Ints
    arrived: Ints

    @property
    def sent(self) -> Ints:
        """When each was sent."""
        return np.array([row.ts for row in self.rows], np.int64)

    @property
    def lots(self) -> Ints:
        """How much was ordered."""
        return np.array([row.quantity_lots for row in self.rows], np.int64)


def read_own(path: Path, instruments: list[Instrument]) -> OwnOrders:
    """Read a log: a schedule's columns, `filled`, and what is known of `ts_ack`, `ts_venue`, `ts_filled`.

    Raises
    ------
    InputError
        Naming file and line, as for a schedule; also for a fill beyond the quantity.
    """
    rows = read_schedule(path, instruments)
    if not rows:
        raise InputError("no orders", str(path), f"Give rows of {','.join(COLUMNS)},filled")
    filled, times = [], []
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        if "filled" not in (reader.fieldnames or ()):
            raise InputError("no column filled", str(path), f"The header must be {','.join(COLUMNS)},filled")
        for record, row in zip(reader, rows, strict=True):
            where = f"{path}:{reader.line_num}"
            try:
                lots = instruments[row.instrument].lots(record["filled"] or "0")
                times.append([_time(record.get(name)) for name in TIMES])
            except ConfigError as error:
                raise InputError(error.what, where, error.do) from None
            except ValueError as error:
                raise InputError(str(error), where, "Give times in ns, or leave them empty") from None
            if not 0 <= lots <= row.quantity_lots:
                raise InputError(f"{record['filled']} filled of {record['quantity']}", where, "Correct the row")
            if 0 < times[-1][0] < row.ts:
                raise InputError("the answer came before the order was sent", where, "Correct the row")
            filled.append(lots)
    acked, arrived, last = np.array(times, np.int64).T
    return OwnOrders(rows, Outcomes(np.array(filled, np.int64), last), acked, arrived)


def _time(text: str | None) -> int:
    value = int(text) if text else 0
    if not 0 <= value < 1 << 63:
        raise ValueError(f"{text} is no time")
    return value


def write_own(result: Any, path: Path) -> None:
    """The log of a replay of a schedule, as if its venue had been the real one."""
    rows, sequence = result.schedule.rows, result.schedule.sequence
    last = {int(fill["id"]): int(fill["ts_local_ns"]) for fill in result.fill_rows}
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([*COLUMNS, "instrument", "filled", *TIMES])
        for row, place in zip(rows, sequence, strict=True):
            x = result.instruments[row.instrument]
            order = result.order_rows[place] if place >= 0 else None
            told = ["0", "", "", ""] if order is None else [
                x.quantity(int(order["filled_lots"])), int(order["ts_ack_ns"]) or "", "",
                last.get(int(order["id"]), "")]
            writer.writerow([row.ts, row.id, row.side, "" if row.price_ticks is None else x.price(row.price_ticks),
                             x.quantity(row.quantity_lots), "" if row.price_ticks is None else row.tif,
                             "" if row.cancel_ts is None else row.cancel_ts, x.symbol, *told])
