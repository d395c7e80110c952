"""Replays schedules of orders through hftbacktest 2.4.4. Runs in the parity environment, never in ours.

Usage: run_hftbacktest.py CASES.json

CASES.json is a list of cases; each names its npz, its schedule, its models and the folder of its results (see
`Case` in tests/parity/cases.py). A case's folder gets `orders.csv` (as `apex replay --orders` writes it in compat) and
`result.json`: `changes`, what we were told of each order and when; `position_lots`, as the exchange counts it and as
the strategy's side does; and `cut_ns`, set where hftbacktest raised. Such a case is cut: data and orders after the last
time it got past are dropped, the rest is replayed again, and the shortened inputs lie in the folder as `cut.npz` and
`cut.csv`.
"""

from __future__ import annotations

import csv
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.order import FOK, GTC, GTX, IOC, LIMIT, MARKET
from numba import njit

TIFS = {"GTC": GTC, "GTX": GTX, "IOC": IOC, "FOK": FOK}
STATUS = {0: "unsent", 1: "open", 2: "expired", 3: "filled", 4: "canceled", 5: "open", 6: "rejected"}
FAR = 1 << 61
MODELS = {
    "risk-averse": "risk_adverse_queue_model", "power-prob": "power_prob_queue_model",
    "power-prob2": "power_prob_queue_model2", "power-prob3": "power_prob_queue_model3",
    "log-prob": "log_prob_queue_model", "log-prob2": "log_prob_queue_model2",
}
#: columns of a change: local ns, row of the schedule, status, venue ns, executed tick, maker; and leaves, last chunk
WHOLE, REAL = 6, 2


@njit
def note(hbt, ids, whole, real, count):
    """Append what changed in our view of the orders since it was last looked at."""
    orders = hbt.orders(0)
    for i in range(len(ids)):
        order = orders.get(ids[i, 0])
        if order is None or (order.exch_timestamp == ids[i, 1] and order.leaves_qty == real[i, 0]
                             and order.status == ids[i, 2]):
            continue
        ids[i, 1], ids[i, 2], real[i, 0] = order.exch_timestamp, order.status, order.leaves_qty
        if count < len(whole):
            whole[count, 0] = hbt.current_timestamp
            whole[count, 1] = i
            whole[count, 2] = order.status
            whole[count, 3] = order.exch_timestamp
            whole[count, 4] = order.exec_price_tick
            whole[count, 5] = order.maker
            real[len(ids) + count, 0] = order.leaves_qty
            real[len(ids) + count, 1] = order.exec_qty
        count += 1
    return count


@njit
def advance(hbt, until, ids, whole, real, count):
    """Go to a time, stopping at every reply on the way; (count, 0 or what stopped it)."""
    while hbt.current_timestamp < until:
        code = hbt.wait_next_feed(True, until - hbt.current_timestamp)
        if code == 3:
            count = note(hbt, ids, whole, real, count)
        elif code != 0 and code != 2:
            return count, code
    return count, 0


@njit
def play(hbt, due, orders, prices, quantities, ids, whole, real):
    """Send what is due and go on to the end of the data; (changes, last time reached, what stopped it)."""
    count, code = 0, hbt.elapse(0)
    if code != 0:
        return count, hbt.current_timestamp, code
    count = note(hbt, ids, whole, real, count)
    for k in range(len(due)):
        count, code = advance(hbt, due[k, 0], ids, whole, real, count)
        if code != 0:
            return count, hbt.current_timestamp, code
        i = due[k, 2]
        if due[k, 1] == 1:
            order = hbt.orders(0).get(ids[i, 0])
            if order is not None and order.cancellable:
                hbt.cancel(0, ids[i, 0], False)
        elif orders[i, 0] == 1:
            hbt.submit_buy_order(0, ids[i, 0], prices[i], quantities[i], orders[i, 1], orders[i, 2], False)
        else:
            hbt.submit_sell_order(0, ids[i, 0], prices[i], quantities[i], orders[i, 1], orders[i, 2], False)
        ids[i, 2] = ids[i, 2] if due[k, 1] == 1 else 0
    count, code = advance(hbt, FAR, ids, whole, real, count)
    if code == 1:
        # The clock stands still once the data are over: what the last reply told has no time of its own.
        last = note(hbt, ids, whole, real, count)
        whole[count:last, 0] = -1
        count = last
    return count, hbt.current_timestamp, code


def schedule(path: Path) -> list[dict[str, str]]:
    """Rows of a schedule as `apex replay --orders` takes it."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def backtest(case: dict[str, Any], data: Path) -> Any:
    """A backtest of one asset, put together as the case says."""
    asset = BacktestAsset().data([str(data)]).linear_asset(1.0)
    asset = asset.tick_size(float(case["tick"])).lot_size(float(case["lot"]))
    if case["latency"]:
        asset = asset.intp_order_latency([case["latency"]])
    else:
        asset = asset.constant_order_latency(case["order_latency"], case["response_latency"])
    asset = asset.trading_value_fee_model(float(case["maker_fee"]), float(case["taker_fee"]))
    name, _, power = case["queue"].partition(":")
    asset = getattr(asset, MODELS[name])(*([float(power)] if power else []))
    asset = asset.partial_fill_exchange() if case["partial"] else asset.no_partial_fill_exchange()
    return HashMapMarketDepthBacktest([asset])


def once(case: dict[str, Any], data: Path, rows: list[dict[str, str]]) -> tuple[dict[str, Any], list[list[str]]]:
    """Replay; what was told of the orders, and their last state."""
    lot = Decimal(case["lot"])
    n = len(rows)
    due = [(int(r["ts"]), 0, i) for i, r in enumerate(rows)]
    due += [(int(r["cancel_ts"]), 1, i) for i, r in enumerate(rows) if r["cancel_ts"]]
    kinds = [(1 if r["side"] == "buy" else 2, TIFS[r["tif"] or "GTC"], LIMIT if r["price"] else MARKET) for r in rows]
    ids = np.array([(int(r["id"]), -1, -1) for r in rows], np.int64).reshape(n, 3)
    room = 40 * n + 100
    whole, real = np.zeros((room, WHOLE), np.int64), np.zeros((n + room, REAL))
    hbt = backtest(case, data)
    count, reached, code = play(
        hbt, np.array(sorted(due), np.int64).reshape(-1, 3), np.array(kinds, np.int64).reshape(n, 3),
        np.array([float(r["price"] or 0) for r in rows]), np.array([float(r["quantity"]) for r in rows]),
        ids, whole, real)
    if count > room:
        raise RuntimeError("more changes than room for them")

    def lots(quantity: float) -> int:
        return round(Decimal(repr(quantity)) / lot)

    changes = [
        [int(w[0]), int(ids[w[1], 0]), STATUS[int(w[2])], int(w[3]), int(w[4]), bool(w[5]), lots(q[0]), lots(q[1])]
        for w, q in zip(whole[:count], real[n:n + count], strict=True)
    ]
    table: list[list[str]] = []
    position = 0
    for i, row in enumerate(rows):
        order = hbt.orders(0).get(np.uint64(ids[i, 0]))
        if order is None:
            table.append([row["id"], "unsent", "0", "0", "0"])
            continue
        status = STATUS[int(order.status)]
        tick = order.exec_price_tick if status == "filled" else order.price_tick
        executed = f"{lots(order.exec_qty) * lot:f}" if order.exec_qty else "0"
        table.append([row["id"], status, str(order.exch_timestamp), str(tick), executed])
        position += (lots(order.qty) - lots(order.leaves_qty)) * (1 if row["side"] == "buy" else -1)
    seen = round(hbt.position(0) / float(case["lot"]))
    fee = float(hbt.state_values(0).fee)
    hbt.close()
    result = {"changes": changes, "position_lots": position, "local_position_lots": seen, "fee": fee,
              "reached": int(reached), "code": int(code), "cut_ns": None}
    return result, table


def cut(data: Path, rows: list[dict[str, str]], at: int, folder: Path) -> tuple[Path, list[dict[str, str]]]:
    """Drop what the exchange had not got past, but for the last row, and the orders after it."""
    with np.load(data) as archive:
        table = archive["data"]
    np.savez(folder / "cut.npz", data=np.concatenate((table[:-1][table["exch_ts"][:-1] <= at], table[-1:])))
    kept = [dict(r) for r in rows if int(r["ts"]) <= at]
    for row in kept:
        if row["cancel_ts"] and int(row["cancel_ts"]) > at:
            row["cancel_ts"] = ""
    with (folder / "cut.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    return folder / "cut.npz", kept


def run(case: dict[str, Any]) -> None:
    """Replay a case, cutting it as often as hftbacktest raises, and write its results."""
    folder, data = Path(case["folder"]), Path(case["npz"])
    rows = schedule(Path(case["schedule"]))
    at: int | None = None
    while True:
        result, table = once(case, data, rows)
        if result["code"] == 1:
            break
        if at is not None and result["reached"] >= at:
            raise RuntimeError(f"{folder}: hftbacktest raised {result['code']} at {at} again after the cut")
        at = result["reached"]
        data, rows = cut(data, rows, at, folder)
    result["cut_ns"] = at
    with (folder / "orders.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["id", "status", "ts", "price_ticks", "quantity"])
        writer.writerows(table)
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")


def main() -> None:
    for case in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        run(case)


if __name__ == "__main__":
    main()
