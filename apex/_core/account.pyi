from apex._core.ledger import Ledger

class MarginAccount:
    """One cross-margin account of all instruments of a run, as the venue sees it.

    Parameters
    ----------
    rates : Ledger
        Our ledger, for terms and the fees in force.
    cash : int
        Cash units at the start.
    maintenance : int
        Equity at mark prices must not fall below this part (1e-12) of the positions' value.
    fee : int
        Part (1e-12) of a liquidated value that the venue keeps.
    """

    count: int
    cash: int
    maintenance: int
    fee: int
    closed: bool
    failed: bool
    is_under: bool
    def __init__(self, rates: Ledger, cash: int, maintenance: int, fee: int = 0) -> None: ...
