"""Damaged files are refused by name; bad events, a full disk and Ctrl-C leave nothing half-written behind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apex._core.events import FLAGS, pack
from apex.domain.errors import EnvironmentProblem, InputError
from apex.store.layout import PREAMBLE
from apex.store.tape import Tape, TapeWriter
from tests.store.markets import BOTH, PAIR, START, joined, market, message, write

ROOT = Path(__file__).resolve().parents[2]

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
    with TapeWriter(tmp_path / "bad", PAIR, source="test") as writer:
        for events in (first, other):
            writer.append(*pack(events))
            writer._flush()
        writer.append(*pack(message("TRADE", START + 4, [(1, 1, 1, 0)])))
        with pytest.raises(InputError, match="local time"):
            writer.close()
    assert os.listdir(tmp_path) == ["ok"]


def test_arrays_that_do_not_fit_are_an_error_of_the_caller(tmp_path: Path) -> None:
    """Lost: an importer's mistake in `first` or in a dtype shifts every level after it."""
    batches, levels, rows = pack(joined(market(1, 5)))
    with TapeWriter(tmp_path / "t", PAIR, source="test") as writer, pytest.raises(TypeError):
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

    def stop() -> None:
        with TapeWriter(tape_path, PAIR, source="test") as writer:
            writer.append(*pack(joined(market(9, 10))))
            raise RuntimeError("importer stops")

    with pytest.raises(RuntimeError):
        stop()
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
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
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
