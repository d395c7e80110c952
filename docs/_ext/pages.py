"""Pages that nobody has to list: the guides of the start page, and links out of the folder docs.

`<!-- guides -->` becomes the table of contents of every page that has no other: files of the folder docs itself, and
of its subfolders that are not part of the site's own plan. In a table of contents `<!-- rest: FOLDER -->` becomes the
folder's pages that the page does not name. So a new page is in the site once it is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

PLAN = {"api", "commands", "concepts", "decisions", "notebooks", "results", "start", "write"}
"""Subfolders whose pages stand in the table of contents of their own index, or of the start page."""
OWN = {"index", "changes", "contributing"}
REST = re.compile(r"<!-- rest: (\w+) -->")
LINK = re.compile(r"(\]\()(\.\./)+(README|CONTRIBUTING|CHANGELOG)\.md(#[\w-]*)?\)")
SITE = {"README": "index", "CONTRIBUTING": "contributing", "CHANGELOG": "changes"}

def guides(docnames: set[str], lists: Callable[[str], bool] = lambda index: True) -> list[str]:
    """Pages for the guides: those of the folder itself, then unknown subfolders.

    An index stands for its folder where it has a table of contents of its own, which `lists` tells.
    """
    found = [name for name in docnames if "/" not in name and name not in OWN]
    for folder in {name.split("/")[0] for name in docnames if "/" in name} - PLAN:
        index = f"{folder}/index"
        whole = index in docnames and lists(index)
        found += [index] if whole else [name for name in docnames if name.startswith(f"{folder}/")]
    return sorted(found)

def rest(docnames: set[str], folder: str, text: str) -> list[str]:
    """Pages of a folder that a page's text does not name."""
    named = set(re.findall(rf"^/?(?:{folder}/)?([\w-]+)$", text, re.MULTILINE))
    return sorted(f"/{name}" for name in docnames
                  if name.startswith(f"{folder}/") and name.split("/", 1)[1] not in {*named, "index"})


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    """Fill in the guides, and send links to files beside the folder docs to their pages."""
    text = source[0]
    if "<!-- guides -->" in text:
        def lists(index: str) -> bool:
            return "{toctree}" in Path(app.srcdir, f"{index}.md").read_text(encoding="utf-8")

        names = "\n".join(guides(app.project.docnames, lists))
        text = text.replace("<!-- guides -->", f"```{{toctree}}\n:caption: Guides\n:hidden:\n\n{names}\n```")
    text = REST.sub(lambda m: "\n".join(rest(app.project.docnames, m[1], source[0])), text)
    up = "../" * docname.count("/")
    source[0] = LINK.sub(lambda m: f"]({up}{SITE[m[3]]}.md{m[4] or ''})", text)

def outside(app: Sphinx, relative: Path, parent: str, source: list[str]) -> None:
    """The same for a file that a page includes from beside the folder docs: its links start there."""
    if "docs" in relative.parts[-2:-1] or (relative.is_absolute() and "docs" in relative.parts):
        return
    text = re.sub(r"(\]\()docs/([^)]*)\)", r"\1\2)", source[0])
    text = text.replace("](decisions)", "](decisions/index.md)").replace("](results)", "](results/README.md)")
    source[0] = re.sub(r"(\]\()(README|CONTRIBUTING|CHANGELOG)\.md\)", lambda m: f"]({SITE[m[2]]}.md)", text)

def outdated(app: Sphinx, *_: Any) -> list[str]:
    """Pages made from code are made anew each time, and notebooks are run."""
    made = ("commands/", "api/", "notebooks/", "write/")
    return [name for name in app.project.docnames if name.startswith(made) or name == "index"]

def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", expand)
    app.connect("include-read", outside)
    app.connect("env-get-outdated", outdated)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
