"""The rows of a sweep as a table: for CSV exact texts, for Python and Parquet numbers."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apex.app.sweep_worker import BY_NAME, COUNTS, MONEY
from apex.domain.errors import ConfigError
from apex.store.files import AtomicFile, disk_errors

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")
Rows = Sequence[Mapping[str, Any]]


def columns(rows: Rows) -> dict[str, list[Any]]:
    """Columns by name: run, parameters, counts, money, `position:SYMBOL`, `denied_by:REASON` and so on, hash, error.

    A parameter that has the name of another column is called `param_NAME`. Reasons that never came are absent; in a run
    where one did not come it counts 0. A run without a result has None everywhere but in its number, its parameters
    and `error`.
    """
    done = [row for row in rows if row["error"] is None]
    groups = {group: sorted({key for row in done for key in row[group]}) for group in BY_NAME}
    out: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in (*COUNTS, *MONEY)}
    for group, keys in groups.items():
        for key in keys:
            none: Any = "0" if group == "position" else 0
            out[f"{group}:{key}"] = [None if row["error"] else row[group].get(key, none) for row in rows]
    out["result_hash"] = [row["result_hash"] for row in rows]
    out["error"] = [row["error"] and f"{row['error']['what']} ({row['error']['where']})" for row in rows]
    names = list(rows[0]["params"]) if rows else []
    params = {f"param_{name}" if name in out or name == "run" else name: [row["params"][name] for row in rows]
              for name in names}
    return {"run": [row["run"] for row in rows], **params, **out}


def frame(rows: Rows) -> pd.DataFrame:
    """The table as a DataFrame: money and positions as floats; NaN where a run gave no result."""
    import pandas as pd

    table = columns(rows)
    for name, values in table.items():
        if name in MONEY or name.startswith("position:"):
            table[name] = [None if v is None else float(Decimal(v)) for v in values]
    made = pd.DataFrame(table)
    for name in made.columns:
        if name in (*COUNTS, *MONEY) or name.partition(":")[0] in BY_NAME:
            made[name] = pd.to_numeric(made[name])
        elif name in ("error", "result_hash"):
            made[name] = made[name].astype(object).where(made[name].notna(), None)
    return made


def checked_out(text: str) -> Path:
    """Where the table goes; ConfigError or EnvironmentProblem, before the first run, when it cannot go there."""
    path = Path(text)
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"the suffix {path.suffix!r} names no format", "--out", f"End it in {' or '.join(SUFFIXES)}")
    AtomicFile(path).abort()
    return path


def write(rows: Rows, path: Path) -> None:
    """Write the table to CSV or Parquet, whole or not at all."""
    with AtomicFile(path) as file, disk_errors(path):
        if path.suffix == ".csv":
            with open(file.temp, "w", newline="", encoding="utf-8") as stream:
                table = columns(rows)
                writer = csv.writer(stream, lineterminator="\n")
                writer.writerow(table)
                writer.writerows(zip(*([_text(v) for v in values] for values in table.values()), strict=True))
        else:
            _storable(frame(rows)).to_parquet(file.temp, index=False, compression="zstd")


def _text(value: Any) -> str:
    """A cell of a CSV: nothing for None, the shortest text of a number."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _storable(table: pd.DataFrame) -> pd.DataFrame:
    """Parameters whose values have several types as text, since a column of Parquet has one."""
    for name in table.columns:
        kinds = {type(value) for value in table[name] if value is not None} if table[name].dtype == object else set()
        if len(kinds) > 1:
            table[name] = table[name].map(repr)
    return table
