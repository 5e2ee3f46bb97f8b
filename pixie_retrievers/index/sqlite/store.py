"""The index file: tables, transactions, durability. The only module that imports sqlitedict.

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
import stat
import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlitedict import SqliteDict, SqliteMultithread

from pixie_retrievers.errors import (
    IncompatibleIndexError,
    IndexNotFoundError,
    StorageError,
)
from pixie_retrievers.index.sqlite.codec import FORMAT_VERSION
from pixie_retrievers.index.sqlite.failures import TranslatedErrors

__all__ = ["PAGE_SIZE", "TABLES", "ReadStore", "WriteStore", "create_store", "is_begun", "sync_folder"]

TABLES = (META, IDS, DOCUMENTS, VECTORS, SEGMENTS, POSTINGS, TOMBSTONES, COLUMNS) = (
    "meta",
    "ids",
    "documents",
    "vectors",
    "segments",
    "postings",
    "tombstones",
    "columns",
)
APPLICATION_ID = 0x50495849  # "PIXI": what `file` and SQLite itself can tell the format by
_AS_SQLITEDICT = "(key TEXT PRIMARY KEY, value BLOB)"
_COLUMNS = dict.fromkeys(TABLES, _AS_SQLITEDICT) | {
    IDS: f"{_AS_SQLITEDICT} WITHOUT ROWID",  # small values lie where their key is
    DOCUMENTS: "(key INTEGER PRIMARY KEY, value BLOB)",  # one search in a shallow tree finds any of a million
    VECTORS: "(key INTEGER PRIMARY KEY, value BLOB)",
}
_KEYED_BY_NUMBER = (DOCUMENTS, VECTORS)
BUSY_TIMEOUT_S = 5.0
PAGE_SIZE = 8192
_CACHE_BYTES = 4 << 20
"""How many bytes of pages a connection keeps: the tree above a million documents takes 1 MiB, and stays in memory."""
_SMALL_FILE = 24 << 20
"""A file of so many bytes at most stays in memory whole: a sixth of the time of a search over 10,000 documents."""
_ROWS_AT_ONCE = 256
_MAX_VARIABLES = 500  # below every SQLite build's limit of bound values

# sqlitedict logs what it also raises; without a handler Python would print it.
logging.getLogger("sqlitedict").addHandler(logging.NullHandler())


def is_begun(path: Path) -> bool:
    """Whether there is anything at the path. A file without content is only a place for an index, as mkstemp makes.

    With a write-ahead log beside it, it is what is left of one, and not to be written over.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return found.st_size > 0 or not stat.S_ISREG(found.st_mode) or path.with_name(path.name + "-wal").exists()


def create_store(path: Path, rows: dict[str, str]) -> None:
    """Make a new index file with ``rows`` in its meta table: whole and durable, or not there at all.

    Raises:
        StorageError: The folder cannot be written.
        StorageFullError: No space is left.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with TranslatedErrors(path):
            draft.unlink(missing_ok=True)
            connection = sqlite3.connect(draft, isolation_level=None)
            try:
                for statement in (
                    f"PRAGMA page_size = {PAGE_SIZE}",
                    "PRAGMA synchronous = FULL",
                    f"PRAGMA application_id = {APPLICATION_ID}",
                    f"PRAGMA user_version = {FORMAT_VERSION}",
                    "BEGIN",
                    *(f'CREATE TABLE "{table}" {columns}' for table, columns in _COLUMNS.items()),
                ):
                    connection.execute(statement)
                connection.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
                connection.execute("COMMIT")
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
            draft.replace(path)
            sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


class ReadStore:
    """One reading connection: sees a commit point for as long as a transaction lasts.

    Raises:
        IndexNotFoundError: There is no file.
        CorruptIndexError: The file is not a database.
        IncompatibleIndexError: The file is a database, but not an index.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        if not path.exists():
            raise IndexNotFoundError(f"there is no index at {path}: check the path, or build one there")
        if not path.is_file():
            raise StorageError(f"{path} is not a file: pass the path of an index file")
        with TranslatedErrors(path):
            try:
                self._connection = self._connect("mode=ro")
            except sqlite3.OperationalError:
                # A file in write-ahead mode wants a shared-memory file beside it; where nobody can write, nobody can
                # change it either, and SQLite may take it as immutable.
                if os.access(path.parent, os.W_OK) or path.with_name(path.name + "-wal").exists():
                    raise
                self._connection = self._connect("mode=ro&immutable=1")

    def _connect(self, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self._path.resolve()))}?{options}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        with contextlib.ExitStack() as on_error:
            on_error.callback(connection.close)
            connection.text_factory = bytes
            # The file may come from anywhere: let nothing in its schema run, and let SQLite doubt its cells.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
            connection.execute("PRAGMA mmap_size = 0")
            if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise IncompatibleIndexError(
                    f"{self._path} is an SQLite database, but not a pixie index: check the path"
                )
            # Reads the schema, unlike the settings above.
            is_small = self._path.stat().st_size <= _SMALL_FILE
            connection.execute(f"PRAGMA cache_size = -{_SMALL_FILE >> 10 if is_small else _CACHE_BYTES >> 10}")
            on_error.pop_all()
        return connection

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]

    def begin(self) -> None:
        """All reads until :meth:`end` see the same commit point. After an error the connection must be closed."""
        with TranslatedErrors(self._path):
            self._connection.execute("BEGIN")

    def end(self) -> None:
        """Let go of the commit point."""
        with TranslatedErrors(self._path):
            self._connection.execute("COMMIT")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All reads inside see the same commit point. After an error the connection must be closed."""
        self.begin()
        yield
        self.end()

    def get(self, table: str, key: str | int) -> bytes | None:
        """The value under a key, or None."""
        with self._lock, TranslatedErrors(self._path):
            statement = _select(table, 1)
            row = self._connection.execute(statement, (key,)).fetchone()
        return None if row is None else row[1]

    def get_many(self, table: str, keys: Sequence[str | int]) -> dict[str | int, bytes]:
        """The values under the keys that are there."""
        found: dict[str | int, bytes] = {}
        with self._lock, TranslatedErrors(self._path):  # the threads that share one search share its connection
            for start in range(0, len(keys), _MAX_VARIABLES):
                part = keys[start : start + _MAX_VARIABLES]
                statement = _select(table, len(part))
                rows = self._connection.execute(statement, part)
                found.update(rows if table in _KEYED_BY_NUMBER else ((_key(key), value) for key, value in rows))
        return found

    def range(self, table: str, first: str | int, last: str | int) -> list[tuple[str | int, bytes]]:
        """Keys and values from ``first`` to ``last``, both included, in the order of the keys."""
        statement = f'SELECT key, value FROM "{_known(table)}" WHERE key BETWEEN ? AND ? ORDER BY key'  # noqa: S608  # fixed names, bound values
        with self._lock, TranslatedErrors(self._path):
            return [(_key(key), value) for key, value in self._connection.execute(statement, (first, last))]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self._lock, TranslatedErrors(self._path):
            return int(self._connection.execute(f'SELECT count(*) FROM "{_known(table)}"').fetchone()[0])  # noqa: S608  # fixed names

    def damage(self) -> list[str]:
        """What SQLite itself finds wrong with the file; empty when it is sound."""
        try:
            rows = [row[0].decode(errors="replace") for row in self._connection.execute("PRAGMA quick_check")]
        except sqlite3.DatabaseError as error:
            return [str(error)]
        return [] if rows == ["ok"] else rows

    def close(self) -> None:
        """Close the connection; a thread that still reads gets an error, not memory that is gone."""
        with self._lock:
            self._connection.close()


class _Thread(SqliteMultithread):  # type: ignore[misc]  # sqlitedict has no types
    """sqlitedict's thread, which here closes its connection however it ends.

    As it comes, it leaves the connection open when a setting is refused, or when an error gets past it; and the error,
    which the caller hears of at the next statement, is printed as well, as that of a thread nobody watched over.
    """

    _sqlite: sqlite3.Connection | None = None

    def _connect(self) -> tuple[sqlite3.Connection, sqlite3.Cursor]:
        try:
            self._sqlite = sqlite3.connect(self.filename, check_same_thread=False)
            # A commit returns when the bytes are on the disk; on a Mac that takes an option of its own.
            for setting in (
                f"busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}",
                "journal_mode = WAL",
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
    """The one writing connection; the caller holds the writer lock.

    What is removed is overwritten: a deleted document is gone from the file, not merely forgotten, and a repair that
    reads pages without SQLite cannot bring it back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failed = False
        with TranslatedErrors(path):
            self._connection = _Thread(str(path), autocommit=False, journal_mode="WAL", outer_stack=False)
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
    def transaction(self) -> Iterator[None]:
        """Everything put and removed inside is committed at the end, durably and as one; nothing is on any error.

        After an error the store is closed, and ``failed`` says so: what a failed connection says is not to be trusted.
        """
        try:
            with TranslatedErrors(self._path):
                self._run("BEGIN IMMEDIATE")
                yield
                self._run("SELECT 1")  # writes are queued: wait for them, and hear which of them failed
                self._run("COMMIT")
        except BaseException:
            with contextlib.suppress(Exception):
                self._run("ROLLBACK")  # SQLite may have rolled back by itself already
            self.abandon()
            raise

    def put(self, table: str, rows: Iterable[tuple[str | int, str | bytes]]) -> None:
        """Insert rows, replacing those whose key is there."""
        left = iter(rows)
        while part := list(islice(left, _ROWS_AT_ONCE)):
            self._tables[table].update(part)
            if len(part) == _ROWS_AT_ONCE:
                self._run("SELECT 1")  # writes are queued: without waiting for some, all would be in memory at once

    def remove(self, table: str, keys: Iterable[str | int]) -> None:
        """Remove the rows under the keys."""
        self._connection.executemany(f'DELETE FROM "{_known(table)}" WHERE key = ?', ((key,) for key in keys))  # noqa: S608  # fixed names, bound values

    def remove_range(self, table: str, first: str, last: str) -> None:
        """Remove the rows from ``first`` to ``last``, both included."""
        self._connection.execute(f'DELETE FROM "{_known(table)}" WHERE key BETWEEN ? AND ?', (first, last))  # noqa: S608  # fixed names, bound values

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
        """Close the connection once its queue is empty."""
        if self._connection.is_alive():
            try:
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


def _key(key: Any) -> str | int:
    # Damage can turn a key into anything; what is not a key matches nothing, and is missed where it belongs.
    if isinstance(key, bytes):
        return key.decode(errors="replace")
    return key if isinstance(key, int) else ""


@cache
def _select(table: str, n_keys: int) -> str:
    marks = ",".join("?" * n_keys)
    return f'SELECT key, value FROM "{_known(table)}" WHERE key IN ({marks})'  # noqa: S608  # fixed names, bound values


def _known(table: str) -> str:
    if table not in TABLES:
        raise ValueError(table)
    return table


def sync_folder(folder: Path) -> None:
    """Make a new name in a folder durable; Windows has neither the need nor the call."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
