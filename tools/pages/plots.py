"""The plots of the pages: price with fills, position, P&L, and what belongs to the kind of strategy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from apex.research.tca import PARTS
from tools.pages.cases import Page
from tools.pages.recordings import facts

matplotlib.use("Agg")
from matplotlib import pyplot

MID, NET, GROSS, BUY, SELL, COST = "#8d939d", "#2b5f8a", "#a3a9b2", "#1f77b4", "#d9731a", "#b1443a"
STYLE = {
    "font.size": 8, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9, "axes.grid": True,
    "grid.color": "#efefec", "axes.titlelocation": "left", "legend.frameon": False, "axes.edgecolor": "#8b919b",
    "axes.formatter.useoffset": False, "axes.axisbelow": True,
}  # fmt: skip


def _seconds(ts: Any, result: Any) -> Any:
    """Seconds since the start of the run."""
    return (np.asarray(ts) - result.summary["start_ts"]) / 1e9


def _price(axes: Any, result: Any, title: str) -> None:
    """The mid, and fills on it by side."""
    equity, fills = result.equity, result.fills
    symbol = result.instruments[0].symbol
    axes.plot(_seconds(equity["ts"], result), equity[f"mid:{symbol}"], color=MID, lw=0.9)
    for side, colour, mark in (("buy", BUY, "^"), ("sell", SELL, "v")):
        rows = fills[fills["side"] == side]
        if not len(rows):
            continue
        axes.scatter(_seconds(rows["ts_local"], result), rows["price"], s=9, c=colour, marker=mark, lw=0, zorder=3,
                     label=f"{side}s")  # fmt: skip
    axes.set_title(title)
    if len(fills):
        axes.legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2)


def _account(axes: Any, result: Any) -> None:
    """Net and gross P&L."""
    equity = result.equity
    x = _seconds(equity["ts"], result)
    axes.plot(x, equity["gross_pnl"], color=GROSS, lw=0.9, label="gross")
    axes.plot(x, equity["net_pnl"], color=NET, lw=1.1, label="net of fees")
    axes.axhline(0, color="#8b919b", lw=0.6)
    axes.set_title(f"P&L, {result.instruments[0].quote or 'quote currency'}")
    axes.legend(loc="lower left", ncols=2)


def _position(axes: Any, result: Any) -> None:
    equity = result.equity
    symbol = result.instruments[0].symbol
    axes.step(_seconds(equity["ts"], result), equity[f"position:{symbol}"], color=NET, lw=0.9, where="post")
    axes.set_title(f"Position, {result.instruments[0].base or 'units'}")
    axes.set_xlabel("seconds")


def _intensity(axes: Any, page: Page) -> None:
    """The rate of trades by distance, counted and fitted."""
    found = facts(page.cases[page.plotted[0]].recording).fit
    distance, counted = np.array(found.distances), np.array(found.rates)
    known = counted > 0
    axes.semilogy(distance[known], counted[known], "o", ms=3, color=MID, label="counted")
    axes.semilogy(distance, found.a * np.exp(-found.k * distance), color=COST, lw=1.1, label="A exp(-k d)")
    axes.set_title("Trades beyond a distance, 1/s")
    axes.set_xlabel("ticks from the mid")
    axes.legend(loc="upper right")


def _trading(page: Page, results: Sequence[Any]) -> Any:
    """Price and fills of the last replay; account and position of each."""
    fitted = page.kind == "maker"
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 5.4), width_ratios=(1.6, 1))
    result, case = results[-1], page.cases[page.plotted[-1]]
    _price(axes[0, 0], result, f"{case.recording.label}: {case.label}")
    if fitted:
        _intensity(axes[0, 1], page)
    else:
        _markouts(axes[0, 1], [page.cases[i].label for i in page.plotted], results)
    _account(axes[1, 0], result)
    axes[1, 0].set_xlabel("seconds")
    _position(axes[1, 1], result)
    return figure


def _markouts(axes: Any, labels: Sequence[str], results: Sequence[Any]) -> None:
    """Where the mid went after the fills."""
    names = ("0s", "1s", "10s", "60s")
    width = 0.8 / len(results)
    for i, (label, result) in enumerate(zip(labels, results, strict=True)):
        values = [result.document["metrics"]["markout_bps"][name] or 0.0 for name in names]
        axes.bar(np.arange(4) + i * width, values, width, color=(NET, GROSS)[i % 2], label=label)
    axes.set_xticks(np.arange(4) + (len(results) - 1) * width / 2, ["at the fill", "1 s", "10 s", "60 s"])
    axes.axhline(0, color="#8b919b", lw=0.6)
    axes.set_title("Side x (mid - price) after the fills, bps")
    axes.legend(loc="best")


def _within(result: Any, start: float, stop: float) -> tuple[float, float]:
    """Lowest and highest mid of a stretch, with a margin."""
    equity = result.equity
    x = _seconds(equity["ts"], result)
    mids = equity[f"mid:{result.instruments[0].symbol}"][(x >= start - 2) & (x <= stop + 10)]
    margin = 0.08 * (mids.max() - mids.min())
    return mids.min() - margin, mids.max() + margin


def _executing(page: Page, results: Sequence[Any]) -> Any:
    """Price and fills, what is done over time, and the parts of the shortfall, of two replays."""
    figure, axes = pyplot.subplots(2, 2, figsize=(9, 5.4), width_ratios=(1.6, 1))
    labels = [page.cases[i].label for i in page.plotted]
    for row, (label, result) in enumerate(zip(labels, results, strict=True)):
        (cost,) = result.document["tca"]
        title = f"{page.cases[page.plotted[row]].recording.label}: {label}"
        _price(axes[row, 0], result, title)
        span = [(cost[at] - result.summary["start_ts"]) / 1e9 for at in ("start_ts", "end_ts")]
        near = _within(result, *span)
        axes[row, 0].set_xlim(span[0] - 2, span[1] + 10)
        axes[row, 0].set_ylim(*near)
        axes[row, 0].axhline(float(cost["arrival_mid"]), color=COST, lw=0.7, ls="--", label="mid at the decision")
        axes[row, 0].legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2)
        rows = result.fills
        done = rows["quantity"].cumsum() / float(cost["quantity"])
        axes[1, 1].step(_seconds(rows["ts_local"], result) - span[0], done, where="post", color=(NET, SELL)[row],
                        lw=1.0, label=label)  # fmt: skip
        values = [cost["bps"][name] for name in (*PARTS, "shortfall")]
        axes[0, 1].bar(np.arange(6) + 0.4 * row, values, 0.4, color=(NET, SELL)[row], label=label)
    axes[0, 1].set_xticks(np.arange(6) + 0.2, [*PARTS, "shortfall"], rotation=25)
    axes[0, 1].axhline(0, color="#8b919b", lw=0.6)
    axes[0, 1].set_title("Cost against the arrival mid, bps")
    axes[0, 1].legend(loc="best")
    axes[1, 1].set_title("Share done")
    axes[1, 1].set_xlabel("seconds")
    axes[1, 1].legend(loc="lower right")
    axes[1, 0].set_xlabel("seconds")
    return figure


def draw(page: Page, results: Sequence[Any], path: Path) -> None:
    """Write the plot of a page."""
    with pyplot.rc_context(STYLE):
        figure = _executing(page, results) if page.kind == "executor" else _trading(page, results)
        figure.tight_layout()
        figure.savefig(path, dpi=110, metadata={"Software": None})
        pyplot.close(figure)
