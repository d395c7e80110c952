"""The gate of speed: what it compares with, and that it says aloud when it compares nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "GIT_AUTHOR_NAME": "a",
         "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small checkout with the gate and nothing to build."""
    for name in ("tools/gate.py", "benchmarks/workers.py", "benchmarks/__init__.py", "setup.py"):
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
