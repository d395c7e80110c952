"""VWAP: in every slice of time the share of the volume that is expected in it."""

from __future__ import annotations

from itertools import accumulate

from apex.domain.errors import ConfigError
from apex.strategies.schedule import Scheduled


class Vwap(Scheduled):
    """Trade along a volume profile, so that the average price is near the market's own.

    `profile` are integer weights of equal parts of the duration, for example lots of an earlier day as
    `apex.research.volume.profile` gives them; within a part the rate is constant.

    Source: Konishi, "Optimal slice of a VWAP trade", J. Financial Markets 5 (2002): with volume that does not depend
    on the price, the best static plan is the expected share of the volume done by each moment.
    """

    class Params(Scheduled.Params):
        profile: str = "1"

    params: Params

    def __init__(self, params: Params) -> None:
        super().__init__(params)
        words = params.profile.split(",")
        if not all(word.strip().isdecimal() for word in words) or not any(int(word) for word in words):
            raise ConfigError(f"profile {params.profile!r} is no list of weights", "--set profile",
                              "Write whole numbers, one above 0: '\"3,1,2\"'")  # fmt: skip
        self.done_by = [0, *accumulate(int(word) for word in words)]

    def planned(self, slices: int) -> int:
        p, parts = self.params, len(self.done_by) - 1
        whole, rest = divmod(slices * parts, p.slices)  # so many parts, and rest / slices of the next
        volume = self.done_by[whole] * p.slices
        if rest:
            volume += (self.done_by[whole + 1] - self.done_by[whole]) * rest
        return p.quantity_lots * volume // (self.done_by[-1] * p.slices)


