"""The files of a replay: one page for people, the same numbers as JSON, and the tables as Parquet."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from apex.domain.errors import EnvironmentProblem
from apex.domain.instrument import Instrument
from apex.research.diagnosis import diagnosis
from apex.research.metrics import performance
from apex.research.text import duration, percent, plural

if TYPE_CHECKING:
    import pandas as pd

FILL_COLUMNS = ("ts_venue", "ts_local", "id", "instrument", "side", "price_ticks", "quantity", "maker", "fee")
"""What scripts rely on, in this order; other columns follow."""


class Replayed(Protocol):
    """What the report reads of a result."""

    @property
    def summary(self) -> Mapping[str, Any]: ...
    @property
    def document(self) -> Mapping[str, Any]: ...
    @property
    def orders(self) -> pd.DataFrame: ...
    @property
    def fills(self) -> pd.DataFrame: ...
    @property
    def equity(self) -> pd.DataFrame: ...
    @property
    def instruments(self) -> Sequence[Instrument]: ...


def notes(summary: Mapping[str, Any], quotes: Collection[str] = ()) -> list[str]:
    """What a reader must know before believing the numbers."""
    metrics = summary.get("metrics") or {}
    out = ["Own orders do not move the market: the recorded market goes on as if they had not been there. The larger "
           "they are against what is on offer, the less this holds."]  # fmt: skip
    rules = summary.get("venue") or {}
    if rules.get("impact") or rules.get("own_orders") == "visible":
        out = ["Own takers pay by the impact model or deplete what is on offer; beyond that the recorded market goes "
               "on as if they had not been there."]  # fmt: skip
    optimistic = metrics.get("optimistic_fills") or {}
    if optimistic.get("count"):
        out.append(f"{plural(optimistic['count'], 'fill')} ({percent(optimistic['share'])}) needed optimism: the most "
                   "careful rules would not have given them.")  # fmt: skip
    elif summary.get("fills"):
        out.append("No fill needed optimism: the most careful rules give all of them.")
    if summary.get("fill_mode") == "compat":
        out.append("Fill mode compat repeats hftbacktest 2.4.4 fill for fill, its known defects included; strict "
                   "corrects them.")  # fmt: skip
    if (metrics.get("response_latency_ns") or {}).get("max") == 0:
        out.append("The order latency was 0, which no venue offers: set `--order-latency` and `--response-latency`.")
    if summary.get("fills") and summary.get("fees") == "0":
        out.append("No fees were charged: set `--maker-fee` and `--taker-fee`.")
    if summary.get("liquidations"):
        out.append("The venue liquidated the account; after that it took no more orders.")
    if any(str(lots) != "0" for lots in (summary.get("position") or {}).values()):
        out.append("The final position is valued at the mid; closing it would cost half the spread and a fee.")
    if len(quotes) > 1:
        named = ", ".join(sorted(q or "an unknown currency" for q in quotes))
        out.append(f"Amounts in {named} are added as they stand, without a rate between them.")
    if summary.get("feed_shift_ns"):
        out.append(f"Local times were shifted by {duration(summary['feed_shift_ns'])}, since the recorder's clock ran "
                   "behind the venue's.")  # fmt: skip
    if summary.get("limits_profile") == "scripted":
        out.append("Scripted orders: every check of the risk gate was evaluated and counted, and none denied.")
    out.append("Equity, drawdown, exposure, inventory and the mid line are read once a second; nothing is annualised.")
    out.append("Markout is side x (mid - price) / price at the fill and later: what it loses is adverse selection.")
    return out


def plain(value: Any) -> Any:
    """A value as strict JSON holds it: numpy scalars as Python's, paths as text, what is not finite as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def document(result: Replayed) -> dict[str, Any]:
    """What result.json holds: the summary with `metrics`, `diagnosis` and `notes`."""
    summary = dict(result.summary)
    if "metrics" not in summary:
        summary["metrics"] = performance(result.fills, result.equity, result.instruments, result.orders)
    summary["diagnosis"] = diagnosis(summary, result.orders, result.equity)
    summary["notes"] = notes(summary, {i.quote for i in result.instruments})
    cleaned: dict[str, Any] = plain(summary)
    return cleaned


def replace(path: Path, fill: Callable[[Path], object]) -> None:
    """Write a file under another name and rename it, so that it is whole or absent."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        fill(part)
        os.replace(part, path)
    except OSError as error:
        what = f"could not write {path.name}: {error.strerror or error}"
        raise EnvironmentProblem(what, str(path), "Free some space, or give another --out") from error
    finally:
        part.unlink(missing_ok=True)


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    replace(path, lambda part: frame.to_parquet(part, index=False, compression="zstd"))


def write(result: Replayed, directory: str | os.PathLike[str]) -> Path:
    """Write report.html, result.json, orders.parquet, fills.parquet and equity.parquet.

    Each file appears whole or not at all, the page last.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be made or written.
    """
    from apex.research.page import page
    from apex.research.plots import plot_data

    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"could not make the folder: {error.strerror or error}", str(folder), "Give another --out"
        ) from error
    known = result.document
    instruments = list(result.instruments)
    fills, equity = result.fills, result.equity
    span = (int(equity["ts"].iloc[0]), int(equity["ts"].iloc[-1])) if len(equity) else None
    body = page(known, plot_data(result.orders, fills, equity, instruments), instruments, span)
    first = [name for name in FILL_COLUMNS if name in fills.columns]
    _parquet(fills[first + [name for name in fills.columns if name not in first]], folder / "fills.parquet")
    _parquet(result.orders, folder / "orders.parquet")
    _parquet(equity, folder / "equity.parquet")
    text = json.dumps(known, allow_nan=False, indent=2) + "\n"
    replace(folder / "result.json", lambda part: part.write_text(text, "utf-8"))
    replace(folder / "report.html", lambda part: part.write_text(body, "utf-8"))
    return folder / "report.html"
