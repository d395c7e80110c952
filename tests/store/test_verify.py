"""Verification: whatever is changed in a file is seen, and each rule is named when it is the one that is broken."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apex._core.events import BATCH_DTYPE, EVENT_DTYPE, FLAGS, LEVEL_DTYPE, pack
from apex.domain.errors import InputError
from apex.store.layout import ORDER_DTYPE, PREAMBLE
from apex.store.rules import WORDS
from apex.store.tape import Tape, TapeWriter
from apex.store.verify import Verdict, verify
from tests.store.markets import BOTH, BTC, ETH, START, joined, market, message

DTYPES = {"batches": BATCH_DTYPE, "levels": LEVEL_DTYPE, "rows": EVENT_DTYPE, "venue_order": ORDER_DTYPE}


def make(path: Path, events: Any) -> Path:
    """A tape of rows of two instruments."""
    with TapeWriter(path, [BTC, ETH], source="test") as writer:
        writer.append(*pack(events))
    return path


def checked(path: Path) -> Verdict:
    """What verify says of a file."""
    with Tape.open(path) as tape:
        return verify(tape)


class Patch:
    """The arrays of a tape's file, writable: damage that no writer would make."""

    def __init__(self, path: Path) -> None:
        with Tape.open(path) as tape:
            places = tape.header["sections"]
        for name, place in places.items():
            setattr(self, name, np.memmap(path, DTYPES[name], "r+", place["offset"], (place["count"],))
                    if place["count"] else np.zeros(0, DTYPES[name]))

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def reheader(path: Path, **changes: Any) -> None:
    """Change the header and make its checksum right again."""
    whole = path.read_bytes()
    magic, version, zero, at, size, _ = PREAMBLE.unpack_from(whole)
    text = json.dumps({**json.loads(whole[at:at + size]), **changes}).encode()
    start = PREAMBLE.pack(magic, version, zero, at, len(text), hashlib.blake2b(text, digest_size=32).digest())
    path.write_bytes(start + whole[PREAMBLE.size:at] + text)


@pytest.mark.parametrize("seed", range(5))
def test_written_tapes_verify(tmp_path: Path, seed: int) -> None:
    """Lost: verify cries wolf over sound tapes."""
    verdict = checked(make(tmp_path / "t", joined(market(seed, 300, 2))))
    assert verdict.ok, verdict
    assert verdict.value()["hash_ok"] is True
    assert verdict.value()["violations"] == 0


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a sound tape with all four sections filled."""
    path = make(tmp_path_factory.mktemp("sound") / "t", joined(market(11, 150, 2)))
    with Tape.open(path) as tape:
        assert all(s["count"] for s in tape.header["sections"].values())
    return path.read_bytes()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_byte_is_seen(sound: bytes, tmp_path: Path, data: st.DataObject) -> None:
    """Lost: a flipped bit on a disk changes a price, a time or the order of events unseen."""
    at = data.draw(st.integers(0, len(sound) - 1))
    flip = data.draw(st.integers(1, 255))
    path = tmp_path / "t"
    path.write_bytes(sound[:at] + bytes([sound[at] ^ flip]) + sound[at + 1:])
    try:
        verdict = checked(path)
    except InputError:
        return
    assert not verdict.ok, (at, flip)


def rows(*messages: Any) -> Any:
    """Rows of messages."""
    return joined(list(messages))


TRADE = message("TRADE", START, [(1, 100, 5, 0)])
LATER = message("TRADE", START + 10, [(1, 100, 5, 0)])
DEPTH = message("BOOK_LEVEL", START + 20, [(1, 100, 5, 0), (2, 102, 5, 0)])
MARK = message("MARK", START + 30, [(0, 100, 0, 9), (0, 100, 0, 9)])


@pytest.mark.parametrize(("rule", "damage"), [
    ("tiling", lambda p: p.batches["count"].__setitem__(0, 0)),
    ("tiling", lambda p: p.batches["first"].__setitem__(1, 2)),
    ("tiling", lambda p: p.batches["count"].__setitem__(2, 1)),
    ("tiling", lambda p: p.batches["count"].__setitem__(3, 2**32 - 1)),
    ("tiling", lambda p: p.batches["encoding"].__setitem__(0, 2)),
    ("instrument", lambda p: p.batches["instrument"].__setitem__(0, 2)),
    ("kind", lambda p: p.batches["kind"].__setitem__(0, 99)),
    ("flags", lambda p: p.batches["flags"].__setitem__(0, 1 << 14)),
    ("side", lambda p: p.levels["side"].__setitem__(2, 0)),
    ("quantity", lambda p: p.levels["quantity_lots"].__setitem__(2, -1)),
    ("trade_quantity", lambda p: p.levels["quantity_lots"].__setitem__(0, 0)),
    ("price", lambda p: p.rows["price_ticks"].__setitem__(0, 1 << 61)),
    ("padding", lambda p: p.levels["pad1"].__setitem__(0, 1)),
    ("row_of_batch", lambda p: p.rows["sequence"].__setitem__(1, 77)),
    ("local_time", lambda p: p.batches["ts_local_ns"].__setitem__(1, START - 1)),
    ("venue_order", lambda p: p.batches["ts_exchange_ns"].__setitem__(0, START + 100)),
])
def test_each_rule_is_named(tmp_path: Path, rule: str, damage: Any) -> None:
    """Lost: a broken rule that verify does not know, or calls by another name."""
    path = make(tmp_path / "t", rows(TRADE, LATER, DEPTH, MARK))
    damage(Patch(path))
    verdict = checked(path)
    assert rule in verdict.violations, verdict
    assert not verdict.ok
    assert {d["what"] for d in verdict.value()["details"]} <= set(WORDS.values())


BEGIN = message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False)
NO_LEVELS, UNCLOSED = "snapshot_without_levels", "unclosed_message"


@pytest.mark.parametrize(("broken", "events"), [
    ({UNCLOSED}, rows(message("BOOK_LEVEL", START, [(1, 1, 1, 0)], last=False), LATER)),
    ({UNCLOSED}, rows(TRADE, message("BOOK_LEVEL", START, [(1, 1, 1, 0)], last=False))),
    ({NO_LEVELS}, rows(BEGIN, TRADE)),
    ({NO_LEVELS, UNCLOSED}, rows(TRADE, BEGIN)),
    ({NO_LEVELS, UNCLOSED}, rows(BEGIN, DEPTH)),
    (set(), rows(message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)]), DEPTH)),
    (set(), rows(TRADE, message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)]))),
])
def test_sequences_between_messages(tmp_path: Path, broken: set[str], events: Any) -> None:
    """Lost: a snapshot that is cut off and empties the book for good, or a message that strategies never see closed.

    A SNAPSHOT_BEGIN that closes its message is a book that is empty indeed.
    """
    verdict = checked(make(tmp_path / "t", events))
    assert (verdict.hash_ok, set(verdict.violations)) == (True, broken)


def test_sequences_are_kept_apart_by_instrument(tmp_path: Path) -> None:
    """Lost: false alarms on tapes of several instruments, whose messages lie between each other's."""
    levels = [(1, 1, 1, 0), (2, 3, 1, 0)]
    events = rows(
        message("SNAPSHOT_BEGIN", START, [(0, 0, 0, 0)], last=False),
        message("TRADE", START + 5, [(1, 1, 1, 0)], instrument=1),
        message("BOOK_LEVEL", START, levels, flags=BOTH | FLAGS["SNAPSHOT"]),
        message("TRADE", START + 4, [(1, 1, 1, 0)]),
        message("TRADE", START + 6, [(1, 1, 1, 0)], instrument=1),
    )
    assert checked(make(tmp_path / "t", events)).ok


def test_rows_of_the_venue_alone_have_no_local_order(tmp_path: Path) -> None:
    """Lost: tapes from converters that split a row in two, one for each view, count as broken."""
    events = rows(
        message("TRADE", START + 50, [(1, 1, 1, 0)], flags=FLAGS["AT_VENUE"], delay=50),
        message("TRADE", START + 10, [(1, 1, 1, 0)], delay=0),
        message("TRADE", START + 50, [(1, 1, 1, 0)], flags=FLAGS["AT_LOCAL"], delay=50),
    )
    assert checked(make(tmp_path / "t", events)).ok


@pytest.mark.parametrize(("rule", "changes"), [
    ("row_count", {"row_count": 5}), ("header", {"feed_min_ns": 3}), ("header", {"kinds": {"TRADE": 9}}),
    ("header", {"first_ts": 0, "last_ts": 1}),
])
def test_claims_of_the_header(tmp_path: Path, rule: str, changes: dict[str, Any]) -> None:
    """Lost: a feed shift computed from a number that the rows do not give."""
    path = make(tmp_path / "t", rows(TRADE, LATER, DEPTH))
    reheader(path, **changes)
    verdict = checked(path)
    assert (verdict.hash_ok, list(verdict.violations)) == (True, [rule])


def test_another_hash_or_instrument_is_seen(tmp_path: Path) -> None:
    """Lost: a tape whose tick was changed after its import passes."""
    path = make(tmp_path / "t", rows(TRADE, LATER))
    with Tape.open(path) as tape:
        table = tape.header["instruments"]
    for changes in ({"content_hash": "0" * 64}, {"instruments": [{**table[0], "tick": "1"}, table[1]]}):
        make(path, rows(TRADE, LATER))
        reheader(path, **changes)
        verdict = checked(path)
        assert (verdict.hash_ok, verdict.violations) == (False, {})


def test_a_swapped_venue_order_is_seen(tmp_path: Path) -> None:
    """Lost: the venue's side of a replay in another order, with every row still right."""
    path = make(tmp_path / "t", joined(market(4, 200)))
    patch = Patch(path)
    patch.venue_order[[0, 1]] = patch.venue_order[[1, 0]]
    patch.venue_order.flush()
    verdict = checked(path)
    assert (verdict.hash_ok, list(verdict.violations)) == (True, ["venue_order"])
