"""A run of a sweep, in a worker process: nothing is imported here that a replay does not need."""

from __future__ import annotations

import gc
from typing import Any

import msgspec
from msgspec.structs import replace

from apex.app.options import ReplayOptions, find_strategy
from apex.app.replay import open_tapes, run_summary
from apex.domain.errors import InputError
from apex.research.worker import Advance, Evaluate

COUNTS = ("events", "strategy_calls", "signals", "blocked", "orders", "denied", "unfilled", "fills", "liquidations")
MONEY = ("spread_captured", "inventory_pnl", "gross_pnl", "fees", "funding", "liquidation_fees", "impact_cost",
         "net_pnl", "max_drawdown_money")
BY_NAME = ("position", "blocked_by", "denied_by", "unfilled_by")
NUMBERS = (*COUNTS, *MONEY, *BY_NAME, "result_hash")
"""What a row takes of a replay's summary: what depends on the parameters, and nothing that depends on the machine."""


class Job(msgspec.Struct, frozen=True):
    """What the runs of a sweep have in common."""

    tapes: tuple[str, ...]
    hashes: tuple[str, ...]
    strategy: str
    options: ReplayOptions


def prepare(job: Job) -> Evaluate:
    """Open the tapes once; the function that replays them with some parameters."""
    tapes = open_tapes(job.tapes)
    for tape, wanted in zip(tapes, job.hashes, strict=True):
        if tape.content_hash != wanted:
            raise InputError("the tape was replaced while the sweep began", str(tape.path), "Run the sweep again")
    find_strategy(job.strategy)

    def evaluate(params: dict[str, Any], advance: Advance) -> dict[str, Any]:
        try:
            summary = run_summary(tapes, job.strategy, replace(job.options, params=params), advance)
        finally:
            gc.collect()  # an engine and its strategy hold each other; the collector does not see how much
        return {name: summary[name] for name in NUMBERS}

    return evaluate
