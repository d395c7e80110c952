"""Parameters of a strategy, with bounds: what a person sets, and what a search may vary."""

from __future__ import annotations

import difflib
from typing import Any, get_type_hints

from apex.domain.errors import ConfigError


class Bound:
    """A default with the range that a search may walk; made by `bound`."""

    def __init__(self, default: int | float, low: int | float, high: int | float) -> None:
        if not low <= default <= high:
            raise ValueError(f"default {default} lies outside {low}..{high}")
        self.default, self.low, self.high = default, low, high


def bound(default: int | float, *, low: int | float, high: int | float) -> Any:
    """A parameter's default and its inclusive bounds.

    Raises
    ------
    ValueError
        If the default lies outside the bounds.
    """
    return Bound(default, low, high)


class Params:
    """Base class of a strategy's parameters: annotated class attributes, some with `bound`.

    >>> class P(Params):
    ...     width: int = bound(5, low=1, high=50)
    ...     name: str = "a"
    >>> P(width=7)
    P(width=7, name='a')
    """

    def __init__(self, **values: Any) -> None:
        fields = self.fields()
        for name in values:
            if name not in fields:
                near = difflib.get_close_matches(name, fields, 1)
                every = ", ".join(sorted(fields)) or "none"
                raise ConfigError(f"unknown parameter {name!r}", "--set",
                                  f"Did you mean {near[0]}?" if near else f"The parameters are: {every}")
        for name, kind in fields.items():
            default = getattr(type(self), name, None)
            limit = default if isinstance(default, Bound) else None
            value: Any = values.get(name, limit.default if limit else default)
            if name not in values and not hasattr(type(self), name):
                raise ConfigError(f"parameter {name} has no default", "--set", f"Give it: --set {name}=...")
            if kind is float and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)
            if isinstance(kind, type) and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
                raise ConfigError(f"parameter {name} = {value!r} is no {kind.__name__}", "--set",
                                  f"Give {name} as {kind.__name__}")
            if kind is int and not -(1 << 63) <= value < 1 << 63:
                raise ConfigError(f"parameter {name} = {value} does not fit 64 bits", "--set", "Choose a smaller value")
            if limit and not limit.low <= value <= limit.high:
                raise ConfigError(f"parameter {name} = {value} lies outside {limit.low}..{limit.high}", "--set",
                                  f"Choose a value from {limit.low} to {limit.high}")
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"parameters are fixed for a run: {name} cannot be set")

    @classmethod
    def fields(cls) -> dict[str, Any]:
        """Names and types in the order of their definition."""
        return {n: t for n, t in get_type_hints(cls).items() if not n.startswith("_")}

    @classmethod
    def bounds(cls) -> dict[str, tuple[int | float, int | float]]:
        """Low and high of every bounded parameter: the genome."""
        found = {n: getattr(cls, n, None) for n in cls.fields()}
        return {n: (b.low, b.high) for n, b in found.items() if isinstance(b, Bound)}

    def as_dict(self) -> dict[str, Any]:
        """Names and values."""
        return {n: getattr(self, n) for n in self.fields()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v in self.as_dict().items())})"
