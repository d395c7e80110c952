"""The figures of docs/strategies: replays of the recordings, written into the pages between two marks, and their plots.

    tools/pages/run.py [PAGE ...] [--check]

--check writes nothing and exits 1 if a page says something else than its replays do now. Plots need matplotlib
(pip install apex-organism[pages]). The recordings are those of APEX_DATA; their tapes go to build/pages.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import apex  # noqa: E402
from tools.pages.cases import Case, Page, pages  # noqa: E402
from tools.pages.tables import commands, index, table  # noqa: E402

DOCS = ROOT / "docs" / "strategies"
BEGIN, END = "<!-- figures: make pages writes from here -->", "<!-- to here -->"
EXIT_DIFFERENT = 1


def replay(case: Case) -> Any:
    """Run one case."""
    return apex.replay(case.recording.tape, case.strategy, **case.options)


def text(page: Page, results: list[Any]) -> str:
    """What stands between the marks."""
    shown = [page.cases[i] for i in page.plotted]
    plot = f"![The replay in plots: {', '.join(c.label for c in shown)}, {shown[0].recording.label}]({page.name}.png)"
    return "\n\n".join((table(page, results), f"To repeat what the plots show:\n\n{commands(page)}", plot))


def replaced(path: Path, figures: str) -> str:
    """The page with its figures exchanged."""
    whole = path.read_text("utf-8")
    head, begin, rest = whole.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise SystemExit(f"{path}: the marks for the figures are missing")
    return f"{head}{BEGIN}\n\n{figures}\n\n{END}{tail}"


def main(argv: list[str] | None = None) -> int:
    """Write, or check."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a page is out of date")
    args = parser.parse_args(argv)
    wrong, summaries = [], {}
    for page in pages():
        if args.pages and page.name not in args.pages:
            continue
        results = [replay(case) for case in page.cases]
        summaries[page.name] = page, results
        path = DOCS / f"{page.name}.md"
        now = replaced(path, text(page, results))
        if args.check:
            wrong += [path.name] if path.read_text("utf-8") != now else []
            continue
        path.write_text(now, "utf-8")
        from tools.pages.plots import draw

        draw(page, [results[i] for i in page.plotted], DOCS / f"{page.name}.png")
        print(f"pages: {path.name}", file=sys.stderr)
    if not args.pages:
        path = DOCS / "index.md"
        now = replaced(path, index(summaries))
        if args.check:
            wrong += [path.name] if path.read_text("utf-8") != now else []
        else:
            path.write_text(now, "utf-8")
    for name in wrong:
        print(f"pages: {name} says something else than its replays: make pages", file=sys.stderr)
    return EXIT_DIFFERENT if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
