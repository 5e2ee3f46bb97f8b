"""One process's hold on an index file: what it reads with, what it writes with, and how both end."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pixie_retrievers.errors import IndexClosedError, StorageError
from pixie_retrievers.index.sqlite.files import is_begun
from pixie_retrievers.index.sqlite.forks import unforked
from pixie_retrievers.index.sqlite.interrupts import uninterrupted
from pixie_retrievers.index.sqlite.manifest import Manifest
from pixie_retrievers.index.sqlite.reader import Reader
from pixie_retrievers.index.sqlite.snapshot import Snapshot
from pixie_retrievers.index.sqlite.writer import Writer

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Handle"]

_Result = TypeVar("_Result")


class Handle:
    """What :class:`~pixie_retrievers.index.sqlite.engine.SqliteIndex` stands on.

    Attributes:
        path: The file, absolute.
        read_only: Writing is refused.
    """

    def __init__(self, path: Path, *, read_only: bool, lock_timeout_s: float) -> None:
        self.path = path
        self.read_only = read_only
        self._lock_timeout_s = lock_timeout_s
        self._pid = os.getpid()
        self._write_lock = threading.RLock()
        self._closed = False
        self._reader = Reader(path)

    def _begin(self, manifest: Manifest, *, has_begun: bool) -> None:
        """Be ready to write: to the file of this manifest, or to a new one that begins with it."""
        self._reader.expected = manifest.describe()
        self._writer = Writer(
            self.path, manifest, self._reader, lock_timeout_s=self._lock_timeout_s, has_begun=has_begun
        )
        # A script that never closes its index, or a handle that nobody holds any more, leaves one file and no log.
        weakref.finalize(self, _let_go, self._reader, self._writer, self._pid)

    def close(self) -> None:
        """Let go of the file; every commit is on disk already, and the log is folded into the file."""
        self._closed = True
        with unforked():
            self._reader.close()
        if self._pid == os.getpid():  # in a fork, the writer belongs to the process that was forked
            uninterrupted(self._close_writer, _nothing)

    def _close_writer(self) -> None:
        with self._write_lock, unforked():
            self._writer.close()

    def check_writable(self) -> None:
        """Wait for a writer that there is, as long as a write would, and change nothing; the lock is free again after.

        Raises:
            IndexLockedError: Another writer holds the index.
            StorageError: The index was opened read-only, or the file system refuses.
        """
        self._write(Writer.try_lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise IndexClosedError(f"{self.path}: this handle is closed: open the index again")

    def _snapshot(self) -> contextlib.AbstractContextManager[Snapshot | None]:
        """The newest commit point, or None while a new index has no file yet."""
        self._check_open()
        if self._is_empty():
            return contextlib.nullcontext()
        return self._reader.snapshot()

    def _is_empty(self) -> bool:
        """Whether this is a new index that nobody has written to yet: there is no file."""
        if not self._writer.has_begun:
            self._writer.has_begun = is_begun(self.path)
        return not self._writer.has_begun

    def _write(self, change: Callable[[Writer], _Result]) -> _Result:
        if self._pid != os.getpid():  # before the lock: a thread that this process does not have may hold it
            raise IndexClosedError(f"{self.path}: a handle that came through a fork only reads: open the index anew")
        cancelled = threading.Event()
        return uninterrupted(partial(self._change, change, cancelled), cancelled.set)

    def _change(self, change: Callable[[Writer], _Result], cancelled: threading.Event) -> _Result:
        with self._write_lock, unforked():
            self._check_open()
            if self.read_only:
                raise StorageError(f"{self.path} was opened with read_only=True: open it without read_only to write")
            self._writer.cancelled = cancelled
            return change(self._writer)


def _let_go(reader: Reader, writer: Writer, pid: int) -> None:
    """Close what nobody closed. Any lock may be held here: this runs wherever Python happens to collect garbage."""
    if os.getpid() == pid:
        reader.let_go()
        with contextlib.suppress(Exception):
            writer.close()


def _nothing() -> None:
    pass
