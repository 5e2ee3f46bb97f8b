"""What SQLite and the file system raise becomes an error of the package; what anybody else raises stays what it is."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest

from pixie_retrievers import (
    CorruptIndexError,
    Document,
    FilterError,
    IndexClosedError,
    IndexLockedError,
    InvalidDocumentError,
    SparseVectors,
    SqliteIndex,
    StorageError,
    StorageFullError,
)
from pixie_retrievers.index.sqlite.failures import TranslatedErrors


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("database is locked", IndexLockedError),
        ("string or blob too big", InvalidDocumentError),
        ("database or disk is full", StorageFullError),
        ("disk I/O error", StorageError),
        ("unable to open database file", StorageError),
        ("no such table: meta", CorruptIndexError),
        ("database disk image is malformed", CorruptIndexError),
        ("file is not a database", CorruptIndexError),
        ("Cannot operate on a closed database.", IndexClosedError),
    ],
)
def test_what_sqlite_says_becomes_an_error_of_ours_that_names_the_file(message, error):
    with pytest.raises(error, match=r"new\.db") as raised, TranslatedErrors(Path("new.db")):
        raise sqlite3.OperationalError(message)
    assert type(raised.value) is error


@pytest.mark.parametrize(("code", "error"), [(errno.ENOSPC, StorageFullError), (errno.EACCES, StorageError)])
def test_what_the_file_system_says_does_too(code, error):
    with pytest.raises(error, match=r"new\.db") as raised, TranslatedErrors(Path("new.db")):
        raise OSError(code, "said so")
    assert type(raised.value) is error


def test_an_error_of_a_callers_own_filter_is_not_taken_for_a_damaged_file(tmp_path):
    def broken(metadata):
        raise sqlite3.OperationalError("disk I/O error")

    with SqliteIndex(tmp_path / "index.db", vocabulary_size=2) as index:
        one = SparseVectors.from_dicts([{0: 1.0}], 2)
        index.upsert([Document("a", "")], one)
        with pytest.raises(FilterError, match="raised OperationalError for document 'a'") as caught:
            index.search(one, 1, filter=broken)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        assert len(index.search(one, 1)[0]) == 1
