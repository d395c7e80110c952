"""Tapes to Parquet, Arrow and CSV: the columns of the canonical event, with names and exact decimals beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, SIDES
from apex.domain.decimals import scaled
from apex.domain.errors import ConfigError
from apex.domain.instrument import Instrument
from apex.store.files import AtomicFile, disk_errors
from apex.store.layout import Array, instrument_table
from apex.store.tape import Tape

SUFFIXES = (".parquet", ".arrow", ".feather", ".csv")
GROUP_ROWS = 1 << 18
ORDERS = ("ORDER_ADD", "ORDER_MODIFY", "ORDER_DELETE", "ORDER_EXECUTE")
PRICED = ("BOOK_LEVEL", "TRADE", "QUOTE", "MARK", "FILL", *ORDERS)
SIZED = ("BOOK_LEVEL", "TRADE", "QUOTE", "FILL", *ORDERS)
_DECIMAL_DIGITS = 38
_INT64_MAX = np.iinfo(np.int64).max


def export(tape: Tape, out: str | Path, advance: Callable[[int], None] = lambda done: None) -> int:
    """Write all events of a tape to a Parquet, Arrow IPC (Feather) or CSV file, by its suffix; the number of rows.

    Integer columns are those of EVENT_DTYPE. `kind_name`, `side_name` and `symbol` are text. `price` and `quantity` are
    exact decimals (CSV: text without trailing zeros), null where a kind has none. Written whole or not at all.

    Parameters
    ----------
    tape : Tape
    out : path
        Ends in one of SUFFIXES.
    advance : callable
        Told the number of rows done.

    Raises
    ------
    ConfigError
        For another suffix, or for the tape's own file.
    EnvironmentProblem
        If the disk refuses.
    """
    out = Path(out)
    if out.suffix not in SUFFIXES:
        raise ConfigError(f"the suffix {out.suffix!r} names no format", str(out),
                          f"End it in {', '.join(SUFFIXES)} or .npz")
    if out.exists() and out.samefile(tape.path):
        raise ConfigError("the table would replace its tape", str(out), "Name another file with --out")
    text = out.suffix == ".csv"
    done = 0
    with AtomicFile(out) as file, disk_errors(out):
        import pyarrow as pa

        schema = _schema(tape.instruments, text)
        with pa.OSFile(str(file.temp), "wb") as stream, _writer(stream, schema, out.suffix) as writer:
            for rows in tape.chunks(GROUP_ROWS):
                writer.write_batch(_batch(rows, tape.instruments, schema))
                done += len(rows)
                advance(done)
    return done


def _writer(stream: Any, schema: Any, suffix: str) -> Any:
    if suffix in (".arrow", ".feather"):
        from pyarrow import ipc

        return ipc.new_file(stream, schema, options=ipc.IpcWriteOptions(compression="zstd"))
    if suffix == ".csv":
        from pyarrow import csv

        return csv.CSVWriter(stream, schema, write_options=csv.WriteOptions(quoting_style="needed"))
    from pyarrow import parquet

    return parquet.ParquetWriter(stream, schema, compression="zstd")


def _places(instruments: list[Instrument], step: str) -> int:
    """Decimal places that hold the step of every instrument."""
    return max(scaled(getattr(x, step))[1] for x in instruments)


def _schema(instruments: list[Instrument], text: bool) -> Any:
    """Arrow schema, derived from EVENT_DTYPE."""
    import pyarrow as pa

    names: Any = pa.string() if text else pa.dictionary(pa.int32(), pa.string())
    fields = [(name, pa.from_numpy_dtype(EVENT_DTYPE[name])) for name in EVENT_DTYPE.names or ()]
    fields += [("kind_name", names), ("side_name", names), ("symbol", names)]
    for name, step in (("price", "tick"), ("quantity", "lot")):
        kind = pa.string() if text else pa.decimal128(_DECIMAL_DIGITS, _places(instruments, step))
        fields.append((name, kind))
    return pa.schema(fields, metadata={"instruments": instrument_table(instruments)})


def _batch(rows: Array, instruments: list[Instrument], schema: Any) -> Any:
    import pyarrow as pa

    columns = [pa.array(np.ascontiguousarray(rows[name])) for name in EVENT_DTYPE.names or ()]
    columns.append(_named(rows["kind"], {code: name for name, code in KINDS.items()}))
    columns.append(_named(rows["side"], {code: name for name, code in SIDES.items()}))
    columns.append(_named(rows["instrument"], {i: x.symbol for i, x in enumerate(instruments)}))
    decimals = (("price", "tick", "price_ticks", PRICED), ("quantity", "lot", "quantity_lots", SIZED))
    for name, step, column, kinds in decimals:
        absent = ~np.isin(rows["kind"], [KINDS[kind] for kind in kinds])
        if pa.types.is_decimal(schema.field(name).type):
            columns.append(_decimals(rows, column, instruments, step, absent))
        else:
            columns.append(_texts(rows, column, instruments, step, absent))
    return pa.record_batch([c.cast(f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def _named(codes: Array, names: dict[int, str]) -> Any:
    import pyarrow as pa

    place = np.zeros(max(names) + 1, np.int32)
    place[list(names)] = np.arange(len(names))
    return pa.DictionaryArray.from_arrays(pa.array(place[codes]), pa.array(list(names.values()), pa.string()))


def _decimals(rows: Array, column: str, instruments: list[Instrument], step: str, absent: Array) -> Any:
    """Integer steps as decimal128: mantissas in 64 bits where they fit, else through Python's integers."""
    import pyarrow as pa

    places = _places(instruments, step)
    sizes = [m * 10 ** (places - p) for m, p in (scaled(getattr(x, step)) for x in instruments)]
    kind = pa.decimal128(_DECIMAL_DIGITS, places)
    count = rows[column]
    largest = max(int(count.max(initial=0)), -int(count.min(initial=0)))
    if largest * max(sizes) > _INT64_MAX:
        from decimal import Context, Decimal

        wide = Context(prec=_DECIMAL_DIGITS)
        values = [None if gone else Decimal(int(n) * sizes[i]).scaleb(-places, wide)
                  for n, i, gone in zip(count, rows["instrument"], absent, strict=True)]
        return pa.array(values, kind)
    mantissa = count * np.array(sizes, np.int64)[rows["instrument"]]
    words = np.empty((len(rows), 2), np.int64)
    words[:, 0], words[:, 1] = mantissa, mantissa >> 63
    valid = pa.py_buffer(np.packbits(~absent, bitorder="little"))
    return pa.Array.from_buffers(kind, len(rows), [valid, pa.py_buffer(words)])


def _texts(rows: Array, column: str, instruments: list[Instrument], step: str, absent: Array) -> Any:
    """Integer steps as text; each different value is written out once."""
    import pyarrow as pa

    place = np.zeros(len(rows), np.int32)
    words: list[str] = []
    for index in np.unique(rows["instrument"]):
        mine = rows["instrument"] == index
        found, where = np.unique(rows[column][mine], return_inverse=True)
        place[mine] = where + len(words)
        write = instruments[index].price if step == "tick" else instruments[index].quantity
        words.extend(write(int(n)) for n in found)
    return pa.DictionaryArray.from_arrays(pa.array(place, mask=absent), pa.array(words, pa.string()))


def flag_names(flags: int) -> str:
    """Names of the flags set in a row, for people: "LAST_IN_BATCH|AT_LOCAL"."""
    return "|".join(name for name, bit in FLAGS.items() if flags & bit)
