"""Import of a recording to a tape, from plain text and from gzip, hash and write included."""

from __future__ import annotations

import hashlib
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from apex.importers.binance import import_binance
from benchmarks import inputs
from benchmarks.model import WALL, Benchmark, Side
from benchmarks.timing import warm
from benchmarks.workers import OURS, PEERS

PLANNED = {
    "import_plain": Benchmark("import_plain", "ns", "message", 1e9 / 500_000, (), clock=WALL),
    "import_gzip": Benchmark("import_gzip", "ns", "message", 1e9 / 300_000, (), clock=WALL),
}
"""At least 500,000 and 300,000 messages a second."""


def benchmarks(name: str, short: bool) -> list[Benchmark]:
    """import_plain, import_gzip. Raises Missing. The converter reads gzip only, so it does in both."""
    zipped = inputs.recording(inputs.USDM[0])
    source = inputs.plain(inputs.USDM[0]) if name == "import_plain" else zipped
    folder = inputs.FOLDER
    sides = (
        Side("", OURS, __name__, "Ours", {"source": str(source), "out": str(folder / "import.tape"),
                                            "npz": str(inputs.npz())}),
        Side("hftbacktest converter", "hftbacktest", f"{PEERS}.hftbacktest_rounds", "Convert",
             {"source": str(zipped), "out": str(folder / "import.npz")}),
    )
    return [replace(PLANNED[name], sides=sides)]


class Ours:
    """`apex import binance` of one recording, symbol and grid found from it.

    It also tells the hash of the rows that the replays use, so that they are proved to be those of the converter.
    """

    def __init__(self, source: str, out: str, npz: str) -> None:
        self.source, self.out = Path(source), Path(out)
        warm(source)
        with np.load(npz) as archive:
            self.npz = hashlib.sha256(archive["data"].tobytes()).hexdigest()

    def round(self) -> dict[str, Any]:
        before, began = os.times(), time.perf_counter_ns()
        summary = import_binance([self.source], self.out)
        wall, after = time.perf_counter_ns() - began, os.times()
        cpu = (after.user + after.system - before.user - before.system) * 1e9
        self.out.unlink()
        return {"value": wall / summary.messages, "wall": wall / summary.messages,
                "notes": {"cpu_of_all_threads": cpu / summary.messages},
                "facts": {"messages": summary.messages, "level_updates": summary.level_updates,
                          "content_hash": summary.content_hash, "slow_path": summary.slow_path_messages,
                          "npz": self.npz}}
