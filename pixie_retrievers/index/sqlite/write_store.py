"""The index file as a writer sees it: transactions, durability. The only module that imports sqlitedict.

sqlitedict writes, the standard library reads. As it comes, sqlitedict unpickles what it reads, runs with
``synchronous=OFF``, gives every table its own transaction, and waits for ever when a commit fails. Here it stores
strings and bytes as they are, with full synchronisation, all tables on one connection, COMMIT sent as an SQL statement
so that its failure comes back, and a handle that has met an error is never used again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from sqlitedict import SqliteDict, SqliteMultithread

from pixie_retrievers.errors import IndexLockedError, StorageError
from pixie_retrievers.index.sqlite.failures import TranslatedErrors
from pixie_retrievers.index.sqlite.files import file_at, put_in_place, sync_file
from pixie_retrievers.index.sqlite.holders import describe_writer
from pixie_retrievers.index.sqlite.manifest import MANIFEST_KEY, Manifest, new_identity
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.tables import (
    APPLICATION_ID,
    BUSY_TIMEOUT_S,
    PAGE_SIZE,
    TABLE_COLUMNS,
    TABLES,
    check_table,
)

__all__ = ["WriteStore", "copy_store", "create_store"]

_LOG_BYTES = 16 << 20
"""To so many bytes a log shrinks again that somebody's long reading let grow."""
_FOLDING_MS = 100
"""So long a handle that is being closed waits for somebody's search to end, to leave one file behind and no log."""
_ROWS_AT_ONCE = 256

# sqlitedict logs what it also raises; without a handler Python would print it.
logging.getLogger("sqlitedict").addHandler(logging.NullHandler())


def create_store(path: Path, manifest: Manifest) -> bool:
    """Make a new index file, empty: whole and durable, or not there at all.

    Returns:
        False when somebody else has made one there first; that one stays as it is.

    Raises:
        StorageError: The folder cannot be written.
        StorageFullError: No space is left.
    """
    draft = _draft_of(path)
    try:
        with TranslatedErrors(path):
            draft.unlink(missing_ok=True)
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                for statement in (
                    f"PRAGMA page_size = {PAGE_SIZE}",
                    "PRAGMA synchronous = FULL",
                    f"PRAGMA application_id = {APPLICATION_ID}",
                    f"PRAGMA user_version = {manifest.identity}",
                    "BEGIN",
                    *(f'CREATE TABLE "{table}" {columns}' for table, columns in TABLE_COLUMNS.items()),
                ):
                    connection.execute(statement)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", manifest.first_rows().items())
                connection.execute("COMMIT")
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
            return put_in_place(draft, path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def copy_store(source: ReadStore, target: Path, progress: Callable[[int, int], Any] | None) -> None:
    """Copy the commit point that a store reads into a new file: whole and durable, or not there at all.

    Args:
        source: Inside a transaction: what others commit meanwhile is not in the copy.
        target: The new file.
        progress: Called with the pages copied so far, and how many there are.

    Raises:
        StorageError: There is a target meanwhile, or it cannot be written.
        StorageFullError: No space is left.
    """
    draft = _draft_of(target)
    try:
        with TranslatedErrors(target):
            draft.unlink(missing_ok=True)
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                source.copy_to(connection, progress)
                _give_identity(connection)
            finally:
                connection.close()
            sync_file(draft)
            if not put_in_place(draft, target):
                raise StorageError(f"{target} was made meanwhile: a backup only writes new files; name another")
    finally:
        for name in (draft.name, f"{draft.name}-wal", f"{draft.name}-shm", f"{draft.name}-journal"):
            with contextlib.suppress(OSError):
                draft.with_name(name).unlink(missing_ok=True)


def _draft_of(path: Path) -> Path:
    """Where a new file is written before it gets its name: a place of its own for each thread that makes one."""
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.new")


def _give_identity(connection: sqlite3.Connection) -> None:
    """Make a copy another file than its original, whose log it may once lie beside: where it is put in its place."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (MANIFEST_KEY,)).fetchone()[0]
    manifest = replace(Manifest.decode(row if isinstance(row, bytes) else row.encode()), identity=new_identity())
    connection.execute("BEGIN")
    rows = [(value, key) for key, value in manifest.first_rows().items()]
    connection.executemany("UPDATE meta SET value = ? WHERE key = ?", rows)
    connection.execute(f"PRAGMA user_version = {manifest.identity}")
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


class _Thread(SqliteMultithread):  # type: ignore[misc]  # sqlitedict has no types
    """sqlitedict's thread, which here closes its connection however it ends.

    As it comes, it leaves the connection open when a setting is refused, or when an error gets past it; and the error,
    which the caller hears of at the next statement, is printed as well, as that of a thread nobody watched over.
    """

    _sqlite: sqlite3.Connection | None = None

    def __init__(self, path: Path, lock_timeout_s: float) -> None:
        self._lock_timeout_s = lock_timeout_s
        super().__init__(str(path), autocommit=False, journal_mode="WAL", outer_stack=False)

    def _connect(self) -> tuple[sqlite3.Connection, sqlite3.Cursor]:
        try:
            self._sqlite = sqlite3.connect(self.filename, check_same_thread=False)
            # A commit returns when the bytes are on the disk; on a Mac that takes an option of its own.
            for setting in (
                f"busy_timeout = {round(self._lock_timeout_s * 1000)}",
                "journal_mode = WAL",
                f"journal_size_limit = {_LOG_BYTES}",
                "synchronous = FULL",
                "fullfsync = ON",
                "checkpoint_fullfsync = ON",
                "secure_delete = ON",
                "trusted_schema = OFF",
            ):
                self._sqlite.execute(f"PRAGMA {setting}")
            return self._sqlite, self._sqlite.cursor()
        except sqlite3.Error:
            self.exception = sys.exc_info()  # where sqlitedict looks for it
            raise

    def run(self) -> None:
        try:
            with contextlib.suppress(sqlite3.Error):
                super().run()
        finally:
            if self._sqlite is not None:
                self._sqlite.close()


class _Table(SqliteDict):  # type: ignore[misc]  # sqlitedict has no types
    """A table of strings and bytes on a connection that it shares with the others."""

    def __init__(self, path: Path, name: str, connection: _Thread) -> None:
        self._connection = connection
        super().__init__(str(path), name, journal_mode="WAL", encode=_as_is, decode=_as_is, outer_stack=False)

    def _new_conn(self) -> _Thread:
        return self._connection


class WriteStore:
    """The writing connection of one handle. Of all there are, in all processes, one has a transaction at a time.

    Attributes:
        file: The file it writes.

    What is removed is overwritten: a deleted document is gone from the file, not merely forgotten, and a repair that
    reads pages without SQLite cannot bring it back.
    """

    def __init__(self, path: Path, *, lock_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self._path = path
        self._lock_timeout_s = lock_timeout_s
        self.failed = False
        self._cancelled: threading.Event | None = None
        self.file = file_at(path)
        with TranslatedErrors(path):
            self._connection = _Thread(path, lock_timeout_s)
            try:
                self._tables = {name: _Table(path, name, self._connection) for name in TABLES}
            except BaseException:
                self.abandon()
                raise

    def settings(self) -> dict[str, Any]:
        """What the connection really runs with: the durability promise rests on it."""
        names = ("journal_mode", "synchronous", "busy_timeout", "secure_delete")
        return {name: self._connection.select_one(f"PRAGMA {name}")[0] for name in names}

    @contextlib.contextmanager
    def transaction(self, cancelled: threading.Event | None = None) -> Iterator[None]:
        """Everything put and removed inside is committed at the end, durably and as one; nothing is on any error.

        After an error the store is closed, and ``failed`` says so: what a failed connection says is not to be trusted.

        Args:
            cancelled: Set by whoever wants it undone.

        Raises:
            KeyboardInterrupt: It was undone.
            IndexLockedError: Somebody else has been writing for longer than ``lock_timeout_s``.
        """
        self._cancelled = cancelled
        try:
            with TranslatedErrors(self._path):
                self._begin()
                yield
                self._run("SELECT 1")  # writes are queued: wait for them, and hear which of them failed
                self._heed_cancelling()
                self._run("COMMIT")
        except BaseException:
            with contextlib.suppress(Exception):
                self._run("ROLLBACK")  # SQLite may have rolled back by itself already
            self.abandon()
            raise

    def _begin(self) -> None:
        try:
            self._run("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            raise IndexLockedError(
                f"{self._path}: {describe_writer(self._path)} has been writing for more than"
                f" {self._lock_timeout_s:g} s: try again, or let programs wait longer with lock_timeout_s"
            ) from error

    def _heed_cancelling(self) -> None:
        if self._cancelled is not None and self._cancelled.is_set():
            raise KeyboardInterrupt

    def put(self, table: str, rows: Iterable[tuple[str | int, str | bytes]]) -> None:
        """Insert rows, replacing those whose key is there."""
        left = iter(rows)
        while part := list(islice(left, _ROWS_AT_ONCE)):
            self._tables[table].update(part)
            self._heed_cancelling()
            if len(part) == _ROWS_AT_ONCE:
                self._run("SELECT 1")  # writes are queued: without waiting for some, all would be in memory at once

    def remove(self, table: str, keys: Iterable[str | int]) -> None:
        """Remove the rows under the keys."""
        self._connection.executemany(f'DELETE FROM "{check_table(table)}" WHERE key = ?', ((key,) for key in keys))  # noqa: S608  # fixed names, bound values

    def remove_range(self, table: str, first: str, last: str) -> None:
        """Remove the rows from ``first`` to ``last``, both included."""
        self._connection.execute(f'DELETE FROM "{check_table(table)}" WHERE key BETWEEN ? AND ?', (first, last))  # noqa: S608  # fixed names, bound values

    def shrink(self) -> None:
        """Give the pages that nothing uses back to the file system."""
        try:
            with TranslatedErrors(self._path):
                self._run("VACUUM")
                self._run("PRAGMA wal_checkpoint(TRUNCATE)")
        except BaseException:
            self.abandon()
            raise

    def _run(self, statement: str) -> None:
        for _ in self._connection.select(statement):
            pass

    def close(self) -> None:
        """Fold the log into the file, where nobody is reading an older commit, and close the connection."""
        if threading.get_ident() == self._connection.ident:  # the last reference was dropped while it collected garbage
            self._connection.close(force=True)
        elif self._connection.is_alive():
            try:
                with contextlib.suppress(sqlite3.Error):  # all is on disk, in the file or in the log
                    self._run(f"PRAGMA busy_timeout = {_FOLDING_MS}")
                    self._run("PRAGMA wal_checkpoint(TRUNCATE)")
                self._connection.close()
            except BaseException:
                self.abandon()
                raise

    def abandon(self) -> None:
        """Close without waiting for answers that may never come."""
        self.failed = True
        self._connection.close(force=True)
        self._connection.join(BUSY_TIMEOUT_S)


def _as_is(value: Any) -> Any:
    return value
