"""What the readers of all venues share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from apex.importers.grid import Draft, Facts
from apex.importers.sheet import Sheet

decode = msgspec.json.Decoder(float_hook=str).decode
"""JSON with the text of its floats, so that decimals stay exact."""


class Venue:
    """Reader of one venue's messages; one object for all its connections.

    Attributes
    ----------
    facts : dict
        Symbol -> what the venue's list of instruments says.
    """

    name: ClassVar[str] = ""

    def __init__(self, sheet: Sheet) -> None:
        self.sheet = sheet
        self.facts: dict[str, Facts] = {}
        self.drafts: dict[str, Draft] = {}

    def answer(self, url: str, body: str | bytes) -> bool:
        """An answer of REST; False where it is of no use."""
        del url, body
        return False

    def receive(self, connection: str, message: Any) -> tuple[str, bool]:
        """A message of a socket: the name of its channel, and whether it is of use."""
        raise NotImplementedError

    def connected(self, connection: str) -> None:
        """A connection begins."""

    def disconnected(self, connection: str) -> None:
        """A connection has ended: the books that came by it are out of sync."""
        for draft in self.drafts.values():
            if draft.synced and draft.source == connection:
                self.sheet.down(draft)

    def guess(self, symbol: str) -> Facts:
        """What the symbol itself says of an instrument that the recording has no facts of."""
        del symbol
        return Facts()

    def draft(self, symbol: str) -> Draft:
        """The instrument of a symbol.

        Raises
        ------
        TypeError
            If the symbol is no text.
        """
        found = self.drafts.get(symbol)
        if found is None:
            if not isinstance(symbol, str) or not symbol:
                raise TypeError(f"symbol {symbol!r}")
            facts = self.facts.get(symbol) or self.guess(symbol)
            found = self.drafts[symbol] = self.sheet.draft(self.name, symbol, facts)
        return found


def rows_of(found: Any, *path: str) -> list[Mapping[str, Any]]:
    """The objects of a list in an answer; none where the answer has another form."""
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return [x for x in found if isinstance(x, dict)] if isinstance(found, list) else []


def text_of(found: Mapping[str, Any], key: str) -> str:
    """A field as text, empty where there is none."""
    value = found.get(key)
    return "" if value is None else str(value)
