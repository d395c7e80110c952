"""A new process from start to end. Standard library only: it runs in every environment, ours too."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

SECONDS_MAX = 120


class Command:
    """A command, or with `python` arguments of this environment's interpreter."""

    def __init__(self, words: list[str], python: bool = True) -> None:
        self.words = [sys.executable, *words] if python else words

    def round(self) -> dict[str, Any]:
        began = time.perf_counter()
        done = subprocess.run(self.words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=SECONDS_MAX,
                              stderr=subprocess.DEVNULL, check=True)
        seconds = time.perf_counter() - began
        return {"value": seconds, "wall": seconds, "facts": {"returncode": done.returncode}}
