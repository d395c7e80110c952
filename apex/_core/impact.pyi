from typing import Final

KINDS: Final[dict[str, int]]

class Impact:
    """What our own taking does to the price of one instrument.

    Parameters
    ----------
    kind : {"square-root", "propagator"}
    y : float
        Factor of the law, of order 1.
    volatility : float
        Daily, relative.
    volume_lots : float
        Daily volume in lots.
    decay_ns : int
        t0 of the propagator's (1 + t / t0) ** -beta.
    beta : float

    Raises
    ------
    ValueError
        For an unknown model, or a parameter out of its range.
    """

    kind: int
    paid: int
    """What the fills cost beyond the book's prices, ticks times lots; less than 0 where a displacement helped."""
    paid_inverse: float
    """The same of lots over price."""
    takings: int
    def __init__(self, kind: str, y: float, volatility: float, volume_lots: float, decay_ns: int = 1,
                 beta: float = 0.5) -> None: ...
    def of(self, lots: int) -> float:
        """Relative displacement of a sweep of so many lots."""
    def at(self, ts: int) -> float:
        """Relative displacement at a time after the last sweep."""
