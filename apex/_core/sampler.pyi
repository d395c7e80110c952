from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from apex._core.engine import Engine

MOMENTS: Final[dict[str, int]]
"""When a row is written: after a message, after a trade, or at a point of a grid."""

class Sampler:
    """Walks the local view of a tape through an engine and writes the values of features down.

    A row of the grid holds what was known at its time: every message stamped at or before it, and none after.

    Parameters
    ----------
    engine : Engine
    arrays : batches, levels and rows of a tape
    places : list of int
        Index in the engine of each instrument of the tape, -1 for those that are left out.
    features : list of (str, dict)
        Name and parameters of each feature, asked of every instrument.
    moment : {"message", "trade", "grid"}
    every_ns : int
        Step of the grid, which has its points at multiples of it.

    Raises
    ------
    ValueError
        For an unknown feature or moment, or a damaged tape.
    """

    at: int
    finished: bool
    def __init__(self, engine: Engine, arrays: Sequence[NDArray[Any]], places: list[int],
                 features: list[tuple[str, dict[str, Any]]], moment: str = "message", every_ns: int = 0) -> None: ...
    def run(self, ts: NDArray[np.int64], instruments: NDArray[np.int32], values: NDArray[np.float64]) -> int:
        """Write rows until the arrays are full or the tape is over (`finished`); how many were written.

        Any split into calls gives the same rows. The arrays need room for one row of each instrument.
        """
