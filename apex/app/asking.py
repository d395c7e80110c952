"""Names of features as people write them, checked, with the models that they name loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from apex._core.features import parse
from apex.domain.errors import ConfigError


class Asked(NamedTuple):
    """A feature as a person named it, and as the core knows it."""

    column: str
    text: str
    parameters: dict[str, Any]


def asked(names: Sequence[str]) -> list[Asked]:
    """Check the names, and load the models that `microprice:FILE` names.

    Raises
    ------
    ConfigError
        For an unknown feature or parameter, or one that is named twice.
    """
    found: list[Asked] = []
    for name in names:
        head, _, rest = name.partition(":")
        parameters: dict[str, Any] = {}
        text = name
        if head.partition(".")[0] == "microprice":
            from apex.research import microprice

            if not rest:
                raise ConfigError("microprice needs a fitted model", "--features",
                                  "Fit one with --fit microprice, then name it: microprice:FILE")
            text, parameters = head, {"model": microprice.load(rest.removeprefix("model="))}
        try:
            parse(text, parameters)
        except ValueError as error:
            raise ConfigError(str(error), name, "See: apex features --list") from None
        if any(name == other.column for other in found):
            raise ConfigError(f"{name} is named twice", "--features", "Name each feature once")
        found.append(Asked(name, text, parameters))
    if not found:
        raise ConfigError("no feature is named", "--features", "See: apex features --list")
    return found
