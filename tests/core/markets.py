"""The scenarios that come with APEX, their rows, and markets to measure."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.events import KINDS, unpack
from apex._core.market import Market
from apex.domain.scenario import Scenario, load
from tests.conftest import ROOT

FOLDER = ROOT / "apex" / "scenarios"
NAMES = sorted(path.stem for path in FOLDER.glob("*.toml"))
KIND_NAMES = {code: name for name, code in KINDS.items()}


@cache
def of(name: str) -> Scenario:
    """A scenario by name."""
    return load(FOLDER / f"{name}.toml")


def market(scenario: Scenario, seed: int, count: int, by_order: bool = False) -> Market:
    """The generator of a scenario."""
    return Market(seed, count, scenario.price_ticks, scenario.rules, scenario.news, by_order)


def rows(scenario: Scenario, seed: int, count: int, by_order: bool = False, chunk: int = 1 << 16) -> NDArray[Any]:
    """All canonical rows, taken `chunk` at a time; the books are checked at each cut."""
    made = market(scenario, seed, count, by_order)
    parts = []
    while made.rows_left:
        parts.append(unpack(*made.take(chunk)))
        made._check()
    return np.concatenate(parts)
