from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from apex._core.fees import Fees
from apex._core.ledger import Ledger
from apex._core.risk import RiskGate
from apex._core.signals import Signals

STATES: Final[dict[int, str]]
SIDES: Final[dict[str, int]]
TIFS: Final[dict[str, int]]
ORDER_DTYPE: Final[np.dtype[np.void]]
FILL_DTYPE: Final[np.dtype[np.void]]
EQUITY_DTYPE: Final[np.dtype[np.void]]
MARK_DTYPE: Final[np.dtype[np.void]]

def duration_ns(text: str) -> int: ...

@final
class Working:
    """A working order of this strategy, as it was when it was asked for."""

    id: int
    side: str
    price_ticks: int
    quantity_lots: int
    filled_lots: int
    acknowledged: bool
    pending: bool
    """Whether a request of it is on its way: it cannot be cancelled or amended now."""

class Fill(NamedTuple):
    """The last fill."""

    id: int
    side: str
    price_ticks: int
    quantity_lots: int
    maker: bool

class Bar(NamedTuple):
    """A bar of market trades: prices in ticks, volumes in lots; it covers [open_ns, open_ns + interval_ns)."""

    instrument: int
    open_ns: int
    interval_ns: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    taker_buy: int
    trades: int

class View:
    """What a strategy sees of one instrument, and all it may do.

    One object for the whole run over the engine's memory: nothing is copied, and nothing read from it may be
    kept for later. Prices end in `_ticks` and quantities in `_lots` where they are integers; without, they are
    decimals as floats. An empty side reads None; after a gap the last known book reads on, `synced` tells, and the
    gate denies new orders. Every order goes through the risk gate.
    """

    instrument: int
    """Index of the instrument this view reads."""
    signal: int
    """In on_signal: the rule that fired, as `when` returned it."""
    @property
    def signal_name(self) -> str | None:
        """In on_signal: the name of the rule that fired, where it has one."""
    source: int
    """In on_signal, on_book and on_bar: the instrument that caused the call."""
    bar: Bar | None
    """In on_bar: the bar that just ended."""
    def __getitem__(self, instrument: int, /) -> View:
        """The view of another instrument of the run."""
    def every(self, interval: str) -> None:
        """Call on_timer each interval ("100ms"), first one interval from now; at t it sees everything stamped <= t."""
    def at(self, ts_ns: int) -> None:
        """Call on_timer once at a time of the replay's clock, now for one that is past; up to 256 timers may wait."""
    def when(self, feature: str, above: float | None = None, below: float | None = None, hysteresis: float = 0.0,
             cooldown: str = "0ns", instrument: int | None = None, name: str | None = None,
             quiet: bool = False) -> int:
        """Call on_signal when a feature crosses into a zone; re-armed once it has left it by the hysteresis.

        The rule's number; a quiet one calls nothing and serves `combine`.
        """
    def combine(self, all: Sequence[int | str] = (), any: Sequence[int | str] = (), none: Sequence[int | str] = (),
                cooldown: str = "0ns", name: str | None = None, quiet: bool = False) -> int:
        """Call on_signal when all rules of `all`, one of `any` and none of `none` hold; rules by number or name."""
    def blend(self, name: str, weights: Mapping[str, float | Mapping[str, Any]], bias: float = 0.0,
              instrument: int | None = None) -> None:
        """Declare a score: bias + sum of weight * shaped feature (see `Signals.blend`); `when` takes its name."""
    def on_move(self, ticks: int = 1) -> None:
        """Call on_book when the mid has moved by at least so many ticks since the last call."""
    def on_bar(self, interval: str, instrument: int | None = None) -> None:
        """Call on_bar at the end of each bar ("1m"), aligned to UTC, from an instrument's first trade on.

        A bar without trades repeats the last close with volume 0. Bars end before timers of the same time.
        """
    @property
    def now(self) -> int: ...
    @property
    def synced(self) -> bool: ...
    @property
    def bid_ticks(self) -> int | None: ...
    @property
    def ask_ticks(self) -> int | None: ...
    @property
    def mid_ticks(self) -> float | None: ...
    @property
    def spread_ticks(self) -> int | None: ...
    @property
    def bid_lots(self) -> int: ...
    @property
    def ask_lots(self) -> int: ...
    @property
    def bid(self) -> float | None: ...
    @property
    def ask(self) -> float | None: ...
    @property
    def mid(self) -> float | None: ...
    @property
    def spread(self) -> float | None: ...
    @property
    def bid_quantity(self) -> float: ...
    @property
    def ask_quantity(self) -> float: ...
    @property
    def position_lots(self) -> int: ...
    @property
    def position(self) -> float: ...
    @property
    def cash(self) -> float: ...
    @property
    def equity(self) -> float: ...
    @property
    def orders(self) -> list[Working]:
        """This strategy's working orders of this instrument, oldest first."""
    @property
    def fill(self) -> Fill | None:
        """In on_fill: the fill."""
    def feature(self, name: str, **parameters: Any) -> float:
        """A feature's value now, by name (docs/features.md): feature("ofi:5s") or feature("ofi", window="5s").

        NaN until it is warm. Name it once in on_start, so that it warms up from the start.
        """
    def holding(self, which: int | str) -> bool | None:
        """Whether a rule holds; None while its input is unknown."""
    def score(self, name: str) -> float:
        """A declared score's value; NaN while a feature that it weighs is."""
    def limit(self, side: str, price_ticks: int, quantity_lots: int, tif: str = "GTC", instrument: int | None = None, *,
              reduce_only: bool = False, display_lots: int = 0) -> int:
        """Send a limit order; its id, or 0 when the gate denied it (counted by reason). ValueError for a wrong word.

        reduce_only: it may only make the position smaller. display_lots: an iceberg that shows so many at a time.
        """
    def market(self, side: str, quantity_lots: int, instrument: int | None = None, *, reduce_only: bool = False) -> int:
        """Send a market order; its id, or 0 when the gate denied it."""
    def stop(self, side: str, trigger_ticks: int, quantity_lots: int, limit_ticks: int | None = None, tif: str = "GTC",
             instrument: int | None = None, *, trigger: str = "trade", reduce_only: bool = False) -> int:
        """Send a stop that waits at the venue; its id, or 0 when the gate denied it.

        A price at the trigger or beyond (buy: above, sell: below) makes it a market order, or with `limit_ticks` a
        limit order. trigger: "trade" or "mark", the prices that it watches.
        """
    def trailing_stop(self, side: str, distance_ticks: int, quantity_lots: int, instrument: int | None = None, *,
                      trigger: str = "trade", reduce_only: bool = False) -> int:
        """Send a stop whose trigger follows the best price since it came to the venue at a distance."""
    def attach(self, id: int, take_profit_ticks: int | None = None, stop_ticks: int | None = None, *,
               trigger: str = "trade") -> bool:
        """From now on each fill of a working order sends reduce-only orders for its lots; whether the order works.

        A limit order to take profit, a stop, or both: then one that fills or triggers cancels the other. A second call
        replaces the first.
        """
    def bracket(self, side: str, price_ticks: int | None, quantity_lots: int, take_profit_ticks: int | None = None,
                stop_ticks: int | None = None, tif: str = "GTC", instrument: int | None = None, *,
                trigger: str = "trade") -> int:
        """Send a limit order (a market order without a price) with exits attached; its id, or 0 when denied."""
    def oco(self, first: int, second: int) -> bool:
        """Tie two orders: one that fills, triggers or is cancelled here cancels the other; whether both still work."""
    def children(self, id: int) -> list[int]:
        """Ids of the orders that the fills of an order have sent, denied ones included, oldest first."""
    def amend(self, id: int, price_ticks: int, quantity_lots: int) -> bool:
        """Change an acknowledged order with nothing pending; whether a request was sent."""
    def cancel(self, id: int) -> bool:
        """Cancel an acknowledged order with nothing pending; whether a request was sent."""
    def cancel_all(self) -> int:
        """Cancel all acknowledged orders of this strategy; the number of requests sent."""
    def target(self, lots: int, instrument: int | None = None) -> int:
        """Send the market order that makes position and open orders together `lots`; its id, or 0."""

class Strategy:
    """Base class of strategies.

    Hooks, each called with the view, and only those that a subclass has: on_start, on_timer, on_signal, on_book,
    on_fill, on_bar, on_stop. None is called for every event: ask in on_start with `view.every`, `view.when`,
    `view.on_move`, `view.on_bar`.
    """

    waits_for_book: ClassVar[bool]
    """True (default): on_timer and on_bar begin once every instrument has had a two-sided book in sync."""
    outlasts_events: ClassVar[bool]
    """False (default): a timer asked for after the last event of the run is none, so that a run ends."""
    wants_rows: ClassVar[bool]
    """True in Cython subclasses that override the C method `on_batch`, to see every message of the local view."""
    params: Any
    def __init__(self, params: Any = None) -> None: ...
    def on_start(self, view: View) -> None: ...
    def on_stop(self, view: View) -> None:
        """Called once after the last event; what it sends passes the gate and is counted, and no venue sees it."""

class Slot:
    def __init__(self, strategy: Strategy, index: int) -> None: ...

class Engine:
    """Books, features, signals, ledger and gate of one run, and the order of their work.

    Parameters
    ----------
    count : int
        Instruments.
    ledger, gate, signals, features
        The parts it drives; one Features for each instrument.
    compat : bool
        Whether a crossing level moves the opposite best, as hftbacktest's books do.
    synced : sequence of int
        Instruments whose book counts as in sync from the start.
    grids : sequence of (tick numerator, tick denominator, lot numerator, lot denominator)
    cash : int
        Cash at the start in cash units.
    fees : list of Fees, optional
        The fee tables of each instrument; without them the ledger's terms hold.
    visible : bool
        Whether what our takers take is taken off the local book until its next update.

    Raises
    ------
    ValueError
        If a part is of another number of instruments.
    """

    ledger: Ledger
    signals: Signals
    now: int
    rows: int
    calls: int
    signals_fired: int
    signals_idle: int
    intents: int
    denied: int
    timer_next: int
    bar_next: int
    cash_start: int
    def __init__(self, count: int, ledger: Ledger, gate: RiskGate, signals: Signals, features: list[Any],
                 compat: bool = False, synced: Sequence[int] = (),
                 grids: Sequence[tuple[int, int, int, int]] = (), cash: int = 0, fees: list[Fees] | None = None,
                 visible: bool = False) -> None: ...
    def step(self, rows: NDArray[Any]) -> None:
        """Apply canonical rows in order: the same effect as their packed form.

        Raises
        ------
        TypeError, IndexError
            For rows that are not EVENT_DTYPE, or of an instrument that is not here.
        AssertionError
            For a reply to an order that was never sent.
        """
    def add_strategy(self, strategy: Strategy) -> View: ...
    def start(self, now: int) -> None: ...
    def stop(self) -> None: ...
    def tables(self, copy: bool = True) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Orders, fills, equity (grid) and marks (grid x instruments) as structured arrays.

        Without `copy` orders and fills, mostly the rest too, are the engine's own memory: good while it lives and is
        not driven on.
        """
    def _check(self) -> None:
        """Walk every invariant of working orders and ledger; AssertionError names the first that does not hold."""
    def mid2(self, instrument: int) -> int | None: ...
