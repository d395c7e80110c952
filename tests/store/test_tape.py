"""Tapes: what goes in comes out, the hash is the content's, and nothing half-written or damaged passes for a tape."""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, FLAGS, LEVEL_DTYPE, pack
from apex.domain.errors import EnvironmentProblem, InputError
from apex.store.layout import ALIGN, PREAMBLE, row_chunks, venue_order
from apex.store.tape import Tape, TapeWriter, content_hash
from tests.store.markets import BOTH, BTC, ETH, START, joined, market, message

ROOT = Path(__file__).resolve().parents[2]
PAIR = [BTC, ETH]


def write(path: Path, events: Any, **options: Any) -> TapeWriter:
    """Write rows in one piece; the closed writer."""
    writer = TapeWriter(path, PAIR, source="test", **options)
    with writer:
        writer.append(*pack(events))
    return writer


@pytest.fixture
def tape_path(tmp_path: Path) -> Path:
    """A tape of 400 messages of two instruments."""
    path = tmp_path / "small.tape"
    write(path, joined(market(3, 400, 2)))
    return path


def canonical_hash(events: Any) -> str:
    """The hash as docs/tape-format.md words it, from plain parts."""
    table = [{"symbol": x.symbol, "venue": x.venue, "tick": x.tick, "lot": x.lot, "kind": x.kind, "base": x.base,
              "multiplier": x.multiplier, "quote": x.quote} for x in PAIR]
    text = json.dumps(table, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(events.tobytes() + text, digest_size=32).hexdigest()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 120), st.integers(1, 2), st.data())
def test_round_trip_and_any_split_of_appends(seed: int, count: int, instruments: int, data: st.DataObject) -> None:
    """Lost: a tape that gives back other rows than were recorded, or whose bytes depend on how they were handed over."""
    messages = market(seed, count, instruments)
    events = joined(messages)
    with tempfile.TemporaryDirectory() as folder:
        whole, split = Path(folder, "whole"), Path(folder, "split")
        write(whole, events, seed=seed)
        with TapeWriter(split, PAIR, source="test", seed=seed) as writer:
            at = 0
            while at < len(messages):
                step = data.draw(st.integers(1, 50))
                writer.append(*pack(joined(messages[at:at + step])))
                at += step
        assert whole.read_bytes() == split.read_bytes()
        with Tape.open(whole) as tape:
            assert tape.events().tobytes() == events.tobytes()
            assert tape.content_hash == canonical_hash(events) == content_hash(tape)
            assert (tape.row_count, tape.instruments) == (len(events), PAIR)
            local = events["ts_local_ns"]
            assert (tape.header["first_ts"], tape.header["last_ts"]) == (int(local.min()), int(local.max()))
            timed = events[(events["flags"] & FLAGS["NO_VENUE_TIME"]) == 0]
            delay = timed["ts_local_ns"] - timed["ts_exchange_ns"]
            assert tape.header["feed_min_ns"] == int(delay.min())
            assert tape.header["clock_defects"] == int((delay < 0).sum())
            start, stop = sorted(data.draw(st.tuples(st.integers(0, len(events)), st.integers(0, len(events)))))
            assert tape.events(start, stop).tobytes() == events[start:stop].tobytes()
            assert np.concatenate([events[:0], *tape.chunks(7)]).tobytes() == events.tobytes()


def slow_venue_order(batches: Any) -> list[int]:
    """The rule in plain Python: stable by venue time; a batch without one stays behind the one it followed."""
    keys, last = [], -(2**63)
    for batch in batches:
        if batch["flags"] & FLAGS["AT_VENUE"]:
            last = int(batch["ts_exchange_ns"])
        keys.append(last)
    return sorted(range(len(keys)), key=keys.__getitem__)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 80), st.integers(1, 2), st.integers(1, 200))
def test_venue_order_is_the_stable_sort_in_any_chunks(seed: int, count: int, instruments: int, size: int) -> None:
    """Lost: the venue's side of a replay sees messages in another order than the venue sent them."""
    batches, _, _ = pack(joined(market(seed, count, instruments)))
    parts = list(venue_order(batches, size))
    assert np.concatenate(parts).tolist() == slow_venue_order(batches)


def test_venue_order_is_stored_only_where_it_differs(tmp_path: Path) -> None:
    """Lost: a replay of an out-of-order recording in receipt order, or 4 bytes a message for nothing."""
    late = [message("TRADE", START + i, [(1, 100, 1, 0)], sequence=i, delay=d) for i, d in enumerate((10, 500, 20, 20))]
    write(tmp_path / "late", joined(late))
    write(tmp_path / "even", joined(late[2:]))
    with Tape.open(tmp_path / "late") as tape, Tape.open(tmp_path / "even") as even:
        assert tape.venue_order is not None
        assert (tape.venue_order.dtype, tape.venue_order.tolist()) == (np.uint32, [1, 2, 3, 0])
        assert even.venue_order is None


def test_reads_without_apex_as_documented(tape_path: Path) -> None:
    """Lost: the promise that numpy alone reads a tape; the code in docs/tape-format.md is run as it stands."""
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "tape-format.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    header, arrays = names["read_tape"](tape_path)
    with Tape.open(tape_path) as tape:
        assert header == tape.header
        for name in ("batches", "levels", "rows", "venue_order"):
            assert arrays[name].tobytes() == getattr(tape, name).tobytes(), name
            assert tape.header["sections"][name]["offset"] % ALIGN == 0


def test_empty_tape(tmp_path: Path) -> None:
    """Lost: a recording without a message makes a file that cannot be opened."""
    with TapeWriter(tmp_path / "none", [BTC], source="test"):
        pass
    with Tape.open(tmp_path / "none") as tape:
        assert (tape.row_count, len(tape.batches), tape.venue_order, tape.header["first_ts"]) == (0, 0, None, None)
        assert len(tape.events()) == 0
        assert content_hash(tape) == tape.content_hash


def test_instrument_table_hash_ignores_spelling_of_decimals(tmp_path: Path) -> None:
    """Lost: equal recordings with different hashes, since one was imported with --tick 0.10."""
    hashes = set()
    for tick in ("0.1", "0.10", "00.1"):
        with TapeWriter(tmp_path / "t", [type(BTC)("BTCUSDT", "x", tick, "0.001")], source="test") as writer:
            pass
        hashes.add(writer.header["content_hash"])
    assert len(hashes) == 1


# ---- damaged files --------------------------------------------------------------------------------------------------


def test_truncation_anywhere_is_named(tape_path: Path, tmp_path: Path) -> None:
    """Lost: a half-copied tape replays as a shorter one."""
    whole = tape_path.read_bytes()
    with Tape.open(tape_path) as tape:
        places = [(s["offset"], s["offset"] + s["count"] * s["itemsize"]) for s in tape.header["sections"].values()]
    header_at = PREAMBLE.unpack_from(whole)[3]
    cuts = {0, 1, 7, 8, 12, 63, 64, header_at, header_at + 1, len(whole) - 1, *(p for pair in places for p in pair)}
    cut_path = tmp_path / "cut"
    for cut in sorted(cuts | {c + 1 for c in cuts if c + 1 < len(whole)}):
        cut_path.write_bytes(whole[:cut])
        with pytest.raises(InputError) as caught:
            Tape.open(cut_path)
        assert caught.value.where == str(cut_path)
        assert caught.value.code in ("tape_empty", "tape_truncated"), cut
        assert caught.value.do


@pytest.mark.parametrize(("name", "content", "code"), [
    ("empty", b"", "tape_empty"),
    ("text", b'{"stream":"btcusdt@depth"}\n' * 10, "tape_foreign"),
    ("zeros", bytes(8192), "tape_foreign"),
    ("gzip", b"\x1f\x8b\x08" + bytes(100), "tape_foreign"),
    ("newer", PREAMBLE.pack(b"APEXTAPE", 2, 0, 64, 2, bytes(32)) + b"{}", "tape_newer"),
    ("version 0", PREAMBLE.pack(b"APEXTAPE", 0, 0, 64, 2, hashlib.blake2b(b"{}", digest_size=32).digest()) + b"{}",
     "tape_damaged"),
    ("no sections", PREAMBLE.pack(b"APEXTAPE", 1, 0, 64, 2, hashlib.blake2b(b"{}", digest_size=32).digest()) + b"{}",
     "tape_damaged"),
    ("longer", PREAMBLE.pack(b"APEXTAPE", 1, 0, 64, 2, hashlib.blake2b(b"{}", digest_size=32).digest()) + b"{} ",
     "tape_damaged"),
])
def test_what_is_no_tape_is_refused(tmp_path: Path, name: str, content: bytes, code: str) -> None:
    """Lost: a wrong file gives a traceback, or worse, numbers."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        Tape.open(path)
    assert (caught.value.code, caught.value.exit_code, caught.value.where) == (code, 3, str(path))


def test_absent_file_and_folder_are_named(tmp_path: Path) -> None:
    """Lost: a traceback for the commonest mistake."""
    for path in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match=r"cannot (open|read) the tape"):
            Tape.open(path)


@pytest.mark.parametrize("change", [
    {"offset": 4100}, {"offset": 0}, {"count": 10**9}, {"itemsize": 8}, {"dtype": "<u8"}, {"offset": -4096},
    {"count": -1}, {"count": "many"}, {"offset": None}, {"offset": 4096.5},
])
def test_sections_that_cannot_be_are_refused(tape_path: Path, change: dict[str, Any]) -> None:
    """Lost: a header with a right checksum and wrong offsets maps arrays over other bytes."""
    whole = tape_path.read_bytes()
    magic, version, zero, at, size, _ = PREAMBLE.unpack_from(whole)
    header = json.loads(whole[at:at + size])
    header["sections"]["batches"].update(change)
    text = json.dumps(header).encode()
    start = PREAMBLE.pack(magic, version, zero, at, len(text), hashlib.blake2b(text, digest_size=32).digest())
    tape_path.write_bytes(start + whole[PREAMBLE.size:at] + text)
    with pytest.raises(InputError) as caught:
        Tape.open(tape_path)
    assert caught.value.code == "tape_damaged"


# ---- what a writer refuses, and what it leaves ----------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "events"), [
    ("local_time", [message("TRADE", START, [(1, 1, 1, 0)]), message("TRADE", START - 1, [(1, 1, 1, 0)])]),
    ("instrument", [message("TRADE", START, [(1, 1, 1, 0)], instrument=2)]),
    ("quantity", [message("BOOK_LEVEL", START, [(1, 1, -1, 0)])]),
    ("quantity", [message("BOOK_LEVEL", START, [(1, 1, (1 << 60) + 1, 0)])]),
    ("trade_quantity", [message("TRADE", START, [(1, 1, 0, 0)])]),
    ("side", [message("BOOK_LEVEL", START, [(3, 1, 1, 0)])]),
    ("side", [message("BOOK_LEVEL", START, [(0, 1, 1, 0)])]),
    ("flags", [message("TRADE", START, [(1, 1, 1, 0)], flags=BOTH | 1 << 15)]),
    ("flags", [message("TRADE", START, [(1, 1, 1, 0)], flags=BOTH | FLAGS["NO_VENUE_TIME"])]),
    ("price", [message("TRADE", START, [(1, 1 << 61, 1, 0)])]),
])
def test_bad_events_are_named_and_leave_nothing(tmp_path: Path, rule: str, events: list[Any]) -> None:
    """Lost: garbage on a tape, found only when money has been decided on it."""
    good = [message("TRADE", START, [(1, 1, 1, 0)]) for _ in range(3)]
    with pytest.raises(InputError) as caught:
        write(tmp_path / "bad", joined([*good, *events]))
    assert caught.value.code == f"tape_{rule}"
    assert "local time 1723075" in caught.value.where
    assert "message 3" in caught.value.where or "message 4" in caught.value.where
    assert os.listdir(tmp_path) == []


def test_unknown_kind_is_refused(tmp_path: Path) -> None:
    """Lost: rows of a future kind pass for events."""
    events = message("TRADE", START, [(1, 1, 1, 0)])
    events["kind"] = 99
    with pytest.raises(InputError, match="kind"):
        write(tmp_path / "bad", events)


def test_local_time_is_per_instrument_and_across_appends(tmp_path: Path) -> None:
    """Lost: two recordings of different instruments cannot share a tape, or a step back between two appends passes."""
    first = message("TRADE", START + 5, [(1, 1, 1, 0)])
    other = message("TRADE", START, [(1, 1, 1, 0)], instrument=1)
    write(tmp_path / "ok", joined([first, other]))
    with pytest.raises(InputError, match="local time"), TapeWriter(tmp_path / "bad", PAIR, source="test") as writer:
        for events in (first, other, message("TRADE", START + 4, [(1, 1, 1, 0)])):
            writer.append(*pack(events))
            writer._flush()
    assert os.listdir(tmp_path) == ["ok"]


def test_arrays_that_do_not_fit_are_an_error_of_the_caller(tmp_path: Path) -> None:
    """Lost: an importer's mistake in `first` or in a dtype shifts every level after it."""
    batches, levels, rows = pack(joined(market(1, 5)))
    with TapeWriter(tmp_path / "t", PAIR, source="test") as writer:
        with pytest.raises(TypeError):
            writer.append(levels, batches, rows)
    for bad in (batches[1:], batches[:-1]):
        with pytest.raises((ValueError, InputError)), TapeWriter(tmp_path / "t", PAIR, source="test") as writer:
            writer.append(bad, levels, rows)
    with pytest.raises(ValueError, match="closed"):
        writer.append(batches, levels, rows)


def test_caller_may_reuse_its_arrays(tmp_path: Path) -> None:
    """Lost: an importer that fills one buffer again and again writes its last message many times."""
    events = joined(market(5, 50))
    batches, levels, rows = pack(events)
    with TapeWriter(tmp_path / "t", PAIR, source="test") as writer:
        writer.append(batches, levels, rows)
        for array in (batches, levels, rows):
            array[:] = np.zeros((), array.dtype)
    with Tape.open(tmp_path / "t") as tape:
        assert tape.events().tobytes() == events.tobytes()


def test_failure_leaves_the_older_tape(tape_path: Path) -> None:
    """Lost: a failed import destroys the tape it was to replace."""
    before = tape_path.read_bytes()
    with pytest.raises(RuntimeError), TapeWriter(tape_path, PAIR, source="test") as writer:
        writer.append(*pack(joined(market(9, 10))))
        raise RuntimeError("importer stops")
    assert tape_path.read_bytes() == before
    assert os.listdir(tape_path.parent) == [tape_path.name]


@pytest.mark.parametrize("target", ["absent/x.tape", "."])
def test_places_that_cannot_be_written(tmp_path: Path, target: str) -> None:
    """Lost: an import of an hour that ends in a traceback."""
    with pytest.raises(EnvironmentProblem) as caught:
        TapeWriter(tmp_path / target, PAIR, source="test")
    assert (caught.value.exit_code, bool(caught.value.do)) == (4, True)
    assert os.listdir(tmp_path) == []


def test_folder_without_permission(tmp_path: Path) -> None:
    """Lost: the word that the folder is the trouble."""
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(EnvironmentProblem, match="cannot write"):
        TapeWriter(tmp_path / "t", PAIR, source="test")


INTERRUPTED = """
import os, signal, sys
from apex._core.events import pack
from apex.store.tape import TapeWriter
from tests.store.markets import BTC, joined, market
with TapeWriter(sys.argv[1], [BTC], source="test") as writer:
    writer.append(*pack(joined(market(1, 2000))))
    writer._flush()
    assert len(os.listdir(os.path.dirname(sys.argv[1]))) == 1
    os.kill(os.getpid(), signal.SIGINT)
    writer.append(*pack(joined(market(1, 1))))
"""

LIMITED = """
import resource, sys
from apex._core.events import pack
from apex.domain.errors import EnvironmentProblem
from apex.store.tape import TapeWriter
from tests.store.markets import BTC, joined, market
arrays = pack(joined(market(1, 3000)))
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with TapeWriter(sys.argv[1], [BTC], source="test") as writer:
        writer.append(*arrays)
except EnvironmentProblem as error:
    print(error.where, "|", error.do)
    sys.exit(error.exit_code)
"""


def child(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter at the project's root."""
    return subprocess.run([sys.executable, "-c", code, *args], cwd=ROOT, capture_output=True, text=True, check=False,
                          timeout=120)


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    """Lost: half-written tapes and stray files after Ctrl-C."""
    done = child(INTERRUPTED, str(tmp_path / "t"))
    assert "KeyboardInterrupt" in done.stderr
    assert done.returncode != 0
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("limit", [0, 100, 5000, 40_000, 90_000, 150_000])
def test_full_disk_leaves_nothing_and_says_so(tmp_path: Path, limit: int) -> None:
    """Lost: a short tape that looks whole. The limit strikes in the preamble, the levels, the batches or at the end."""
    path = tmp_path / "t"
    path.write_bytes(b"older")
    done = child(LIMITED, str(path), str(limit))
    assert done.returncode == 4, done.stderr
    assert str(path) in done.stdout
    assert "|" in done.stdout.rstrip(" |\n")
    assert os.listdir(tmp_path) == ["t"]
    assert path.read_bytes() == b"older"


def test_limits_of_the_test_above_are_below_the_whole(tmp_path: Path) -> None:
    """Lost: the test of the full disk tests nothing, because the tape is smaller than its limits."""
    write(tmp_path / "t", joined(market(1, 3000)))
    assert (tmp_path / "t").stat().st_size > 150_000


# ---- memory ---------------------------------------------------------------------------------------------------------


def mapped_rss(path: Path) -> int:
    """Resident bytes of a file's mappings in this process."""
    total, mine = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            mine = line.endswith(str(path))
        elif mine and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total


def test_release_gives_pages_back_and_loses_nothing(tmp_path: Path) -> None:
    """Lost: a replay whose memory grows with the tape."""
    if not Path("/proc/self/smaps").exists():
        pytest.skip("no /proc/self/smaps on this system")
    path = tmp_path / "long"
    one = pack(joined(market(2, 2000)))
    shift = int(one[0]["ts_local_ns"][-1] - one[0]["ts_local_ns"][0]) + 1
    with TapeWriter(path, PAIR, source="test") as writer:
        for turn in range(40):
            batches, levels, rows = (array.copy() for array in one)
            batches["ts_local_ns"] += turn * shift
            batches["ts_exchange_ns"][batches["ts_exchange_ns"] != 0] += turn * shift
            rows["ts_local_ns"] += turn * shift
            rows["ts_exchange_ns"] += turn * shift
            writer.append(batches, levels, rows)
    with Tape.open(path) as tape:
        hashes = content_hash(tape)
        least = mapped_rss(path)
        sums = [int(array.view(np.uint8).sum(dtype=np.int64)) for array in (tape.batches, tape.levels, tape.rows)]
        assert tape.venue_order is not None
        assert tape.venue_order.sum() > 0
        full = mapped_rss(path)
        tape.release(len(tape.batches))
        tape.release(0)
        tape.release(len(tape.batches))
        assert mapped_rss(path) < full / 4
        assert least < full / 2
        assert hashes == tape.content_hash == content_hash(tape)
        assert sums == [int(a.view(np.uint8).sum(dtype=np.int64)) for a in (tape.batches, tape.levels, tape.rows)]


def test_arrays_outlive_the_tape(tape_path: Path) -> None:
    """Lost: a notebook that crashes the interpreter by reading an array of a closed tape."""
    tape = Tape.open(tape_path)
    batches, total = tape.batches, int(tape.batches["count"].sum())
    tape.close()
    tape.close()
    assert int(batches["count"].sum()) == total
    assert not batches.flags.writeable


def test_row_chunks_tile_and_hold_at_least_one_batch() -> None:
    """Lost: a chunked reader that skips a message larger than its chunk, or never ends."""
    batches = np.zeros(7, BATCH_DTYPE)
    batches["count"] = (1, 100, 1, 1, 1, 50, 3)
    assert list(row_chunks(batches, 3)) == [(0, 1), (1, 2), (2, 5), (5, 6), (6, 7)]
    assert list(row_chunks(batches[:0], 3)) == []


def test_preamble_and_structs_have_their_documented_sizes() -> None:
    """Lost: agreement between docs/tape-format.md and the file."""
    sizes = (PREAMBLE.size, BATCH_DTYPE.itemsize, LEVEL_DTYPE.itemsize, EVENT_DTYPE.itemsize)
    assert sizes == (64, 40, 16, 64)
    assert struct.calcsize("<8sIIQQ32s") == 64
