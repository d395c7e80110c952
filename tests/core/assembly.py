"""Small replays put together in memory, from the parts and in the way of apex.app.build."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from apex._core.engine import Engine, Strategy
from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, pack
from apex._core.features import Features
from apex._core.ledger import Ledger
from apex._core.replay import ReplayDriver
from apex._core.risk import RiskGate
from apex._core.signals import Signals
from apex._core.simvenue import SimGateway, SimVenue
from apex.domain.decimals import scaled
from apex.domain.instrument import Instrument
from apex.domain.limits import Limits

BUY, SELL = 1, 2
BOTH = FLAGS["AT_VENUE"] | FLAGS["AT_LOCAL"]
LAST = FLAGS["LAST_IN_BATCH"]
START = 1_723_075_200_000_000_000
NAMES = [Instrument("AAA", "test", "0.1", "0.001"), Instrument("BBB", "test", "0.01", "0.1", kind="spot"),
         Instrument("CCC", "test", "0.5", "1")]


def message(kind: str, ts: int, rows: Sequence[tuple[int, int, int]] = ((0, 0, 0),), *, instrument: int = 0,
            delay: int = 0, flags: int = BOTH, last: bool = True, sequence: int = 0) -> Any:
    """Rows of one message at venue time `ts`, each (side, ticks, lots); local time is `delay` later."""
    made = np.zeros(len(rows), EVENT_DTYPE)
    made["ts_exchange_ns"], made["ts_local_ns"] = ts, ts + delay
    made["kind"], made["instrument"], made["flags"], made["sequence"] = KINDS[kind], instrument, flags, sequence
    for name, column in zip(("side", "price_ticks", "quantity_lots"), zip(*rows, strict=True), strict=True):
        made[name] = column
    if last:
        made["flags"][-1] |= LAST
    return made


def snapshot(ts: int, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]], **more: Any) -> Any:
    """A whole book of (ticks, lots)."""
    levels = [(BUY, *x) for x in bids] + [(SELL, *x) for x in asks]
    flags = BOTH | FLAGS["SNAPSHOT"]
    return np.concatenate([message("SNAPSHOT_BEGIN", ts, last=False, **more),
                           message("BOOK_LEVEL", ts, levels, flags=flags, **more)])


class Run:
    """A replay, ready to run; `limits` None: every check is counted and none denies."""

    def __init__(self, events: Any, strategies: Sequence[Strategy] = (), *, count: int = 1, queue: str = "risk-averse",
                 power: float = 1.0, latency: tuple[int, int, int, int] = (0, 0, 0, 0), compat: bool = False,
                 limits: Limits | None = None, cash: int = 0, fees: tuple[int, int] = (0, 0), shift: int = 0,
                 start: int | None = None, stop: int | None = None, batches: Any = None, grid_ns: int = 10**9,
                 names: Sequence[Instrument] | None = None, venue: dict[str, Any] | None = None,
                 engine: dict[str, Any] | None = None) -> None:
        self.events = events
        names = NAMES[:count] if names is None else names
        count = len(names)
        terms = [dict(zip(("value_num", "value_den"), x.value, strict=True)) | {
            "kind": x.kind, "maker_fee": fees[0], "taker_fee": fees[1], "tick_1e8": x.tick_1e8} for x in names]
        self.venues = [SimVenue(i, scaled(x.lot), queue=queue, power=power, compat=compat, latency=latency,
                                **(venue or {}))
                       for i, x in enumerate(names)]
        self.gate = RiskGate([(limits or Limits()).integers(x) for x in names], terms,
                             gateway=SimGateway(self.venues), scripted=limits is None)
        self.ledger, self.features = Ledger(terms, cash=cash), [Features() for _ in names]
        self.signals = Signals(self.features)
        grids = [(*_ratio(x.tick), *_ratio(x.lot)) for x in names]
        self.engine = Engine(count, self.ledger, self.gate, self.signals, self.features, compat=compat, grids=grids,
                             cash=cash, **(engine or {}))
        self.views = [self.engine.add_strategy(s) for s in strategies]
        arrays = pack(events) if batches is None else batches
        flags, ts = arrays[0]["flags"], arrays[0]["ts_exchange_ns"]
        sources = (*arrays, venue_order(flags, ts))
        self.driver = ReplayDriver(self.engine, self.venues, [(0, i, sources) for i in range(count)], shift_ns=shift,
                                   compat=compat, start_ns=start, stop_ns=stop, grid_ns=grid_ns)

    def run(self, chunk: int = 1 << 40) -> Run:
        """To the end, `chunk` batches at a time."""
        while not self.driver.run(chunk):
            pass
        self.ledger._check()
        return self

    @property
    def orders(self) -> Any:
        return self.engine.tables()[0]

    @property
    def fills(self) -> Any:
        return self.engine.tables()[1]

    def hash(self) -> str:
        """Of all tables and the ledger."""
        digest = hashlib.blake2b(digest_size=16)
        for table in (*self.engine.tables(), self.ledger.snapshot()):
            digest.update(table.tobytes())
        return digest.hexdigest()


def venue_order(flags: Any, ts: Any) -> Any:
    """Batches in venue time; those that the venue does not see stay behind the one before them."""
    seen = (flags & FLAGS["AT_VENUE"]) != 0
    keys = np.where(seen, ts, 0)
    at = np.maximum.accumulate(np.where(seen, np.arange(len(ts)), 0))
    return np.argsort(keys[at], kind="stable").astype(np.uint32)


def _ratio(text: str) -> tuple[int, int]:
    mantissa, places = scaled(text)
    return mantissa, 10**places


class Hooks(Strategy):
    """A strategy made of functions: Hooks(on_start=f, on_timer=g, ...)."""

    def __init__(self, waits: bool = False, **hooks: Any) -> None:
        super().__init__(None)
        self.waits_for_book = waits
        self.hooks = {"on_start": lambda view: None, "on_stop": lambda view: None} | hooks
        for name, hook in self.hooks.items():
            setattr(self, name, hook)


class Scripted(Strategy):
    """Does what a list of (ts, function of the view) says; `told` keeps what the functions gave back."""

    waits_for_book = False
    outlasts_events = True

    def __init__(self, *todo: tuple[int, Any]) -> None:
        super().__init__(None)
        self.todo = sorted(todo, key=lambda x: -x[0])
        self.told: list[Any] = []

    def on_start(self, view: Any) -> None:
        if self.todo:
            view.at(self.todo[-1][0])

    def on_timer(self, view: Any) -> None:
        while self.todo and self.todo[-1][0] <= view.now:
            self.told.append(self.todo.pop()[1](view))
        if self.todo:
            view.at(self.todo[-1][0])
