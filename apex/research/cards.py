"""The report's cards: P&L, tiles, reasons and tables, as HTML whose numbers come from the JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from apex.domain.instrument import Instrument
from apex.research import text
from apex.research.diagnosis import remedy
from apex.research.lookup import COSTS, Numbers, split_of
from apex.research.metrics import MARKOUT_SECONDS
from apex.research.tca import PARTS

SPLIT_NAMES = {"spread_captured": "Spread captured", "inventory_pnl": "Inventory", "gross_pnl": "Gross",
               "fees": "Fees", "net_pnl": "Net", "impact_cost": "of which impact", "funding": "Funding",
               "liquidation_fees": "Liquidation"}  # fmt: skip
WHY = (
    ("blocked_by", "signal blocked", "signals"),
    ("unfilled_by", "order not filled in full", "orders"),
    ("requests_denied_by", "amendment or cancellation denied", ""),
    ("would_have_denied_by", "would have been denied", "orders"),
)
"""Keys of reasons in the JSON, what they say of, and of which count they are a share."""


def card(title: str, body: str, width: str = "") -> str:
    """A titled box."""
    return f'<section class="card {width}"><h2>{title}</h2>{body}</section>'


def rows(pairs: Iterable[tuple[str, str]], cell: str = "n") -> str:
    """A table of names and values already in HTML."""
    body = "".join(f'<tr><td class="soft">{name}</td><td class="{cell}">{value}</td></tr>' for name, value in pairs)
    return f"<table>{body}</table>"


def prose(sentence: str) -> str:
    """Escaped text with `code` set as code."""
    parts = escape(sentence).split("`")
    return "".join(f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(parts))


def _said(value: Any) -> str:
    """Any value of the summary as escaped text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{escape(str(k))} {_said(v)}" for k, v in value.items()) or text.NOTHING
    if isinstance(value, (list, tuple)):
        return ", ".join(_said(v) for v in value) or text.NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    return text.NOTHING if value is None else escape(str(value))


def _flows(values: Sequence[Decimal | None], *, costs: bool = False) -> list[str]:
    """A bar from one common zero for each value; of costs, what is above zero is a loss."""
    known = [v for v in values if v is not None]
    low, high = min([Decimal(0), *known]), max([Decimal(0), *known])
    width = (high - low) or Decimal(1)
    out = []
    for value in values:
        bar = ""
        if value:
            left, right = min(value, Decimal(0)), max(value, Decimal(0))
            tone = "down" if (value < 0) != costs else "up"
            bar = f'<i class="{tone}" style="left:{(left - low) / width:.2%};width:{(right - left) / width:.2%}"></i>'
        out.append(f'<div class="flow"><b style="left:{-low / width:.2%}"></b>{bar}</div>')
    return out


def split(numbers: Numbers, currency: str) -> str:
    """The headline: net P&L, and how it comes about, as bars around one zero."""
    names = split_of(numbers.summary)
    amounts = [Decimal(numbers.at((n,)) or 0) * (-1 if n in COSTS else 1) for n in names]
    body = []
    for name, value, flow in zip(names, amounts, _flows(amounts), strict=True):
        shown = numbers.money(name, tone=name == "net_pnl")
        if name in COSTS and value:
            shown = (text.MINUS if value < 0 else "+") + shown.replace(">" + text.MINUS, ">")
        kind = "sum" if name in ("gross_pnl", "net_pnl") else ""
        body.append(f'<tr class="{kind}"><td>{SPLIT_NAMES[name]}</td><td>{flow}</td><td class="n">{shown}</td></tr>')
    return (
        '<section class="card seven headline"><p class="label">Net P&amp;L</p>'
        f'<p class="big">{numbers.money("net_pnl", tone=True)} <small>{escape(currency)}</small></p>'
        f'<table class="split">{"".join(body)}</table></section>'
    )


def tiles(numbers: Numbers) -> str:
    """Six numbers to see first."""
    n = numbers
    trips = ("metrics", "round_trips")
    shown = (
        ("Max drawdown", n.money("max_drawdown_money"),
         f'longest {n.seconds("metrics", "drawdown", "longest_seconds")}'),
        ("Fills", n.count("fills"), f'from {n.count("orders")} orders'),
        ("Turnover", n.whole("metrics", "turnover", "value"),
         f'in the market {n.percent("metrics", "exposure", "time_in_market")}'),
        ("Maker share", n.percent("metrics", "maker_fills", "share"), "of all fills"),
        ("Win rate", n.percent(*trips, "win_rate"),
         f'profit factor {n.ratio(*trips, "profit_factor")}'),
        ("Speed", n.show(("ns_per_event",), lambda v: f"{v:.1f} ns"), f'an event, {n.count("events")} events'),
    )  # fmt: skip
    body = "".join(f'<div><dt class="label">{a}</dt><dd>{b}<small>{c}</small></dd></div>' for a, b, c in shown)
    return f'<dl class="card five tiles">{body}</dl>'


def why(sentences: Sequence[str]) -> str:
    """The diagnosis, when there is one."""
    if not sentences:
        return ""
    items = "".join(f"<li>{prose(s)}</li>" for s in sentences)
    return f'<section class="card why"><h2>Why so little happened</h2><ul>{items}</ul></section>'


def reasons(numbers: Numbers) -> str:
    """The why-not ledger: what became of every signal and every order that did not fill."""
    n, body = numbers, []
    denied = n.at(("denied_by",)) or {}
    for key, kind, of in WHY:
        whole = int(n.at((of,)) or 0) if of else 0
        for reason, count in text.counted(n.at((key,))):
            label = "denied by the gate" if key == "blocked_by" and reason in denied else kind
            share = min(1.0, count / whole) if whole else 0.0
            meter = f'<span class="meter"><i style="width:{share:.2%}"></i></span>' if whole else ""
            said = f'<span class="sub">{share:.1%} of {of}</span>' if whole else ""
            advice = remedy(reason)
            body.append(
                f'<tr><td class="what">{escape(text.words(reason).capitalize())}<span class="sub">{label}</span></td>'
                f'<td class="bar">{meter}</td><td class="n">{n.count(key, reason)}{said}</td>'
                f'<td class="soft">{prose(advice[:1].upper() + advice[1:])}</td></tr>'
            )
    sums = (
        f'<p class="equation"><b>{n.count("signals")}</b> signals = <b>{n.count("orders")}</b> orders + '
        f'<b>{n.count("blocked")}</b> blocked, of which <b>{n.count("denied")}</b> denied by the gate. '
        f'<b>{n.count("unfilled")}</b> orders did not fill in full.</p>'
    )
    head = '<tr><th>Reason</th><th class="bar"></th><th class="n">Count</th><th>What to do, or what it means</th></tr>'
    table = f'<div class="scroll"><table class="reasons">{head}{"".join(body)}</table></div>' if body else ""
    return card("Why not", sums + table)


def tables(numbers: Numbers, instruments: Sequence[Instrument]) -> str:
    """Trading, closed trades, markout, position and risk."""
    n = numbers
    trips, market, fall = ("metrics", "round_trips"), ("metrics", "exposure"), ("metrics", "drawdown")
    trading = (
        ("Orders sent", n.count("orders")), ("Fills", n.count("fills")),
        ("Orders per fill", n.ratio("metrics", "order_to_fill")),
        ("Maker fills", f'{n.count("metrics", "maker_fills", "count")}'
         f' ({n.percent("metrics", "maker_fills", "share")})'),
        ("Fills that needed optimism", f'{n.count("metrics", "optimistic_fills", "count")}'
         f' ({n.percent("metrics", "optimistic_fills", "share")})'),
        ("Bought", n.whole("metrics", "turnover", "bought")), ("Sold", n.whole("metrics", "turnover", "sold")),
        ("Turnover", n.whole("metrics", "turnover", "value")),
    )  # fmt: skip
    closed = (
        ("Closed trades, average cost", n.count(*trips, "count")),
        ("Won and lost", f'{n.count(*trips, "wins")} and {n.count(*trips, "losses")}'),
        ("Win rate", n.percent(*trips, "win_rate")), ("Profit factor", n.ratio(*trips, "profit_factor")),
        ("Average win", n.whole(*trips, "average_win")), ("Average loss", n.whole(*trips, "average_loss")),
        ("Expectancy, net of fees", n.whole(*trips, "expectancy")), ("Sum, net of fees", n.whole(*trips, "net_pnl")),
    )  # fmt: skip
    risk = (
        ("Mean exposure", n.whole(*market, "mean")), ("Max exposure", n.whole(*market, "max")),
        ("Time in market", n.percent(*market, "time_in_market")),
        ("Max drawdown", n.money("max_drawdown_money")), ("Lowest at", n.moment(*fall, "at")),
        ("Longest fall", n.seconds(*fall, "longest_seconds")
         + (", going on" if n.at((*fall, "under_water_at_end")) else "")),
    )  # fmt: skip
    return (
        card("Trading", rows(trading), "third") + card("Closed trades", rows(closed), "third")
        + card("Exposure and drawdown", rows(risk), "third") + card("Markout", _markout(n), "five")
        + card("Position", _positions(n, instruments), "seven")
    )  # fmt: skip


def costs(numbers: Numbers) -> str:
    """What each parent order cost against the mid of its decision, as bars around one zero."""
    n, out = numbers, []
    for i, parent in enumerate(n.at(("tca",)) or ()):
        names, place, body = (*PARTS, "shortfall"), ("tca", str(i)), []
        flows = _flows([Decimal(parent[name]) for name in names], costs=True)
        for name, flow in zip(names, flows, strict=True):
            cells = "".join(f'<td class="n">{x}</td>' for x in (n.whole(*place, name), n.ratio(*place, "bps", name)))
            kind = "sum" if name == "shortfall" else ""
            body.append(f'<tr class="{kind}"><td>{name.capitalize()}</td><td>{flow}</td>{cells}</tr>')
        facts = rows((
            ("Decided at a mid of", n.exact(*place, "arrival_mid")),
            ("Filled", f'{n.exact(*place, "filled")} of {n.exact(*place, "quantity")}'),
            ("Average price", n.whole(*place, "average_price")), ("Mid at the end", n.exact(*place, "final_mid")),
            ("Market's VWAP meanwhile", n.whole(*place, "market_vwap")),
            ("Worse than it, bps", n.ratio(*place, "vwap_slippage_bps")),
            ("Share of the market's volume", n.percent(*place, "participation")),
            ("Filled as a maker", n.percent(*place, "maker_share")),
        ))  # fmt: skip
        title = f"Cost of the order to {parent['side']} {escape(parent['quantity'])} {escape(parent['instrument'])}"
        head = '<tr><td></td><td></td><td class="n soft">money</td><td class="n soft">bps</td></tr>'
        table = f'<table class="split">{head}{"".join(body)}</table>'
        out += [card(title, table, "seven"), card("Its prices", facts, "five")]
    return "".join(out)


def _markout(numbers: Numbers) -> str:
    """Where the mid went after our fills, as bars around one zero."""
    names = [f"{s}s" for s in (0, *MARKOUT_SECONDS)]
    found = [numbers.at(("metrics", "markout_bps", name)) for name in names]
    values = [None if v is None else Decimal(repr(v)) for v in found]
    body = []
    for name, flow in zip(names, _flows(values), strict=True):
        said = "at the fill" if name == "0s" else f"after {name[:-1]} s"
        number = numbers.ratio("metrics", "markout_bps", name)
        body.append(f'<tr><td>{said}</td><td>{flow}</td><td class="n">{number}</td></tr>')
    return (
        f'<table class="split">{"".join(body)}</table><p class="soft small">Side x (mid − price) in basis points of '
        "the price, weighted by value: above zero the market went our way.</p>"
    )


def _positions(numbers: Numbers, instruments: Sequence[Instrument]) -> str:
    held, body = ("metrics", "inventory"), []
    for i in instruments:
        cells = "".join(f'<td class="n">{value}</td>' for value in (
            numbers.exact("position", i.symbol), numbers.exact(*held, i.symbol, "low"),
            numbers.exact(*held, i.symbol, "high"), numbers.whole(*held, i.symbol, "mean_abs")))  # fmt: skip
        body.append(f'<tr><td>{escape(i.symbol)}<span class="sub">{escape(i.venue)}, {i.kind}, tick {escape(i.tick)}, '
                    f"lot {escape(i.lot)}</span></td>{cells}</tr>")  # fmt: skip
    head = '<tr><th>Instrument</th><th class="n">Final</th><th class="n">Lowest</th><th class="n">Highest</th>' \
           '<th class="n">Mean size</th></tr>'  # fmt: skip
    return f'<div class="scroll"><table class="positions">{head}{"".join(body)}</table></div>'


def facts(numbers: Numbers) -> str:
    """What the run was given: limits, parameters, venue, machine."""
    summary, n = numbers.summary, numbers
    limits = rows([(f"<code>{escape(str(k))}</code>", escape(text.limit(k, v)))
                   for k, v in (summary.get("limits") or {}).items()],
                  "facts")  # fmt: skip
    if summary.get("limits_profile") == "scripted":
        limits = '<p class="soft">Scripted: every check is counted and none denies.</p>' + limits
    given = [(f"<code>{escape(str(k))}</code>", _said(v)) for k, v in (summary.get("params") or {}).items()]
    optional = [(name, summary.get(key)) for name, key in (
        ("Cancel latency", "cancel_latency"), ("Amend latency", "amend_latency"))]  # fmt: skip
    venue = [
        ("Fill mode", _said(summary.get("fill_mode"))), ("Queue model", _said(summary.get("queue"))),
        ("Order latency", _said(summary.get("order_latency"))),
        ("Response latency", _said(summary.get("response_latency"))),
        *((name, _said(value)) for name, value in optional if value is not None),
        ("Maker fee", n.show(("maker_fee",), text.fee)), ("Taker fee", n.show(("taker_fee",), text.fee)),
        ("Cash at the start", n.exact("cash")), ("Feed shift", n.ns("feed_shift_ns")),
    ]  # fmt: skip
    run = [
        ("Tape", _said(summary.get("tapes"))), ("Strategy", escape(text.title(summary))),
        *([("Schedule", _said(summary.get("schedule")))] if summary.get("schedule") else []),
        ("Engine", f'{n.count("events")} events in {n.seconds("seconds")}'),
        ("Speed", n.show(("events_per_second",), lambda v: f"{v / 1e6:,.1f} million a second")),
        ("Strategy calls", n.count("strategy_calls")),
        ("Peak memory", n.show(("peak_rss_bytes",), text.size)),
        ("Result hash", f"<code>{_said(summary.get('result_hash'))}</code>"),
    ]  # fmt: skip
    return (
        card("Limits of the risk gate", limits, "third") + '<div class="stack third">'
        + card("Parameters", rows(given, "facts") if given else '<p class="soft">None.</p>')
        + card("Venue", rows(venue, "facts")) + "</div>" + card("This run", rows(run, "facts"), "third")
    )  # fmt: skip
