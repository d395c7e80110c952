from typing import Final

NAMES: Final[dict[str, int]]
"""Features by name."""

class Features:
    """Incremental features of one instrument.

    ======================  ==========================================================================================
    imbalance               bid lots / (bid lots + ask lots) at the touch, 0 to 1
    weighted_mid            imbalance * ask + (1 - imbalance) * bid, ticks
    ofi                     order-flow imbalance over the window, lots (Cont, Kukanov, Stoikov 2014)
    volatility              square root of the sum of `steps` squared log returns of the mid on a grid of `step_ns`,
                            previous-tick; not annualised
    trade_sign              +1 when the last market trade bought, -1 when it sold
    ======================  ==========================================================================================

    A value is NaN until its window is covered, and again after a gap. Imbalance, weighted mid and order flow are NaN
    while a side is empty or the book is crossed.

    Parameters
    ----------
    ofi_window_ns : int
        Time that order flow sums over; an update counts while now - its time < window.
    step_ns, steps : int
        Grid of the volatility, and how many returns it sums.

    Examples
    --------
    >>> features = Features(ofi_window_ns=1)
    >>> for ts, (bid, bid_lots, ask, ask_lots) in enumerate([(100, 10, 101, 8), (100, 12, 101, 6)]):
    ...     features.book(bid, bid_lots, ask, ask_lots, ts)
    >>> features.value("ofi")
    4.0
    """

    ofi_forgotten: int
    def __init__(self, *, ofi_window_ns: int = 1_000_000_000, step_ns: int = 1_000_000_000,
                 steps: int = 60) -> None: ...
    def value(self, name: str) -> float:
        """Value of a feature, NaN while it is unknown; ValueError for an unknown name."""
    def book(self, bid: int, bid_lots: int, ask: int, ask_lots: int, now: int, valid: bool = True) -> None:
        """The touch after a whole depth message, ticks and lots; not `valid`: a side is empty or the book crossed."""
    def trade(self, side: int, ticks: int, lots: int, now: int) -> None:
        """A market trade; side 1 the aggressor bought, 2 sold, 0 unknown."""
    def gap(self) -> None:
        """The book is out of sync: what was learnt from it is forgotten."""
