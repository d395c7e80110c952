from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from apex._core.book import Book

class Row(NamedTuple):
    """A family of features: its class, its parts (name -> place), and its parameters (name, kind, default)."""

    kind: Any
    parts: dict[str, int]
    params: tuple[tuple[str, str, Any], ...]
    fixed: tuple[Any, ...]

DURATION: Final = "duration"
INTEGER: Final = "integer"
NUMBER: Final = "number"
TABLE: Final = "table"

FEATURES: Final[dict[str, Row]]
"""All features by family; docs/features.md says what each of them is."""
NAMES: Final[dict[str, int]]
"""The features that `Features` computes unless it is told which, and their slots."""

def parse(text: str, parameters: Mapping[str, Any] | None = None,
          defaults: Mapping[tuple[str, str], Any] | None = None) -> tuple[str, str, tuple[Any, ...]]:
    """Family, part and parameters of a feature's name: `family[.part][:value...]`, a value being `x` or `name=x`.

    >>> parse("mlofi.2:10:window=5s")
    ('mlofi', '2', (10, 5000000000, 0.0))

    Raises
    ------
    ValueError
        If there is no such feature or parameter.
    """

class Features:
    """The features of one instrument that somebody asked for, each incremental and exact; see docs/features.md.

    A value is NaN until it is warm. What comes from the book is NaN again after a gap, and while a side is empty or
    the book is crossed; what comes from trades is not touched by that. Prices are ticks and quantities lots.

    Parameters
    ----------
    ofi_window_ns, step_ns, steps : int
        Defaults of `ofi` and `volatility` where their names say none.
    asked : sequence of str, optional
        What is computed from the start; the features of NAMES unless given.
    value_scale : float
        Quote currency of one tick times one lot, 0 for inverse contracts.
    value_lot : float
        Quote currency of one lot of an inverse contract, else 0.

    Examples
    --------
    >>> features = Features(ofi_window_ns=1)
    >>> for ts, (bid, bid_lots, ask, ask_lots) in enumerate([(100, 10, 101, 8), (100, 12, 101, 6)]):
    ...     features.book(bid, bid_lots, ask, ask_lots, ts)
    >>> features.value("ofi")
    4.0
    """

    slot_count: int
    def __init__(self, *, ofi_window_ns: int = 1_000_000_000, step_ns: int = 1_000_000_000, steps: int = 60,
                 asked: Sequence[str] | None = None, value_scale: float = 1.0, value_lot: float = 0.0) -> None: ...
    def ask(self, text: str, **parameters: Any) -> int:
        """Compute a value from now on; its slot. ValueError for an unknown name or parameter, or too many."""
    def value(self, text: str, **parameters: Any) -> float:
        """Value of a feature, NaN while it is unknown; asked for from now on if it was not."""
    def book(self, bid: int, bid_lots: int, ask: int, ask_lots: int, now: int, valid: bool = True) -> None:
        """The touch after a whole depth message, ticks and lots; not `valid`: a side is empty or the book crossed.

        Features of several levels see one level, and those of the whole book nothing.
        """
    def message(self, book: Book, now: int) -> None:
        """The book after a whole depth message."""
    def trade(self, side: int, ticks: int, lots: int, now: int, ts_exchange: int = 0) -> None:
        """A market trade; side 1 the aggressor bought, 2 sold, 0 unknown; venue time 0 where it is not known."""
    def gap(self) -> None:
        """The book is out of sync: what was learnt from it is forgotten."""
    def advance(self, now: int) -> None:
        """Time has come to `now`: windows expire and decay, for reading. No later value changes by it."""
    @property
    def forgotten(self) -> int:
        """Updates that full windows let go before their time, over all features."""
    @property
    def ofi_forgotten(self) -> int: ...
