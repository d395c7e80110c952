"""Runs the suite against each planted fault and keeps which were found: make mutants.

Each mutant has the tests of its part, the quickest first, and stops at the first that fails; one that passes them gets
the wider tests. A line of docs/results/mutants.jsonl is written after each; it holds as long as the sources and the
tests that decided are the same, so that an interrupted run goes on where it stopped. Exit code 1 when too few are
killed.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from tools.long import commit  # noqa: E402
from tools.mutants.plant import Mutant, mutants  # noqa: E402

COPY = ROOT / "build" / "mutants"
RESULTS = ROOT / "docs" / "results" / "mutants.jsonl"
LEAST = 0.85
"""Share of the mutants that must be killed, those argued to be equivalent left out."""
SECONDS_MAX = 600
"""A run that takes longer hangs by its mutant: killed."""
MEMORY_MAX = 6 << 30
EDGES = "tests/core/test_edges.py"
MATCHING = (EDGES, "tests/core/test_strict.py", "tests/core/test_matching.py")
TESTS = {
    "book.pyx": (EDGES, "tests/core/test_book.py"), "book.pxd": (EDGES, "tests/core/test_book.py"),
    "risk.pyx": (EDGES, "tests/core/test_risk.py"), "ledger.pyx": (EDGES, "tests/core/test_ledger.py"),
    "simvenue.pyx": MATCHING, "strict.pxi": MATCHING,
}
PARTS = {
    "book": ("book.pyx", "book.pxd", "bits.h"),
    "risk": ("risk.pyx", "risk.pxd", "ledger.pxd", "money.h"),
    "ledger": ("ledger.pyx", "ledger.pxd", "money.h"),
    "simvenue": ("simvenue.pyx", "simvenue.pxd", "strict.pxi", "book.pyx", "book.pxd"),
}
PARTS["strict"] = PARTS["simvenue"]
"""The sources that decide what a mutant of a file does."""
WIDER = ("tests/core/test_engine.py", "tests/core/test_why.py")


def digest(*tops: Path, more: str = "") -> str:
    """A digest of the sources in folders and files."""
    found = hashlib.sha256(more.encode())
    paths = {path for top in tops for path in ([top] if top.is_file() else top.rglob("*"))}
    for path in sorted(paths):
        if path.suffix in {".py", ".pyx", ".pxd", ".pxi", ".h"} and path.is_file():
            found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:12]


@functools.cache
def core_of(row: Mutant) -> str:
    """What a mutant is: the sources of its part and its row."""
    return digest(*(ROOT / "apex" / "_core" / name for name in PARTS[row.file.partition(".")[0]]), more=str(tuple(row)))


@functools.cache
def tests_of(by: str) -> str:
    """The tests that decided: the file of the one that failed, or all; and the oracles."""
    tests = ROOT / "tests"
    return digest(tests / "oracles", ROOT / by.partition("::")[0] if by else tests / "core")


def _limits() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MAX, MEMORY_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run_tests(number: int, files: tuple[str, ...]) -> tuple[str, str]:
    """(outcome, test that told) of one process of pytest: passed, killed, crashed or hung."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--tb=no", "-rfE", *files]
    environment = {**os.environ, "APEX_MUTANT": str(number), "APEX_BUILD": "mutants", "APEX_HYPOTHESIS": "quick"}
    try:
        done = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True, check=False,
                              timeout=SECONDS_MAX, preexec_fn=_limits)
    except subprocess.TimeoutExpired:
        return "hung", files[0]
    if done.returncode == 0:
        return "passed", ""
    found = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode < 0:
        return "crashed", files[0]
    if found is None:
        sys.exit(f"mutant {number}: pytest ended with {done.returncode} and no failed test\n{done.stdout}{done.stderr}")
    return "killed", found[1]


def run_one(row: Mutant) -> dict[str, Any]:
    """The fate of one mutant as a row."""
    began = time.monotonic()
    own = TESTS[row.file]
    outcome, by = run_tests(row.number, own)
    if outcome == "passed":
        outcome, by = run_tests(row.number, WIDER)
    return {"mutant": row.number, "outcome": "survived" if outcome == "passed" else outcome, "by": by,
            "seconds": round(time.monotonic() - began, 1)}


def known(rows: list[Mutant]) -> dict[int, dict[str, Any]]:
    """Results that still hold, by number: the same sources, and the same tests that decided."""
    if not RESULTS.exists():
        return {}
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    found, by_number = {}, {row.number: row for row in rows}
    for result in (json.loads(line) for line in lines if line.strip()):
        row = by_number.get(result["mutant"])
        if row and (result["core"], result["tests"]) == (core_of(row), tests_of(result["by"])):
            found[row.number] = result
    return found


def verdict(rows: list[Mutant], found: dict[int, dict[str, Any]]) -> int:
    """Tell how many were killed; 1 when too few, or when one that is argued to be equivalent was."""
    counted = [row for row in rows if not row.equivalent]
    killed = [row for row in counted if found[row.number]["outcome"] != "survived"]
    for row in rows:
        if found[row.number]["outcome"] == "survived":
            print(f"survived: {row.number} {row.file}: {row.changed}"
                  + (f"\n    equivalent: {row.equivalent}" if row.equivalent else ""))
    wrong = [row for row in rows if row.equivalent and found[row.number]["outcome"] != "survived"]
    for row in wrong:
        print(f"mutant {row.number} is said to be equivalent, but {found[row.number]['by']} tells it apart")
    print(f"{len(killed)} of {len(counted)} mutants killed ({len(killed) / len(counted):.0%}), "
          f"{len(rows) - len(counted)} equivalent; at least {LEAST:.0%} are wanted")
    return 1 if wrong or len(killed) < LEAST * len(counted) else 0


def main() -> int:
    """Run the mutants that have no result yet, the sources without a fault first."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", type=int, nargs="*", help="only these mutants, and whatever they gave before")
    chosen = parser.parse_args().numbers
    rows = [row for row in mutants() if not chosen or row.number in chosen]
    head = commit()
    found = {} if chosen else known(rows)
    missing = [row for row in rows if row.number not in found]
    if missing:
        files = tuple(dict.fromkeys([*(name for row in missing for name in TESTS[row.file]), *WIDER]))
        outcome, by = run_tests(0, files)
        if outcome != "passed":
            sys.exit(f"mutants: without any fault {by} is {outcome}; nothing can be said")
    for row in missing:
        result = run_one(row)
        result |= {"core": core_of(row), "tests": tests_of(result["by"]), "commit": head}
        found[row.number] = result
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as out:
            out.write(json.dumps(result) + "\n")
        print(f"{result['outcome']:9}{result['seconds']:8.1f} s  {row}  {result['by']}", flush=True)
    return verdict(rows, found)


if __name__ == "__main__":
    sys.exit(main())
