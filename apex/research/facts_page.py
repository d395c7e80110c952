"""The page of stylised facts: one table and small plots of several tapes, one HTML file without outside references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template
from typing import Any, NamedTuple

from apex.research import cards, text
from apex.research.facts import BANDS, FACTS, inside
from apex.research.page import embed, plot_library

PLOTS = (
    ("path", "Price", "bp since the beginning, by seconds"),
    ("spread", "Spread", "share of time that it is wider than so many bp"),
    ("depth", "Depth", "lots within so many bp of the own best, in touches"),
    ("moves", "Moves of a second", "share of the moves that are as large, in standard deviations; dotted: normal"),
    ("clusters", "Volatility clusters", "autocorrelation of absolute moves of 100 ms, by seconds"),
    ("signs", "Memory of signs", "autocorrelation of the sides of market orders, by orders between"),
    ("gaps", "Time between market orders", "share that is as long, in means; dotted: independent arrivals"),
    ("fano", "Clustering", "variance over mean of market orders in windows of so many seconds"),
    ("sizes", "Sizes of market orders", "share that is as large, in medians"),
    ("cancelled", "Cancellations by distance", "share at most so many bp behind the own best, of those within 20"),
    ("placed", "Placements by distance", "share at most so many bp behind the own best, of those within 20"),
)
"""Name, title and meaning of each plot."""


class Tape(NamedTuple):
    """One column of the table and one line of the plots."""

    name: str
    generated: bool
    seconds: float
    facts: Mapping[str, float | None]
    curves: Mapping[str, Any]


def shown(value: float | None) -> str:
    """A fact to three digits."""
    if value is None:
        return text.NOTHING
    return f"{value:.3g}".replace("-", text.MINUS) if abs(value) < 1000 else f"{value:,.0f}"


def band(name: str) -> str:
    """A fact's band: 0.25 to 2."""
    low, high = BANDS[name]
    return f"{shown(low)} to {shown(high)}"


def _table(tapes: Sequence[Tape]) -> str:
    head = "".join(f'<th class="n"><i class="chip" data-tape="{i}"></i>{escape(t.name)}</th>'
                   for i, t in enumerate(tapes))
    rows = [f'<tr><th>Fact</th><th class="n">band</th>{head}</tr>']
    for group, members in groupby(FACTS, lambda fact: fact.group):
        rows.append(f'<tr class="sum"><td colspan="{2 + len(tapes)}">{group}</td></tr>')
        for fact in members:
            cells = []
            for tape in tapes:
                value = tape.facts[fact.name]
                tone = " loss" if inside(fact.name, value) is False else ""
                cells.append(f'<td class="n{tone}">{shown(value)}</td>')
            rows.append(f'<tr><td>{escape(fact.meaning)} <span class="soft small">{fact.name}</span></td>'
                        f'<td class="n soft">{band(fact.name)}</td>{"".join(cells)}</tr>')
    return f'<div class="scroll"><table>{"".join(rows)}</table></div>'


def _figure(name: str, title: str, meaning: str) -> str:
    width = "wide" if name == "path" else "half"
    return (f'<figure class="card plot {width}" id="plot-{name}"><div class="top"><h2>{title}</h2>'
            f'<div class="readout"></div></div><div class="canvas" data-height="230"></div>'
            f'<p class="foot">{escape(meaning)}</p></figure>')


def page(tapes: Sequence[Tape]) -> str:
    """The whole page as HTML text."""
    static = files("apex.research") / "static"
    names = ", ".join(t.name for t in tapes) if len(tapes) <= 4 else f"{len(tapes)} markets"
    chips = "".join(f'<span><i class="chip" data-tape="{i}"></i>{escape(t.name)}</span>' for i, t in enumerate(tapes))
    if any(t.generated for t in tapes):
        chips += "<span>dashed: generated</span>"
    notes = "".join(f"<li>{note}</li>" for note in (
        "Generated markets are dashed in the plots.",
        "Bands are what recordings of large liquid coins show; a value outside is red. They do not judge a market that "
        "is meant to differ.",
        "Touch and moves are those after depth messages, in venue time; market orders are trades of one side within a "
        "millisecond.",
        "Placements and cancellations are changes of a level's total, with market trades taken out.",
    ))
    body = (
        f'<header><div><p class="eyebrow">APEX stylised facts</p><h1>{escape(names)}</h1>'
        f'<p class="when legend">{chips}</p></div></header><div class="grid">'
        + "".join(_figure(*plot) for plot in PLOTS) + cards.card("Facts", _table(tapes))
        + cards.card("How to read this", f'<ul class="notes">{notes}</ul>') + "</div>"
    )
    data = [{"name": t.name, "generated": t.generated, **t.curves} for t in tapes]
    return Template((static / "report.html").read_text("utf-8")).substitute(
        title=escape(f"{names}: APEX stylised facts"),
        css="".join((static / name).read_text("utf-8") for name in ("uPlot.min.css", "report.css", "facts.css")),
        body=body, summary=embed([{"name": t.name, "seconds": t.seconds, "facts": dict(t.facts)} for t in tapes]),
        plots=embed(data), js=plot_library() + (static / "facts.js").read_text("utf-8"),
    )
