"""The reference of names, from docstrings in sources and stubs; nothing is imported but the list of apex's faces.

The compiled modules keep their docstrings in the .pyi beside them, where autodoc does not look, so both are read here
in one way: a stub where there is one, else the source.

    <!-- public -->                    every name of `import apex`
    <!-- core -->                      every compiled module
    <!-- names: MODULE NAME ... -->    some names of a module
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apex

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
NAMES = re.compile(r"<!-- names: ([\w.]+) ([\w ]+) -->")
Definition = ast.ClassDef | ast.FunctionDef


def file_of(module: str) -> Path:
    """The file that documents a module: its stub, else its source."""
    base = ROOT.joinpath(*module.split("."))
    choices = (base.with_suffix(".pyi"), base.with_suffix(".py"), base / "__init__.py")
    return next(path for path in choices if path.exists())


def tree(module: str) -> ast.Module:
    """The parsed file of a module."""
    return ast.parse(file_of(module).read_text(encoding="utf-8"))


def _indented(lines: list[str], depth: int) -> list[str]:
    return [" " * depth + line if line else "" for line in lines]


def _doc(text: str | None) -> list[str]:
    """A docstring in numpy's style as reStructuredText."""
    from sphinx.ext.napoleon import Config, NumpyDocstring

    style = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)
    return NumpyDocstring(inspect.cleandoc(text), style).lines() if text else []


def _documented(body: list[ast.stmt]) -> Iterator[tuple[ast.AnnAssign, str]]:
    """Annotated names with the string below them."""
    for place, node in enumerate(body):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            below = body[place + 1] if place + 1 < len(body) else None
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            yield node, text if isinstance(text, str) else ""


def _arguments(node: ast.FunctionDef, *, bound: bool) -> str:
    """The parameters as written, without self or cls."""
    text = ast.unparse(node.args)
    return re.sub(r"^(self|cls)(, /)?(, |$)", "", text) if bound else text


def _function(node: ast.FunctionDef, kind: str = "function") -> list[str]:
    words = {ast.unparse(d) for d in node.decorator_list}
    back = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    if words & {"property", "cached_property", "functools.cached_property"}:
        lines = [f".. py:property:: {node.name}"] + ([f"   :type: {back[4:]}"] if back else [])
    else:
        lines = [f".. py:{kind}:: {node.name}({_arguments(node, bound=kind == 'method')}){back}"]
        lines += [f"   :{word}:" for word in ("classmethod", "staticmethod") if word in words]
    return [*lines, "", *_indented(_doc(ast.get_docstring(node)), 3), ""]


def _class(node: ast.ClassDef) -> list[str]:
    methods = [n for n in node.body if isinstance(n, ast.FunctionDef)]
    maker = next((n for n in methods if n.name == "__init__"), None)
    head = f".. py:class:: {node.name}" + (f"({_arguments(maker, bound=True)})" if maker else "")
    own = [*_doc(ast.get_docstring(node)), ""]
    if maker and ast.get_docstring(maker):
        own += [*_doc(ast.get_docstring(maker)), ""]
    if bases := [ast.unparse(b) for b in node.bases if ast.unparse(b) not in ("object", "NamedTuple")]:
        own = [f"Bases: {', '.join(f'``{b}``' for b in bases)}", "", *own]
    for field, text in _documented(node.body):
        name = field.target.id if isinstance(field.target, ast.Name) else ""
        if not name.startswith("_"):
            own += [f".. py:attribute:: {name}", f"   :type: {ast.unparse(field.annotation)}", "",
                    *_indented(_doc(text), 3), ""]
    for method in methods:
        if not method.name.startswith("_") or method.name == "__getitem__":
            own += _function(method, "method")
    return [head, "", *_indented(own, 3), ""]


def _define(node: Definition) -> list[str]:
    return _class(node) if isinstance(node, ast.ClassDef) else _function(node)


def _rst(module: str, lines: list[str]) -> list[str]:
    return ["```{eval-rst}", f".. py:currentmodule:: {module}", "", *lines, "```", ""]


def names(module: str, wanted: list[str], *, shown_as: str | None = None) -> list[str]:
    """Some definitions of a module as MyST."""
    found = {n.name: n for n in tree(module).body if isinstance(n, Definition)}
    missing = [name for name in wanted if name not in found]
    if missing:
        raise LookupError(f"{module} does not define {', '.join(missing)}")
    return _rst(shown_as or module, [line for name in wanted for line in _define(found[name])])


def public() -> str:
    """Every name of `import apex`, in the order of its list."""
    made: list[str] = []
    for name, module in apex._FACES.items():
        made += [f"## apex.{name}", "", *names(module, [name], shown_as="apex")]
    return "\n".join(made)


def _values(body: list[ast.stmt]) -> list[str]:
    lines: list[str] = []
    for node, text in _documented(body):
        if isinstance(node.target, ast.Name) and not node.target.id.startswith("_"):
            lines += [f".. py:data:: {node.target.id}", f"   :type: {ast.unparse(node.annotation)}", "",
                      *_indented(_doc(text), 3), ""]
    return lines


def elsewhere() -> set[tuple[str, str]]:
    """(module, name) of what pages show by a comment of their own."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    return {(m[1], name) for text in texts for m in NAMES.finditer(text) for name in m[2].split()}


def core() -> str:
    """Every compiled module: its names, from its stub, but for those that another page shows."""
    made: list[str] = []
    others = elsewhere()
    for path in sorted((ROOT / "apex" / "_core").rglob("*.pyi")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        parsed = tree(module)
        head = (path.with_suffix(".pyx").read_text(encoding="utf-8") if path.with_suffix(".pyx").exists() else "")
        said = re.match(r'\s*(?:#[^\n]*\n)*\s*"""(.*?)"""', head, re.DOTALL)
        lines = _values(parsed.body)
        for node in parsed.body:
            if not isinstance(node, Definition) or node.name.startswith("_"):
                continue
            if (module, node.name) in others:
                lines += [f"See :py:class:`~{module}.{node.name}`.", ""]
            elif module == apex._FACES.get(node.name):
                lines += [f"See :py:obj:`apex.{node.name}`.", ""]
            else:
                lines += _define(node)
        about = ["```{eval-rst}", *inspect.cleandoc(said[1]).splitlines(), "```", ""] if said else []
        made += [f"## {module.removeprefix('apex._core.')}", "", *about, *_rst(module, lines)]
    return "\n".join(made)


def expand(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the reference in place of its comments."""
    text = source[0]
    if not docname.startswith(("api/", "write/", "concepts/")):
        return
    if "<!-- public -->" in text:
        text = text.replace("<!-- public -->", public())
    if "<!-- core -->" in text:
        text = text.replace("<!-- core -->", core())
    source[0] = NAMES.sub(lambda m: "\n".join(names(m[1], m[2].split())), text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", expand)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
