"""`apex doctor`: what it says of this machine, and that it finds what is broken."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import apex
from apex.app.doctor_command import FREE_LEAST, NEEDED, problems
from tests.app.commands import call


@pytest.fixture
def found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The answer for this machine."""
    done = call(capsys, "doctor", "--path", tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    value: dict[str, Any] = done.value
    return value


def test_it_names_machine_build_versions_clock_and_disk(found: dict[str, Any], tmp_path: Path) -> None:
    """Lost: what a bug report needs to say."""
    assert set(found) == {"machine", "build", "dependencies", "optional", "clock", "disk", "problems"}
    assert found["machine"]["cores_usable"] >= 1
    assert found["build"]["apex"] == apex.__version__
    assert found["build"]["build"] in ("release", "checked", "sanitize")
    assert set(found["build"]["modules"].values()) == {"ok"}
    assert "apex._core.codecs.binance_reader" in found["build"]["modules"]
    assert all(found["dependencies"][name] for name in NEEDED)
    assert found["clock"]["step_ns"] > 0
    assert found["disk"]["path"] == str(tmp_path)
    assert found["disk"]["write_bytes_per_second"] > 0
    assert found["problems"] == []


@pytest.mark.parametrize(("damage", "where"), [
    (lambda f: f["build"]["modules"].update({"apex._core.book": "broken: no symbol"}), "build"),
    (lambda f: f["dependencies"].update(numpy=None), "dependencies"),
    (lambda f: f["clock"].update(went_back=True), "clock"), (lambda f: f["clock"].update(year=1970), "clock"),
    (lambda f: f["disk"].update(free_bytes=FREE_LEAST - 1), "disk"),
    (lambda f: f["disk"].update(error="Read-only file system"), "disk"),
])
def test_each_kind_of_damage_is_a_problem_with_a_remedy(damage: Callable[[dict[str, Any]], None], where: str,
                                                        found: dict[str, Any]) -> None:
    """Lost: a doctor who says that nothing is broken."""
    ill = copy.deepcopy(found)
    damage(ill)
    (problem,) = problems(ill)
    assert problem["where"] == where
    assert problem["what"]
    assert problem["do"]


def test_a_folder_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """Lost: exit 4 and the folder's name."""
    done = call(capsys, "doctor", "--path", "absent", "--json")
    assert (done.code, done.error["where"]) == (4, "absent")


def test_the_probe_leaves_nothing(found: dict[str, Any], tmp_path: Path) -> None:
    """Lost: 64 MB in the user's folder for each call."""
    assert found["disk"]["free_bytes"] > 0
    assert list(tmp_path.iterdir()) == []
