"""Scores and signals declared in TOML or Python instead of in a strategy: checked, then given to the engine."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from apex._core.engine import View
from apex.app.asking import asked
from apex.domain.errors import ConfigError, InputError
from apex.domain.instrument import Instrument


class Term(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A feature of a score: its weight and its shape (see `Signals.blend`)."""

    feature: str
    weight: float = 1.0
    shape: str = "linear"
    centre: float | None = None
    scale: float | None = None
    limit: float | None = None
    updates: int | None = None


class Score(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A weighted score: `[[scores]]` with its `[[scores.terms]]`."""

    name: str
    terms: list[Term]
    bias: float = 0.0
    instrument: str | None = None


class Signal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A threshold on a feature or score, or a combination of signals above it: `[[signals]]`."""

    name: str
    feature: str | None = None
    above: float | None = None
    below: float | None = None
    hysteresis: float | None = None
    all: list[str] = []
    any: list[str] = []
    none: list[str] = []
    cooldown: str = "0ns"
    instrument: str | None = None
    quiet: bool = False


def read(path: str | Path) -> dict[str, Any]:
    """The tables `scores` and `signals` of a TOML file, and nothing else.

    Raises
    ------
    InputError, ConfigError
    """
    try:
        with Path(path).open("rb") as stream:
            found = tomllib.load(stream)
    except OSError as error:
        raise InputError(f"cannot read the signals: {error.strerror}", str(path), "Give a readable file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}", str(path), "Correct the file") from None
    for key in found:
        if key not in ("scores", "signals"):
            raise ConfigError(f"unknown key {key!r}", str(path), "The keys are: scores, signals")
    return found


def _converted(given: Mapping[str, Any], kind: Any, where: str) -> Any:
    """One table, checked."""
    if isinstance(given, Mapping):
        terms = given.get("terms", ())
        terms = terms if isinstance(terms, list | tuple) else ()         # else the conversion says what it is
        for name, table, struct in ((where, given, kind), *((f"{where}.terms", t, Term) for t in terms
                                                            if isinstance(t, Mapping))):
            known = struct.__struct_fields__
            for key in table:
                if key not in known:
                    near = difflib.get_close_matches(key, known, 1)
                    raise ConfigError(f"unknown key {key!r}", name,
                                      f"Did you mean {near[0]}?" if near else f"The keys are: {', '.join(known)}")
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error), where, "Correct the table") from None


def checked(scores: Sequence[Mapping[str, Any]], signals: Sequence[Mapping[str, Any]]
            ) -> tuple[list[Score], list[Signal]]:
    """The tables as structs.

    Raises
    ------
    ConfigError
        For an unknown key or a wrong type, and for a signal that is neither a threshold nor a combination.
    """
    first = [_converted(x, Score, "scores") for x in scores]
    second = [_converted(x, Signal, "signals") for x in signals]
    for signal in second:
        threshold = (signal.feature, signal.above, signal.below, signal.hysteresis)
        combined = bool(signal.all or signal.any or signal.none)
        if combined == (signal.feature is not None) or (combined and any(x is not None for x in threshold)):
            raise ConfigError(f"signal {signal.name!r} is a threshold on a feature, or a combination", "signals",
                              "Give feature with above or below; or all, any, none")
    return first, second


def declare(view: View, scores: Sequence[Mapping[str, Any]], signals: Sequence[Mapping[str, Any]],
            instruments: Sequence[Instrument]) -> None:
    """Declare scores and signals for the strategy of a view, in their order.

    Raises
    ------
    ConfigError
        For what names no feature, signal or instrument, or makes no sense.
    """
    symbols = [x.symbol for x in instruments]

    def place(name: str | None) -> int:
        if name is None:
            return 0
        if name not in symbols:
            raise ConfigError(f"no instrument {name!r}", "signals", f"The instruments are: {', '.join(symbols)}")
        return symbols.index(name)

    made: set[tuple[str, int]] = set()

    def known(name: str, index: int) -> str:
        """A score's or feature's name as the core knows it; models are loaded."""
        if (name, index) in made:
            return name
        feature = asked([name])[0]
        view[index].feature(feature.text, **feature.parameters)
        return feature.text

    structs = checked(scores, signals)
    try:
        for score in structs[0]:
            index = place(score.instrument)
            weights: dict[str, dict[str, Any]] = {}
            for term in score.terms:
                if (text := known(term.feature, index)) in weights:
                    raise ConfigError(f"score {score.name!r} has {term.feature} twice", "scores",
                                      "Give one term a feature")
                weights[text] = _weight(term)
            view.blend(score.name, weights, score.bias, index)
            made.add((score.name, index))
        for signal in structs[1]:
            if signal.feature is None:
                view.combine(signal.all, signal.any, signal.none, signal.cooldown, signal.name, signal.quiet)
                continue
            index = place(signal.instrument)
            view.when(known(signal.feature, index), signal.above, signal.below, signal.hysteresis or 0.0,
                      signal.cooldown, index, signal.name, signal.quiet)
    except ValueError as error:
        raise ConfigError(str(error), "signals", "See docs/signals.md") from error


def _weight(term: Term) -> dict[str, Any]:
    """A term as `blend` takes it: only what was given."""
    rest = {name: getattr(term, name) for name in ("centre", "scale", "limit", "updates")}
    return {"weight": term.weight, "shape": term.shape, **{k: v for k, v in rest.items() if v is not None}}
