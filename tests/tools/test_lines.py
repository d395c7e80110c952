"""The count of executed lines: nothing of the core may drop out of it unseen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import lines


def test_included_sources_count_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it an included file that no test traces would leave the sum, and the percentage would rise."""
    folder = tmp_path / "apex" / "_core" / "codecs"
    folder.mkdir(parents=True)
    for name in ("../a.pyx", "../a.pxd", "../a.pxi", "b.pxi", "../a.c"):
        (folder / name).touch()
    monkeypatch.setattr(lines, "COPY", tmp_path)
    assert lines.untouched() == ["apex/_core/a.pxi", "apex/_core/a.pyx", "apex/_core/codecs/b.pxi"]
