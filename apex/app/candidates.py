"""Candidates of a calibration: queue models, and latencies that are measured or tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from apex.app import options as opt
from apex.app.options import LATENCIES, ReplayOptions
from apex.app.own_orders import OwnOrders
from apex.research.calibration import Fit
from apex.store.tape import Tape

Ints = NDArray[np.int64]
QUEUES = ("risk-averse", *(f"{name}:{n}" for name in ("power-prob", "power-prob2", "power-prob3")
                           for n in ("0.5", "1", "1.5", "2", "3", "5")), "log-prob", "log-prob2")
LATENCIES_TRIED = ("100us", "300us", "1ms", "3ms", "10ms", "30ms", "100ms")
"""One way, where the log does not tell them; the way back takes as long until fills tell otherwise."""
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the way to the venue in a round trip, where only answers are timed."""
WIDER = 0.25
ORDERS_MIN = 20
"""Timed answers from which latencies are taken, and orders from which anything is."""


class Legs(msgspec.Struct, frozen=True):
    """Latencies of a candidate: constants, or a table of measured ones."""

    options: dict[str, Any]
    share: float | None = None


Point = tuple[str, Legs]


def queues_of(tapes: list[Tape], options: ReplayOptions) -> list[str]:
    """All models that the tapes allow, the most careful of equals first."""
    whole = all(tape.order_books() == set(range(len(tape.instruments))) for tape in tapes)
    return ["fifo", *QUEUES] if whole and not options.partial_fills else list(QUEUES)


def legs_of(own: OwnOrders, folder: Path, latencies: Sequence[str] | None) -> tuple[list[Legs], dict[str, Any]]:
    """Legs to try: measured where the log tells answers, else constants."""
    sent, trips = own.sent, own.acked - own.sent
    timed = own.acked > 0
    both = timed & (own.arrived > 0)
    if latencies is None and both.sum() >= ORDERS_MIN:
        entry, answer = own.arrived - sent, own.acked - own.arrived
        table = _table(folder / "latency.csv", sent[both], entry[both], answer[both])
        return [Legs({"latency": str(table)})], {
            "from": "both legs", "entry_ns": _quantiles(entry[both]), "response_ns": _quantiles(answer[both])}
    if latencies is None and timed.sum() >= ORDERS_MIN:
        return [split(own, folder, share) for share in SHARES], {
            "from": "round trip", "round_trip_ns": _quantiles(trips[timed])}
    return [constant(opt.duration(text, "--latencies")) for text in latencies or LATENCIES_TRIED], {"from": "fills"}


def _table(path: Path, sent: Ints, entry: Ints, answer: Ints) -> Path:
    """Write latencies as `--latency` takes them: one row a time, none overtaking another."""
    last_sent = last_there = -1
    with path.open("w", encoding="utf-8") as stream:
        stream.write(",".join(LATENCIES) + "\n")
        for at, there, back in zip(sent.tolist(), entry.tolist(), answer.tolist(), strict=True):
            if at <= last_sent:
                continue
            last_sent, last_there = at, max(at + there, last_there + 1)
            stream.write(f"{at},{last_there},{last_there + max(back, 0)}\n")
    return path


def _quantiles(values: Ints) -> dict[str, int]:
    return {name: int(np.quantile(values, at, method="inverted_cdf"))
            for name, at in (("min", 0), ("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1))}


def with_delay(leg: Legs, fit: Fit) -> Legs:
    """Constants whose way back is what fills took to be heard of, where that is known."""
    if fit.delay_ns is None or "latency" in leg.options:
        return leg
    return Legs({**leg.options, "response_latency": f"{max(fit.delay_ns, 0)}ns"}, leg.share)


def constant(entry_ns: int) -> Legs:
    """The same both ways."""
    return Legs({"order_latency": f"{entry_ns}ns", "response_latency": f"{entry_ns}ns"})


def split(own: OwnOrders, folder: Path, share: float) -> Legs:
    """Measured round trips of which a share is the way to the venue."""
    timed = own.acked > 0
    trips = (own.acked - own.sent)[timed]
    entry = np.round(trips * share).astype(np.int64)
    path = folder / f"latency-{share:.4f}.csv"
    return Legs({"latency": str(_table(path, own.sent[timed], entry, trips - entry))}, share)


# ---- the neighbourhood of a candidate --------------------------------------------------------------------------------

class Axis(NamedTuple):
    """A number that a candidate may have within bounds: "power", "latency" (ns) or "share"."""

    name: str
    low: float
    high: float

    def at(self, place: float) -> float:
        """A value from 0 (low) to 1 (high); by factors, but for shares."""
        if self.name == "share":
            return self.low + (self.high - self.low) * place
        return float(max(self.low, 1e-9) * (self.high / max(self.low, 1e-9)) ** place)


def numbers(point: Point) -> dict[str, float]:
    """The numbers of a candidate that could be others."""
    queue, leg = point
    _, _, power = queue.partition(":")
    found = {"power": float(power)} if power else {}
    if leg.share is not None:
        found["share"] = leg.share
    elif "order_latency" in leg.options:
        found["latency"] = float(opt.duration(leg.options["order_latency"], "--latencies"))
    return found


def axes(points: Sequence[Point], play: Sequence[bool], chosen: int) -> list[Axis]:
    """From the chosen candidate to the nearest ones each way that are out of play, one number at a time."""
    model, mine = points[chosen][0].partition(":")[0], numbers(points[chosen])
    found = []
    for name, here in mine.items():
        tried = sorted((numbers(point)[name], bool(ok)) for point, ok in zip(points, play, strict=True)
                       if point[0].partition(":")[0] == model
                       and {**numbers(point), name: 0.0} == {**mine, name: 0.0})
        below, above = [t for t in tried if t[0] < here][::-1], [t for t in tried if t[0] > here]
        low, high = (next((x for x, ok in side if not ok), side[-1][0] if side else here) for side in (below, above))
        if low < high:
            found.append(Axis(name, low, high))
    return found


def made(point: Point, values: Mapping[str, float], own: OwnOrders, folder: Path) -> Point:
    """The candidate with other numbers."""
    queue, leg = point
    if "power" in values:
        queue = f"{queue.partition(':')[0]}:{values['power']:.4g}"
    if "share" in values:
        leg = split(own, folder, values["share"])
    elif "latency" in values:
        leg = constant(round(values["latency"]))
    return queue, leg


def middles(point: Point, found: Sequence[Axis]) -> list[dict[str, float]]:
    """Half way to the bounds, one number at a time."""
    here = numbers(point)
    return [{axis.name: Axis(axis.name, min(here[axis.name], bound), max(here[axis.name], bound)).at(0.5)}
            for axis in found for bound in (axis.low, axis.high) if bound != here[axis.name]]


def around(points: Sequence[Point], play: Sequence[bool], chosen: int, whole: Sequence[Axis]) -> list[Axis]:
    """Bounds of the candidates in play of the chosen one's model, a quarter wider, within others."""
    model = points[chosen][0].partition(":")[0]
    near = [numbers(p) for p, ok in zip(points, play, strict=True) if ok and p[0].partition(":")[0] == model]
    found = []
    for axis in whole:
        values = [n[axis.name] for n in near if axis.low <= n[axis.name] <= axis.high]
        box = Axis(axis.name, min(values), max(values))
        found.append(Axis(axis.name, max(axis.low, box.at(-WIDER)), min(axis.high, box.at(1 + WIDER))))
    return [axis for axis in found if axis.low < axis.high]


def spread(found: Sequence[Axis], begin: int, end: int) -> list[dict[str, float]]:
    """Values all over the bounds, evenly: numbers `begin` to `end` of Halton's sequence, from 1."""
    return [{axis.name: axis.at(_radical(number, base)) for axis, base in zip(found, (2, 3, 5), strict=False)}
            for number in range(begin, end)]


def _radical(number: int, base: int) -> float:
    """Digits of a number behind the point, the last first."""
    value, place = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        place /= base
        value += digit * place
    return value
