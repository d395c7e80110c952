import numpy as np
from numpy.typing import NDArray

from apex._core.feature import Feature

class TradeSign(Feature):
    def __init__(self) -> None: ...

class TradeFlow(Feature):
    def __init__(self, window_ns: int) -> None: ...

class EffectiveSpread(Feature):
    def __init__(self, trades: int) -> None: ...

class Roll(Feature):
    def __init__(self, trades: int) -> None: ...

class Vpin(Feature):
    def __init__(self, volume: float, buckets: int, horizon_ns: int) -> None: ...

class BulkVpin(Feature):
    def __init__(self, volume: float, buckets: int, bar_ns: int, horizon_ns: int) -> None: ...

class Hawkes(Feature):
    def __init__(self, mu: float, alpha: float, beta: float) -> None: ...

class HawkesPair(Feature):
    def __init__(self, mu_buy: float, mu_sell: float, buy_buy: float, buy_sell: float, sell_buy: float,
                 sell_sell: float, beta: float) -> None: ...

def excitation(times: NDArray[np.float64], events: NDArray[np.float64], beta: float, out: NDArray[np.float64]) -> None:
    """Of each time, the sum of exp(-beta * (time - event)) over the events before it, and its derivative by beta.

    Both arrays increase, in seconds; a row of two for each time is written to `out`. Complexity: O(times + events).
    """
