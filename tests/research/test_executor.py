"""Processes of a job: order, failures, deaths, and that none is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from apex.domain.errors import ConfigError, EnvironmentProblem
from apex.research.executor import evaluate_all
from apex.research.worker import Failure
from tests.research import jobs

ROOT = Path(__file__).resolve().parents[2]


def gone(pid: int) -> bool:
    """Whether a process has ended and was waited for."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_stand_in_the_order_of_the_items(workers: int) -> None:
    """Lost: a row of results that belongs to other parameters."""
    items = [9, 4, 7, 1, 0, 3, 8, 2]
    found = evaluate_all(jobs.squares, 100, items, workers=workers)
    assert [value for value, _ in found] == [i * i + 100 for i in items]
    processes = {pid for _, pid in found}
    assert os.getpid() not in processes
    assert len(processes) <= workers
    assert all(gone(pid) for pid in processes)


def test_no_items_need_no_process() -> None:
    """Lost: processes that wait for nothing."""
    assert evaluate_all(jobs.stillborn, None, [], workers=3) == []


def test_an_item_that_fails_spoils_no_other() -> None:
    """Lost: a job of hours for one bad item; or its reason."""
    items = ["a", "raise", "b", "strategy", "leave", "c"]
    found = evaluate_all(jobs.moody, None, items, workers=2)
    assert [found[i] for i in (0, 2, 5)] == ["a", "b", "c"]
    assert all(isinstance(found[i], Failure) for i in (1, 3, 4))
    assert (found[1].code, found[1].what) == ("internal", "ValueError: no such item")
    assert found[1].where.startswith(jobs.__file__)
    assert "no such item" in found[1].do
    assert found[3] == Failure("strategy", "the strategy raised", "here", "its traceback")
    assert found[4].what == "SystemExit: 3"


@pytest.mark.parametrize(("item", "how"), [("die", "SIGKILL"), ("exit", "exit code 7")])
def test_a_process_that_dies_is_replaced(item: str, how: str) -> None:
    """Lost: the other items, when the system kills a process for its memory; or a wait without end."""
    found = evaluate_all(jobs.moody, None, ["a", item, "b", item, "c", "d"], workers=2)
    assert [found[i] for i in (0, 2, 4, 5)] == ["a", "b", "c", "d"]
    for i in (1, 3):
        assert found[i].code == "worker"
        assert how in found[i].what


def test_what_keeps_workers_from_beginning_is_raised() -> None:
    """Lost: the reason why nothing ran; or an endless row of processes that cannot begin."""
    with pytest.raises(ConfigError, match="nothing to work with") as caught:
        evaluate_all(jobs.broken, 1, range(4), workers=2)
    assert (caught.value.where, caught.value.do) == ("context", "give something")
    with pytest.raises(RuntimeError, match="odd"):
        evaluate_all(jobs.broken, 0, range(4), workers=2)
    with pytest.raises(EnvironmentProblem, match="exit code 9"):
        evaluate_all(jobs.stillborn, None, range(4), workers=2)


def test_progress_is_told_and_never_goes_back() -> None:
    """Lost: a bar that jumps, or one that never ends."""
    seen: list[tuple[int, int]] = []
    processes: set[int] = set()

    def watch(finished: int, at: int, pids: Sequence[int]) -> None:
        seen.append((finished, at))
        processes.update(pids)

    evaluate_all(jobs.squares, 0, [4, 4, 4], workers=1, watch=watch)
    assert [pair for pair in seen if pair[1]] == [(n, at) for n in range(3) for at in range(1, 5)]
    assert seen[-1] == (3, 0)
    assert len(processes) == 1


def test_a_watcher_that_raises_leaves_no_process() -> None:
    """Lost: processes that go on computing after Ctrl-C."""
    processes: list[int] = []

    def watch(finished: int, at: int, pids: Sequence[int]) -> None:
        processes.extend(pids)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_all(jobs.squares, 0, range(100), workers=3, watch=watch)
    assert len(set(processes)) == 3
    assert all(gone(pid) for pid in processes)


def test_workers_hold_only_what_they_import() -> None:
    """Lost: eight times the memory of whatever the caller has loaded."""
    import pandas as pd

    (found,) = evaluate_all(jobs.imports, None, [0], workers=1)
    assert pd.__name__ not in found
    assert "pyarrow" not in found
    assert "numpy" not in found
    assert "tests.research.jobs" in found


def test_the_surroundings_of_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lost: Ctrl-C as a traceback of every worker; sets that iterate differently in each; another working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    first, second = evaluate_all(jobs.environment, None, [0, 1], workers=1)
    assert first == second == {"ignores": True, "cwd": str(tmp_path), "hash": "0", "files": first["files"]}


PRINTING = """
from apex.research.executor import evaluate_all
from tests.research import jobs
import builtins
builtins.GUARD = getattr(builtins, "GUARD", 0) + 1
assert builtins.GUARD == 1
print(evaluate_all(jobs.moody, None, ["print", "x"], workers=1))
"""


def test_a_script_needs_no_guard_and_stdout_stays_its_own(tmp_path: Path) -> None:
    """Lost: a script that starts itself again in every worker; JSON on stdout with a strategy's prints in it."""
    (tmp_path / "script.py").write_text(PRINTING, encoding="utf-8")
    done = subprocess.run([sys.executable, str(tmp_path / "script.py")], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
    assert done.stdout == "['print', 'x']\n"
    assert done.stderr == "printed by a worker\n"


@pytest.mark.parametrize("workers", [0, -1, 257])
def test_a_number_of_workers_that_cannot_be(workers: int) -> None:
    """Lost: a word before the machine stands still."""
    with pytest.raises(ValueError, match="1 to 256"):
        evaluate_all(jobs.squares, 0, [1], workers=workers)


def test_a_result_that_cannot_be_sent_is_a_failure() -> None:
    """Lost: a job that waits without end for a result that never comes."""
    found: list[Any] = evaluate_all(jobs.moody, None, ["a", "unsendable", "b"], workers=1)
    assert (found[0], found[1].code, found[2]) == ("a", "internal", "b")
    assert "lambda" in found[1].what
