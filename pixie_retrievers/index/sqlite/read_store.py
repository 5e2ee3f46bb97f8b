"""The index file as a reader sees it: one connection, one commit point at a time."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from pixie_retrievers.errors import CorruptIndexError, IncompatibleIndexError, StorageError
from pixie_retrievers.index.sqlite.codec import decode_row
from pixie_retrievers.index.sqlite.failures import TranslatedErrors
from pixie_retrievers.index.sqlite.files import FileId, Pair, file_at, log_of, log_size, pair_at, set_log_aside
from pixie_retrievers.index.sqlite.manifest import IDENTITY_KEY
from pixie_retrievers.index.sqlite.tables import (
    APPLICATION_ID,
    BUSY_TIMEOUT_S,
    KEYED_BY_NUMBER,
    META,
    TABLE_COLUMNS,
    check_table,
)

__all__ = ["ReadStore"]

_CACHE_BYTES = 4 << 20
"""How many bytes of pages a connection keeps: the tree above a million documents takes 1 MiB, and stays in memory."""
_SMALL_FILE = 24 << 20
"""A file of so many bytes at most stays in memory whole: a sixth of the time of a search over 10,000 documents."""
_PAGES_AT_ONCE = 4096  # of a copy: between them, progress is shown
_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master"
_MAX_VARIABLES = 500  # below every SQLite build's limit of bound values


class ReadStore:
    """One reading connection: sees a commit point for as long as a transaction lasts.

    Args:
        path: The file.
        before: What was at the path when it was last opened: a log that belongs to another file than the one that is
            there now is set aside.

    Attributes:
        file: The file it reads, which may have lost its name since.

    Raises:
        IndexNotFoundError: There is no file.
        CorruptIndexError: The file is not a database, or has other tables than an index, or more than tables.
        IncompatibleIndexError: The file is a database, but not an index.
    """

    def __init__(self, path: Path, before: Pair | None = None) -> None:
        self._path = path
        self._before = before
        self._lock = threading.Lock()
        self._unlocked: _Version | None = None  # what is read without a lock, as it was
        file_at(path)
        if not path.is_file():
            raise StorageError(f"{path} is not a file: pass the path of an index file")
        with TranslatedErrors(path):
            self._open()
            if log_size(path) and self._log_is_foreign():
                self._connection.close()
                set_log_aside(path, self._opens_with_foreign_log)
                self._open()

    def _open(self) -> None:
        path = self._path
        while True:
            self.file = file_at(path)
            try:
                self._connection = self._connect("mode=ro")
            except sqlite3.OperationalError:
                # A file in write-ahead mode wants a shared-memory file beside it, which whoever writes next will make:
                # until then nothing changes, and SQLite may take the file as immutable.
                if os.access(path.parent, os.W_OK) or log_of(path).exists():
                    raise
                self._unlocked = _version_of(path)
                self._connection = self._connect("mode=ro&immutable=1")
            if file_at(path) == self.file:
                return
            self._connection.close()  # another file took the name in between

    def _log_is_foreign(self) -> bool:
        """Whether the log beside the file was left over from another file of this name.

        What a connection sees is the file with its log. A log that brings the rows of another file, but not that file's
        header, is none of this file's. One that brings the header as well may be a whole index that SQLite's backup
        wrote into this file; if it is older than the file's last change of name, it is not.
        """
        if self._before is not None and self._before.file != self.file and self._before.log == pair_at(self._path).log:
            return True
        header = self._pragma("user_version")
        (origin,) = decode_row(IDENTITY_KEY, self.get(META, IDENTITY_KEY), dict)
        if origin.get("identity") != header:
            return True
        try:
            with contextlib.closing(self._connect("mode=ro&immutable=1")) as without_log:
                if without_log.execute("PRAGMA user_version").fetchone()[0] == header:
                    return False
        except (sqlite3.Error, IncompatibleIndexError):  # half of the log is in the file: it is this file's
            return False
        with contextlib.suppress(OSError):
            return log_of(self._path).stat().st_mtime_ns < self._path.stat().st_ctime_ns
        return False

    def _opens_with_foreign_log(self) -> bool:
        self._open()
        try:
            return log_size(self._path) > 0 and self._log_is_foreign()
        finally:
            self._connection.close()

    def is_current(self, file: FileId) -> bool:
        """Whether this is still the way to read what is at the path, which leads to ``file`` now."""
        return file == self.file and (self._unlocked is None or self._unlocked == _version_of(self._path))

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
            # Reads the schema, unlike the settings above: tables as they are made here, and nothing that could run.
            if Counter(connection.execute(_SCHEMA)) != _schema():
                raise CorruptIndexError(f"{self._path} has not the tables of an index: restore the file from a copy")
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
                found.update(rows if table in KEYED_BY_NUMBER else ((_key(key), value) for key, value in rows))
        return found

    def range(self, table: str, first: str | int, last: str | int) -> list[tuple[str | int, bytes]]:
        """Keys and values from ``first`` to ``last``, both included, in the order of the keys."""
        statement = f'SELECT key, value FROM "{check_table(table)}" WHERE key BETWEEN ? AND ? ORDER BY key'  # noqa: S608  # fixed names, bound values
        with self._lock, TranslatedErrors(self._path):
            return [(_key(key), value) for key, value in self._connection.execute(statement, (first, last))]

    def count(self, table: str) -> int:
        """How many rows a table has."""
        with self._lock, TranslatedErrors(self._path):
            return int(self._connection.execute(f'SELECT count(*) FROM "{check_table(table)}"').fetchone()[0])  # noqa: S608  # fixed names

    def copy_to(self, target: sqlite3.Connection, progress: Callable[[int, int], Any] | None) -> None:
        """Copy the whole commit point into an empty database."""

        def copied(_status: int, remaining: int, total: int) -> None:
            if progress is not None:
                progress(total - remaining, total)

        with self._lock, TranslatedErrors(self._path):
            self._connection.backup(target, pages=_PAGES_AT_ONCE, progress=copied)

    def n_bytes(self) -> int:
        """How much the file holds at this commit point, its log included."""
        with self._lock, TranslatedErrors(self._path):
            return int(self._pragma("page_count")) * int(self._pragma("page_size"))

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


class _Version(NamedTuple):
    """What tells whether a file that is read without locks was written to."""

    size: int
    changed_ns: int
    has_log: bool


def _version_of(path: Path) -> _Version:
    found = path.stat()
    return _Version(found.st_size, found.st_mtime_ns, log_of(path).exists())


def _key(key: Any) -> str | int:
    # Damage can turn a key into anything; what is not a key matches nothing, and is missed where it belongs.
    if isinstance(key, bytes):
        return key.decode(errors="replace")
    return key if isinstance(key, int) else ""


@cache
def _schema() -> Counter[Any]:
    """What SQLite says of the tables of an index that was just made."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        for table, columns in TABLE_COLUMNS.items():
            connection.execute(f'CREATE TABLE "{table}" {columns}')
        return Counter(connection.execute(_SCHEMA))


@cache
def _select(table: str, n_keys: int) -> str:
    marks = ",".join("?" * n_keys)
    return f'SELECT key, value FROM "{check_table(table)}" WHERE key IN ({marks})'  # noqa: S608  # fixed names, bound values
