"""Writes every fault of list.toml into a copy of the sources, each asleep until its number is chosen.

A statement becomes a choice between what it was and what it becomes; `if`, `elif` and `while` choose their condition,
the declaration of a bint its value. The number is read once a process from the environment variable APEX_MUTANT (0: no
fault).
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

LIST = Path(__file__).with_name("list.toml")
HEADER = """/* The fault that this process runs with: APEX_MUTANT, 0 for none. */
#ifndef APEX_MUTANT_H
#define APEX_MUTANT_H
#include <stdlib.h>
static inline int apex_mutant(void)
{
    static int number = -1;
    if (number < 0) {
        const char *chosen = getenv("APEX_MUTANT");
        number = chosen ? atoi(chosen) : 0;
    }
    return number;
}
#endif
"""
DECLARED = 'cdef extern from "mutant.h" nogil:\n    int apex_mutant() noexcept\n\n'
CONDITION = re.compile(r"(if|elif|while)\b(.*):$", re.DOTALL)
DECLARATION = re.compile(r"(cdef bint \w+ = )(.*)$", re.DOTALL)


class Mutant(NamedTuple):
    """A row of the list."""

    number: int
    file: str
    inside: str
    line: str
    changed: str
    equivalent: str = ""

    def __str__(self) -> str:
        return f"mutant {self.number} ({self.file}, {self.inside})"


class Misplaced(Exception):
    """A row that does not fit the sources."""


def mutants() -> list[Mutant]:
    """The rows of the list, whose numbers count from 1."""
    rows = [Mutant(**row) for row in tomllib.loads(LIST.read_text(encoding="utf-8"))["mutant"]]
    if [row.number for row in rows] != list(range(1, len(rows) + 1)):
        raise Misplaced("the numbers of list.toml do not count from 1")
    return rows


def _code(line: str) -> str:
    """A line without its indent and its comment."""
    return line.strip().split("  # ")[0].rstrip()


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def place(lines: list[str], row: Mutant) -> tuple[int, int]:
    """First line of the row's statement and the line after its last. Raises Misplaced."""
    heads = [i for i, line in enumerate(lines) if line.strip().startswith(row.inside)
             and not line.strip().startswith("cdef extern")]
    if len(heads) != 1:
        raise Misplaced(f"{row}: the function begins {len(heads)} times in the source")
    head = heads[0]
    end = head + 1
    while end < len(lines) and (not lines[end].strip() or _indent(lines[end]) > _indent(lines[head])):
        end += 1
    wanted = [part.strip() for part in row.line.splitlines()]
    found = [i for i in range(head + 1, end - len(wanted) + 1)
             if [_code(line) for line in lines[i:i + len(wanted)]] == wanted]
    if len(found) != 1:
        raise Misplaced(f"{row}: `{row.line}` stands {len(found)} times in the function, once is wanted")
    return found[0], found[0] + len(wanted)


def _chain(rows: list[Mutant], values: list[str], original: str) -> str:
    """A condition that chooses by number. Cython makes objects of `a if c else b` with two types, not of and and or."""
    text = "".join(f"apex_mutant() == {row.number} and ({value}) or " for row, value in zip(rows, values, strict=True))
    asleep = " and ".join(f"apex_mutant() != {row.number}" for row in rows)
    return f"({text}{asleep} and ({original}))"


def _part(pattern: re.Pattern[str], text: str, row: Mutant) -> tuple[str, str]:
    match = pattern.match(text)
    if match is None:
        raise Misplaced(f"{row}: `{text}` is no statement of the same form as the original")
    return match[1], match[2].strip()


def choice(original: str, rows: list[Mutant], pad: str) -> list[str]:
    """The lines that stand for one statement and its faults."""
    for pattern, end in ((CONDITION, ":"), (DECLARATION, "")):
        if pattern.match(original):
            head, value = _part(pattern, original, rows[0])
            parts = [_part(pattern, row.changed, row) for row in rows]
            if any(part[0] != head for part in parts):
                raise Misplaced(f"{rows[0]}: another keyword or declaration than `{head}`")
            space = "" if head.endswith(" ") else " "
            return [f"{pad}{head}{space}{_chain(rows, [part[1] for part in parts], value)}{end}"]
    lines = []
    for number, row in enumerate(rows):
        lines += [f"{pad}{'elif' if number else 'if'} apex_mutant() == {row.number}:",
                  *(f"{pad}    {part.strip()}" for part in row.changed.splitlines())]
    return [*lines, f"{pad}else:", *(f"{pad}    {part.strip()}" for part in original.splitlines())]


def planted(text: str, rows: list[Mutant]) -> str:
    """A source with its faults in. Raises Misplaced."""
    lines = text.splitlines()
    groups: dict[tuple[int, int], list[Mutant]] = defaultdict(list)
    for row in rows:
        groups[place(lines, row)].append(row)
    for (first, last), together in sorted(groups.items(), reverse=True):
        lines[first:last] = choice(together[0].line, together, " " * _indent(lines[first]))
    return "\n".join(lines) + "\n"


def declared(text: str) -> str:
    """A module's source with the chooser declared before its first cdef of its own."""
    match = re.search(r"^(cdef extern|cdef |cpdef |DEF |[A-Z_]+ = )", text, re.MULTILINE)
    if match is None:
        raise Misplaced("the source has no declaration to put the chooser before")
    return text[:match.start()] + DECLARED + text[match.start():]


def plant(core: Path) -> int:
    """Rewrite the sources of a copy; how many faults they have. A file that is right already is left as it is."""
    rows = mutants()
    (core / "mutant.h").write_text(HEADER, encoding="utf-8")
    os.utime(core / "mutant.h", (LIST.stat().st_mtime,) * 2)
    for name in sorted({row.file for row in rows}):
        path = core / name
        text = planted(path.read_text(encoding="utf-8"), [row for row in rows if row.file == name])
        newest = max(path.stat().st_mtime, LIST.stat().st_mtime, Path(__file__).stat().st_mtime)
        path.write_text(text if name.endswith(".pxi") else declared(text), encoding="utf-8")
        os.utime(path, (newest, newest))
    return len(rows)


def main() -> int:
    """Plant into the checkout's copy that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("copy", type=Path, help="a copy of the checkout, made by tools/copy_tree.sh")
    core = parser.parse_args().copy / "apex" / "_core"
    try:
        print(f"{plant(core)} mutants planted")
    except Misplaced as error:
        print(f"mutants: {error}\n  Change its row in tools/mutants/list.toml", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
