"""What a benchmark is: its sides, its targets; and what a run of it gave."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

WALL = "wall"
"""The clock of what has several threads or processes."""
SAMPLES_LEAST = 1000
"""Samples from which a 99th percentile is told."""


@dataclass(frozen=True)
class Side:
    """One engine of a benchmark: a class in a module, made in a worker of an environment.

    The class has `round() -> {"value", "wall", "facts", "notes"}` (unit of the benchmark, for one item; facts that
    all sides share must be equal; notes are kept) and, with `samples`, `samples() -> list of float`, values of single
    items.
    """

    peer: str                 # "" is ours
    env: str
    module: str
    face: str
    args: dict[str, Any]
    fresh: bool = False       # a new process for every round
    samples: bool = False     # it has `samples`


@dataclass(frozen=True)
class Benchmark:
    """A measurement of ours and its peers, and what the issue's table asks of it.

    `limit` is the figure to reach at most; `least` the ratio peer / ours to reach at least, by peer. Where there are
    ratios they decide, and the figure orients.
    """

    name: str
    unit: str                 # ns, s or bytes
    item: str                 # what one value is of: "level", "event"
    limit: float
    sides: tuple[Side, ...]   # ours first
    least: dict[str, float] = field(default_factory=dict)
    case: str = ""            # where a benchmark has several measurements
    rounds: tuple[int, int] = (5, 3)   # full, short
    clock: str = "thread CPU"


@dataclass
class Measured:
    """Values of the rounds of one side."""

    side: Side
    values: list[float] = field(default_factory=list)
    walls: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)
    notes: dict[str, list[float]] = field(default_factory=dict)   # other figures of the rounds, for the record
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None

    @property
    def median(self) -> float | None:
        return statistics.median(self.values) if self.values else None

    @property
    def p99(self) -> float | None:
        """99th percentile of single items (nearest rank); None below 1,000 samples."""
        if len(self.samples) < SAMPLES_LEAST:
            return None
        return sorted(self.samples)[-(-99 * len(self.samples) // 100) - 1]

    @property
    def max(self) -> float | None:
        return max(self.samples or self.values, default=None)


@dataclass
class Outcome:
    """A benchmark and what its sides gave, ours first."""

    benchmark: Benchmark
    sides: list[Measured]
    reason: str | None = None
