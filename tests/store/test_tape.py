"""Tapes: what goes in comes out, the hash is the content's, and nothing half-written or damaged passes for a tape."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, FLAGS, LEVEL_DTYPE, pack
from apex.store.layout import ALIGN, PREAMBLE, row_chunks, venue_order
from apex.store.tape import Tape, TapeWriter, content_hash
from tests.store.markets import BTC, PAIR, START, joined, market, message, write

ROOT = Path(__file__).resolve().parents[2]


def canonical_hash(events: Any) -> str:
    """The hash as docs/tape-format.md words it, from plain parts."""
    table = [{"symbol": x.symbol, "venue": x.venue, "tick": x.tick, "lot": x.lot, "kind": x.kind, "base": x.base,
              "multiplier": x.multiplier, "quote": x.quote} for x in PAIR]
    text = json.dumps(table, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.blake2b(events.tobytes() + text, digest_size=32).hexdigest()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 120), st.integers(1, 2), st.data())
def test_round_trip_and_any_split_of_appends(seed: int, count: int, instruments: int, data: st.DataObject) -> None:
    """Lost: a tape that gives back other rows than were recorded, or bytes that depend on how they were handed over."""
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


def long_tape(folder: Path) -> Path:
    """A tape of some 80,000 messages."""
    path = folder / "long"
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
    return path


def test_release_gives_pages_back_and_loses_nothing(tmp_path: Path) -> None:
    """Lost: a replay whose memory grows with the tape."""
    if not Path("/proc/self/smaps").exists():
        pytest.skip("no /proc/self/smaps on this system")
    path = long_tape(tmp_path)
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


def test_a_walk_leaves_no_page_behind(tmp_path: Path) -> None:
    """Lost: 160 kB of the tape kept mapped at each release, which many replays beside each other cannot afford."""
    if not Path("/proc/self/smaps").exists():
        pytest.skip("no /proc/self/smaps on this system")
    path, step = long_tape(tmp_path), 1 << 14
    with Tape.open(path) as tape:
        for start in range(0, len(tape.batches), step):
            for array in (tape.batches, tape.venue_order):
                assert array is not None
                assert array[start:start + step].view(np.uint8).any()
            tape.release(start)
        assert mapped_rss(path) < 3 * step * tape.batches.itemsize


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
