"""A strategy in Cython that takes every event, compiled here as a user would compile it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import apex._core
from tests.core.assembly import BUY, START, Run, message
from tests.core.test_engine import market

SOURCE = '''
from libc.stdint cimport int64_t
from apex._core.engine cimport Strategy, View
from apex._core.events cimport BUY, LEVELS, TRADE, Batch, Event, Level


cdef class Tally(Strategy):
    """Counts rows and bought lots of every message; sells a lot at each tenth trade."""
    wants_rows = True
    waits_for_book = False
    cdef readonly int64_t rows, lots, trades

    cdef int on_batch(self, View view, int instrument, const Batch* batch, const Level* levels,
                      const Event* rows) except -1:
        cdef unsigned int i
        self.rows += batch.count
        if batch.kind != TRADE:
            return 0
        for i in range(batch.count):
            if (levels[i].side if batch.encoding == LEVELS else rows[i].side) == BUY:
                self.lots += levels[i].quantity_lots if batch.encoding == LEVELS else rows[i].quantity_lots
        self.trades += 1
        if self.trades % 10 == 0:
            view.market("sell", 1, instrument)
        return 0
'''
SETUP = '''
import sys
from Cython.Build import cythonize
from setuptools import Extension, setup
setup(ext_modules=cythonize([Extension("tally", ["tally.pyx"], include_dirs=[sys.argv.pop(), "."])], language_level=3,
                            include_path=[sys.argv.pop()]))
'''


@pytest.fixture(scope="module")
def tally(tmp_path_factory: pytest.TempPathFactory) -> Any:
    core = Path(apex._core.__file__).parent
    folder = tmp_path_factory.mktemp("tally")
    (folder / "tally.pyx").write_text(SOURCE)
    (folder / "setup.py").write_text(SETUP)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace", str(core.parent.parent), str(core)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    place = next(folder.glob("tally*.so"))
    spec = importlib.util.spec_from_file_location("tally", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_compiled_strategy_sees_every_message(tally: Any) -> None:
    """Lost otherwise: the only way to a strategy that needs every event."""
    events = market(3, 3000)
    wide = message("TRADE", int(events["ts_exchange_ns"].max()) + 1, [(BUY, 2**40, 5)])  # no level holds it
    events = np.concatenate([events, wide])
    strategy = tally.Tally()
    run = Run(events, [strategy], count=3).run()
    trades = events[events["kind"] == 3]
    batches = (trades["flags"] & 1 != 0).sum()
    assert strategy.rows == len(events)
    assert strategy.lots == trades["quantity_lots"][trades["side"] == BUY].sum()
    assert strategy.trades == batches
    assert len(run.orders) == batches // 10
    assert run.orders["ts_sent_ns"].min() > START
