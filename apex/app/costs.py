"""Transaction costs of the parent orders that a strategy worked in a replay."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from apex.app.build import Replay, streams
from apex.domain.execution import Execution


def costs(run: Replay, fills: NDArray[Any]) -> dict[str, Any]:
    """`{"tca": [...]}` for a strategy with `executions`, one entry a parent order; empty for others."""
    found = getattr(run.strategy, "executions", None)
    if not isinstance(found, list) or not all(isinstance(parent, Execution) for parent in found):
        return {}
    from apex.research.tca import analysis
    from apex.research.volume import traded

    _, sources, _ = streams(run.tapes, run.options.instrument)
    linear = [parent for parent in found if run.instruments[parent.instrument].kind != "inverse"]
    markets = []
    for parent in linear:
        number, index, _ = sources[parent.instrument]
        start, stop = (at - run.shift_ns for at in (parent.start_ns, parent.end_ns))
        markets.append(traded(run.tapes[number], index, start, stop))
    return {"tca": analysis(linear, fills, run.instruments, markets)}
