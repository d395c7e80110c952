from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FIELDS: Final[tuple[str, ...]]
WIDE: Final[tuple[str, ...]]
SNAPSHOT_DTYPE: Final[np.dtype[np.void]]

class Ledger:
    """Positions and cash of several instruments in integers, by double entry.

    A spot fill moves cash by its value and fee. A linear fill moves cash by realised P&L and fee; the rest of its value
    stands in the variation account. An inverse one does the same in coin: P&L of q contracts from e to x is
    q * (1 / e - 1 / x) contract values. Realised P&L goes by average cost.

    Parameters
    ----------
    terms : sequence of dict
        For each instrument `value_num`, `value_den` (one tick times one lot in cash units of 1e-8; inverse: one lot at
        one tick), `kind` ("spot", "linear" or "inverse"), `maker_fee`, `taker_fee` (1e-12 of the value, negative is a
        rebate, default 0) and `tick_1e8` (a tick in 1e-8 of quote, for prices off the grid; default 0: there are none).
    cash : int
        Cash units at the start; it takes no part in `cash_total`.

    Raises
    ------
    ValueError
        For terms that cannot be kept exactly.

    Examples
    --------
    >>> ledger = Ledger([{"value_num": 10_000, "value_den": 1, "kind": "linear", "taker_fee": 400_000_000}])
    >>> ledger.post(0, 1, 600_000, 1)
    2400000
    >>> ledger.pnl(0, 1_200_020)["gross"]
    100000
    """

    count: int
    cash_start: int
    cash_total: int

    def __init__(self, terms: Sequence[Mapping[str, Any]], cash: int = 0) -> None: ...
    def post(self, instrument: int, side: int, ticks: int, lots: int, maker: bool = False,
             mid2: int | None = None) -> int:
        """Post a fill: side 1 buys, 2 sells; `mid2` is bid + ask in ticks, None when unknown.

        Returns
        -------
        int
            Fee in cash units, > 0 paid, rounded up.

        Raises
        ------
        IndexError, ValueError
            For an instrument that is not here, or what is no fill.
        OverflowError
            If an account would overflow; the ledger is then unchanged.
        """

    def pay(self, instrument: int, which: str, lots: int, ticks: int, rest: int, rate: int) -> int:
        """Post a charge ("funding" or "liquidation") of `rate` (1e-12) of the value of signed lots.

        The price is `ticks` and `rest` 1e-8 of quote. Returns the cash units paid, rounded up; < 0 is received.
        """
    def position(self, instrument: int) -> int:
        """Signed lots held."""

    def pnl(self, instrument: int, mid2: int) -> dict[str, int]:
        """P&L in cash units with the open lots at mid2 / 2, rounded down.

        Keys gross, fees, net, realised, unrealised, spread_captured, inventory, funding, liquidation; gross = realised
        + unrealised = spread_captured + inventory and net = gross - fees - funding - liquidation, exactly.
        """

    def account(self, instrument: int) -> dict[str, int]:
        """Every account of an instrument; names and units as in ledger.pxd."""

    def snapshot(self) -> NDArray[np.void]:
        """All accounts, one row of int64 an instrument; 128-bit ones as two halves. What a result hash covers.

        Charges are left out: a run without them has the hash that it had before they were known.
        """

    def _check(self) -> None:
        """Walk every invariant; AssertionError names the first that does not hold. O(instruments)."""
