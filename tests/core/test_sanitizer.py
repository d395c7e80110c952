"""The sanitize build finds planted bugs: without this, a run without findings could mean that nothing was looked at."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from apex._core.events import BUILD

ROOT = Path(__file__).resolve().parents[2]
CALLS = {
    "post": "ledger.post(0, 1, 100, 2)",
    "pnl": "ledger.post(0, 1, 100, 4); ledger.pnl(0, 1 << 62)",
}
SETUP = "from apex._core.ledger import Ledger; ledger = Ledger([{'value_num': 1, 'value_den': 1}]); "
HEAP = ("sizeof(Position))\n        if", "sizeof(Position) - 8)\n        if")
PYTHONS = ("from libc.stdlib cimport calloc, free",
           "from cpython.mem cimport PyMem_Calloc as calloc, PyMem_Free as free")
OVERFLOW = ("return apex_saturate(p.flows + _mark(&self.terms[instrument], mid2, p.lots))",
            "return p.flows + mid2 * p.lots")

pytestmark = pytest.mark.skipif(BUILD != "sanitize", reason="for the sanitize build: make sanitize")


@pytest.fixture
def ledger_with(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Build a copy of the ledger with changes to its source, make a call to it, and give what the process said."""

    def run(call: str, *changes: tuple[str, str]) -> subprocess.CompletedProcess[str]:
        shutil.copytree(ROOT / "apex", tmp_path / "apex", ignore=shutil.ignore_patterns("__pycache__", "ledger.*.so"))
        shutil.copy(ROOT / "setup.py", tmp_path)
        path = tmp_path / "apex" / "_core" / "ledger.pyx"
        source = path.read_text("utf-8")
        for old, new in changes:
            assert source.count(old) == 1, old
            source = source.replace(old, new)
        path.write_text(source, "utf-8")
        outside = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        subprocess.run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], cwd=tmp_path, check=True,
                       capture_output=True, env={**outside, "APEX_BUILD": "sanitize", "APEX_ONLY": "ledger"})
        return subprocess.run([sys.executable, "-c", SETUP + CALLS[call]], cwd=tmp_path, capture_output=True, text=True,
                              check=False)

    return run


def test_an_overrun_of_pythons_memory_is_found(ledger_with: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Lost: overruns of small blocks, which Python's allocator hides unless PYTHONMALLOC is malloc."""
    done = ledger_with("post", HEAP, PYTHONS)
    assert done.returncode != 0
    assert "AddressSanitizer: heap-buffer-overflow" in done.stderr
    assert "ledger" in done.stderr


def test_a_signed_overflow_is_found(ledger_with: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Lost: wrapped money, which Python's own compiler flag -fwrapv declares to be right."""
    done = ledger_with("pnl", OVERFLOW)
    assert done.returncode != 0
    assert "runtime error: signed integer overflow" in done.stderr


@pytest.mark.parametrize("call", CALLS)
def test_the_same_calls_pass_without_the_bugs(call: str) -> None:
    """Lost: findings that come from the set-up, not from the bug."""
    done = subprocess.run([sys.executable, "-c", SETUP + CALLS[call]], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stderr) == (0, "")
