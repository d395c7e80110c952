"""Sides of benchmarks for tests of the driver; made in worker processes. Standard library only."""

from __future__ import annotations

import os
from typing import Any


class Steady:
    """The same value each round, and facts as told; prints, as noisy libraries do."""

    def __init__(self, value: float, facts: dict[str, Any] | None = None, count: int = 0) -> None:
        self.value, self.facts, self.count = value, facts or {}, count

    def round(self) -> dict[str, Any]:
        print("a library that prints")
        return {"value": self.value, "wall": 2 * self.value, "facts": self.facts}

    def samples(self) -> list[float]:
        return [float(number) for number in range(self.count)]


class Drifting(Steady):
    """Tells another fact each round."""

    def round(self) -> dict[str, Any]:
        self.facts = {"fills": self.facts.get("fills", 0) + 1}
        return super().round()


class Failing(Steady):
    """Cannot be measured."""

    def round(self) -> dict[str, Any]:
        raise RuntimeError("no such library")


class Dying(Steady):
    """Takes its process with it."""

    def round(self) -> dict[str, Any]:
        os._exit(3)


class Process(Steady):
    """Its value is the number of its process."""

    def round(self) -> dict[str, Any]:
        return {"value": os.getpid(), "wall": 0, "facts": {}}
