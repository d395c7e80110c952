"""Full disks, Ctrl-C, closed pipes and folders that may not be written: the right exit, and nothing half-written."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from apex.importers.binance import import_binance
from tests.importers.recordings import START_NS, Stream, frames, lines, text, write

ROOT = Path(__file__).resolve().parents[2]
MAIN = """
import resource, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)   # a shell's background job would ignore it
limit = int(sys.argv[1])
if limit >= 0:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from apex.app.cli import main
sys.exit(main(sys.argv[2:]))
"""


def start(*words: object, limit: int = -1, stdout: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """`apex` in a process of its own; `limit` is the largest file it may write."""
    return subprocess.Popen([sys.executable, "-c", MAIN, str(limit), *map(str, words)], cwd=ROOT, stdout=stdout,
                            stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr."""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small recording whose tape has some 100 kB."""
    return write(tmp_path_factory.mktemp("small") / "r", lines(frames("usdm", 1, 4000), 1))


@pytest.fixture(scope="module")
def tape(recording: Path) -> Path:
    """Its tape."""
    out = recording.parent / "whole.tape"
    import_binance([recording], out)
    return out


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that takes seconds, since every frame needs the slow path."""
    frame = json.dumps(dict(reversed(Stream("usdm", 1).ticker().items()))).encode()
    path = tmp_path_factory.mktemp("slow") / "r"
    path.write_bytes(b"".join(b"%d %s\n" % (START_NS + i, frame) for i in range(250_000)))
    return path


@pytest.mark.parametrize("limit", [0, 5000, 60_000])
def test_full_disk_while_importing(limit: int, recording: Path, tmp_path: Path) -> None:
    """Lost: a short tape that looks whole, or an older one destroyed, when the disk fills up."""
    out = tmp_path / "t.tape"
    out.write_bytes(b"an older tape")
    code, printed, err = finish(start("import", "binance", recording, "--out", out, "--json", limit=limit))
    assert code == 4, err
    error = json.loads(printed)["error"]
    assert (error["code"], error["where"]) == ("environment", str(out))
    assert error["do"]
    assert os.listdir(tmp_path) == ["t.tape"]
    assert out.read_bytes() == b"an older tape"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_full_disk_while_exporting(suffix: str, tape: Path, tmp_path: Path) -> None:
    """Lost: a table that ends in the middle and reads like a whole one."""
    out = tmp_path / f"t.{suffix}"
    code, printed, err = finish(start("tape", "export", tape, "--out", out, "--json", limit=20_000))
    assert code == 4, err
    assert json.loads(printed)["error"]["where"] == str(out)
    assert os.listdir(tmp_path) == []


def test_full_disk_behind_stdout(tape: Path) -> None:
    """Lost: a script that takes a cut-off answer for a whole one."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    with open("/dev/full", "wb") as full:
        process = start("tape", "head", tape, "-n", "2000", "--json", stdout=full.fileno())
        code, _, err = finish(process)
    assert code == 4
    assert b"No space left" in err
    assert b"Traceback" not in err


def interrupted(process: subprocess.Popen[bytes], folder: Path, number: signal.Signals) -> tuple[int, bytes, bytes]:
    """Wait until the tape is being written, then send the signal."""
    while not any(name.endswith(".part") for name in os.listdir(folder)):
        assert process.poll() is None, process.communicate()
    process.send_signal(number)
    return finish(process)


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_while_importing(number: signal.Signals, expected: int, slow: Path, tmp_path: Path) -> None:
    """Lost: half-written tapes and stray files after Ctrl-C or a stop by the system."""
    out = tmp_path / "t.tape"
    out.write_bytes(b"an older tape")
    process = start("import", "binance", slow, "--out", out, "--tick", "0.1", "--lot", "0.001", "--json")
    code, printed, err = interrupted(process, tmp_path, number)
    assert code == expected, err
    if number is signal.SIGINT:
        assert json.loads(printed)["error"]["code"] == "interrupted"
        assert b"apex: interrupted" in err
    assert b"Traceback" not in err
    assert os.listdir(tmp_path) == ["t.tape"]
    assert out.read_bytes() == b"an older tape"


FAR = """
import apex
class Slow(apex.Strategy):
    def on_start(self, view):
        view.at(view.now)
    def on_timer(self, view):
        if self.count == 0:
            print("begun", flush=True)
        self.count += 1
        view.at(view.now + 1)
    count = 0
    waits_for_book = False
"""


def test_ctrl_c_while_replaying(tape: Path, tmp_path: Path) -> None:
    """Lost: a replay that cannot be stopped, or whose stop looks like a result."""
    (tmp_path / "endless_strategy.py").write_text(FAR, encoding="utf-8")
    words = ["replay", str(tape), "--strategy", "endless_strategy:Slow", "--out", str(tmp_path / "out")]
    process = subprocess.Popen([sys.executable, "-c", MAIN, "-1", *words], cwd=tmp_path, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    code, printed, err = finish(process)
    assert (code, printed) == (130, b""), err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [
    ["tape", "head", "TAPE", "-n", "400"], ["tape", "head", "TAPE", "-n", "400", "--json"], ["nonsense", "--json"],
])
def test_a_closed_pipe_is_quiet(words: list[str], tape: Path) -> None:
    """Lost: a traceback from `apex tape head T | head -1`."""
    process = start(*(str(tape) if word == "TAPE" else word for word in words))
    assert process.stdout is not None
    process.stdout.close()
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0 if words[0] == "tape" else 2, b"")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user may look into, but not write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


AS_NOBODY = """
import contextlib, io, os, sys
import apex.importers.binance
from apex.app.cli import main
with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())):    # loads what this user may read, the next one not
    main(["import", "binance", "absent", "--out", "absent.tape", "--json"])
if os.geteuid() == 0:
    os.setegid(65534)
    os.seteuid(65534)
sys.exit(main(sys.argv[1:]))
"""


def as_nobody(*words: object) -> tuple[int, dict[str, str]]:
    """Exit code and error of `apex --json` for a user who owns nothing; root is made one first."""
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, *map(str, words), "--json"], cwd=ROOT, capture_output=True,
                          check=False, timeout=60)
    assert b"Traceback" not in done.stderr, done.stderr
    error: dict[str, str] = json.loads(done.stdout)["error"]
    return done.returncode, error


def test_folder_that_may_not_be_written(open_folder: Path, recording: Path) -> None:
    """Lost: the word that the folder is the trouble."""
    source, out = shutil.copy(recording, open_folder / "r"), open_folder / "t.tape"
    os.chmod(source, 0o644)
    open_folder.chmod(0o555)
    code, error = as_nobody("import", "binance", source, "--out", out)
    assert (code, error["code"], error["where"]) == (4, "environment", str(out))
    assert "may write" in error["do"]
    assert os.listdir(open_folder) == ["r"]


def test_recording_that_may_not_be_read(open_folder: Path, recording: Path) -> None:
    """Lost: a traceback for a file of another user."""
    source = shutil.copy(recording, open_folder / "r")
    os.chmod(source, 0o000)
    code, error = as_nobody("import", "binance", source, "--out", open_folder / "t.tape")
    assert (code, error["code"], error["where"]) == (4, "environment", str(source))


def test_the_slow_recording_is_slow_because_of_its_frames(slow: Path) -> None:
    """Lost: the test of Ctrl-C interrupts nothing, since the import is over before."""
    with slow.open("rb") as stream:
        frame = stream.readline().partition(b" ")[2].strip()
    assert frame != text(Stream("usdm", 1).ticker())
    assert json.loads(frame) == Stream("usdm", 1).ticker()
