"""Tables and commands of the pages, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Any

from apex.research.tca import PARTS
from apex.research.text import amount, duration, fee, moment, percent
from tools.pages.cases import Case, Page
from tools.pages.recordings import Recording


def money(text: str | None) -> str:
    """An amount to cents."""
    return amount(text, 2)


def bps(value: float | None) -> str:
    """Basis points, two places."""
    return amount(None if value is None else f"{Decimal(repr(value)):f}", 2)


def of_turnover(summary: Mapping[str, Any], name: str) -> float | None:
    """Money in basis points of the traded value."""
    value = Decimal(summary["metrics"]["turnover"]["value"])
    return float(Decimal(summary[name]) / value * 10_000) if value else None


def grid_of(head: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> str:
    """A Markdown table whose first columns are text and the others numbers."""
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


def trading(case: Case, result: Any) -> list[str]:
    """A row of a strategy that trades for gain."""
    s = result.document
    paid, turned = f"{-Decimal(s['fees']):f}", s["metrics"]["turnover"]["value"]
    return [
        case.recording.label, case.label, f"{s['orders']:,}", f"{s['fills']:,}", money(turned),
        money(s["spread_captured"]), money(s["inventory_pnl"]), money(paid), f"**{money(s['net_pnl'])}**",
        bps(of_turnover(s, "net_pnl")), bps(s["metrics"]["markout_bps"]["1s"]),
    ]  # fmt: skip


TRADING = ("recording", "variant", "orders", "fills", "turnover", "spread", "inventory", "fees", "net", "net, bps",
           "markout, bps")  # fmt: skip


def executing(case: Case, result: Any) -> list[str]:
    """A row of an executor: the parts of its shortfall in basis points."""
    (cost,) = result.document["tca"]
    filled = float(Decimal(cost["filled"]) / Decimal(cost["quantity"]))
    parts = [bps(cost["bps"][name]) for name in (*PARTS, "shortfall")]
    return [
        case.recording.label, case.label, percent(filled), percent(cost["maker_share"]), *parts[:-1],
        f"**{parts[-1]}**", bps(cost["vwap_slippage_bps"]), percent(cost["participation"]),
    ]  # fmt: skip


EXECUTING = ("recording", "variant", "filled", "as maker", *PARTS, "shortfall", "against VWAP", "of volume")


def fits(page: Page) -> str:
    """What the makers of a page were given, from the first half of each recording."""
    from tools.pages.recordings import facts

    rows = []
    for case in page.cases[::2]:
        found, p = facts(case.recording).fit, case.params
        rows.append([case.recording.label, f"{found.a:.3g}", f"{p['k']:.3g}", f"{p['sigma']:.3g}", f"{p['gamma']:.2g}",
                     f"{found.seen:,}", f"{found.mid_ticks:,.0f}"])  # fmt: skip
    head = ("recording", "A, 1/s", "k, 1/tick", "sigma, ticks", "gamma", "intervals with a trade", "mid, ticks")
    return grid_of(head, rows, 1)


def table(page: Page, results: Sequence[Any]) -> str:
    """The table of a page's replays."""
    if page.kind == "executor":
        return grid_of(EXECUTING, map(executing, page.cases, results), 2)
    found = grid_of(TRADING, map(trading, page.cases, results), 2)
    return f"{fits(page)}\n\n{found}" if page.kind == "maker" else found


def _imports(recording: Recording) -> str:
    files = " ".join(f"$APEX_DATA/ticks/binance/{name}" for name in recording.files)
    return f"apex import binance {files} --out {recording.name}.tape"


def commands(page: Page) -> str:
    """What to type for the plotted replays, lines broken between options."""
    cases = [page.cases[i] for i in page.plotted]
    lines = [_imports(recording) for recording, _ in groupby(c.recording for c in cases)]
    if page.kind == "maker":
        lines += [f"apex intensity {case.recording.name}.tape --to {case.start}" for case in cases]
    lines += [case.command for case in cases]
    out = []
    for line in lines:
        words, now = line.split(" --"), ""
        for i, word in enumerate(words):
            piece = word if i == 0 else f"--{word}"
            if now and len(now) + len(piece) > 92:
                out.append(now + " \\")
                now = f"    {piece}"
            else:
                now = f"{now} {piece}".lstrip() if not now.startswith("    ") else f"{now} {piece}"
        out.append(now)
    return "```bash\n" + "\n".join(out) + "\n```"


def index(pages: Mapping[str, tuple[Page, list[Any]]]) -> str:
    """One line a recording, and one line a page: how its replays came out."""
    from tools.pages.recordings import ALL, facts

    recordings = []
    for recording in ALL:
        known = facts(recording)
        files = ", ".join(f"`{file}`" for file in recording.files)
        recordings.append([recording.label, files, f"{moment(known.start)} UTC", duration(known.stop - known.start),
                           fee(float(recording.maker_fee)), fee(float(recording.taker_fee))])  # fmt: skip
    markets = grid_of(("recording", "files", "from", "length", "maker fee", "taker fee"), recordings, 3)
    rows = []
    for name, (page, results) in pages.items():
        key = "cost" if page.kind == "executor" else "net"
        values = [r.document["tca"][0]["bps"]["shortfall"] if key == "cost" else of_turnover(r.document, "net_pnl")
                 for r in results]  # fmt: skip
        known = [x for x in values if x is not None]
        said = "shortfall, of the order" if key == "cost" else "net, of the turnover"
        middle = sorted(known)[len(known) // 2]
        rows.append([f"[{name}]({name}.md)", said, str(len(results)), *map(bps, (min(known), middle, max(known)))])
    found = grid_of(("strategy", "in basis points", "replays", "lowest", "median", "highest"), rows, 2)
    return f"{markets}\n\n{found}"


