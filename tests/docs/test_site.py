"""What the site reads from the code, without Sphinx: notebooks as they are kept, and names that exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from apex.app import cli
from tools.examples import ROOT

DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
LINK = re.compile(r"\]\((?!\w+://|#)([^)\s#]+)(#[\w-]+)?\)")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    """Lost otherwise: diffs of pictures, and outputs of some other version on the page."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [], "clear the outputs: jupyter nbconvert --clear-output --inplace"
            assert cell["execution_count"] is None


def test_there_are_notebooks() -> None:
    """Lost otherwise: the test above passes with none."""
    assert {path.stem for path in NOTEBOOKS} >= {"replay", "queues"}


def test_pages_of_commands_are_commands() -> None:
    """Lost otherwise: a page of a command that is gone; a new command needs no page to be in the site."""
    written = {path.stem for path in (DOCS / "commands").glob("*.md")} - {"index"}
    assert written <= set(cli._available())


def test_names_of_the_reference_exist() -> None:
    """Lost otherwise: that only the site's build tells of a class that was renamed."""
    for page in DOCS.rglob("*.md"):
        for match in re.finditer(r"<!-- names: ([\w.]+) ([\w ]+) -->", page.read_text(encoding="utf-8")):
            base = ROOT.joinpath(*match[1].split("."))
            text = next(p for p in (base.with_suffix(".pyi"), base.with_suffix(".py")) if p.exists()).read_text("utf-8")
            for name in match[2].split():
                assert re.search(rf"^(?:class|def) {name}\b", text, re.MULTILINE), f"{page.name}: {match[1]}.{name}"


def test_links_between_pages_lead_somewhere() -> None:
    """Lost otherwise: a page that reads well in the site, and is a dead end where the file is read as it is."""
    wrong = []
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        wrong += [f"{page.relative_to(ROOT)}: {match[1]}" for match in LINK.finditer(text)
                  if not (page.parent / match[1]).exists()]
    assert not wrong, "\n".join(wrong)
