"""What importers of order-by-order recordings share: their summary."""

from __future__ import annotations

from typing import Any

import msgspec

from apex.domain.instrument import Instrument, names
from apex.importers.common import ImportSummary


class OrderSummary(ImportSummary):
    """What an import of orders found, beside what every import tells.

    Attributes
    ----------
    order_updates : int
        ORDER_ rows on the tape, synthetic ones included.
    unknown_orders : int
        Messages of an order that was not there, or additions of one that was.
    unknown_lots, excess_lots : int
        Lots of such messages for which no anonymous order was there; lots taken off orders beyond what was left.
    sequence_steps_back, snapshot_steps_back : int
        Records whose venue sequence is below that of the one before, outside snapshots and in them.
    hidden_executions, halts : int
        Trades with orders that the book does not show; trading halts.
    book_rows, book_rows_equal, book_rows_revealed, book_rows_wrong : int
        Recorded states of the book, and whether the book of the messages was equal, differed only in levels that had
        come into sight, or in others. The first is the sum of the rest.
    levels_revealed : int
        Levels that were taken from recorded states when they came into sight.
    names : list
        What the instruments are called: venue:symbol[:kind].
    """

    order_updates: int = 0
    unknown_orders: int = 0
    unknown_lots: int = 0
    excess_lots: int = 0
    sequence_steps_back: int = 0
    snapshot_steps_back: int = 0
    hidden_executions: int = 0
    halts: int = 0
    book_rows: int = 0
    book_rows_equal: int = 0
    book_rows_revealed: int = 0
    book_rows_wrong: int = 0
    levels_revealed: int = 0
    names: list[str] = msgspec.field(default_factory=list)

    def finish(self, instruments: list[Instrument], header: dict[str, Any]) -> None:
        """Take over what the closed tape knows."""
        super().finish(instruments, header)
        self.names = names(instruments)
