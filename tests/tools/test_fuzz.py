"""The fuzzer: nothing that reads bytes is left out, a payload can be had again, and what goes wrong is told."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.importers.recordings import Stream, text
from tools.fuzz.payloads import cells, payload, words
from tools.fuzz.run import NOTED, stretch
from tools.fuzz.targets import DATA, SAMPLES, Target, decoders, importers, targets

ROOT = Path(__file__).resolve().parents[2]
FRAMES = [text(Stream("usdm", seed).depth()) for seed in range(3)]


def test_every_decoder_and_importer_is_fuzzed() -> None:
    """Lost otherwise: a new reader of foreign bytes that nobody has thrown anything at."""
    if not DATA.is_dir() and set(importers()) - set(SAMPLES):
        pytest.skip("the recordings are absent: set APEX_DATA")
    names = {target.name for target in targets()}
    assert {f"import-{name}" for name in importers()} <= names
    assert {"binance-spot", "binance-usdm", "binance-cm", "binance-usdm-lines"} <= names
    assert len(decoders()) >= 1


def test_changed_records_of_databento_are_accepted_too() -> None:
    """Lost otherwise: payloads that all end inside a record, so that nothing behind the reader is ever fuzzed."""
    if not (DATA / "l3" / "databento").is_dir():
        pytest.skip("the recordings are absent: set APEX_DATA")
    (target,) = (t for t in targets() if t.name == "import-databento")
    assert sum(target.feed(sample) for sample in target.samples) == len(target.samples) - 1, "all but the bars"
    rng = random.Random(3)
    accepted = sum(target.feed(payload(target.samples, rng)) for _ in range(60))
    assert 5 < accepted < 60


def test_a_payload_is_decided_by_its_number() -> None:
    """Lost otherwise: a crash that cannot be had again."""
    code = ("import sys, zlib; from tools.fuzz.run import made; from tools.fuzz.targets import Target;"
            "t = Target('t', [b'{\"a\":\"1.5\",\"b\":[1,2]}'] * 3, len);"
            "print(zlib.crc32(b''.join(made(t, 3, i) for i in range(300))))")
    found = {subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
                            env={**os.environ, "PYTHONHASHSEED": seed}).stdout for seed in ("1", "2")}
    assert len(found) == 1


def test_payloads_are_sound_and_unsound() -> None:
    """Lost otherwise: a fuzzer whose payloads all stop at the first byte, or are never damaged."""
    rng = random.Random(1)
    sound = 0
    made = [payload(FRAMES, rng) for _ in range(600)]
    for data in made:
        with contextlib.suppress(ValueError, RecursionError):
            sound += isinstance(json.loads(data), dict)
    assert 200 < sound < 550
    assert len(set(made)) > 400
    table = b"a,b\n1,2\n3,4\n"
    assert len({cells(table, rng) for _ in range(50)}) > 20
    assert len({words(bytes(32), rng) for _ in range(50)}) > 20


def test_another_error_stops_it_and_its_number_is_noted(tmp_path: Path) -> None:
    """Lost otherwise: a fault of a decoder that passes for a refused payload."""
    note, seen = tmp_path / "note", []

    def feed(data: bytes) -> bool:
        seen.append(data)
        if len(seen) == 7:
            raise KeyError("b")
        return True

    note.write_bytes(bytes(NOTED))
    with pytest.raises(KeyError):
        stretch(Target("t", FRAMES, feed), 1, 100, 50, note)
    assert int.from_bytes(note.read_bytes(), "little") == 106
