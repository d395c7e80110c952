"""Rounds of hftbacktest: replay over both of its depths, its memory, its converter. Runs in its own environment."""

from __future__ import annotations

import functools
import gzip
import hashlib
import os
from typing import Any

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest, ROIVectorMarketDepthBacktest
from hftbacktest.data.utils import binancefutures
from hftbacktest.types import DEPTH_EVENT, LOCAL_EVENT
from numba import njit
from numpy.typing import NDArray

from benchmarks import maker_numba
from benchmarks.timing import Clock, memory

BUFFER_ROWS = 2_000_000
ROI = (58_000.0, 65_000.0)
NOOP_STEP_NS = 10_000_000
QUIET_STEP_NS = 10_000_000_000
STEPS = 1000
MAKERS = {"HashMap": HashMapMarketDepthBacktest, "ROIVector": ROIVectorMarketDepthBacktest}


@njit
def pass_time(hbt: Any, step_ns: int) -> None:
    """Go through all data without orders."""
    while hbt.elapse(step_ns) == 0:
        pass


@njit
def pass_some(hbt: Any, step_ns: int, steps: int) -> bool:
    """Go `steps` further; whether there is more."""
    more = True
    while more and steps > 0:
        more = hbt.elapse(step_ns) == 0
        steps -= 1
    return more


@functools.lru_cache(maxsize=1)
def looped(npz: str, loops: int, period_ns: int) -> NDArray[Any]:
    """The rows `loops` times with shifted times, as one array."""
    with np.load(npz) as archive:
        rows = archive["data"]
    found = np.tile(rows, loops)
    for number in range(loops):
        part = found[number * len(rows):(number + 1) * len(rows)]
        part["exch_ts"] += number * period_ns
        part["local_ts"] += number * period_ns
    return found


class Replay:
    """A backtest with constant latency and the risk-averse queue: no orders, or the numba market maker."""

    def __init__(self, npz: str, loops: int, period_ns: int, depth: str, maker: bool, latency_ns: int, tick: float,
                 lot: float, maker_fee: float, taker_fee: float, half_spread_ticks: int, interval_ns: int) -> None:
        self.data = looped(npz, loops, period_ns)
        self.depth, self.maker, self.latency_ns, self.tick, self.lot = depth, maker, latency_ns, tick, lot
        self.fees, self.terms = (maker_fee, taker_fee), (half_spread_ticks, interval_ns)

    def backtest(self) -> Any:
        asset = (
            BacktestAsset().data(self.data).linear_asset(1.0)
            .constant_order_latency(self.latency_ns, self.latency_ns).risk_adverse_queue_model()
            .no_partial_fill_exchange().trading_value_fee_model(*self.fees).tick_size(self.tick).lot_size(self.lot)
        )
        if self.depth == "ROIVector":
            asset = asset.roi_lb(ROI[0]).roi_ub(ROI[1])
        return MAKERS[self.depth]([asset])

    def facts(self, hbt: Any, orders: int) -> dict[str, Any]:
        """What our replay must tell too."""
        depth = hbt.depth(0)
        return {"rows": len(self.data), "mid2": int(depth.best_bid_tick + depth.best_ask_tick), "orders": int(orders),
                "fills": int(hbt.state_values(0).num_trades), "position": round(hbt.position(0) / self.lot)}

    def round(self) -> dict[str, Any]:
        hbt, orders = self.backtest(), 0
        with Clock() as clock:
            if self.maker:
                orders = maker_numba.run(hbt, *self.terms)
            else:
                pass_time(hbt, NOOP_STEP_NS)
        facts = self.facts(hbt, orders)
        hbt.close()
        return clock.result(len(self.data), facts)


class Orders:
    """A backtest of a market by order with the fifo queue, without orders of its own."""

    def __init__(self, npz: str, loops: int, period_ns: int, messages: int, tick: float, lot: float) -> None:
        self.data, self.messages, self.grid = looped(npz, loops, period_ns), messages, (tick, lot)

    def round(self) -> dict[str, Any]:
        asset = (
            BacktestAsset().data(self.data).linear_asset(1.0).constant_order_latency(0, 0).l3_fifo_queue_model()
            .no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0).tick_size(self.grid[0]).lot_size(self.grid[1])
        )
        hbt = HashMapMarketDepthBacktest([asset])
        with Clock() as clock:
            pass_time(hbt, QUIET_STEP_NS)
        depth = hbt.depth(0)
        mid2 = int(depth.best_bid_tick + depth.best_ask_tick)
        hbt.close()
        return clock.result(self.messages, {"mid2": mid2})


class Memory(Replay):
    """The peak of anonymous and shared memory over a backtest, interpreter and libraries included."""

    def round(self) -> dict[str, Any]:
        hbt, peak, more = self.backtest(), memory(), True
        while more:
            more = pass_some(hbt, NOOP_STEP_NS, STEPS)
            peak = max(peak, memory())
        facts = self.facts(hbt, 0)
        hbt.close()
        return {"value": peak, "wall": peak, "facts": facts}


class Convert:
    """Raw gzip lines to an npz by hftbacktest's own converter, which writes it compressed."""

    def __init__(self, source: str, out: str) -> None:
        self.source, self.out = source, out

    def round(self) -> dict[str, Any]:
        with Clock() as clock:
            rows: NDArray[Any] = binancefutures.convert(self.source, self.out, buffer_size=BUFFER_ROWS)
        os.unlink(self.out)
        with gzip.open(self.source) as stream:
            messages = sum(1 for line in stream if line.strip())
        kind, local = rows["ev"] & np.uint64(0xFF), (rows["ev"] & np.uint64(LOCAL_EVENT)) != 0
        facts = {"messages": messages, "level_updates": int(((kind == DEPTH_EVENT) & local).sum()),
                 "npz": hashlib.sha256(rows.tobytes()).hexdigest()}
        return {"value": clock.wall / messages, "wall": clock.wall / messages,
                "notes": {"cpu_of_all_threads": clock.cpu / messages}, "facts": facts}
