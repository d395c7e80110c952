"""Replay of a recording in both views, venue and local: without orders, with a market maker, and its memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from apex.app.build import build_replay
from apex.app.options import ReplayOptions
from apex.app.replay import CHUNK, open_tapes
from benchmarks import inputs
from benchmarks.model import Benchmark, Side
from benchmarks.timing import Clock, memory, warm
from benchmarks.workers import OURS, PEERS

LOOPS = 30
LOOPS_SHORT = 3
LATENCY_NS = 5_000_000
HALF_SPREAD_TICKS = 5
INTERVAL_NS = 100_000_000
MAKER_FEE, TAKER_FEE = "0.0002", "0.0005"
MEMORY_MAX = 120e6
LIMITS = {"replay_noop": 25.0, "replay_maker": 38.0}
LEAST = {"replay_noop": {"hftbacktest HashMap": 3.8, "hftbacktest ROIVector": 2.5},
         "replay_maker": {"hftbacktest HashMap": 3.0, "hftbacktest ROIVector": 2.0}}
PLANNED = {
    **{name: Benchmark(name, "ns", "event", LIMITS[name], (), LEAST[name]) for name in LIMITS},
    "replay_memory": Benchmark("replay_memory", "bytes", "replay", MEMORY_MAX, (), rounds=(3, 2),
                               clock="peak of anonymous and shared memory"),
}


def benchmarks(name: str, short: bool) -> list[Benchmark]:
    """replay_noop, replay_maker, replay_memory. Raises Missing."""
    loops = LOOPS_SHORT if short else LOOPS
    tape, maker = inputs.hftbacktest_tape(loops), name == "replay_maker"
    one = inputs.one_tape()
    peers = {"npz": str(inputs.npz()), "loops": loops, "period_ns": inputs.period_ns(one),
             "maker": maker, "latency_ns": LATENCY_NS, "tick": 0.1, "lot": 0.001, "maker_fee": float(MAKER_FEE),
             "taker_fee": float(TAKER_FEE), "half_spread_ticks": HALF_SPREAD_TICKS, "interval_ns": INTERVAL_NS}
    memory = name == "replay_memory"
    ours = {"tape": str(tape), "maker": maker, **({"one": str(one)} if memory else {})}
    sides = [Side("", OURS, __name__, "Memory" if memory else "Ours", ours, fresh=memory)]
    for depth in ("HashMap",) if memory else ("HashMap", "ROIVector"):
        sides.append(Side(f"hftbacktest {depth}", "hftbacktest", f"{PEERS}.hftbacktest_rounds",
                          "Memory" if memory else "Replay", {**peers, "depth": depth}, fresh=memory))
    return [replace(PLANNED[name], sides=tuple(sides))]


class Ours:
    """A replay in compat mode, the market maker behind the whole gate, the risk-averse queue on."""

    def __init__(self, tape: str, maker: bool) -> None:
        self.path, self.maker = Path(tape), maker
        warm(tape)

    def replay(self) -> tuple[Clock, dict[str, Any], int]:
        """One replay: engine time, the facts, and the peak of memory."""
        options = ReplayOptions(fill_mode="compat", queue="risk-averse", order_latency=f"{LATENCY_NS}ns",
                                response_latency=f"{LATENCY_NS}ns", maker_fee=MAKER_FEE, taker_fee=TAKER_FEE)
        tapes = open_tapes([self.path])
        try:
            run = build_replay(tapes, self._strategy(), options)
            clock, over, peak = Clock(), False, 0
            with clock:
                while not over:
                    over = run.driver.run(CHUNK)
                    for number, batch in run.driver.positions():
                        run.tapes[number].release(batch)
                    peak = max(peak, memory())
            orders, fills = run.engine.tables()[:2]
            facts = {"rows": run.driver.rows_seen, "mid2": run.engine.mid2(0), "orders": len(orders),
                     "fills": len(fills), "position": run.engine.ledger.position(0)}
            denied = run.engine.denied
        finally:
            for tape in tapes:
                tape.close()
        if denied:
            raise AssertionError(f"the gate denied {denied} orders that the peers send")
        return clock, facts, peak

    def _strategy(self) -> Any:
        if not self.maker:
            return None
        from benchmarks.maker import Maker

        return Maker(Maker.Params(half_spread_ticks=HALF_SPREAD_TICKS, interval=f"{INTERVAL_NS}ns"))

    def round(self) -> dict[str, Any]:
        clock, facts, _ = self.replay()
        return clock.result(facts["rows"], facts)


class Memory(Ours):
    """The peak of anonymous and shared memory over a replay, interpreter and libraries included.

    A tape of one repetition is replayed before, so that the growth with the tape's length is told.
    """

    def __init__(self, tape: str, maker: bool, one: str) -> None:
        super().__init__(tape, maker)
        self.one = one

    def round(self) -> dict[str, Any]:
        _, _, first = Ours(self.one, self.maker).replay()
        _, facts, peak = self.replay()
        return {"value": peak, "wall": peak, "facts": facts, "notes": {"one_repetition": first}}
