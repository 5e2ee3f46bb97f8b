"""The index file: tables, transactions, durability. The only module that imports sqlitedict.

sqlitedict writes, the standard library reads. As it comes, sqlitedict unpickles what it reads, runs with
``synchronous=OFF``, gives every table its own transaction, and waits for ever when a commit fails. Here it stores
strings and bytes as they are, with full synchronisation, all tables on one connection, COMMIT sent as an SQL statement
so that its failure comes back, and a handle that has met an error is never used again.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlitedict import SqliteDict, SqliteMultithread

from pixie_retrievers.errors import (
    CorruptIndexError,
    IncompatibleIndexError,
    IndexLockedError,
    IndexNotFoundError,
    PixieError,
    StorageError,
    StorageFullError,
)
from pixie_retrievers.index.sqlite.codec import FORMAT_VERSION

__all__ = ["PAGE_SIZE", "TABLES", "ReadStore", "WriteStore", "create_store", "sync_folder"]

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
BUSY_TIMEOUT_S = 5.0
PAGE_SIZE = 8192
_ROWS_AT_ONCE = 256
_MAX_VARIABLES = 500  # below every SQLite build's limit of bound values

# sqlitedict logs what it also raises; without a handler Python would print it.
logging.getLogger("sqlitedict").addHandler(logging.NullHandler())


def create_store(path: Path, rows: dict[str, str]) -> None:
    """Make a new index file with ``rows`` in its meta table: whole and durable, or not there at all.

    Raises:
        StorageError: The folder cannot be written.
        StorageFullError: No space is left.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with _translated(path):
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
        with _translated(path):
            self._connection = self._connect("mode=ro")
            try:
                found = self._pragma("application_id")
            except sqlite3.OperationalError:
                # A file in write-ahead mode wants a shared-memory file beside it; where nobody can write, nobody can
                # change it either, and SQLite may take it as immutable.
                self._connection.close()
                if os.access(path.parent, os.W_OK) or path.with_name(path.name + "-wal").exists():
                    raise
                self._connection = self._connect("mode=ro&immutable=1")
                found = self._pragma("application_id")
            except BaseException:
                self._connection.close()
                raise
        if found != APPLICATION_ID:
            self._connection.close()
            raise IncompatibleIndexError(f"{path} is an SQLite database, but not a pixie index: check the path")
        with _translated(path), contextlib.ExitStack() as on_error:
            on_error.callback(self._connection.close)
            # 4 MiB of pages: the tree above a million documents takes 1 MiB, and stays in memory. Reads the schema,
            # unlike the settings above.
            self._connection.execute("PRAGMA cache_size = -4096")
            on_error.pop_all()

    def _connect(self, options: str) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"file:{quote(str(self._path.resolve()))}?{options}",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.text_factory = bytes
        # The file may come from anywhere: let nothing in its schema run, and let SQLite doubt its cells.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA mmap_size = 0")
        return connection

    def _pragma(self, name: str) -> Any:
        return self._connection.execute(f"PRAGMA {name}").fetchone()[0]

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All reads inside see the same commit point. After an error the connection must be closed."""
        with _translated(self._path):
            self._connection.execute("BEGIN")
            yield
            self._connection.execute("COMMIT")

    def get(self, table: str, key: str | int) -> bytes | None:
        """The value under a key, or None."""
        return self.get_many(table, [key]).get(key)

    def get_many(self, table: str, keys: Sequence[str | int]) -> dict[str | int, bytes]:
        """The values under the keys that are there."""
        found: dict[str | int, bytes] = {}
        with self._lock:  # the threads that share one search share its connection
            for start in range(0, len(keys), _MAX_VARIABLES):
                part = keys[start : start + _MAX_VARIABLES]
                marks = ",".join("?" * len(part))
                statement = f'SELECT key, value FROM "{_known(table)}" WHERE key IN ({marks})'  # noqa: S608  # fixed names, bound values
                found.update([(_key(key), value) for key, value in self._connection.execute(statement, part)])
        return found

    def range(self, table: str, first: str | int, last: str | int) -> list[tuple[str | int, bytes]]:
        """Keys and values from ``first`` to ``last``, both included, in the order of the keys."""
        statement = f'SELECT key, value FROM "{_known(table)}" WHERE key BETWEEN ? AND ? ORDER BY key'  # noqa: S608  # fixed names, bound values
        with self._lock:
            return [(_key(key), value) for key, value in self._connection.execute(statement, (first, last))]

    def count(self, table: str) -> int:
        """How many rows a table has."""
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


class _Table(SqliteDict):  # type: ignore[misc]  # sqlitedict has no types
    """A table of strings and bytes on a connection that it shares with the others."""

    def __init__(self, path: Path, name: str, connection: SqliteMultithread) -> None:
        self._connection = connection
        super().__init__(str(path), name, journal_mode="WAL", encode=_as_is, decode=_as_is, outer_stack=False)

    def _new_conn(self) -> SqliteMultithread:
        return self._connection


class WriteStore:
    """The one writing connection; the caller holds the writer lock.

    What is removed is overwritten: a deleted document is gone from the file, not merely forgotten, and a repair that
    reads pages without SQLite cannot bring it back.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.failed = False
        with _translated(path):
            self._connection = SqliteMultithread(str(path), autocommit=False, journal_mode="WAL", outer_stack=False)
            try:
                # A commit returns when the bytes are on the disk; on a Mac that takes an option of its own.
                for setting in (
                    f"busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}",
                    "synchronous = FULL",
                    "fullfsync = ON",
                    "checkpoint_fullfsync = ON",
                    "secure_delete = ON",
                    "trusted_schema = OFF",
                ):
                    self._run(f"PRAGMA {setting}")
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
            with _translated(self._path):
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
            with _translated(self._path):
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
            self._connection.close()

    def abandon(self) -> None:
        """Close without waiting for answers that may never come."""
        self.failed = True
        self._connection.close(force=True)
        self._connection.join(BUSY_TIMEOUT_S)


def _as_is(value: Any) -> Any:
    return value


def _key(key: Any) -> str | int:
    # Damage can turn a key into anything; what is no key matches nothing, and is missed where it belongs.
    if isinstance(key, bytes):
        return key.decode(errors="replace")
    return key if isinstance(key, int) else ""


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


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into the package's own errors."""
    try:
        yield
    except PixieError:
        raise
    except sqlite3.Error as error:
        raise _translation(error, path) from error
    except UnicodeDecodeError as error:  # a damaged name in the message of what was an SQLite error
        raise CorruptIndexError(f"{path} is damaged (a name in its schema): restore the file from a copy") from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        kind = StorageFullError if full else StorageError
        raise kind(f"{path}: {error.strerror or error}: check the folder's space and permissions") from error


def _is_size_limited() -> bool:
    # A file that reaches the process's limit (`ulimit -f`) fails like a broken disk: SQLite tells only ENOSPC apart.
    if os.name != "posix":
        return False
    import resource

    return resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY


def _translation(error: sqlite3.Error, path: Path) -> PixieError:
    # Messages, not codes: Python 3.10 does not tell the codes.
    message = str(error)
    if "locked" in message or "busy" in message:
        return IndexLockedError(f"{path}: another process holds the file ({message}): try again when it is done")
    if "full" in message or ("disk I/O" in message and _is_size_limited()):
        return StorageFullError(f"{path}: no space is left ({message}): the last commit is intact; free some space")
    if "not a database" in message:
        return CorruptIndexError(f"{path} is not an SQLite database: check the path, or restore the file from a copy")
    if isinstance(error, sqlite3.OperationalError) and not any(
        word in message for word in ("malformed", "no such table", "no such column", "decode", "unsafe")
    ):
        return StorageError(f"{path}: {message}: check that the folder can be written and has space")
    return CorruptIndexError(f"{path} is damaged ({message}): restore the file from a copy")
