from apex._core.feature import Feature

class Walls(Feature):
    def __init__(self, band: float, k: float, value_min: float, share: float, persist_ns: int,
                 every_ns: int) -> None: ...

class Clusters(Feature):
    def __init__(self, band: float, bandwidth: float, age_ns: int, every_ns: int, side: int) -> None: ...

class Spoofing(Feature):
    def __init__(self, levels: int, band: float, window_ns: int, every_ns: int) -> None: ...
