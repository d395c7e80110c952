"""How long a new process takes to `import apex`, and to answer `apex --help`."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.model import WALL, Benchmark, Side
from benchmarks.workers import OURS, PEERS

IMPORT_MAX, HELP_MAX = 0.3, 0.5
PLANNED = {"startup": Benchmark("startup", "s", "process", IMPORT_MAX, (), case="import apex", rounds=(15, 5),
                                clock=WALL)}
MODULE = f"{PEERS}.startup_rounds"


def benchmarks(name: str, short: bool) -> list[Benchmark]:
    """startup: two measurements."""
    script = Path(sys.executable).with_name("apex")
    ask = [str(script)] if script.exists() else [sys.executable, "-m", "apex"]
    first = replace(PLANNED["startup"], sides=(
        Side("", OURS, MODULE, "Command", {"words": ["-c", "import apex"]}),
        Side("hftbacktest", "hftbacktest", MODULE, "Command", {"words": ["-c", "import hftbacktest"]}),
        Side("nautilus", "nautilus", MODULE, "Command", {"words": ["-c", "import nautilus_trader.backtest.engine"]}),
    ))
    second = replace(PLANNED["startup"], case="apex --help", limit=HELP_MAX, sides=(
        Side("", OURS, MODULE, "Command", {"words": [*ask, "--help"], "python": False}),))
    return [first, second]
