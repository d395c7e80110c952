"""The folder that `apex replay --out` wrote, read back: numbers, and tables in whole ticks, lots and cash units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from apex.domain.decimals import scaled
from apex.domain.errors import ApexError, InputError
from apex.domain.instrument import Instrument
from apex.research.metrics import UNIT

if TYPE_CHECKING:
    import pandas as pd

DO = "Make it with: apex replay TAPE --strategy module:Class --out DIR"
ORDERS = ("ts_local", "ts_venue", "id", "instrument", "side", "type", "tif", "price_ticks", "price", "quantity",
          "filled", "status", "reason", "fee", "ts_ack", "ts_done")
FILLS = ("ts_venue", "ts_local", "id", "instrument", "side", "price_ticks", "price", "quantity", "maker", "fee", "mid")
EQUITY = ("ts", "net_pnl", "gross_pnl", "fees", "gross_exposure")
SETTINGS = (
    "tapes", "instruments", "events", "strategy", "schedule", "params", "fill_mode", "queue", "partial_fills",
    "order_latency", "response_latency", "cancel_latency", "amend_latency", "cash", "maker_fee", "taker_fee", "limits",
    "limits_profile", "feed_shift_ns", "start_ts", "end_ts",
)
"""What a result depends on."""


class Run(NamedTuple):
    """One replay.

    Attributes
    ----------
    path : Path
    result : dict
        result.json.
    instruments : list of Instrument
    orders, fills, equity : DataFrame
        The Parquet tables. Besides, `orders` has `lots`, `filled_lots` and `denied` (the gate's reason, or nothing);
        `fills` has `lots`, `fee_units`, and `mid2` (twice the mid in ticks, 0 where there was none).
    """

    path: Path
    result: dict[str, Any]
    instruments: list[Instrument]
    orders: pd.DataFrame
    fills: pd.DataFrame
    equity: pd.DataFrame


def read_run(folder: str | Path) -> Run:
    """Read a replay's folder.

    Raises
    ------
    InputError
        If it is none, or one of its files is missing, damaged or of another kind.
    """
    path = Path(folder)
    if not path.is_dir():
        raise InputError("there is no such folder", str(path), DO)
    try:
        result = json.loads((path / "result.json").read_text(encoding="utf-8"))
        known = [{key: value for key, value in x.items() if key in Instrument.__struct_fields__}
                 for x in result["instruments"]]
        instruments = msgspec.convert(known, list[Instrument])
        missing = [name for name in (*SETTINGS, "result_hash", "net_pnl") if name not in result]
    except OSError as error:
        raise InputError(f"cannot read result.json: {error.strerror or error}", str(path), DO) from None
    except (ValueError, KeyError, TypeError, AttributeError, ApexError) as error:
        raise InputError(f"this is no result of a replay: {error}", str(path / "result.json"), DO) from None
    if missing:
        raise InputError(f"keys missing: {', '.join(missing)}", str(path / "result.json"), DO)
    tables = [_table(path / f"{name}.parquet", columns) for name, columns in (
        ("orders", ORDERS), ("fills", FILLS), ("equity", EQUITY))]
    run = Run(path, result, instruments, *tables)
    _count(run.orders, instruments, {"lots": "quantity", "filled_lots": "filled"}, "lot", 1)
    _count(run.fills, instruments, {"lots": "quantity"}, "lot", 1)
    _count(run.fills, instruments, {"mid2": "mid"}, "tick", 2)
    run.orders["denied"] = run.orders["reason"].where(run.orders["status"] == "denied", "")
    run.fills["fee_units"] = (run.fills["fee"] * UNIT).round().astype("int64")
    return run


def _table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    import pandas as pd
    import pyarrow as pa

    try:
        table = pd.read_parquet(path)
    except OSError as error:
        raise InputError(f"cannot read the table: {error.strerror or error}", str(path), DO) from None
    except (pa.ArrowException, ValueError) as error:
        raise InputError(f"this is no Parquet table: {error}", str(path), DO) from None
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise InputError(f"columns missing: {', '.join(missing)}", str(path), DO)
    return table


def _count(table: pd.DataFrame, instruments: Sequence[Instrument], made: dict[str, str], step: str, parts: int) -> None:
    """Whole steps (or halves of them) of decimals that were made from steps; NaN is 0."""
    import numpy as np

    names = table["instrument"].to_numpy()
    for name, column in made.items():
        values, out = table[column].to_numpy().astype("f8"), np.zeros(len(table), "i8")
        for instrument in instruments:
            mine = (names == instrument.symbol) & np.isfinite(values)
            mantissa, places = scaled(getattr(instrument, step))
            out[mine] = np.rint(values[mine] * 10**places / mantissa * parts).astype("i8")
        table[name] = out


def last_mid2(run: Run, index: int) -> int:
    """Twice the last known mid of an instrument in ticks; 0 when there never was one."""
    import numpy as np

    instrument = run.instruments[index]
    name = f"mid:{instrument.symbol}"
    if name not in run.equity.columns:
        return 0
    mids = run.equity[name].to_numpy().astype("f8")
    mids = mids[np.isfinite(mids)]
    mantissa, places = scaled(instrument.tick)
    return round(float(mids[-1]) * 10**places / mantissa * 2) if len(mids) else 0
