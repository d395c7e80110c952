"""A made-up market maker's replay, consistent to the cash unit, in the shape that a replay returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from apex.domain.decimals import money
from apex.domain.instrument import Instrument
from apex.research.metrics import performance

START = 1_723_111_200_000_000_000
SECOND = 10**9
ORDER_COLUMNS = (
    "ts_local", "ts_venue", "id", "instrument", "side", "type", "tif", "price_ticks", "price", "quantity", "filled",
    "status", "reason", "ts_ack",
)  # fmt: skip
FILL_COLUMNS = (
    "ts_venue", "ts_local", "id", "instrument", "side", "price_ticks", "quantity", "maker", "fee", "price", "mid",
    "optimistic",
)  # fmt: skip


@dataclass
class FakeResult:
    """What the report reads of a replay's result."""

    summary: dict[str, Any]
    orders: pd.DataFrame
    fills: pd.DataFrame
    equity: pd.DataFrame
    instruments: list[Instrument] = field(default_factory=list)


def btc(symbol: str = "BTCUSDT") -> Instrument:
    """A linear contract with a tick of 0.1 and a lot of 0.001."""
    return Instrument(symbol, "binance-usdm", "0.1", "0.001", base="BTC", quote="USDT")


def frame(rows: list[tuple[Any, ...]], columns: tuple[str, ...]) -> pd.DataFrame:
    """A DataFrame of rows whose columns exist, with their dtypes, even when there are none."""
    out = pd.DataFrame(rows, columns=list(columns))
    if not rows:
        text = {"instrument", "side", "type", "tif", "status", "reason"}
        flags = {"maker", "optimistic"}
        number = {"price", "quantity", "filled", "fee", "mid"}
        kinds = {c: "str" if c in text else "bool" if c in flags else "f8" if c in number else "i8" for c in columns}
        out = out.astype(kinds)
    return out


def _quotes(
    rng: np.random.Generator, mids: np.ndarray, instrument: Instrument, first_id: int
) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Two-sided quotes each second, some of which fill within half a second."""
    orders, fills = [], []
    position = 0
    for second, mid in enumerate(mids[:-1].tolist()):
        for side, sign in (("buy", 1), ("sell", -1)):
            number = first_id + 2 * second + (sign < 0)
            sent = START + second * SECOND + 250_000_000
            ack = sent + int(rng.gamma(6.0, 1_700_000)) + 4_000_000
            lots = int(rng.integers(1, 6))
            ticks = int(mid) - sign * int(rng.integers(4, 15))
            lean, against = position * sign, (mids[second + 1] - mid) * sign < -3
            status, reason, filled = "canceled", "canceled_by_strategy", 0
            if rng.random() < 0.01 or lean > 40:
                status, reason, ack = "denied", "position_max" if lean > 40 else "price_collar", 0
            elif rng.random() < 0.03:
                status, reason = "expired", "post_only_would_cross"
            elif rng.random() < (0.3 if against else 0.05) - 0.001 * lean:
                filled = lots if rng.random() < 0.8 else max(1, lots // 2)
                status, reason = ("filled", "") if filled == lots else ("partial", "canceled_by_strategy")
                position += sign * filled
                at = ack + int(rng.exponential(120_000_000))
                price, quantity = ticks / 10, filled / 1000
                fee = round(ticks * filled * 10_000 * 0.000005) / 1e8
                fill_mid = round((mid - sign * float(rng.normal(3, 2.5))) * 2) / 2 / 10
                fills.append((at - 4_000_000, at, number, instrument.symbol, side, ticks, quantity, True, fee, price,
                              fill_mid, bool(rng.random() < 0.06)))  # fmt: skip
            arrived = 0 if status == "denied" else sent + 3_000_000
            orders.append((sent, arrived, number, instrument.symbol, side, "limit",
                           "GTX", ticks, ticks / 10, lots / 1000, filled / 1000, status, reason, ack))  # fmt: skip
    return orders, fills


def _equity(fills: pd.DataFrame, mids: dict[str, np.ndarray], seconds: int) -> pd.DataFrame:
    """The 1 s grid of a set of fills, straight from the definitions."""
    ts = START + np.arange(seconds, dtype="i8") * SECOND
    gross, spread, exposure = np.zeros(seconds), np.zeros(seconds), np.zeros(seconds)
    fee = np.zeros(seconds)
    positions = {}
    for symbol, mid in mids.items():
        rows = fills[fills["instrument"] == symbol]
        index = np.searchsorted(ts, rows["ts_local"].to_numpy())
        sign = np.where(rows["side"].to_numpy() == "buy", 1.0, -1.0)
        size = sign * rows["quantity"].to_numpy()
        price = rows["price"].to_numpy()

        def summed(values: np.ndarray, index: np.ndarray = index) -> np.ndarray:
            return np.cumsum(np.bincount(index, values, minlength=seconds + 1))[:seconds]

        position = np.round(summed(size), 3)
        positions[symbol] = position
        gross += position * mid / 10 - summed(size * price)
        spread += summed(size * (rows["mid"].to_numpy() - price))
        fee += summed(rows["fee"].to_numpy())
        exposure += np.abs(position) * mid / 10
    net = gross - fee
    out = {"ts": ts, "net_pnl": net, "gross_pnl": gross, "fees": fee, "spread_captured": spread,
           "inventory_pnl": gross - spread, "drawdown": np.maximum(np.maximum.accumulate(net), 0) - net,
           "gross_exposure": exposure}  # fmt: skip
    for symbol, mid in mids.items():
        out[f"position:{symbol}"] = positions[symbol]
        out[f"mid:{symbol}"] = mid / 10
    return pd.DataFrame(out)


def _summary(orders: pd.DataFrame, fills: pd.DataFrame, equity: pd.DataFrame, symbols: list[str]) -> dict[str, Any]:
    """The JSON of a replay, from its tables."""
    last = equity.iloc[-1]
    spread, fee, gross = (round(float(last[name]) * 1e8) for name in ("spread_captured", "fees", "gross_pnl"))
    denied = orders[orders["status"] == "denied"]
    unfilled = orders[orders["status"].isin(["canceled", "expired", "open"])]
    denied_by = {str(k): int(v) for k, v in denied["reason"].value_counts().items()}
    return {
        "events": 1_442_118, "ns_per_event": 29.4, "events_per_second": 34_013_605, "orders": len(orders) - len(denied),
        "fills": len(fills), "denied": len(denied), "unfilled": len(unfilled), "denied_by": denied_by,
        "unfilled_by": {str(k): int(v) for k, v in unfilled["reason"].value_counts().items()},
        "signals": len(orders), "blocked": len(denied), "blocked_by": denied_by,
        "position": {s: money(round(float(last[f"position:{s}"]) * 1e8)) for s in symbols},
        "spread_captured": money(spread), "inventory_pnl": money(gross - spread), "gross_pnl": money(gross),
        "fees": money(fee), "net_pnl": money(gross - fee),
        "max_drawdown_money": money(round(float(equity["drawdown"].max()) * 1e8)), "feed_shift_ns": 0,
        "peak_rss_bytes": 61_865_984, "result_hash": "9f2c4b1d6e0a87530c5dfe21ab94767830d1c2e4f5a6b7988172635445362718",
        "tape": ["demo/market.tape"], "strategy": "apex.strategies.maker:Maker",
        "params": {"half_spread_ticks": 5, "quantity_lots": 3}, "fill_mode": "strict", "queue": "risk-averse",
        "latency": {"order": "3ms", "response": "4ms"},
        "limits": {"price_collar": 0.05, "order_value_max": "100000", "position_max": "0.04", "open_orders_max": 64},
        "instruments": symbols, "seconds": 0.0424,
    }  # fmt: skip


def make(seed: int = 8, seconds: int = 3600, symbols: tuple[str, ...] = ("BTCUSDT",)) -> FakeResult:
    """A run of `seconds` seconds with quotes each second."""
    rng = np.random.default_rng(seed)
    mids = {s: 572_000.0 + np.round(np.cumsum(rng.normal(0, 7, seconds)) * 2) / 2 for s in symbols}
    orders, fills = [], []
    instruments = [btc(s) for s in symbols]
    for number, instrument in enumerate(instruments):
        placed, done = _quotes(rng, mids[instrument.symbol], instrument, 1 + number * 2 * seconds)
        orders += placed
        fills += done
    fills.sort(key=lambda row: row[1])
    tables = frame(orders, ORDER_COLUMNS), frame(fills, FILL_COLUMNS)
    equity = _equity(tables[1], mids, seconds)
    summary = _summary(*tables, equity, list(symbols))
    summary["metrics"] = performance(tables[1], equity, instruments, tables[0])
    return FakeResult(summary, *tables, equity, instruments)


def make_idle(blocked_by: dict[str, int] | None = None) -> FakeResult:
    """A run that traded nothing; with reasons, all its signals were denied."""
    empty = frame([], ORDER_COLUMNS), frame([], FILL_COLUMNS)
    mids = {"BTCUSDT": np.full(60, 572_000.0)}
    equity = _equity(empty[1], mids, 60)
    summary = _summary(*empty, equity, ["BTCUSDT"])
    count = sum((blocked_by or {}).values())
    summary |= {"signals": count, "blocked": count, "blocked_by": blocked_by or {}, "denied_by": blocked_by or {},
                "denied": count, "calls": {"on_timer": 3448}}  # fmt: skip
    summary["metrics"] = performance(empty[1], equity, [btc()], empty[0])
    return FakeResult(summary, *empty, equity, [btc()])


@pytest.fixture(scope="session")
def result() -> FakeResult:
    """An hour of a market maker on one instrument."""
    return make()


@pytest.fixture
def make_result() -> Callable[..., FakeResult]:
    """The builder itself, for other seeds, lengths and symbols."""
    return make


@pytest.fixture
def idle() -> Callable[..., FakeResult]:
    """The builder of runs without trades."""
    return make_idle
