"""`apex doctor`: what this machine and this installation are, and what on them is broken."""

from __future__ import annotations

import argparse
import errno
import importlib
import itertools
import os
import platform
import shutil
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apex
from apex.app.console import Outcome, pairs, table
from apex.domain.errors import EnvironmentProblem

if TYPE_CHECKING:
    from rich.console import Console

NEEDED = ("numpy", "pandas", "pyarrow", "msgspec", "orjson", "rich", "zstandard")
OPTIONAL = ("cython", "scipy", "lightgbm", "ccxt", "uvloop", "picows", "sortedcontainers", "clickhouse-connect",
            "pytest-benchmark")
PYTHON_LEAST = (3, 11)
FREE_LEAST = 1 << 30
PROBE_BYTES = 64 << 20
YEAR_LEAST = 2024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--path", default=".", metavar="DIR", help="the disk to measure (the working directory)")


def machine() -> dict[str, Any]:
    """Processor, memory and system."""
    lines = _proc("/proc/cpuinfo")
    model = next((v for k, v in lines if k == "model name"), platform.processor() or platform.machine())
    memory = dict(_proc("/proc/meminfo"))

    def size(key: str) -> int | None:
        return int(memory[key].split()[0]) * 1024 if key in memory else None

    return {
        "cpu": model, "architecture": platform.machine(), "cores": os.cpu_count(),
        "cores_usable": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": size("MemTotal"), "memory_free_bytes": size("MemAvailable"),
        "system": platform.platform(), "python": platform.python_version(),
        "implementation": platform.python_implementation(), "executable": sys.executable,
    }


def _proc(path: str) -> list[tuple[str, str]]:
    """`name : value` lines of a file in /proc; none where there is no such file."""
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [(k.strip(), v.strip()) for k, _, v in (line.partition(":") for line in text.splitlines()) if v]


def build() -> dict[str, Any]:
    """Each compiled module of the core: present and importable, or what is wrong; and the name of the build."""
    core = Path(importlib.import_module("apex._core").__file__ or "").parent
    modules = {}
    for face in sorted(core.rglob("*.pyi")):
        name = "apex._core." + ".".join(face.relative_to(core).with_suffix("").parts)
        try:
            importlib.import_module(name)
            modules[name] = "ok"
        except ImportError as error:
            modules[name] = f"broken: {error}"
    events = sys.modules.get("apex._core.events")
    return {"apex": apex.__version__, "build": getattr(events, "BUILD", None), "modules": modules}


def versions(names: tuple[str, ...]) -> dict[str, str | None]:
    """Installed version of each distribution, None when absent."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def clock() -> dict[str, Any]:
    """Resolution and cost of the clocks, whether wall and monotonic time run alike, and what disciplines the clock."""
    stamps = [time.time_ns() for _ in range(20_000)]
    steps = [b - a for a, b in itertools.pairwise(stamps) if b > a]
    wall, steady = time.time_ns(), time.monotonic_ns()
    time.sleep(0.05)
    drift = (time.time_ns() - wall) - (time.monotonic_ns() - steady)
    source = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    return {
        "utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "year": time.gmtime().tm_year,
        "step_ns": min(steps) if steps else None,
        "call_ns": (stamps[-1] - stamps[0]) / (len(stamps) - 1),
        "went_back": any(b < a for a, b in itertools.pairwise(stamps)),
        "wall_minus_monotonic_ns": drift,
        "source": source.read_text(encoding="ascii").strip() if source.exists() else None,
        "synchronised": Path("/run/systemd/timesync/synchronized").exists() or _kernel_synchronised(),
    }


def _kernel_synchronised() -> bool | None:
    """What the kernel says of its clock (adjtimex without changing anything); None where it does not say."""
    import ctypes

    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return None
    unsynchronised = 5
    return None if state < 0 else state != unsynchronised


def disk(path: Path) -> dict[str, Any]:
    """Free space, write speed with sync included, and the time of a small sync."""
    usage = shutil.disk_usage(path)
    size = min(PROBE_BYTES, usage.free // 4)
    block = os.urandom(1 << 20)
    with tempfile.TemporaryFile(dir=path, buffering=0) as probe:
        began = time.perf_counter()
        for _ in range(max(1, size >> 20)):
            probe.write(block)
        os.fsync(probe.fileno())
        seconds = time.perf_counter() - began
        syncs = []
        for _ in range(5):
            probe.write(block[:4096])
            began = time.perf_counter()
            os.fsync(probe.fileno())
            syncs.append(time.perf_counter() - began)
    return {"path": str(path.resolve()), "free_bytes": usage.free, "total_bytes": usage.total,
            "write_bytes_per_second": int(max(1, size >> 20) * len(block) / seconds),
            "sync_seconds": sorted(syncs)[2]}


def _disk(path: Path) -> dict[str, Any]:
    try:
        return disk(path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            raise EnvironmentProblem(f"cannot measure the disk: {error.strerror}", str(path),
                                     "Name an existing folder") from error
        return {"path": str(path), "error": error.strerror}


def problems(found: dict[str, Any]) -> list[dict[str, str]]:
    """What is broken, and what to do about it."""
    bad: list[tuple[str, str, str]] = []
    if sys.version_info < PYTHON_LEAST:
        bad.append(("python", f"Python {found['machine']['python']} is too old", "Install Python 3.11 or newer"))
    if sys.byteorder != "little":
        bad.append(("machine", "the machine is not little-endian", "Use x86-64 or AArch64"))
    for name, state in found["build"]["modules"].items():
        if state != "ok":
            bad.append(("build", f"{name} is {state}", "Build again: make build"))
    for name, version in found["dependencies"].items():
        if version is None:
            bad.append(("dependencies", f"{name} is not installed", "Install again: make build"))
    times, place = found["clock"], found["disk"]
    if times["went_back"]:
        bad.append(("clock", "the wall clock went back while it was read", "Check the time service of this machine"))
    if times["year"] < YEAR_LEAST:
        bad.append(("clock", f"the clock says {times['utc']}", "Set the clock"))
    if "error" in place:
        bad.append(("disk", f"cannot write to {place['path']}: {place['error']}", "Choose a folder you may write to"))
    elif place["free_bytes"] < FREE_LEAST:
        bad.append(("disk", f"less than 1 GiB is free at {place['path']}", "Free space, or work on another disk"))
    return [{"where": where, "what": what, "do": do} for where, what, do in bad]


def run(args: argparse.Namespace) -> Outcome:
    """Examine and report; exit code 4 if anything is broken."""
    found: dict[str, Any] = {
        "machine": machine(), "build": build(), "dependencies": versions(NEEDED), "optional": versions(OPTIONAL),
        "clock": clock(), "disk": _disk(Path(args.path)),
    }
    found["problems"] = problems(found)
    code = EnvironmentProblem.exit_code if found["problems"] else 0
    return Outcome(found, lambda console: _text(found, console), code)


def _gib(size: int | None) -> str:
    return "-" if size is None else f"{size / (1 << 30):,.1f} GiB"


def _text(found: dict[str, Any], console: Console) -> None:
    box, times, place, made = found["machine"], found["clock"], found["disk"], found["build"]
    broken = [name for name, state in made["modules"].items() if state != "ok"]
    rows: list[tuple[str, object]] = [
        ("processor", f"{box['cpu']}, {box['cores_usable']} of {box['cores']} cores, {box['architecture']}"),
        ("memory", f"{_gib(box['memory_bytes'])}, {_gib(box['memory_free_bytes'])} available"),
        ("system", box["system"]), ("python", f"{box['implementation']} {box['python']} ({box['executable']})"),
        ("apex", f"{made['apex']}, {made['build'] or 'not built'}"),
        ("compiled modules", f"{len(made['modules']) - len(broken)} of {len(made['modules'])} usable"),
        ("clock", f"{times['utc']}, {times['source'] or 'unknown source'}, "
                  f"{'synchronised' if times['synchronised'] else 'not known to be synchronised'}"),
        ("clock step and call", f"{times['step_ns']} ns, {times['call_ns']:.0f} ns"),
    ]
    if "error" not in place:
        rows += [("disk", f"{_gib(place['free_bytes'])} of {_gib(place['total_bytes'])} free at {place['path']}"),
                 ("disk speed", f"{place['write_bytes_per_second'] / 1e6:,.0f} MB/s, "
                                f"a sync takes {place['sync_seconds'] * 1e3:.1f} ms")]
    console.print(pairs("", rows))
    console.print()
    console.print(table("Dependencies", ("name", "version"), [
        *((name, version or "MISSING") for name, version in found["dependencies"].items()),
        *((name, version or "absent, optional") for name, version in found["optional"].items())]))
    if found["problems"]:
        console.print(table("Broken", ("where", "what", "do"), [tuple(p.values()) for p in found["problems"]]))
    else:
        console.print("Nothing is broken.")
