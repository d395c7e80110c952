"""Own orders whose venue is known: schedules around the touch, and their logs with mistakes in them."""

from __future__ import annotations

import csv
import random
from pathlib import Path
from typing import Any

import apex
from apex._core.l3 import L3Book
from apex.app.own_orders import write_own
from apex.store.tape import Tape

SECOND = 1_000_000_000


def schedule(path: Path, tape: Path, count: int, seed: int, *, lots: tuple[int, ...] = (1, 5, 20),
             life: int = 3 * SECOND) -> Path:
    """Post-only orders at the touch and up to two ticks behind it, cancelled after a while."""
    rng = random.Random(seed)
    with Tape.open(tape) as opened, path.open("w", newline="", encoding="utf-8") as stream:
        first, last = opened.header["first_ts"], opened.header["last_ts"]
        x, book, at = opened.instruments[0], L3Book(synced=bool(opened.header["synced_from_start"])), 0
        writer = csv.writer(stream)
        writer.writerow(("ts", "id", "side", "price", "quantity", "tif", "cancel_ts"))
        span = last - first
        for number, ts in enumerate(sorted(rng.sample(range(first + span // 20, last - span // 10), count)), 1):
            at = book.apply(opened.batches, opened.levels, opened.rows, start=at, until=ts)
            side, away = rng.choice(("buy", "sell")), rng.choice((0, 0, 0, 1, 2))
            best = book.book.bid_ticks if side == "buy" else book.book.ask_ticks
            assert best is not None
            price = best - away if side == "buy" else best + away
            writer.writerow((ts, number, side, x.price(price), x.quantity(rng.choice(lots)), "GTX",
                             ts + int(rng.uniform(0.3, 1.5) * life)))
    return path


def log(path: Path, tape: Path, orders: Path, *, mistakes: float = 0.0, seed: int = 0, forget: tuple[str, ...] = (),
        arrived: int | None = None, **options: Any) -> Any:
    """The log of a replay, with a share of the orders told the other way round; the replay.

    forget: columns that are left empty; arrived: the way to the venue, for `ts_venue`.
    """
    result = apex.replay(tape, orders=orders, **options)
    write_own(result, path)
    rng = random.Random(seed)
    with path.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        if arrived is not None and row["ts_ack"]:
            row["ts_venue"] = str(int(row["ts"]) + arrived)
        if rng.random() < mistakes:
            row["filled"], row["ts_filled"] = ("0" if float(row["filled"]) else row["quantity"]), ""
        row |= dict.fromkeys(forget, "")
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return result
