"""Replays that the reports are tested on: real ones, of generated markets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import apex
from apex.app.generate_command import generate
from apex.app.replay import ReplayResult
from apex.domain.instrument import Instrument
from tests.research.strategies import Busy

FEES = {"maker_fee": "-0.00005", "taker_fee": "0.0004"}
DELAYS = {"order_latency": "7ms", "response_latency": "3ms"}


def instrument(symbol: str, venue: str = "generated", kind: Any = "linear") -> Instrument:
    """An instrument with a tick of 0.1 and a lot of 0.001."""
    return Instrument(symbol, venue, "0.1", "0.001", kind=kind, base=symbol[:-4], quote="USDT")


@pytest.fixture(scope="session")
def tapes(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A tape of a generated market, made once for each seed, size and set of instruments."""
    folder = tmp_path_factory.mktemp("tapes")

    def make(seed: int = 3, rows: int = 120_000, of: tuple[Instrument, ...] = (instrument("AAAUSDT"),)) -> Path:
        name = "-".join((str(seed), str(rows), *(f"{i.venue}.{i.symbol}.{i.kind}" for i in of)))
        path = folder / f"{name}.tape"
        if not path.exists():
            generate(path, seed, rows, of, 600_000)
        return path

    return make


@pytest.fixture(scope="session")
def result(tapes: Callable[..., Path]) -> ReplayResult:
    """A busy run on one instrument, with latencies, fees and a rebate."""
    return apex.replay(tapes(), Busy, queue="log-prob", **FEES, **DELAYS)


@pytest.fixture(scope="session")
def both(tapes: Callable[..., Path]) -> ReplayResult:
    """A busy run on two instruments, one spot, of one symbol on two venues."""
    first, second = instrument("AAAUSDT", "one"), instrument("AAAUSDT", "two", "spot")
    return apex.replay([tapes(4, 60_000, (first,)), tapes(5, 60_000, (second,))], Busy, **FEES, **DELAYS)


@pytest.fixture(params=["result", "both"])
def any_result(request: pytest.FixtureRequest) -> ReplayResult:
    """Each of the two runs."""
    found: ReplayResult = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def idle(tapes: Callable[..., Path]) -> Callable[[Any], ReplayResult]:
    """A short run of a strategy that does not trade."""
    return lambda strategy: apex.replay(tapes(6, 20_000), strategy, **DELAYS)
