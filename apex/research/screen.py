"""A replay on one screen: what ran, what it earned, what did not happen and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from apex.domain.instrument import Instrument
from apex.research import text
from apex.research.diagnosis import remedy

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, RenderableType
    from rich.table import Table

WIDTH = 100
"""Columns used at most."""
REASONS_SHOWN = 8
BARS = " ▁▂▃▄▅▆▇█"
PLAIN = str.maketrans({text.MINUS: "-", text.NOTHING: "-", "µ": "u", "─": "-", "█": "#", "│": "|", "·": ","})
"""What stands for the drawn characters where the stream's encoding has none."""
Row = tuple[str, str, str]
"""Name, value, and what is said of it."""


class Shown(Protocol):
    """What the screen reads of a result."""

    @property
    def document(self) -> Mapping[str, Any]: ...
    @property
    def equity(self) -> pd.DataFrame: ...
    @property
    def instruments(self) -> Sequence[Instrument]: ...


def render(result: Shown, console: Console, page: Path | None = None) -> None:
    """Draw a result.

    Parameters
    ----------
    result : Shown
    console : Console
        At most 100 columns are used; below 76 the two halves stand under each other.
    page : Path, optional
        The HTML report, named at the end.
    """
    from rich.console import Group
    from rich.padding import Padding

    known = result.document
    width = min(WIDTH, console.width)
    plain = console.options.ascii_only
    wide = width >= 76
    half = (width - 4) // 2 if wide else width
    parts: list[RenderableType] = [_head(known, result.instruments), ""]
    parts.append(_beside([_profit(known, result.instruments, half), _orders(known, half)], half, wide))
    parts += [_curve(result, width, plain), ""]
    parts += [_beside([_risk(known, half), _trades(known, half)], half, wide), ""]
    parts += [*_why_not(known, width), _foot(known, page)]
    group = Group(*(Padding(p, 0) if isinstance(p, str) else p for p in parts if p is not None))
    with console.capture() as caught:
        console.print(group, width=width)
    drawn = caught.get()
    console.out(drawn.translate(PLAIN) if plain else drawn, end="", highlight=False)


def _title(name: str, width: int, said: str = "") -> RenderableType:
    from rich.text import Text

    line = Text(name, style="bold")
    if said:
        line.append(f"  {said}", style="dim")
    line.append(" " + "─" * max(0, width - line.cell_len - 1), style="dim")
    return line


def _grid(rows: Sequence[Row], width: int, value_width: int = 14) -> Table:
    """Rows of name, value to the right, remark."""
    from rich.table import Table

    made = Table.grid(padding=(0, 1), expand=False)
    made.add_column(width=18, no_wrap=True)
    made.add_column(width=value_width, justify="right", no_wrap=True)
    made.add_column(width=max(6, width - 18 - value_width - 3), no_wrap=True, style="dim", overflow="ellipsis")
    for row in rows:
        made.add_row(*row)
    return made


def _beside(tables: Sequence[RenderableType], half: int, wide: bool) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    if not wide:
        return Group(*tables)
    made = Table.grid(padding=(0, 4, 0, 0), pad_edge=False)
    for _ in tables:
        made.add_column(width=half)
    made.add_row(*tables)
    return made


def _stack(title: RenderableType, body: RenderableType) -> RenderableType:
    from rich.console import Group

    return Group(title, body, "")


def _head(known: Mapping[str, Any], instruments: Sequence[Instrument]) -> RenderableType:
    from rich.text import Text

    symbols = ", ".join(f"{i.symbol}" for i in instruments[:4]) + (" and more" if len(instruments) > 4 else "")
    venues = ", ".join(sorted({i.venue for i in instruments}))
    out = Text("APEX replay  ", style="dim")
    out.append(str(known.get("strategy") or "no strategy"), style="bold")
    out.append(f" on {symbols}", style="bold")
    out.append(f" ({venues})\n" if venues else "\n", style="dim")
    start, end = known.get("start_ts"), known.get("end_ts")
    if start is not None and end is not None:
        out.append(f"{text.duration(max(0, end - start))} of market time, {text.moment(start)} to {text.moment(end)} UTC\n")
    events, ns, seconds = known.get("events") or 0, known.get("ns_per_event"), known.get("seconds")
    out.append(f"{events:,} events")
    if ns is not None and seconds is not None:
        rate = known.get("events_per_second") or 0.0
        out.append(f" in {text.duration(seconds * 1e9)}: {ns:.1f} ns an event, {rate / 1e6:,.1f} million a second")
    return out


def _tone(value: str | None) -> str:
    if value is None or not Decimal(value):
        return ""
    return "green" if Decimal(value) > 0 else "red"


def _profit(known: Mapping[str, Any], instruments: Sequence[Instrument], width: int) -> RenderableType:
    quotes = {i.quote for i in instruments}
    names = (("spread captured", "spread_captured"), ("inventory", "inventory_pnl"), ("gross", "gross_pnl"),
             ("fees", "fees"), ("net", "net_pnl"))  # fmt: skip
    places = text.places_of([known.get(key) for _, key in names])
    amounts = {key: Decimal(known.get(key) or 0) * (-1 if key == "fees" else 1) for _, key in names}
    rows = []
    for name, key in names:
        shown = text.amount(f"{amounts[key]:f}", places)
        tone = _tone(known.get(key)) if key == "net_pnl" else ""
        strong = "bold " if key in ("gross_pnl", "net_pnl") else ""
        style = (strong + tone).strip()
        rows.append((f"[{style}]{name}[/]" if style else name, f"[{style}]{shown}[/]" if style else shown,
                     _bar(amounts[key], amounts.values(), max(6, width - 35))))
    rows.append(("max drawdown", text.amount(known.get("max_drawdown_money"), places), ""))
    return _stack(_title("P&L", width, quotes.pop() if len(quotes) == 1 else ""), _grid(rows, width))


def _bar(value: Decimal, values: Any, width: int) -> str:
    """A bar from the common zero: losses to its left, gains to its right."""
    low, high = min(0, *values), max(0, *values)
    span = high - low
    if not span:
        return ""
    zero = round(-low / span * (width - 1))
    at = round((value - low) / span * (width - 1))
    cells = [" "] * width
    for i in range(min(zero, at), max(zero, at) + 1):
        cells[i] = "█"
    cells[zero] = "│"
    return "".join(cells)


def _orders(known: Mapping[str, Any], width: int) -> RenderableType:
    metrics = known.get("metrics") or {}
    orders, fills, signals = (int(known.get(k) or 0) for k in ("orders", "fills", "signals"))
    makers = (metrics.get("maker_fills") or {}).get("count") or 0
    hopeful = metrics.get("optimistic_fills") or {}
    unfilled = int(known.get("unfilled") or 0)
    rows = [
        ("signals", f"{signals:,}", "orders + blocked"),
        ("orders", f"{orders:,}", "passed the gate"),
        ("blocked", f"{known.get('blocked') or 0:,}", f"{known.get('denied') or 0:,} denied by the gate"),
        ("unfilled", f"{unfilled:,}", f"{text.percent(unfilled / orders if orders else None)} of orders"),
        ("fills", f"{fills:,}", f"{makers:,} maker, {fills - makers:,} taker"),
        ("needed optimism", f"{hopeful.get('count') or 0:,}", f"{text.percent(hopeful.get('share'))} of fills"),
    ]
    return _stack(_title("Orders", width), _grid(rows, width, 10))


def _curve(result: Shown, width: int, plain: bool) -> RenderableType | None:
    """Net P&L over the run as one line of bars: each column shows its last value."""
    from rich.text import Text

    net = result.equity["net_pnl"].tolist()
    if len(net) < 2 or plain or min(net) == max(net):
        return None
    columns = min(len(net), width - 19)
    points = [net[(i + 1) * len(net) // columns - 1] for i in range(columns)]
    low, high = min(net), max(net)
    out = Text("net over time".ljust(19))
    out.append("".join(BARS[1 + min(7, int((v - low) / (high - low) * 8))] for v in points), style="cyan")
    return out


def _risk(known: Mapping[str, Any], width: int) -> RenderableType:
    metrics = known.get("metrics") or {}
    held, fall = metrics.get("exposure") or {}, metrics.get("drawdown") or {}
    longest = fall.get("longest_seconds")
    position = known.get("position") or {}
    rows: list[Row] = [
        (f"position {name}"[:18], text.amount(quantity), "at the end") for name, quantity in list(position.items())[:4]
    ]
    if len(position) > 4:
        rows.append(("", "", f"and {len(position) - 4:,} more"))
    turnover = (metrics.get("turnover") or {}).get("value")
    rows += [
        ("turnover", text.amount(turnover, 2 if turnover else None), "bought and sold"),
        ("exposure, mean", text.amount(held.get("mean"), 2), f"greatest {text.amount(held.get('max'), 2)}"),
        ("time in market", text.percent(held.get("time_in_market")), ""),
        ("longest drawdown", text.duration(None if longest is None else longest * 1e9),
         "not recovered" if fall.get("under_water_at_end") else ""),
    ]
    return _stack(_title("Risk", width), _grid(rows, width))


def _trades(known: Mapping[str, Any], width: int) -> RenderableType:
    metrics = known.get("metrics") or {}
    trips, waits = metrics.get("round_trips") or {}, metrics.get("time_to_fill_ns") or {}
    answers, marks = metrics.get("response_latency_ns") or {}, metrics.get("markout_bps") or {}
    rows = [
        ("closed trades", f"{trips.get('count') or 0:,}", f"{trips.get('wins') or 0:,} won, {trips.get('losses') or 0:,} lost"),
        ("win rate", text.percent(trips.get("win_rate")), ""),
        ("profit factor", text.ratio(trips.get("profit_factor")), "won / lost"),
        ("time to fill", text.duration(waits.get("p50")), f"p99 {text.duration(waits.get('p99'))}"),
        ("time to ack", text.duration(answers.get("p50")), f"p99 {text.duration(answers.get('p99'))}"),
        ("markout 10s", text.ratio(marks.get("10s")), "bps of the price"),
    ]
    return _stack(_title("Trades", width), _grid(rows, width, 10))


def _why_not(known: Mapping[str, Any], width: int) -> list[RenderableType]:
    """Counts by reason with their remedy; plain sentences first when nothing was traded."""
    from rich.markup import escape
    from rich.table import Table

    rows: list[tuple[str, str, int, int]] = []
    for key, kind, of in (("blocked_by", "blocked", "signals"), ("unfilled_by", "unfilled", "orders"),
                          ("would_have_denied_by", "would deny", "orders")):  # fmt: skip
        denied = known.get("denied_by") or {}
        whole = int(known.get(of) or 0)
        for reason, count in text.counted(known.get(key)):
            rows.append(("denied" if key == "blocked_by" and reason in denied else kind, reason, count, whole))
    out: list[RenderableType] = [_title("Why not", width)]
    if not rows:
        out.append("Every signal became an order, and every order filled." if known.get("orders") else "No signals.")
    made = Table.grid(padding=(0, 1))
    for options in ({"width": 10, "style": "dim"}, {"width": 24}, {"width": 10, "justify": "right"},
                    {"width": 6, "justify": "right", "style": "dim"}):  # fmt: skip
        made.add_column(no_wrap=True, overflow="ellipsis", **options)  # type: ignore[arg-type]
    made.add_column(style="dim", width=max(10, width - 54), overflow="fold")
    for kind, reason, count, whole in rows[:REASONS_SHOWN]:
        made.add_row(kind, escape(text.words(reason)), f"{count:,}", text.percent(count / whole if whole else None),
                     escape(remedy(reason)).replace("`", ""))
    if len(rows) > REASONS_SHOWN:
        made.add_row("", f"and {len(rows) - REASONS_SHOWN:,} more reasons", "", "", "in the report")
    if rows:
        out.append(made)
    return [*out, ""]


def _foot(known: Mapping[str, Any], page: Path | None) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True, width=17)
    made.add_column(overflow="fold")
    made.add_row("limits", Text(f"{known.get('limits_profile') or 'none'}"))
    made.add_row("result hash", Text(str(known.get("result_hash") or "")))
    if page is not None:
        made.add_row("report", Text(str(page), style="bold"))
    return made


Form = Callable[[Any], str]
