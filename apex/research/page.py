"""The HTML of a report: every number on it is looked up in the JSON and carries its path there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

from apex.domain.instrument import Instrument
from apex.research import text
from apex.research.diagnosis import remedy

Path = tuple[str, ...]
SPLIT = ("spread_captured", "inventory_pnl", "gross_pnl", "fees", "net_pnl")


class Numbers:
    """Looks numbers up in the JSON and writes them as HTML that names its path and its exact value."""

    def __init__(self, summary: Mapping[str, Any]) -> None:
        self.summary = summary
        self.places = text.places_of([self.at((name,)) for name in SPLIT])

    def at(self, path: Path) -> Any:
        """The value under a path of keys; None where there is none."""
        value: Any = self.summary
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def show(self, path: Path, form: Callable[[Any], str], kind: str = "") -> str:
        """A number as a span: text by `form`, path as a JSON pointer, value exact."""
        value = self.at(path)
        shown = text.NOTHING if value is None else form(value)
        pointer = "/" + "/".join(key.replace("~", "~0").replace("/", "~1") for key in path)
        exact = json.dumps(value)
        title = value if isinstance(value, str) and value.replace("-", text.MINUS) != shown.replace(",", "") else ""
        return (
            f'<span data-key="{escape(pointer)}" data-value="{escape(exact)}"'
            + (f' class="{kind}"' if kind else "")
            + (f' title="{escape(title)}"' if title else "")
            + f">{escape(shown)}</span>"
        )

    def money(self, *path: str, tone: bool = False) -> str:
        """Money at the places of the P&L split; `tone` colours it by its sign."""
        value = self.at(path)
        kind = "" if not tone or value is None else "gain" if Decimal(value) > 0 else "loss" if Decimal(value) < 0 else ""
        return self.show(path, lambda v: text.amount(v, self.places), kind)

    def exact(self, *path: str) -> str:
        """A decimal string as it stands."""
        return self.show(path, text.amount)

    def count(self, *path: str) -> str:
        """An integer."""
        return self.show(path, lambda v: f"{v:,}")

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


def _rows(pairs: Iterable[tuple[str, str]], cell: str = "n") -> str:
    """A table of names and values already in HTML."""
    body = "".join(f'<tr><td class="soft">{name}</td><td class="{cell}">{value}</td></tr>' for name, value in pairs)
    return f"<table>{body}</table>"


def _card(title: str, body: str, width: str) -> str:
    return f'<section class="card {width}"><h2>{title}</h2>{body}</section>'


def _said(value: Any) -> str:
    """Any value of the summary as escaped text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(str(k))} {_said(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(v) for v in value)
    return text.NOTHING if value is None else escape(str(value))


def _short_name(value: Any) -> str:
    """The class of `module:Class`; anything else as it is."""
    return str(value or "").rpartition(":")[2] or "replay"


def _header(numbers: Numbers, instruments: list[Instrument], span: tuple[int, int] | None) -> str:
    summary = numbers.summary
    tapes = summary.get("tape") or ""
    names = [tapes] if isinstance(tapes, str) else list(tapes)
    symbols = ", ".join(i.symbol for i in instruments[:4]) + (" and more" if len(instruments) > 4 else "")
    when = ""
    if span:
        end = text.moment(span[1])
        same = text.moment(span[0])[:10] == end[:10]
        length = text.duration(span[1] - span[0])
        when = f"{text.moment(span[0])} to {end[11:] if same else end} UTC, {length}"
    digest = str(summary.get("result_hash") or "")
    return (
        f'<header><div><p class="eyebrow">APEX replay of {escape(", ".join(str(n).rpartition("/")[2] for n in names))}</p>'
        f"<h1>{escape(_short_name(summary.get('strategy')))} on {escape(symbols)}</h1>"
        f'<p class="when">{when}</p></div>'
        f'<p class="hash">Result hash, equal on every run<code title="{escape(digest)}">{escape(digest[:16])}</code></p></header>'
    )


def _prose(sentence: str) -> str:
    """Escaped text with `code` set as code."""
    parts = escape(sentence).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _why(sentences: list[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{_prose(s)}</li>" for s in sentences)
    return f'<section class="card why"><h2>Why so little happened</h2><ul>{items}</ul></section>'


def _split(numbers: Numbers, currency: str) -> str:
    """The headline: net P&L, and how it comes about, as bars around one zero."""
    names = {"spread_captured": "Spread captured", "inventory_pnl": "Inventory", "gross_pnl": "Gross", "fees": "Fees",
             "net_pnl": "Net"}  # fmt: skip
    amounts = {n: Decimal(numbers.at((n,)) or 0) * (-1 if n == "fees" else 1) for n in SPLIT}
    low, high = min(0, *amounts.values()), max(0, *amounts.values())
    width = (high - low) or Decimal(1)
    rows = []
    for name in SPLIT:
        left, right = min(amounts[name], Decimal(0)), max(amounts[name], Decimal(0))
        tone = "down" if amounts[name] < 0 else "up"
        bar = f'<i class="{tone}" style="left:{(left - low) / width:.2%};width:{(right - left) / width:.2%}"></i>'
        zero = f'<b style="left:{-low / width:.2%}"></b>'
        shown = numbers.money(name, tone=name == "net_pnl")
        if name == "fees" and amounts[name] < 0:
            shown = text.MINUS + shown
        rows.append(
            f'<tr class="{"sum" if name in ("gross_pnl", "net_pnl") else ""}"><td>{names[name]}</td>'
            f'<td><div class="flow">{zero}{bar if amounts[name] else ""}</div></td><td class="n">{shown}</td></tr>'
        )
    return (
        '<section class="card seven headline"><p class="label">Net P&amp;L</p>'
        f'<p class="big">{numbers.money("net_pnl", tone=True)} <small>{escape(currency)}</small></p>'
        f'<table class="split">{"".join(rows)}</table></section>'
    )


def _tiles(numbers: Numbers) -> str:
    n = numbers
    tiles = (
        ("Max drawdown", n.money("max_drawdown_money"),
         f'longest {n.seconds("metrics", "drawdown", "longest_seconds")}'),
        ("Fills", n.count("fills"), f'of {n.count("orders")} orders'),
        ("Maker share", n.percent("metrics", "maker_fills", "share"), "of all fills"),
        ("Turnover", n.show(("metrics", "turnover", "value"), lambda v: text.amount(v, 0)),
         f'in market {n.percent("metrics", "exposure", "time_in_market")}'),
        ("Win rate", n.percent("metrics", "round_trips", "win_rate"),
         f'of {n.count("metrics", "round_trips", "count")} closed trades'),
        ("Speed", n.show(("ns_per_event",), lambda v: f"{v:.1f} ns"), f'an event, {n.count("events")} events'),
    )  # fmt: skip
    body = "".join(f'<div><dt class="label">{a}</dt><dd>{b}<small>{c}</small></dd></div>' for a, b, c in tiles)
    return f'<dl class="card five tiles">{body}</dl>'


def _figure(name: str, title: str, height: int, width: str = "", empty: str = "") -> str:
    inside = f'<p class="empty">{empty}</p>' if empty else f'<div class="canvas" data-height="{height}"></div>'
    return (
        f'<figure class="card plot {width}" id="plot-{name}"><div class="top"><h2>{title}</h2>'
        f'<div class="readout"></div></div>{inside}<p class="foot"></p></figure>'
    )


def _plots(plots: Mapping[str, Any]) -> str:
    nothing = "" if plots["equity"]["t"] else "The tape is empty: there is nothing to draw."
    bins = plots["latency"]
    still = ""
    if bins is None:
        still = "No order was answered."
    elif len(bins["counts"]) == 1:
        still = f"Every response took {text.duration(bins['edges'][0])}."
    return "".join(
        (
            _figure("equity", "Equity", 260, "wide", empty=nothing),
            _figure("price", "Fills on price", 330, "wide", empty=nothing),
            _figure("inventory", "Inventory", 190, "wide", empty=nothing),
            _figure("drawdown", "Drawdown", 190, "half", empty=nothing),
            _figure("latency", "Order response latency", 190, "half", empty=still),
        )
    )


def _reasons(numbers: Numbers) -> str:
    """The why-not ledger: what became of every signal and every order that did not fill."""
    n, rows = numbers, []
    kinds = (("blocked_by", "signal blocked", "signals"), ("unfilled_by", "order unfilled", "orders"))
    for key, kind, of in kinds:
        whole = max(1, int(n.at((of,)) or 0))
        denied = n.at(("denied_by",)) or {}
        for reason, count in text.counted(n.at((key,))):
            label = "denied by the gate" if key == "blocked_by" and reason in denied else kind
            share, advice = min(1.0, count / whole), remedy(reason)
            rows.append(
                f'<tr><td class="what">{escape(text.words(reason).capitalize())}<span class="sub">{label}</span></td>'
                f'<td class="bar"><span class="meter"><i style="width:{share:.2%}"></i></span></td>'
                f'<td class="n">{n.count(key, reason)}<span class="sub">{share:.1%}</span></td>'
                f'<td class="soft">{_prose(advice[:1].upper() + advice[1:])}</td></tr>'
            )
    sums = (
        f'<p class="equation"><b>{n.count("signals")}</b> signals = <b>{n.count("orders")}</b> orders + '
        f'<b>{n.count("blocked")}</b> blocked, of which <b>{n.count("denied")}</b> denied by the gate. '
        f'<b>{n.count("unfilled")}</b> orders did not fill.</p>'
    )
    head = '<tr><th>Reason</th><th class="bar">Share</th><th class="n">Count</th><th>What to do</th></tr>'
    table = f'<div class="scroll"><table class="reasons">{head}{"".join(rows)}</table></div>' if rows else ""
    return _card("Why not", sums + table, "")


def _tables(numbers: Numbers, instruments: list[Instrument]) -> str:
    n = numbers
    trips, speed, wait = ("metrics", "round_trips"), ("metrics", "response_latency_ns"), ("metrics", "time_to_fill_ns")
    trading = (
        ("Orders sent", n.count("orders")), ("Fills", n.count("fills")),
        ("Orders per fill", n.ratio("metrics", "order_to_fill")),
        ("Fills that needed optimism", f'{n.count("metrics", "optimistic_fills", "count")}'
         f' ({n.percent("metrics", "optimistic_fills", "share")})'),
        ("Bought", n.money("metrics", "turnover", "bought")), ("Sold", n.money("metrics", "turnover", "sold")),
        ("Exposure, mean", n.money("metrics", "exposure", "mean")),
        ("Exposure, greatest", n.money("metrics", "exposure", "max")),
    )  # fmt: skip
    closed = (
        ("Closed trades, by average cost", n.count(*trips, "count")),
        ("Wins and losses", f'{n.count(*trips, "wins")} and {n.count(*trips, "losses")}'),
        ("Win rate", n.percent(*trips, "win_rate")), ("Profit factor", n.ratio(*trips, "profit_factor")),
        ("Average win", n.exact(*trips, "average_win")), ("Average loss", n.exact(*trips, "average_loss")),
        ("Expectancy, net of fees", n.exact(*trips, "expectancy")), ("Sum, net of fees", n.money(*trips, "net_pnl")),
    )  # fmt: skip
    marks = tuple((f"Markout {'at the fill' if s == '0s' else 'after ' + s}", n.ratio("metrics", "markout_bps", s))
                  for s in ("0s", "1s", "10s", "60s"))  # fmt: skip
    waits = tuple((f"Time to fill, {p}", n.ns(*wait, p)) for p in ("p50", "p99"))
    answers = tuple((f"Response, {p}", n.ns(*speed, p)) for p in ("p50", "p99"))
    quality = tuple((f"{name} (bps)", value) for name, value in marks) + waits + answers
    held = "".join(
        f'<tr><td>{escape(i.symbol)}<span class="sub">{escape(i.venue)} {i.kind}, tick {escape(i.tick)}, '
        f'lot {escape(i.lot)}</span></td><td class="n">{n.exact("position", i.symbol)}</td>'
        f'<td class="n">{n.exact("metrics", "inventory", i.symbol, "low")}</td>'
        f'<td class="n">{n.exact("metrics", "inventory", i.symbol, "high")}</td></tr>'
        for i in instruments
    )
    head = '<tr><th>Instrument</th><th class="n">Final</th><th class="n">Lowest</th><th class="n">Highest</th></tr>'
    return (
        _card("Trading", _rows(trading), "third") + _card("Closed trades", _rows(closed), "third")
        + _card("Execution", _rows(quality), "third")
        + _card("Position", f'<div class="scroll"><table>{head}{held}</table></div>', "half")
    )  # fmt: skip


def _facts(numbers: Numbers) -> str:
    summary, n = numbers.summary, numbers
    limits = summary.get("limits")
    if isinstance(limits, Mapping):
        rows = [(f"<code>{escape(str(k))}</code>", _said(v)) for k, v in limits.items()]
        limit_table = _rows(rows, "facts") if rows else "<p class='soft'>None given.</p>"
    else:
        limit_table = f'<p class="soft">{_said(limits)}</p>'
    facts = [(name, _said(summary.get(key))) for name, key in (
        ("Tape", "tape"), ("Strategy", "strategy"), ("Parameters", "params"), ("Fill mode", "fill_mode"),
        ("Queue model", "queue"), ("Latency", "latency"))]  # fmt: skip
    facts += [
        ("Feed shift", n.ns("feed_shift_ns")),
        ("Engine", f'{n.count("events")} events in {n.seconds("seconds")}, {n.count("events_per_second")} a second'),
        ("Peak memory", n.show(("peak_rss_bytes",), text.size)),
        ("Result hash", f"<code>{_said(summary.get('result_hash'))}</code>"),
    ]
    return _card("Limits of the risk gate", limit_table, "half") + _card("This run", _rows(facts, "facts"), "")


def _embed(value: Any) -> str:
    """JSON that cannot leave its script element."""
    out = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        out = out.replace(char, f"\\u{ord(char):04x}")
    return out


def _script() -> str:
    """uPlot with its licence instead of its banner (which holds an address), then ours."""
    static = files("apex.research") / "static"
    plot = (static / "uPlot.iife.min.js").read_text("utf-8")
    plot = plot[plot.index("*/") + 2 :]
    licence = (static / "uPlot.LICENSE").read_text("utf-8")
    return f"/* uPlot 1.6.32\n{licence}*/\n{plot}\n{(static / 'report.js').read_text('utf-8')}"


def page(
    summary: Mapping[str, Any],
    plots: Mapping[str, Any],
    instruments: list[Instrument],
    span: tuple[int, int] | None,
) -> str:
    """The whole report as one HTML text without any outside reference.

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
    notes = "".join(f"<li>{_prose(note)}</li>" for note in summary["notes"])
    body = (
        _header(numbers, instruments, span) + _why(summary["diagnosis"])
        + '<div class="grid">' + _split(numbers, currency) + _tiles(numbers) + _plots(plots) + _reasons(numbers)
        + _tables(numbers, instruments) + _facts(numbers)
        + _card("How to read this", f'<ul class="notes">{notes}</ul>', "")
        + "</div><footer>Drag across a plot to look closer, double-click to see all again. Times are UTC on the "
        "replay's clock. The same numbers are in result.json; orders, fills and equity in the Parquet files beside it."
        "</footer>"
    )  # fmt: skip
    return Template((static / "report.html").read_text("utf-8")).substitute(
        title=escape(f"{_short_name(summary.get('strategy'))}: APEX replay"),
        css=(static / "uPlot.min.css").read_text("utf-8") + (static / "report.css").read_text("utf-8"),
        body=body, summary=_embed(summary), plots=_embed(plots), js=_script(),
    )  # fmt: skip
