"""The worker's side of `apex.research.executor`: a process that evaluates one item at a time."""

from __future__ import annotations

import os
import pickle
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from apex.domain.errors import ApexError

WORKERS_MAX = 256
READY, BROKEN, AT, DONE, FAILED = range(5)
"""First word of what a worker says."""

Advance = Callable[[int], None]
Evaluate = Callable[[Any, Advance], Any]


class Channel:
    """One end of a stream socket that carries pickled values, each after its length in 8 bytes.

    Parameters
    ----------
    fd : int
        A blocking descriptor, which the channel now owns.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor, to be waited for."""
        return self._fd

    def send(self, value: Any) -> None:
        """Send a value; OSError when nobody listens any more."""
        self.send_bytes(pickle.dumps(value))

    def send_bytes(self, pickled: bytes) -> None:
        """Send a pickled value."""
        rest = memoryview(len(pickled).to_bytes(8, "little") + pickled)
        while rest:
            rest = rest[os.write(self._fd, rest):]

    def recv(self) -> Any:
        """The next value; EOFError when the other end is gone."""
        return pickle.loads(self._read(int.from_bytes(self._read(8), "little")))

    def _read(self, size: int) -> bytearray:
        out = bytearray()
        while len(out) < size:
            part = os.read(self._fd, min(size - len(out), 1 << 20))
            if not part:
                raise EOFError
            out += part
        return out

    def close(self) -> None:
        """Let go of the descriptor; harmless when repeated."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


class Failure(NamedTuple):
    """What an item gave that raised: as the error object of a command says it."""

    code: str
    what: str
    where: str
    do: str


def failure(error: BaseException) -> Failure:
    """An exception in words."""
    if isinstance(error, ApexError):
        return Failure(error.code, error.what, error.where, error.do)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{last[0].filename}:{last[0].lineno}" if last else ""
    return Failure("internal", f"{type(error).__name__}: {error}", where,
                   "".join(traceback.format_exception(error)))


def serve(fd: int) -> None:
    """A worker's life: make the function from the context, then answer items until there are no more.

    Parameters
    ----------
    fd : int
        Its end of the pipe; when the other end is gone, so is the worker at its next word.
    """
    os.set_inheritable(fd, False)
    pipe = Channel(fd)

    def advance(done: int) -> None:
        try:
            pipe.send((AT, done))
        except OSError:  # nobody listens any more
            os._exit(1)

    with suppress(EOFError, ConnectionError):
        try:
            prepare, context = pipe.recv()
            evaluate = prepare(context)
        except EOFError:
            return
        except Exception as error:
            pipe.send((BROKEN, error if isinstance(error, ApexError) else failure(error)))
            return
        pipe.send((READY, None))
        while True:
            pipe.send_bytes(_answer(evaluate, pipe.recv(), advance))


def _answer(evaluate: Evaluate, item: Any, advance: Advance) -> bytes:
    """An item's word, pickled: a result that cannot be is a failure too."""
    try:
        return pickle.dumps((DONE, evaluate(item, advance)))
    except (Exception, SystemExit) as error:
        return pickle.dumps((FAILED, failure(error)))
