"""Compiling the loops of this folder, with the core's flags."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.workers import ROOT, Missing


def build(name: str = "frames") -> None:
    """Compile a module of benchmarks/harness, with the core's flags, where it is older than what it uses.

    Raises
    ------
    Missing
        Without a compiler.
    """
    sources = [ROOT / "benchmarks" / "harness" / f"{name}.pyx", *(ROOT / "apex" / "_core").rglob("*.pxd")]
    made = list((ROOT / "benchmarks" / "harness").glob(f"{name}.{sys.implementation.cache_tag}*.so"))
    if made and all(path.stat().st_mtime <= made[0].stat().st_mtime for path in sources):
        return
    words = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", "--force"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "APEX_ONLY": name}, timeout=600, check=False,
                          capture_output=True, text=True)
    if done.returncode:
        raise Missing(f"benchmarks/harness/{name}.pyx does not compile: {done.stderr.strip().splitlines()[-1:]}")
