"""Events: one layout everywhere, and both encodings of a tape."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apex._core import events
from apex._core.events import BATCH_DTYPE, COMMAND_DTYPE, EVENT_DTYPE, FLAGS, KINDS, LEVEL_DTYPE, pack, unpack

LAST = FLAGS["LAST_IN_BATCH"]


def test_the_build_is_the_one_that_was_asked_for() -> None:
    """Lost otherwise: a checked suite that runs on the release build, and finds nothing."""
    assert os.environ.get("APEX_BUILD", "release") == events.BUILD


def test_layouts() -> None:
    """Lost otherwise: tapes that another build reads with two fields swapped."""
    assert [d.itemsize for d in (EVENT_DTYPE, BATCH_DTYPE, LEVEL_DTYPE, COMMAND_DTYPE)] == [64, 40, 16, 64]
    assert [(n, EVENT_DTYPE[n].str, EVENT_DTYPE.fields[n][1]) for n in EVENT_DTYPE.names or ()] == [
        ("ts_exchange_ns", "<i8", 0), ("ts_local_ns", "<i8", 8), ("sequence", "<u8", 16), ("order_id", "<u8", 24),
        ("price_ticks", "<i8", 32), ("quantity_lots", "<i8", 40), ("aux", "<i8", 48), ("instrument", "<u4", 56),
        ("flags", "<u2", 60), ("kind", "|u1", 62), ("side", "|u1", 63),
    ]  # fmt: skip
    assert [(n, BATCH_DTYPE.fields[n][1]) for n in BATCH_DTYPE.names or ()] == [
        ("ts_exchange_ns", 0), ("ts_local_ns", 8), ("sequence", 16), ("first", 24), ("count", 28), ("instrument", 32),
        ("flags", 36), ("kind", 38), ("encoding", 39),
    ]  # fmt: skip
    assert [(n, LEVEL_DTYPE.fields[n][1]) for n in LEVEL_DTYPE.names or ()] == [
        ("quantity_lots", 0), ("price_ticks", 8), ("side", 12), ("pad0", 13), ("pad1", 14)]  # fmt: skip


@pytest.mark.parametrize("name", ["KINDS", "FLAGS", "SIDES", "TIFS", "ENCODINGS"])
def test_names_are_one_to_one(name: str) -> None:
    """Lost otherwise: a kind that is read as another."""
    values = list(getattr(events, name).values())
    assert len(set(values)) == len(values)
    if name == "FLAGS":
        assert sorted(values) == [1 << i for i in range(len(values))]


few = st.integers(0, 1)
near = st.sampled_from((-(2**31) - 1, -(2**31), -1, 0, 1, 2**31 - 1, 2**31, 2**62))
row = st.tuples(few, few, few, st.sampled_from((0, 0, 0, 1, 2**63)), near, st.integers(-(2**63), 2**63 - 1),
                st.sampled_from((0, 0, 0, -1, 2**62)), few, st.sampled_from((0, LAST, 6, 6 | LAST)),
                st.sampled_from((1, 1, 1, 3, 255)), st.integers(0, 2))  # fmt: skip


@settings(max_examples=300)
@given(st.lists(row, max_size=40))
def test_packing_loses_nothing(rows: list[tuple[int, ...]]) -> None:
    """Lost otherwise: events that a tape does not give back, or a content hash that depends on how they were packed."""
    made = np.array(rows, EVENT_DTYPE)
    batches, levels, raw = pack(made)
    assert (batches.dtype, levels.dtype, raw.dtype) == (BATCH_DTYPE, LEVEL_DTYPE, EVENT_DTYPE)
    assert unpack(batches, levels, raw).tobytes() == made.tobytes()
    assert int(batches["count"].sum()) == len(made) == len(levels) + len(raw)
    # LAST_IN_BATCH ends a batch wherever it stands.
    assert int(((batches["flags"] & LAST) != 0).sum()) == int(((made["flags"] & LAST) != 0).sum())


@given(st.lists(row, min_size=1, max_size=40), st.data())
def test_packing_in_parts_is_packing_at_once(rows: list[tuple[int, ...]], data: Any) -> None:
    """Lost otherwise: a tape whose events depend on the writer's chunks."""
    made = np.array(rows, EVENT_DTYPE)
    cut = data.draw(st.integers(0, len(rows)))
    parts = [unpack(*pack(part)) for part in (made[:cut], made[cut:])]
    assert np.concatenate(parts).tobytes() == made.tobytes()


def test_a_message_is_one_batch() -> None:
    """Lost otherwise: 40 bytes a level instead of 40 a message, and strategies called in the middle of one."""
    made = np.zeros(5, EVENT_DTYPE)
    made["kind"], made["side"], made["quantity_lots"] = KINDS["BOOK_LEVEL"], 1, 3
    made["flags"][-1] = LAST
    batches, levels, raw = pack(made)
    assert (len(batches), len(levels), len(raw)) == (1, 5, 0)
    assert (batches["count"][0], batches["flags"][0]) == (5, LAST)
    made["price_ticks"][2] = 2**40  # does not fit a level
    batches, levels, raw = pack(made)
    assert list(batches["count"]) == [2, 1, 2]
    assert list(batches["encoding"]) == [0, 1, 0]
    assert [int(f) for f in batches["flags"]] == [0, 0, LAST]


@pytest.mark.parametrize(("field", "value"), [("first", 3), ("count", 0), ("count", 6), ("first", 2**32 - 1),
                                              ("encoding", 1)])
def test_batches_that_point_outside_are_refused(field: str, value: int) -> None:
    """Lost otherwise: a damaged tape that is read from somebody else's memory."""
    made = np.zeros(5, EVENT_DTYPE)
    made["kind"] = KINDS["TRADE"]
    batches, levels, raw = pack(made)
    batches[field] = value
    with pytest.raises(ValueError, match="batch 0 points outside"):
        unpack(batches, levels, raw)


def test_wrong_arrays_are_refused() -> None:
    """Lost otherwise: fields read at the wrong place."""
    with pytest.raises(ValueError, match="uffer dtype mismatch"):
        pack(np.zeros(3, BATCH_DTYPE))
    with pytest.raises(TypeError):
        pack(None)  # type: ignore[arg-type]
