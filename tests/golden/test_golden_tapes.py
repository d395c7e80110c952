"""Tapes of every past format version are read as they were written."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from apex._core.events import EVENT_DTYPE, KINDS
from apex.store.bbo import touches
from apex.store.layout import VERSION
from apex.store.tape import Tape, content_hash
from apex.store.verify import verify
from tests.golden import make_tapes

PATHS = sorted(make_tapes.FOLDER.glob("*.tape"))
HASHES = {"v1-orders": "7e65ec086b32cf3c1ebe84bc1fb6d16841ad37838a86f0ae01a0943badda8a28",
          "v1-venue": "4b05f254ad7ec9c17984c759cbb97f0195cbff895e5f3d61f277d9e53e54b35a",
          "v1": "81fae32ec6d7cc4a98e11e8e2e655cfaafc9c790e6f654b80e759fe09420b062"}
"""The content hashes, here too: who changes a golden file must change this line."""


def test_every_version_has_its_golden_tape() -> None:
    """Lost: a format change that nobody can read back, because no tape of the version was kept."""
    assert [path.stem for path in PATHS] == list(HASHES)
    assert {f"v{n}" for n in range(1, VERSION + 1)} == {name for name in HASHES if "-" not in name}


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_it_is_read_as_it_was_written(path: Path) -> None:
    """Lost: an old recording that no longer opens, or opens as other events."""
    with path.with_suffix(".csv").open(newline="", encoding="utf-8") as stream:
        names, *lines = csv.reader(stream)
    expected = np.array([tuple(int(value) for value in line) for line in lines], [(n, EVENT_DTYPE[n]) for n in names])
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    with Tape.open(path) as tape:
        found = tape.events()
        assert names == list(EVENT_DTYPE.names or ())
        assert found.tolist() == expected.tolist()
        assert tape.content_hash == content_hash(tape) == told["content_hash"] == HASHES[path.stem]
        assert {k: v for k, v in tape.header.items() if k in told["header"]} == told["header"]
        assert tape.venue_order is not None
        assert sorted(tape.venue_order.tolist()) == list(range(len(tape.batches)))
        last = make_tapes.START + 1000
        assert [list(touches(tape, i, [last])[0]) for i in range(len(tape.instruments))] == told["touches"]
        assert verify(tape).ok


def test_it_holds_every_kind() -> None:
    """Lost: a kind whose rows no golden tape pins."""
    found = [make_tapes.rows(which)["kind"].tolist() for which in make_tapes.TAPES]
    assert {kind for kinds in found for kind in kinds} == set(KINDS.values())


def test_the_writer_still_writes_the_same_bytes(tmp_path: Path) -> None:
    """Lost: a change of the format without a new version."""
    for which in make_tapes.TAPES:
        make_tapes.write(tmp_path / "t", which)
        assert (tmp_path / "t").read_bytes() == (make_tapes.FOLDER / f"v{VERSION}{which}.tape").read_bytes()


def test_a_golden_tape_is_made_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a golden file that follows every change of the code, and so pins nothing."""
    before = [path.read_bytes() for path in PATHS]
    assert make_tapes.main() == 1
    assert "once" in capsys.readouterr().err
    assert [path.read_bytes() for path in PATHS] == before
