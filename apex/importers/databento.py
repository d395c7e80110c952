"""Databento's MBO, MBP-1, TBBO and trades files (.dbn.zst) to one tape of all their instruments.

MBO becomes orders, MBP-1 a book of one level a side, trades stay trades. Local time is ts_recv, venue time ts_event.

Source: databento.com docs, "Schemas and data formats" (MBO, MBP-1, Trades; flags) and "MBO snapshot".
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from apex.domain.decimals import plain
from apex.domain.errors import InputError
from apex.domain.instrument import Instrument
from apex.importers.common import Advance, check_out, size_of
from apex.importers.databento_rows import Key, Sheet, codes_of
from apex.importers.dbn import NO_PRICE, PRICE_PLACES, RTYPES, Reader
from apex.importers.grid import Steps
from apex.importers.orders import OrderSummary
from apex.store.writer import TapeWriter

Array = NDArray[Any]
SCHEMAS = ("mbo", "mbp-1", "tbbo", "trades")


class File(NamedTuple):
    """A file of the chain and the local time of its first record."""

    path: Path
    first: int
    size: int


class Learnt(NamedTuple):
    """What the first reading found: the greatest common divisor of each instrument's prices, and names."""

    steps: dict[Key, int]
    symbols: dict[int, str]
    dataset: str
    schema: str


def import_databento(
    files: list[Path], out: Path, *, tick: Sequence[str] = (), lot: Sequence[str] = (), advance: Advance | None = None,
) -> OrderSummary:
    """Import files of one dataset and schema.

    Parameters
    ----------
    files : list of Path
        .dbn, .dbn.zst or .dbn.gz, in any order; joined by the local time of their first record.
    out : Path
        The tape, replaced on success.
    tick, lot : sequence of "[SYMBOL=]STEP"
        Empty: the exact gcd of an instrument's prices, and 1.

    Raises
    ------
    InputError
        Names the file and the record.
    """
    check_out(files, out)
    chain, learnt = _learn(files)
    keys = sorted(learnt.steps)
    venue = learnt.dataset.partition(".")[0].lower()
    several = len({publisher for publisher, _ in keys}) > 1
    given, instruments = Steps(tick, lot), []
    for publisher, number in keys:
        symbol, at = learnt.symbols.get(number, str(number)), f"{venue}-{publisher}" if several else venue
        plainly = Instrument(symbol, at, "1", "1")
        steps, found = given.of(plainly.called), learnt.steps[publisher, number]
        instruments.append(replace(plainly, tick=steps[0] or (plain(found, PRICE_PLACES) if found else "1"),
                                   lot=steps[1] or "1"))
    given.check(instruments)
    sheet = Sheet(learnt.schema, keys, instruments)
    done = 0
    with TapeWriter(out, instruments, source="databento") as tape:
        for file in chain:
            def told(here: int, base: int = done) -> None:
                if advance is not None:
                    advance(base + here)

            for events in sheet.read(Reader(file.path, told), file.path):
                tape.append(*events)
            done += file.size
    sheet.finish()
    sheet.summary.finish(instruments, tape.header)
    return sheet.summary


# ---- the first reading -----------------------------------------------------------------------------------------------

def _learn(files: list[Path]) -> tuple[list[File], Learnt]:
    """Order of the files, instruments and their price steps."""
    chain: list[File] = []
    steps: dict[Key, int] = {}
    symbols: dict[int, str] = {}
    told: tuple[str, str] | None = None
    for path in files:
        size = size_of(path)
        reader = Reader(path)
        here = reader.metadata.dataset, reader.metadata.schema
        if here[1] not in SCHEMAS:
            raise InputError(f"schema {here[1]} is not imported", str(path), f"Give files of {', '.join(SCHEMAS)}",
                             "schema")
        if told is not None and here != told:
            raise InputError(f"{here[1]} of {here[0]} is not {told[1]} of {told[0]}", str(path),
                             "Import each dataset and schema to a tape of its own", "schema")
        told = here
        symbols |= reader.metadata.symbols
        first: int | None = None
        for rtype, records in reader.runs():
            if rtype != RTYPES[here[1]]:
                continue
            first = int(records["ts_recv"][0]) if first is None else first
            _gather(records, steps)
        if first is not None:
            chain.append(File(path, first, size))
    if told is None or not steps:
        raise InputError("no records", str(files[0]), "Give files with at least one record", "empty")
    return sorted(chain, key=lambda file: file.first), Learnt(steps, symbols, *told)


def _gather(records: Array, steps: dict[Key, int]) -> None:
    names = [name for name in ("price", "bid_price", "ask_price") if name in (records.dtype.names or ())]
    keys = codes_of(records)
    for key in np.unique(keys).tolist():
        mine = records[keys == key]
        prices = np.concatenate([mine[name] for name in names])
        found = int(np.gcd.reduce(np.where(prices == NO_PRICE, 0, prices)))
        place = (key >> 32, key & 0xFFFFFFFF)
        steps[place] = gcd(steps.get(place, 0), found)
