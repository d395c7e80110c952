"""Tables of a replay for people: DataFrames from the engine's integer rows."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from apex._core.engine import STATES
from apex.app.replay import ALLOWED, named, order_reasons
from apex.domain.decimals import of_units, scaled

if TYPE_CHECKING:
    from pathlib import Path

    from apex.app.replay import ReplayResult
    from apex.app.schedule import Schedule

SIDES = np.array(["", "buy", "sell"], dtype=object)
PARTIAL = ("canceled", "expired", "open")
"""States in which an order may have filled in part."""
TYPES = np.array(["limit", "market", "stop", "stop-limit", "trailing-stop", "liquidation"], dtype=object)
TIFS = np.array(["GTC", "GTX", "IOC", "FOK"], dtype=object)


def _sized(result: ReplayResult, counts: Any, instrument: Any, name: str) -> Any:
    """Counts of ticks or lots as decimals, each rounded once to the nearest float."""
    steps = [scaled(getattr(i, name)) for i in result.instruments]
    mantissa = np.array([m for m, _ in steps], dtype=np.float64)
    divisor = np.array([10**p for _, p in steps], dtype=np.float64)
    return counts * mantissa[instrument] / divisor[instrument]


def _names(result: ReplayResult, instrument: Any) -> Any:
    return np.array([i.symbol for i in result.instruments], dtype=object)[instrument]


def _ids(result: ReplayResult, ids: Any) -> Any:
    if not result.file_ids:
        return ids.astype(np.int64)
    return np.array([result.file_ids[int(i)] for i in ids], dtype=np.int64)


def orders(result: ReplayResult) -> pd.DataFrame:
    """One row an order intent; see `apex.replay`."""
    rows = result.order_rows
    instrument, filled = rows["instrument"], rows["filled_lots"] > 0
    average = np.where(filled, rows["cost"] / np.maximum(rows["filled_lots"], 1), np.nan)
    status = named(STATES, rows["state"])
    status[filled & np.isin(rows["state"], [code for code, name in STATES.items() if name in PARTIAL])] = "partial"
    return pd.DataFrame({
        "ts_local": rows["ts_sent_ns"], "ts_venue": rows["ts_venue_ns"], "id": _ids(result, rows["id"]),
        "instrument": _names(result, instrument), "side": SIDES[rows["side"]], "type": TYPES[rows["type"]],
        "tif": TIFS[rows["tif"]], "price_ticks": rows["price_ticks"],
        "price": _sized(result, rows["price_ticks"], instrument, "tick"),
        "quantity": _sized(result, rows["quantity_lots"], instrument, "lot"),
        "filled": _sized(result, rows["filled_lots"], instrument, "lot"),
        "avg_price": _sized(result, average, instrument, "tick"),
        "status": status, "reason": order_reasons(rows),
        "fee": rows["fee"] / 1e8, "ts_ack": rows["ts_ack_ns"], "ts_done": rows["ts_done_ns"],
    })


def fills(result: ReplayResult) -> pd.DataFrame:
    """One row a fill; see `apex.replay`."""
    rows = result.fill_rows
    instrument, mid = rows["instrument"], np.where(rows["has_mid"], rows["mid2"] / 2, np.nan)
    return pd.DataFrame({
        "ts_venue": rows["ts_venue_ns"], "ts_local": rows["ts_local_ns"], "id": _ids(result, rows["id"]),
        "instrument": _names(result, instrument), "side": SIDES[rows["side"]], "price_ticks": rows["price_ticks"],
        "quantity": _sized(result, rows["quantity_lots"], instrument, "lot"), "maker": rows["maker"].astype(bool),
        "fee": rows["fee"] / 1e8, "price": _sized(result, rows["price_ticks"], instrument, "tick"),
        "mid": _sized(result, mid, instrument, "tick"), "optimistic": rows["optimistic"].astype(bool),
    })


def equity(result: ReplayResult) -> pd.DataFrame:
    """P&L on the grid of one second; see `apex.replay`."""
    rows = result.equity_rows
    peak = np.maximum(np.maximum.accumulate(rows["net"]), 0)
    table = {
        "ts": rows["ts_ns"], "net_pnl": rows["net"] / 1e8, "gross_pnl": rows["gross"] / 1e8, "fees": rows["fees"] / 1e8,
        "charges": rows["charges"] / 1e8,
        "spread_captured": rows["spread"] / 1e8, "inventory_pnl": (rows["gross"] - rows["spread"]) / 1e8,
        "drawdown": (peak - rows["net"]) / 1e8, "gross_exposure": rows["exposure"] / 1e8,
    }
    for i, known in enumerate(result.instruments):
        marks = result.mark_rows[:, i]
        table[f"position:{known.symbol}"] = _sized(result, marks["lots"], i, "lot")
        mids = np.where(marks["mid2"] != 0, marks["mid2"] / 2, np.nan)
        table[f"mid:{known.symbol}"] = _sized(result, mids, i, "tick")
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
            if status == "rejected":             # refused before the venue, or by it
                status = "expired"
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
