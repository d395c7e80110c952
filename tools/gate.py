"""Compares the speed of this tree with the commit it branched from: make gate.

The base is the merge base with main; on main itself, the commit before. It is built into build/gate/<commit>. Rounds
of both trees alternate, each tree with its own benchmarks in its own process, and the minimum of each counts: what else
runs on the machine only adds to a round. A benchmark that looks slower gets more rounds before it is believed. Exit
code 1 when one is more than 15 % slower. Without a history, or with no change to what is measured, it says so and ends.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.workers import Failed, Missing, Worker  # noqa: E402

MARGIN = 0.15
NAMES = ("book_l2_usdm", "decode_mix", "replay_noop", "replay_maker")
"""Cheap benchmarks that between them run every part of an event's path."""
ROUNDS, ROUNDS_MAX = 5, 25
MEASURED = ("apex", "benchmarks", "setup.py", "requirements.lock")
"""What decides a figure; a change elsewhere cannot make it slower."""
INPUTS = Path("build/bench/inputs")
SHARED = ("*.txt", "usdm_btcusdt_*.npz", "frames-*.npy")
"""Inputs that are made from recordings alone, without the code that is measured."""

SIDES = """
import importlib, json, sys
from benchmarks.driver import MODULES
found = {}
for name in sys.argv[1:]:
    for one in importlib.import_module("benchmarks." + MODULES[name]).benchmarks(name, True):
        ours = one.sides[0]
        found[name] = {"module": ours.module, "face": ours.face, "args": ours.args, "unit": one.unit, "item": one.item}
print(json.dumps(found))
"""


class Skipped(Exception):
    """There is nothing to compare, and why."""


def git(*words: str) -> str:
    """What git says. Raises Skipped without git or history."""
    try:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise Skipped("git is not installed") from None
    except subprocess.CalledProcessError as error:
        raise Skipped(f"git {words[0]}: {error.stderr.strip() or error.returncode}") from None
    return done.stdout.strip()


def base_commit() -> tuple[str, str]:
    """The commit to compare with, and why it is that one."""
    head = git("rev-parse", "HEAD")
    for name in ("main", "origin/main"):
        try:
            base = git("merge-base", "HEAD", name)
        except Skipped:
            continue
        if base != head:
            return base, f"merge base with {name}"
        break
    else:
        raise Skipped("there is no branch main to find a merge base with")
    try:
        return git("rev-parse", "HEAD~1"), "the merge base is HEAD itself: compared with the commit before it"
    except Skipped:
        raise Skipped("the merge base is HEAD itself, and there is no commit before it") from None


def asked(name: str) -> str:
    """The commit that was asked for. Raises Failed where a history does not have it."""
    git("rev-parse", "HEAD")
    try:
        return git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
    except Skipped:
        raise Failed(f"there is no commit {name}") from None


def changed(base: str) -> list[str]:
    """Files that are measured and differ from the base, uncommitted and not yet added ones too."""
    return [*git("diff", "--name-only", base, "--", *MEASURED).splitlines(),
            *git("ls-files", "--others", "--exclude-standard", "--", *MEASURED).splitlines()]


def build(base: str) -> Path:
    """The base's tree, built; kept for the next run with the same base."""
    folder = ROOT / "build" / "gate" / base[:12]
    if (folder / ".built").exists():
        return folder
    for old in folder.parent.glob("*") if folder.parent.exists() else ():
        shutil.rmtree(old)
    folder.mkdir(parents=True)
    with tempfile.TemporaryFile() as packed:
        subprocess.run(["git", "archive", "--format=tar", base], cwd=ROOT, stdout=packed, check=True)
        packed.seek(0)
        with tarfile.open(fileobj=packed) as archive:
            archive.extractall(folder, filter="data")
    print(f"gate: building {base[:12]}", flush=True)
    environment = {**os.environ, "APEX_BUILD": "release"}
    subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace", "-j", str(os.cpu_count() or 1)],
                   cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    (folder / ".built").touch()
    return folder


def share_inputs(folder: Path) -> None:
    """Spare the base the slow inputs."""
    (folder / INPUTS).mkdir(parents=True, exist_ok=True)
    for pattern in SHARED:
        for path in (ROOT / INPUTS).glob(pattern):
            if not (folder / INPUTS / path.name).exists():
                shutil.copy(path, folder / INPUTS / path.name)


def sides(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """How a tree's own benchmarks measure its engine. Raises Skipped without their inputs, Failed when they break."""
    done = subprocess.run([sys.executable, "-c", SIDES, *names], cwd=folder, capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONPATH": str(folder)})
    if done.returncode != 0:
        said = (done.stderr.strip() or f"code {done.returncode}").splitlines()[-1]
        if folder == ROOT and not said.startswith(f"{Missing.__module__}.{Missing.__name__}:"):
            raise Failed(f"the benchmarks of this tree do not start: {said}")
        raise Skipped(f"the benchmarks of {folder.name} have no inputs: {said}")
    found: dict[str, dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


class Tree:
    """A tree whose benchmarks run in a worker of its own."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.sides = sides(folder, names)
        self.worker = Worker("", folder)
        self.opened: dict[str, str] = {}
        self.best: dict[str, float] = {}

    def round(self, name: str) -> None:
        """One round of a benchmark; the first of each does not count."""
        side = self.sides[name]
        if name not in self.opened:
            self.opened[name] = self.worker.open(side["module"], side["face"], side["args"])
            self.worker.call(self.opened[name], "round")
        value = self.worker.call(self.opened[name], "round")["value"]
        self.best[name] = min(value, self.best.get(name, value))


def ratio(ours: Tree, base: Tree, name: str) -> float:
    return ours.best[name] / base.best[name]


def measure(ours: Tree, base: Tree, names: list[str]) -> list[str]:
    """Alternate rounds of both trees; the benchmarks that are slower."""
    slower = []
    for name in names:
        number = 0
        while number < ROUNDS or (number < ROUNDS_MAX and ratio(ours, base, name) > 1 + MARGIN):
            for tree in (ours, base) if number % 2 == 0 else (base, ours):
                tree.round(name)
            number += 1
        change = ratio(ours, base, name) - 1
        factor, unit = {"ns": (1, "ns"), "s": (1e3, "ms")}[ours.sides[name]["unit"]]
        print(f"gate: {name:14} {base.best[name] * factor:9.2f} -> {ours.best[name] * factor:9.2f} {unit} a "
              f"{ours.sides[name]['item']:8} {change:+7.1%}  {number} rounds", flush=True)
        if change > MARGIN:
            slower.append(name)
    return slower


def main() -> int:
    """Find the base, build it, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, help=f"benchmarks ({' '.join(NAMES)})")
    parser.add_argument("--base", help="compare with this commit")
    parser.add_argument("--always", action="store_true", help="measure although nothing that is measured has changed")
    args = parser.parse_args()
    trees: list[Tree] = []
    try:
        base, why = (asked(args.base), "as asked") if args.base else base_commit()
        if not changed(base) and not args.always:
            raise Skipped(f"nothing that is measured has changed since {base[:12]} ({why})")
        print(f"gate: {base[:12]}, {why}", flush=True)
        folder = build(base)
        trees.append(Tree(ROOT, list(args.names)))
        share_inputs(folder)
        trees.append(Tree(folder, list(args.names)))
        slower = measure(trees[0], trees[1], list(args.names))
    except (Skipped, Missing) as reason:
        print(f"gate: SKIPPED, nothing was compared: {reason}")
        return 0
    except Failed as error:
        print(f"gate: {error}", file=sys.stderr)
        return 1
    finally:
        for tree in trees:
            tree.worker.close()
    if slower:
        print(f"gate: more than {MARGIN:.0%} slower than {base[:12]}: {', '.join(slower)}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
