"""The HTML of a report: one file without any outside reference."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from apex.domain.instrument import Instrument
from apex.research import cards, text
from apex.research.lookup import Numbers

SHOWN = 4
"""Instruments named in the title."""


def page(
    summary: Mapping[str, Any], plots: Mapping[str, Any], instruments: list[Instrument], span: tuple[int, int] | None
) -> str:
    """The whole report as HTML text.

    Parameters
    ----------
    summary : mapping
        What result.json holds: plain JSON values, with `metrics`, `diagnosis` and `notes`.
    plots : mapping
        From `plot_data`.
    instruments : list of Instrument
    span : (int, int) or None
        First and last time of the grid, ns UTC.
    """
    static = files("apex.research") / "static"
    numbers = Numbers(summary)
    currency = instruments[0].quote if len({i.quote for i in instruments}) == 1 else ""
    notes = "".join(f"<li>{cards.prose(note)}</li>" for note in summary["notes"])
    body = (
        _header(numbers, instruments, span) + cards.why(summary["diagnosis"])
        + '<div class="grid">' + cards.split(numbers, currency) + cards.tiles(numbers) + _plots(numbers, plots)
        + cards.costs(numbers) + cards.reasons(numbers) + cards.tables(numbers, instruments) + cards.facts(numbers)
        + cards.card("How to read this", f'<ul class="notes">{notes}</ul>')
        + "</div><footer>Times are UTC on the replay's clock. The same numbers are in result.json; orders, fills and "
        "equity in the Parquet files beside it.</footer>"
    )  # fmt: skip
    return Template((static / "report.html").read_text("utf-8")).substitute(
        title=escape(f"{text.title(summary)} on {_symbols(instruments)}: APEX replay"),
        css=(static / "uPlot.min.css").read_text("utf-8") + (static / "report.css").read_text("utf-8"),
        body=body, summary=embed(summary), plots=embed(plots), js=_script(),
    )  # fmt: skip


def _symbols(instruments: list[Instrument]) -> str:
    rest = f" and {len(instruments) - SHOWN} more" if len(instruments) > SHOWN else ""
    return ", ".join(i.symbol for i in instruments[:SHOWN]) + rest


def _header(numbers: Numbers, instruments: list[Instrument], span: tuple[int, int] | None) -> str:
    summary = numbers.summary
    tapes = ", ".join(str(name) for name in summary.get("tapes") or ())
    when = ""
    if span:
        start, end = text.moment(span[0]), text.moment(span[1])
        end = end[11:] if start[:10] == end[:10] else end
        when = f"{start} to {end} UTC, {text.duration(span[1] - span[0])}"
    digest = str(summary.get("result_hash") or "")
    return (
        f'<header><div><p class="eyebrow">APEX replay of {escape(tapes)}</p>'
        f"<h1>{escape(text.title(summary))} on {escape(_symbols(instruments))}</h1>"
        f'<p class="when">{when}</p></div><p class="hash">Result hash, equal on every run'
        f'<code title="{escape(digest)}">{escape(digest[:16])}</code></p></header>'
    )


def _figure(name: str, title: str, height: int, width: str = "", empty: str = "", foot: str = "") -> str:
    inside = f'<p class="empty">{empty}</p>' if empty else f'<div class="canvas" data-height="{height}"></div>'
    return (
        f'<figure class="card plot {width}" id="plot-{name}"><div class="top"><h2>{title}</h2>'
        f'<div class="readout"></div></div>{inside}<p class="foot">{foot}</p></figure>'
    )


def _waits(numbers: Numbers, plots: Mapping[str, Any], name: str, title: str, key: str, nothing: str) -> str:
    """A distribution of durations with its percentiles."""
    bins = plots[name]
    empty = ""
    if bins is None:
        empty = nothing
    elif len(bins["counts"]) == 1 and not bins["slower"]:
        empty = f"<b>{text.duration(bins['edges'][0])}</b> each time"
    elif len(bins["counts"]) == 1:
        empty = f"<b>{text.duration(bins['edges'][0])}</b> but for {text.plural(bins['slower'], 'order')}"
    ranks = "".join(f"<span>{rank} <b>{numbers.ns('metrics', key, rank)}</b></span>"
                    for rank in ("p50", "p90", "p99", "max"))  # fmt: skip
    return _figure(name, title, 190, "half", empty, "" if empty and not (bins and bins["slower"]) else ranks)


def _plots(numbers: Numbers, plots: Mapping[str, Any]) -> str:
    nothing = "" if plots["equity"]["t"] else "The tape is empty: there is nothing to draw."
    hint = "" if nothing else ('<span class="hint">Drag across a plot to zoom into all of them, double-click to see '
                               "the whole again.</span>")  # fmt: skip
    return "".join(
        (
            _figure("equity", "Equity", 250, "wide", nothing, hint),
            _figure("drawdown", "Drawdown", 130, "wide", nothing),
            _figure("price", "Fills on price", 330, "wide", nothing),
            _figure("inventory", "Inventory", 170, "wide", nothing),
            _waits(numbers, plots, "ack", "Order to acknowledgement", "response_latency_ns", "No order was answered."),
            _waits(numbers, plots, "fill", "Order to first fill", "time_to_fill_ns", "No order was filled."),
        )
    )


def embed(value: Any) -> str:
    """JSON that cannot leave its script element."""
    out = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        out = out.replace(char, f"\\u{ord(char):04x}")
    return out


def plot_library() -> str:
    """uPlot with its licence instead of its banner (which holds an address)."""
    static = files("apex.research") / "static"
    plot = (static / "uPlot.iife.min.js").read_text("utf-8")
    plot = plot[plot.index("*/") + 2 :]
    licence = (static / "uPlot.LICENSE").read_text("utf-8")
    return f"/* uPlot 1.6.32\n{licence}*/\n{plot}\n"


def _script() -> str:
    return plot_library() + (files("apex.research") / "static" / "report.js").read_text("utf-8")
