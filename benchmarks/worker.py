"""A worker process: holds what is measured, in the environment it needs, and answers the driver line by line.

Standard library only, since it runs in every peer's environment. Each line on stdin is a JSON object with `do`:
`open` (`name`, `module`, `face`, `args`) makes an object, `call` (`name`, `method`) calls a method without arguments,
`drop` (`name`) forgets the object. The answer is `{"ok": value}` or `{"error": text}` on a line of its own. Whatever
the libraries print goes to stderr.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import traceback
from typing import Any


def answer(held: dict[str, Any], request: dict[str, Any]) -> Any:
    """Do what a request says."""
    name = request["name"]
    if request["do"] == "open":
        face = getattr(importlib.import_module(request["module"]), request["face"])
        held[name] = face(**request["args"])
        return None
    if request["do"] == "drop":
        held.pop(name, None)
        gc.collect()
        return None
    gc.collect()
    return getattr(held[name], request["method"])()


def main() -> None:
    """Answer until stdin ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    held: dict[str, Any] = {}
    for line in sys.stdin:
        try:
            reply = {"ok": answer(held, json.loads(line))}
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {error}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
