"""The compiled decoder on frames that are cut or changed: the documented error, or what json and Decimal read."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from apex._core.codecs.base import DECODE_ERRORS
from apex._core.codecs.binance import BinanceCodec
from apex._core.events import EVENT_DTYPE
from apex.domain.decimals import scaled
from tests.importers.recordings import MARKETS, START_NS, Stream, text
from tests.importers.test_binance_rules import as_events
from tests.oracles.binance import Reader

ROOT = Path(__file__).resolve().parents[2]
PAIRS = {"cm": "BTCUSD"}


def codec(market: str, tick: str | None = None, lot: str | None = None) -> BinanceCodec:
    """The decoder of a market's instrument."""
    where = MARKETS[market]
    return BinanceCodec(where.symbol, where.name, PAIRS.get(market, ""), scaled(tick or where.tick),
                        scaled(lot or where.lot))


def plain(market: str, frame: bytes) -> NDArray[Any]:
    """The rows of one frame by json and Decimal, no matter what came before it."""
    where = MARKETS[market]
    reader, found = Reader(where.name, where.tick, where.lot), json.loads(frame)
    body = found.get("data", found)
    if "lastUpdateId" in body:
        reader.snapshot(body, START_NS)
    elif body.get("e") == "depthUpdate":
        reader.put("BOOK_LEVEL", body.get("T", body["E"]), START_NS, body["u"], reader.levels(body, "b", "a"))
    else:
        reader.message(found, START_NS)
    return as_events(reader)


def kinds(market: str, seed: int) -> list[bytes]:
    """A frame of every kind that a market has, small ones."""
    made = Stream(market, seed)
    found = [made.depth(), made.snapshot(made.last, 4), made.ticker(), made.trade(), made.trade()]
    return [text(frame) for frame in (found if MARKETS[market].name == "spot" else [*found, made.mark()])]


def decoded(reader: BinanceCodec, frame: bytes) -> NDArray[Any] | str:
    """Rows, or the name of the error."""
    try:
        return reader.decode_frame(frame, START_NS)
    except ValueError as error:
        if str(error) not in DECODE_ERRORS.values():
            raise
        return str(error)


@pytest.mark.parametrize("market", MARKETS)
def test_whole_frames_are_read(market: str) -> None:
    """Lost: the tests of damage below start from frames that are refused anyway."""
    for seed in range(20):
        for frame in kinds(market, seed):
            found = decoded(codec(market), frame)
            assert not isinstance(found, str), (found, frame)
            assert found.tobytes() == plain(market, frame).tobytes(), frame


@pytest.mark.parametrize("market", MARKETS)
def test_truncated_frames_are_refused(market: str) -> None:
    """Lost: a frame whose end is missing gives the levels that had arrived, as if they were all."""
    reader = codec(market)
    for frame in kinds(market, 1):
        for size in range(len(frame)):
            assert decoded(reader, frame[:size]) in ("UNKNOWN_FORM", "OFF_GRID"), frame[:size]
        for tail in (b"}", b" ", b"\0", b",", frame):
            assert decoded(reader, frame + tail) == "UNKNOWN_FORM"


def mutated(frame: bytes, rng: random.Random) -> bytes:
    """One to three bytes changed, added, left out or swapped; mostly within the frame's own alphabet."""
    made = bytearray(frame)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at = rng.randrange(len(made))
        byte = rng.choice(frame) if rng.random() < 0.7 else rng.randrange(256)
        match rng.randrange(4):
            case 0:
                made[at] = byte
            case 1:
                made.insert(at, byte)
            case 2:
                del made[at]
            case _:
                other = rng.randrange(len(made))
                made[at], made[other] = made[other], made[at]
    return bytes(made)


def assert_never_something_else(market: str, seed: int, rounds: int) -> int:
    """Mutate frames; what is accepted must be JSON and give the rows of the plain reader. How many were accepted."""
    rng, reader, accepted = random.Random(f"{market}{seed}"), codec(market), 0
    for _ in range(rounds):
        for frame in kinds(market, rng.randrange(10**6)):
            bad = mutated(frame, rng)
            found = decoded(reader, bad)
            if isinstance(found, str):
                continue
            accepted += 1
            assert found.tobytes() == plain(market, bad).tobytes(), bad
    return accepted


@pytest.mark.parametrize("market", MARKETS)
def test_mutated_frames_are_never_something_else(market: str) -> None:
    """Lost: a flipped byte on the way turns a price into another one although the frame is no JSON any more."""
    assert assert_never_something_else(market, 1, 400) > 100


@pytest.mark.long
@pytest.mark.parametrize("market", MARKETS)
def test_mutated_frames_at_length(market: str) -> None:
    """Lost: the same for the mutations that a short run does not meet."""
    assert assert_never_something_else(market, int(os.environ.get("APEX_SEED", "7")), 60_000) > 10_000


@pytest.mark.recordings
def test_mutated_frames_of_recordings(data_file: Callable[[str], Path]) -> None:
    """Lost: forms that the venue writes and our own streams do not."""
    import gzip

    rng, accepted, whole = random.Random(5), 0, 0
    for name, market in (("spot_btcusdt_20240808", "spot"), ("usdm_btcusdt_20240808", "usdm"),
                         ("cm_btcusd_perp_20240808", "cm")):
        where = MARKETS[market]
        reader = BinanceCodec(where.symbol, where.name, PAIRS.get(market, ""), scaled(where.tick), scaled("0.000001"))
        with gzip.open(data_file(f"ticks/binance/{name}.gz")) as stream:
            frames = [line.split(b" ", 1)[1].strip() for _, line in zip(range(3000), stream, strict=False)]
        for frame in frames[:: 3]:
            bad = mutated(frame, rng)
            found = decoded(reader, bad)
            whole += not isinstance(decoded(reader, frame), str)
            if not isinstance(found, str):
                accepted += 1
                assert json.loads(bad)
    assert whole == 3000
    assert accepted > 300


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 10**14), st.text("0123456789", max_size=10), st.integers(1, 999), st.integers(0, 8),
       st.sampled_from(["", "0", "00"]))
@example(0, "", 1, 0, "")
@example(10**14, "00000000", 1, 8, "")
def test_decimals_are_exact_or_refused(whole: int, part: str, step: int, places: int, lead: str) -> None:
    """Lost: a digit below the tick is dropped, or a long price wraps."""
    price = f"{lead}{whole}" + (f".{part}" if part else "")
    for market, quantity in (("usdm", "1"), ("spot", "1.00000000")):
        made = Stream(market, 0).ticker()
        made["data"].update(b=price, B=quantity, a=price, A=quantity)
        reader = BinanceCodec("BTCUSDT", market, "", (step, places), (1, 0))
        found = decoded(reader, text(made))
        count, rest = divmod(Decimal(price), Decimal(step).scaleb(-places))
        digits = len(price.partition(".")[0]) + places
        if isinstance(found, str):
            assert found == ("UNKNOWN_FORM" if digits > 18 else "OFF_GRID")
            assert digits > 18 or rest != 0
        else:
            assert rest == 0
            assert found["price_ticks"].tolist() == [int(count)] * 2


@pytest.mark.parametrize("change", [
    ('"u":', '"u":0'), ('"E":', '"E":-'), ('"T":1', '"T":12'), ('"b":"', '"b":"+'), ('"b":"', '"b":"-'),
    ('"b":"', '"b":" '), ('"b":"61', '"b":"6_1'), ('"b":"', '"b":"0x'), ('.', ','), ('.', '..'), ('"B":"', '"B":"e'),
    ('"B":"', '"B":"Infinity'), ('"b":"61800', '"b":"618000000000000000000'), ('"s":"BTC', '"s":"ETH'),
    ('btcusdt@', 'ethusdt@'), ('btcusdt@', 'BTCUSDT@'), ('"b":', '"b": '), ('}}', '},}'), ('}}', ',"x":1}}'),
    ('"e":"bookTicker"', '"e":"bookticker"'), ('"b":"61800', '"b":61800'), ('"B":"', '"B":"\\u0031'),
])
def test_what_the_venue_never_writes_is_refused(change: tuple[str, str]) -> None:
    """Lost: a lenient reader, which one day takes another message for this one."""
    frame = text(Stream("usdm", 0).ticker()).decode()
    old, new = change
    assert old in frame
    assert decoded(codec("usdm"), frame.replace(old, new, 1).encode()) == "UNKNOWN_FORM"


def test_digits_below_a_tick_or_lot_are_named() -> None:
    """Lost: the remedy (another grid) for a frame that is sound."""
    made = Stream("usdm", 0).ticker()
    for name, value in (("b", "61800.05"), ("A", "1.0005")):
        bad = {**made, "data": {**made["data"], name: value}}
        assert decoded(codec("usdm"), text(bad)) == "OFF_GRID"


@pytest.mark.parametrize(("market", "tick", "lot"), [
    ("usdm", (1, 13), (1, 0)), ("usdm", (1, -1), (1, 0)), ("usdm", (0, 1), (1, 0)), ("usdm", (-1, 1), (1, 0)),
    ("usdm", (1, 1), (2**40, 0)), ("usdm", (1, 9), (1, 0)), ("cm", (2**39, 0), (1, 0)),
])
def test_grids_out_of_range_are_refused(market: str, tick: tuple[int, int], lot: tuple[int, int]) -> None:
    """Lost: products of digits and powers of ten that wrap."""
    with pytest.raises(ValueError, match=r"tick|lot"):
        BinanceCodec("BTCUSDT", market, "", tick, lot)


def test_too_many_levels_are_an_error_and_rows_are_whole() -> None:
    """Lost: a ladder longer than the scratch array overwrites memory, or loses its end."""
    made = Stream("usdm", 0)
    frame = made.depth()
    level = [made.price(0), made.quantity()]
    for count, fits in (((1 << 15) - 1, True), ((1 << 15), False)):
        frame["data"].update(b=[level] * count, a=[])
        found = decoded(codec("usdm"), text(frame))
        assert (not isinstance(found, str) and len(found) == count) if fits else found == "TOO_MANY_LEVELS"
    assert EVENT_DTYPE.itemsize == np.zeros(1, EVENT_DTYPE).nbytes


GUARDED = """
import ctypes, mmap, sys
from apex._core.codecs.binance import BinanceCodec
from apex._core.codecs.binance_reader import BinanceReader, RecordingError, scan_steps
from apex.domain.decimals import scaled
from tests.importers.recordings import MARKETS, START_NS, Stream, text
from tests.importers.test_binance_codec import PAIRS, kinds
page = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
base = libc.mmap(None, 4 * page, 3, 0x22, -1, 0)
assert libc.mprotect(base + 3 * page, page, 0) == 0          # a read beyond the third page ends the process
tried = 0
for market in MARKETS:
    where = MARKETS[market]
    codec = BinanceCodec(where.symbol, where.name, PAIRS.get(market, ""), scaled(where.tick), scaled(where.lot))
    for frame in kinds(market, 1):
        line = b"%d %s" % (START_NS, frame)
        for size in range(1, len(line) + 1):
            for last in (b"", b"}"):
                data = line[:size] + last
                ctypes.memmove(base + 3 * page - len(data), data, len(data))
                view = memoryview((ctypes.c_ubyte * len(data)).from_address(base + 3 * page - len(data))).cast("B")
                try:
                    BinanceReader(codec).feed(view, lambda frame: None, True)
                except RecordingError:
                    pass
                scan_steps(codec, view, 0, 0, True)
                tried += 1
print(tried)
"""


def test_no_byte_beyond_the_frame_is_read() -> None:
    """Lost: a read past the end of a socket's buffer, which is a crash one day and a wrong price another."""
    if sys.platform != "linux":
        pytest.skip("needs mprotect")
    done = subprocess.run([sys.executable, "-X", "faulthandler", "-c", GUARDED], cwd=ROOT, capture_output=True,
                          text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 9000
