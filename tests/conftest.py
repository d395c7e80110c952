"""Fixtures of the whole suite: the recordings, where they are, and a loud word where they are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, settings

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("APEX_DATA", ROOT.parent / "shared" / "data"))

settings.register_profile("repeatable", derandomize=True, database=None)
settings.register_profile("quick", derandomize=True, database=None, deadline=None,
                          phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False)
if os.environ.get("APEX_HYPOTHESIS") == "quick":
    settings.load_profile("quick")       # whether a test fails, not its smallest example: for planted faults
elif os.environ.get("CI"):
    settings.load_profile("repeatable")  # a run of CI tells of its commit, not of its luck


@pytest.fixture(scope="session")
def data_file() -> Callable[[str], Path]:
    """A recording's path by its name under APEX_DATA; skips aloud, or fails with APEX_DATA_REQUIRED=1."""

    def find(name: str) -> Path:
        path = DATA / name
        if path.exists():
            return path
        reason = f"recording {name} is absent: set APEX_DATA to the folder of recordings"
        if os.environ.get("APEX_DATA_REQUIRED") == "1":
            pytest.fail(reason)
        pytest.skip(reason)

    return find
