"""Rounds of hftbacktest: its converter. Runs in .venv-peers-hftbacktest."""

from __future__ import annotations

from typing import Any

import numpy as np
from hftbacktest.data.utils import binancefutures

BUFFER_ROWS = 2_000_000


class Convert:
    """Raw gzip lines to event rows by hftbacktest's own converter."""

    def __init__(self, source: str, out: str) -> None:
        self.source, self.out = source, out

    def convert(self) -> int:
        """Write the rows as an npz; how many."""
        rows: Any = binancefutures.convert(self.source, buffer_size=BUFFER_ROWS)
        with open(self.out, "wb") as stream:
            np.savez(stream, data=rows)
        return len(rows)
