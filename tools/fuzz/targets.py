"""What is fuzzed: every compiled decoder, every reader of lines and every importer that the package has.

They are found by walking `apex._core.codecs` and `apex.importers`, so a new one is fuzzed as soon as it exists. A
decoder of single frames needs a row in MAKERS, which says how to make one; an importer needs recordings under
APEX_DATA/ticks/NAME or APEX_DATA/l3/NAME, or a row in SAMPLES. What has neither is an error, not a gap.
"""

from __future__ import annotations

import gzip
import importlib
import inspect
import io
import os
import pkgutil
import random
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard

import apex._core.codecs
import apex.importers
from apex._core.codecs.base import DECODE_ERRORS, Codec
from apex._core.codecs.binance import BinanceCodec
from apex._core.codecs.binance_reader import BinanceReader, RecordingError, scan_steps
from apex.domain.decimals import scaled
from apex.domain.errors import ApexError
from apex.importers.binance_frames import FrameProblem, Identity, ordered
from tests.importers.recordings import MARKETS, START_NS, frames, lines

DATA = Path(os.environ.get("APEX_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
HEAD_LINES = 30
HEAD_BYTES = 6000
LINE_MAX = 12_000
FILES_MAX = 16


class Placeless(Exception):
    """An error that names no place."""


class Target(NamedTuple):
    """A decoder: payloads to begin with, and how it takes one. `feed` says whether it was accepted."""

    name: str
    samples: Sequence[bytes]
    feed: Callable[[bytes], bool]
    share: float = 1.0        # of the wanted payloads in the short form: importers write a file for each


# ---- frames and lines ------------------------------------------------------------------------------------------------

def _recorded(name: str, count: int) -> list[bytes]:
    """Lines of a recording, taken from all over its first part; none where it is absent."""
    path = DATA / "ticks" / "binance" / name
    if not path.exists():
        return []
    with gzip.open(path) as stream:
        found = [line for line, _ in zip(stream, range(4000), strict=False)]
    small = [line for line in found if len(line) < 3000]
    return random.Random(name).sample(small, min(count, len(small)))


_RECORDINGS = {"spot": "spot_btcusdt_20240808.gz", "usdm": "usdm_btcusdt_20240808.gz",
               "cm": "cm_btcusd_perp_20240808.gz"}


def _binance_lines(market: str) -> list[bytes]:
    made = [line + b"\n" for seed in range(4) for line in lines(frames(market, seed, 12), seed)]
    return made + _recorded(_RECORDINGS[market], 120)


def _binance_codec(market: str) -> BinanceCodec:
    where = MARKETS[market]
    pair = "BTCUSD" if market == "cm" else ""
    return BinanceCodec(where.symbol, where.name, pair, scaled(where.tick), scaled(where.lot))


def _frames_of(market: str) -> Target:
    codec = _binance_codec(market)
    samples = [line.partition(b" ")[2].strip() for line in _binance_lines(market)]

    def feed(payload: bytes) -> bool:
        try:
            codec.decode_frame(payload, START_NS)
        except ValueError as error:
            if str(error) not in DECODE_ERRORS.values():
                raise
            return False
        return True

    return Target(f"binance-{market}", samples, feed)


def _lines_of(market: str) -> Target:
    """The reader of recordings with its slow path, and the search for steps, as the importer uses them."""
    codec = _binance_codec(market)
    who = Identity(MARKETS[market].symbol, market, "BTCUSD" if market == "cm" else "")

    def feed(payload: bytes) -> bool:
        reader = BinanceReader(codec)
        scan_steps(codec, payload, 0, 0, True)
        try:
            reader.feed(payload, lambda frame: ordered(frame, who), True)
        except (RecordingError, FrameProblem):
            return False
        reader.take(True)
        return True

    return Target(f"binance-{market}-lines", _binance_lines(market), feed)


MAKERS: dict[type, Callable[[], list[Target]]] = {
    BinanceCodec: lambda: [make(market) for market in _RECORDINGS for make in (_frames_of, _lines_of)],
}
"""How a decoder of single frames is made, by its class."""


# ---- importers -------------------------------------------------------------------------------------------------------

Files = dict[str, bytes]
"""Names and contents of the files of one import; the first is the one that is changed."""


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read(1 << 22)
    return data


def _head(data: bytes) -> bytes:
    """A little of a recording: the first lines of a text and some later ones, some bytes of what is none."""
    if data[:3] == b"DBN":
        return _records(data)
    if b"\0" in data[:1000]:
        return data[:HEAD_BYTES]
    found, size = [], 0
    every = [line for line in data[:1 << 22].splitlines(keepends=True) if len(line) <= LINE_MAX]
    whole = every[:-1] if len(data) >= 1 << 22 else every
    for line in whole[:HEAD_LINES] + whole[HEAD_LINES::max(1, len(whole) // HEAD_LINES)]:
        found.append(line)
        size += len(line)
        if size > 4 * HEAD_BYTES:
            break
    return b"".join(found)


def _records(data: bytes) -> bytes:
    """The metadata of a DBN file and its first records, whole: a word of their length in words begins each."""
    at = 8 + int.from_bytes(data[4:8], "little")
    end = at + HEAD_BYTES
    while at < min(end, len(data)) and at + 4 * data[at] <= len(data):
        at += 4 * data[at]
    return data[:at]


def _plain_name(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".zst")


def recordings_of(name: str) -> list[Files]:
    """Heads of the recordings that are named like an importer; files that go together by their names stay together."""
    folders = [folder for kind in ("ticks", "l3") if (folder := DATA / kind / name).is_dir()]
    found = []
    for path in sorted(path for folder in folders for path in folder.iterdir() if path.suffix != ".zip"):
        if "_orderbook_" in path.name:
            continue
        files = {_plain_name(path).replace(".head.csv", ".csv"): _head(_unpacked(path))}
        beside = path.with_name(path.name.replace("_message_", "_orderbook_"))
        if beside != path and beside.exists():
            files[beside.name.replace(".head.csv", ".csv")] = _head(_unpacked(beside))
        found.append(files)
    return found[:: max(1, len(found) // FILES_MAX)]


def _made_binance() -> list[Files]:
    return [{"r.txt": b"".join(line + b"\n" for line in lines(frames(market, 1, 10), 1))} for market in _RECORDINGS]


def _made_arrays() -> list[Files]:
    row = np.dtype([("ev", "<u8"), ("exch_ts", "<i8"), ("local_ts", "<i8"), ("px", "<f8"), ("qty", "<f8"),
                    ("order_id", "<u8"), ("ival", "<i8"), ("fval", "<f8")])
    events = np.zeros(8, row)
    events["ev"] = (1 | 1 << 31 | 1 << 30) | np.where(np.arange(8) % 2, 1 << 29, 1 << 28)
    events["exch_ts"] = START_NS + 1000 * np.arange(8)
    events["local_ts"] = events["exch_ts"] + 500
    events["px"], events["qty"] = 100.5, 2.0
    plain, packed = io.BytesIO(), io.BytesIO()
    np.save(plain, events)
    np.savez_compressed(packed, data=events)
    return [{"a.npy": plain.getvalue()}, {"a.npz": packed.getvalue()}]


def _made_table() -> list[Files]:
    head = "ts,ts_venue,kind,side,price,quantity\n"
    rows = "".join(f"{START_NS + i},{START_NS + i},{('level', 'trade')[i % 2]},{('buy', 'sell')[i % 2]},{100 + i}.5,2\n"
                   for i in range(6))
    return [{"t.csv": (head + rows).encode()}]


SAMPLES: dict[str, tuple[Callable[[], list[Files]], dict[str, Any]]] = {
    "binance": (_made_binance, {}),
    "hftbacktest": (_made_arrays, {"tick": ["0.5"], "lot": ["1"]}),
    "csv": (_made_table, {"columns": "", "tick": ["0.5"], "lot": ["1"]}),
}
"""Importer -> files made here, beside recordings, and options that it needs."""


def _importer(name: str, run: Callable[..., Any]) -> Target:
    make, options = SAMPLES.get(name, (list, {}))
    sets = make() + recordings_of(name)
    if any(len(files) > 1 for files in sets):            # what goes together must not be mixed
        sets = [files for files in sets if len(files) > 1][:1]
    folder = Path(tempfile.mkdtemp(prefix=f"apex-fuzz-{name}-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    by_content = {content: files for files in sets for content in list(files.values())[:1]}
    samples = list(by_content)

    def feed(payload: bytes) -> bool:
        files = sets[zlib.crc32(payload) % len(sets)]
        paths = []
        for number, (name, content) in enumerate(files.items()):
            paths.append(folder / name)
            paths[-1].write_bytes(content if number else payload)
        try:
            run(paths, folder / "out.tape", **options)
        except ApexError as error:
            if not error.where:
                raise Placeless(str(error)) from error
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        return True

    return Target(f"import-{name}", samples, feed, share=0.02)


# ---- all -------------------------------------------------------------------------------------------------------------

def decoders() -> list[type]:
    """Classes of single-frame decoders in the compiled core."""
    found = set()
    for module in pkgutil.iter_modules(apex._core.codecs.__path__, "apex._core.codecs."):
        members = vars(importlib.import_module(module.name)).values()
        found |= {kind for kind in members if isinstance(kind, type) and issubclass(kind, Codec) and kind is not Codec}
    return sorted(found, key=lambda kind: kind.__name__)


def importers() -> dict[str, Callable[..., Any]]:
    """The functions `import_NAME(files, out, ...)`, by NAME."""
    found = {}
    for module in pkgutil.iter_modules(apex.importers.__path__, "apex.importers."):
        for name, member in vars(importlib.import_module(module.name)).items():
            if name.startswith("import_") and inspect.isfunction(member) and member.__module__ == module.name:
                found[name.removeprefix("import_")] = member
    return found


def targets() -> list[Target]:
    """Everything that takes bytes from outside. LookupError names what nobody has said how to feed."""
    found: list[Target] = []
    for kind in decoders():
        if kind not in MAKERS:
            raise LookupError(f"{kind.__name__} decodes frames, and tools/fuzz/targets.py has no row for it in MAKERS")
        found += MAKERS[kind]()
    for name, run in sorted(importers().items()):
        target = _importer(name, run)
        if not target.samples and not DATA.is_dir():
            print(f"import-{name}: SKIPPED, the recordings are absent: set APEX_DATA", file=sys.stderr)
            continue
        if not target.samples:
            raise LookupError(f"import_{name}: no recordings in ticks/{name} or l3/{name} of APEX_DATA, and no row in "
                              "SAMPLES of tools/fuzz/targets.py")
        found.append(target)
    return found
