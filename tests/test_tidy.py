"""The architecture as a test: ranks, twin files, banned words, sizes, and what the compiled code may not contain."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "apex" / "_core"
CODE = {".py", ".pyx", ".pxd", ".pxi", ".pyi", ".h"}

RANKS = {
    "_core": 0, "domain": 1, "store": 2, "venues": 3, "importers": 4, "intelligence": 5, "strategies": 5,
    "research": 6, "organism": 7, "alerts": 8, "dashboard": 8, "social": 8, "app": 9,
}
"""A package imports only packages of lower rank, never a sibling of its own."""

FACES = {"research", "strategies", "alerts", "dashboard", "social", "app"}
"""Packages that may `import apex` for its lazy faces, as a user's file would."""

_BELOW_RISK = {"events", "book", "ledger"}
_FEATURES = {"features_touch", "features_levels", "features_shape", "features_trades", "features_liquidity"}
_BELOW_ENGINE = {*_BELOW_RISK, "account", "fees", "impact", "l3", "bars", "segment", "feature", "features", "signals",
                 "risk", "exits", "simvenue"}
CIMPORTS = {
    "events": set(),
    "book": {"events"}, "l3": {"events", "book"}, "ledger": {"events"}, "bars": {"events"}, "segment": {"events"},
    "feature": {"events", "book"},
    **{name: {"events", "book", "feature"} for name in sorted(_FEATURES)},
    "features": {"events", "book", "l3", "ledger", "bars", "segment", "feature", *_FEATURES},
    "signals": {"events", "book", "l3", "ledger", "bars", "segment", "feature", "features"},
    "risk": _BELOW_RISK, "exits": _BELOW_RISK,
    "account": {"ledger"}, "fees": {"ledger"}, "impact": {"events"},
    "simvenue": {*_BELOW_RISK, "account", "impact", "l3", "risk"},
    "engine": _BELOW_ENGINE,
    "replay": {*_BELOW_ENGINE, "engine"}, "sampler": {*_BELOW_ENGINE, "engine"},
    "codecs": {"events", "book", "codecs"},  # book: the reader of recordings keeps the chain's book
    "link": {*_BELOW_ENGINE, "engine", "codecs"},
    "kernel": {"events"}, "market": {"events"},
}
"""What each part of the compiled core may take from the others; so there can be no cycle."""

THIRD_PARTIES = {
    "picows": {"apex/_core/link.pyx", "apex/venues/transport.py"},
    "clickhouse_connect": {"apex/store/"},
    "lightgbm": {"apex/intelligence/"}, "sklearn": {"apex/intelligence/"}, "torch": {"apex/intelligence/"},
    "uvloop": {"apex/app/"},
}
"""Libraries that have one place, and the places."""

BANNED = [
    (r"\btime\.time\b|\btime\.time_ns\b|\bdatetime\.now\b|\bdatetime\.utcnow\b", ("apex/app/", "apex/_core/link"),
     "time is an argument: take ts_local_ns of the event"),
    (r"\bis_live\b|\blive_mode\b", (), "nothing knows whether it is live: give it another gateway or source of events"),
    (r"\b_gateway\b", ("apex/_core/risk",), "only the risk gate holds the gateway: submit an intent to it"),
    (r"^\s*except\s*:", (), "name what is caught"),
    (r"^\s*#\s*cython\s*:|^\s*#\s*distutils\s*:", (), "directives stand in setup.py only"),
    (r"^\s*@?cython\.(boundscheck|wraparound|cdivision|nonecheck|initializedcheck)\b", (),
     "directives stand in setup.py only"),
    (r"\bprint\(", ("apex/app/",), "people's text goes through apex.app.console"),
]
"""(what, where it is allowed, what to write instead), searched in apex/."""

PLACES = re.compile(r"(?<![\w.$}])/(?:work|root|home|Users|mnt)/\w"
                    r"|\b(?!127\.0\.0\.1|0\.0\.0\.0)(?:\d{1,3}\.){3}\d{1,3}\b")
"""Paths and addresses of somebody's machine."""

SIZES = {".py": 400, ".pyx": 600, ".pxi": 600, ".pxd": 400}
LONGER = {
    "apex/_core/simvenue.pyx": (840, "matching, queues and both order legs share one set of orders"),
    "apex/_core/engine.pyx": (840, "the order of work of an event, in one file to be read in one sitting"),
}
"""File -> (lines allowed, why it is not split)."""

FUNCTION_LINES = 80


def files(*tops: str, suffixes: set[str] = CODE) -> Iterator[Path]:
    """Source files under the named folders, none of them built or vendored."""
    for top in tops:
        for path in sorted((ROOT / top).rglob("*")):
            if path.suffix in suffixes and path.is_file() and "__pycache__" not in path.parts:
                yield path


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def code_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers."""
    yield from enumerate(path.read_text(encoding="utf-8").splitlines(), 1)


def part(path: Path) -> str:
    """The part of apex a file belongs to: its package, or "" for the top."""
    inside = path.relative_to(ROOT / "apex").parts
    return inside[0] if len(inside) > 1 else ""


IMPORT = re.compile(r"^\s*(?:from\s+(apex(?:\.\w+)*)\s+c?import\s+(\w+)?|c?import\s+(apex(?:\.\w+)*))", re.MULTILINE)


def imports(path: Path) -> Iterator[str]:
    """Packages and modules of apex that a file takes from, dotted, without `apex.`; "" is apex itself."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        tree = ast.parse(text)
        checked_only = {id(n) for t in ast.walk(tree) if isinstance(t, ast.If) and "TYPE_CHECKING" in ast.dump(t.test)
                        for n in ast.walk(t)}
        for node in ast.walk(tree):
            if id(node) in checked_only:
                continue
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "apex":
                inner = node.module.removeprefix("apex").lstrip(".")
                yield from [inner] if inner else [alias.name for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [a.name for a in node.names if a.name.split(".")[0] == "apex"]
                yield from (n.removeprefix("apex").lstrip(".") for n in names)
        return
    for match in IMPORT.finditer(text):
        module = match[1] or match[3]
        yield module.removeprefix("apex").lstrip(".") or (match[2] or "")


def test_packages_import_only_lower_ranks() -> None:
    """Lost otherwise: the one direction of knowledge; a store that knows strategies can no longer be replaced."""
    wrong = []
    for path in files("apex"):
        own = part(path)
        if not own:
            continue
        assert own in RANKS, f"{name(path)}: package {own} has no rank; add it to RANKS with a reason"
        for module in imports(path):
            other = module.split(".")[0]
            if own in FACES and (other not in RANKS or not other):
                continue
            if other != own and RANKS.get(other, 99) >= RANKS[own]:
                wrong.append(f"{name(path)} ({own}) takes from apex.{module}")
    assert not wrong, "\n".join(wrong)


def test_core_cimports_follow_the_order() -> None:
    """Lost otherwise: a cycle in the core, which then cannot be compiled or read in parts."""
    wrong = []
    for path in files("apex/_core"):
        inside = path.relative_to(CORE)
        own = inside.parts[0] if len(inside.parts) > 1 else {"view": "engine"}.get(inside.stem, inside.stem)
        if own == "__init__" or path.suffix == ".h":
            continue
        if path.suffix == ".pxi" and len(inside.parts) == 1:
            users = (p for p in files("apex/_core", suffixes={".pyx"}) if f'"{path.name}"' in p.read_text("utf-8"))
            own = next(users).stem
        assert own in CIMPORTS, f"{name(path)}: {own} has no place in CIMPORTS"
        for module in imports(path):
            pieces = module.split(".")
            assert pieces[0] == "_core", f"{name(path)}: the core imports nothing of apex but itself, not {module}"
            other = pieces[1] if len(pieces) > 1 else ""
            if other != own and other not in CIMPORTS[own]:
                wrong.append(f"{name(path)} takes from _core.{other}")
    assert not wrong, "\n".join(wrong)


def test_every_compiled_module_has_its_three_faces() -> None:
    """Lost otherwise: a module that C code, Python code or a type checker cannot use."""
    for path in files("apex/_core", suffixes={".pyx"}):
        for suffix in (".pxd", ".pyi"):
            assert path.with_suffix(suffix).exists(), f"{name(path)} has no {suffix} twin"
    for path in files("apex/_core", suffixes={".pyi"}):
        assert path.with_suffix(".pyx").exists(), f"{name(path)} has no .pyx"


def test_third_parties_stay_in_their_place() -> None:
    """Lost otherwise: an import of a heavy or replaceable library spreads until it can never be taken out."""
    for path in files("apex"):
        for match in re.finditer(r"^\s*(?:from|c?import)\s+(\w+)", path.read_text("utf-8"), re.MULTILINE):
            places = THIRD_PARTIES.get(match[1])
            assert not places or name(path).startswith(tuple(places)), f"{name(path)}: {match[1]} has its place"


@pytest.mark.parametrize(("word", "allowed", "instead"), BANNED, ids=[b[2][:30] for b in BANNED])
def test_banned_words(word: str, allowed: tuple[str, ...], instead: str) -> None:
    """Lost otherwise: one of the seven rules, broken by a word that looks harmless."""
    pattern = re.compile(word)
    wrong = [f"{name(path)}:{number}: {line.strip()}\n    {instead}"
             for path in files("apex") if not any(name(path).startswith(a) for a in allowed)
             for number, line in code_lines(path) if pattern.search(line.split("  # tidy: ")[0])]
    assert not wrong, "\n".join(wrong)


def test_no_machine_is_named() -> None:
    """Lost otherwise: a checkout that works on its author's machine only."""
    texts = {*CODE, ".md", ".toml", ".sh", ".txt", ".cpp", ""}
    tops = ("apex", "tests", "benchmarks", "tools", "config", "docs", ".ci")
    single = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", "setup.py", "pyproject.toml")
    top_files = [ROOT / f for f in single]
    wrong = []
    for path in [*files(*tops, suffixes=texts), *(f for f in top_files if f.exists())]:
        if path == Path(__file__) or "static" in path.parts:
            continue
        wrong += [f"{name(path)}:{n}: {line.strip()[:100]}" for n, line in code_lines(path) if PLACES.search(line)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("place", ["requirements.lock", "docs/requirements.lock"])
def test_the_locks_have_hashes_and_no_addresses(place: str) -> None:
    """Lost otherwise: installs that are not what was tested, or that only work against one index."""
    lock = ROOT / place
    if not lock.exists():
        pytest.skip(f"{place} is not part of this copy")
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n", "", lock.read_text("utf-8")).strip())
    assert len(entries) > 20
    for entry in entries:
        assert re.match(r"[\w.-]+==[\w.!+]+( ;|\s)", entry), entry[:80]
        assert "--hash=sha256:" in entry, entry[:80]
        assert "://" not in entry, entry[:80]


def test_an_installed_package_has_its_data() -> None:
    """Lost otherwise: scenarios and pages that work in the checkout and are missing for who installed a wheel."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    taken = {path for pattern in config["package-data"]["apex"] for path in (ROOT / "apex").glob(pattern)}
    built = {*CODE - {".pyi", ".pxd", ".h"}, ".so", ".c"}
    left = [name(path) for path in sorted((ROOT / "apex").rglob("*"))
            if path.is_file() and path.suffix not in built and "__pycache__" not in path.parts and path not in taken]
    assert not left, "\n".join(left)


def test_files_and_functions_stay_short() -> None:
    """Lost otherwise: a person can no longer read a file in one sitting."""
    wrong = []
    for path in files("apex", "tests", "benchmarks", "tools"):
        lines = path.read_text("utf-8").count("\n")
        limit = LONGER.get(name(path), (SIZES.get(path.suffix, 10_000), ""))[0]
        if lines > limit:
            wrong.append(f"{name(path)}: {lines} lines, {limit} allowed")
        if path.suffix == ".py":
            wrong += [f"{name(path)}: {node.name} has {node.end_lineno - node.lineno + 1} lines"
                      for node in ast.walk(ast.parse(path.read_text("utf-8")))
                      if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
                      and node.end_lineno - node.lineno + 1 > FUNCTION_LINES]
    assert not wrong, "\n".join(wrong)
    for stale, (limit, _) in LONGER.items():
        path = ROOT / stale
        lines = path.read_text("utf-8").count("\n") if path.exists() else limit
        assert lines > SIZES[path.suffix], f"{stale} needs no exception any more"
        assert limit <= 1.4 * SIZES[path.suffix], f"{stale}: split it"


# ---- compiled code ---------------------------------------------------------------------------------------------------

DECLARED = re.compile(r"^(\s*)(?:cdef|cpdef)\s+(?!class\b|extern\b|struct\b|enum\b|union\b|packed\b|from\b)"
                      r"(?P<head>[^()=#]*?)(?P<name>\w+)\s*\((?P<rest>.*)$")
NO_RETURN_TYPE = {"", "inline", "object", "str", "bytes", "list", "tuple", "dict"}


def declarations(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """(line, return type, name, what follows the parameters) of each cdef function, continuation lines joined."""
    lines = path.read_text("utf-8").splitlines()
    extern = -1
    for number, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if re.match(r"\s*cdef extern\b", line):
            extern = indent
            continue
        if line.strip() and indent <= extern:
            extern = -1
        match = DECLARED.match(line)
        if match is None or extern >= 0:
            continue
        text, following = match["rest"], number
        while text.count("(") >= text.count(")") and following + 1 < len(lines):
            following += 1
            text += " " + lines[following].strip()
        depth, end = 1, 0
        while depth and end < len(text):
            depth += (text[end] == "(") - (text[end] == ")")
            end += 1
        after = text[end:].split("#")[0]
        if after.rstrip().endswith("\\"):
            after += lines[following + 1]
        if re.match(r"\s*(\*|\()", after) or "(" in match["head"]:
            continue  # a pointer to a function, not a function
        yield number + 1, match["head"].strip(), match["name"], after


def test_every_cdef_function_says_how_it_fails() -> None:
    """Lost otherwise: 50 ns a call and more (the GIL is taken to look for an error), or an error that is swallowed."""
    wrong = []
    for path in files("apex/_core", suffixes={".pyx", ".pxd", ".pxi"}):
        for number, head, function, after in declarations(path):
            words = [w for w in head.split() if w not in ("inline", "public", "api")]
            if " ".join(words) in NO_RETURN_TYPE or (len(words) == 1 and words[0][0].isupper()):
                continue  # it returns an object: an error is NULL
            if not re.search(r"\bnoexcept\b|\bexcept\b", after):
                wrong.append(f"{name(path)}:{number}: {function} says neither noexcept nor except")
            if re.search(r"\bexcept\s*\*", after):
                wrong.append(f"{name(path)}:{number}: {function}: `except *` looks for an error after every call")
    assert not wrong, "\n".join(wrong)


CALLS_PYTHON = {
    "engine": {"_call", "_call_strategies"},
}
"""Functions without the GIL that take it on purpose: the calls of a strategy."""

TAKES_PYTHON = re.compile(r"\b(PyGILState_Ensure|__Pyx_PyGILState_Ensure|__Pyx_ErrOccurredWithGIL|__Pyx_WriteUnraisable"
                          r"|__Pyx_GetBuiltinName|__Pyx_PyObject_\w+|PyObject_\w+|PyLong_\w+|PyList_\w+|PyDict_\w+"
                          r"|PyFloat_\w+|PyTuple_\w+|__Pyx_PyInt_\w+|__Pyx_Import\w*)\s*\(")
BODY = re.compile(r"^static (?:CYTHON_INLINE )?[\w \*]*?__pyx_f_\w+\(.*\) \{$", re.MULTILINE)


def bodies(text: str) -> Iterator[tuple[str, str]]:
    """(mangled name, C up to the error label) of the cdef functions of a generated file."""
    for match in BODY.finditer(text):
        end = text.find("\n}\n", match.end())
        mangled = re.search(r"__pyx_f_\w+", match[0])
        assert mangled is not None
        body = text[match.end():end]
        yield mangled[0], body.split("__pyx_L1_error:;")[0]


def nogil_functions(module: str) -> set[str]:
    path = CORE / module
    found = set()
    for suffix in (".pyx", ".pxd"):
        if path.with_suffix(suffix).exists():
            found |= {f for _, _, f, after in declarations(path.with_suffix(suffix)) if "nogil" in after}
    for line in re.findall(r'^include "(\w+\.pxi)"', path.with_suffix(".pyx").read_text("utf-8"), re.MULTILINE):
        found |= {f for _, _, f, after in declarations(path.parent / line) if "nogil" in after}
    return found


def offences(module: str, generated: str) -> tuple[int, list[str]]:
    """How many functions without the GIL were looked at, and which of them touch Python."""
    wanted = nogil_functions(module) - CALLS_PYTHON.get(module, set())
    seen, wrong = 0, []
    for mangled, body in bodies(generated):
        function = max((f for f in wanted if mangled.endswith(f"_{f}")), key=len, default=None)
        if function is None:
            continue
        seen += 1
        found = TAKES_PYTHON.search(body)
        if found:
            wrong.append(f"{module}.{function}: {found[1]}")
    return seen, wrong


def modules() -> list[str]:
    return [p.relative_to(CORE).with_suffix("").as_posix() for p in files("apex/_core", suffixes={".pyx"})]


@pytest.mark.parametrize("module", modules())
def test_hot_functions_touch_no_python(module: str) -> None:
    """Lost otherwise: one Python object in a function called for every event, 10 to 100 times the time of an event."""
    from apex._core.events import BUILD

    if BUILD != "release":
        pytest.skip("the checked build has Python in its checks; the release build is what is timed")
    generated = ROOT / "build" / "cython-release" / "apex" / "_core" / f"{module}.c"
    assert generated.exists(), f"{generated} is missing: make build"
    seen, wrong = offences(module, generated.read_text("utf-8", errors="replace"))
    assert seen or not nogil_functions(module), "no function was recognised in the generated C"
    assert not wrong, "\n".join(wrong)


def test_the_search_finds_a_planted_object() -> None:
    """Lost otherwise: a search of the generated C that finds nothing because it recognises nothing."""
    planted = ("static int __pyx_f_4apex_5_core_4book_book_apply(struct x *__pyx_v_book) {\n"
               "  __pyx_t_1 = PyLong_FromLong(3);\n  __pyx_L1_error:;\n}\n")
    assert offences("book", planted) == (1, ["book.book_apply: PyLong_FromLong"])
