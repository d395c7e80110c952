"""Results as pytest-benchmark's JSON, which its `compare` reads, with machine, build and commit."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from apex._core.events import BUILD, COMPILER_FLAGS
from apex.app.doctor_command import machine, versions
from benchmarks.model import Benchmark, Measured, Outcome

VERSION = "5.0.0"
"""Format of pytest-benchmark that is written."""
SECONDS = {"ns": 1e-9, "s": 1.0, "bytes": 1.0}
PACKAGES = ("numpy", "cython", "msgspec", "orjson")
PEERS = ("hftbacktest", "numba", "nautilus_trader", "sortedcontainers", "msgspec", "orjson")


def peer_versions(root: Path) -> dict[str, str]:
    """Versions of the peers as their environments pin them."""
    lines = [line for path in (root / "benchmarks" / "peers").glob("*.txt") for line in path.read_text("ascii").split()]
    pins = dict(line.split("==", 1) for line in lines if "==" in line)
    return {name: pins[name] for name in PEERS if name in pins}


def compiler() -> str | None:
    """First line of what the C compiler says of itself."""
    try:
        done = subprocess.run([os.environ.get("CC", "cc"), "--version"], capture_output=True, text=True, timeout=30,
                              check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.splitlines()[0]


def commit(root: Path) -> dict[str, Any]:
    """The commit, and whether files differ from it; unknown outside git."""
    def git(*words: str) -> str | None:
        try:
            done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=30,
                                  check=True)
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    changes = git("status", "--porcelain", "--untracked-files=no")
    return {"id": git("rev-parse", "HEAD") or "unknown", "time": git("show", "-s", "--format=%cI"),
            "branch": git("rev-parse", "--abbrev-ref", "HEAD"), "dirty": None if changes is None else bool(changes)}


def machine_info(root: Path) -> dict[str, Any]:
    """Machine, build and versions."""
    found = machine()
    return {
        "node": "", "processor": found["cpu"], "machine": platform.machine(), "system": platform.system(),
        "release": platform.release(), "python_compiler": platform.python_compiler(),
        "python_implementation": found["implementation"], "python_version": found["python"],
        "cpu": {"brand_raw": found["cpu"], "count": found["cores_usable"]}, "memory_bytes": found["memory_bytes"],
        "apex_build": BUILD, "compiler": compiler(), "compiler_flags": COMPILER_FLAGS,
        "packages": versions(PACKAGES), "peers": peer_versions(root),
    }


def machine_line(root: Path) -> str:
    """One line for people: processor, Python, build, commit."""
    info, at = machine_info(root), commit(root)
    changed = " with changes" if at["dirty"] else ""
    return (f"{info['processor']}, {info['cpu']['count']} cores; {info['python_implementation']} "
            f"{info['python_version']}; {info['apex_build']} {info['compiler_flags']}; commit {at['id'][:12]}{changed}")


def save(outcomes: list[Outcome], root: Path, path: Path | None, *, short: bool) -> Path:
    """Write the file; where it lies."""
    now = datetime.now(UTC)
    if path is None:
        path = root / "build" / "bench" / f"{now:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {
        "machine_info": machine_info(root), "commit_info": commit(root), "datetime": now.isoformat(),
        "version": VERSION,
        "benchmarks": [entry(outcome.benchmark, one, short) for outcome in outcomes for one in outcome.sides
                       if one.values],
    }
    path.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return path


def entry(benchmark: Benchmark, one: Measured, short: bool) -> dict[str, Any]:
    """A side of a benchmark as pytest-benchmark writes one: seconds of one item (bytes where the unit is bytes)."""
    name = f"{benchmark.name}{' ' if benchmark.case else ''}{benchmark.case}[{one.side.peer or 'apex'}]"
    scale = SECONDS[benchmark.unit]
    return {
        "group": f"{benchmark.name} {benchmark.case}".strip(), "name": name, "fullname": f"benchmarks/{name}",
        "params": {"peer": one.side.peer or "apex"}, "param": one.side.peer or "apex",
        "extra_info": {
            "unit": benchmark.unit, "item": benchmark.item, "clock": benchmark.clock, "short": short,
            "p99": None if one.p99 is None else one.p99 * scale, "samples": len(one.samples),
            "wall_median": statistics.median(one.walls) * scale, "facts": one.facts,
            **{name: statistics.median(values) * scale for name, values in one.notes.items()},
        },
        "options": {"disable_gc": False, "timer": benchmark.clock, "min_rounds": len(one.values), "max_time": 0.0,
                    "min_time": 0.0, "warmup": not one.side.fresh},
        "stats": stats([value * scale for value in one.values]),
    }


def stats(values: list[float]) -> dict[str, Any]:
    """pytest-benchmark's statistics of the rounds."""
    ordered = sorted(values)
    mean, median = statistics.fmean(ordered), statistics.median(ordered)
    spread = statistics.stdev(ordered) if len(ordered) > 1 else 0.0
    q1, _, q3 = statistics.quantiles(ordered, n=4, method="inclusive") if len(ordered) > 1 else [median] * 3
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)
    inside = [v for v in ordered if low <= v <= high]
    outside, far = len(ordered) - len(inside), sum(abs(v - mean) > spread for v in ordered)
    return {
        "min": ordered[0], "max": ordered[-1], "mean": mean, "stddev": spread, "rounds": len(ordered),
        "median": median, "iqr": q3 - q1, "q1": q1, "q3": q3, "iqr_outliers": outside, "stddev_outliers": far,
        "outliers": f"{far};{outside}", "ld15iqr": inside[0], "hd15iqr": inside[-1], "ops": 1 / mean if mean else 0.0,
        "total": sum(ordered), "iterations": 1, "data": values,
    }
