"""Fixtures of the store's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.store.markets import joined, market, write


@pytest.fixture
def tape_path(tmp_path: Path) -> Path:
    """A tape of 400 messages of two instruments."""
    path = tmp_path / "small.tape"
    write(path, joined(market(3, 400, 2)))
    return path
