"""The worker processes of a run: one for each environment, started when first asked for."""

from __future__ import annotations

import itertools
import json
import select
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OURS = ""
NATIVE = "native"
"""Compiled peers: our interpreter, in a process of its own."""
PEERS = "benchmarks.peers"
ANSWER_SECONDS_MAX = 1800
END_SECONDS_MAX = 10


class Missing(Exception):
    """Something that a measurement needs is not here; the text says what, and what to do."""


class Failed(Exception):
    """A worker could not do what it was asked."""


class Worker:
    """One process of one environment; see `benchmarks.worker`.

    Parameters
    ----------
    env : str
        "" and "native" are the interpreter that runs this, another NAME is .venv-peers-NAME.
    folder : Path
        The checkout whose modules it takes.

    Raises
    ------
    Missing
        When there is no such environment.
    """

    def __init__(self, env: str, folder: Path = ROOT) -> None:
        self.env = env
        self._busy = False
        self._names = map(str, itertools.count())
        self._process = subprocess.Popen([str(interpreter(env)), "-m", "benchmarks.worker"], cwd=folder,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ask(self, **request: Any) -> Any:
        """Send a request and wait for the answer."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        self._busy = True
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            raise Failed(f"the worker of {self.env or 'apex'} has ended") from None
        ready, _, _ = select.select([process.stdout], [], [], ANSWER_SECONDS_MAX)
        if not ready:
            raise Failed(f"the worker of {self.env or 'apex'} gave no answer in {ANSWER_SECONDS_MAX} s")
        line = process.stdout.readline()
        if not line:
            raise Failed(f"the worker of {self.env or 'apex'} ended with code {process.wait(END_SECONDS_MAX)}")
        self._busy = False
        reply = json.loads(line)
        if "error" in reply:
            raise Failed(reply["error"])
        return reply["ok"]

    def open(self, module: str, face: str, args: dict[str, Any]) -> str:
        """Make an object in the process; its name."""
        name = next(self._names)
        self.ask(do="open", name=name, module=module, face=face, args=args)
        return name

    def call(self, name: str, method: str) -> Any:
        return self.ask(do="call", name=name, method=method)

    def drop(self, name: str) -> None:
        self.ask(do="drop", name=name)

    def close(self) -> None:
        """End the process; at once when it still works on a request."""
        process = self._process
        if self._busy:
            process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        try:
            process.wait(END_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Workers:
    """One long-lived worker an environment; a context manager that ends them all."""

    def __init__(self) -> None:
        self._workers: dict[str, Worker] = {}

    def of(self, env: str) -> Worker:
        """The worker of an environment. Raises Missing."""
        if env not in self._workers:
            self._workers[env] = Worker(env)
        return self._workers[env]

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for worker in self._workers.values():
            worker.close()


def interpreter(env: str) -> Path:
    """Python of an environment. Raises Missing."""
    if env in (OURS, NATIVE):
        return Path(sys.executable)
    path = ROOT / f".venv-peers-{env}" / "bin" / "python"
    if not (path.exists() and (path.parent.parent / ".done").exists()):
        raise Missing(f"no environment .venv-peers-{env}: make peers")
    return path
