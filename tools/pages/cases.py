"""What each page replays: strategy, recordings and parameters, by rules that are the same for every recording."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

from apex.research.volume import profile
from apex.store.tape import Tape
from tools.pages.recordings import ALL, BTC0719, BTC0808, BTC23, SPOT0809, Recording, facts, fitted, short

ORDER, PARENT = 600, 50_000
"""Quote currency of a market maker's order, and of an executor's parent order."""
SECOND = 10**9


class Case(NamedTuple):
    """One replay of a page."""

    strategy: str
    label: str
    recording: Recording
    params: dict[str, Any]
    start: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What `apex.replay` is told."""
        more = {} if self.start is None else {"start": self.start}
        return {**self.recording.costs, **more, "params": self.params}

    @property
    def command(self) -> str:
        """The same for the shell."""
        out = [f"apex replay {self.recording.name}.tape --strategy {self.strategy}"]
        out += [f"--set {name}={_literal(value)}" for name, value in self.params.items()]
        out += [] if self.start is None else [f"--from {self.start}"]
        out += [f"--{name.replace('_', '-')} {value}" for name, value in self.recording.costs.items()]
        return " ".join(out)


def _literal(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'\"{value}\"'" if isinstance(value, str) else str(value)


class Page(NamedTuple):
    """A page: its replays, the one that is plotted, and the columns of its table."""

    name: str
    cases: tuple[Case, ...]
    plotted: tuple[int, ...]
    kind: str


def _maker(strategy: str, *, with_a: bool) -> Iterator[Case]:
    """Fitted on the first half, trading in the second, without and with the fee in the quotes."""
    for recording in ALL:
        known = facts(recording)
        params = fitted(known.fit)
        if not with_a:
            params.pop("a")
        lots = known.lots(ORDER)
        params |= {"gamma": short(params["k"] / 10), "quantity_lots": lots, "position_max": 5 * lots}
        fee = short(float(recording.maker_fee) * known.mid_ticks)
        for label, more in (("paper", {}), ("with fee", {"fee_ticks": fee})):
            yield Case(strategy, label, recording, params | more, known.half)


def _grid() -> Iterator[Case]:
    for recording in ALL:
        known = facts(recording)
        for bps in (5, 20):
            step = max(1, round(known.mid_ticks * bps / 10_000))
            params = {"step_ticks": step, "levels": 10, "quantity_lots": known.lots(ORDER)}
            yield Case("apex.strategies.grid:Grid", f"step {bps} bps", recording, params)


def _taker() -> Iterator[Case]:
    for recording in ALL:
        for hold in (1, 10):
            params = {"entry": 0.95, "hold_ms": 1000 * hold, "quantity_lots": facts(recording).lots(ORDER)}
            yield Case("apex.strategies.imbalance_taker:ImbalanceTaker", f"hold {hold} s", recording, params)


def _queue() -> Iterator[Case]:
    for recording in ALL:
        lots = facts(recording).lots(ORDER)
        size = {"quantity_lots": lots, "position_max": 5 * lots}
        for label, params in (("minding", {}), ("always", {"join": 0.0, "leave": 0.0})):
            yield Case("apex.strategies.queue_maker:QueueMaker", label, recording, params | size)


def _twap() -> Iterator[Case]:
    for recording in ALL:
        lots = facts(recording).lots(PARENT)
        params = {"side": "buy", "quantity_lots": lots, "duration_s": 120, "slices": 24}
        for label, passive in (("crossing", False), ("waiting first", True)):
            yield Case("apex.strategies.twap:Twap", label, recording, {**params, "passive": passive})


def _vwap() -> Iterator[Case]:
    """The profile is that of an earlier day at the same time; TWAP beside it."""
    for recording, earlier in ((BTC0719, BTC23), (ALL[2], BTC23), (BTC0808, BTC0719), (SPOT0809, BTC0719)):
        known = facts(recording)
        start = _today(known.stop - 120 * SECOND, 23, 58, 30)
        seconds = min(240, (known.stop - start) // SECOND // 10 * 10)
        lots, slices = known.lots(PARENT), seconds // 5
        with Tape.open(earlier.tape) as tape:
            began = _today(facts(earlier).start, 23, 58, 30)
            weights = profile(tape, 0, began, began + seconds * SECOND, slices // 4)
        params = {"side": "buy", "quantity_lots": lots, "duration_s": seconds, "slices": slices}
        text = ",".join(map(str, weights))
        yield Case("apex.strategies.vwap:Vwap", "VWAP", recording, {**params, "profile": text}, start)
        yield Case("apex.strategies.twap:Twap", "TWAP", recording, params, start)


def _today(near: int, hour: int, minute: int, second: int) -> int:
    """That time of the UTC day before the midnight which is nearest to `near`, ns."""
    day = 86_400 * SECOND
    midnight = (near + day // 2) // day * day
    moment = datetime.fromtimestamp(midnight // SECOND, UTC)
    assert (moment.hour, moment.minute) == (0, 0)
    return midnight - day + (hour * 3600 + minute * 60 + second) * SECOND


def pages() -> Iterator[Page]:
    """All pages, in the order of the index."""
    stoikov, glft = "apex.strategies.avellaneda_stoikov:AvellanedaStoikov", "apex.strategies.glft:Glft"
    yield Page("avellaneda_stoikov", tuple(_maker(stoikov, with_a=False)), (7,), "maker")
    yield Page("glft", tuple(_maker(glft, with_a=True)), (7,), "maker")
    yield Page("grid", tuple(_grid()), (8,), "trader")
    yield Page("imbalance_taker", tuple(_taker()), (6,), "trader")
    yield Page("queue_maker", tuple(_queue()), (6, 7), "trader")
    yield Page("twap", tuple(_twap()), (6, 7), "executor")
    yield Page("vwap", tuple(_vwap()), (0, 1), "executor")
