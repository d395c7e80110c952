"""Replays through hftbacktest 2.4.4. Runs in the parity environment, never in ours.

    run_hftbacktest.py convert RECORDING OUT.npz     a recording of Binance USD-M as hftbacktest's converter makes it
    run_hftbacktest.py cases CASES.json              replay a list of cases (`Case` in tests/parity/cases.py)

A case's folder gets `theirs.json`:
`changes`  what we were told of each order and when (a schedule), or what the market maker sent (a maker);
`orders`   the last state of each order;
`state`    position, fee and fills as hftbacktest's strategy side counts them;
`dropped`  orders that were taken out of the schedule because hftbacktest raised an error at them: it keeps an order
           whose rest was executed exactly, and stops when that is hit once more. What is left is `cut.csv`.
`cut`      local times where it raised and no such order was found. There data and orders after the last time that it
           got past are dropped and the rest is replayed again; the data that are left are `cut.npz`.
"""

from __future__ import annotations

import csv
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    EXCH_EVENT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.order import FOK, GTC, GTX, IOC, LIMIT, MARKET
from numba import int64, njit, typeof
from numba.experimental import jitclass

TIFS = {"GTC": GTC, "GTX": GTX, "IOC": IOC, "FOK": FOK}
STATUS = {0: "unsent", 1: "open", 2: "expired", 3: "filled", 4: "canceled", 5: "open", 6: "rejected"}
FAR = 1 << 62
END_OF_DATA = 1
IN_FLIGHT_NS = 60_000_000
SCHEDULE_COLUMNS = ("ts", "id", "side", "price", "quantity", "tif", "cancel_ts")
MODELS = {
    "risk-averse": "risk_adverse_queue_model", "power-prob": "power_prob_queue_model",
    "power-prob2": "power_prob_queue_model2", "power-prob3": "power_prob_queue_model3",
    "log-prob": "log_prob_queue_model", "log-prob2": "log_prob_queue_model2", "fifo": "l3_fifo_queue_model",
}
#: columns of a change: local ns, row of the schedule, status, venue ns, executed tick, maker; and leaves, last chunk
WHOLE, REAL = 6, 2
BUFFER_ROWS = 2_000_000


@njit
def note(hbt, ids, whole, real, count):
    """Append what changed in our view of the orders since it was last looked at."""
    orders = hbt.orders(0)
    for i in range(len(ids)):
        order = orders.get(ids[i, 0])
        if order is None or order.status == 0 or (
                order.exch_timestamp == ids[i, 1] and order.leaves_qty == real[i, 0] and order.status == ids[i, 2]):
            continue
        ids[i, 1], ids[i, 2], real[i, 0] = order.exch_timestamp, order.status, order.leaves_qty
        if count < len(whole):
            whole[count, 0] = hbt.current_timestamp
            whole[count, 1] = i
            whole[count, 2] = order.status
            whole[count, 3] = order.exch_timestamp
            whole[count, 4] = order.exec_price_tick
            whole[count, 5] = order.arr[0].maker
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
    for k in range(len(due)):
        count, code = advance(hbt, due[k, 0], ids, whole, real, count)
        if code != 0:
            break
        i = due[k, 2]
        if due[k, 1] == 1:
            order = hbt.orders(0).get(ids[i, 0])
            if order is not None and order.cancellable:
                hbt.cancel(0, ids[i, 0], False)
        elif orders[i, 0] == 1:
            hbt.submit_buy_order(0, ids[i, 0], prices[i], quantities[i], orders[i, 1], orders[i, 2], False)
        else:
            hbt.submit_sell_order(0, ids[i, 0], prices[i], quantities[i], orders[i, 1], orders[i, 2], False)
    if code == 0:
        count, code = advance(hbt, FAR, ids, whole, real, count)
    if code <= 1:
        # The clock stands still once the data are over: what the last reply told has no time of its own.
        last = note(hbt, ids, whole, real, count)
        whole[count:last, 0] = -1
        count = last
    return count, hbt.current_timestamp, code


def schedule(path: Path) -> list[dict[str, str]]:
    """Rows of a schedule as `apex replay --orders` takes it."""
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def backtest(case: dict[str, Any], data: list[str]) -> Any:
    """A backtest of one asset, put together as the case says."""
    asset = BacktestAsset().data(data).linear_asset(1.0)
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


def lots(quantity: float, case: dict[str, Any]) -> int:
    """Whole lots of a quantity that sums and differences of lots have made."""
    return round(Decimal(repr(float(quantity))) / Decimal(case["lot"]))


def state(hbt: Any, case: dict[str, Any]) -> dict[str, Any]:
    """What the strategy's side has counted."""
    values = hbt.state_values(0)
    return {"position_lots": lots(values.position, case), "fee": float(values.fee), "fills": int(values.num_trades)}


def once(case: dict[str, Any], data: list[str], rows: list[dict[str, str]]) -> dict[str, Any]:
    """Replay a schedule; what was told of the orders, and their last state."""
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
    changes = [
        [int(w[0]), int(ids[w[1], 0]), STATUS[int(w[2])], int(w[3]), int(w[4]), bool(w[5]),
         lots(q[0], case), lots(q[1], case)]
        for w, q in zip(whole[:count], real[n:n + count], strict=True)
    ]
    orders = []
    for i in range(n):
        order = hbt.orders(0).get(np.uint64(ids[i, 0]))
        if order is None:
            orders.append([int(ids[i, 0]), "unsent", 0, 0, 0, 0])
            continue
        status = STATUS[int(order.status)]
        tick = order.exec_price_tick if status == "filled" else order.price_tick
        orders.append([int(ids[i, 0]), status, int(order.exch_timestamp), int(tick), lots(order.exec_qty, case),
                       lots(order.leaves_qty, case)])
    result = {"changes": changes, "orders": orders, "state": state(hbt, case), "reached": int(reached),
              "code": int(code)}
    hbt.close()
    return result


class Hits:
    """When an own order at a price would be looked at by the exchange: trades and levels at it or beyond."""

    def __init__(self, data: list[str], tick: float) -> None:
        self.tables = []
        for path in data:
            with np.load(path) as archive:
                self.tables.append(archive["data"])
        rows = np.concatenate(self.tables)
        ev = rows["ev"].astype(np.uint64)
        self.local_ns = rows["local_ts"][(ev & np.uint64(LOCAL_EVENT)) != 0]
        kind = ev & np.uint64(0xFF)
        seen = ((ev & np.uint64(EXCH_EVENT)) != 0) & np.isin(kind, (DEPTH_EVENT, TRADE_EVENT, DEPTH_SNAPSHOT_EVENT))
        seen &= rows["qty"] > 0
        ticks = np.round(np.nan_to_num(rows["px"] / tick)).astype(np.int64)
        self.of = {}
        for side, sign in ((BUY_EVENT, 1), (SELL_EVENT, -1)):
            at = seen & ((ev & np.uint64(side)) != 0)
            self.of[sign] = rows["exch_ts"][at], sign * ticks[at]

    def count(self, own_side: int, ticks: int, after: int, until: int) -> int:
        """Rows after a time and up to another that reach an own order; own_side 1 is a buy."""
        times, reached = self.of[-own_side]
        low, high = np.searchsorted(times, (after, until), side="right")
        return int((reached[low:high] >= -own_side * ticks).sum())


def suspects(hits: Hits, result: dict[str, Any], rows: list[dict[str, str]], case: dict[str, Any]) -> set[int]:
    """Orders at which hftbacktest may have raised.

    Either filled as makers and hit for the first time since, or with their last fills on the way to us and hit twice.
    """
    at = result["reached"]
    later = int(np.searchsorted(hits.local_ns, at, side="right"))
    until = int(hits.local_ns[later]) if later < len(hits.local_ns) else FAR
    makers = {change[1] for change in result["changes"] if change[2] == "filled" and change[5]}
    sides = {int(row["id"]): 1 if row["side"] == "buy" else -1 for row in rows}
    prices = {int(row["id"]): round(Decimal(row["price"]) / Decimal(case["tick"])) for row in rows
              if row["price"] and int(row["ts"]) <= at}
    found = set()
    for number, status, filled_ns, *_ in result["orders"]:
        if number not in prices:
            continue
        side, ticks = sides[number], prices[number]
        if status == "filled" and number in makers:
            now = hits.count(side, ticks, max(filled_ns, at) - 1, until)
            if now and not hits.count(side, ticks, filled_ns, at - 1):
                found.add(number)
        elif status in ("open", "unsent") and hits.count(side, ticks, at - IN_FLIGHT_NS, until) > 1:
            found.add(number)
    return found


def write_schedule(rows: list[dict[str, str]], path: Path) -> None:
    """Write what is left of a schedule."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, SCHEDULE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def cut(hits: Hits, rows: list[dict[str, str]], at: int, out: Path) -> list[dict[str, str]]:
    """Drop what the exchange had not got past, but for the last row, and the orders after it."""
    table = np.concatenate(hits.tables)
    np.savez(out, data=np.concatenate((table[:-1][table["exch_ts"][:-1] <= at], table[-1:])))
    kept = [dict(r) for r in rows if int(r["ts"]) <= at]
    for row in kept:
        if row["cancel_ts"] and int(row["cancel_ts"]) > at:
            row["cancel_ts"] = ""
    return kept


def run_schedule(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Replay a case, without the orders at which hftbacktest raises."""
    data, rows = case["npz"], schedule(Path(case["schedule"]))
    dropped: list[int] = []
    cuts: list[int] = []
    hits: Hits | None = None
    while True:
        result = once(case, data, rows)
        result["dropped"], result["cut"] = dropped, cuts
        if result["code"] == END_OF_DATA:
            return result
        at, hits = result["reached"], hits or Hits(data, float(case["tick"]))
        if guilty := suspects(hits, result, rows, case):
            dropped += sorted(guilty)
            rows = [row for row in rows if int(row["id"]) not in guilty]
        elif cuts and at >= cuts[-1]:
            raise RuntimeError(f"{folder}: hftbacktest raised {result['code']} at {at} again after the cut")
        else:
            cuts.append(at)
            rows = cut(hits, rows, at, folder / "cut.npz")
            data, hits = [str(folder / "cut.npz")], None
        write_schedule(rows, folder / "cut.csv")


def recorder(hbt: Any) -> Any:
    """A backtest that notes what a strategy sends and how its orders end, for strategies that clear ended orders."""
    kind = typeof(hbt)

    @jitclass([("hbt", kind), ("log", int64[:, :]), ("count", int64)])
    class Recorder:
        def __init__(self, hbt, log):
            self.hbt = hbt
            self.log = log
            self.count = 0

        def note(self, what, a, b, c, d):
            self.log[self.count, 0] = what
            self.log[self.count, 1] = a
            self.log[self.count, 2] = b
            self.log[self.count, 3] = c
            self.log[self.count, 4] = d
            self.count += 1

        def elapse(self, duration):
            return self.hbt.elapse(duration)

        def depth(self, asset):
            return self.hbt.depth(asset)

        def orders(self, asset):
            return self.hbt.orders(asset)

        def ended(self, asset, all_of_them):
            orders = self.hbt.orders(asset).values()
            while orders.has_next():
                order = orders.get()
                if all_of_them or 2 <= order.status <= 4:
                    tick = order.exec_price_tick if order.status == 3 else order.price_tick
                    self.note(order.status, order.order_id, order.exch_timestamp, tick, order.arr[0].maker)

        def clear_inactive_orders(self, asset):
            self.ended(asset, False)
            self.hbt.clear_inactive_orders(asset)

        def cancel(self, asset, order_id, wait):
            self.note(-1, order_id, self.hbt.current_timestamp, 0, 0)
            return self.hbt.cancel(asset, order_id, wait)

        def submit_buy_order(self, asset, order_id, price, quantity, tif, kind, wait):
            self.note(-2, order_id, self.hbt.current_timestamp, round(price / self.depth(asset).tick_size), 1)
            return self.hbt.submit_buy_order(asset, order_id, price, quantity, tif, kind, wait)

        def submit_sell_order(self, asset, order_id, price, quantity, tif, kind, wait):
            self.note(-2, order_id, self.hbt.current_timestamp, round(price / self.depth(asset).tick_size), 2)
            return self.hbt.submit_sell_order(asset, order_id, price, quantity, tif, kind, wait)

    return Recorder


def run_makers(cases: list[dict[str, Any]]) -> None:
    """Replay the numba market maker of the benchmarks, with every order that it sends noted."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from benchmarks import maker_numba

    kind: Any = None
    for case in cases:
        hbt = backtest(case, case["npz"])
        kind = kind or recorder(hbt)
        log = kind(hbt, np.zeros((1_000_000, 5), np.int64))
        sent = maker_numba.run(log, case["maker"]["half_spread_ticks"], case["maker"]["interval_ns"])
        log.ended(0, True)
        result = {"sent": int(sent), "log": log.log[:log.count].tolist(), "state": state(hbt, case), "dropped": [],
                  "cut": []}
        hbt.close()
        write(case, result)


def write(case: dict[str, Any], result: dict[str, Any]) -> None:
    """The case's theirs.json, whole or not at all."""
    path = Path(case["folder"]) / "theirs.json"
    path.with_suffix(".part").write_text(json.dumps(result), encoding="utf-8")
    path.with_suffix(".part").replace(path)


def convert(source: Path, out: Path) -> None:
    """A recording to an npz."""
    from hftbacktest.data.utils import binancefutures

    rows = binancefutures.convert(str(source), combined_stream=True, buffer_size=BUFFER_ROWS)
    np.savez(out, data=rows)


def main(argv: list[str]) -> None:
    if argv[0] == "convert":
        convert(Path(argv[1]), Path(argv[2]))
        return
    cases = json.loads(Path(argv[1]).read_text(encoding="utf-8"))
    for case in cases:
        if not case["maker"]:
            write(case, run_schedule(case, Path(case["folder"])))
    run_makers([case for case in cases if case["maker"]])


if __name__ == "__main__":
    main(sys.argv[1:])
