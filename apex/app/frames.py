"""Tables of a replay for people: DataFrames from the engine's integer rows."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from apex._core.engine import STATES
from apex._core.risk import REASONS
from apex._core.simvenue import VENUE_REASONS
from apex.domain.decimals import of_units, scaled

if TYPE_CHECKING:
    from pathlib import Path

    from apex.app.replay import ReplayResult
    from apex.app.schedule import Schedule

ALLOWED = 1
SIDES = np.array(["", "buy", "sell"], dtype=object)
TYPES = np.array(["limit", "market"], dtype=object)
TIFS = np.array(["GTC", "GTX", "IOC", "FOK"], dtype=object)


def _step(text: str) -> float:
    mantissa, places = scaled(text)
    return float(mantissa / 10**places)


def _scales(result: ReplayResult, instrument: Any) -> tuple[Any, Any, Any]:
    ticks = np.array([_step(i.tick) for i in result.instruments])
    lots = np.array([_step(i.lot) for i in result.instruments])
    names = np.array([i.symbol for i in result.instruments], dtype=object)
    return ticks[instrument], lots[instrument], names[instrument]


def _ids(result: ReplayResult, ids: Any) -> Any:
    if not result.file_ids:
        return ids.astype(np.int64)
    return np.array([result.file_ids[int(i)] for i in ids], dtype=np.int64)


def orders(result: ReplayResult) -> pd.DataFrame:
    """One row an order intent; see `apex.replay`."""
    rows = result.order_rows
    tick, lot, names = _scales(result, rows["instrument"])
    filled = rows["filled_lots"] > 0
    average = np.where(filled, rows["cost"] / np.maximum(rows["filled_lots"], 1), np.nan) * tick
    status, reasons = [], []
    for row in rows:
        name = STATES[int(row["state"])]
        if name in ("canceled", "expired", "open") and row["filled_lots"]:
            name = "partial"
        status.append(name)
        denied = row["deny_reason"] != ALLOWED
        reasons.append(REASONS[int(row["deny_reason"])] if denied else VENUE_REASONS[int(row["venue_reason"])])
    return pd.DataFrame({
        "ts_local": rows["ts_sent_ns"], "ts_venue": rows["ts_venue_ns"], "id": _ids(result, rows["id"]),
        "instrument": names, "side": SIDES[rows["side"]], "type": TYPES[rows["type"]], "tif": TIFS[rows["tif"]],
        "price_ticks": rows["price_ticks"], "price": rows["price_ticks"] * tick,
        "quantity": rows["quantity_lots"] * lot, "filled": rows["filled_lots"] * lot, "avg_price": average,
        "status": pd.Series(status, dtype=object), "reason": pd.Series(reasons, dtype=object),
        "fee": rows["fee"] / 1e8, "ts_ack": rows["ts_ack_ns"], "ts_done": rows["ts_done_ns"],
    })


def fills(result: ReplayResult) -> pd.DataFrame:
    """One row a fill; see `apex.replay`."""
    rows = result.fill_rows
    tick, lot, names = _scales(result, rows["instrument"])
    return pd.DataFrame({
        "ts_venue": rows["ts_venue_ns"], "ts_local": rows["ts_local_ns"], "id": _ids(result, rows["id"]),
        "instrument": names, "side": SIDES[rows["side"]], "price_ticks": rows["price_ticks"],
        "quantity": rows["quantity_lots"] * lot, "maker": rows["maker"].astype(bool), "fee": rows["fee"] / 1e8,
        "price": rows["price_ticks"] * tick, "mid": np.where(rows["has_mid"], rows["mid2"] / 2, np.nan) * tick,
        "optimistic": rows["optimistic"].astype(bool),
    })


def equity(result: ReplayResult) -> pd.DataFrame:
    """P&L on the grid of one second; see `apex.replay`."""
    rows = result.equity_rows
    net = rows["net"] / 1e8
    peak = np.maximum.accumulate(np.concatenate(([0.0], net)))[1:] if len(net) else net
    table = {
        "ts": rows["ts_ns"], "net_pnl": net, "gross_pnl": rows["gross"] / 1e8, "fees": rows["fees"] / 1e8,
        "spread_captured": rows["spread"] / 1e8, "inventory_pnl": (rows["gross"] - rows["spread"]) / 1e8,
        "drawdown": peak - net, "gross_exposure": rows["exposure"] / 1e8,
    }
    for i, instrument in enumerate(result.instruments):
        marks = result.mark_rows[:, i]
        table[f"position:{instrument.symbol}"] = marks["lots"] * _step(instrument.lot)
        mids = np.where(marks["mid2"] != 0, marks["mid2"] / 2, np.nan)
        table[f"mid:{instrument.symbol}"] = mids * _step(instrument.tick)
    return pd.DataFrame(table)


def write_orders_csv(result: ReplayResult, schedule: Schedule, path: Path, *, strict: bool) -> None:
    """One row per row of the schedule, in its order: id, status, ts, price_ticks, quantity (strict: avg_price)."""
    header = ["id", "status", "ts", "price_ticks", "quantity"] + (["avg_price"] if strict else [])
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(header)
        for row, place in zip(schedule.rows, schedule.sequence, strict=True):
            instrument = result.instruments[row.instrument]
            if place < 0:
                writer.writerow([row.id, "unsent", 0, row.price_ticks or 0, "0"] + ([""] if strict else []))
                continue
            order = result.order_rows[place]
            status = STATES[int(order["state"])]
            denied = order["deny_reason"] != ALLOWED
            ts = order["ts_sent_ns"] if denied else order["ts_venue_ns"]
            done = status == "filled"
            price = order["last_ticks"] if done else order["price_ticks"]
            lots = order["filled_lots"] if strict else order["last_lots"]
            record = [row.id, status, int(ts), int(price), instrument.quantity(int(lots))]
            if strict:
                filled = int(order["filled_lots"])
                mantissa, places = scaled(instrument.tick)
                average = "" if not filled else _ratio(int(order["cost"]) * mantissa, filled * 10**places)
                record.append(average)
            writer.writerow(record)


def _ratio(num: int, den: int) -> str:
    """num / den as a decimal string with at most 12 places, half away from zero."""
    scaled_up, rest = divmod(abs(num) * 10**12, den)
    text = of_units(scaled_up + (2 * rest >= den), "0.000000000001")
    return "-" + text if num < 0 else text
