"""Processes of a job: each works on one item at a time, and the results come in the order of the items.

A worker is a new interpreter, never a fork: it holds only what it is sent and what it imports itself. The caller's main
file is not imported again, so a worker is as small as the module of its function, whatever the caller has loaded.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from apex.domain.errors import ApexError, EnvironmentProblem
from apex.research.worker import AT, BROKEN, READY, WORKERS_MAX, Channel, Evaluate, Failure

STOP_SECONDS = 5
"""How long a worker has to end by itself before it is killed."""
BOOT = ("import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        "from apex.research.worker import serve; serve(int(sys.argv[2]))")
FIXED = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Environment of a worker unless it is set: the same order of sets in each of them, one thread each."""

Watch = Callable[[int, int, Sequence[int]], None]


class _Worker:
    """A process, its pipe, and the item it works on (None: it starts, or waits for one)."""

    def __init__(self, process: subprocess.Popen[bytes], pipe: Channel) -> None:
        self.process, self.pipe = process, pipe
        self.index: int | None = None
        self.at = 0

    def give(self, index: int, item: Any) -> None:
        self.index, self.at = index, 0
        with suppress(ConnectionError):  # it has died: found when it is heard next
            self.pipe.send(item)

    def end(self) -> str:
        """Wait for its end, or make one; how it ended, in words."""
        try:
            code = self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        if code >= 0:
            return f"the worker process ended with exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"the worker process was ended by {name}"


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the end of this block, and never reaches a process that is started in it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Crew:
    """The workers of one job; leaving it ends them all."""

    def __init__(self, prepare: Callable[[Any], Evaluate], context: Any) -> None:
        self.task = (prepare, context)
        self.workers: list[_Worker] = []

    def start(self) -> None:
        """One more worker."""
        paths = json.dumps([os.path.abspath(path) for path in sys.path])
        with _uninterrupted():
            left, theirs = socket.socketpair()
            ours = Channel(left.detach())
            with theirs:
                words = [sys.executable, "-c", BOOT, paths, str(theirs.fileno())]
                try:
                    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=2, env={**FIXED, **os.environ},
                                               pass_fds=(theirs.fileno(),))
                except OSError as error:
                    ours.close()
                    raise EnvironmentProblem(f"cannot start a worker process: {error.strerror or error}", "--workers",
                                             "Give fewer workers") from error
            self.workers.append(_Worker(process, ours))
        with suppress(ConnectionError):
            ours.send(self.task)

    def ready(self) -> list[_Worker]:
        """Wait until some workers have said something, or have died."""
        poll = select.poll()
        for worker in self.workers:
            poll.register(worker.pipe.fileno(), select.POLLIN)
        spoken = {fd for fd, _ in poll.poll()}
        return [worker for worker in self.workers if worker.pipe.fileno() in spoken]

    def hear(self, worker: _Worker, results: dict[int, Any]) -> bool:
        """Take one word of a worker; whether it is free for an item now."""
        try:
            word, value = worker.pipe.recv()
        except (EOFError, OSError):
            self._bury(worker, results)
            return False
        if word == BROKEN:
            raise value if isinstance(value, ApexError) else RuntimeError(f"a worker could not begin:\n{value.do}")
        if word == AT:
            worker.at = value
            return False
        if word != READY and worker.index is not None:
            results[worker.index] = value
        worker.index, worker.at = None, 0
        return True

    def _bury(self, worker: _Worker, results: dict[int, Any]) -> None:
        """Forget a worker that has died; its item is a failure."""
        worker.pipe.close()
        self.workers.remove(worker)
        how = worker.end()
        if worker.index is None:
            raise EnvironmentProblem(f"{how} before it had anything to do", "--workers",
                                     "Its own words are on stderr; is there enough memory?")
        results[worker.index] = Failure("worker", how, "", "Is there enough memory? Give fewer workers")

    def __enter__(self) -> _Crew:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.workers:
            worker.pipe.close()
            if error[0] is not None:
                worker.process.terminate()
        for worker in self.workers:
            worker.end()


def evaluate_all(prepare: Callable[[Any], Evaluate], context: Any, items: Sequence[Any], *, workers: int,
                 watch: Watch = lambda finished, at, processes: None) -> list[Any]:
    """Evaluate every item in worker processes.

    Parameters
    ----------
    prepare : callable
        Importable by name. Each worker calls it once with `context`; it gives the function that is called with each
        item and with `advance`, which takes how much of the item is done.
    context : any
        What all items need; it is pickled, as the items and the results are.
    items : sequence
    workers : int
        How many processes at most, 1 to 256.
    watch : callable
        Told the number of items finished, the sum of what `advance` was told of the others, and the workers' process
        ids, whenever one of them has said something.

    Returns
    -------
    list
        One result an item, in their order; a `Failure` for an item that raised, or whose process died.

    Raises
    ------
    EnvironmentProblem
        If a worker cannot be started, or dies without an item.
    ApexError
        What `prepare` raised.
    """
    if not 1 <= workers <= WORKERS_MAX:
        raise ValueError(f"{workers} workers: give 1 to {WORKERS_MAX}")
    results: dict[int, Any] = {}
    following = 0
    with _Crew(prepare, context) as crew:
        while len(results) < len(items):
            busy = sum(worker.index is not None for worker in crew.workers)
            while len(crew.workers) < min(workers, busy + len(items) - following):
                crew.start()
            for worker in crew.ready():
                if crew.hear(worker, results) and following < len(items):
                    worker.give(following, items[following])
                    following += 1
            watch(len(results), sum(w.at for w in crew.workers), [w.process.pid for w in crew.workers])
    return [results[index] for index in range(len(items))]
