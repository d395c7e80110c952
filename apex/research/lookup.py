"""Numbers of a report: each is looked up in the JSON and carries its path, so that page and JSON cannot differ."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from decimal import Decimal
from html import escape
from typing import Any

from apex.research import text

Path = tuple[str, ...]
SPLIT = ("spread_captured", "inventory_pnl", "gross_pnl", "fees", "net_pnl")
"""How P&L comes about, in order."""
COSTS = ("fees", "funding", "liquidation_fees", "impact_cost")
"""What is paid when it is above 0."""


def split_of(summary: Mapping[str, Any]) -> list[str]:
    """Names of the lines of the split: impact stands below gross, which it is a part of; lines of 0 are left out."""
    there = {name for name in COSTS if Decimal(summary.get(name) or 0)}
    names = [*SPLIT[:3], "impact_cost", "fees", "funding", "liquidation_fees", "net_pnl"]
    return [name for name in names if name in SPLIT or name in there]


class Numbers:
    """Looks numbers up in the JSON and writes them as HTML that names its path and its exact value."""

    def __init__(self, summary: Mapping[str, Any]) -> None:
        self.summary = summary
        self.places = text.places_of([self.at((name,)) for name in SPLIT])

    def at(self, path: Path) -> Any:
        """The value under a path of keys, places of lists among them; None where there is none."""
        value: Any = self.summary
        for key in path:
            if isinstance(value, list) and key.isdigit():
                value = value[int(key)]
            else:
                value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def show(self, path: Path, form: Callable[[Any], str], kind: str = "") -> str:
        """A number as a span: text by `form`, path as a JSON pointer, value exact."""
        value = self.at(path)
        shown = text.NOTHING if value is None else form(value)
        pointer = "/" + "/".join(key.replace("~", "~0").replace("/", "~1") for key in path)
        title = value if isinstance(value, str) and value.replace("-", text.MINUS) != shown.replace(",", "") else ""
        return (
            f'<span data-key="{escape(pointer)}" data-value="{escape(json.dumps(value))}"'
            + (f' class="{kind}"' if kind else "")
            + (f' title="{escape(title)}"' if title else "")
            + f">{escape(shown)}</span>"
        )

    def money(self, *path: str, tone: bool = False) -> str:
        """Money at the places of the P&L split; `tone` colours it by its sign."""
        value = self.at(path)
        sign = Decimal(value) if tone and value is not None else Decimal(0)
        kind = "gain" if sign > 0 else "loss" if sign < 0 else ""
        return self.show(path, lambda v: text.amount(v, self.places), kind)

    def whole(self, *path: str) -> str:
        """Money at five digits, two to eight places, by itself."""
        value = self.at(path)
        return self.show(path, lambda v: text.amount(v, min(text.places_of([value]), 8)))

    def exact(self, *path: str) -> str:
        """A decimal string as it stands."""
        return self.show(path, text.amount)

    def count(self, *path: str) -> str:
        """An integer; a float is rounded to one."""
        return self.show(path, lambda v: f"{v:,.0f}")

    def percent(self, *path: str) -> str:
        """A fraction in percent."""
        return self.show(path, text.percent)

    def ratio(self, *path: str) -> str:
        """A ratio to three digits."""
        return self.show(path, text.ratio)

    def ns(self, *path: str) -> str:
        """A duration kept in ns."""
        return self.show(path, text.duration)

    def seconds(self, *path: str) -> str:
        """A duration kept in seconds."""
        return self.show(path, lambda v: text.duration(v * 1e9))

    def moment(self, *path: str) -> str:
        """A time kept in ns UTC, to the second."""
        return self.show(path, text.moment)
