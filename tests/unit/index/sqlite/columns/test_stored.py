"""Columns come back from the store as they were; what contradicts itself is refused."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from pixie_retrievers import CorruptIndexError, Document, SparseVectors, SqliteIndex
from pixie_retrievers.index.sqlite.codec import Kind, encode_arrays, encode_row
from pixie_retrievers.index.sqlite.columns.building import build_columns
from pixie_retrievers.index.sqlite.columns.stored import column_key, column_keys, encode_columns, read_columns
from pixie_retrievers.index.sqlite.read_store import ReadStore
from pixie_retrievers.index.sqlite.segment import segment_key

METADATA = [{"n": i, "text": f"글 {i}", "tags": [i % 3, "가", None], "big": 2**60 + i, "한 값": 1} for i in range(300)]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "index.db"
    with SqliteIndex(path, vocabulary_size=2) as index:
        documents = [Document(str(i), "", metadata) for i, metadata in enumerate(METADATA)]
        index.upsert(documents, SparseVectors.from_dicts([{0: 1.0}] * len(documents), 2))
    return path


def read(path):
    with closing(ReadStore(path)) as store, store.transaction():
        return read_columns(store, 0, len(METADATA))


def overwrite(path, key, value):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE columns SET value = ? WHERE key = ?", (value, key))


def test_columns_come_back_as_they_were_built(path):
    stored, built = read(path), build_columns(METADATA)
    assert list(stored.columns) == list(built.columns)
    assert stored.complete
    for field, column in built.columns.items():
        other = stored.columns[field]
        assert other.strings == column.strings
        for name in ("codes", "floats", "integers", "list_starts", "elements"):
            one, two = getattr(other, name), getattr(column, name)
            assert (one.tolist(), one.dtype) == (two.tolist(), two.dtype) or (len(one) == len(two) == 0)


def test_the_keys_of_a_segment_lie_between_its_first_and_last():
    first, last = column_keys(7)
    assert all(first <= key <= last for key, _ in encode_columns(7, build_columns(METADATA)))
    assert not any(first <= key <= last for n in (6, 8) for key, _ in encode_columns(n, build_columns(METADATA)))


@pytest.mark.parametrize("content", [["n", [1], True], [{"n": 1}, True], [[1, 2], True], [["n"]]])
def test_a_directory_that_names_no_fields_is_refused(path, content):
    overwrite(path, segment_key(0), encode_row(segment_key(0), content))
    with pytest.raises(CorruptIndexError):
        read(path)


def broken():
    u1, f8, i8, i4 = np.uint8, np.float64, np.int64, np.int32
    sound = [np.full(300, 6, u1), np.ones(1, f8), np.zeros(0, i8), np.zeros(0, u1), np.zeros(1, i4), np.zeros(0, u1)]
    text = np.frombuffer("글".encode(), u1)
    changes = {
        "a code beyond the dictionary": {0: np.full(300, 7, u1)},
        "too few codes": {0: np.full(299, 6, u1)},
        "codes of no width": {0: np.full(900, 0, u1)},
        "negative codes": {0: np.full(300, -1, i4).view(u1)},
        "numbers out of order": {1: np.array([2.0, 1.0])},
        "whole numbers out of order": {2: np.array([2, 1])},
        "a string without an end": {3: text},
        "lists that start nowhere": {4: np.zeros(0, i4)},
        "lists that start late": {4: np.ones(1, i4), 5: np.full(1, 6, u1)},
        "lists that run backwards": {4: np.array([0, 2, 1], i4), 5: np.full(1, 6, u1)},
        "a list of lists": {4: np.array([0, 1], i4), 5: np.full(1, 7, u1)},
        "elements of no list": {5: np.full(1, 6, u1)},
    }
    yield "sound", sound, True
    for name, change in changes.items():
        yield name, [change.get(i, array) for i, array in enumerate(sound)], False


@pytest.mark.parametrize(
    ("name", "arrays", "is_sound"), list(broken()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_column_that_contradicts_itself_is_refused(path, name, arrays, is_sound):
    key = column_key(0, 0)
    overwrite(path, key, encode_arrays(Kind.COLUMN, key, arrays))
    if is_sound:
        read(path)
    else:
        with pytest.raises(CorruptIndexError, match="contradicts its segment"):
            read(path)
