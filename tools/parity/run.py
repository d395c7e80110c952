"""Fills against hftbacktest 2.4.4: the same markets and orders through both, every fill, cancel and position compared.

    tools/parity/run.py [--full] [--seeds A:B] [--keep]

It makes the parity environment (.venv-parity, from tools/parity/requirements.txt) when that is absent, replays random
markets and recordings in hftbacktest there and in ours here, prints one table and exits 1 on any difference. The
recordings of APEX_DATA are left out aloud when absent; APEX_DATA_REQUIRED=1 makes that a failure.
PARITY_PYTHON names the interpreter of the environment (3.11 to 3.13).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import msgspec  # noqa: E402
import numpy as np  # noqa: E402

from benchmarks.orders import as_table  # noqa: E402
from tests.parity import orders as by_order  # noqa: E402
from tests.parity.cases import MS, QUEUES, Case, Maker, grid, recorded  # noqa: E402
from tools.parity.compare import Compared, compare, convert, import_npz  # noqa: E402

ENVIRONMENT = ROOT / ".venv-parity"
REQUIREMENTS = ROOT / "tools" / "parity" / "requirements.txt"
SCRIPT = ROOT / "tools" / "parity" / "run_hftbacktest.py"
LIMITS = ROOT / "benchmarks" / "maker.toml"
EVERY = Path(os.environ.get("APEX_DATA", ROOT.parent / "shared" / "data"))
DATA = EVERY / "ticks" / "binance"
PYTHONS = ("python3.13", "python3.12", "python3.11")
EXIT_DIFFERENT, EXIT_ENVIRONMENT = 1, 4
SHOWN = 5

#: recordings: name -> (files of the chain, tick, lot); the first is the short form's
RECORDINGS = {
    "btcusdt_20240808": (("usdm_btcusdt_20240808.gz",), "0.1", "0.001"),
    "btcusdt_20240718": (("usdm_btcusdt_20240718.gz", "usdm_btcusdt_20240719.gz"), "0.1", "0.001"),
    "ethusdt_20240718": (("usdm_ethusdt_20240718.gz", "usdm_ethusdt_20240719.gz"), "0.01", "0.001"),
}
#: recordings of orders, by the format they are imported as
ORDERS = {"amzn": ("lobster", "l3/lobster/LOBSTER_SampleFile_AMZN_2012-06-21_5.zip")}
#: the market maker: half spread in ticks, interval, both latencies
MAKERS = ((5, 100 * MS, 5 * MS), (0, 100 * MS, 5 * MS), (2, 50 * MS, 5 * MS), (50, 250 * MS, 25 * MS))


class Form(msgspec.Struct, frozen=True):
    """How much is compared."""

    seeds: range
    events: int
    orders: int
    recordings: tuple[str, ...]
    recorded_orders: int
    recorded_seeds: int


SHORT = Form(range(1, 9), 2_000, 120, ("btcusdt_20240808",), 3_300, 1)
FULL = Form(range(1, 61), 4_000, 240, tuple(RECORDINGS), 4_000, 4)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def interpreter() -> str:
    """A Python for which the pinned numpy has wheels."""
    if chosen := os.environ.get("PARITY_PYTHON"):
        return chosen
    if sys.version_info < (3, 14):
        return getattr(sys, "_base_executable", sys.executable)
    return next((found for name in PYTHONS if (found := shutil.which(name))), sys.executable)


def environment() -> Path:
    """The parity environment's Python, made when it is absent or its requirements have changed."""
    python = ENVIRONMENT / "bin" / "python"
    done = ENVIRONMENT / ".done"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if done.exists() and done.read_text(encoding="ascii") == wanted and python.exists():
        return python
    say(f"parity: new environment {ENVIRONMENT.name} of {REQUIREMENTS.relative_to(ROOT)}")
    subprocess.run([interpreter(), "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    subprocess.run([str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r",
                    str(REQUIREMENTS)], check=True)
    done.write_text(wanted, encoding="ascii")
    return python


def recordings(form: Form, folder: Path, python: Path) -> list[Case]:
    """Cases of the recordings that are here: schedules over all queue models, and the market maker."""
    made: list[Case] = []
    for name in form.recordings:
        files, tick, lot = RECORDINGS[name]
        missing = [file for file in files if not (DATA / file).exists()]
        if missing:
            if os.environ.get("APEX_DATA_REQUIRED") == "1":
                raise SystemExit(f"parity: recordings are missing: {', '.join(missing)}")
            say(f"parity: {name} is left out: set APEX_DATA to the folder of recordings")
            continue
        npz = [folder / f"{Path(file).stem}.npz" for file in files]
        for file, out in zip(files, npz, strict=True):
            subprocess.run([str(python), str(SCRIPT), "convert", str(DATA / file), str(out)], check=True,
                           stdout=subprocess.DEVNULL)
        tape = folder / f"{name}.tape"
        maker = Case(name="", kind="maker", npz=[str(path) for path in npz], folder="", tick=tick, lot=lot,
                     queue="risk-averse", partial=False, tape=str(tape))
        import_npz(maker, tape, maker.npz)
        for seed in range(1, form.recorded_seeds + 1):
            made += recorded(folder, f"{name}-{seed}", npz, tape, (tick, lot), seed, form.recorded_orders)
        made += makers(folder, name, maker)
    return made


def order_recordings(form: Form, folder: Path) -> list[Case]:
    """Cases of the recordings of orders that are here, for the fifo queue."""
    made: list[Case] = []
    for name, (kind, file) in ORDERS.items():
        if not (EVERY / file).exists():
            if os.environ.get("APEX_DATA_REQUIRED") == "1":
                raise SystemExit(f"parity: a recording is missing: {file}")
            say(f"parity: {name} is left out: set APEX_DATA to the folder of recordings")
            continue
        tape, npz = folder / f"{name}-orders.tape", folder / f"{name}.npz"
        convert([kind, str(EVERY / file), "--out", str(tape), "--json"])
        np.savez(npz, data=as_table(tape))
        for seed in range(1, form.recorded_seeds + 1):
            made += by_order.recorded(folder, f"{name}-{seed}", tape, npz, seed, form.recorded_orders)
    return made


def makers(folder: Path, name: str, common: Case) -> list[Case]:
    """The market maker of the benchmarks, some ways."""
    made: list[Case] = []
    for half, interval, latency in MAKERS:
        out = folder / f"{name}-maker-{half}-{interval // MS}ms"
        out.mkdir(parents=True, exist_ok=True)
        made.append(msgspec.structs.replace(
            common, name=out.name, folder=str(out), maker=Maker(half, interval), order_latency=latency,
            response_latency=latency))
    return made


def check(cases: list[Case], folder: Path, python: Path, *, keep: bool) -> list[Compared]:
    """Replay the cases in hftbacktest, one process for all, and compare each as soon as it is done."""
    listed = folder / "cases.json"
    listed.write_bytes(msgspec.json.encode(cases))
    found: list[Compared] = []
    with (folder / "hftbacktest.log").open("wb") as log, subprocess.Popen(
            [str(python), str(SCRIPT), "cases", str(listed)], stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            for case in cases:
                result = Path(case.folder) / "theirs.json"
                while not result.exists() and process.poll() is None:
                    time.sleep(0.02)
                if not result.exists():
                    raise SystemExit(f"parity: hftbacktest ended before {case.name}: see {log.name}")
                found.append(compare(case, LIMITS))
                if not found[-1].differences and not keep:
                    shutil.rmtree(case.folder)
        finally:
            if process.poll() is None and len(found) < len(cases):
                process.terminate()
    if process.returncode:
        raise SystemExit(f"parity: hftbacktest's process failed: see {log.name}")
    return found


COLUMNS = ("cases", "equal", "events", "orders", "fills", "maker_fills", "canceled", "expired", "dropped", "cut",
           "no_price", "undercounted")


def table(cases: list[Case], found: list[Compared]) -> str:
    """One line for each kind, queue model, latency and fill model, and the sum."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for case, result in zip(cases, found, strict=True):
        latency = "recorded" if case.latency else "constant"
        key = (case.kind, case.queue, latency, "partial" if case.partial else "whole")
        line = [1, int(not result.differences), result.rows, result.orders, result.fills, result.maker_fills,
                result.canceled, result.expired, result.dropped, result.cut, result.no_price, result.undercounted]
        for at in (key, (case.kind, "all", "", "")):
            groups[at] = [a + b for a, b in zip(groups.get(at, [0] * len(COLUMNS)), line, strict=True)]
    head = f"{'inputs':9} {'queue':16} {'latency':9} {'fills':8}" + "".join(f"{name:>13}" for name in COLUMNS)
    models = (*QUEUES, by_order.QUEUE, "all")
    order = sorted(groups, key=lambda key: (key[0], models.index(key[1]), key))
    lines = [f"{a:9} {b:16} {c:9} {d:8}" + "".join(f"{n:13,}" for n in groups[a, b, c, d]) for a, b, c, d in order]
    return "\n".join([head, "-" * len(head), *lines])


NOTES = """\
Allowed, being defects of hftbacktest 2.4.4 (methods of the comparison: tools/parity/compare.py):
dropped       orders taken out, since it stops with an error when an order whose rest was executed exactly is hit again
cut           runs where such an order was not found: compared up to the error
no_price      market orders that it filled at the price of an empty side, 2^63 - 1; ours expire
undercounted  runs with partial fills in which its strategy side lost quantity; the exchange's side is compared"""


def distinct(cases: list[Case], found: list[Compared]) -> int:
    """Random events, each market counted once though it is replayed four times."""
    markets: dict[str, int] = {}
    for case, result in zip(cases, found, strict=True):
        if case.kind in ("random", "orders"):
            markets[case.tape] = max(markets.get(case.tape, 0), result.rows)
    return sum(markets.values())


def run(form: Form, folder: Path, *, keep: bool = False) -> tuple[list[Case], list[Compared]]:
    """Make all cases of a form and compare them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    python = environment()
    began = time.monotonic()
    cases = recordings(form, folder, python) + order_recordings(form, folder) if form.recordings else []
    for seed in form.seeds:
        cases += grid(folder, seed, form.events, form.orders)
        cases += by_order.grid(folder, seed, form.events, form.orders)
    say(f"parity: {len(cases)} cases, seeds {form.seeds.start} to {form.seeds.stop - 1}, made in "
        f"{time.monotonic() - began:.0f} s")
    return cases, check(cases, folder, python, keep=keep)


def report(form: Form, cases: list[Case], found: list[Compared]) -> dict[str, Any]:
    """The figures of a run, for the record."""
    total = {name: sum(getattr(r, name) for r in found) for name in COLUMNS[3:]}
    return {"seeds": [form.seeds.start, form.seeds.stop - 1], "cases": len(cases),
            "equal": sum(not r.differences for r in found), "random_events": distinct(cases, found), **total,
            "differences": {r.name: r.differences[:SHOWN] for r in found if r.differences}}


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare fills with hftbacktest 2.4.4.")
    parser.add_argument("--full", action="store_true", help="more seeds, all recordings; else the short form of CI")
    parser.add_argument("--seeds", metavar="A:B", help="seeds A to B of the random markets")
    parser.add_argument("--keep", action="store_true", help="keep the folders of equal cases too")
    args = parser.parse_args(argv)
    form = FULL if args.full else SHORT
    if args.seeds:
        first, _, last = args.seeds.partition(":")
        form = msgspec.structs.replace(form, seeds=range(int(first), int(last or first) + 1))
    folder = ROOT / "build" / "parity" / ("full" if args.full else "short")
    began = time.monotonic()
    try:
        cases, found = run(form, folder, keep=args.keep)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"parity: {error}")
        return EXIT_ENVIRONMENT
    numbers = report(form, cases, found)
    (folder / "parity.json").write_text(json.dumps(numbers, indent=1), encoding="utf-8")
    sys.stdout.write(table(cases, found) + "\n" + NOTES + "\n")
    different = [r for r in found if r.differences]
    for result in different[:SHOWN]:
        sys.stdout.write(f"\n{result.name}: {len(result.differences)} differences, in {folder / result.name}\n")
        sys.stdout.write("\n".join(result.differences[:SHOWN]) + "\n")
    sys.stdout.write(
        f"\n{numbers['equal']} of {len(cases)} cases equal: {numbers['orders']:,} orders, {numbers['fills']:,} fills, "
        f"{numbers['random_events']:,} random events of seeds {form.seeds.start} to {form.seeds.stop - 1}; "
        f"{time.monotonic() - began:.0f} s\n")
    return EXIT_DIFFERENT if different else 0


if __name__ == "__main__":
    sys.exit(main())
