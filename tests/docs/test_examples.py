"""The documentation's examples: each page's run as it says, and every command line in it is one that APEX takes."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from apex.app import cli
from apex.domain.errors import ApexError
from tools import examples

PAGES = [page for page in examples.pages() if any(
    block.word in ("python", "console") for block in examples.blocks(page))]
PLACEHOLDER = re.compile(r"\.\.\.|…|(?<![\w.-])[A-Z][A-Z_]+\b|\[|<")


@pytest.fixture(scope="session")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The market of `make demo`, made once."""
    return examples.demo_market(tmp_path_factory.mktemp("market") / "market.tape")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(examples.ROOT).as_posix())
def test_examples_run_and_show_what_comes_out(page: Path, market: Path, tmp_path: Path) -> None:
    """Lost otherwise: the first thing a reader tries fails, or shows other numbers than the page."""
    for _, outputs in examples.play(page, tmp_path, market):
        for what, expected, got in outputs:
            assert examples.matches(expected, got), f"{what}\nshown:\n{expected}\ncame out:\n{got}"


@pytest.mark.parametrize("page", examples.pages(), ids=lambda page: page.relative_to(examples.ROOT).as_posix())
def test_command_lines_are_taken(page: Path) -> None:
    """Lost otherwise: a page that names an option which is gone; placeholders in capitals are left out."""
    for line, text in examples.command_lines(page):
        if PLACEHOLDER.search(re.sub(r"'[^']*'", "", text)):
            continue
        words = shlex.split(text, comments=True)
        try:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                cli._parser(cli._command(words)).parse_args(words)
        except ApexError as error:
            pytest.fail(f"{page.name}:{line}: apex {text}\n{error.what} ({error.where})")
        except SystemExit:
            pass  # --help


def test_outputs_match_by_lines_and_within_lines() -> None:
    """Lost otherwise: that a page's `...` stands for no more than it says, so that a wrong output is seen."""
    assert examples.matches("a ... b\n", "a 1.5 b  \n")
    assert examples.matches("first\n...\nlast", "first\n2\n3\nlast\n")
    assert examples.matches("first\n...\nlast", "first\nlast\n")
    assert not examples.matches("a ... b", "a 1.5 c\n")
    assert not examples.matches("a\nb", "a\nb\nc\n")
    assert not examples.matches("a ... c", "a b\nc\n")
    assert not examples.matches("", "surprise\n")


def test_a_page_that_is_wrong_is_found(market: Path, tmp_path: Path) -> None:
    """Lost otherwise: a collector that runs nothing passes every page."""
    page = tmp_path / "page.md"
    fence = "```"
    page.write_text(f"{fence}python\nx = 6 * 7\nprint(x)\n{fence}\n\n<!-- output -->\n{fence}text\n43\n{fence}\n\n"
                    f"{fence}console\n$ apex --version\napex 0.0.0\n$ echo \\\n  two\ntwo\n{fence}\n", encoding="utf-8")
    (tmp_path / "run").mkdir()
    played = examples.play(page, tmp_path / "run", market)
    outcome = [examples.matches(expected, got) for _, outputs in played for _, expected, got in outputs]
    assert outcome == [False, False, True]
    assert examples.rewrite(page, played) == 2
    assert "42" in page.read_text(encoding="utf-8")
    assert "0.0.0" not in page.read_text(encoding="utf-8")
    page.write_text(f"{fence}python\nassert False\n{fence}\n", encoding="utf-8")
    (tmp_path / "again").mkdir()
    with pytest.raises(AssertionError):
        examples.play(page, tmp_path / "again", market)
