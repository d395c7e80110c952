"""Rounds of books in C++, compiled here with g++ -O3 and called through ctypes."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.timing import Clock

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent.parent / "build" / "bench" / "native"
FLAGS = ("-O3", "-std=c++17", "-shared", "-fPIC")


class Facts(ctypes.Structure):
    """Facts of levels.h."""

    _fields_ = [(name, ctypes.c_int64) for name in ("bid_ticks", "ask_ticks", "bid_levels", "ask_levels")]


def compiled(name: str) -> Path:
    """The library of a source file, made anew when it is older."""
    source, out = HERE / f"{name}.cpp", BUILT / f"{name}.so"
    march = os.environ.get("APEX_MARCH")
    flags = [*FLAGS, f"-march={march}"] if march else list(FLAGS)
    key = out.with_suffix(".flags")
    fresh = out.exists() and key.exists() and key.read_text("ascii") == " ".join(flags)
    if fresh and all(out.stat().st_mtime > path.stat().st_mtime for path in (source, HERE / "levels.h")):
        return out
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise RuntimeError("no C++ compiler (g++)")
    BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run([compiler, *flags, "-o", str(out), str(source)], check=True, timeout=120)
    key.write_text(" ".join(flags), "ascii")
    return out


class Book:
    """Plain levels of a recording through the `run` of a source file."""

    def __init__(self, source: str, levels: str, count: int) -> None:
        self.levels, self.count = np.load(levels), count
        self.native = ctypes.CDLL(str(compiled(source)))
        self.native.run.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.POINTER(Facts)]
        self.native.run.restype = None

    def round(self) -> dict[str, Any]:
        facts = Facts()
        with Clock() as clock:
            self.native.run(self.levels.ctypes.data, len(self.levels), ctypes.byref(facts))
        return clock.result(self.count, {name: getattr(facts, name) for name, _ in Facts._fields_})
