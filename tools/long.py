"""Runs the tests marked `long`, a seed at a time, and keeps what came out: make long.

Each run of a test is a process of its own with APEX_SEED set. Results are lines of docs/results/long.jsonl; those of
the current commit are not repeated, so that an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results" / "long.jsonl"


def commit() -> str:
    """The commit that is checked out, with `+` when there are changes beside results."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"],
                              cwd=ROOT, capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no", "--", ":!docs/results"],
                               cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def long_tests() -> list[str]:
    """Names of the tests marked long."""
    found = subprocess.run([sys.executable, "-m", "pytest", "-m", "long", "--collect-only", "-q"], cwd=ROOT,
                           capture_output=True, text=True, check=False)
    if found.returncode not in (0, 5):
        sys.exit(found.stdout + found.stderr)
    names = [line for line in found.stdout.splitlines() if "::" in line]
    if not names:
        sys.exit("make long: pytest names no test marked long")
    return names


def finished(of: str) -> set[tuple[str, int]]:
    """(test, seed) that have passed at this commit."""
    if not RESULTS.exists():
        return set()
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {(r["test"], r["seed"]) for r in rows if r["commit"] == of and r["outcome"] == "passed"}


def run_one(test: str, seed: int) -> dict[str, Any]:
    """Run a test with a seed; its result as a row."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-m", "pytest", "-m", "long", "-q", "-p", "no:cacheprovider", test],
                          cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ, "APEX_SEED": str(seed)})
    outcome = "failed" if done.returncode else "skipped" if "skipped" in done.stdout else "passed"
    if outcome == "failed":
        print(done.stdout, done.stderr, sep="\n", file=sys.stderr)
    return {"test": test, "seed": seed, "outcome": outcome, "seconds": round(time.monotonic() - began, 1)}


def main() -> int:
    """Run every long test with every seed that has no result yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N of each test (3)")
    wanted = parser.parse_args().seeds
    head = commit()
    over, failed = finished(head), 0
    for seed in range(1, wanted + 1):
        for test in long_tests():
            if (test, seed) in over:
                continue
            machine = f"{platform.machine()} {platform.python_version()}"
            row = {"commit": head, **run_one(test, seed), "machine": machine}
            failed += row["outcome"] == "failed"
            RESULTS.parent.mkdir(parents=True, exist_ok=True)
            with RESULTS.open("a", encoding="utf-8") as out:
                out.write(json.dumps(row) + "\n")
            print(f"{row['outcome']:8}{row['seconds']:8.1f} s  seed {seed}  {test}", flush=True)
    print(f"{failed} failed; results in {RESULTS.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
