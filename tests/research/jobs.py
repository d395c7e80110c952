"""Functions that worker processes import by name."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from apex.domain.errors import ConfigError, StrategyError
from apex.research.worker import Advance, Evaluate


def squares(context: int) -> Evaluate:
    """The square of an item plus the context, and the process that made it."""
    def evaluate(item: Any, advance: Advance) -> tuple[int, int]:
        for done in range(1, item % 5 + 1):
            advance(done)
        return item * item + context, os.getpid()

    return evaluate


def moody(context: Any) -> Evaluate:
    """Raises, leaves or dies at some items."""
    def evaluate(item: Any, advance: Advance) -> Any:
        match item:
            case "raise":
                raise ValueError("no such item")
            case "strategy":
                raise StrategyError("the strategy raised", "here", "its traceback")
            case "leave":
                sys.exit(3)
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "exit":
                os._exit(7)
            case "unsendable":
                return lambda: None
            case "print":
                print("printed by a worker", flush=True)
        return item

    return evaluate


def broken(context: Any) -> Evaluate:
    """Cannot begin."""
    raise ConfigError("nothing to work with", "context", "give something") if context else ValueError("odd")


def stillborn(context: Any) -> Evaluate:
    """Ends before it has anything to do."""
    os._exit(9)


def imports(context: Any) -> Evaluate:
    """Names of the modules that a worker holds."""
    return lambda item, advance: sorted(sys.modules)


def environment(context: Any) -> Evaluate:
    """What a worker sees of its surroundings."""
    def evaluate(item: Any, advance: Advance) -> dict[str, Any]:
        return {"ignores": signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set()), "cwd": str(Path.cwd()),
                "hash": os.environ["PYTHONHASHSEED"], "files": len(os.listdir("/proc/self/fd"))}

    return evaluate
