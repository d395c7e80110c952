"""Runs benchmarks: rounds alternate between the worker processes of all sides, results are compared, values kept."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.model import Benchmark, Measured, Outcome
from benchmarks.workers import OURS, Failed, Missing, Worker, Workers

MODULES = {
    "book_l2_usdm": "bench_book", "book_l2_spot": "bench_book", "book_l3": "bench_l3",
    "decode_mix": "bench_decode", "decode_ticker": "bench_decode", "decode_depth": "bench_decode",
    "replay_noop": "bench_replay", "replay_maker": "bench_replay", "replay_memory": "bench_replay",
    "replay_l3": "bench_l3",
    "features_touch": "bench_features", "features_trades": "bench_features", "features_all": "bench_features",
    "signals_20": "bench_features",
    "import_plain": "bench_import", "import_gzip": "bench_import",
    "generate": "bench_generate", "startup": "bench_startup",
}
"""Benchmarks in the order they are told, and the module of each."""
MARGIN = 0.15
"""How far a target may be missed before --check fails."""

Tell = Callable[[str], None]


class Unequal(Exception):
    """Two sides of a benchmark, or two rounds of one, do not agree on the result."""


class _Running:
    """A side being measured: its worker, the object in it, and what was measured so far."""

    def __init__(self, measured: Measured, workers: Workers) -> None:
        self.measured, self._workers = measured, workers
        self._worker: Worker | None = None
        self._name = ""

    def start(self) -> None:
        """Make the object and do one round that does not count."""
        if not self.measured.side.fresh:
            self._open(self._workers.of(self.measured.side.env))
            self._round()

    def _open(self, worker: Worker) -> None:
        side = self.measured.side
        self._worker = worker
        self._name = worker.open(side.module, side.face, side.args)

    def _round(self) -> dict[str, Any]:
        assert self._worker is not None
        found: dict[str, Any] = self._worker.call(self._name, "round")
        facts = self.measured.facts
        for key, value in found["facts"].items():
            if facts.setdefault(key, value) != value:
                raise Unequal(f"{self.measured.side.peer or 'apex'}: {key} was {facts[key]!r}, now {value!r}")
        return found

    def round(self) -> None:
        """One round that counts."""
        if self.measured.side.fresh:
            worker = Worker(self.measured.side.env)
            try:
                self._open(worker)
                found = self._round()
            finally:
                worker.close()
        else:
            found = self._round()
        self.measured.values.append(found["value"])
        self.measured.walls.append(found["wall"])
        for key, value in found.get("notes", {}).items():
            self.measured.notes.setdefault(key, []).append(value)

    def finish(self) -> None:
        """Take samples of single items, where the side has them, and give the memory back."""
        if self._worker is None or self.measured.side.fresh:
            return
        if self.measured.side.samples:
            self.measured.samples = self._worker.call(self._name, "samples")
        self._worker.drop(self._name)


def run_one(benchmark: Benchmark, workers: Workers, rounds: int, tell: Tell) -> Outcome:
    """Measure one benchmark.

    Raises
    ------
    Unequal
        When sides disagree.
    Failed
        When ours cannot be measured; a peer that cannot has its reason in the outcome.
    """
    measured = [Measured(side) for side in benchmark.sides]
    alive = []
    for one in measured:
        running = _Running(one, workers)
        if _tried(running, running.start):
            alive.append(running)
    for number in range(rounds):
        tell(f"{benchmark.name} {benchmark.case} round {number + 1} of {rounds}".replace("  ", " "))
        order = list(alive) if number % 2 == 0 else list(reversed(alive))
        for running in order:
            if not _tried(running, running.round):
                alive.remove(running)
    for running in alive:
        running.finish()
    compare(measured)
    return Outcome(benchmark, measured)


def _tried(running: _Running, action: Callable[[], None]) -> bool:
    """Do it; a peer that fails is left out with its reason."""
    try:
        action()
    except (Missing, Failed) as error:
        if running.measured.side.env == OURS and not running.measured.side.peer:
            raise
        running.measured.reason = str(error)
        running.measured.values.clear()
        return False
    return True


def compare(measured: list[Measured]) -> None:
    """Every fact that two sides tell must be equal. Raises Unequal."""
    known: dict[str, tuple[str, Any]] = {}
    for one in measured:
        for key, value in one.facts.items():
            name, other = known.setdefault(key, (one.side.peer or "apex", value))
            if other != value:
                raise Unequal(f"{key}: {name} has {other!r}, {one.side.peer} has {value!r}")


def run(names: Sequence[str], short: bool, rounds: int | None = None,
        tell: Tell = lambda text: None) -> list[Outcome]:
    """Measure the named benchmarks, all when none is named."""
    outcomes = []
    with Workers() as workers:
        for name in names or list(MODULES):
            module = importlib.import_module(f"benchmarks.{MODULES[name]}")
            tell(f"{name} inputs")
            try:
                found = module.benchmarks(name, short)
            except Missing as missing:
                outcomes.append(Outcome(module.PLANNED[name], [], str(missing)))
                continue
            for benchmark in found:
                outcomes.append(run_one(benchmark, workers, rounds or benchmark.rounds[short], tell))
    return outcomes


def rows(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    """One row a benchmark and peer, as `apex bench --json` prints them."""
    found = []
    for outcome in outcomes:
        ours = outcome.sides[0] if outcome.sides else None
        peers = outcome.sides[1:] or [None]
        found += [_row(outcome, ours, peer, number == 0) for number, peer in enumerate(peers)]
    return found


def _row(outcome: Outcome, ours: Measured | None, peer: Measured | None, first: bool) -> dict[str, Any]:
    benchmark, held, reached = outcome.benchmark, None, None
    median = ours.median if ours else None
    other = peer.median if peer else None
    ratio = other / median if other is not None and median else None
    least = benchmark.least.get(peer.side.peer) if peer else None
    if first or least is not None:
        best = min(ours.values, default=None) if ours else None
        held = _held(benchmark, best, ratio, least, MARGIN)
        reached = _held(benchmark, median, ratio, least, 0.0)
    return {
        "name": benchmark.name, "case": benchmark.case or None, "unit": benchmark.unit, "item": benchmark.item,
        "median": median, "p99": ours.p99 if ours else None, "max": ours.max if ours else None,
        "peer": peer.side.peer if peer else None, "peer_median": other, "ratio": ratio,
        "limit": benchmark.limit, "ratio_least": least, "held": held, "reached": reached,
        "reason": outcome.reason or (peer.reason if peer else None),
        "rounds": len(ours.values) if ours else 0, "clock": benchmark.clock,
    }


def _held(benchmark: Benchmark, figure: float | None, ratio: float | None, least: float | None,
          margin: float) -> bool | None:
    """Whether the row's target is reached within a margin; None where the row has none to decide.

    A ratio decides where the table has one, else the figure. What holds in CI is judged with 15 % of margin and, for
    figures, by the best round, since what else runs on the machine only adds to it; what people read, by the median
    and without margin. What could not be measured is not reached.
    """
    if least is not None:
        return ratio is not None and ratio >= least * (1 - margin)
    if benchmark.least:
        return None
    return figure is not None and figure <= benchmark.limit * (1 + margin)
