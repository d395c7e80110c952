"""Calibration: the queue model and the latencies under which our own orders fill as they did, and what stays open."""

from __future__ import annotations

import gc
import json
import shutil
from collections.abc import Callable, Sequence
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from apex.app import options as opt
from apex.app.build import streams
from apex.app.candidates import (
    ORDERS_MIN,
    Axis,
    Legs,
    Point,
    around,
    axes,
    legs_of,
    made,
    middles,
    queues_of,
    spread,
    with_delay,
)
from apex.app.options import ReplayOptions, options_from
from apex.app.own_orders import OwnOrders, read_own
from apex.app.replay import ReplayResult, open_tapes, run_replay, run_summary
from apex.app.residual import Residual, mids_of, residual
from apex.domain.decimals import money, units
from apex.domain.errors import ConfigError, InputError
from apex.research import calibration
from apex.research.calibration import Fit, Outcomes
from apex.store.tape import Tape

Ints = NDArray[np.int64]
TOLERANCE = "50ms"
LEVEL = 0.9
REFINED = 5
"""Times that candidates half way from the best to its neighbours are tried."""
PARTS = 10_000
FITTED = ("queue", "order_latency", "response_latency", "cancel_latency", "amend_latency", "latency")
HOLD = "60s"
DRAWS = 40
"""Candidates all over the neighbourhood of the best: P&L differs even where our own orders do not."""
DRAWS_MAX = 10_000
BATCH = 8
"""Of them at a time; the next ones know what these found."""


class Candidate(msgspec.Struct, frozen=True):
    """One set of parameters and how it tells our orders.

    Attributes
    ----------
    queue : str
    order_latency, response_latency : str or None
        Constant legs; None where measured ones are taken.
    entry_share : float or None
        Share of a measured round trip that is the way to the venue; None: both legs are measured, or none.
    wrong : float
        Share of our orders that it tells wrongly.
    log_likelihood : float
    in_play : bool
        Whether it is not worse than the likeliest by more than chance would have it.
    filled : float
        Share of the ordered lots that it fills.
    net_pnl : str or None
        Of the strategy, or of our orders where there is none; None: it is not in play.
    """

    queue: str
    order_latency: str | None
    response_latency: str | None
    entry_share: float | None
    wrong: float
    log_likelihood: float
    in_play: bool
    filled: float
    net_pnl: str | None


class Calibration(msgspec.Struct, frozen=True):
    """What own fills say of the venue.

    Attributes
    ----------
    orders, told_apart : int
        Own orders, and those on which the candidates do not agree.
    filled : float
        Share of the ordered lots that the venue filled.
    best : Candidate
    candidates : list of Candidate
        By falling likelihood.
    in_play : int
        How many candidates the fills leave in play.
    band : dict
        Net P&L, decimals as text: `parameters_low` and `parameters_high`, its range over the candidates in play at a
        `level`, and its `median`; `told_wrongly` and `told_wrongly_error`, what orders that the best candidate tells
        wrongly made more than it says, scaled by the number of fills; `low` and `high`, all of it.
    latency : dict
        Where the legs come from ("both legs", "round trip" or "fills"), quantiles of measured legs in ns.
    options : dict
        Options of a replay with the best candidate; a `latency` of None was measured, and not kept.
    """

    orders: int
    told_apart: int
    filled: float
    best: Candidate
    candidates: list[Candidate]
    in_play: int
    band: dict[str, Any]
    latency: dict[str, Any]
    options: dict[str, Any]


class Trials:
    """Candidates that were replayed, and how each tells our orders."""

    def __init__(self, tapes: list[Tape], own: OwnOrders, options: ReplayOptions, tolerance_ns: int,
                 progress: Callable[[int], None]) -> None:
        self.tapes, self.own, self.options, self.tolerance_ns, self.progress = (
            tapes, own, options, tolerance_ns, progress)
        self.points: list[Point] = []
        self.fits: list[Fit] = []
        self.filled: list[int] = []
        self.pnl: list[str] = []
        self.fills: list[int] = []
        self.outcomes: list[Outcomes] = []

    def add(self, points: list[Point], begin: int, end: int) -> None:
        """Replay our orders with more candidates, those that are known left out; progress from `begin` to `end`."""
        points = [point for n, point in enumerate(points) if point not in self.points and point not in points[:n]]
        for done, (queue, leg) in enumerate(points, 1):
            try:
                result = run_replay(self.tapes, None, _with(self.options, queue, leg))
            finally:
                gc.collect()  # an engine and its strategy hold each other
            found = _outcomes(result)
            self.points.append((queue, leg))
            self.fits.append(calibration.fit(self.own.lots, self.own.outcomes, found, self.tolerance_ns))
            self.filled.append(int(found.filled.sum()))
            self.pnl.append(result.summary["net_pnl"])
            self.fills.append(len(result.fill_rows))
            self.outcomes.append(found)
            self.mids, self.instruments = mids_of(result), result.instruments
            self.progress(begin + (end - begin) * done // len(points))

    @property
    def wrong(self) -> NDArray[np.float64]:
        """Of each order and candidate, the share told wrongly."""
        return np.stack([fit.wrong for fit in self.fits], axis=1)

    @property
    def best(self) -> int:
        """Place of the likeliest."""
        return calibration.best(self.wrong, np.array(self.filled, np.int64))

    def in_play(self, level: float) -> list[bool]:
        """Which are not worse than the likeliest."""
        return list(map(bool, calibration.in_play(self.wrong, self.best, level)))


def run_calibration(
    tapes: list[Tape], own_path: Path, strategy: Any, options: ReplayOptions, *, folder: Path,
    queues: Sequence[str] | None = None, latencies: Sequence[str] | None = None, tolerance: str = TOLERANCE,
    level: float = LEVEL, draws: int = DRAWS, hold: str = HOLD,
    progress: Callable[[int], None] = lambda done: None,
) -> Calibration:
    """Fit opened tapes; see `calibrate`.

    `folder` takes the tables of measured latencies; `progress` is told how much is done, out of PARTS.
    """
    _check(options, level, draws)
    opt.duration(hold, "--hold")
    own = read_own(own_path, streams(tapes, options.instrument)[0])
    if len(own.rows) < ORDERS_MIN:
        raise InputError(f"{len(own.rows)} orders tell too little", str(own_path), f"Give {ORDERS_MIN} or more")
    legs, latency = legs_of(own, folder, latencies)
    models = queues_of(tapes, options) if queues is None else list(queues)
    for name in models:
        opt.queue(name)
    trials = Trials(tapes, own, replace(options, orders=str(own_path), params={}, limits=None),
                     opt.duration(tolerance, "--tolerance"), progress)
    total = len(models) * len(legs) + draws
    trials.add([(queue, leg) for queue in models for leg in legs], 0, PARTS * (total - draws) // total)
    fixed = {name for name, values in (("power", queues), ("latency", latencies)) if values is not None}
    _narrow(trials, folder, fixed, level, draws, PARTS * (total - draws) // total)
    return _told(trials, strategy, options, latency, level, hold)


def _narrow(trials: Trials, folder: Path, fixed: set[str], level: float, draws: int, begin: int) -> None:
    """Try what lies between the best candidate and its neighbours, then what lies around all that are in play."""

    def whole() -> list[Axis]:
        return [axis for axis in axes(trials.points, trials.in_play(level), trials.best) if axis.name not in fixed]

    def add(values: list[dict[str, float]], to: int) -> None:
        point = trials.points[trials.best]
        trials.add([made(point, v, trials.own, folder) for v in values if v], begin, to)

    for _ in range(REFINED):
        add(middles(trials.points[trials.best], whole()), begin)
    bounds, chosen = whole(), trials.points[trials.best][0].partition(":")[0]
    for done in range(0, draws, BATCH):
        if trials.points[trials.best][0].partition(":")[0] != chosen:
            bounds, chosen = whole(), trials.points[trials.best][0].partition(":")[0]
        end = min(done + BATCH, draws)
        here = around(trials.points, trials.in_play(level), trials.best, bounds)
        add(spread(here, done + 1, end + 1), begin + (PARTS - begin) * end // draws)


def _told(trials: Trials, strategy: Any, options: ReplayOptions, latency: dict[str, Any], level: float,
          hold: str) -> Calibration:
    """What the trials say."""
    own, wrong, chosen, play = trials.own, trials.wrong, trials.best, trials.in_play(level)
    pnl, fills = trials.pnl, trials.fills
    if strategy is not None:
        pnl, fills = _of_strategy(trials.tapes, strategy, options, trials.points, play)
    left = residual(own, trials.outcomes[chosen], trials.mids, trials.instruments,
                    None if strategy is None else opt.duration(hold, "--hold"), float(options.maker_fee))
    if strategy is None:
        left = Residual(left.total, 0.0)             # these very orders: nothing of it is chance
    scale = fills[chosen] / trials.fills[chosen] if trials.fills[chosen] else 0.0
    ranked = _ranked(trials, play, pnl)
    best = next(c for at, c in ranked if at == chosen)
    return Calibration(
        len(own.rows), int((wrong != wrong[:, :1]).any(axis=1).sum()), _share(own.outcomes.filled.sum(), own), best,
        [best, *(c for at, c in ranked if at != chosen)], sum(play), _band(pnl, play, level, left, scale),
        latency, {"queue": best.queue, **with_delay(trials.points[chosen][1], trials.fits[chosen]).options})


def _check(options: ReplayOptions, level: float, draws: int) -> None:
    if options.orders is not None:
        raise ConfigError("own orders are given with --own", "--orders", "Leave --orders away")
    for name in FITTED:
        if getattr(options, name) != getattr(ReplayOptions(), name):
            option = "--" + name.replace("_", "-")
            raise ConfigError(f"{option[2:]} is what is fitted", option, "Leave it away, or see --queues, --latencies")
    if not 0.5 <= level < 1:
        raise ConfigError(f"a level of {level}", "--level", "Give 0.5 to below 1, such as 0.9")
    if not 0 <= draws <= DRAWS_MAX:
        raise ConfigError(f"{draws} draws", "--draws", f"Give 0 to {DRAWS_MAX:,}")


# ---- replays ---------------------------------------------------------------------------------------------------------

def _with(options: ReplayOptions, queue: str, leg: Legs) -> ReplayOptions:
    return replace(options, queue=queue, **leg.options)


def _outcomes(result: ReplayResult) -> Outcomes:
    """Lots and venue time of the last fill of each row of the schedule; nothing for those never sent."""
    assert result.schedule is not None
    sequence = np.array(result.schedule.sequence, np.int64)
    sent = sequence >= 0
    filled, when = np.zeros(len(sequence), np.int64), np.zeros(len(sequence), np.int64)
    rows = result.order_rows[sequence[sent]]
    filled[sent] = rows["filled_lots"]
    last = dict(zip(result.fill_rows["id"].tolist(), result.fill_rows["ts_venue_ns"].tolist(), strict=True))
    when[sent] = [last.get(id, 0) for id in rows["id"].tolist()]
    return Outcomes(filled, when)


def _of_strategy(tapes: list[Tape], strategy: Any, options: ReplayOptions, points: list[Point],
                 play: list[bool]) -> tuple[list[str], list[int]]:
    """Net P&L and number of fills of the strategy under each candidate in play; 0 for the others."""
    pnl, fills = ["0"] * len(points), [0] * len(points)
    for at, (queue, leg) in enumerate(points):
        if play[at]:
            summary = run_summary(tapes, strategy, _with(options, queue, leg))
            pnl[at], fills[at] = summary["net_pnl"], summary["fills"]
            gc.collect()
    return pnl, fills


def _share(lots: Any, own: OwnOrders) -> float:
    return float(lots) / float(own.lots.sum())


def _ranked(trials: Trials, play: list[bool], pnl: list[str]) -> list[tuple[int, Candidate]]:
    """Candidates with their places, the likeliest first."""
    wrong = trials.wrong
    likelihood = calibration.log_likelihood(wrong)
    found = []
    for at, (queue, leg) in enumerate(trials.points):
        legs = with_delay(leg, trials.fits[at]).options
        found.append((at, Candidate(
            queue, legs.get("order_latency"), legs.get("response_latency"), leg.share, float(wrong[:, at].mean()),
            float(likelihood[at]), play[at], _share(trials.filled[at], trials.own),
            pnl[at] if play[at] else None)))
    return sorted(found, key=lambda item: -item[1].log_likelihood)


def _band(pnl: list[str], play: list[bool], level: float, left: Residual, scale: float) -> dict[str, Any]:
    """The range of net P&L over the candidates in play, its median, and wider by what orders told wrongly cost."""
    cash = sorted(units(text, money(1)) for text, ok in zip(pnl, play, strict=True) if ok)
    shift, error = left.total * scale, left.error * sqrt(scale) * NormalDist().inv_cdf((1 + level) / 2)
    told = {"low": cash[0], "median": cash[(len(cash) - 1) // 2], "high": cash[-1]}
    wide = {"low": cash[0] + round(min(0.0, shift) - error), "high": cash[-1] + round(max(0.0, shift) + error)}
    return {"level": level, **{name: money(value) for name, value in (told | wide).items()},
            "parameters_low": money(told["low"]), "parameters_high": money(told["high"]),
            "told_wrongly": money(round(shift)), "told_wrongly_error": money(round(error))}


def kept(found: Calibration, out: str | Path | None) -> Calibration:
    """Write it to a folder with the best candidate's latencies; without one they are gone, and no option names them."""
    options = dict(found.options)
    if out is None:
        return replace(found, options={name: None if name == "latency" else value for name, value in options.items()})
    folder = Path(out).resolve()                     # replay.toml names a file in it
    folder.mkdir(parents=True, exist_ok=True)
    if "latency" in options:
        options["latency"] = str(shutil.copyfile(options["latency"], folder / "latency.csv"))
    found = replace(found, options=options)
    text = msgspec.json.format(msgspec.json.encode(found), indent=2)
    (folder / "calibration.json").write_bytes(text + b"\n")
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items())
    (folder / "replay.toml").write_text(lines, encoding="utf-8")
    return found


def calibrate(tapes: str | Path | Sequence[str | Path], own: str | Path, strategy: Any = None, *,
              out: str | Path | None = None, queues: Sequence[str] | None = None,
              latencies: Sequence[str] | None = None, tolerance: str = TOLERANCE, level: float = LEVEL,
              draws: int = DRAWS, hold: str = HOLD, **options: Any) -> Calibration:
    """Fit queue model and latencies to own fills, with a band on the P&L that they leave open.

    Parameters
    ----------
    tapes : path or list of paths
        The market of that time.
    own : path
        CSV of own orders: the columns of `apex replay --orders`, `filled`, and what is known of `ts_ack`, `ts_venue`,
        `ts_filled`.
    strategy : class or "module:Class", optional
        Whose P&L the band is of; None: of the own orders.
    out : path, optional
        Folder for calibration.json, replay.toml and the measured latencies.
    queues, latencies : sequence of str, optional
        Models and one-way latencies to try.
    tolerance : str
        Fills whose times differ by more from the usual delay are other fills.
    level : float
        Of the test that leaves candidates in play: the higher, the wider the band.
    draws : int
        Candidates to try in the neighbourhood of the best.
    hold : str
        How long a fill of the strategy is held: what wrongly told orders cost is looked at so much later.
    **options
        As of `apex.replay`.

    Raises
    ------
    ConfigError, InputError, StrategyError
    """
    chosen = options_from(options)
    opened = open_tapes([tapes] if isinstance(tapes, str | Path) else tapes)
    try:
        with TemporaryDirectory(prefix="apex-") as folder:
            return kept(run_calibration(
                opened, Path(own), strategy, chosen, folder=Path(folder), queues=queues, latencies=latencies,
                tolerance=tolerance, level=level, draws=draws, hold=hold), out)
    finally:
        for tape in opened:
            tape.close()
