"""Sweeps: one replay for each point of a grid of parameters, in worker processes that share the mapped tapes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from apex._core.engine import Strategy
from apex.app.build import build_replay
from apex.app.options import ReplayOptions, find_strategy, options_from
from apex.app.replay import open_tapes
from apex.app.sweep_worker import NUMBERS, Job, prepare
from apex.domain.errors import ConfigError
from apex.domain.params import Params
from apex.research import grid
from apex.research.executor import evaluate_all
from apex.research.worker import WORKERS_MAX, Failure

if TYPE_CHECKING:
    import pandas as pd

RUNS_MAX = 10_000
"""Runs that a sweep makes without being told so."""
RUNS_LIMIT = 1_000_000
"""Runs of any sweep: its rows are held in memory."""
SAMPLE_SECONDS = 0.25
PARTS = 10_000
"""What `progress` is told, out of this."""

class Sweep(msgspec.Struct, frozen=True):
    """What a sweep gave.

    Attributes
    ----------
    rows : list of dict
        One a run, in the grid's order: run, params, the numbers of its summary, error (None, or code, what, where, do).
    axes : dict
        The values of each parameter that varied.
    strategy : str
    tapes : list of str
    workers : int
        Processes at work.
    seconds : float
        Wall time with the start of the workers.
    peak_pss_bytes : int or None
        Greatest memory of all processes together, shared pages once; sampled four times a second.
    """

    rows: list[dict[str, Any]]
    axes: dict[str, list[Any]]
    strategy: str
    tapes: list[str]
    workers: int
    seconds: float
    peak_pss_bytes: int | None

    @property
    def errors(self) -> int:
        """How many runs gave no result."""
        return sum(row["error"] is not None for row in self.rows)

    @property
    def frame(self) -> pd.DataFrame:
        """The rows as a DataFrame: see `apex.app.sweep_table`."""
        from apex.app.sweep_table import frame

        return frame(self.rows)


class Memory:
    """The greatest memory of some processes and this one together."""

    def __init__(self) -> None:
        self.peak: int | None = None
        self._next = 0.0

    def sample(self, processes: Sequence[int]) -> None:
        """Look, unless it was a moment ago."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SAMPLE_SECONDS
        total = sum(_pss(pid) for pid in (os.getpid(), *processes))
        if total:
            self.peak = max(total, self.peak or 0)


def _pss(pid: int) -> int:
    """Proportional set size of a process in bytes; 0 where the system does not say."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as stream:
            return next((int(line.split()[1]) * 1024 for line in stream if line.startswith("Pss:")), 0)
    except OSError:
        return 0


def strategy_name(given: Any) -> str:
    """ "module:Class" of a strategy that a worker can import.

    Raises
    ------
    ConfigError
        For an instance, or a class that no module holds under its name.
    """
    if isinstance(given, str):
        return given
    if not (isinstance(given, type) and issubclass(given, Strategy)):
        raise ConfigError(f"{given!r} is no strategy class", "strategy", 'Give a class, or "module:Class"')
    name = f"{given.__module__}:{given.__qualname__}"
    do = f"Write class {given.__name__} into a file of its own and give it from there: workers import it by name"
    if given.__module__ == "__main__":
        raise ConfigError(f"{given.__qualname__} is defined in the main program or a notebook", "strategy", do)
    try:
        same = find_strategy(name) is given
    except ConfigError:
        same = False
    if not same:
        raise ConfigError(f"{name} cannot be imported by this name", "strategy", do)
    return name


def _points(strategy: str, axes: grid.Axes, fixed: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All parameters of every run; ConfigError for a parameter that is unknown, or a value out of its bounds."""
    for name in axes:
        if name in fixed:
            raise ConfigError(f"parameter {name} is both set and swept", f"--grid {name}", "Give it once")
    maker = getattr(find_strategy(strategy), "Params", Params)
    out = []
    for point in grid.points(axes):
        try:
            out.append(maker(**fixed, **point).as_dict())
        except ConfigError as error:
            at = ", ".join(f"{name}={value!r}" for name, value in point.items())
            raise ConfigError(error.what, f"--grid, at {at}", error.do) from None
    return out


def _job(tapes: Sequence[str | Path], strategy: str, options: ReplayOptions) -> tuple[Job, int]:
    """What the workers need, checked here once, and the rows of the tapes."""
    opened = open_tapes(tapes)
    try:
        build_replay(opened, Strategy() if options.scores or options.signals else None, options)
        hashes = tuple(tape.content_hash for tape in opened)
        return Job(tuple(str(t) for t in tapes), hashes, strategy, options), sum(t.row_count for t in opened)
    finally:
        for tape in opened:
            tape.close()


def runs_of(axes: grid.Axes, max_runs: int | None) -> int:
    """How many runs a grid makes; ConfigError for more than `max_runs` (None: a million)."""
    runs, limit = grid.count(axes), RUNS_LIMIT if max_runs is None else min(max_runs, RUNS_LIMIT)
    if runs > limit:
        more = "" if limit == RUNS_LIMIT else f", or say --yes (up to {RUNS_LIMIT:,})"
        raise ConfigError(f"the grid makes {runs:,} runs, more than {limit:,}", "--grid",
                          "Vary less" + (f", raise --max-runs{more}" if more else ""))
    return runs


def run_sweep(tapes: Sequence[str | Path], strategy: str, axes: grid.Axes, options: ReplayOptions, *,
              workers: int | None = None, max_runs: int | None = RUNS_MAX,
              progress: Callable[[int], None] = lambda done: None,
              started: Callable[[int, int, int], None] = lambda runs, rows, workers: None) -> Sweep:
    """Replay tapes at every point of a grid; see `sweep`.

    `started` is told the numbers of runs, of rows a run and of workers before the first run; `progress` how much is
    done, out of PARTS.
    """
    runs = runs_of(axes, max_runs)
    if options.orders is not None:
        raise ConfigError("a sweep varies a strategy's parameters; a schedule of orders has none", "orders",
                          "Replay it with: apex replay --orders")
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    if not 1 <= workers <= WORKERS_MAX:
        raise ConfigError(f"{workers} workers", "--workers", f"Give 1 to {WORKERS_MAX}")
    points = _points(strategy, axes, options.params)
    job, rows = _job(tapes, strategy, options)
    workers, memory, began = min(workers, runs), Memory(), time.perf_counter()
    started(runs, rows, workers)

    def watch(finished: int, at: int, processes: Sequence[int]) -> None:
        memory.sample(processes)
        progress((finished * rows + at) * PARTS // max(runs * rows, 1))

    results = evaluate_all(prepare, job, points, workers=workers, watch=watch)
    table = [_row(number, point, result) for number, (point, result) in enumerate(zip(points, results, strict=True))]
    return Sweep(table, {name: list(values) for name, values in axes.items()}, strategy,
                 [Path(tape).name for tape in tapes], workers, time.perf_counter() - began, memory.peak)


def _row(number: int, params: dict[str, Any], result: Any) -> dict[str, Any]:
    if isinstance(result, Failure):
        return {"run": number, "params": params, **dict.fromkeys(NUMBERS), "error": result._asdict()}
    return {"run": number, "params": params, **result, "error": None}


def axes_of(given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """A grid from Python: each parameter's values as a sequence, or as the command line writes them ("1:10")."""
    out = {}
    for name, values in given.items():
        if isinstance(values, str):
            out[name] = grid.axis(values, f"grid {name}")
        elif isinstance(values, (bytes, Mapping)) or not hasattr(values, "__iter__"):
            raise ConfigError(f"{values!r} are no values", f"grid {name}", 'Give a list, a range, or text like "1:10"')
        else:
            out[name] = grid.checked(values, f"grid {name}")
    if not out:
        raise ConfigError("the grid is empty", "grid", 'Give for example {"width": range(1, 11)}')
    return out


def sweep(tapes: str | Path | Sequence[str | Path], strategy: Any, *, grid: Mapping[str, Any],
          workers: int | None = None, max_runs: int | None = RUNS_MAX, **options: Any) -> pd.DataFrame:
    """Replay tapes at every point of a grid of parameters, in worker processes.

    Parameters
    ----------
    tapes : path or list of paths
        Several tapes are several instruments on one clock.
    strategy : class or "module:Class"
        Importable: workers are new interpreters, and find it by its name. A class of the main program or of a notebook
        is none that they could import.
    grid : mapping
        Values of each parameter that varies: a sequence, or text as the command line takes it ("1:10", "0.1,0.2").
    workers : int, optional
        Processes (one a processor).
    max_runs : int or None
        Refuse a grid of more runs; None allows up to a million.
    **options
        As for `apex.replay`; `params` are parameters that do not vary.

    Returns
    -------
    DataFrame
        One row a run, in the order of the grid, its last parameter changing fastest, whatever the number of workers:
        run, the parameters, the numbers of the summary, result_hash, and error, which is None unless the run gave no
        result. `attrs` has seconds, workers and peak_pss_bytes.

    Raises
    ------
    ConfigError, InputError, EnvironmentProblem
    """
    from apex.app.console import progress

    paths = [tapes] if isinstance(tapes, str | Path) else list(tapes)
    axes, chosen = axes_of(grid), options_from(options)
    with progress("sweep", PARTS) as bar:
        found = run_sweep(paths, strategy_name(strategy), axes, chosen, workers=workers, max_runs=max_runs,
                          progress=bar)
    table = found.frame
    table.attrs.update(seconds=found.seconds, workers=found.workers, peak_pss_bytes=found.peak_pss_bytes)
    return table
