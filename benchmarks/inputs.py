"""Inputs of the benchmarks, made from the recordings of APEX_DATA and kept in build/bench/inputs while fresh."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apex._core.events import EVENT_DTYPE, FLAGS, KINDS, pack
from apex.importers.binance import import_binance
from apex.importers.databento import import_databento
from apex.importers.hftbacktest import import_hftbacktest
from apex.importers.lobster import import_lobster
from apex.store.tape import Tape, TapeWriter
from benchmarks import orders as by_order
from benchmarks.convert import convert
from benchmarks.workers import ROOT, Missing

FOLDER = ROOT / "build" / "bench" / "inputs"
USDM = ("usdm_btcusdt_20240808.gz",)
SPOT = ("spot_btcusdt_20240808.gz", "spot_btcusdt_20240809.gz")
CHAINS = {"usdm": USDM, "spot": SPOT}
SECOND = 1_000_000_000
ORDERS: dict[str, tuple[str, str, Callable[[list[Path], Path], object]]] = {
    "lobster": ("LOBSTER_SampleFile_AMZN_2012-06-21_5.zip", "l3/lobster", import_lobster),
    "mbo": ("esh4-glbx-mdp3-20231225.mbo.dbn.zst", "l3/databento", import_databento),
}
ORDER_KINDS = ("SNAPSHOT_BEGIN", "ORDER_ADD", "ORDER_MODIFY", "ORDER_DELETE", "ORDER_EXECUTE")
LAST = int(np.iinfo(np.int64).max)
DEPTH = ("BOOK_LEVEL", "BOOK_CLEAR", "SNAPSHOT_BEGIN", "LINK_GAP")
LEVELS_DTYPE = np.dtype([("message", "<i4"), ("side", "<i4"), ("ticks", "<i8"), ("lots", "<i8")])
"""A plain form of depth messages for the peers: side 1 is bid, 2 is ask, 0 clears both; lots 0 deletes."""


def recording(name: str, folder: str = "ticks/binance") -> Path:
    """A recording, one of Binance streams by default. Raises Missing."""
    path = Path(os.environ.get("APEX_DATA", ROOT.parent / "shared" / "data")) / folder / name
    if not path.exists():
        raise Missing(f"no recording {name}: set APEX_DATA to the folder of recordings")
    return path


def _code() -> list[Path]:
    """What tapes are made with: they are stale when it is newer."""
    return [*(ROOT / "apex" / "_core").rglob("*.so"), *(ROOT / "apex" / "importers").glob("*.py"),
            *(ROOT / "apex" / "store").glob("*.py"), Path(__file__)]


def made(name: str, sources: list[Path], make: Callable[[Path], None]) -> Path:
    """The file `name`, made anew when it is absent or older than one of its sources."""
    path = FOLDER / name
    if path.exists() and all(path.stat().st_mtime >= source.stat().st_mtime for source in sources):
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{name}")
    try:
        make(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def plain(name: str) -> Path:
    """A recording as plain text."""
    source = recording(name)

    def make(out: Path) -> None:
        with gzip.open(source) as stream, out.open("wb") as target:
            shutil.copyfileobj(stream, target, 1 << 20)

    return made(name.removesuffix(".gz") + ".txt", [source], make)


def npz() -> Path:
    """The USD-M recording as hftbacktest's converter makes it. Raises Missing."""
    source = plain(USDM[0])

    def make(out: Path) -> None:
        with out.open("wb") as stream:
            np.savez(stream, data=convert(source))

    return made("usdm_btcusdt_20240808.npz", [source, Path(__file__).with_name("convert.py")], make)


def period_ns(path: Path) -> int:
    """Nanoseconds from one repetition of a tape to the next: its length in both clocks and a second, whole seconds."""
    with Tape.open(path) as tape:
        stamps = [tape.batches["ts_local_ns"], tape.batches["ts_exchange_ns"][_timed(tape.batches)]]
        span = max(int(s.max(initial=0)) for s in stamps) - min(int(s.min(initial=LAST)) for s in stamps)
    return (span // SECOND + 2) * SECOND


def one_tape() -> Path:
    """The converter's rows as a tape. Raises Missing."""
    source = npz()
    return made("usdm-1.tape", [source, *_code()],
                lambda out: _import(lambda: import_hftbacktest([source], out, tick=["0.1"], lot=["0.001"])))


def _timed(array: NDArray[Any]) -> NDArray[Any]:
    """Where batches or rows have a venue time."""
    found: NDArray[Any] = (array["flags"] & FLAGS["NO_VENUE_TIME"]) == 0
    return found


def hftbacktest_tape(loops: int) -> Path:
    """The converter's rows as a tape, `loops` times with shifted times. Raises Missing."""
    one = one_tape()
    if loops == 1:
        return one
    return made(f"usdm-{loops}.tape", [one], lambda out: loop(one, out, loops))


def _import(make: Callable[[], object]) -> None:
    make()


def loop(source: Path, out: Path, loops: int) -> None:
    """A tape repeated, times shifted by `period_ns` each time."""
    period = period_ns(source)
    with Tape.open(source) as tape, TapeWriter(out, tape.instruments, source="repeated", synced_from_start=True) as to:
        for number in range(loops):
            batches, rows = tape.batches.copy(), tape.rows.copy()
            for array in (batches, rows):
                array["ts_local_ns"] += number * period
                array["ts_exchange_ns"][_timed(array)] += number * period
            to.append(batches, tape.levels, rows)


def recorded(names: tuple[str, ...], chain: str = "usdm") -> Path:
    """Recordings of Binance streams as a tape. Raises Missing."""
    sources = [recording(name) for name in names]
    return made(f"{chain}.tape", [*sources, *_code()],
                lambda out: _import(lambda: import_binance(list(sources), out)))


def depth(chain: str) -> tuple[Path, Path, dict[str, Any]]:
    """Depth messages of a recording from the snapshot on: packed arrays for us, plain levels for peers; and their
    `levels`, `messages`, `tick` and `lot`."""
    tape = recorded(CHAINS[chain], chain)
    packed = made(f"{chain}-depth.npz", [tape], lambda out: _pack(tape, out))
    levels = made(f"{chain}-levels.npy", [tape], lambda out: _levels(tape, out))
    counts = made(f"{chain}-depth.json", [packed, levels], lambda out: _facts(tape, levels, out))
    return packed, levels, json.loads(counts.read_text(encoding="ascii"))


def frames(kind: str) -> tuple[Path, Path]:
    """Frames of the USD-M recording, one after the other, and where each ends: all (mix), ticker, or depth.

    The snapshot stands first, so that deltas follow it as they are read: those it makes stale are left out by their id.
    """
    source = plain(USDM[0])
    text = made(f"frames-{kind}.txt", [source, Path(__file__)], lambda out: _frames(source, kind, out))
    return text, made(f"frames-{kind}.npy", [text], lambda out: _ends(source, kind, out))


def _chosen(source: Path, kind: str) -> list[bytes]:
    """The frames of a kind, without their local times."""
    every = [line.partition(b" ")[2].strip() for line in source.read_bytes().splitlines()]
    head = {"mix": b"", "ticker": b'{"stream":"btcusdt@bookTicker', "depth": b'{"stream":"btcusdt@depth'}[kind]
    snapshot = [frame for frame in every if frame.startswith(b'{"lastUpdateId')]
    chosen = [frame for frame in every if frame.startswith(head) and frame not in snapshot]
    return chosen if kind == "ticker" else snapshot + chosen


def _frames(source: Path, kind: str, out: Path) -> None:
    out.write_bytes(b"".join(_chosen(source, kind)))


def _ends(source: Path, kind: str, out: Path) -> None:
    with out.open("wb") as stream:
        np.save(stream, np.cumsum([len(frame) for frame in _chosen(source, kind)], dtype=np.int64))


def _depth_rows(tape: Path) -> NDArray[Any]:
    with Tape.open(tape) as opened:
        rows = opened.events()
    rows = rows[np.isin(rows["kind"], [KINDS[name] for name in DEPTH])]
    begun = int(np.argmax(rows["kind"] == KINDS["SNAPSHOT_BEGIN"]))
    kept: NDArray[Any] = np.ascontiguousarray(rows[begun:])
    assert kept.dtype == EVENT_DTYPE
    return kept


def _pack(tape: Path, out: Path) -> None:
    batches, levels, rows = pack(_depth_rows(tape))
    with out.open("wb") as stream:
        np.savez(stream, batches=batches, levels=levels, rows=rows)


def _levels(tape: Path, out: Path) -> None:
    rows = _depth_rows(tape)
    found = np.zeros(len(rows), LEVELS_DTYPE)
    snapshot = rows["kind"] == KINDS["SNAPSHOT_BEGIN"]
    other = ~snapshot & (rows["kind"] != KINDS["BOOK_LEVEL"])
    if other.any():
        raise Missing("the recording has gaps or clears: the peers' plain form has none")
    last = (rows["flags"] & FLAGS["LAST_IN_BATCH"]) != 0
    found["message"] = np.concatenate(([0], np.cumsum(last)[:-1]))
    found["side"] = np.where(snapshot, 0, rows["side"])
    found["ticks"], found["lots"] = rows["price_ticks"], rows["quantity_lots"]
    with out.open("wb") as stream:
        np.save(stream, found)


def order_tape(case: str) -> Path:
    """The tape of a recording of orders: "lobster" or "mbo". Raises Missing."""
    name, folder, read = ORDERS[case]
    source = recording(name, folder)
    return made(f"{case}.tape", [source, *_code()], lambda out: _import(lambda: read([source], out)))


def orders(case: str) -> tuple[Path, Path, dict[str, Any]]:
    """Changes of the orders of a recording: packed for us, plain for peers; and their `changes`, `tick`, `lot`."""
    tape = order_tape(case)
    packed = made(f"{case}-orders.npz", [tape], lambda out: _pack_orders(tape, out))
    plain_rows = made(f"{case}-orders.npy", [tape, Path(by_order.__file__)],
                      lambda out: _save(by_order.plain(tape), out))
    with Tape.open(tape) as opened:
        grid = opened.instruments[0]
    count = int((np.load(plain_rows)["action"] != by_order.CLEAR).sum())
    return packed, plain_rows, {"changes": count, "tick": grid.tick, "lot": grid.lot}


def order_replay(case: str, loops: int) -> tuple[Path, Path, Path, int]:
    """A tape of orders once and `loops` times, hftbacktest's array of it once, and the messages of the recording."""
    one = order_tape(case)
    many = made(f"{case}-{loops}.tape", [one], lambda out: loop(one, out, loops))
    table = made(f"{case}-hftbacktest.npz", [one, Path(by_order.__file__)],
                 lambda out: _save_table(by_order.as_table(one), out))
    with Tape.open(one) as opened:
        sequences = int(opened.batches["sequence"].max())
        rows = opened.row_count - int(opened.header["kinds"].get("SNAPSHOT_BEGIN", 0))
    return one, many, table, sequences if case == "lobster" else rows


def steps(tape: Path) -> dict[str, Any]:
    """Tick and lot as numbers."""
    with Tape.open(tape) as opened:
        return {"tick": float(opened.instruments[0].tick), "lot": float(opened.instruments[0].lot)}


def _pack_orders(tape: Path, out: Path) -> None:
    """All rows of a book of orders, but executions that change nothing of it."""
    with Tape.open(tape) as opened:
        rows = opened.events()
    kept = np.isin(rows["kind"], [KINDS[name] for name in ORDER_KINDS]) & (rows["flags"] & FLAGS["KEEPS_BOOK"] == 0)
    batches, levels, rows = pack(np.ascontiguousarray(rows[kept]))
    with out.open("wb") as stream:
        np.savez(stream, batches=batches, levels=levels, rows=rows)


def _save(array: NDArray[Any], out: Path) -> None:
    with out.open("wb") as stream:
        np.save(stream, array)


def _save_table(array: NDArray[Any], out: Path) -> None:
    with out.open("wb") as stream:
        np.savez(stream, data=array)


def _facts(tape: Path, levels: Path, out: Path) -> None:
    found = np.load(levels)
    with Tape.open(tape) as opened:
        grid = opened.instruments[0]
    out.write_text(json.dumps({"levels": int((found["side"] != 0).sum()), "messages": int(found["message"][-1]) + 1,
                               "tick": grid.tick, "lot": grid.lot}), encoding="ascii")
