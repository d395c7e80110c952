"""What the site reads from the code, without Sphinx: notebooks as they are kept, and names that exist."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

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


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the site's own extensions, which import without Sphinx."""
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))

    def load(name: str) -> Any:
        monkeypatch.delitem(sys.modules, name, raising=False)
        found = importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name)
        return found

    return load


@pytest.mark.parametrize("name", list(cli._available()))
def test_every_option_is_in_its_commands_page(extension: Any, name: str) -> None:
    """Lost otherwise: an option that --help knows and the site does not."""
    commands = extension("commands")
    text = commands.reference(name)
    for parser in commands.parsers(name):
        assert parser.prog == f"apex {name}" or f"### {parser.prog}" in text
        for action in parser._actions:
            if action.dest not in commands.COMMON and not isinstance(action, argparse._SubParsersAction):
                shown = action.option_strings[-1] if action.option_strings else action.metavar
                assert re.search(rf"^\.\. option:: .*{re.escape(str(shown))}", text, re.MULTILINE), f"{name} {shown}"


def test_commands_without_a_page_are_on_the_page_of_all(extension: Any) -> None:
    """Lost otherwise: a new command that nobody finds in the site until somebody writes about it."""
    text = extension("commands").overview({"commands/replay"})
    assert "](replay.md)" in text
    assert "## apex replay" not in text
    assert "](#apex-generate)" in text
    assert "## apex generate" in text
    assert ".. option:: --seed N" in text


def test_new_pages_are_guides(extension: Any) -> None:
    """Lost otherwise: a page that fails the build, or is missing in the menu, because it stands in no list."""
    pages = extension("pages")
    found = pages.guides({"index", "strategies", "new", "start/quickstart", "commands/x", "more/a", "more/b",
                          "set/index", "set/one"})
    assert found == ["more/a", "more/b", "new", "set/index", "strategies"]
    assert pages.guides({"set/index", "set/one"}, lambda index: False) == ["set/index", "set/one"]
    text = "start/a\nb\n"
    assert pages.rest({"start/index", "start/a", "start/b", "start/c", "c"}, "start", text) == ["/start/c"]


def test_docstrings_of_stubs_are_found(extension: Any) -> None:
    """Lost otherwise: a reference of compiled classes with their names only."""
    reference = extension("reference")
    assert reference.file_of("apex._core.engine").suffix == ".pyi"
    assert reference.file_of("apex.app.replay").suffix == ".py"
    assert ("apex._core.engine", "View") in reference.elsewhere()
    with pytest.raises(LookupError, match="Gone"):
        reference.names("apex._core.engine", ["Gone"])
