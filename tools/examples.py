"""The examples of the documentation: found in its pages, run, and compared with what the pages show.

    tools/examples.py PAGE.md ... [--write]      run the examples of pages; --write puts what came out into them

A page's examples run in order, in one folder of their own, which has `build/demo/market.tape` as `make demo` makes it,
`market.tape` (the same), `config/`, and `mine.py` with the market maker of the README; `$CHECKOUT` is the folder of the
project. What runs:

    ```python       executed; all blocks of a page share their names, and begin with `apex` and its `Maker`
    ```console      each line that begins with `$ ` is run by bash; the lines below it are what it prints

A comment on the line before a block changes that:

    <!-- file: NAME -->        the block is that file; a Python file is then imported, with all its names
    <!-- output -->            the block is what the Python block before it printed
    <!-- skip: WHY -->         the block is not run
    <!-- peer: NAME -->        the block is a file for a peer's Python, not imported here
    <!-- peer: run -->         the console block is run with the peer's Python, where there is one

In what a page shows, `...` stands for anything within a line, and a line of `...` alone for any lines.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<word>[^`\s]*)[^`]*$")
COMMENT = re.compile(r"^ *<!-- (?P<word>file|output|skip|peer)(?:: (?P<value>.*?))? -->$")
COMMAND = re.compile(r"^ *(?:\$ +)?(?:\.venv/bin/)?apex +(?P<rest>[a-z-].*)$")
SECONDS = 120


class Block(NamedTuple):
    """A fenced block of a page: its place, its language, its text, and the comment before it."""

    page: Path
    line: int
    word: str
    text: str
    note: str
    value: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


Shown = tuple[str, str, str]
"""What printed it, what the page shows, what came out."""
Played = tuple[Block, list[Shown]]


def pages() -> list[Path]:
    """All pages with examples: the README and the folder docs."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if page.exists() and page.relative_to(ROOT).parts[1:2] != ("results",)]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        opening = FENCE.match(lines[number])
        if opening is None:
            number += 1
            continue
        note = COMMENT.match(lines[number - 1]) if number else None
        first, end = number + 1, number + 1
        while end < len(lines) and not re.fullmatch(rf" *{opening['ticks']} *", lines[end]):
            end += 1
        text = "\n".join(line.removeprefix(opening["indent"]) for line in lines[first:end])
        found.append(Block(page, first, opening["word"], text, note["word"] if note else "",
                           (note["value"] or "") if note else ""))
        number = end + 1
    return found


def command_lines(page: Path) -> Iterator[tuple[int, str]]:
    """Every `apex ...` line of a page, in whatever block it stands, with its continuations joined.

    One that shows its exit code is left out: it is there for its error.
    """
    lines = page.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if match := COMMAND.match(line):
            text, following = match["rest"], number
            while text.endswith("\\") and following < len(lines):
                text = text[:-1].rstrip() + " " + lines[following].strip()
                following += 1
            if line.startswith(("    ", "$", "apex", ".venv")) and "exit $?" not in line:
                yield number, re.split(r"\s*(?:\s#|\||>|;|&&)", text)[0]


def _lines(text: str) -> list[str]:
    """Lines without blanks at their ends, and without empty ones around them."""
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n").splitlines()


def matches(expected: str, got: str) -> bool:
    """Whether output is what a page shows."""
    want, have = _lines(expected), _lines(got)
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else ".*?".join(re.escape(part) for part in line.split("...")) + r"\n"
        for line in want)
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in have)) is not None


def transcript(text: str) -> list[tuple[str, str]]:
    """(command, output) of each prompt of a console block."""
    found: list[tuple[str, str]] = []
    lines = iter(text.splitlines())
    command: str | None = None
    output: list[str] = []
    for line in lines:
        if line.startswith("$ "):
            if command is not None:
                found.append((command, "\n".join(output)))
            command, output = line[2:], []
            while command.endswith("\\"):
                command += "\n" + next(lines)
        else:
            output.append(line)
    if command is not None:
        found.append((command, "\n".join(output)))
    return found


class Sandbox:
    """A folder in which a page's examples run, with the names they share."""

    def __init__(self, folder: Path, market: Path, peer: Path | None = None) -> None:
        self.folder, self.peer, self.printed = folder, peer, ""
        self.names: dict[str, Any] = {}
        demo = folder / "build" / "demo"
        demo.mkdir(parents=True)
        for place in (demo / "market.tape", folder / "market.tape"):
            place.symlink_to(market)
        shutil.copytree(ROOT / "config", folder / "config")
        shim = folder / ".venv" / "bin" / "apex"
        shim.parent.mkdir(parents=True)
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m apex "$@"\n', encoding="utf-8")
        shim.chmod(0o755)
        maker = next(block.text for block in blocks(ROOT / "README.md") if "class Maker" in block.text)
        (folder / "mine.py").write_text(f"{maker}\n", encoding="utf-8")
        self.environment = {
            **os.environ, "PATH": f"{shim.parent}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "TZ": "UTC", "NO_COLOR": "1",
            "CHECKOUT": str(ROOT),
        }

    def run(self, block: Block) -> list[Shown]:
        """Run a block; (what, expected, got) of each output that the page shows."""
        if block.note == "skip" or (block.note, block.value, self.peer) == ("peer", "run", None):
            return []
        if block.note == "file" or (block.note == "peer" and block.value != "run"):
            self._file(block)
            return []
        if block.note == "output":
            return [(f"{block}: what the Python before it printed", block.text, self.printed)]
        if block.word == "python":
            self._python(block)
        elif block.word == "console":
            peer = self.peer if block.note == "peer" else None
            return [(f"{block}: $ {command}", output, self._shell(command, peer))
                    for command, output in transcript(block.text)]
        return []

    def _file(self, block: Block) -> None:
        path = self.folder / block.value
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text + "\n", encoding="utf-8")
        if path.suffix == ".py" and block.note == "file":
            sys.modules.pop(path.stem, None)
            importlib.invalidate_caches()
            module = importlib.import_module(path.stem)
            self.names.update({name: value for name, value in vars(module).items() if not name.startswith("__")})

    def _python(self, block: Block) -> None:
        if not self.names:
            exec("import apex\nfrom apex.strategies.maker import Maker", self.names)
        code = compile("\n" * block.line + block.text, str(block.page), "exec")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, self.names)
        self.printed = said.getvalue()

    def _shell(self, command: str, peer: Path | None) -> str:
        environment = self.environment
        if peer is not None:
            environment = {**environment, "PATH": f"{peer.parent}:{environment['PATH']}"}
            del environment["PYTHONPATH"]
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, env=environment, timeout=SECONDS, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False)
        if done.returncode not in (0, 1) and "exit" not in command:
            raise RuntimeError(f"$ {command}\nended with {done.returncode}:\n{done.stdout}")
        return done.stdout


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The folder as working directory and first place of imports, and neither afterwards."""
    before, own = Path.cwd(), set(sys.modules)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.modules.pop("mine", None)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))
        for name in set(sys.modules) - own:
            if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(folder)):
                del sys.modules[name]


def play(page: Path, folder: Path, market: Path, peer: Path | None = None,
         keep: dict[str, Any] | None = None) -> list[Played]:
    """Run all examples of a page in a new folder; what each block shows, and what came out. `keep` gets its names."""
    sandbox = Sandbox(folder, market, peer)
    found: list[Played] = []
    with inside(folder):
        for block in blocks(page):
            try:
                found.append((block, sandbox.run(block)))
            except Exception as error:
                error.add_note(f"in the example {block}")
                raise
    if keep is not None:
        keep.update(sandbox.names)
    return found


def demo_market(path: Path) -> Path:
    """The market of `make demo`."""
    from apex.app import cli

    with contextlib.redirect_stdout(io.StringIO()):
        code = cli.main(["generate", "--seed", "7", "--events", "1000000", "--out", str(path)])
    if code:
        raise RuntimeError(f"apex generate ended with {code}")
    return path


def renewed(expected: str, got: str) -> list[str]:
    """Output for a page: lines that the page shows with `...` in them stay as long as they hold."""
    patterns = [line for line in expected.splitlines() if "..." in line]
    return [next((p for p in patterns if matches(p, line)), line) for line in _lines(got)]


def rewrite(page: Path, played: list[Played]) -> int:
    """Put what came out into a page where it shows something else; how many outputs changed."""
    lines = page.read_text(encoding="utf-8").splitlines()
    changed = 0
    for block, outputs in reversed(played):
        wrong = [(what, expected) for what, expected, got in outputs if not matches(expected, got)]
        if any("..." in expected.splitlines() for _, expected in wrong):
            print(f"{block}: a line of `...` stands for too little; write this one by hand")
            continue
        changed += len(wrong)
        commands = transcript(block.text) if block.word == "console" else [("", "")]
        new: list[str] = []
        for (command, _), (_, expected, got) in zip(commands, outputs, strict=False):
            new += [f"$ {command}"] if command else []
            new += expected.splitlines() if matches(expected, got) else renewed(expected, got)
        if wrong:
            lines[block.line:block.line + len(block.text.splitlines())] = "\n".join(new).splitlines()
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return changed


def main() -> int:
    """Run the pages that are named, or all."""
    import tempfile

    parser = argparse.ArgumentParser(description="Run the examples of the documentation's pages.")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE.md")
    parser.add_argument("--write", action="store_true", help="put what came out into the pages")
    args = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    wrong = 0
    with tempfile.TemporaryDirectory() as place:
        market = demo_market(Path(place, "market.tape"))
        for number, page in enumerate(path.resolve() for path in args.pages or pages()):
            folder = Path(place, str(number))
            folder.mkdir()
            played = play(page, folder, market)
            for _, outputs in played:
                for what, expected, got in outputs:
                    if not matches(expected, got):
                        wrong += 1
                        print(f"{what}\nshown:\n{expected}\ncame out:\n{got}")
            if args.write:
                print(f"{page.name}: {rewrite(page, played)} outputs written")
    return 1 if wrong and not args.write else 0


if __name__ == "__main__":
    sys.exit(main())
