from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

LOTS_MAX: Final[int]
LIMIT_KEYS: Final[tuple[str, ...]]
REASONS: Final[dict[int, str]]
STATES: Final[dict[str, int]]
FACTS_DTYPE: Final[np.dtype[np.void]]

def facts(**known: int | bool) -> NDArray[np.void]:
    """One row of FACTS_DTYPE; what is not named is absent: 0, no best price, facts_known False."""

class Gateway:
    """Base of what carries commands away. Itself it refuses all."""

    def __init__(self) -> None: ...

class CountingGateway(Gateway):
    """A gateway that counts, and sends nothing; it answers `answer`, where 0 accepts."""

    count: int
    answer: int

class RiskGate:
    """The only holder of a gateway: commands leave through its checks or not at all.

    Parameters
    ----------
    limits : sequence of dict
        The integers of LIMIT_KEYS for each instrument, as `Limits.integers` gives them.
    terms : sequence of dict
        As for Ledger.
    gateway : Gateway, optional
        Without one everything is refused.
    scripted : bool
        Every check is evaluated and counted, and none denies.

    Raises
    ------
    ValueError
        For a limit that is no integer in its range, or an instrument whose worst product at its limits overflows.
    """

    count: int
    scripted: bool
    sent_orders: int
    sent_requests: int

    def __init__(self, limits: Sequence[Mapping[str, int]], terms: Sequence[Mapping[str, Any]], *,
                 gateway: Gateway | None = None, scripted: bool = False) -> None: ...
    def check_command(self, commands: NDArray[np.void], known: NDArray[np.void]) -> NDArray[np.uint8]:
        """Submit commands (COMMAND_DTYPE), with one row of facts (FACTS_DTYPE) for all or one each.

        Returns
        -------
        array of uint8
            Keys of REASONS; 1 is allowed.
        """

    @property
    def trading_state(self) -> str:
        """ACTIVE, REDUCING or HALTED."""

    def set_trading_state(self, name: str) -> None:
        """Change the trading state; a change is counted. ValueError for an unknown one."""

    def transition_counts(self) -> dict[str, int]:
        """How often each trading state was entered."""

    def counters(self) -> dict[str, int]:
        """Denials of new orders by reason, none that is 0.

        With enforced limits they sum to the orders denied; scripted, one order may count under several reasons.
        """

    def request_counters(self) -> dict[str, int]:
        """Denials of amendments and cancellations by reason, none that is 0."""

    def _check(self) -> None:
        """Walk what the windows remember; AssertionError when some of it cannot be found. O(orders remembered)."""
