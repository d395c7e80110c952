"""APEX: a trading engine. What you replay is what you run.

`import apex` loads nothing but this file; each name below brings its module on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apex._core.engine import Strategy as Strategy
    from apex.app.calibrate import calibrate as calibrate
    from apex.app.features import features as features
    from apex.app.replay import replay as replay
    from apex.app.sweep import sweep as sweep
    from apex.domain.params import Params as Params
    from apex.domain.params import bound as bound
    from apex.store.tape import Tape as Tape

__version__ = "0.1.0"

_FACES = {
    "calibrate": "apex.app.calibrate",
    "features": "apex.app.features",
    "replay": "apex.app.replay",
    "sweep": "apex.app.sweep",
    "Strategy": "apex._core.engine",
    "Params": "apex.domain.params",
    "bound": "apex.domain.params",
    "Tape": "apex.store.tape",
}


def __getattr__(name: str) -> Any:
    if name not in _FACES:
        raise AttributeError(f"module 'apex' has no attribute {name!r}")
    found = getattr(importlib.import_module(_FACES[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACES})
