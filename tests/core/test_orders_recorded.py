"""The fifo queue on a recording of orders, against the plain-Python replay."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from apex._core.events import FLAGS, KINDS
from apex._core.l3 import L3Book
from apex.domain.decimals import scaled
from apex.importers.lobster import import_lobster
from apex.store.tape import Tape
from tests.core.assembly import BUY, NAMES, SELL, Run
from tests.core.test_matching import Sender, conserved, equal, walked
from tests.core.test_orders import ORDER_KINDS, Messages
from tests.oracles.matching import AMEND, CANCEL, PLACE, StrictReplay
from tests.oracles.orders import OrderVenue

ZIP = "l3/lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip"
SECOND = 1_000_000_000
WORDS = {KINDS[kind]: word for word, kind in reversed(ORDER_KINDS.items()) if word != "fill"}


def messages(events: Any) -> Messages:
    """Rows as the oracle takes them."""
    found: Messages = []
    for e in events:
        ts, kind = int(e["ts_exchange_ns"]), int(e["kind"])
        side, ticks, lots = int(e["side"]), int(e["price_ticks"]), int(e["quantity_lots"])
        if kind in WORDS:
            flag = "sight" if e["flags"] & FLAGS["SNAPSHOT"] else ""
            found.append((ts, "order", [(WORDS[kind], int(e["order_id"]), side, ticks, lots, flag)]))
        elif kind == KINDS["TRADE"]:
            found.append((ts, "trade", [(side, ticks, lots)]))
        else:
            assert kind == KINDS["SNAPSHOT_BEGIN"]
            found.append((ts, "snapshot", [()]))
    return found


def intents(tape: Tape, end: int, seed: int) -> list[tuple[int, tuple[Any, ...]]]:
    """Orders at the touch, behind it and through it, some amended or cancelled."""
    rng, book = random.Random(seed), L3Book()
    times = sorted(rng.sample(range(int(tape.header["first_ts"]) + SECOND, end), 350))
    todo: list[tuple[int, tuple[Any, ...]]] = []
    placed: list[tuple[int, int]] = []
    at = 0
    for ts in times:
        at = book.apply(tape.batches, tape.levels, tape.rows, start=at, until=ts)
        kind = rng.random()
        if kind < 0.75 or not placed:
            side = rng.choice((BUY, SELL))
            best = book.book.bid_ticks if side == BUY else book.book.ask_ticks
            price = int(best or 0) + (1 if side == SELL else -1) * 2 * rng.choice((0, 0, 0, 1, 2, -1, -3, 5))
            lots = rng.choice((1, 20, 100, 300))
            todo.append((ts, (PLACE, side, price, lots, rng.choice(("GTC", "GTC", "GTC", "GTX", "IOC", "FOK")))))
            placed.append((price, lots))
            continue
        which = max(0, len(placed) - 1 - int(rng.expovariate(0.3)))
        price, lots = placed[which]
        todo.append((ts, (CANCEL, which) if kind < 0.85 else (
            AMEND, which, price + rng.choice((0, 0, 2, -2)), max(1, lots + rng.choice((-10, 0, 50))))))
    return todo


@pytest.mark.recordings
@pytest.mark.parametrize(("seed", "latency"), [(1, (0, 0, 0, 0)), (2, (2_000_000, 1_000_000, 3_000_000, 5_000_000))])
def test_fifo_on_lobster_equals_the_oracle(seed: int, latency: tuple[int, int, int, int], tmp_path: Path,
                                           data_file: Callable[[str], Path]) -> None:
    """Lost otherwise: that queues of a real market, with sizes and ties as they come, fill us where they would have."""
    import_lobster([data_file(ZIP)], tmp_path / "t")
    with Tape.open(tmp_path / "t") as tape:
        events = tape.events(0, 25_000)
        end = int(events["ts_local_ns"][-1])
        todo = intents(tape, end, seed)
    oracle = StrictReplay(OrderVenue("fifo", 1.0, scaled(NAMES[0].lot)), latency)
    oracle.run(messages(events), todo)
    run = walked(Run(events, [Sender(todo)], queue="fifo", latency=latency), 500)
    equal(run, oracle, todo)
    conserved(run)
    assert int(run.fills["maker"].sum()) > 60
    assert not run.fills["optimistic"].any()
