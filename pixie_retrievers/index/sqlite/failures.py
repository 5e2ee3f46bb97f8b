"""What SQLite and the file system raise, as the package's own errors."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path
from types import TracebackType

from pixie_retrievers.errors import (
    CorruptIndexError,
    IndexClosedError,
    IndexLockedError,
    InvalidDocumentError,
    PixieError,
    StorageError,
    StorageFullError,
)

__all__ = ["TranslatedErrors"]


class TranslatedErrors:
    """Turns what SQLite and the file system raise inside the block into the package's own errors.

    A class, because a generator would take as long as a statement.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, PixieError):
            return
        path = self._path
        if isinstance(error, sqlite3.Error):
            raise _translation(error, path) from error
        if isinstance(error, UnicodeDecodeError):  # a damaged name in the message of what was an SQLite error
            raise CorruptIndexError(
                f"{path} is damaged (a name in its schema): restore the file from a copy"
            ) from error
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raised = StorageFullError if full else StorageError
            raise raised(f"{path}: {error.strerror or error}: check the folder's space and permissions") from error


def _is_size_limited() -> bool:
    # A file that reaches the process's limit (`ulimit -f`) fails like a broken disk: SQLite tells only ENOSPC apart.
    if os.name != "posix":
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _translation(error: sqlite3.Error, path: Path) -> PixieError:
    # Messages, not codes: Python 3.10 does not tell the codes.
    message = str(error)
    if "closed database" in message:
        return IndexClosedError(f"{path}: the handle was closed while it was being read: open the index again")
    if "locked" in message or "busy" in message:
        return IndexLockedError(f"{path}: another process holds the file ({message}): try again when it is done")
    if "full" in message or ("disk I/O" in message and _is_size_limited()):
        return StorageFullError(
            f"{path}: no space is left ({message}), in its folder or in that for temporary files: the last commit is"
            " intact; free some space"
        )
    if "too big" in message:
        return InvalidDocumentError(f"{path}: a document is larger than SQLite stores, 1 GB: split it")
    if "not a database" in message:
        return CorruptIndexError(f"{path} is not an SQLite database: check the path, or restore the file from a copy")
    if isinstance(error, sqlite3.OperationalError) and not any(
        word in message for word in ("malformed", "no such table", "no such column", "decode", "unsafe")
    ):
        return StorageError(f"{path}: {message}: check that the folder can be written and has space")
    return CorruptIndexError(f"{path} is damaged ({message}): restore the file from a copy")
