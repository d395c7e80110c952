"""Features of a tape as columns: in Python a DataFrame, on disk Parquet, Arrow or CSV."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from apex._core.features import FEATURES
from apex.app.asking import asked
from apex.app.build import build_sampler
from apex.app.options import duration
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument
from apex.store.files import AtomicFile, disk_errors
from apex.store.tape import Tape

if TYPE_CHECKING:
    import pandas as pd

CHUNK_ROWS = 1 << 16
SUFFIXES = (".parquet", ".csv", ".arrow")
EVERY = ("touch.mid", "touch.spread", "imbalance", "weighted_mid", "ofi", "mlofi", "level_imbalance", "volatility",
         "realised.bipower", "spread_stats.mean", "size_stats.mean", "depth", "depth.imbalance", "slope", "elasticity",
         "impact.buy", "impact.sell", "wall.bid_distance", "wall.ask_distance", "support", "resistance", "spoofing.bid",
         "spoofing.ask", "trade_sign", "trade_flow", "effective_spread.mean", "roll", "vpin", "kyle", "hasbrouck",
         "amihud", "corwin_schultz", "whale")
"""What is computed when nothing is named."""


class Chunk(NamedTuple):
    """Rows: local times in ns, places in the list of instruments, and a column a feature; NaN where it is unknown."""

    ts: NDArray[np.int64]
    instruments: NDArray[np.int32]
    values: NDArray[np.float64]


def moment(every: str | None, on: str | None) -> tuple[str, int]:
    """When a row is written: ("message" or "trade", 0), or ("grid", step in ns)."""
    if every is not None:
        if on is not None:
            raise ConfigError("--every and --on exclude each other", "--every", "Give one of them")
        step = duration(every, "--every")
        if step <= 0:
            raise ConfigError("a grid needs a step above 0", "--every", "Write for example 100ms")
        return "grid", step
    if on not in (None, "message", "trade"):
        raise ConfigError(f"{on!r} is no moment", "--on", "Choose message or trade")
    return on or "message", 0


class Run:
    """A tape whose features are being written down, chunk by chunk.

    Attributes
    ----------
    instruments : list of Instrument
    columns : list of str
        Names of the features, as they were given.
    """

    def __init__(self, tape: Tape, names: Sequence[str] | None = None, *, every: str | None = None,
                 on: str | None = None, instrument: Sequence[str] = ()) -> None:
        self.tape, wanted = tape, asked(list(EVERY if names is None else names))
        self.columns = [a.column for a in wanted]
        when, step = moment(every, on)
        self._sampler, self.instruments, self._features = build_sampler(
            tape, [(a.text, a.parameters) for a in wanted], tuple(instrument), when, step)

    def chunks(self, advance: Callable[[int], None] = lambda done: None) -> Iterator[Chunk]:
        """All rows in order, some ten thousand at a time."""
        size = max(CHUNK_ROWS, len(self.instruments))
        while not self._sampler.finished:
            ts, places = np.empty(size, np.int64), np.empty(size, np.int32)
            values = np.empty((size, len(self.columns)))
            count = self._sampler.run(ts, places, values)
            self.tape.release(self._sampler.at)
            advance(self._sampler.at)
            if count:
                yield Chunk(ts[:count], places[:count], values[:count])

    @property
    def forgotten(self) -> int:
        """Updates that full windows let go before their time."""
        return int(sum(f.forgotten for f in self._features))


def features(tape: str | Path | Tape, names: str | Sequence[str] | None = None, *, every: str | None = None,
             on: str | None = None, instrument: str | Sequence[str] = ()) -> pd.DataFrame:
    """Features of a tape as columns.

    Parameters
    ----------
    tape : path or Tape
    names : str or sequence of str, optional
        Features by name and parameters, such as "imbalance", "ofi:5s", "mlofi.2:10:window=1s"; a broad choice unless
        given. docs/features.md and `apex features --list` say what there is.
    every : str, optional
        A row at each multiple of this duration: what was known then, and nothing later.
    on : {"message", "trade"}, optional
        A row after each message (default) or after each trade message, instead of `every`.
    instrument : str or sequence of str
        Only these, all unless given.

    Returns
    -------
    DataFrame
        Columns `ts` (local time, ns), `instrument` where there are several, and one a feature; NaN where it is unknown.

    Raises
    ------
    ConfigError, InputError
    """
    import pandas as pd

    chosen = [names] if isinstance(names, str) else names
    wanted = (instrument,) if isinstance(instrument, str) else tuple(instrument)
    opened = tape if isinstance(tape, Tape) else Tape.open(Path(tape))
    try:
        run = Run(opened, chosen, every=every, on=on, instrument=wanted)
        parts = list(run.chunks())
    finally:
        if opened is not tape:
            opened.close()
    ts = np.concatenate([p.ts for p in parts]) if parts else np.zeros(0, np.int64)
    table: dict[str, Any] = {"ts": ts}
    if len(run.instruments) > 1:
        places = np.concatenate([p.instruments for p in parts]) if parts else np.zeros(0, np.int32)
        table["instrument"] = pd.Categorical.from_codes(places, pd.Index([x.symbol for x in run.instruments]))
    for k, column in enumerate(run.columns):
        table[column] = np.concatenate([p.values[:, k] for p in parts]) if parts else np.zeros(0)
    return pd.DataFrame(table)


def write(run: Run, out: Path, advance: Callable[[int], None] = lambda done: None) -> dict[str, Any]:
    """Write all rows to a Parquet, Arrow or CSV file, whole or not at all; what was written, for --json.

    Undefined values are null. Raises ConfigError for another suffix, EnvironmentProblem if the disk refuses.
    """
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"the suffix {out.suffix!r} names no format", str(out),
                          f"End it in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    rows, first, last = 0, None, None
    undefined = np.zeros(len(run.columns), np.int64)
    with AtomicFile(out) as file, disk_errors(out):
        import pyarrow as pa

        symbols = pa.array([x.symbol for x in run.instruments], pa.string())
        schema = _schema(run, out.suffix == ".csv")
        with pa.OSFile(str(file.temp), "wb") as stream, _writer(stream, schema, out.suffix) as writer:
            for part in run.chunks(advance):
                names: Any = pa.DictionaryArray.from_arrays(pa.array(part.instruments), symbols)
                columns = [pa.array(part.ts), names.cast(schema.field(1).type)]
                columns += [pa.array(column, from_pandas=True) for column in np.ascontiguousarray(part.values.T)]
                writer.write_batch(pa.record_batch(columns, schema=schema))
                undefined += np.isnan(part.values).sum(axis=0)
                rows += len(part.ts)
                first = int(part.ts[0]) if first is None else first
                last = int(part.ts[-1])
    return {"rows": rows, "columns": ["ts", "instrument", *run.columns], "out": str(out), "first_ts": first,
            "last_ts": last, "undefined": dict(zip(run.columns, undefined.tolist(), strict=True)),
            "forgotten": run.forgotten}


def _schema(run: Run, text: bool) -> Any:
    import pyarrow as pa

    names: Any = pa.string() if text else pa.dictionary(pa.int32(), pa.string())
    return pa.schema([("ts", pa.int64()), ("instrument", names), *((c, pa.float64()) for c in run.columns)])


def _writer(stream: Any, schema: Any, suffix: str) -> Any:
    if suffix == ".csv":
        from pyarrow import csv

        return csv.CSVWriter(stream, schema)
    if suffix == ".arrow":
        from pyarrow import ipc

        return ipc.new_file(stream, schema)
    from pyarrow import parquet

    return parquet.ParquetWriter(stream, schema, compression="zstd")


def only(instruments: list[Instrument], doing: str) -> Instrument:
    """The one instrument of a fit."""
    if len(instruments) != 1:
        raise ConfigError(f"{doing} is of one instrument, the tape has {len(instruments)}", "--instrument",
                          f"Choose one of: {', '.join(x.symbol for x in instruments)}")
    return instruments[0]


def fit_microprice(tape: Tape, instrument: Sequence[str] = ()) -> Any:
    """The micro-price of a tape's quotes; see `apex.research.microprice.fit`."""
    from apex.research import microprice

    run = Run(tape, ["touch.bid", "touch.bid_lots", "touch.ask", "touch.ask_lots"], instrument=instrument)
    only(run.instruments, "a micro-price")
    parts = [p.values for p in run.chunks()]
    quotes = np.concatenate(parts) if parts else np.zeros((0, 4))
    known: NDArray[np.bool_] = np.all(np.isfinite(quotes), axis=1)
    follows = known & np.roll(known, 1)
    follows[:1] = False
    return microprice.fit(np.where(known[:, None], quotes, (0, 1, 0, 1)).astype(np.int64), follows=follows)


def fit_hawkes(tape: Tape, instrument: Sequence[str] = ()) -> Any:
    """Hawkes processes of a tape's buys and sells; see `apex.research.hawkes.fit_pair`."""
    from apex.research import hawkes

    run = Run(tape, ["trade_sign"], on="trade", instrument=instrument)
    only(run.instruments, "a Hawkes process")
    parts = list(run.chunks())
    ts = np.concatenate([p.ts for p in parts]) if parts else np.zeros(0, np.int64)
    sign = np.concatenate([p.values[:, 0] for p in parts]) if parts else np.zeros(0)
    first = ts[0] if len(ts) else 0
    buys, sells = ((np.unique(ts[sign == side]) - first) / 1e9 for side in (1, -1))
    return hawkes.fit_pair(buys, sells)


def described() -> list[dict[str, Any]]:
    """Every feature with its parts and parameters, for `apex features --list`."""
    rows = []
    for family, row in FEATURES.items():
        parts = [f"{family}.{part}" if part else family for part in row.parts]
        rows.append({"feature": family, "names": parts,
                     "parameters": [{"name": n, "kind": k, "default": d} for n, k, d in row.params]})
    return rows
