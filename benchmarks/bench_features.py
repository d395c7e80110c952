"""Features and signals: the cost that asking for them adds to a message, and evaluating rules over twenty of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.events import SIDES
from apex._core.features import FEATURES, NAMES, Features
from apex._core.signals import Signals
from apex.app.features import Run
from apex.store.tape import Tape
from benchmarks import inputs
from benchmarks.harness.build import build
from benchmarks.model import Benchmark, Side
from benchmarks.timing import Clock, warm
from benchmarks.workers import OURS

SECOND = 1_000_000_000
REPEAT, REPEAT_SHORT = 40, 10
TABLE = [[-0.4, -0.2, 0.2, 0.4]] * 3
TOUCH = ("touch.mid", "imbalance", "weighted_mid", "microprice", "ofi", "ofi_decayed", "volatility", "realised.bipower",
         "spread_stats.mean", "size_stats.quantile")
"""O(1) features that hear every depth message, or a grid of time."""
TRADES = ("trade_sign", "trade_flow", "effective_spread.mean", "roll", "vpin:20000", "vpin_bulk:20000", "hawkes",
          "hawkes_pair.skew", "kyle", "hasbrouck", "amihud", "corwin_schultz")
"""O(1) features that hear every trade."""
EVALUATIONS = 200_000

PLANNED = {
    "features_touch": Benchmark("features_touch", "ns", "message and feature", 15.0, (), rounds=(15, 5)),
    "features_trades": Benchmark("features_trades", "ns", "trade and feature", 15.0, (), rounds=(15, 5)),
    "features_all": Benchmark("features_all", "ns", "event", 350.0, (), rounds=(9, 5)),
    "signals_20": Benchmark("signals_20", "ns", "evaluation", 50.0, (), rounds=(15, 5)),
}


def benchmarks(name: str, short: bool) -> list[Benchmark]:
    """features_touch, features_trades, features_all, signals_20. Raises Missing."""
    build("hearing")
    if name == "signals_20":
        sides = [Side("", OURS, __name__, "Evaluations", {"shapes": ["linear", "clip"]})]
        return [replace(PLANNED[name], sides=tuple(sides), case="linear and clip"),
                replace(PLANNED[name], limit=350.0, case="tanh and zscore",
                        sides=(Side("", OURS, __name__, "Evaluations", {"shapes": ["tanh", "zscore"]}),))]
    tape = str(inputs.recorded(inputs.USDM))
    args = {"tape": tape, "repeat": REPEAT_SHORT if short else REPEAT}
    if name == "features_all":
        return [replace(PLANNED[name], sides=(Side("", OURS, __name__, "All", {"tape": tape}),))]
    sides = [Side("", OURS, __name__, "Touches" if name == "features_touch" else "Trades", args)]
    if name == "features_touch":
        sides.append(Side("pandas", OURS, __name__, "Pandas", args))
    return [replace(PLANNED[name], sides=tuple(sides))]


def _repeated(rows: NDArray[np.int64], repeat: int) -> NDArray[np.int64]:
    """The rows again and again; times go on (the first column, and a venue's, the fifth of trades)."""
    period = (int(rows[-1, 0] - rows[0, 0]) // SECOND + 2) * SECOND
    out = np.tile(rows, (repeat, 1))
    out[:, 0] += np.repeat(np.arange(repeat), len(rows)) * period
    return np.ascontiguousarray(out)


def touches(tape: str, repeat: int) -> NDArray[np.int64]:
    """Valid touches after each depth message: time, bid, bid lots, ask, ask lots."""
    with Tape.open(tape) as opened:
        run = Run(opened, ["touch.bid", "touch.bid_lots", "touch.ask", "touch.ask_lots"])
        parts = [np.column_stack([p.ts, p.values]) for p in run.chunks()]
        ts = np.concatenate([p.ts for p in Run(opened, ["touch.bid"]).chunks()])
    values = np.concatenate(parts)[:, 1:]
    good = np.isfinite(values).all(axis=1)
    return _repeated(np.column_stack([ts[good], values[good].astype(np.int64)]), repeat)


def trades(tape: str, repeat: int) -> NDArray[np.int64]:
    """Market trades: time, side, ticks, lots, venue time."""
    with Tape.open(tape) as opened:
        rows = opened.events()
    rows = rows[rows["kind"] == 3]
    assert set(np.unique(rows["side"])) <= {SIDES["BUY"], SIDES["SELL"]}
    columns = [rows[n] for n in ("ts_local_ns", "side", "price_ticks", "quantity_lots")]
    return _repeated(np.column_stack([*columns, np.zeros(len(rows), np.int64)]).astype(np.int64), repeat)


def _made(names: tuple[str, ...]) -> Features:
    features = Features(asked=(), value_scale=1e-4)
    for name in names:
        features.ask(name, **({"model": TABLE} if name.startswith("microprice") else {}))
    return features


class Touches:
    """Ten features of the touch at once, less the same messages with none; each alone is in the notes."""

    names = TOUCH

    def __init__(self, tape: str, repeat: int) -> None:
        from benchmarks.harness.hearing import touches as feed

        self.rows, self.feed = touches(tape, repeat), feed

    def cost(self, names: tuple[str, ...]) -> tuple[float, float, Features]:
        """CPU and wall nanoseconds of all rows."""
        features = _made(names)
        with Clock() as clock:
            self.feed(features, self.rows)
        return clock.cpu, clock.wall, features

    def round(self) -> dict[str, Any]:
        nothing, nothing_wall, _ = self.cost(())
        cpu, wall, features = self.cost(self.names)
        count = len(self.rows)
        each = {name: (self.cost((name,))[0] - nothing) / count for name in self.names}
        facts = {"messages": count, **self.facts(features)}
        return {"value": (cpu - nothing) / count / len(self.names), "facts": facts,
                "wall": (wall - nothing_wall) / count / len(self.names), "notes": each}

    def facts(self, features: Features) -> dict[str, Any]:
        return {"ofi": features.value("ofi")}


class Trades(Touches):
    """Twelve features of trades at once, less the same trades with none."""

    names = TRADES

    def __init__(self, tape: str, repeat: int) -> None:
        from benchmarks.harness.hearing import trades as feed

        self.rows, self.feed = trades(tape, repeat), feed

    def facts(self, features: Features) -> dict[str, Any]:
        return {"flow": features.value("trade_flow")}


class Pandas:
    """Mid, imbalance, weighted mid, order flow and volatility of the same messages, over whole columns at once."""

    def __init__(self, tape: str, repeat: int) -> None:
        import pandas as pd

        self.pd, rows = pd, touches(tape, repeat)
        self.frame = pd.DataFrame(rows[:, 1:].astype(float), columns=["bid", "bid_lots", "ask", "ask_lots"],
                                  index=pd.DatetimeIndex(rows[:, 0]))

    def round(self) -> dict[str, Any]:
        pd, q = self.pd, self.frame
        with Clock() as clock:
            mid = (q.bid + q.ask) / 2
            share = q.bid_lots / (q.bid_lots + q.ask_lots)
            weighted = share * q.ask + (1 - share) * q.bid
            was = q.shift(1)
            flow = ((q.bid >= was.bid) * q.bid_lots - (q.bid <= was.bid) * was.bid_lots
                    - (q.ask <= was.ask) * q.ask_lots + (q.ask >= was.ask) * was.ask_lots)
            ofi = flow.rolling(pd.Timedelta(1, "s")).sum()
            returns = np.log(mid.resample("1s").last().ffill()).diff()
            volatility = np.sqrt((returns**2).rolling(60).sum())
        assert len(weighted) == len(q)
        assert len(volatility) > 0
        return clock.result(5 * len(q), {"messages": len(q), "ofi": round(float(ofi.iloc[-1]))})


class All:
    """Every feature of the table with its defaults over a recording, less the same walk of its book with none."""

    def __init__(self, tape: str) -> None:
        warm(tape)
        self.tape = Tape.open(Path(tape))
        self.arrays = (self.tape.batches, self.tape.levels, self.tape.rows)

    def cost(self, names: tuple[str, ...]) -> tuple[float, float, tuple[int, int]]:
        """CPU and wall nanoseconds, and the numbers of depth messages and trades."""
        from benchmarks.harness.hearing import messages

        features = _made(names)
        with Clock() as clock:
            counts = messages(features, *self.arrays)
        return clock.cpu, clock.wall, counts

    def round(self) -> dict[str, Any]:
        nothing, nothing_wall, _ = self.cost(())
        names = {family: tuple(f"{family}.{part}" if part else family for part in row.parts)
                 for family, row in FEATURES.items()}
        cpu, wall, counts = self.cost(tuple(name for every in names.values() for name in every))
        rows = self.tape.row_count
        each = {family: (self.cost(every)[0] - nothing) / rows for family, every in names.items()}
        return {"value": (cpu - nothing) / rows, "wall": (wall - nothing_wall) / rows, "notes": each,
                "facts": {"rows": rows, "depth": counts[0], "trades": counts[1]}}


class Evaluations:
    """A score of twenty features, a rule on it with hysteresis and cool-down, a quiet rule, and a combination of both;
    every feature changes at each evaluation."""

    def __init__(self, shapes: list[str]) -> None:
        rng = np.random.default_rng(1)
        self.features = Features(asked=())
        names = [f"mlofi.{part}:10:{span}s" for span in (1, 5) for part in range(1, 11)]
        self.signals = Signals([self.features])
        weights = {name: {"weight": float(rng.normal()), "shape": shapes[n % len(shapes)]}
                   for n, name in enumerate(names)}
        self.signals.blend("score", weights)
        self.signals.when("score", above=3.0, below=-3.0, hysteresis=1.0, cooldown_ns=50, name="far")
        self.signals.when(names[0], above=0.5, name="first", quiet=True)
        self.signals.combine(all=["far", "first"], name="both", cooldown_ns=50)
        assert self.features.slot_count == len(NAMES) + 20
        self.values = np.zeros((EVALUATIONS, self.features.slot_count))
        self.values[:, len(NAMES):] = rng.normal(size=(EVALUATIONS, 20)).cumsum(axis=0) % 4 - 2

    def round(self) -> dict[str, Any]:
        from benchmarks.harness.hearing import evaluations

        with Clock() as clock:
            evaluations(self.signals, self.values)
        return clock.result(EVALUATIONS, {"rules": self.signals.rule_count})
