from apex._core.feature import Feature

class PriceImpact(Feature):
    def __init__(self, step_ns: int, tau_ns: int, power: float, relative: bool) -> None: ...

class BarMeasures(Feature):
    def __init__(self, bar_ns: int, bars: int) -> None: ...

class Whales(Feature):
    def __init__(self, window_ns: int, parents: int, horizon_ns: int, z: float, q: float, rank_ns: int,
                 times: float) -> None: ...
