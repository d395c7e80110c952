"""Pages of the commands, made from their own parsers.

A page `commands/NAME.md` gets the usage and every option of `apex NAME` at its end, so that neither can go stale;
`<!-- commands -->` becomes the list of all commands, and the options of those that have no page.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from apex.app import cli

if TYPE_CHECKING:
    from sphinx.application import Sphinx

WIDTH = "100"
COMMON = ("json", "verbose", "quiet", "help")


def parsers(name: str) -> list[argparse.ArgumentParser]:
    """The parser of a command, and those of its actions."""
    top = next(a for a in cli._parser(name)._actions if isinstance(a, argparse._SubParsersAction))
    parser = top.choices[name]
    return [parser, *_below(parser)]


def _below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for sub in dict.fromkeys(action.choices.values()):
                yield sub
                yield from _below(sub)


def _words(text: str) -> str:
    """Help of argparse as reStructuredText: nothing of it is markup but `code`."""
    plain = re.sub(r"([*|\\_])", r"\\\1", text)
    return re.sub(r"`([^`]+)`", lambda m: f"``{m[1]}``".replace("\\", ""), plain)


def _usage(parser: argparse.ArgumentParser) -> str:
    return parser.format_usage().removeprefix("usage: ").strip()


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """One option, with what it takes and what it does."""
    takes = action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices else action.dest.upper())
    takes = " ".join(takes) if isinstance(takes, tuple) else str(takes)
    if not action.option_strings:
        heads = [takes]
    elif action.nargs == 0:
        heads = list(action.option_strings)
    else:
        heads = [f"{word} {takes}" for word in action.option_strings]
    text = _words(parser._get_formatter()._expand_help(action) if action.help else "")
    if action.choices and action.metavar and action.option_strings:
        text += f" ({', '.join(map(str, action.choices))})"
    if action.required and action.option_strings:
        text = f"*needed* -- {text}"
    return [f".. option:: {', '.join(heads)}", "", f"   {text}", ""]


def reference(name: str) -> str:
    """Usage and options of a command as MyST."""
    os.environ.update(COLUMNS=WIDTH, NO_COLOR="1")
    made: list[str] = ["", "## Options", "",
                       "Besides these, every command takes `--json` (one JSON value on stdout and nothing else), "
                       "`-v` (a traceback with errors), `-q` (no progress, no notes) and `--help`.", ""]
    for parser in parsers(name):
        words = parser.prog.split()
        if len(words) > 2:
            made += [f"### {' '.join(words)}", "", _text(parser.description or ""), ""]
        made += ["```text", _usage(parser), "```", ""]
        shown = [a for a in parser._actions if a.dest not in COMMON and a.help != argparse.SUPPRESS
                 and not isinstance(a, argparse._SubParsersAction)]
        if shown:
            made += ["```{eval-rst}", f".. program:: {parser.prog}", ""]
            for action in shown:
                made += _option(parser, action)
            made += ["```", ""]
    return "\n".join(made)


def _text(text: str) -> str:
    return re.sub(r"([*_<\[\]])", r"\\\1", text)


def overview(pages: set[str]) -> str:
    """All commands in a table, and the options of those without a page."""
    rows, rest = [], []
    for name, text in cli._available().items():
        written = f"commands/{name}" in pages
        rows.append(f"| [`apex {name}`]({f'{name}.md' if written else f'#apex-{name}'}) | {_text(text)} |")
        if not written:
            rest.append(f"## apex {name}\n\n{_text(text[0].upper() + text[1:])}.\n"
                        + reference(name).replace("\n### ", "\n#### ").replace("\n## Options", "\n### Options"))
    return "\n".join(["| command | what it does |", "|---|---|", *rows, "", *rest])


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    """Complete the pages of commands."""
    folder, _, name = docname.rpartition("/")
    if folder != "commands":
        return
    if name in cli._available():
        source[0] += reference(name)
    source[0] = source[0].replace("<!-- commands -->", overview(app.project.docnames))


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", expand)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
