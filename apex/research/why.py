"""What happened at a time of a replay: orders around it and what became of them, position and P&L, in plain sentences.

Times are ours, on the replay's clock: an order exists from when it was sent, a fill from when we heard of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apex.domain.decimals import money
from apex.research import text
from apex.research.compare import price_of
from apex.research.diagnosis import remedy
from apex.research.metrics import UNIT
from apex.research.runs import Run

if TYPE_CHECKING:
    import pandas as pd

COUNT = 5
LIMITS = {
    "price-collar": "price_collar", "fat-finger": "fat_finger_multiple", "order-value": "order_value_max",
    "order-quantity": "order_quantity_max", "position": "position_max", "gross-notional": "gross_notional_max",
    "open-orders": "open_orders_max", "message-rate": "messages_per_second_max", "duplicate": "duplicate_window",
    "daily-loss": "daily_loss_max", "drawdown": "drawdown_max", "book-stale": "book_age_max",
}
"""The limit behind a reason of the gate."""
OPEN_AT_END = ("resting_at_end", "in_flight")
UNSENT = ("no_order_made", "cooldown")
"""Signals that made no order: they are counted, and leave no row."""


def why(run: Run, ts: int, count: int = COUNT) -> dict[str, Any]:
    """What a replay was doing at a time, and why, ready for JSON.

    Parameters
    ----------
    run : Run
    ts : int
        Between the run's start_ts and end_ts.
    count : int
        Rows of each kind at most.

    Returns
    -------
    dict
        ts; position (by instrument); mid; equity (the last row of the 1 s grid, or None); open_orders (at ts) and their
        number; orders (the last sent at or before ts), fills (the last heard of), last_denied, next_order, next_fill;
        said (the same in sentences). Of each order: what was asked, `then` and `filled_then` (its state at ts), and its
        end: status, reason, ts_done (None: open when the tape ended), filled.
    """
    orders, fills = run.orders, run.fills
    sent = orders[orders["ts_local"] <= ts]
    heard = fills[fills["ts_local"] <= ts]
    filled: dict[Any, int] = heard.groupby("id")["lots"].sum().to_dict()
    is_open = (sent["denied"] == "") & (sent["reason"].isin(OPEN_AT_END) | (sent["ts_done"] > ts))
    rows = sent[is_open]
    later, later_fills = orders[orders["ts_local"] > ts], fills[fills["ts_local"] > ts]
    denied = sent[sent["denied"] != ""]
    grid = run.equity[run.equity["ts"] <= ts]
    found: dict[str, Any] = {
        "ts": ts, "position": _position(run, heard), "mid": _mids(run, grid), "equity": _equity(grid),
        "open_count": len(rows), "open_orders": [_order(run, row, ts, filled) for row in _rows(rows.tail(count))],
        "orders": [_order(run, row, ts, filled) for row in _rows(sent.tail(count))],
        "fills": [_fill(run, row) for row in _rows(heard.tail(count))],
        "last_denied": next((_order(run, row, ts, filled) for row in _rows(denied.tail(1))), None),
        "next_order": next((_order(run, row, ts, filled) for row in _rows(later.head(1))), None),
        "next_fill": next((_fill(run, row) for row in _rows(later_fills.head(1))), None),
    }
    found["said"] = sentences(run, found)
    return found


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value.item() if hasattr(value, "item") else value for name, value in row.items()}
            for row in table.to_dict("records")]


def _position(run: Run, heard: pd.DataFrame) -> dict[str, str]:
    signed = heard["lots"].where(heard["side"] == "buy", -heard["lots"])
    held = signed.groupby(heard["instrument"]).sum().to_dict()
    return {x.symbol: x.quantity(int(held.get(x.symbol, 0))) for x in run.instruments}


def _mids(run: Run, grid: pd.DataFrame) -> dict[str, str | None]:
    """The mid of each instrument at the last row of the grid."""
    out: dict[str, str | None] = {}
    for x in run.instruments:
        known = len(grid) and f"mid:{x.symbol}" in grid.columns
        mid = float(grid[f"mid:{x.symbol}"].iloc[-1]) if known else math.nan
        out[x.symbol] = None if math.isnan(mid) else price_of(x, round(mid * 2 / float(x.tick)))
    return out


def _equity(grid: pd.DataFrame) -> dict[str, Any] | None:
    """The last row of the grid of one second."""
    if not len(grid):
        return None
    row = grid.iloc[-1]
    names = ("net_pnl", "gross_pnl", "fees", "drawdown", "gross_exposure")
    return {"ts": int(row["ts"]), **{n: money(round(float(row[n]) * UNIT)) for n in names if n in grid.columns}}


def _asked(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    x = next(x for x in run.instruments if x.symbol == row["instrument"])
    return {"id": row["id"], "ts": row["ts_local"], "instrument": x.symbol, "side": row["side"],
            "price": None if row.get("type") == "market" else x.price(row["price_ticks"]),
            "quantity": x.quantity(row["lots"])}


def _fill(run: Run, row: Mapping[str, Any]) -> dict[str, Any]:
    return {**_asked(run, row), "maker": row["maker"], "fee": money(row["fee_units"])}


def _order(run: Run, row: Mapping[str, Any], ts: int, filled: Mapping[Any, int]) -> dict[str, Any]:
    """An order: what was asked, how it stood at `ts`, and what became of it."""
    asked, x = _asked(run, row), next(x for x in run.instruments if x.symbol == row["instrument"])
    ends = None if row["reason"] in OPEN_AT_END else row["ts_done"]
    if row["ts_local"] > ts:
        then = "not sent yet"
    elif row["denied"]:
        then = "denied"
    elif ends is not None and ends <= ts:
        then = row["status"]
    elif 0 < row["ts_ack"] <= ts:
        then = "resting"
    else:
        then = "on its way"
    return {**asked, "type": row["type"], "tif": row["tif"], "then": then,
            "filled_then": x.quantity(int(filled.get(row["id"], 0))), "status": row["status"], "reason": row["reason"],
            "ts_ack": row["ts_ack"] or None, "ts_done": ends, "filled": x.quantity(row["filled_lots"])}


# ---- in words --------------------------------------------------------------------------------------------------------


def sentences(run: Run, found: Mapping[str, Any]) -> list[str]:
    """What was found, one sentence a thing."""
    ts = found["ts"]
    held = ", ".join(f"{lots} {name}" for name, lots in found["position"].items())
    out = [f"The position was {held}; {text.plural(found['open_count'], 'order')} of ours "
           f"{'was' if found['open_count'] == 1 else 'were'} open."]
    if found["equity"] is not None:
        e = found["equity"]
        mids = ", ".join(f"{name} at {mid}" for name, mid in found["mid"].items() if mid is not None)
        out.append(f"{_before(ts, e['ts'], 'At the last full second')} net P&L was {e['net_pnl']} "
                   f"(gross {e['gross_pnl']}, fees {e['fees']}){f', the mid of {mids}' if mids else ''}.")
    out += [_story(run, order, ts) for order in found["orders"]]
    shown = {order["id"] for order in found["orders"]}
    out += [f"Still open: {_story(run, order, ts)}" for order in found["open_orders"] if order["id"] not in shown]
    denied = found["last_denied"]
    if denied is not None and denied["id"] not in shown:
        out.append(f"The last denial, {_story(run, denied, ts)[0].lower()}{_story(run, denied, ts)[1:]}")
    if not found["orders"]:
        out += _nothing(run, found)
    out.append(f"The last fill, {_ago(ts, found['fills'][-1]['ts'])}: {_filled(found['fills'][-1])}."
               if found["fills"] else "Nothing had been filled yet.")
    order, fill = found["next_order"], found["next_fill"]
    out.append("No order was sent later." if order is None else
               f"The next order came {text.duration(order['ts'] - ts)} later: {_words(order)}{_denial(run, order)}.")
    out.append("Nothing was filled later." if fill is None else
               f"The next fill came {text.duration(fill['ts'] - ts)} later: {_filled(fill)}.")
    return out


def _before(ts: int, at: int, name: str) -> str:
    return f"{name}, {_ago(ts, at)}," if ts != at else "At this time"


def _ago(ts: int, at: int) -> str:
    return "at this time" if at == ts else f"{text.duration(ts - at)} before"


def _words(order: Mapping[str, Any]) -> str:
    price = "at the market" if order["price"] is None else f"at {order['price']}"
    tif = f" ({order['tif']})" if order.get("tif") and order["price"] is not None else ""
    return f"{order['side']} {order['quantity']} {order['instrument']} {price}{tif}"


def _filled(fill: Mapping[str, Any]) -> str:
    return f"{_words(fill)}, as {'maker' if fill['maker'] else 'taker'}"


def _denial(run: Run, order: Mapping[str, Any]) -> str:
    """Why the gate refused an order, with the limit and what to do."""
    if order["status"] != "denied":
        return ""
    reason = order["reason"]
    name = LIMITS.get(reason.replace("_", "-"))
    limit = "" if name is None else f" (`{name}` is {text.limit(name, run.result['limits'].get(name))})"
    advice = remedy(reason)
    return f", denied by {text.words(reason)}{limit}" + (f": {advice}" if advice else "")


def _story(run: Run, order: Mapping[str, Any], ts: int) -> str:
    """An order's life in one sentence."""
    head = f"{_ago(ts, order['ts']).capitalize()}: {_words(order)}"
    if order["status"] == "denied":
        return f"{head}{_denial(run, order)}."
    parts = []
    if order["ts_ack"] is None:
        parts.append("never answered")
    elif order["ts_ack"] > order["ts"]:
        parts.append(f"answered {text.duration(order['ts_ack'] - order['ts'])} later")
    if order["then"] in ("resting", "on its way"):
        some = "" if order["filled_then"] == "0" else f", {order['filled_then']} filled"
        parts.append(f"{order['then']} at this time{some}")
    advice = "" if order["reason"] in ("", order["status"]) else remedy(order["reason"])
    parts.append(_end(order) + (f", {text.words(order['reason'])} ({advice})" if advice else ""))
    return f"{head}, {'; '.join(parts)}."


def _end(order: Mapping[str, Any]) -> str:
    """How an order ended."""
    some = "unfilled" if order["filled"] == "0" else f"{order['filled']} filled"
    if order["ts_done"] is None:
        return f"still open when the tape ended, {some}"
    after = f"{text.duration(order['ts_done'] - order['ts'])} after it was sent"
    word = "filled" if order["status"] == "filled" else f"{order['status'].replace('partial', 'ended')}, {some}"
    return f"{word}, {after}" if order["ts_done"] > order["ts"] else f"{word} at once"


def _nothing(run: Run, found: Mapping[str, Any]) -> list[str]:
    """Why there may be no order at all so far."""
    out = ["No order had been sent yet."]
    if found["equity"] is not None and all(mid is None for mid in found["mid"].values()):
        out.append("No book had shown both sides by the last full second: timers and bars of a strategy wait for them.")
    idle = {name: n for name, n in (run.result.get("blocked_by") or {}).items() if name in UNSENT}
    if idle:
        named = ", ".join(f"{text.words(name)} {n:,}" for name, n in text.counted(idle))
        out.append(f"Signals that made no order leave no row; the whole run had {named}.")
    return out
