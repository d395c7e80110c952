from collections.abc import Sequence

class Fees:
    """Fee tables of one venue: rows valid from a time, with tiers by 30-day volume.

    Parameters
    ----------
    rows : sequence of (since_ns, volume, maker, taker)
        In order of time, then of volume: venue time from which a table holds, cash units of 30 days from which a tier
        holds, and fees in 1e-12 of the value (negative is a rebate). The first tier of a table holds below its volume.
    volume : int
        Cash units traded in the 30 days before the run, spread evenly.

    Raises
    ------
    ValueError
        For no rows, or rows out of order.
    """

    day: int
    volume: int
    def __init__(self, rows: Sequence[tuple[int, int, int, int]], volume: int = 0) -> None: ...
    def rates(self, ts: int) -> tuple[int, int] | None:
        """Maker and taker fee (1e-12) of a fill at `ts`; None before the first table. Times never go back a day."""
    def trade(self, ts: int, value: int) -> None:
        """Count a fill of `value` cash units."""
