"""What every command has in common: one JSON value, exit codes, guesses at mistakes, a start without heavy imports."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

import apex
from apex.app.cli import COMMANDS, dump
from apex.app.console import stamp, time_ns
from apex.importers.binance import import_binance
from tests.app.commands import call
from tests.importers.recordings import frames, lines, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A recording, its tape, and places to write to."""
    folder = tmp_path_factory.mktemp("cli")
    found = write(folder / "r", lines(frames("usdm", 1, 100), 1))
    import_binance([found], folder / "t.tape")
    return {"FOLDER": folder, "RECORDING": found, "TAPE": folder / "t.tape", "NEW": folder / "new.tape",
            "CSV": folder / "t.csv", "OUT": folder / "out"}


EVERY = [
    "import binance RECORDING --out NEW", "tape info TAPE", "tape bbo TAPE --final", "tape head TAPE",
    "tape export TAPE --out CSV", "tape verify TAPE", "replay TAPE", "replay TAPE --out OUT", "doctor --path FOLDER",
    "generate --seed 1 --events 2000 --out NEW", "latency TAPE --out CSV",
    "sweep TAPE --strategy tests.app.sweep_strategies:Maker --grid away=0:1 --workers 1",
]


@pytest.mark.parametrize("words", EVERY)
def test_every_command_prints_one_json_value(words: str, places: dict[str, Path],
                                             capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the promise that --json prints one value and nothing else, wherever --json stands."""
    named = [str(places.get(word, word)) for word in words.split()]
    for line in ([*named, "--json"], ["--json", *named], [*named, "-q", "--json"]):
        done = call(capsys, *line)
        assert (done.code, done.err) == (0, ""), done
        assert done.out.count("\n") == 1
        assert done.value is not None


@pytest.mark.parametrize("words", EVERY)
def test_every_command_speaks_to_people(words: str, places: dict[str, Path],
                                        capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: output for people that fails where JSON does not."""
    done = call(capsys, *(str(places.get(word, word)) for word in words.split()))
    assert (done.code, done.err) == (0, "")
    assert len(done.out) > 20


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: which version a bug report is about."""
    assert call(capsys, "--version").out == f"apex {apex.__version__}\n"
    assert call(capsys, "--version", "--json").value == {"version": apex.__version__}


@pytest.mark.parametrize(("words", "where", "do"), [
    ([], "apex", "commands"), (["improt"], "apex", "Did you mean import?"), (["zzz"], "apex", "tape"),
    (["doctor", "--pth", "."], "apex doctor", "Did you mean --path?"), (["--jsn", "doctor"], "apex", "--json"),
    (["import", "binanse", "x", "--out", "y"], "FORMAT", "Did you mean binance?"),
    (["import"], "apex import", "--help"), (["doctor", "more"], "apex doctor", "--help"),
    (["tape", "head", "x", "--strat", "5"], "apex tape head", "Did you mean --start?"),
])
def test_mistakes_are_answered_with_a_guess(words: list[str], where: str, do: str,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: an answer that says where and what to do, with exit code 2, as text and as JSON."""
    done = call(capsys, *words, "--json")
    assert (done.code, done.error["code"], done.error["where"]) == (2, "usage", where)
    assert do in done.error["do"]
    plain = call(capsys, *words)
    assert (plain.code, plain.out) == (2, "")
    assert "do:" in plain.err


def test_verbose_shows_where_an_error_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: the traceback that a bug report needs."""
    assert "Traceback" not in call(capsys, "tape", "info", "absent").err
    for words in (["-v", "tape", "info", "absent"], ["tape", "info", "absent", "--verbose"]):
        assert "Traceback" in call(capsys, *words).err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: a command that nobody finds."""
    for words in (["--help"], ["tape", "--help"], ["import", "--help"], ["replay", "-h"]):
        with pytest.raises(SystemExit) as ended:
            call(capsys, *words)
        assert ended.value.code == 0
        printed = capsys.readouterr().out
        assert "usage: apex" in printed
        if words == ["--help"]:
            assert all(name in printed for name in COMMANDS)


LIGHT = """
import sys
from apex.app.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print(sorted({"numpy", "pandas", "pyarrow", "rich", "orjson"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["nonsense"]])
def test_the_command_line_starts_without_heavy_imports(words: list[str]) -> None:
    """Lost: `apex --help` within half a second."""
    done = subprocess.run([sys.executable, "-c", LIGHT, *words], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


def test_json_has_no_nan_and_knows_our_values() -> None:
    """Lost: JSON that other readers refuse."""
    from apex.domain.instrument import Instrument

    value: dict[str, Any] = {
        "nan": math.nan, "inf": -math.inf, "f": np.float64(0.5), "i": np.int64(7), "a": np.arange(3), "p": Path("x"),
        "b": np.bool_(True), "u": 2**64 - 1, 5: None, "x": Instrument("S", "v", "0.1", "1"), "nan32": np.float32("nan")}
    found = orjson.loads(dump(value))
    assert (found["nan"], found["inf"], found["nan32"], found["5"]) == (None, None, None, None)
    assert (found["f"], found["i"], found["a"], found["p"], found["b"]) == (0.5, 7, [0, 1, 2], "x", True)
    assert found["u"] == 2**64 - 1
    assert found["x"]["tick"] == "0.1"


def test_times_for_people_and_from_people() -> None:
    """Lost: a time that is off by a digit, or a crash for a time before 1970."""
    assert stamp(1_723_161_599_833_492_584) == "2024-08-08 23:59:59.833492584"
    assert (stamp(0), stamp(-1), stamp(None)) == ("1970-01-01 00:00:00.000000000", "1969-12-31 23:59:59.999999999", "-")
    assert stamp(2**63 - 1).startswith("2262-04-11")
    assert time_ns("-5") == -5
    for wrong in ("x", "1.5", "", "1e9"):
        with pytest.raises(ValueError, match="invalid literal"):
            time_ns(wrong)
