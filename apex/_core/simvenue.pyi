from collections.abc import Sequence
from typing import Final

from apex._core.account import MarginAccount
from apex._core.impact import Impact
from apex._core.risk import Gateway

QUEUES: Final[dict[str, int]]
VENUE_REASONS: Final[dict[int, str]]

class SimVenue:
    """The simulated venue of one instrument.

    Parameters
    ----------
    instrument : int
    lot : (mantissa, decimal places)
    queue : str
        A name of QUEUES.
    power : float
        n of the power models.
    compat : bool
        hftbacktest 2.4.4's rules, fill for fill; else the strict rules.
    partial : bool
        Whether compat fills in parts; strict always does.
    synced : bool
        Whether the book counts as in sync from the start.
    latency : (place, cancel, amend, response) in ns
        A negative one to the venue is a rejection after so long.
    rows : sequence of (req_ts, exch_ts, resp_ts), optional
        Recorded latencies, interpolated; they replace the constants.
    funding : list of (ts, rate in 1e-12, mark ticks or 0, rest of the mark in 1e-8), optional
        Fundings in order of time, with the tape's mark where theirs is 0. Empty: those that the tape's MARK
        rows announce. None: none is paid.
    halts : list of (start, end) in venue ns, optional
        Times without matching, in order, beside those that HALT rows say.
    queue_orders : bool
        Whether orders that arrive in a halt wait for its end; else they are rejected.
    impact : Impact, optional
        What our own taking does to the price.
    visible : bool
        Whether what our takers took stays away from a level through its updates.
    account : MarginAccount, optional
        The account whose margin the venue watches.

    Source: docs of hftbacktest 2.4.4 (order fill, latency models, queue models); Rigtorp, Estimating Order Queue
    Position (2013).
    """

    rejected_by_defect: int
    halts_seen: int
    def __init__(self, instrument: int, lot: tuple[int, int], queue: str = "risk-averse", power: float = 1.0,
                 compat: bool = False, partial: bool = True, synced: bool = False,
                 latency: tuple[int, int, int, int] = (0, 0, 0, 0),
                 rows: Sequence[tuple[int, int, int]] | None = None, *,
                 funding: list[tuple[int, int, int, int]] | None = None, halts: Sequence[tuple[int, int]] = (),
                 queue_orders: bool = False, impact: Impact | None = None, visible: bool = False,
                 account: MarginAccount | None = None) -> None: ...
    def watch(self, account: MarginAccount) -> None:
        """Watch the margin of an account that its ledger's gate has made later than this venue."""
    def _check(self) -> None:
        """Walk every invariant of the resting orders; AssertionError names the first that does not hold."""

class SimGateway(Gateway):
    """Hands the gate's commands to the simulated venues."""

    def __init__(self, venues: list[SimVenue]) -> None: ...
