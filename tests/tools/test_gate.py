"""The gate of speed: what it compares with, and that it says aloud when it compares nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools import gate as module

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_AUTHOR_NAME": "a",
         "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small checkout with the gate and nothing to build."""
    for name in ("tools/gate.py", "benchmarks/workers.py", "benchmarks/__init__.py", "setup.py", ".gitignore"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def git(tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, env={**os.environ, **QUIET}, capture_output=True, text=True,
                          check=True)
    return done.stdout.strip()


def commit(tree: Path, name: str) -> str:
    (tree / name).write_text(name)
    git(tree, "add", "-A")
    git(tree, "commit", "-qm", name)
    return git(tree, "rev-parse", "HEAD")


def gate(tree: Path, *words: str) -> str:
    """What it prints; it ends well."""
    environment = {**os.environ, **QUIET, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    done = subprocess.run([sys.executable, "tools/gate.py", *words], cwd=tree, env=environment, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_a_history_it_says_so(tree: Path) -> None:
    """Lost otherwise: a failure, or silence that reads as "not slower", where there is nothing to compare with."""
    assert "SKIPPED, nothing was compared: git rev-parse" in gate(tree)
    git(tree, "init", "-q", "-b", "main")
    commit(tree, "one")
    assert "SKIPPED, nothing was compared: the merge base is HEAD itself, and there is no commit before" in gate(tree)


def test_it_compares_with_the_merge_base(tree: Path) -> None:
    """Lost otherwise: a branch compared with a main that has gone on, or with itself."""
    git(tree, "init", "-q", "-b", "main")
    first, second = commit(tree, "one"), commit(tree, "two")
    assert f"nothing that is measured has changed since {first[:12]} (the merge base is HEAD itself" in gate(tree)
    git(tree, "checkout", "-qb", "work")
    commit(tree, "three")
    git(tree, "checkout", "-q", "main")
    commit(tree, "four")
    git(tree, "checkout", "-q", "work")
    assert f"nothing that is measured has changed since {second[:12]} (merge base with main)" in gate(tree)
    git(tree, "branch", "-m", "main", "other")
    assert "no branch main" in gate(tree)


def test_a_new_file_is_a_change(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it a slow new module that nobody has added yet would pass the gate unmeasured."""
    git(tree, "init", "-q", "-b", "main")
    first = commit(tree, "one")
    monkeypatch.setattr(module, "ROOT", tree)
    assert module.changed(first) == []
    for name in ("apex/new.pyx", "apex/new.so", "docs/new.md"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("new")
    assert module.changed(first) == ["apex/new.pyx"]


def test_what_cannot_be_measured_is_no_success(tree: Path) -> None:
    """Lost otherwise: benchmarks that a change has broken, or a mistyped commit, that pass as "skipped"."""
    git(tree, "init", "-q", "-b", "main")
    commit(tree, "one")
    environment = {**os.environ, **QUIET, "GIT_CEILING_DIRECTORIES": str(tree.parent)}
    (tree / "benchmarks" / "driver.py").write_text("import nothing_of_this_name\n")
    for words, said in ((["--base", "nonsense"], "no commit nonsense"), (["--base", "HEAD"], "nothing_of_this_name")):
        (tree / "build" / "gate" / git(tree, "rev-parse", "HEAD")[:12]).mkdir(parents=True, exist_ok=True)
        (tree / "build" / "gate" / git(tree, "rev-parse", "HEAD")[:12] / ".built").touch()
        done = subprocess.run([sys.executable, "tools/gate.py", "--always", *words], cwd=tree, env=environment,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 1, done.stdout
        assert said in done.stderr


class _Pretended:
    """A tree whose rounds take what a list says."""

    def __init__(self, *values: float) -> None:
        self.values, self.best = list(values), dict[str, float]()
        self.sides = {"x": {"unit": "ns", "item": "event"}}

    def round(self, name: str) -> None:
        value = self.values.pop(0) if len(self.values) > 1 else self.values[0]
        self.best[name] = min(value, self.best.get(name, value))


@pytest.mark.parametrize(("ours", "base", "slower"), [
    ([116.0], [100.0], True), ([114.0], [100.0], False), ([130.0] * 8 + [100.0], [100.0], False),
    ([100.0], [80.0, 200.0], True), ([50.0], [100.0], False),
])
def test_more_than_the_margin_fails(ours: list[float], base: list[float], slower: bool) -> None:
    """Lost otherwise: a gate that lets a slower tree pass, or believes one disturbed round."""
    found = module.measure(_Pretended(*ours), _Pretended(*base), ["x"])  # type: ignore[arg-type]
    assert found == (["x"] if slower else [])
