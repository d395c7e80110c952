from typing import Any

from apex._core.engine import Engine
from apex._core.simvenue import SimVenue

class ReplayDriver:
    """Walks the tapes twice, as the venue saw them and as we did, with both order legs and the timers between.

    At one time the order is: our market data, our replies, venue data, venue requests, then timers; within one kind
    by instrument (compat: the four kinds of an instrument side by side).

    Parameters
    ----------
    engine : Engine
    venues : list of SimVenue
        One for each instrument.
    sources : list of (tape number, instrument within the tape, (batches, levels, rows, venue order or None))
    shift_ns : int
        Added to every local time.
    grid_ns : int
        Step of the equity curve.
    start_ns, stop_ns : int, optional
        Recorded local times between which strategies run; before, the books are only built.

    Raises
    ------
    ValueError
        If a batch or the venue order points outside its tape's sections.
    """

    clock_start: int
    start_ns: int
    """When strategies start: no earlier than the first event."""
    end_ns: int
    rows_seen: int
    finished: bool
    def __init__(self, engine: Engine, venues: list[SimVenue], sources: list[Any], shift_ns: int = 0,
                 compat: bool = False, grid_ns: int = 1_000_000_000, start_ns: int | None = None,
                 stop_ns: int | None = None) -> None: ...
    def run(self, batches_max: int = ...) -> bool: ...
    def positions(self) -> list[tuple[int, int]]: ...
