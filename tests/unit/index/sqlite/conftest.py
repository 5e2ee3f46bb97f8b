"""A small index, and the real parts beneath it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from vectors import documents, random_vectors

from pixie_retrievers import SqliteIndex
from pixie_retrievers.index.sqlite.reader import Reader


@pytest.fixture
def path(tmp_path):
    """An index of twenty documents, every third term of which is literal."""
    path = tmp_path / "index.db"
    with SqliteIndex(path, vocabulary_size=200, fingerprint="model-1") as index:
        index.upsert(documents(20), random_vectors(20).with_literal([range(0, 200, 3)] * 20))
    return path


@pytest.fixture
def reader(path):
    """The same index, ready to read."""
    with closing(Reader(path)) as reader:
        yield reader


@pytest.fixture
def sql(path):
    """Runs SQL on the index beside the package, and gives the rows."""

    def run(statement, *values):
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(statement, values).fetchall()

    return run
