"""The stubs of the compiled modules against the modules themselves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

CORE = Path(__file__).resolve().parent.parent / "apex" / "_core"

CONFIG = """[mypy]
ignore_missing_imports = true
[mypy-apex.app.*,apex.domain.*,apex.store.*,apex.importers.*,apex.research.*,apex.strategies.*]
ignore_errors = true
"""
"""Only the core is looked at here; mypy has the rest."""

ALLOWED = r"""
.*\.__(reduce|setstate|reduce_cython|setstate_cython|test|pyx_\w+)__
apex\._core\..*\.__init__
apex\._core\.(?!events\b).*\.(EVENT|BATCH|LEVEL|COMMAND)_DTYPE
"""
"""What Cython adds; constructors (a `__cinit__` shows no parameters); dtypes taken from events."""


def modules() -> list[str]:
    found = sorted(p.relative_to(CORE.parent.parent).with_suffix("") for p in CORE.rglob("*.pyx"))
    return [".".join(p.parts) for p in found]


def stubtest(names: list[str], folder: Path, root: Path) -> tuple[int, str]:
    """Exit code and words of mypy.stubtest over the named modules."""
    (folder / "mypy.ini").write_text(CONFIG)
    (folder / "allowed").write_text(ALLOWED)
    command = [sys.executable, "-m", "mypy.stubtest", *names, "--concise",
               "--ignore-unused-allowlist", "--ignore-disjoint-bases",
               "--mypy-config-file", str(folder / "mypy.ini"), "--allowlist", str(folder / "allowed")]
    environment = {**os.environ, "PYTHONPATH": str(root), "MYPYPATH": str(root)}
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout + done.stderr


def test_stubs_agree_with_the_compiled_modules(tmp_path: Path) -> None:
    """Lost otherwise: completion and type checks that describe another module than the one that runs."""
    code, words = stubtest(modules(), tmp_path, CORE.parent.parent)
    assert code == 0, words


def test_a_wrong_stub_is_seen(tmp_path: Path) -> None:
    """Lost otherwise: a check that passes because it looks at nothing."""
    package = tmp_path / "planted"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "module.py").write_text("def width(ticks: int) -> int:\n    return ticks\n")
    (package / "module.pyi").write_text("def width(lots: int) -> int: ...\n")
    code, words = stubtest(["planted.module"], tmp_path, tmp_path)
    assert code == 1
    assert re.search(r"planted\.module\.width .*inconsistent", words), words
