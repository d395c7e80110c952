from collections.abc import Sequence

from apex._core.feature import Feature

class Quote(Feature):
    def __init__(self) -> None: ...

class OrderFlow(Feature):
    def __init__(self, window_ns: int) -> None: ...

class DecayedFlow(Feature):
    def __init__(self, tau_ns: int) -> None: ...

class Returns(Feature):
    def __init__(self, step_ns: int, steps: int) -> None: ...

class TouchSamples(Feature):
    def __init__(self, step_ns: int, steps: int, q: float, of_size: bool) -> None: ...

class MicroPrice(Feature):
    def __init__(self, table: Sequence[Sequence[float]]) -> None: ...
