"""Files at their paths: which file a path leads to, whose the log beside it is, and how a new file is put in place.

SQLite finds a file's write-ahead log by its name alone. A log that is left over from another file of that name, which
was removed or replaced while somebody had it open, would be read as this one's: half of one index and half of another.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from pixie_retrievers.errors import IndexLockedError, IndexNotFoundError, StorageError
from pixie_retrievers.parameters import check_path

__all__ = [
    "FileId",
    "Pair",
    "file_at",
    "is_begun",
    "log_of",
    "log_size",
    "pair_at",
    "put_in_place",
    "refuse_folder",
    "refuse_second_names",
    "resolved",
    "set_log_aside",
    "sync_file",
    "sync_folder",
]

_log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
"""Putting a file in place takes milliseconds: whoever else does it at the same time is waited for so long."""


class FileId(NamedTuple):
    """A file, whatever its name."""

    device: int
    inode: int


def resolved(path: str | os.PathLike[str]) -> Path:
    """The absolute path of a file, whether it is there or not; a link to an index has that index's log, not its own.

    Raises:
        InvalidParameterError: It is neither a string nor a path.
        StorageError: No file can have such a path.
    """
    check_path("the path of an index", path)
    try:
        found = Path(path).resolve()
        str(found).encode()  # SQLite's paths are UTF-8
        is_begun(found)  # Path.exists() hides what is wrong with a path
    except (ValueError, OSError, RuntimeError) as error:  # RuntimeError: a circle of links, before Python 3.13
        raise StorageError(f"{str(path)!r} cannot be the path of an index: {error}") from error
    return found


def refuse_folder(folder: Path) -> None:
    """Refuse a folder where no new file can be made.

    Raises:
        StorageError: It is not there, or cannot be written.
    """
    if not folder.is_dir():
        raise StorageError(f"{folder} is not a folder: make it first")
    if not os.access(folder, os.W_OK):
        raise StorageError(f"{folder} cannot be written: choose a folder where a new index may be made")


def is_begun(path: Path) -> bool:
    """Whether there is anything at the path. A file without content is only a place for an index, as mkstemp makes.

    With a write-ahead log beside it, it is what is left of one, and not to be written over.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return found.st_size > 0 or not stat.S_ISREG(found.st_mode) or log_of(path).exists()


def file_at(path: Path) -> FileId:
    """The file that a path leads to now.

    Raises:
        IndexNotFoundError: There is none.
        StorageError: The file system refuses to say.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  # a microsecond less, at each search
    except FileNotFoundError:
        raise IndexNotFoundError(f"there is no index at {path}: check the path, or build one there") from None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}: check the folder's permissions") from error
    return FileId(found.st_dev, found.st_ino)


def refuse_second_names(path: Path) -> None:
    """Refuse to write to a file that has several names: each would have a log of its own, and the two destroy the file.

    Raises:
        StorageError: It has.
    """
    n_names = path.stat().st_nlink
    if n_names > 1:
        raise StorageError(
            f"{path} has {n_names} names (hard links), and cannot be written for that long: SQLite would keep a log"
            " under each; remove the other names, or make a copy with backup() or `pixie backup`"
        )


def log_of(path: Path) -> Path:
    """Where the write-ahead log of a file is."""
    return path.with_name(path.name + "-wal")


def log_size(path: Path) -> int:
    """How many bytes the log beside a file has; 0 where there is none."""
    try:
        return log_of(path).stat().st_size
    except OSError:
        return 0


class Pair(NamedTuple):
    """A file and the log that belongs to it; None where there was none yet."""

    file: FileId
    log: FileId | None


def pair_at(path: Path) -> Pair:
    """The file that a path leads to now, and the log beside it.

    Raises:
        IndexNotFoundError: There is no file.
    """
    try:
        log = log_of(path).stat()
    except OSError:
        return Pair(file_at(path), None)
    return Pair(file_at(path), FileId(log.st_dev, log.st_ino))


def put_in_place(draft: Path, path: Path) -> bool:
    """Give a finished file its name, durably, and beside no log that is left over from another file.

    Returns:
        False when there is a file at the path already; that one stays as it is, and so does the draft.

    Raises:
        IndexLockedError: Somebody else has been putting a file there for seconds.
    """
    with _placing(path):
        if is_begun(path):
            return False
        for leftover in (log_of(path), path.with_name(path.name + "-shm"), path.with_name(path.name + "-journal")):
            leftover.unlink(missing_ok=True)
        draft.replace(path)
        sync_folder(path.parent)
        return True


def set_log_aside(path: Path, is_foreign: Callable[[], bool]) -> None:
    """Take the log beside a file away, if it really is another file's; kept under another name, for whoever misses it.

    Args:
        path: The file.
        is_foreign: Looks again, now that nobody else does the same.
    """
    with _placing(path):
        if not is_foreign():
            return
        aside = path.with_name(f"{path.name}-wal.{time.time_ns()}.foreign")
        try:
            log_of(path).replace(aside)
            path.with_name(path.name + "-shm").unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(
                f"{log_of(path)} is the log of another file, which once had this name, and cannot be moved away"
                f" ({error.strerror or error}): move it away before the index is read"
            ) from error
    _log.warning(
        "%s was the log of another file, which once had the same name: it was renamed to %s", log_of(path), aside.name
    )


@contextlib.contextmanager
def _placing(path: Path) -> Iterator[None]:
    # A lock of the operating system on the folder: it leaves no file, and goes when its holder does, however that ends.
    # Windows has none for folders: there, two who make one file at the very same moment are not told apart.
    try:
        folder = os.open(path.parent, os.O_RDONLY) if os.name == "posix" else None
    except OSError as error:
        raise StorageError(f"{path.parent}: {error.strerror or error}: an index needs a folder it can read") from error
    try:
        if folder is not None:
            _lock(folder, path)
        yield
    finally:
        if folder is not None:
            os.close(folder)


def _lock(folder: int, path: Path) -> None:
    import fcntl

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise IndexLockedError(
                    f"{path}: somebody else has been putting files into its folder for seconds: try again"
                ) from error
            time.sleep(0.01)
        except OSError:  # nor has every file system
            return None


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable; Windows has neither the need nor the call."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
