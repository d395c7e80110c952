"""The planted faults: each has its place in the sources as they are, and the count of those found is honest."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.mutants import run
from tools.mutants.plant import HEADER, Misplaced, Mutant, choice, mutants, plant, planted

CORE = Path(__file__).resolve().parents[2] / "apex" / "_core"
SOURCE = """cdef int one(int a) noexcept nogil:
    # a comment
    if a > 1:                                    # why
        a += 1
    elif a > 5:
        return 0
    return a


cdef int two(int a) noexcept nogil:
    cdef bint big = a > 1
    a += 1
    a += 1
    return a + big
"""


def row(inside: str, line: str, changed: str, number: int = 1) -> Mutant:
    return Mutant(number, "x.pyx", inside, line, changed)


def test_every_mutant_has_its_line(tmp_path: Path) -> None:
    """Lost otherwise: a list that no longer fits the code, found out weeks later by the long run."""
    core = tmp_path / "_core"
    shutil.copytree(CORE, core, ignore=shutil.ignore_patterns("*.so", "__pycache__", "mutant.h"))
    assert plant(core) == len(mutants()) >= 60
    text = "".join(path.read_text("utf-8") for path in core.rglob("*") if path.is_file())
    assert all(f"apex_mutant() == {mutant.number}" in text for mutant in mutants())
    assert (core / "mutant.h").read_text("utf-8") == HEADER


def test_a_mutant_changes_only_its_statement() -> None:
    """Lost otherwise: a fault that is another than the list says, or one that is awake without its number."""
    rows = [row("cdef int one(", "if a > 1:", "if a >= 1:"), row("cdef int one(", "a += 1", "pass", 2)]
    found = planted(SOURCE, rows)
    assert found.splitlines()[2:7] == [
        "    if (apex_mutant() == 1 and (a >= 1) or apex_mutant() != 1 and (a > 1)):",
        "        if apex_mutant() == 2:", "            pass", "        else:", "            a += 1"]
    assert found.splitlines()[7:] == SOURCE.splitlines()[4:]
    assert choice("cdef bint big = a > 1", [row("", "", "cdef bint big = a > 2")], "") == [
        "cdef bint big = (apex_mutant() == 1 and (a > 2) or apex_mutant() != 1 and (a > 1))"]


@pytest.mark.parametrize(("inside", "line", "changed", "words"), [
    ("cdef int one(", "if a > 2:", "if a > 3:", "stands 0 times"),
    ("cdef int two(", "a += 1", "pass", "stands 2 times"),
    ("cdef int two(", "if a > 1:", "if a > 2:", "stands 0 times"),
    ("cdef int three(", "a += 1", "pass", "begins 0 times"),
    ("cdef int one(", "if a > 1:", "while a > 1:", "another keyword"),
    ("cdef int one(", "if a > 1:", "a += 1", "no statement of the same form"),
])
def test_a_mutant_out_of_place_is_an_error(inside: str, line: str, changed: str, words: str) -> None:
    """Lost otherwise: a fault that is planted nowhere, or somewhere else, and counts as found."""
    with pytest.raises(Misplaced, match=words):
        planted(SOURCE, [row(inside, line, changed)])


def test_too_few_killed_is_a_failure() -> None:
    """Lost otherwise: a suite that finds less and less, and says so nowhere."""
    rows = [row("", "", "", number) for number in range(1, 21)] + [row("", "", "", 21)._replace(equivalent="because")]
    found = {number: {"outcome": "killed", "by": "t"} for number in range(1, 21)}
    found[21] = {"outcome": "survived", "by": ""}
    assert run.verdict(rows, found) == 0
    survivors = {number: {"outcome": "survived", "by": ""} for number in (1, 2, 3)}
    assert run.verdict(rows, found | survivors) == 0
    assert run.verdict(rows, found | survivors | {4: {"outcome": "survived", "by": ""}}) == 1
    assert run.verdict(rows, found | {21: {"outcome": "killed", "by": "t"}}) == 1


def test_no_test_counts_that_fails_without_a_fault(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Lost otherwise: a wider test that fails in the copy for reasons of its own, and "kills" each mutant it gets."""

    def run_tests(number: int, files: tuple[str, ...]) -> tuple[str, str]:
        return ("killed", run.WIDER[0]) if set(run.WIDER) & set(files) else ("passed", "")

    monkeypatch.setattr(run, "run_tests", run_tests)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "mutants.jsonl")
    monkeypatch.setattr("sys.argv", ["run.py"])
    with pytest.raises(SystemExit, match="nothing can be said"):
        run.main()
    assert not run.RESULTS.exists()
