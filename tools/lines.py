"""Counts which lines of the compiled core the suite executes: make coverage.

Lines by Cython's tracing, through the plugin of coverage.py; it cannot count branches, so gcov's figures of the
generated C stand beside, the code that Cython adds included. A traced line takes the GIL, so tests that only repeat
with more numbers are left out. The figures go to docs/results/coverage.json; exit code 1 below the target.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.long import commit  # noqa: E402

COPY = ROOT / "build" / "trace"
DATA = COPY / "build" / "coverage"
RESULTS = ROOT / "docs" / "results" / "coverage.json"
LEAST = 95.0
SECONDS_MAX = 1800
TESTS = ("tests/core", "tests/importers", "tests/golden", "tests/app/test_replay_command.py",
         "tests/app/test_replay_limits.py", "tests/app/test_generate.py")
TOO_MUCH = ("test_random_updates_equal_a_dict", "test_random_traffic", "test_scripted_traffic", "test_much_random",
            "test_any_seed_and_chunk", "600000", "recording", "test_compiled_strategy", "no_byte_beyond",
            "test_sanitizer", "test_random_fills", "test_damaged_recordings", "at_length", "536870912",
            "test_random_orders")
"""Parts of names of tests that repeat what shorter ones do."""
CONFIG = f"""[run]
plugins = Cython.Coverage
include = apex/_core/*
data_file = {DATA}
core = ctrace
"""


def measured(config: Path) -> None:
    """Run the tests, a process for each file, and join what they executed."""
    DATA.parent.mkdir(exist_ok=True)
    for old in DATA.parent.glob("coverage*"):
        old.unlink()
    for old in COPY.rglob("*.gcda"):
        old.unlink()
    files = [path for name in TESTS for path in
             ([COPY / name] if name.endswith(".py") else sorted((COPY / name).glob("test_*.py")))]
    environment = {**os.environ, "APEX_BUILD": "trace", "APEX_HYPOTHESIS": "quick"}
    for path in files:
        command = [sys.executable, "-m", "coverage", "run", f"--rcfile={config}", "--parallel-mode", "-m", "pytest",
                   "-q", "-p", "no:cacheprovider", "-k", " and ".join(f"not {part}" for part in TOO_MUCH), str(path)]
        done = subprocess.run(command, cwd=COPY, env=environment, capture_output=True, text=True, check=False,
                              timeout=SECONDS_MAX)
        tail = (done.stdout.strip().splitlines() or [""])[-1]
        print(f"{path.relative_to(COPY)}: {tail}", flush=True)
        if done.returncode not in (0, 5):
            sys.exit(f"coverage: the suite must pass on the traced build\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    subprocess.run([sys.executable, "-m", "coverage", "combine", f"--rcfile={config}", "-q"], cwd=COPY, check=True)


def lines(config: Path) -> dict[str, dict[str, Any]]:
    """Statements, percent and missing lines, by file of the core."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        subprocess.run([sys.executable, "-m", "coverage", "json", f"--rcfile={config}", "-q", "-o", out.name], cwd=COPY,
                       check=True)
        files = json.loads(Path(out.name).read_text(encoding="utf-8"))["files"]
    return {name: {"lines": entry["summary"]["num_statements"], "executed": entry["summary"]["covered_lines"],
                   "missing": entry["missing_lines"]}
            for name, entry in sorted(files.items()) if name.endswith((".pyx", ".pxd", ".pxi"))
            and entry["summary"]["num_statements"]}


def generated() -> dict[str, dict[str, float]]:
    """gcov's percent of lines and of branches taken at least once, by module, of the generated C."""
    found = {}
    for path in sorted(COPY.glob("build/temp.*/apex/_core/**/*.gcda")):
        done = subprocess.run(["gcov", "-b", "-n", str(path)], cwd=COPY, capture_output=True, text=True, check=False)
        for block in done.stdout.split("File '")[1:]:
            if block.partition("'")[0].endswith(f"{path.stem}.c"):
                part = {key: re.search(rf"{words}:([\d.]+)%", block) for key, words in
                        (("lines", "Lines executed"), ("branches", "Taken at least once"))}
                found[path.stem] = {key: float(match[1]) for key, match in part.items() if match}
    return found


def untouched() -> list[str]:
    """Sources of the core, included ones too: coverage does not know those that no test executed."""
    return [path.relative_to(COPY).as_posix() for path in sorted((COPY / "apex" / "_core").rglob("*.p[yx][xi]"))
            if path.suffix in (".pyx", ".pxi")]


def main() -> int:
    """Measure, tell, and keep the figures."""
    if subprocess.run([sys.executable, "-c", "import coverage"], check=False, capture_output=True).returncode:
        sys.exit("coverage: coverage.py is not installed: pip install coverage, or make lock and make build")
    config = DATA.with_name("rc.ini")
    config.parent.mkdir(exist_ok=True)
    config.write_text(CONFIG, encoding="utf-8")
    if "--report" not in sys.argv[1:]:
        measured(config)
    found = lines(config)
    if absent := set(untouched()) - set(found):
        sys.exit(f"coverage: no test executed {', '.join(sorted(absent))}")
    total, done = sum(f["lines"] for f in found.values()), sum(f["executed"] for f in found.values())
    beside = generated()
    for name, entry in found.items():
        c = beside.get(Path(name).stem, {}) if name.endswith(".pyx") else {}
        print(f"{name:42} {entry['executed']:5} of {entry['lines']:5} {entry['executed'] / entry['lines']:7.1%}"
              + (f"   generated C: {c['lines']:.1f} % of lines, {c['branches']:.1f} % of branches" if c else ""))
    print(f"{done} of {total} lines of the compiled core executed: {done / total:.1%}, at least {LEAST} % are wanted")
    document = {"commit": commit(), "percent": round(100 * done / total, 2), "lines": total, "executed": done,
                "files": found, "generated_c": beside}
    RESULTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0 if 100 * done >= LEAST * total else 1


if __name__ == "__main__":
    sys.exit(main())
