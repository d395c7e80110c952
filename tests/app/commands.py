"""Calls of the command line within the test's process, and what they gave."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from apex.app.cli import main


class Call(NamedTuple):
    """Exit code and output of one command."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        """The one JSON value on stdout: nothing before it, nothing after its newline; NaN is no JSON."""
        def refuse(name: str) -> None:
            raise AssertionError(f"{name} on stdout")

        assert self.out.endswith("\n")
        return json.loads(self.out, parse_constant=refuse)

    @property
    def error(self) -> dict[str, str]:
        """The error object: its four keys, all text, and a remedy."""
        found = self.value
        assert list(found) == ["error"]
        error: dict[str, str] = found["error"]
        assert list(error) == ["code", "what", "where", "do"]
        assert all(isinstance(text, str) for text in error.values())
        assert error["what"]
        assert error["do"]
        assert error["code"] != "internal", self.err
        return error


def call(capsys: pytest.CaptureFixture[str], *words: object) -> Call:
    """Run `apex` with these words."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return Call(code, out, err)
