"""Fuzzes every decoder: only the documented error may come out, no crash, no hang.

    python tools/fuzz/run.py                           the short form: 20,000 payloads for a decoder
    python tools/fuzz/run.py --payloads 1000000        the long one; resumable, results in docs/results/fuzz.jsonl
    python tools/fuzz/run.py binance-usdm --seed 3 --only 1234        one payload again, and what it gives

A payload is decided by decoder, seed and number alone. Each stretch of payloads runs in a process of its own, which
notes the number that it is at; when it dies, that number is told. No payload may take longer than SECONDS_MAX.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import mmap
import os
import random
import subprocess
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("APEX_DATA", str(ROOT.parent / "shared" / "data"))

from tools.fuzz.payloads import payload  # noqa: E402
from tools.fuzz.targets import Target, targets  # noqa: E402
from tools.long import commit  # noqa: E402

RESULTS = ROOT / "docs" / "results" / "fuzz.jsonl"
SHORT = 20_000
STRETCH = 100_000
SECONDS_MAX = 20
NOTED = 8


def made(target: Target, seed: int, number: int) -> bytes:
    """The payload of a number."""
    return payload(target.samples, random.Random(zlib.crc32(target.name.encode()) << 64 | seed << 40 | number))


def stretch(target: Target, seed: int, first: int, count: int, note: Path) -> int:
    """Feed payloads, noting the number of each; how many were accepted."""
    accepted = 0
    with note.open("r+b") as file, mmap.mmap(file.fileno(), NOTED) as at:
        for number in range(first, first + count):
            if number % 64 == 0:
                faulthandler.dump_traceback_later(SECONDS_MAX, exit=True)
            at[:] = number.to_bytes(NOTED, "little")
            accepted += target.feed(made(target, seed, number))
    faulthandler.cancel_dump_traceback_later()
    return accepted


def run(target: Target, seed: int, first: int, count: int) -> tuple[int, str]:
    """A stretch in a process of its own: how many were accepted, and what went wrong."""
    with tempfile.NamedTemporaryFile() as note:
        note.write(bytes(NOTED))
        note.flush()
        command = [sys.executable, "-X", "faulthandler", __file__, target.name, "--seed", str(seed),
                   "--stretch", str(first), str(count), note.name]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        number = int.from_bytes(Path(note.name).read_bytes(), "little")
    if done.returncode == 0:
        return int(done.stdout), ""
    again = f"python tools/fuzz/run.py {target.name} --seed {seed} --only {number}"
    return 0, f"ended with {done.returncode} at payload {number}: {again}\n{done.stderr[-3000:]}"


def finished(of: str) -> set[tuple[str, int, int, int]]:
    """(decoder, seed, first, count) that came through at this commit."""
    if not RESULTS.exists():
        return set()
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {(r["decoder"], r["seed"], r["first"], r["payloads"])
            for r in rows if r["commit"] == of and not r["problem"]}


def fuzz(found: list[Target], seed: int, wanted: int) -> int:
    """Run all stretches that have no result yet; how many went wrong. Only the long form keeps results."""
    head, failed = commit(), 0
    keep = wanted > SHORT
    over = finished(head) if keep else set()
    for target in found:
        total = wanted if keep else max(100, int(wanted * target.share))
        accepted, began = 0, time.monotonic()
        for first in range(0, total, STRETCH):
            count = min(STRETCH, total - first)
            if (target.name, seed, first, count) in over:
                continue
            good, problem = run(target, seed, first, count)
            accepted += good
            failed += bool(problem)
            if keep:
                row: dict[str, Any] = {"commit": head, "decoder": target.name, "seed": seed, "first": first,
                                       "payloads": count, "accepted": good, "problem": problem.partition("\n")[0]}
                RESULTS.parent.mkdir(parents=True, exist_ok=True)
                with RESULTS.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(row) + "\n")
            if problem:
                print(f"{target.name}: {problem}", file=sys.stderr)
                break
        print(f"{target.name:22} seed {seed}  {total:>9,} payloads, {accepted:>7,} accepted  "
              f"{time.monotonic() - began:6.1f} s", flush=True)
    return failed


def main() -> int:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="decoders (all)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--payloads", type=int, default=SHORT)
    parser.add_argument("--list", action="store_true", help="name the decoders and end")
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one payload, in this process")
    parser.add_argument("--stretch", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    try:
        found = [target for target in targets() if not args.names or target.name in args.names]
    except LookupError as error:
        sys.exit(f"fuzz: {error}")
    if unknown := set(args.names) - {target.name for target in found}:
        sys.exit(f"fuzz: no decoder {', '.join(sorted(unknown))}")
    if args.list:
        print("\n".join(target.name for target in found))
        return 0
    if args.only is not None:
        data = made(found[0], args.seed, args.only)
        print(data)
        print("accepted" if found[0].feed(data) else "refused as documented")
        return 0
    if args.stretch is not None:
        print(stretch(found[0], args.seed, int(args.stretch[0]), int(args.stretch[1]), Path(args.stretch[2])))
        return 0
    return 1 if fuzz(found, args.seed, args.payloads) else 0


if __name__ == "__main__":
    sys.exit(main())
