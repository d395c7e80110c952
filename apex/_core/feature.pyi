def duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as "100ms": an integer and ns, us, ms, s, m, h or d. ValueError otherwise."""

class Feature:
    """Base class of the compiled features; Python makes none of its own: `Features.ask` does."""

    forgotten: int
    """Updates that a full window let go before their time."""

class RankedWindow:
    """A multiset of numbers with exact ranks, O(sqrt n) a change; what medians and quantiles of windows rest on.

    >>> window = RankedWindow(10)
    >>> for x in (5.0, 1.0, 3.0, 8.0):
    ...     window.add(x)
    >>> window.median(), window.deviation(), window.at(0)
    (4.0, 2.0, 1.0)
    """

    def __init__(self, count_max: int) -> None: ...
    def __len__(self) -> int: ...
    def add(self, x: float) -> None:
        """Put a value in. ValueError for NaN, or when the window is full."""
    def drop(self, x: float) -> None:
        """Take a value out. KeyError when it is not there."""
    def at(self, rank: int) -> float:
        """The value of a rank; 0 is the least."""
    def median(self) -> float: ...
    def quantile(self, q: float) -> float:
        """Linear between the nearest ranks, as numpy's default."""
    def deviation(self) -> float:
        """Median of the absolute distances from the median."""
    def _check(self) -> None: ...
