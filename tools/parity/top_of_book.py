"""Best bid and ask of an exported array as hftbacktest 2.4.4 sees them. Runs in the parity environment, never in ours.

    top_of_book.py JOBS.json       a list of {"array": npz, "tick", "lot", "times": npy, "out": npy}

`out` has a row for each local time of `times`: bid tick, bid quantity, ask tick, ask quantity (0 for an empty side).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.data import validate_event_order
from numba import njit

NO_TICK = 1 << 40


@njit
def walk(hbt: Any, times: Any, found: Any) -> int:
    """Stop at each time; how many there were before the data ended."""
    hbt.elapse(0)                                    # the clock stands at no time before
    for i in range(len(times)):
        ahead = times[i] - hbt.current_timestamp
        if ahead > 0 and hbt.elapse(ahead) != 0:
            return i
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick, depth.best_ask_tick
        if -NO_TICK < bid < NO_TICK:
            found[i, 0], found[i, 1] = bid, depth.best_bid_qty
        if -NO_TICK < ask < NO_TICK:
            found[i, 2], found[i, 3] = ask, depth.best_ask_qty
    return len(times)


def main() -> None:
    """See the top."""
    for job in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        with np.load(job["array"]) as archive:
            validate_event_order(archive["data"])
        asset = BacktestAsset().data([job["array"]]).linear_asset(1.0)
        asset = asset.tick_size(float(job["tick"])).lot_size(float(job["lot"])).trading_value_fee_model(0.0, 0.0)
        asset = asset.constant_order_latency(0, 0).risk_adverse_queue_model().no_partial_fill_exchange()
        hbt = HashMapMarketDepthBacktest([asset])
        wanted = np.load(job["times"])
        found = np.zeros((len(wanted), 4))
        count = walk(hbt, wanted, found)
        hbt.close()
        np.save(job["out"], found[:count])


if __name__ == "__main__":
    main()
