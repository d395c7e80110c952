"""Files that appear whole or not at all, and disk trouble put in words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from apex.domain.errors import EnvironmentProblem

REMEDIES = {
    errno.ENOSPC: "Free space on that disk, or write to another one",
    errno.EDQUOT: "Free space within your quota, or write elsewhere",
    errno.EFBIG: "Raise the file size limit (ulimit -f), or write to another disk",
    errno.EACCES: "Choose a folder that you may write to",
    errno.EPERM: "Choose a folder that you may write to",
    errno.EROFS: "Choose a disk that is mounted for writing",
    errno.ENOENT: "Create the folder first",
    errno.ENOTDIR: "Name a file within an existing folder",
    errno.EISDIR: "Name a file, not a folder",
    errno.EIO: "The disk reports an error: write to another one and check it",
}


@contextmanager
def disk_errors(path: Path, doing: str = "write") -> Iterator[None]:
    """Turn an OSError into an EnvironmentProblem that names the path and what to do."""
    try:
        yield
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "See the system's message")
        raise EnvironmentProblem(f"cannot {doing} the file: {error.strerror or error}", str(path), remedy) from error


def write_all(fd: int, data: memoryview | bytes) -> None:
    """Write every byte: a disk that fills up in the middle writes short first and fails then."""
    view = memoryview(data)
    view = view.cast("B") if view.nbytes else memoryview(b"")
    while len(view):
        view = view[os.write(fd, view):]


class AtomicFile:
    """A file that is renamed into place once it is whole and on disk; anything else leaves nothing.

    An exception may strike between any two steps (Ctrl-C), so the temporary file also goes with the object itself.

    Parameters
    ----------
    path : Path
        The target; replaced on commit.

    Attributes
    ----------
    temp : Path
        Where the bytes go meanwhile: beside the target, so that the rename is atomic.
    fd : int
        Open for reading and writing.

    Raises
    ------
    EnvironmentProblem
        When the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = self.temp = path
        self.fd = -1
        self._process = os.getpid()
        with disk_errors(path):
            if path.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            self.temp = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
            self.fd = os.open(self.temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def commit(self) -> None:
        """Sync, close and rename; the folder is synced too, so that the name survives a power loss."""
        with disk_errors(self.path):
            os.fsync(self.fd)
            os.close(self.fd)
            self.fd = -1
            os.replace(self.temp, self.path)
            self.temp = self.path
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def abort(self) -> None:
        """Close and remove the temporary file; harmless when repeated or after commit."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.temp != self.path:
            with suppress(FileNotFoundError, NotADirectoryError):
                self.temp.unlink()

    def __del__(self) -> None:
        if self._process == os.getpid():  # a forked child's copy of the object owns nothing
            self.abort()

    def __enter__(self) -> AtomicFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.abort()


def spool(beside: Path) -> int:
    """Descriptor of a nameless file in the folder of `beside`: it vanishes with the process, however that ends.

    Where the file system makes none without a name, the name is there for a moment, and a signal in it leaves the file.
    """
    if hasattr(os, "O_TMPFILE"):
        try:
            return os.open(beside.parent, os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):
                with disk_errors(beside):
                    raise
    temp = beside.with_name(f".{beside.name}.{os.getpid()}-{os.urandom(4).hex()}.spool")
    with disk_errors(beside):
        try:
            fd = os.open(temp, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        finally:
            with suppress(FileNotFoundError, NotADirectoryError):
                temp.unlink()
    return fd
