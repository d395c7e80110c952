"""A replay on one screen: what ran, what it earned, what did not happen and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from apex.domain.instrument import Instrument
from apex.research import text
from apex.research.diagnosis import remedy
from apex.research.lookup import COSTS, SPLIT, split_of
from apex.research.tca import PARTS

if TYPE_CHECKING:
    import pandas as pd
    from rich.text import Text

WIDTH = 100
"""Columns used at most."""
WIDTH_OF_TWO = 90
"""Columns from which blocks stand side by side."""
VALUE = 9
"""Least width of a block's values."""
POSITIONS, REASONS, SENTENCES, PARENTS = 3, 7, 3, 2
"""Rows shown of each; the report shows all."""
BARS = "▁▂▃▄▅▆▇█"
PLAIN = str.maketrans({text.MINUS: "-", text.NOTHING: "-", "µ": "u", "─": "-", "█": "#", "│": "|",
                       **dict(zip(BARS, "_..--==#", strict=True))})  # fmt: skip
"""What stands for the drawn characters where the stream's encoding has none."""


class Shown(Protocol):
    """What the screen reads of a result."""

    @property
    def document(self) -> Mapping[str, Any]: ...
    @property
    def equity(self) -> pd.DataFrame: ...
    @property
    def instruments(self) -> Sequence[Instrument]: ...


class Row(NamedTuple):
    """A line of a block: name, value to the right, and what is said of it."""

    name: str
    value: str
    said: str = ""
    style: str = ""


def draw(result: Shown, width: int = WIDTH, page: Path | None = None, *, plain: bool = False) -> Text:
    """Draw a result.

    Parameters
    ----------
    result : Shown
    width : int
        Columns there are; at most 100 are used, and below 90 the blocks stand under each other.
    page : Path, optional
        The HTML report, named at the end.
    plain : bool
        ASCII only.

    Returns
    -------
    Text
        Lines to be printed without wrapping.
    """
    known = result.document
    width = min(WIDTH, width)
    two = width >= WIDTH_OF_TWO
    half = (width - 4) // 2 if two else width
    lines = [*_head(known, result.instruments), _text()]
    lines += _beside(_profit(known, result.instruments, half), _orders(known, half), half, two)
    lines += _curve(result.equity["net_pnl"].tolist(), width)
    lines += _beside(_risk(known, half), _trades(known, half), half, two)
    lines += _costs(known, width)
    lines += [*_why_not(known, width), *_limits(known, width), *_foot(known, page)]
    for line in lines:
        line.rstrip()
        if plain:
            line.plain = line.plain.translate(PLAIN)
    return _text("\n").join(lines)


def _text(*parts: tuple[str, str] | str) -> Text:
    from rich.text import Text

    return Text.assemble(*parts)


def _title(name: str, width: int, said: str = "") -> Text:
    line = _text((name, "bold"), (f"  {said}" if said else "", "dim"))
    return line.append(" " + "─" * max(0, width - line.cell_len - 1), style="dim")


def _block(title: Text, rows: Iterable[Row], width: int) -> list[Text]:
    """A title and aligned rows; what does not fit is cut in what is said, never in a value."""
    rows = list(rows)
    name = max(len(row.name) for row in rows)
    value = max(VALUE, *(len(row.value) for row in rows))
    room = max(0, width - name - value - 4)
    out = [title]
    for row in rows:
        line = _text((row.name.ljust(name), row.style), "  ", (row.value.rjust(value), row.style))
        out.append(line.append("  " + row.said[:room], style="dim"))
    return out


def _beside(left: list[Text], right: list[Text], half: int, two: bool) -> list[Text]:
    """Two blocks side by side, or under each other; a blank line after."""
    if not two:
        return [*left, _text(), *right, _text()]
    out = []
    for i in range(max(len(left), len(right))):
        line = left[i] if i < len(left) else _text()
        line.pad_right(half + 4 - line.cell_len)
        out.append(line.append_text(right[i]) if i < len(right) else line)
    return [*out, _text()]


def _head(known: Mapping[str, Any], instruments: Sequence[Instrument]) -> list[Text]:
    more = f" and {len(instruments) - POSITIONS} more" if len(instruments) > POSITIONS else ""
    symbols = ", ".join(i.symbol for i in instruments[:POSITIONS]) + more
    venues = ", ".join(sorted({i.venue for i in instruments}))
    events, ns, seconds = known.get("events") or 0, known.get("ns_per_event"), known.get("seconds")
    out = [_text(("APEX replay  ", "dim"), (f"{text.title(known)} on {symbols}", "bold"), (f"  {venues}", "dim"))]
    start, end = known.get("start_ts"), known.get("end_ts")
    if events and start is not None and end is not None:
        span = text.duration(max(0, end - start))
        out.append(_text(f"{span} of market time", (f", {text.moment(start)} to {text.moment(end)} UTC", "dim")))
    speed = _text(f"{events:,} events")
    if ns is not None and seconds:
        rate = (known.get("events_per_second") or 0.0) / 1e6
        speed.append(f" in {text.duration(seconds * 1e9)}")
        speed.append(f", {ns:.1f} ns an event, {rate:,.1f} million events a second", style="dim")
    return [*out, speed]


def _profit(known: Mapping[str, Any], instruments: Sequence[Instrument], width: int) -> list[Text]:
    quotes = {i.quote for i in instruments}
    keys = split_of(known)
    named = {"spread_captured": "spread captured", "impact_cost": "of it impact", "liquidation_fees": "liquidation"}
    names = [named.get(key, key.removesuffix("_pnl")) for key in keys]
    places = text.places_of([known.get(key) for key in SPLIT])
    amounts = [Decimal(known.get(key) or 0) * (-1 if key in COSTS else 1) for key in keys]
    shown = [text.amount(f"{value:f}", places) for value in amounts]
    room = width - 15 - max(VALUE, *(len(s) for s in shown)) - 4
    rows = []
    for name, value, number, bar in zip(names, amounts, shown, _bars(amounts, room), strict=True):
        tone = "" if name != "net" or not value else " green" if value > 0 else " red"
        rows.append(Row(name, number, bar, ("bold" + tone) if name in ("gross", "net") else ""))
    fall = (known.get("metrics") or {}).get("drawdown") or {}
    longest = fall.get("longest_seconds")
    lasted = "" if not longest else f"longest {text.duration(longest * 1e9)}"
    rows.append(Row("max drawdown", text.amount(known.get("max_drawdown_money"), places), lasted))
    return _block(_title("P&L", width, quotes.pop() if len(quotes) == 1 else ""), rows, width)


def _bars(values: Sequence[Decimal], width: int) -> list[str]:
    """A bar from one common zero for each value: losses to its left, gains to its right."""
    low, high = min(Decimal(0), *values), max(Decimal(0), *values)
    if low == high or width < 8:
        return [""] * len(values)
    zero = round(-low / (high - low) * (width - 1))
    out = []
    for value in values:
        cells = [" "] * width
        at = round((value - low) / (high - low) * (width - 1))
        for i in range(min(zero, at), max(zero, at) + 1):
            cells[i] = "█"
        cells[zero] = "│"
        out.append("".join(cells).rstrip())
    return out


def _orders(known: Mapping[str, Any], width: int) -> list[Text]:
    metrics = known.get("metrics") or {}
    names = ("orders", "fills", "signals", "blocked", "denied", "unfilled")
    orders, fills, signals, blocked, denied, unfilled = (int(known.get(name) or 0) for name in names)
    makers, hopeful = metrics.get("maker_fills") or {}, metrics.get("optimistic_fills") or {}
    maker = makers.get("count") or 0
    rows = [
        Row("signals", f"{signals:,}", "orders + blocked"),
        Row("blocked", f"{blocked:,}", f"{denied:,} denied"),
        Row("orders", f"{orders:,}", "passed the gate"),
        Row("unfilled", f"{unfilled:,}", "or only in part"),
        Row("fills", f"{fills:,}"),
        Row("maker, taker", f"{maker:,}, {fills - maker:,}", f"{text.percent(makers.get('share'))} maker"),
        Row("needed optimism", f"{hopeful.get('count') or 0:,}", f"{text.percent(hopeful.get('share'))} of fills"),
    ]
    return _block(_title("Orders", width), rows, width)


def _curve(net: Sequence[float], width: int) -> list[Text]:
    """Net P&L over the run as one line of bars: each column shows its last value."""
    if len(net) < 2 or min(net) == max(net):
        return []
    columns = min(len(net), width - 17)
    low, high = min(net), max(net)
    points = [net[(i + 1) * len(net) // columns - 1] for i in range(columns)]
    drawn = "".join(BARS[min(7, int((value - low) / (high - low) * 8))] for value in points)
    return [_text(("net over time".ljust(17), "dim"), (drawn, "cyan")), _text()]


def _risk(known: Mapping[str, Any], width: int) -> list[Text]:
    metrics = known.get("metrics") or {}
    held, turned = metrics.get("exposure") or {}, metrics.get("turnover") or {}
    position = list((known.get("position") or {}).items())
    rows = [Row("" if i else "final position", text.amount(quantity), name)
            for i, (name, quantity) in enumerate(position[:POSITIONS])]  # fmt: skip
    if len(position) > POSITIONS:
        rows.append(Row("", "", f"and {len(position) - POSITIONS:,} more"))
    rows += [
        Row("turnover", text.amount(turned.get("value"), 2), "bought and sold"),
        Row("exposure", text.amount(held.get("mean"), 2), "mean"),
        Row("", text.amount(held.get("max"), 2), "greatest"),
        Row("time in market", text.percent(held.get("time_in_market")), "with a position"),
    ]
    return _block(_title("Risk", width), rows, width)


def _trades(known: Mapping[str, Any], width: int) -> list[Text]:
    metrics = known.get("metrics") or {}
    trips, waits = metrics.get("round_trips") or {}, metrics.get("time_to_fill_ns") or {}
    answers, marks = metrics.get("response_latency_ns") or {}, metrics.get("markout_bps") or {}
    rows = [
        Row("win rate", text.percent(trips.get("win_rate")), f"of {trips.get('count') or 0:,} closed"),
        Row("profit factor", text.ratio(trips.get("profit_factor")), "won / lost"),
        Row("order to ack", text.duration(answers.get("p50")), f"median, p99 {text.duration(answers.get('p99'))}"),
        Row("order to fill", text.duration(waits.get("p50")), f"median, p99 {text.duration(waits.get('p99'))}"),
        Row("markout 10 s", text.ratio(marks.get("10s")), "bps of the price"),
    ]
    return _block(_title("Trades", width), rows, width)


def _costs(known: Mapping[str, Any], width: int) -> list[Text]:
    """What each parent order cost against the mid of its decision; nothing for a run without them."""
    out, parents = [], known.get("tca") or ()
    for parent in parents[:PARENTS]:
        names = (*PARTS, "shortfall")
        amounts = [Decimal(parent[name]) for name in names]
        places = text.places_of([parent[name] for name in names])
        shown = [text.amount(f"{value:f}", places) for value in amounts]
        cell = max(VALUE, *map(len, shown))
        rows = [
            Row(name, number, f"{text.ratio(parent['bps'][name]):>9} bps  {bar}", "bold" if name == "shortfall" else "")
            for name, number, bar in zip(names, shown, _bars(amounts, width - cell - 33), strict=True)
        ]
        title = f"{parent['side']} {parent['quantity']} {parent['instrument']}"
        said = f"{parent['filled']} filled at {text.amount(parent['average_price'], 2)}"
        out += _block(_title("Cost", width, f"{title} at {text.amount(parent['arrival_mid'], 2)}: {said}"), rows, width)
        against = parent["vwap_slippage_bps"]
        if against is not None:
            place = f"{text.ratio(abs(against))} bps {'worse' if against > 0 else 'better'} than the market's VWAP"
            out.append(_text((f"{place}, {text.percent(parent['participation'])} of its volume", "dim")))
        out.append(_text())
    if len(parents) > PARENTS:
        out[-1:] = [_text((f"and {len(parents) - PARENTS:,} more parent orders in the report", "dim")), _text()]
    return out


def _why_not(known: Mapping[str, Any], width: int) -> list[Text]:
    """Plain sentences when little happened, then counts by reason with their remedy."""
    denied, found = known.get("denied_by") or {}, []
    for key, kind in (("blocked_by", "blocked"), ("unfilled_by", "unfilled"), ("requests_denied_by", "request"),
                      ("would_have_denied_by", "would deny")):  # fmt: skip
        for reason, count in text.counted(known.get(key)):
            found.append(("denied" if key == "blocked_by" and reason in denied else kind, reason, count))
    out = [_title("Why not", width)]
    said = list(known.get("diagnosis") or ())
    for sentence in said[:1] if found else said[:SENTENCES]:
        out += _wrapped(sentence.replace("`", ""), width)
    if not found and not said:
        out.append(_text("Every signal became an order, and every order filled."))
    numbers = max([len(f"{count:,}") for _, _, count in found] or [0])
    for kind, reason, count in found[:REASONS]:
        line = _text((kind.ljust(11), "dim"), text.words(reason).ljust(23)[:23], f"{count:,}".rjust(numbers + 1))
        room = width - line.cell_len - 2
        advice = remedy(reason).replace("`", "")
        out.append(line.append("  " + (advice if len(advice) <= room else ""), style="dim"))
    if len(found) > REASONS:
        out.append(_text((f"and {len(found) - REASONS:,} more reasons in the report", "dim")))
    return [*out, _text()]


def _wrapped(sentence: str, width: int) -> list[Text]:
    import textwrap

    return [_text(line) for line in textwrap.wrap(sentence, width)]


def _limits(known: Mapping[str, Any], width: int) -> list[Text]:
    """The profile, and every limit with its value."""
    import textwrap

    profile = str(known.get("limits_profile") or "none")
    if profile == "scripted":
        profile = "scripted: every check is counted, none denies"
    given = "; ".join(f"{name} {text.limit(name, value)}".replace(" ", "\0")
                      for name, value in (known.get("limits") or {}).items())  # fmt: skip
    lines = textwrap.wrap(given, max(30, width - 13), break_on_hyphens=False, break_long_words=False)
    out = [_text(("limits".ljust(13), "dim"), profile)]
    return out + [_text((" " * 13 + line.replace("\0", " "), "dim")) for line in lines]


def _foot(known: Mapping[str, Any], page: Path | None) -> list[Text]:
    out = [_text(("result hash  ", "dim"), str(known.get("result_hash") or ""))]
    if page is not None:
        out.append(_text(("report       ", "dim"), (str(page), "bold")))
    return out
