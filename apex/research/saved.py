"""Fitted models as JSON files."""

from __future__ import annotations

from pathlib import Path

import msgspec

from apex.store.files import AtomicFile, disk_errors, write_all


def save(model: msgspec.Struct, path: str | Path) -> None:
    """Write a model, whole or not at all. Raises EnvironmentProblem if the disk refuses."""
    out = Path(path)
    with AtomicFile(out) as file, disk_errors(out):
        write_all(file.fd, msgspec.json.format(msgspec.json.encode(model), indent=1))
