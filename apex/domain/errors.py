"""Errors that a person can act on: what happened, where, and what to do."""

from __future__ import annotations


class ApexError(Exception):
    """An error with its place and its remedy.

    Parameters
    ----------
    what : str
        What happened, in one sentence.
    where : str
        File and line, option, or key.
    do : str
        What the reader can do about it.
    code : str
        Stable short name for scripts.
    """

    exit_code = 3
    code = "error"

    def __init__(self, what: str, where: str = "", do: str = "", code: str | None = None) -> None:
        super().__init__(what)
        self.what, self.where, self.do = what, where, do
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        remedy = f"\n  {self.do}" if self.do else ""
        return f"{self.what}{place}{remedy}"


class StrategyError(ApexError):
    """The strategy raised; the run is void."""

    exit_code = 1
    code = "strategy"


class ConfigError(ApexError):
    """The operator is wrong: usage or configuration."""

    exit_code = 2
    code = "usage"


class InputError(ApexError):
    """A file is not what it claims to be."""

    exit_code = 3
    code = "input"


class EnvironmentProblem(ApexError):
    """Disk, port, lock or a missing program."""

    exit_code = 4
    code = "environment"
